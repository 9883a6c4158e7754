"""How good the recommendation is, and what each part adds: tables of the scripts in `benchmark/space`."""

from __future__ import annotations

import numpy as np
import pandas as pd
from layout import RESULTS, markdown, number, over_hubs, won

from fennec.evaluation.leave_one_study_out import STUDY_METHODS
from fennec.evaluation.leave_one_task_out import EVALUATED_HUBS, METHODS, summarise
from fennec.evidence.hubs import load_matrix
from fennec.measures import bootstrap_interval
from fennec.space.shortlist import ABSTAIN

MEASURES = ("tau_w", "tau_w_true", "spearman", "pearson", "regret@1", "regret@3", "regret@5", "rel@1", "recall@5",
            "ndcg@5")  # fmt: skip


def leave_one_task_out() -> str:
    """Mean tau_w per hub and method."""
    results = pd.read_csv(RESULTS / "leave_one_task_out.csv")
    table = summarise(results).set_index(["hub", "method"])
    names = [name for name in METHODS if name != "oracle"]
    rows = []
    for hub in EVALUATED_HUBS:
        matrix, own = load_matrix(hub), table.loc[hub]
        gain, low, high = gain_interval(results, hub)
        best = own["mean"].drop("oracle").max()
        cells = [number(own["mean"].get(name, np.nan)) for name in names]
        cells = [f"**{cell}**" if cell == number(best) else cell for cell in cells]
        fennec = own.loc["fennec"]
        rows.append([
            hub, f"{matrix.n_models} x {int(fennec['n_tasks'])}", *cells, number(own["mean"]["oracle"]),
            f"{gain:+.3f} [{low:+.3f}, {high:+.3f}]", "/".join(f"{fennec[key]:.0f}" for key in ("win", "tie", "loss")),
            number(fennec["gap_closure"], 2, "+"),
        ])  # fmt: skip
    wide = table["mean"].unstack().loc[list(EVALUATED_HUBS)]
    gain = wide["fennec"].mean() - wide["static"].mean()
    closure = gain / (wide["oracle"].mean() - wide["static"].mean())
    means = [number(wide[name].mean(skipna=False)) for name in names]
    rows.append(["mean", "", *means, number(wide["oracle"].mean()), f"{gain:+.3f}", "", number(closure, 2, "+")])
    header = ["hub", "models x tasks", *names, "oracle", "fennec - static [95 %]", "win/tie/loss", "gap closure"]
    return markdown(header, rows)


def gain_interval(results: pd.DataFrame, hub: str) -> tuple[float, float, float]:
    """Mean gain in tau_w of `fennec` over `static` per task of a hub, and its 95 % bootstrap interval."""
    chosen = results[(results["hub"] == hub) & (results["measure"] == "tau_w")]
    wide = chosen.pivot(index="task", columns="method", values="value")
    difference = (wide["fennec"] - wide["static"]).to_numpy()
    return float(difference.mean()), *bootstrap_interval(difference)


def measures() -> str:
    """Every measure, mean over hubs of the mean over tasks; regret in points."""
    results = pd.read_csv(RESULTS / "leave_one_task_out.csv")
    table = results.groupby(["method", "measure", "hub"])["value"].mean().unstack().mean(axis=1, skipna=False).unstack()
    points = [100 if measure.startswith("regret") else 1 for measure in MEASURES]
    rows = [
        [name, *(number(scale * table.loc[name, measure], 3 if scale == 1 else 1)
                 for scale, measure in zip(points, MEASURES, strict=True))]
        for name in METHODS
        if table.loc[name].notna().all()  # defined on every hub
    ]  # fmt: skip
    return markdown(["method", *MEASURES], rows)


def front_page() -> str:
    """The same in words for a newcomer: order, and accuracy lost by trying only the head of the list."""
    ways = {
        "random": "by chance",
        "largest": "the largest model",
        "fennec-paper": "Fennec as first published (matrix factorisation, random forest)",
        "static": "the average over the other datasets, images not looked at",
        "fennec": "**Fennec**",
        "oracle": "upper end: told how the datasets truly relate, which nobody can know",
    }
    results = pd.read_csv(RESULTS / "leave_one_task_out.csv")
    table = results.groupby(["method", "measure", "hub"])["value"].mean().unstack().mean(axis=1, skipna=False).unstack()
    rows = [
        [words, number(table.loc[name, "tau_w"]), *(number(100 * table.loc[name, f"regret@{k}"], 1) for k in (1, 3, 5))]
        for name, words in ways.items()
    ]
    return markdown(["how the models are put in order", "agreement", "lost with 1", "lost with 3", "lost with 5"], rows)


ELEVEN = {
    "cnn11": "sfda_supervised_cnn finetune", "vit13": "emms_vit finetune", "parc70": "parc_all finetune",
    "hf180": "transfergraph_hf finetune", "vtab291": "shift_vtab_hf finetune", "aitlas10": "aitlas_arena finetune",
    "medmnist10": "medmnistplus_benchmark finetune", "clip121": "openclip_zeroshot zero_shot",
    "bio85": "biobench_leaderboard linear_probe", "fastai86": "fastai_timm_full finetune",
    "mieb55": "mieb_image linear_probe",
}  # fmt: skip


def leave_one_study_out() -> str:
    """Mean tau_w of the eleven studies of the goal, and of all; the study itself as the upper end."""
    table = _studies("tau_w")
    eleven = table.reindex([tuple(name.split()) for name in ELEVEN.values()])
    rows = [
        [name, str(int(sizes)), *(number(value) for value in row)]
        for name, sizes, row in zip(ELEVEN, eleven.pop("models"), eleven.to_numpy(), strict=True)
    ]
    rows.append(["mean", "", *(number(value) for value in eleven.mean(skipna=False))])
    known = eleven.dropna(subset="imagenet")
    rows.append(
        [f"mean where ImageNet accuracy is known ({len(known)})", "", *(number(v) for v in known.mean(skipna=False))]
    )
    sizes = table.pop("models")
    rows.append(["mean of all", f"{len(table)} orders", *(number(value) for value in table.mean(skipna=False))])
    large = table[sizes >= 30]
    rows.append(["of 30 models and more", f"{len(large)} orders", *(number(v) for v in large.mean(skipna=False))])
    return markdown(["study left out", "models", *eleven], rows)


def leave_one_study_out_all() -> str:
    """Mean tau_w of every other study, and regret of the default in points."""
    table, known = _studies("tau_w"), set(ELEVEN.values())
    regret = [_studies(f"regret@{k}")["fennec"] for k in (1, 5)]
    rows = []
    for (study, protocol), row in table.iterrows():
        name = f"{study} {protocol}"
        if name not in known:
            rows.append([study, protocol.replace("_", " "), str(int(row["models"])),
                         *(number(value) for value in row.drop("models")),
                         *(number(100 * part[study, protocol], 1) for part in regret)])  # fmt: skip
    return markdown(["study left out", "protocol", *table.columns, "regret@1", "regret@5"], rows)


def _studies(measure: str) -> pd.DataFrame:
    """Mean of a measure by study and protocol, models and methods as columns."""
    results = pd.read_csv(RESULTS / "leave_one_study_out.csv")
    chosen = results[results["measure"] == measure]
    table = chosen.pivot_table(index=["study", "protocol"], columns="method", values="value", aggfunc="mean")
    table = table[[name for name in STUDY_METHODS if name in table]]
    table.insert(0, "models", chosen.groupby(["study", "protocol"])["n_models"].first())
    return table


def duels() -> str:
    """Tasks won, tied and lost in tau_w by the default against other methods, hub by hub."""
    results = pd.read_csv(RESULTS / "leave_one_task_out.csv")
    own = pd.read_parquet(RESULTS / "lab24_comparison.parquet")
    own = own[own["proxy"].isin(["", "dav2-ViT-S-14"])].assign(hub="lab24")
    means = own[(own["measure"] == "tau_w") & (own["forward_passes"] == own["forward_passes"].max())]
    best = str(means.groupby("method")["value"].mean().idxmax())
    others = ["static", "fennec-paper", "largest", "imagenet", best]
    both = pd.concat([results, own])
    wide = both[both["measure"] == "tau_w"].pivot(index=["hub", "task"], columns="method", values="value")
    rows = []
    for hub in (*EVALUATED_HUBS, "lab24"):
        line = [hub]
        for other in others:
            change = (wide.loc[hub, "fennec"] - wide.loc[hub, other]).dropna().round(9)
            line.append(won(change) if len(change) else "-")
        rows.append(line)
    return markdown(["hub", *(f"against {other}" for other in others)], rows)


def coverage() -> str:
    """Share of left-out results inside the 80 % interval: by protocol with studies left out, by hub with tasks."""
    results = pd.read_csv(RESULTS / "certainty.csv")
    inside = results[results["measure"] == "coverage@80"]
    rows = []
    for (left, protocol), part in inside.groupby(["left", "protocol"], sort=False):
        by_study = part.groupby("study")["value"].mean()
        rows.append([f"a {left}", protocol.replace("_", " "), str(len(by_study)), str(len(part)),
                     f"{by_study.mean():.2f}", f"{by_study.min():.2f} to {by_study.max():.2f}"])  # fmt: skip
    return markdown(["left out", "protocol", "studies", "columns", "share inside", "study by study"], rows)


def calibration() -> str:
    """Probability of being among the five best of a task of a left-out study, and how many were."""
    results = pd.read_csv(RESULTS / "calibration.csv").query("left == 'study'")
    counts = results.assign(said=results["n"] * results["predicted"], were=results["n"] * results["observed"])
    bins = counts.groupby(["low", "high"])[["n", "said", "were"]].sum()
    header = ["probability said", *(f"{100 * low:.0f}-{100 * high:.0f} %" for low, high in bins.index)]
    rows = [
        ["models", *(f"{n:,.0f}" for n in bins["n"])],
        ["mean probability", *(f"{100 * share:.1f} %" for share in bins["said"] / bins["n"])],
        ["among the five best", *(f"{100 * share:.1f} %" for share in bins["were"] / bins["n"])],
    ]
    return markdown(header, rows)


def shortlist() -> str:
    """Regret of the K first of three lists, and trust in differences, mean over studies or hubs."""
    results = pd.read_parquet(RESULTS / "shortlist.parquet")
    means = results.groupby(["left", "list", "measure", "study"])["value"].mean().groupby(level=[0, 1, 2]).mean()
    wide = means.unstack()
    rows = [
        [f"a {left}", name, *(number(wide.loc[(left, name), f"regret@{k}"], 2) for k in (1, 3, 5, 10)),
         f"{wide.loc[(left, name), 'params@1']:.0f} M", number(wide.loc[(left, name), "difference@80"], 2)]
        for left in ("study", "task") for name in ("siblings", "two of a network", "worth its size", "default")
    ]  # fmt: skip
    header = ["left out", "list", *(f"lost with {k}" for k in (1, 3, 5, 10)), "size of the first", "differences inside"]
    return markdown(header, rows)


def expectations() -> str:
    """Lists on which every statement of the expert holds."""
    results = pd.read_csv(RESULTS / "expectations.csv", dtype=str)
    rows = []
    for no, part in results.groupby("no", sort=False):
        fails = part.loc[part["result"] == "fails", "list"]
        rows.append([str(no), f"{len(part) - len(fails)} of {len(part)}", ", ".join(fails) or "-"])
    return markdown(["statement", "lists on which it holds", "fails on"], rows)


def shipped_spaces() -> str:
    """Cost of the spaces of the package."""
    results = pd.read_csv(RESULTS / "shipped_spaces.csv")
    wide = results.pivot(index="protocol", columns="measure", values="value").reindex(results["protocol"].unique())
    rows = [
        [str(name).replace("_", " "), f"{row['models']:,.0f}", f"{row['known image sets']:.0f}",
         f"{row['fit seconds']:.0f} s", f"{row['megabytes']:.1f} MB", f"{row['ranking milliseconds']:.2f} ms"]
        for name, row in wide.iterrows()
    ]  # fmt: skip
    return markdown(["protocol", "models", "known image sets", "fit", "size", "ranking"], rows)


def portfolio() -> str:
    """Regret of the K best of the ranking and of a portfolio of K, mean over hubs."""
    wide = _certainty()
    rows = []
    for size in (2, 3, 5, 10):
        plain, together = wide[f"regret@{size}"], wide[f"portfolio regret@{size}"]
        change = together - plain
        low, high = over_hubs(change)
        rows.append([str(size), number(plain.groupby("hub").mean().mean(), 2),
                     number(together.groupby("hub").mean().mean(), 2),
                     f"{change.groupby('hub').mean().mean():+.2f} [{low:+.2f}, {high:+.2f}]",
                     won(-change)])  # fmt: skip
    return markdown(["K", "K best", "portfolio of K", "difference [95 %]", "tasks lower/same/higher"], rows)


def resemblance() -> str:
    """What looking at the images gains where they resemble known tasks, and where they do not."""
    wide = _certainty()
    rows = []
    for name, chosen in (("abstains", wide["resemblance"] < ABSTAIN), ("looks", wide["resemblance"] >= ABSTAIN)):
        gain = wide.loc[chosen, "gain"]
        low, high = bootstrap_interval(gain.to_numpy())
        rows.append([name, str(len(gain)), f"{gain.mean():+.3f} [{low:+.3f}, {high:+.3f}]",
                     f"{(gain > 0).mean():.2f}"])  # fmt: skip
    return markdown(["", "tasks", "gain in tau_w [95 %]", "share of tasks that gain"], rows)


def _certainty() -> pd.DataFrame:
    results = pd.read_csv(RESULTS / "certainty.csv").query("left == 'task'").rename(columns={"study": "hub"})
    return results.pivot(index=["hub", "task"], columns="measure", values="value")


def partial_knowledge() -> str:
    """Mean tau_w over tasks against the number of results folded in."""
    results = pd.read_csv(RESULTS / "partial_knowledge.csv")
    chosen = results[results["measure"] == "tau_w"]
    table = chosen.groupby(["hub", "method", "n_known"])["value"].mean().unstack()
    rows = [[f"{hub}, {method}", *(number(value) for value in line)] for (hub, method), line in table.iterrows()]
    return markdown(["results folded in", *map(str, table.columns)], rows)


def proxies_in_the_space() -> str:
    """Gain over static history under the embeddings of each proxy."""
    files = {"fennec-mini": "leave_one_task_out.csv", "dav2-ViT-S-14": "leave_one_task_out_dav2-ViT-S-14.csv"}
    rows = []
    for name, file in files.items():
        table = summarise(pd.read_csv(RESULTS / file)).set_index(["method", "hub"])["mean"]
        gain = (table["fennec"] - table["static"])[list(EVALUATED_HUBS)]
        rows.append([name, *(number(value, sign="+") for value in gain), number(gain.mean(), sign="+")])
    return markdown(["proxy", *EVALUATED_HUBS, "mean"], rows)


SAID = ["images", "words", "both", "words in use", "both in use"]


def words() -> str:
    """What words, images and both gain over neither, with tasks and with studies left out."""
    rows = []
    for (left, protocol, tasks), part in pd.read_csv(RESULTS / "words.csv").groupby(
        ["left", "protocol", "tasks"], sort=False
    ):
        if protocol != "all" and tasks != "all":
            continue
        lines = part.set_index("method")
        gains = [f"{line.gain:+.3f} [{line.low:+.3f}, {line.high:+.3f}]"
                 for line in lines.loc[SAID].itertuples()]  # fmt: skip
        what = tasks if protocol == "all" else protocol.replace("_", " ")
        neither = lines.loc["neither"]
        rows.append([f"{left} left out: {what}", f"{neither['n_tasks']:.0f} ({neither['n_units']:.0f})",
                     number(neither["tau_w"]), *gains])  # fmt: skip
    header = ["", "tasks (image sets or studies)", "neither", *(f"{method} - neither" for method in SAID)]
    return markdown(header, rows)


def words_of() -> str:
    """What a description needs: class names, and known tasks that are described too."""
    table = pd.read_csv(RESULTS / "words.csv").query("protocol == 'all' and tasks == 'all'")
    rows = [
        [f"{line.left} left out: {line.method}", f"{line.gain:+.3f} [{line.low:+.3f}, {line.high:+.3f}]"]
        for line in table.itertuples()
        if str(line.method).startswith("words")
    ]
    return markdown(["", "gain over neither [95 %]"], rows)


def words_numbers() -> str:
    """Numbers of pictures and classes beside words, and a sentence encoder in their place."""
    rows = [
        [f"{line.left_out} left out", line.method, str(line.n), f"{line.gain:+.3f} [{line.low:+.3f}, {line.high:+.3f}]",
         f"{line.over_words:+.3f} [{line.over_words_low:+.3f}, {line.over_words_high:+.3f}]"]
        for line in pd.read_csv(RESULTS / "words_numbers.csv").itertuples()
    ]  # fmt: skip
    return markdown(["", "likeness by", "image sets or studies", "gain over neither [95 %]", "over words [95 %]"], rows)


def words_packs() -> str:
    """Answers to words beside those to pictures."""
    table = pd.read_csv(RESULTS / "words_packs.csv").fillna("")
    rows = []
    for (pack, about), part in table.groupby(["pack", "description"], sort=False):
        line = part.set_index("method")
        seen, told = line.loc["images"], line.loc["words"]
        both = len(set(seen["best"].split()) & set(told["best"].split()))
        rows.append([f"{pack}: {about}", seen["nearest"], number(seen["resemblance"]), told["nearest in words"] or "-",
                     number(told["resemblance"]), number(told["agreement with images"]), f"{both} of 5"])  # fmt: skip
    header = ["", "nearest by pictures (distance)", "resemblance", "nearest by words (share)", "resemblance",
              "agreement of the two orders", "of the first five in common"]  # fmt: skip
    return markdown(header, rows)


def words_time() -> str:
    """Seconds of a query in words."""
    table = pd.read_csv(RESULTS / "words_time.csv")
    rows = [[line.what, f"{1000 * line.seconds:.0f} ms", f"{line.of_target:.2f}"] for line in table.itertuples()]
    return markdown(["", "time", "of 50 ms"], rows)


TABLES = (
    front_page, leave_one_study_out, leave_one_study_out_all, leave_one_task_out, measures, duels, coverage,
    calibration, shortlist, expectations, shipped_spaces, portfolio, resemblance, partial_knowledge,
    proxies_in_the_space, words, words_of, words_numbers, words_packs, words_time)  # fmt: skip
