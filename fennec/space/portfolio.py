"""Which few of many models to show: different ones that are worth their size, or a set to try together.

In: expected results and draws of a `TransferSpace`, facts of the models. Out: probabilities, rows of models.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fennec.errors import InputError
from fennec.evidence.studies import load_tasks

Floats = NDArray[np.float64]
SIBLINGS = 2  # checkpoints of one network in a list
SAME_NETWORK = 1.05  # ratio of sizes of one family up to which two checkpoints count as of one network
CHEAPER = 5.0  # a model has to be better than those of so many times fewer parameters
WORTH = 0.01  # by so much, a fraction


def in_top(draws: NDArray[np.floating], k: int = 5) -> Floats:
    """Probability of every model to be among the k best.

    Args:
        draws: joint draws of results or of what orders them, shape (n_draws, n_models).
        k: how many count as best.

    Returns:
        Shape (n_models,); they add up to k, or to the number of models where that is less.

    Example:
        >>> in_top(np.array([[0.9, 0.8, 0.1], [0.7, 0.2, 0.3]]), k=1).tolist()
        [1.0, 0.0, 0.0]
    """
    n_draws, n_models = draws.shape
    if k >= n_models:
        return np.ones(n_models)
    best = np.argpartition(draws, -k, axis=1)[:, -k:]
    return np.asarray(np.bincount(best.ravel(), minlength=n_models) / n_draws)


def best_together(draws: Floats, n: int) -> NDArray[np.intp]:
    """Models to try together: the best of them is expected to be as good as that of any other so many.

    Args:
        draws: joint draws of results, shape (n_draws, n_models).
        n: how many to take at most.

    Returns:
        Rows of the models in the order in which they were taken: the one expected to be best, then at every step the
        one that adds most to the expected best.

    Raises:
        InputError: n is below 1.

    Example:
        >>> best_together(np.array([[0.9, 0.8, 0.1], [0.7, 0.7, 0.9]]), n=2).tolist()
        [0, 2]

    Source:
        Nemhauser, Wolsey & Fisher 1978: the expected best of a set is submodular, so steps of the largest gain come
        within 1 - 1/e of the best set.
    """
    if n < 1:
        raise InputError(f"n is {n}; ask for at least one model")
    taken: list[int] = []
    best = np.full(len(draws), -np.inf)
    for _ in range(min(n, draws.shape[1])):
        expected = np.maximum(draws, best[:, None]).mean(axis=0)
        expected[taken] = -np.inf
        taken.append(int(expected.argmax()))
        best = np.maximum(best, draws[:, taken[-1]])
    return np.array(taken, dtype=np.intp)


def worth_their_size(expected: ArrayLike, params: ArrayLike) -> NDArray[np.bool_]:
    """Whether no much smaller model is expected to be nearly as good.

    Args:
        expected: expected results, fractions, shape (n_models,).
        params: numbers of parameters, NaN for unknown: such a model counts as worth it and as nobody's rival.

    Returns:
        Shape (n_models,); False where a model with at most a fifth of the parameters is expected within a point.

    Example:
        >>> worth_their_size([0.80, 0.805, 0.85], [10e6, 100e6, 1e9]).tolist()
        [True, False, True]
    """
    results, sizes = np.asarray(expected, dtype=np.float64), np.asarray(params, dtype=np.float64)
    order = np.argsort(sizes, kind="stable")[: np.isfinite(sizes).sum()]
    best = np.concatenate([[-np.inf], np.maximum.accumulate(results[order])])
    rival = best[np.searchsorted(sizes[order], sizes / CHEAPER, side="right")]
    return np.asarray(np.isnan(sizes) | (results - rival > WORTH))


def of_subject(only: Sequence[frozenset[str]], nearest: Sequence[tuple[str, float]]) -> NDArray[np.bool_]:
    """Whether models were trained for things of all kinds, or for what the nearest known tasks show.

    Args:
        only: what each model was trained for and for nothing else, as of `Catalog.subjects`.
        nearest: image sets most like the task, with their distance; none where they say nothing.

    Returns:
        Shape (n_models,); False where weights were trained for other subjects alone. All True where none is left.
    """
    here = " ".join(_domains().get(name, "") for name, _ in nearest)
    found = np.array(
        [not subjects or any(subject in here for subject in subjects) for subjects in only], dtype=np.bool_
    )
    return found if found.any() else ~found


@cache
def _domains() -> dict[str, str]:
    """What image sets show, in words."""
    tasks = load_tasks()[["image_set", "domain"]].dropna().drop_duplicates()
    return {str(name): " ".join(found) for name, found in tasks.groupby("image_set")["domain"]}


def different(
    ranked: NDArray[np.intp], families: Sequence[str], params: ArrayLike, worth: NDArray[np.bool_], n: int
) -> NDArray[np.intp]:
    """The n first of a ranking of which at most two are of one network, and all worth their size.

    Two checkpoints are of one network where they are of one family and their sizes differ by less than 5 %. Where fewer
    than n are left, the best of the others fill the list, so that nothing is hidden in a small space.

    Args:
        ranked: rows of models, best first.
        families: of all models; an empty one is nobody else's.
        params: of all models, NaN for unknown.
        worth: of all models, as `worth_their_size` says.
        n: how many.

    Returns:
        At most n rows, in the order of the ranking.

    Example:
        >>> rows, sizes = np.arange(4), [10e6, 10e6, 10e6, 20e6]
        >>> different(rows, ["vit"] * 4, sizes, np.full(4, True), 3).tolist()
        [0, 1, 3]
    """
    sizes = np.log(np.asarray(params, dtype=np.float64))
    taken: list[int] = []
    for row in ranked[worth[ranked]].tolist():
        alike = [one for one in taken if families[row] and families[one] == families[row]]
        if np.sum(np.abs(sizes[alike] - sizes[row]) < np.log(SAME_NETWORK)) < SIBLINGS:
            taken.append(row)
        if len(taken) == n:
            break
    rest = ranked[~np.isin(ranked, taken)][: n - len(taken)]
    return ranked[np.isin(ranked, [*taken, *rest])]
