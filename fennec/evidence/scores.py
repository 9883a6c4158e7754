"""Results of all studies on one scale: standard normal quantiles of ranks within every column.

In: the evidence, or a user's own matrix. Out: one row per weights, study, protocol and image set, what every fitted
part of the transfer space is made from.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm, rankdata

from .matrix import TransferMatrix
from .studies import load_evidence, load_studies

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]

MINIATURES = "timm:test_"  # networks for unit tests: their results are facts, but nobody should be told to take one
MIN_COLUMN = 6  # weights in a column of a published study: the ranks of fewer say little
GENERAL = "any"  # image set of results that say how good weights are in general: ImageNet and its variants
COLUMN = ["study", "protocol", "task", "metric", "budget", "head"]
KEY = ["weights", "study", "protocol", "image_set"]


def gaussian_scores(performance: ArrayLike) -> Floats:
    """Performances of one task as standard normal quantiles of their ranks, NaN stays NaN.

    Args:
        performance: shape (n_models,); at least one value known.

    Returns:
        Scores with mean 0 and standard deviation 1 over the known models, shape (n_models,); all 0 when
        the known values are equal.

    Source:
        Blom 1958 in Hazen's form, (rank - 0.5) / n; ties share their mean rank.
    """
    values = np.asarray(performance, dtype=np.float64)
    known = ~np.isnan(values)
    scores = np.full(values.shape, np.nan)
    quantiles = norm.ppf((rankdata(values[known]) - 0.5) / known.sum())
    spread = quantiles.std()
    scores[known] = quantiles / spread if spread > 0 else 0.0
    return scores


def study_name(study: str) -> str:
    """One name for a study and all that repeat it: they are left out together."""
    studies = load_studies()
    return min((study, *studies[study].repeats)) if study in studies else study


@cache
def load_scores(*, without_weights: frozenset[str] = frozenset()) -> pd.DataFrame:
    """All published results; read once and shared, so copy before you change it.

    Args:
        without_weights: as if these had never been measured: the others are ranked among themselves.

    Returns:
        One row per weights, study (as `study_name`), protocol and image set: score, value (mean of the fractions) and
        n (number of columns they are the means of). Results by the protocol `eval` have the image set `GENERAL`.
    """
    frame = scored_cells(without_weights=without_weights)
    return _means(frame.assign(study=frame["study"].map({name: study_name(name) for name in frame["study"].unique()})))


def scored_cells(*, without_weights: frozenset[str] = frozenset()) -> pd.DataFrame:
    """The evidence with the score of every cell in its column, every study under its own name.

    Columns of fewer than `MIN_COLUMN` weights are left out; results by the protocol `eval` have the image set
    `GENERAL`.

    Args:
        without_weights: as if these had never been measured.
    """
    evidence = load_evidence()
    names = evidence["weights"].astype(str)
    frame = evidence[~(names.str.startswith(MINIATURES) | names.isin(without_weights))]
    frame = frame.astype(dict.fromkeys([*COLUMN, "weights", "image_set"], str))
    return with_scores(frame)


def with_scores(cells: pd.DataFrame) -> pd.DataFrame:
    """Cells of columns that are long enough, with their `score`; of whatever studies."""
    frame = cells[cells.groupby(COLUMN)["value"].transform("size") >= MIN_COLUMN]
    frame = frame.assign(score=frame.groupby(COLUMN)["value"].transform(gaussian_scores))
    frame.loc[frame["protocol"].eq("eval"), "image_set"] = GENERAL
    return frame


def matrix_scores(matrix: TransferMatrix) -> pd.DataFrame:
    """Results of one matrix as one study of its name, in the columns of `load_scores`."""
    import pandas as pd

    scores = np.column_stack([gaussian_scores(column) for column in matrix.performance.T])
    rows, columns = np.nonzero(np.isfinite(scores))
    sets = np.array(matrix.image_sets, dtype=object)
    if matrix.protocol == "eval":
        sets[:] = GENERAL
    frame = pd.DataFrame(
        {
            "weights": np.array(matrix.models, dtype=object)[rows],
            "study": study_name(matrix.name),
            "protocol": matrix.protocol,
            "image_set": sets[columns],
            "score": scores[rows, columns],
            "value": matrix.performance[rows, columns],
        }
    )
    return _means(frame)


def own_study(name: str) -> str:
    """Name of a study of a user's own, which is no published study's."""
    return f"own results: {name}"


def with_own(matrix: TransferMatrix) -> pd.DataFrame:
    """All published results and a user's own, as the study `own_study(matrix.name)`."""
    import pandas as pd

    own = matrix_scores(matrix).assign(study=own_study(matrix.name))
    return pd.concat([load_scores(), own], ignore_index=True)


def without(scores: pd.DataFrame, *, studies: Collection[str] = (), image_sets: Collection[str] = ()) -> pd.DataFrame:
    """Scores with all results of some studies and what repeats them, or on some image sets, gone."""
    left = scores["study"].isin({study_name(study) for study in studies}) | scores["image_set"].isin(list(image_sets))
    return scores[~left].reset_index(drop=True)


def _means(frame: pd.DataFrame) -> pd.DataFrame:
    grouped = frame.groupby(KEY, as_index=False, sort=True)
    return grouped.agg(score=("score", "mean"), value=("value", "mean"), n=("score", "size"))
