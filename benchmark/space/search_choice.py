"""How far results on a new task lie from what is expected: chosen for every study by what happens on all others.

    python benchmark/space/search_choice.py

Simulates searches as `search.py` does, under every `Scatter` of a grid. One rule: the logarithm of the regret as a
share of the ranking's (a tenth of a point added to both), mean over `AFTER`, over studies, and over both ways of
leaving out; the smallest is taken. For every study the rule looks at the others alone, those that repeat it left out as
well. Writes `search_choice.csv` (study, affinity, relatives, noise, of_others, of_itself): what was taken and the mean
logarithm, on the others and on the study; study `all` is what `fennec.trials.belief.SCATTER` has to be. And
`search_grid.csv` (affinity, relatives, noise, log): the mean over all studies of every point of the grid.
"""

from __future__ import annotations

import itertools
import sys
import warnings
from concurrent.futures import ProcessPoolExecutor
from dataclasses import astuple
from pathlib import Path

import numpy as np
import pandas as pd
from search import RESULTS, in_order, regret, trials_of
from search_cases import cases, left_out

from fennec.evidence.scores import study_name
from fennec.trials.belief import SCATTER, Scatter

GRID = [Scatter(*values) for values in itertools.product((1.0, 2.0, 4.0, 8.0), (0.0, 1.0), (0.2, 0.4))]
AFTER = (3, 5, 10)
LITTLE = 0.1  # points that do not matter
MOST = 16  # tasks of a study that are looked at
NAMES = ["affinity", "relatives", "noise"]


def main() -> None:
    """Simulate, choose and write."""
    paths = [(left, path) for left in ("study", "task") for path in left_out(left)]
    with ProcessPoolExecutor() as pool:
        table = pd.concat(pool.map(_logs, *zip(*paths, strict=True)))
    studies = table.groupby(["left", "study", "protocol", *NAMES], as_index=False)["log"].mean()
    studies["repeats"] = studies["study"].map(study_name)
    rows = []
    for study in ["all", *sorted(studies["study"].unique())]:
        others = studies[studies["repeats"].ne(study_name(study))]
        means = others.groupby(["left", *NAMES])["log"].mean().groupby(NAMES).mean()
        best = means.idxmin()
        own = studies[studies["study"].eq(study)].set_index(NAMES)["log"]
        rows.append((study, *map(float, best), means.min(), own.loc[[best]].mean() if study != "all" else np.nan))
        if study == "all":
            means.rename("log").round(4).reset_index().to_csv(RESULTS / "search_grid.csv", index=False)
    columns = ["study", *NAMES, "of_others", "of_itself"]
    pd.DataFrame(rows, columns=columns).round(4).to_csv(RESULTS / "search_choice.csv", index=False)
    if Scatter(*rows[0][1:4]) != SCATTER:
        print(f"SCATTER is {SCATTER}; the rule takes {rows[0][1:4]}", file=sys.stderr)


def _logs(left: str, path: Path) -> pd.DataFrame:
    """Logarithms of the regret as a share of the ranking's, under every scatter, of the tasks of a space."""
    warnings.simplefilter("ignore")
    rows = []
    for scatter in GRID:
        found = [case for case in cases(left, path, scatter) if len(case.truth) > max(AFTER) / 2]
        for index in np.random.default_rng(0).permutation(len(found))[:MOST]:
            case = found[index]
            order, ranked = trials_of(case, case.prior, max(AFTER)), in_order(case.scores["ranking"])
            logs = [np.log((regret(case, order[:k]) + LITTLE) / (regret(case, ranked[:k]) + LITTLE)) for k in AFTER]
            rows.append((left, case.study, case.protocol, *astuple(scatter), np.mean(logs)))
    return pd.DataFrame(rows, columns=["left", "study", "protocol", *NAMES, "log"])


if __name__ == "__main__":
    main()
