"""A new study beside what is known: failed runs, columns that say nothing, and how far it agrees with the others.

In: the cells of a study in the words of the evidence. Out: tables for each of its columns and each published study, and
findings. Nothing is refused here: a study that contradicts all others is reported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import spearmanr

from .agreement import (
    FAR,
    FEWEST_CELLS,
    is_repeat,
    published_agreement,
    published_cells,
    rank_agreement,
    value_agreement,
    with_study,
)
from .columns import COLUMN, FEWEST_MODELS, TRAINED, chance_level
from .results import N_SHOWN, Findings, cut
from .scores import GENERAL, MIN_COLUMN, with_scores
from .studies import load_evidence, load_tasks

if TYPE_CHECKING:
    import pandas as pd

OWN = "\0"  # study name of the new results: no published one
LEVEL = 0.05  # of a test, and the share of published pairs that agree less than what is said to contradict


def with_failures(cells: pd.DataFrame, found: Findings) -> pd.DataFrame:
    """The cells with `failed`: trained and at or below chance, or in a column of one value."""
    classes = load_tasks()["n_classes"].to_dict()
    words = cells[["metric", "task"]].drop_duplicates()
    chance = {
        (metric, task): chance_level(metric, classes.get(task, np.nan))
        for metric, task in words.itertuples(index=False)
    }
    level = np.array([chance[key] for key in zip(cells["metric"], cells["task"], strict=True)], dtype=np.float64)
    low = cells["value"] <= level  # NaN compares as no
    trained = cells["protocol"].isin(TRAINED)
    found.add_lines("odd", "chance", "at or below chance, as of a run that failed, on LINES", low & trained)
    found.add_lines("note", "chance", "at or below chance, with nothing trained, on LINES", low & ~trained)
    column = cells.groupby(COLUMN, sort=True)
    size = column["weights"].transform("size")
    constant = (column["value"].transform("nunique") == 1) & (size >= FEWEST_MODELS)
    for (task, protocol, *_), rows in cells[constant].groupby(COLUMN, sort=True):
        text = f"all {len(rows)} models have {rows['value'].iloc[0]:g} on task '{cut(str(task))}' ({protocol})"
        found.add("odd", "constant", text, rows.index)
    model = cells.groupby(["weights", "protocol"])["value"]
    same = (model.transform("nunique") == 1) & (model.transform("size") >= FEWEST_MODELS) & ~constant
    for (weights, _), rows in list(cells[same].groupby(["weights", "protocol"]))[:N_SHOWN]:
        text = f"'{cut(str(weights))}' has {rows['value'].iloc[0]:g} on all of {len(rows)} tasks"
        found.add("odd", "constant", text, rows.index)
    _check_twins(cells[~constant], found)
    _check_sizes(cells, size, found)
    return cells.assign(failed=(low & trained) | constant)


def _check_twins(cells: pd.DataFrame, found: Findings) -> None:
    """Columns, and models, with equal values throughout."""
    columns: dict[tuple[object, ...], list[str]] = {}
    for (task, protocol, *_), rows in cells.groupby(COLUMN, sort=True):
        if len(rows) >= FEWEST_MODELS:
            content = (protocol, *sorted(zip(rows["weights"], rows["value"], strict=True)))
            columns.setdefault(content, []).append(str(task))
    for content, tasks in columns.items():
        if len(tasks) > 1:
            text = f"tasks {', '.join(repr(cut(str(task))) for task in tasks)} have the same values for all models"
            found.add("odd", "constant", f"{text} ({content[0]})")
    models: dict[tuple[object, ...], list[str]] = {}
    for weights, rows in cells.groupby("weights", sort=True):
        if len(rows) >= FEWEST_MODELS:
            content = tuple(sorted(zip(*(rows[name] for name in COLUMN), rows["value"], strict=True)))
            models.setdefault(content, []).append(str(weights))
    for names in models.values():
        if len(names) > 1:
            text = f"{', '.join(repr(cut(name)) for name in names[:N_SHOWN])} have the same values on all tasks"
            found.add("odd", "constant", f"{text}; are they the same weights?")


def _check_sizes(cells: pd.DataFrame, size: pd.Series[int], found: Findings) -> None:
    n_models = cells["weights"].nunique()
    tasks = cells["task"]
    if n_models < FEWEST_MODELS:
        count = f"{n_models} model" + "s" * (n_models != 1)
        found.add("odd", "size", f"{count}: nothing can be put in order; a study needs {FEWEST_MODELS}")
        return
    short, few = size < FEWEST_MODELS, (size < MIN_COLUMN) & (size >= FEWEST_MODELS)
    for bad, text in ((short, f"fewer than {FEWEST_MODELS} models: nothing to put in order"),
                      (few, f"fewer than {MIN_COLUMN} models: ranks too short to learn from")):  # fmt: skip
        names = sorted(tasks[bad].unique())
        if names:
            more = f" and {len(names) - N_SHOWN} more" if len(names) > N_SHOWN else ""
            listed = ", ".join(repr(cut(name)) for name in names[:N_SHOWN])
            found.add("note", "size", f"columns of {text}: {listed}{more}", cells.index[bad])


def compare_columns(cells: pd.DataFrame, found: Findings) -> pd.DataFrame:
    """Each column beside what other studies say of the same weights on the same images under the same protocol.

    Args:
        cells: of the study.
        found: is told of orders that run against what is known, and of other levels.

    Returns:
        One row a column: task, protocol, metric, budget, n_models, n_common (weights that are known there), `order`
        (Spearman correlation with their mean known score, NaN below `MIN_COLUMN`), p (two-sided), n_values (weights
        with a known value of this metric and budget), `difference` (median of own minus known, a fraction).
    """
    import pandas as pd

    known = published_cells()
    known = known[known["weights"].isin(set(cells["weights"]))]
    scores = known.groupby(["weights", "protocol", "image_set"])["score"].mean()
    means = _known_values(cells).groupby(["weights", *COLUMN])["value"].mean()
    images = cells["image_set"].mask(cells["protocol"].eq("eval"), GENERAL)
    joined = cells.assign(image_set=images).join(scores.rename("known_score"), on=["weights", "protocol", "image_set"])
    joined = joined.join(means.rename("known_value"), on=["weights", *COLUMN])
    rows = []
    for column, here in joined.groupby(COLUMN, sort=True):
        common = here[here["known_score"].notna()]
        order = p = np.nan
        if len(common) >= MIN_COLUMN and common["value"].nunique() > 1 and common["known_score"].nunique() > 1:
            order, p = spearmanr(common["value"], common["known_score"])
        difference = (here["value"] - here["known_value"]).dropna()
        middle = float(difference.median()) if len(difference) else np.nan
        rows.append((*column, len(here), len(common), float(order), float(p), len(difference), middle))
        what = f"task '{cut(str(column[0]))}' ({column[1]})"
        if order < 0 and p < LEVEL:
            text = (
                f"{what}: the order runs against what is known, rank correlation {order:.2f} over {len(common)} models"
            )
            found.add("odd", "order", text, here.index)
        if len(difference) >= FEWEST_CELLS and abs(middle) > FAR and not here["failed"].all():
            text = f"{what}: {100 * middle:+.0f} points from known results of {len(difference)} of its models"
            found.add("odd", "shift", f"{text}; another split, metric or unit?", here.index)
    names = [*COLUMN, "n_models", "n_common", "order", "p", "n_values", "difference"]
    return pd.DataFrame(rows, columns=names)


def _known_values(cells: pd.DataFrame) -> pd.DataFrame:
    """Results of all studies for the same weights on the same tasks, whatever the length of their columns."""
    evidence = load_evidence()
    here = evidence["weights"].isin(set(cells["weights"])) & evidence["task"].isin(set(cells["task"]))
    return evidence[here].astype(dict.fromkeys(("study", "weights", *COLUMN), str))


def compare_studies(cells: pd.DataFrame, found: Findings) -> pd.DataFrame:
    """Each published study that has enough of the same weights, and whether the new one agrees with them.

    Args:
        cells: of the study.
        found: is told how far it agrees, beside how far published studies agree, and which one it repeats.

    Returns:
        The rows of `rank_agreement` with the new study, without it, largest overlap first, and `share_equal`: of the
        cells that both have, how many have the same value; NaN where there are none.
    """
    import pandas as pd

    words = ["weights", *COLUMN, "head", "value", "image_set"]
    own = cells[words].assign(study=OWN)
    known = published_cells()
    known = known[known["weights"].isin(set(own["weights"]))]
    mine = with_study(OWN, rank_agreement(pd.concat([known, with_scores(own)], ignore_index=True)))
    published = published_agreement()
    apart = ~published["repeats"]
    for measure, what in (("same_tasks", "on the same tasks"), ("overall", "over all tasks")):
        among = published.loc[apart, measure].dropna()
        seen = mine[measure].dropna()
        if len(seen) == 0:
            continue
        least = among.quantile(LEVEL)
        against = int((seen < least).sum())
        middle = f"median rank correlation {seen.median():.2f}"
        usual = f"pairs of published studies: {among.median():.2f}, {100 * (1 - LEVEL):.0f} % above {least:.2f}"
        if against * 2 > len(seen):
            text = f"contradicts {against} of {len(seen)} published studies {what}: {middle} ({usual})"
            found.add("odd", "agreement", text)
        else:
            found.add("note", "agreement", f"{middle} with {len(seen)} published studies {what} ({usual})")
    if mine["overall"].isna().all():
        text = f"no published study has {MIN_COLUMN} of these weights in an order: nothing to compare with"
        found.add("note", "agreement", text)
    equal = value_agreement(pd.concat([_known_values(cells), own], ignore_index=True), study=OWN)
    for study, protocol, n_cells, share in equal.loc[
        is_repeat(equal), ["other", "protocol", "common_cells", "share_equal"]
    ].itertuples(index=False):
        text = f"repeats study '{study}' ({protocol}): {share:.0%} of {n_cells} common cells have the same value"
        found.add("odd", "repeat", text)
    shares = equal.groupby("other")["share_equal"].max()
    mine = mine.drop(columns="study").rename(columns={"other": "study"})
    mine = mine.assign(share_equal=mine["study"].map(shares))
    return mine.sort_values(["n_cells", "n_weights", "study"], ascending=[False, False, True], ignore_index=True)
