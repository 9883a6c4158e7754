"""What a search finds: tables of `benchmark/space/search.py` and `benchmark/lab24/search_lab24.py`."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
from layout import RESULTS, markdown, number

from fennec.evaluation.leave_one_task_out import EVALUATED_HUBS
from fennec.evidence.hubs import find_hub

METHODS = (
    "search", "search, 4 at a time", "search, not by time", "ranking", "static", "no history", "imagenet", "largest",
    "cheapest", "random",
)  # fmt: skip
WORSE = 0.1  # points
N_HARDEST = 8


@cache
def _results() -> pd.DataFrame:
    return pd.read_csv(RESULTS / "search.csv")


def search_trials() -> str:
    """Mean over studies of the regret after so many trials."""
    return _over_studies("trials")


def search_cost() -> str:
    """The same after equal cost."""
    return _over_studies("cost")


def _over_studies(unit: str) -> str:
    rows, amounts = [], sorted(_results().query("unit == @unit")["amount"].unique())
    middle = amounts[len(amounts) // 2]
    for left in ("task", "study"):
        part = _results().query("left == @left and unit == @unit")
        wide = part.pivot_table(index=["study", "protocol"], columns=["method", "amount"], values="regret")
        for method in [name for name in METHODS if name in wide]:
            # ImageNet accuracy and rates are known for some studies only: those are compared on their own.
            own = wide[method].reindex(columns=amounts)
            beside = wide["search"][middle][own[middle].notna()]
            rows.append([f"a {left}", method, str(len(beside)), *(number(own[k].mean(), 2) for k in amounts),
                         number(beside.mean(), 2)])  # fmt: skip
    header = ["left out", "method", "studies", *(f"{k:g}" for k in amounts), f"search after {middle:g}, same studies"]
    return markdown(header, rows)


def search_short() -> str:
    """One task left out, in words."""
    ways = {"random": "by chance", "largest": "the largest first", "no history": "search without history",
            "ranking": "down the list of `recommend`", "search": "**search**"}  # fmt: skip
    part = _results().query("left == 'task' and unit == 'trials'")
    means = part.groupby(["method", "amount"])["regret"].mean()
    amounts = sorted(part["amount"].unique())
    rows = [[words, *(number(means[name, k], 2) for k in amounts)] for name, words in ways.items()]
    return markdown(["", *(f"{k:g} trial{'s' if k > 1 else ''}" for k in amounts)], rows)


def search_hubs() -> str:
    """The eight hubs with images: regret of the ranking and of the search."""
    rows, ratios = [], []
    for hub in EVALUATED_HUBS:
        source = find_hub(hub)
        part = _results().query("left == 'task' and unit == 'trials'")
        part = part[part["study"].eq(source.source) & part["protocol"].eq(source.protocol)]
        wide = part.set_index(["method", "amount"])["regret"]
        if wide.empty:
            continue
        pairs = [(wide["ranking", k], wide["search", k]) for k in (1, 2, 3, 5, 10, 20)]
        ratios.append(pairs)
        rows.append([hub, str(part["n_tasks"].max()), *(f"{a:.2f} / {b:.2f}" for a, b in pairs)])
    means = np.mean(ratios, axis=0)
    rows.append(["mean", "", *(f"{a:.2f} / {b:.2f}" for a, b in means)])
    rows.append(["search : ranking", "", *(number(b / a, 2) for a, b in means)])
    return markdown(["hub", "tasks", *(f"after {k}" for k in (1, 2, 3, 5, 10, 20))], rows)


def search_hardest() -> str:
    """The tasks of the eight hubs that make up most of the regret after five trials."""
    results = pd.read_csv(RESULTS / "search_tasks.csv")
    parts = []
    for hub in EVALUATED_HUBS:
        source = find_hub(hub)
        part = results[results["study"].eq(source.source) & results["protocol"].eq(source.protocol)]
        figures = part.filter(like="@") / len(part) / len(EVALUATED_HUBS)
        parts.append(figures.assign(hub=hub, task=part["task"].str.split("|").str[0], n=part["n_models"]))
    table = pd.concat(parts)
    columns = ["ranking@5", "search@5", "ranking@10", "search@10"]
    worst = table.nlargest(N_HARDEST, "search@5")
    rest = table.drop(worst.index)
    rows = [[row["hub"], row["task"], f"{row['n']:.0f}", *(number(row[name], 3) for name in columns)]
            for row in worst.to_dict("records")]  # fmt: skip
    for name, part in ((f"the other {len(rest)} tasks", rest), ("all", table)):
        rows.append([name, "", "", *(number(part[column].sum(), 3) for column in columns)])
    return markdown(
        ["hub", "task", "models", "ranking after 5", "search after 5", "ranking after 10", "search after 10"], rows
    )


def search_choice() -> str:
    """What was chosen for how many studies by all others."""
    results = pd.read_csv(RESULTS / "search_choice.csv")
    shipped, studies = results[results["study"].eq("all")], results[results["study"].ne("all")]
    names = ["affinity", "relatives", "noise"]
    rows = [[*(f"{value:g}" for value in values), str(n), "yes" if values == tuple(shipped[names].iloc[0]) else ""]
            for values, n in studies.groupby(names).size().items()]  # fmt: skip
    return markdown([*names, "studies", "by all"], rows)


def search_worse() -> str:
    """Studies on which the search is better and worse than the ranking, by more than a tenth of a point."""
    rows = []
    for left in ("task", "study"):
        part = _results().query("left == @left and unit == 'trials'")
        wide = part.pivot_table(index=["study", "protocol"], columns=["method", "amount"], values="regret")
        for k in (2, 3, 5, 10, 20):
            change = (wide["search"][k] - wide["ranking"][k]).dropna()
            worst = change.idxmax()
            rows.append([f"a {left}", f"{k}", str((change < -WORSE).sum()), str((change.abs() <= WORSE).sum()),
                         str((change > WORSE).sum()), f"{change.max():+.2f} ({' '.join(worst)})"])  # fmt: skip
    return markdown(["left out", "trials", "studies better", "the same", "worse", "the worst"], rows)


def search_stop() -> str:
    """Trials and regret where the search ends by itself."""
    rows = []
    for left in ("task", "study"):
        part = _results().query("left == @left and unit == 'stop'")
        rows.append([f"a {left}", str(len(part)), number(part["amount"].mean(), 1), number(part["regret"].mean(), 2)])
    return markdown(["left out", "studies", "trials", "regret"], rows)


def search_chance() -> str:
    """Probability that something untried is better, as said and as it was, after five trials."""
    results = pd.read_csv(RESULTS / "search_chance.csv").query("trials == 5")
    rows = []
    for (left, above), part in results.groupby(["left", "above"], sort=False):
        cells = {
            round(5 * row["low"]): f"{100 * row['said']:.0f} / {100 * row['was']:.0f} ({row['n']:.0f})"
            for row in part.to_dict("records")
        }
        rows.append([f"a {left}", f"{above:g}", *(cells.get(k, "-") for k in range(5))])
    return markdown(["left out", "by more than", *(f"said {20 * k}-{20 * k + 20} %" for k in range(5))], rows)


def search_speed() -> str:
    """Seconds of a decision."""
    rows = [[f"{row['candidates']:,.0f}", f"{row['trials']:.0f}", f"{row['pending']:.0f}", f"{row['seconds']:.3f}"]
            for row in pd.read_csv(RESULTS / "search_speed.csv").to_dict("records")]  # fmt: skip
    return markdown(["candidates", "trials so far", "under way", "seconds"], rows)


def search_lab24() -> str:
    """A quarter of the time that measuring all networks of lab24 takes."""
    results = pd.read_csv(RESULTS / "search_lab24.csv")
    rows = []
    results["name"] = results["how"].where(results["how"].ne("run"), "run: " + results["task"])
    means = results.groupby(["how", "left", "method"], sort=False)
    parts = [*results[results["how"].eq("run")].groupby(["name", "left", "method"], sort=False)]
    parts += [(("all runs" if how == "run" else how, *key), part) for (how, *key), part in means]
    for (name, left, method), part in parts:
        mean = part[["budget", "seconds", "trials", "passes", "regret"]].mean()
        rows.append([name, f"a {left}", method, str(len(part)), f"{mean['budget']:.0f} s", f"{mean['seconds']:.0f} s",
                     number(mean["trials"], 1), f"{mean['passes']:,.0f}", number(mean["regret"], 2)])  # fmt: skip
    return markdown(["how", "left out", "method", "tasks", "budget", "spent", "trials", "passes", "regret"], rows)


def search_evidence() -> str:
    """What the metrics of one pass add to history on lab24; the five that explain most, and none."""
    results = pd.read_csv(RESULTS / "search_evidence.csv")
    rows = []
    for left, part in results.groupby("left", sort=False):
        single = part["metric"].isin(["none", "chosen"])
        best = part[~single].nlargest(5, "explained")
        name = "the task" if left == "task" else "all of lab24"
        for row in pd.concat([part[single], best]).to_dict("records"):
            figures = [number(row[key], 2) for key in ("history", "weight", "explained")]
            regrets = [number(row[f"{what}@{k}"], 2) for what in ("regret", "cost") for k in (1, 2, 3, 5, 10)]
            rows.append([name, row["metric"], *figures, *regrets])
    header = ["left out", "metric", "weight of history", "of the metric", "explained"]
    return markdown([*header, *(f"{what} {k}" for what in ("after", "cost") for k in (1, 2, 3, 5, 10))], rows)


TABLES = (
    search_short, search_hubs, search_hardest, search_choice, search_trials, search_cost, search_worse, search_stop,
    search_chance, search_speed, search_lab24, search_evidence,
)  # fmt: skip
