"""How far studies agree: the same values in the same cells, or the same order of the same weights.

In: cells of several studies. Out: one row per pair of studies. Two studies repeat each other where the same weights on
the same task under the same protocol have nearly the same value in both, so that one would give the other away.
"""

from __future__ import annotations

from functools import cache
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from .scores import MIN_COLUMN, scored_cells
from .studies import load_studies

if TYPE_CHECKING:
    import pandas as pd

NEARLY = 0.0011  # a tenth of a point and rounding
FEWEST_CELLS = 8  # fewer shared cells may agree by chance
SHARE = 0.5  # of the shared cells
FAR = 0.15  # of the pairs with so many shared cells, one in twenty has a larger median difference


def value_agreement(evidence: pd.DataFrame, *, study: str | None = None) -> pd.DataFrame:
    """Share of common cells with nearly the same value, one row per pair of studies with common cells.

    Args:
        evidence: study, weights, task, protocol, budget and value of every cell.
        study: only pairs with this one, in the column `study`.

    Returns:
        study, other, protocol, cells in common, share that agrees, median difference; most alike first.
    """
    import pandas as pd

    words = ["study", "weights", "task", "protocol", "budget"]
    cells = evidence.astype(dict.fromkeys(words, str)).groupby(words)["value"].max()
    wide = {study: rows.droplevel("study") for study, rows in cells.groupby("study")}
    rows = []
    names = sorted(map(str, wide))
    pairs = combinations(names, 2) if study is None else ((study, name) for name in names if name != study)
    for one, two in pairs:
        both = pd.concat([wide[one], wide[two]], axis=1, join="inner", keys=["one", "two"])
        for protocol, common in both.groupby(level="protocol"):
            difference = (common["one"] - common["two"]).abs()
            share = (difference <= NEARLY).mean()
            rows.append((one, two, protocol, len(common), round(share, 4), round(difference.median(), 5)))
    columns = ["study", "other", "protocol", "common_cells", "share_equal", "median_difference"]
    table = pd.DataFrame(rows, columns=columns)
    return table.sort_values(
        ["share_equal", "common_cells", "study"], ascending=[False, False, True], ignore_index=True
    )


def is_repeat(table: pd.DataFrame) -> pd.Series[bool]:
    """Which rows of `value_agreement` are pairs that repeat each other."""
    return (table["common_cells"] >= FEWEST_CELLS) & (table["share_equal"] >= SHARE)


def rank_agreement(cells: pd.DataFrame) -> pd.DataFrame:
    """Spearman correlation of two studies over the weights that both have measured.

    Args:
        cells: study, weights, protocol, image_set and score of every cell, as of `scored_cells`.

    Returns:
        One row per pair of studies with at least `MIN_COLUMN` common weights: study, other, n_weights, `overall` (by
        the mean score of each of the weights over its image sets), n_tasks (common image sets under one protocol with
        at least `MIN_COLUMN` common weights), n_cells (in them), and `same_tasks`, the mean over them, each counted by
        its cells; NaN where there are none, or all ranks of one side are equal.
    """
    import pandas as pd

    words = ["study", "weights", "protocol", "image_set"]
    means = cells.astype(dict.fromkeys(words, str)).groupby(words)["score"].mean().reset_index()
    studies = sorted(means["study"].unique())
    total = np.zeros((len(studies), len(studies)))
    n_cells, n_tasks = total.copy(), total.copy()
    several = means.groupby(["protocol", "image_set"])["study"].transform("nunique") > 1
    for _, rows in means[several].groupby(["protocol", "image_set"]):
        place = np.searchsorted(studies, sorted(rows["study"].unique()))
        correlation, common = _spearman(rows.pivot(index="weights", columns="study", values="score"))
        counted = np.where(np.isfinite(correlation), common, 0)
        total[np.ix_(place, place)] += counted * np.nan_to_num(correlation)
        n_cells[np.ix_(place, place)] += counted
        n_tasks[np.ix_(place, place)] += counted > 0
    overall, n_weights = _spearman(means.groupby(["weights", "study"])["score"].mean().unstack())
    one, two = np.triu_indices(len(studies), 1)
    with np.errstate(invalid="ignore"):
        same = total / n_cells
    table = pd.DataFrame(
        {
            "study": np.array(studies, dtype=object)[one],
            "other": np.array(studies, dtype=object)[two],
            "n_weights": n_weights[one, two],
            "overall": overall[one, two],
            "n_tasks": n_tasks[one, two].astype(int),
            "n_cells": n_cells[one, two].astype(int),
            "same_tasks": same[one, two],
        }
    )
    return table[table["n_weights"] >= MIN_COLUMN].reset_index(drop=True)


def _spearman(wide: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Correlations of columns, NaN below `MIN_COLUMN` common rows, and the numbers of common rows."""
    known = wide.notna().to_numpy().astype(int)
    return wide.corr(method="spearman", min_periods=MIN_COLUMN).to_numpy(), known.T @ known


def with_study(name: str, pairs: pd.DataFrame) -> pd.DataFrame:
    """The pairs of one study, the other one in `other`."""
    import pandas as pd

    swapped = pairs.rename(columns={"study": "other", "other": "study"})
    both = pd.concat([pairs, swapped[pairs.columns]], ignore_index=True)
    return both[both["study"] == name].reset_index(drop=True)


def are_repeats(pairs: pd.DataFrame) -> pd.Series[bool]:
    """Which rows of `rank_agreement`, of published studies, are pairs that repeat each other."""
    studies = load_studies()
    return pairs.apply(lambda pair: pair["other"] in studies[pair["study"]].repeats, axis=1).astype(bool)


@cache
def published_cells() -> pd.DataFrame:
    """`scored_cells` of all published studies; read once and shared, so copy before you change it."""
    return scored_cells()


@cache
def published_agreement() -> pd.DataFrame:
    """`rank_agreement` of all published studies, and for each pair whether it repeats the other (column `repeats`)."""
    pairs = rank_agreement(published_cells())
    return pairs.assign(repeats=are_repeats(pairs))
