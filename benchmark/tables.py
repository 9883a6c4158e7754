"""Write the tables of README.md, benchmark/README.md and docs/data.md from the result files: none is typed by hand.

    python benchmark/tables.py [--check]

Every table stands between `<!-- table: NAME -->` and `<!-- end -->`. With --check nothing is written and
the exit status says whether the pages are up to date.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from fennec.evaluation.compare import summarise_comparison
from fennec.evaluation.leave_one_task_out import EVALUATED_HUBS, METHODS, summarise
from fennec.evidence.hubs import load_hubs, load_matrix
from fennec.measures import bootstrap_interval
from fennec.space.shortlist import ABSTAIN

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results"
PAGES = (
    ROOT / "README.md",
    ROOT / "benchmark" / "README.md",
    ROOT / "benchmark" / "EXPERIMENTS.md",
    ROOT / "docs" / "data.md",
)
STOPPED_S = 30.0  # a reference of metric_speed.csv that took longer was stopped, and counts as this
COLD_HUBS = ("hf180", "vtab291", "clip121", "parc70", "timm1557")
MEASURES = ("tau_w", "tau_w_true", "spearman", "pearson", "regret@1", "regret@3", "regret@5", "rel@1", "recall@5",
            "ndcg@5")  # fmt: skip


def markdown(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table with the first column to the left and the others to the right."""
    header = list(header)
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *map(list, rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def number(value: float, digits: int = 3, sign: str = "") -> str:
    """A figure, or a dash where there is none."""
    return f"{value:{sign}.{digits}f}" if np.isfinite(value) else "-"


def gain_interval(results: pd.DataFrame, hub: str) -> tuple[float, float, float]:
    """Mean gain in tau_w of `fennec` over `static` per task of a hub, and its 95 % bootstrap interval."""
    chosen = results[(results["hub"] == hub) & (results["measure"] == "tau_w")]
    wide = chosen.pivot(index="task", columns="method", values="value")
    difference = (wide["fennec"] - wide["static"]).to_numpy()
    return float(difference.mean()), *bootstrap_interval(difference)


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


def duels() -> str:
    """Tasks won, tied and lost in tau_w by the default against other methods, hub by hub."""
    results = pd.read_csv(RESULTS / "leave_one_task_out.csv")
    own = pd.read_csv(RESULTS / "lab24_comparison.csv").fillna({"proxy": ""})
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
            line.append(_won(change) if len(change) else "-")
        rows.append(line)
    return markdown(["hub", *(f"against {other}" for other in others)], rows)


def _won(change: pd.Series) -> str:
    """Tasks above, at and below zero."""
    return f"{(change > 0).sum()}/{(change == 0).sum()}/{(change < 0).sum()}"


def coverage() -> str:
    """Share of held-out results inside the 80 % interval."""
    table = _certainty()["coverage@80"].groupby("hub").agg(["mean", "size"])
    rows = [
        ["tasks held out", *(str(table.loc[hub, "size"]) for hub in EVALUATED_HUBS)],
        ["share inside", *(f"{table.loc[hub, 'mean']:.2f}" for hub in EVALUATED_HUBS)],
    ]
    return markdown(["hub", *EVALUATED_HUBS], rows)


def calibration() -> str:
    """Probability of being among the five best of a task, and how many were."""
    results = pd.read_csv(RESULTS / "calibration.csv")
    counts = results.assign(said=results["n"] * results["predicted"], were=results["n"] * results["observed"])
    bins = counts.groupby(["low", "high"])[["n", "said", "were"]].sum()
    header = ["probability said", *(f"{100 * low:.0f}-{100 * high:.0f} %" for low, high in bins.index)]
    rows = [
        ["models", *(f"{n:,.0f}" for n in bins["n"])],
        ["mean probability", *(f"{100 * share:.1f} %" for share in bins["said"] / bins["n"])],
        ["among the five best", *(f"{100 * share:.1f} %" for share in bins["were"] / bins["n"])],
    ]
    return markdown(header, rows)


def portfolio() -> str:
    """Regret of the K best of the ranking and of a portfolio of K, mean over hubs."""
    wide = _certainty()
    rows = []
    for size in (2, 3, 5, 10):
        plain, together = wide[f"regret@{size}"], wide[f"portfolio regret@{size}"]
        change = together - plain
        low, high = _over_hubs(change)
        rows.append([str(size), number(plain.groupby("hub").mean().mean(), 2),
                     number(together.groupby("hub").mean().mean(), 2),
                     f"{change.groupby('hub').mean().mean():+.2f} [{low:+.2f}, {high:+.2f}]",
                     _won(-change)])  # fmt: skip
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
    results = pd.read_csv(RESULTS / "certainty.csv")
    return results.pivot(index=["hub", "task"], columns="measure", values="value")


def _over_hubs(values: pd.Series) -> tuple[float, float]:
    """95 % bootstrap interval of the mean over hubs of the mean over tasks, tasks drawn within hubs."""
    generator = np.random.default_rng(0)
    hubs = [part.to_numpy() for _, part in values.groupby("hub")]
    means = np.mean(
        [part[generator.integers(len(part), size=(10_000, len(part)))].mean(axis=1) for part in hubs], axis=0
    )
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def hub_study() -> str:
    """The gap between static history and the oracle, with weights learned on the same models and on others."""
    results = pd.read_csv(RESULTS / "hub_study.csv")
    rows = []
    for hub in EVALUATED_HUBS:
        part = results[results["hub"] == hub]
        mean = part.groupby("what")["value"].mean()
        same = part[part["what"].str.startswith("agreement")]
        others = ", ".join(f"{number(value)} ({name.removeprefix('agreement ')})"
                           for name, value in same.groupby("what")["value"].mean().items())  # fmt: skip
        rows.append([hub, *(number(mean[name]) for name in ("static", "oracle", "oracle, other models")),
                     number(mean["oracle"] - mean["static"], sign="+"),
                     number(mean["oracle, other models"] - mean["static"], sign="+"),
                     number(mean["spread"], 1), f"{100 * mean['within a point']:.0f} %", others or "-"])  # fmt: skip
    means = results.groupby(["what", "hub"])["value"].mean().unstack("what")
    gaps = [(means[name] - means["static"]).mean() for name in ("oracle", "oracle, other models")]
    rows.append(["mean", *(number(means[name].mean()) for name in ("static", "oracle", "oracle, other models")),
                 *(number(gap, sign="+") for gap in gaps), number(means["spread"].mean(), 1), "", ""])  # fmt: skip
    header = ["hub", "static", "oracle", "oracle, other models", "gap", "gap, other models", "spread, points",
              "within a point of the best", "agreement with other hubs"]  # fmt: skip
    return markdown(header, rows)


def ablation() -> str:
    """Mean tau_w of the default with one part left out or replaced."""
    results = pd.read_csv(RESULTS / "ablation.csv")
    wide = results.pivot(index=["hub", "task"], columns="variant", values="tau_w")
    rows = []
    for name in results["variant"].unique():
        hubs = wide[name].groupby("hub").mean()
        change = wide[name] - wide["fennec"]
        low, high = _over_hubs(change)
        rows.append([name, *(number(hubs[hub]) for hub in EVALUATED_HUBS), number(hubs.mean(), 4),
                     f"{change.groupby('hub').mean().mean():+.4f} [{low:+.3f}, {high:+.3f}]"])  # fmt: skip
    return markdown(["variant", *EVALUATED_HUBS, "mean", "against the default [95 %]"], rows)


def proxies_in_the_space() -> str:
    """Gain over static history under the embeddings of each proxy."""
    files = {"fennec-mini": "leave_one_task_out.csv", "dav2-ViT-S-14": "leave_one_task_out_dav2-ViT-S-14.csv"}
    rows = []
    for name, file in files.items():
        table = summarise(pd.read_csv(RESULTS / file)).set_index(["method", "hub"])["mean"]
        gain = (table["fennec"] - table["static"])[list(EVALUATED_HUBS)]
        rows.append([name, *(number(value, sign="+") for value in gain), number(gain.mean(), sign="+")])
    return markdown(["proxy", *EVALUATED_HUBS, "mean"], rows)


def proxy() -> str:
    """Linear probes on unseen packs, and agreement with the teacher on which tasks are alike."""
    results = pd.read_csv(RESULTS / "proxy.csv")
    wide = results.pivot(index=["measure", "pack"], columns="proxy", values="value")
    order = ["fennec-mini", "dav2-ViT-S-14", "mobilenetv2_100", "pixels"]
    probes = wide.loc["linear_probe", order]
    rows = [[pack, *(number(value) for value in line)] for pack, line in probes.iterrows()]
    rows.append(["mean", *(number(value) for value in probes.mean())])
    agreement = wide.loc["similarity_spearman", order].iloc[0]
    rows.append(["task similarities, Spearman with the teacher's", *(number(value) for value in agreement)])
    return markdown(["pack", *order], rows)


def partial_knowledge() -> str:
    """Mean tau_w over tasks against the number of results folded in."""
    results = pd.read_csv(RESULTS / "partial_knowledge.csv")
    chosen = results[results["measure"] == "tau_w"]
    table = chosen.groupby(["hub", "method", "n_known"])["value"].mean().unstack()
    rows = [[f"{hub}, {method}", *(number(value) for value in line)] for (hub, method), line in table.iterrows()]
    return markdown(["results folded in", *map(str, table.columns)], rows)


def speed() -> str:
    """Seconds and memory, as measured."""
    results = pd.read_csv(RESULTS / "speed.csv")
    rows = []
    for what, size, seconds, mb in results.itertuples(index=False):
        time = f"{seconds:.2f} s" if seconds >= 0.1 else f"{1000 * seconds:.3g} ms"
        rows.append([what, f"{size:,}", time, f"{mb:.0f}"])
    return markdown(["what", "size", "time", "peak MB of the process"], rows)


def metric_parity() -> str:
    """Largest relative error against the original authors' scores."""
    results = pd.read_csv(RESULTS / "metric_parity.csv")
    rows = [
        [f"`{name}`", str(len(group)), f"{group['relative_error'].max():.0e}", f"{group['tolerance'].max():.0e}"]
        for name, group in results.groupby("metric")
    ]
    return markdown(["score of the original code", "cases", "largest relative error", "tolerance"], rows)


def metric_speed() -> str:
    """How much faster than an obvious implementation, how much less memory, and how time grows."""
    results = pd.read_csv(RESULTS / "metric_speed.csv")
    rows = []
    for (name, device), group in results.groupby(["metric", "device"], sort=False):
        ran = group[np.isfinite(group["ours_s"])]
        both = ran[np.isfinite(ran["reference_s"])]
        times = _times_faster(ran)
        saved = both["reference_mb"] - both["ours_mb"]
        design = np.column_stack([np.ones(len(ran)), *(np.log(ran[key]) for key in ("n", "d", "c"))])
        growth = np.linalg.lstsq(design, np.log(ran["ours_s"]), rcond=None)[0][1:]
        rows.append([
            f"{name}, {device}", f"{len(ran)}/{len(both)}", f"{times.median():.1f}", f"{times.min():.1f}",
            f"{saved.median():,.0f}", f"{saved.min():,.0f}",
            f"{ran['ours_s'].max():.2f}", f"{ran['ours_mb'].max():,.0f}",
            " ".join(f"{key}^{power:.1f}" for key, power in zip("NDC", growth, strict=True)),
        ])  # fmt: skip
    heavy = results["metric"].isin(["sfda", "ped(ncc)", "disco", "logme"])
    for label, group in (("sfda, ped, disco and logme", results[heavy]), ("all", results)):
        times = _times_faster(group)
        both = group[np.isfinite(group["reference_s"])]
        saved = both["reference_mb"] - both["ours_mb"]
        rows.append([
            f"**{label}**", f"{len(group)}/{len(both)}", f"{times.median():.1f}", f"{times.min():.1f}",
            f"{saved.median():,.0f}", f"{saved.min():,.0f}", "", "", "",
        ])  # fmt: skip
    header = ["metric", "sizes: ours/reference", "times faster, median", "least", "MB saved, median", "least",
              "slowest, s", "most MB", "time grows with"]  # fmt: skip
    return markdown(header, rows)


def _times_faster(runs: pd.DataFrame) -> pd.Series:
    """Ratio of times; a stopped reference counts as long as it ran, which says nothing where ours took longer."""
    times = runs["reference_s"].clip(upper=STOPPED_S) / runs["ours_s"]
    return times[~(np.isinf(runs["reference_s"]) & (runs["ours_s"] > STOPPED_S))]


def real_features() -> str:
    """Time of every metric on real features, and agreement with the linear probe on the order of networks."""
    results = pd.read_csv(RESULTS / "real_features.csv")
    scores = results.pivot(index=["pack", "model"], columns="metric", values="score")
    rows = []
    for name, group in results.groupby("metric"):
        agreement = [
            own["linear_probe"].corr(own[name], method="spearman")
            for _, own in scores.groupby("pack")
            if own[name].nunique() > 1
        ]
        undefined = int(group["score"].isna().sum()) if name != "forward pass" else 0
        rows.append([name, f"{1000 * group['seconds'].median():,.0f}", str(undefined),
                     number(float(np.mean(agreement)), 2) if agreement else "-"])  # fmt: skip
    return markdown(["metric", "ms, median", "undefined", "Spearman with the linear probe"], rows)


def cold_start() -> str:
    """Cold families: mean over seeds of tau_w, all models placed cold, and one family among warm ones."""
    results = pd.read_csv(RESULTS / "cold_start.csv")
    chosen = results[results["measure"] == "tau_w"]
    every = chosen[chosen["family"] == "all"].groupby(["hub", "method"])["value"].mean().unstack()
    single = chosen[chosen["family"] != "all"].groupby(["hub", "family", "method"])["value"].mean().unstack()
    order = ["mean", "params", "imagenet", "wl", "nearest", "facts", "fennec", "static"]
    rows = []
    for hub in (*COLD_HUBS, *sorted(set(every.index) - set(COLD_HUBS))):
        if hub not in single.index or every.loc[hub, "fennec"] != every.loc[hub, "fennec"]:
            continue
        gain = (single.loc[hub, "fennec"] - single.loc[hub, "facts"]).to_numpy()
        low, high = bootstrap_interval(gain)
        rows.append([
            hub, str(len(gain)), *(number(every.loc[hub, name]) for name in order),
            *(number(single.loc[hub, name].mean()) for name in ("mean", "facts", "fennec", "static")),
            f"{gain.mean():+.4f} [{low:+.4f}, {high:+.4f}]",
        ])  # fmt: skip
    header = ["hub", "families", *(f"all cold: {name}" for name in order), "one family cold: mean", "facts", "fennec",
              "static", "fennec - facts [95 %]"]  # fmt: skip
    return markdown(header, rows)


def archi2vec() -> str:
    """What vectors say of held-out families, mean over seeds."""
    results = pd.read_csv(RESULTS / "archi2vec.csv")
    table = results.groupby(["target", "measure"], sort=False)["value"].mean().unstack()
    spread = results.groupby(["target", "measure"], sort=False)["value"].agg(np.ptp).unstack()
    rows = [
        [target, *(f"{table.loc[target, name]:.3f} ({spread.loc[target, name]:.3f})" for name in table.columns)]
        for target in table.index
    ]
    return markdown(["of held-out families (range over seeds)", *table.columns], rows)


def lab24() -> str:
    """Every method on lab24: quality and cost, best first."""
    results = pd.read_csv(RESULTS / "lab24_comparison.csv").fillna({"proxy": ""})
    proxies = [proxy for proxy in results["proxy"].unique() if proxy]
    rows = []
    for proxy in proxies:
        part = results[results["proxy"].isin(["", proxy] if proxy == proxies[0] else [proxy])]
        for row in summarise_comparison(part).to_dict("records"):
            ours = row["method"].startswith("fennec")
            name = f"{row['method']}, {proxy}" if ours else row["method"]
            rows.append((row["mean"], [
                f"**{name}**" if ours else name,
                f"{row['mean']:.3f} [{row['low']:.3f}, {row['high']:.3f}]", number(row["tau_w_true"]),
                number(row["spearman"]), *(f"{100 * row[name]:.1f}" for name in ("regret@1", "regret@3")),
                number(row["rel@1"]), *(f"{row[name]:.3g}" for name in ("forward_s", "scoring_s", "ranking_s")),
                f"{row['forward_passes']:.0f}", "-" if row["peak_mb"] != row["peak_mb"] else f"{row['peak_mb']:.0f}",
            ]))  # fmt: skip
    header = ["method", "tau_w [95 %]", "tau_w_true", "spearman", "regret@1", "regret@3", "rel@1", "forward s",
              "scoring s", "ranking s", "forward passes", "peak MB"]  # fmt: skip
    return markdown(header, [row for _, row in sorted(rows, key=lambda pair: -pair[0])])


def lab24_short() -> str:
    """The methods of lab24 in short, under the proxy that was fixed beforehand."""
    results = pd.read_csv(RESULTS / "lab24_comparison.csv").fillna({"proxy": ""})
    table = summarise_comparison(results[results["proxy"].isin(["", "dav2-ViT-S-14"])])
    ours = table["method"].isin(["oracle", "static", "random"]) | table["method"].str.startswith("fennec")
    named = pd.concat([table[ours], table[~ours & (table["forward_passes"] > 0)].head(3)])
    rows = [
        [row["method"], f"{row['mean']:.3f} [{row['low']:.3f}, {row['high']:.3f}]", f"{100 * row['regret@1']:.1f}",
         f"{row['forward_passes']:.0f}"]
        for row in named.sort_values("mean", ascending=False).to_dict("records")
    ]  # fmt: skip
    return markdown(["method (the three best metrics)", "tau_w [95 %]", "regret@1", "forward passes"], rows)


def lab24_growth() -> str:
    """tau_w with less history."""
    results = pd.read_csv(RESULTS / "lab24_growth.csv")
    means = results.groupby(["n_known", "share", "method"])["value"].mean().unstack("method")
    rows = [
        [f"{n_known} tasks, {share:.0%} of the cells", number(row["static"]), number(row["fennec"]),
         f"{row['fennec'] - row['static']:+.3f}"]
        for (n_known, share), row in means.iterrows()
    ]  # fmt: skip
    return markdown(["history", "static", "fennec", "difference"], rows)


def lab24_noise() -> str:
    """Spread of the results, and how far two runs agree, per task."""
    results = pd.read_csv(RESULTS / "lab24_noise.csv")
    table = results[results["task"] != "all"].pivot(index="task", columns="what", values="value")
    wanted = [name for name in ("mean", "best", "spread", "agreement_tau_w", "agreement_spearman", "ceiling_tau_w")
              if name in table]  # fmt: skip
    rows = [[task, *map(number, row[wanted])] for task, row in table.iterrows()]
    rows.append(["**mean**", *(number(table[name].mean()) for name in wanted)])
    return markdown(["task", *wanted], rows)


def scoring_time() -> str:
    """A pass through every model of a hub beside one recommendation."""
    results = pd.read_csv(RESULTS / "scoring_time.csv")
    rows = [[row.hub, str(row.models), f"{row.passes_s / 3600:.2g} h", f"{row.fennec_s:.1f} s", f"{row.times:,}"]
            for row in results.itertuples()]  # fmt: skip
    return markdown(["hub", "models", "forward passes of all", "fennec", "times faster"], rows)


def engines() -> str:
    """The same jobs by every engine."""
    results = pd.read_csv(RESULTS / "engines.csv")
    rows = [[row.engine, str(row.workers), str(row.jobs), f"{row.seconds:.1f}", f"{3600 * row.jobs / row.seconds:.0f}",
             "yes" if row.equal else "no"] for row in results.itertuples()]  # fmt: skip
    return markdown(["engine", "workers", "cells", "seconds", "cells per hour", "results equal to serial"], rows)


def documentation() -> str:
    """Docstrings, examples, notebooks, wheel and imports."""
    results = pd.read_csv(RESULTS / "documentation.csv", keep_default_na=False)
    rows = [
        [row.what, f"{float(row.value):.2f} {row.unit}" if row.unit else f"{float(row.value):,.0f}"]
        for row in results.itertuples()
    ]
    return markdown(["what", "value"], rows)


def _cards() -> dict[str, dict[str, str]]:
    """Fields of every data card, by source."""
    return {
        path.stem: dict(re.findall(r"^\| ([^|]+?) \| (.+) \|$", path.read_text(encoding="utf-8"), re.MULTILINE))
        for path in sorted((ROOT / "data" / "cards").glob("*.md"))
    }


def experiments() -> str:
    """Mean gain over static history of every idea, per hub, and its interval over all tasks; and the way to go."""
    results = pd.read_csv(RESULTS / "experiments.csv")
    results["gain"] = results["tau_w"] - results["static"]
    rows = []
    for idea, part in results[results["hub"] != "lab24"].groupby("idea", sort=False):
        low, high = _over_hubs(part.set_index("hub")["gain"])
        hubs = part.groupby("hub", sort=False)["gain"].mean()
        rows.append([idea, *(number(hubs[hub], sign="+") for hub in EVALUATED_HUBS), number(hubs.mean(), 4, "+"),
                     f"[{low:+.3f}, {high:+.3f}]"])  # fmt: skip
    means = pd.read_csv(RESULTS / "hub_study.csv").groupby(["what", "hub"])["value"].mean().unstack("what")
    for name in ("oracle, other models", "oracle"):
        gap = means[name] - means["static"]
        line = [*(number(gap[hub], sign="+") for hub in EVALUATED_HUBS), number(gap.mean(), 4, "+"), ""]
        rows.append([f"*{name}*", *line])
    return markdown(["idea", *EVALUATED_HUBS, "mean over hubs", "95 %"], rows)


def experiments_lab24() -> str:
    """Ideas that need forward-pass scores."""
    results = pd.read_csv(RESULTS / "experiments.csv")
    rows = []
    for idea, part in results[results["hub"] == "lab24"].groupby("idea", sort=False):
        gain = (part["tau_w"] - part["static"]).to_numpy()
        low, high = bootstrap_interval(gain)
        rows.append([idea, number(part["static"].mean()), number(part["tau_w"].mean()),
                     f"{gain.mean():+.3f} [{low:+.3f}, {high:+.3f}]"])  # fmt: skip
    return markdown(["idea", "static", "tau_w", "gain [95 %]"], rows)


def sources() -> str:
    """Paper, repository and licence of every source of results, and the hubs made from it."""
    hubs: dict[str, list[str]] = {}
    for name, hub in load_hubs().items():
        hubs.setdefault(hub.source, []).append(f"`{name}`")
    rows = [
        [f"[{name}](../data/cards/{name}.md)", ", ".join(hubs.get(name, ["-"])), card["paper"],
         card["repository and commit"], card["licence of the repository"], card["protocol"], card["size"]]
        for name, card in _cards().items()
    ]  # fmt: skip
    header = ["source", "hubs", "paper", "repository and commit", "licence", "protocol", "size"]
    return markdown(header, rows).replace("---:", "---")


def caveats() -> str:
    """What to know about every source."""
    return "\n".join(f"- **{name}**: {card['caveats']}" for name, card in _cards().items())


TABLES: dict[str, Callable[[], str]] = {
    function.__name__: function
    for function in (front_page, leave_one_task_out, measures, coverage, proxies_in_the_space, proxy,
                     partial_knowledge, speed, metric_parity, metric_speed, real_features, cold_start, archi2vec,
                     sources, caveats, lab24, lab24_short, lab24_growth, lab24_noise, scoring_time, engines,
                     documentation, experiments, experiments_lab24, calibration, portfolio, resemblance, hub_study,
                     ablation, duels)
}  # fmt: skip


def filled(text: str) -> str:
    """A page with every table made again."""
    pattern = re.compile(r"<!-- table: (\w+) -->\n.*?<!-- end -->", re.DOTALL)
    return pattern.sub(lambda found: f"<!-- table: {found[1]} -->\n{TABLES[found[1]]()}\n<!-- end -->", text)


def main() -> None:
    """Fill or check the pages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    only_check = parser.parse_args().check
    for page in PAGES:
        before = page.read_text(encoding="utf-8")
        after = filled(before)
        if only_check and before != after:
            sys.exit(f"{page.name} in {page.parent.name} is not up to date; run python benchmark/tables.py")
        page.write_text(after, encoding="utf-8")


if __name__ == "__main__":
    main()
