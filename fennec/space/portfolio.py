"""What joint draws of results say: how likely a model is among the best, and which few to try together.

In: draws of `Recommender.draws`. Out: probabilities, rows of models.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fennec.errors import InputError

Floats = NDArray[np.float64]


def in_top(draws: Floats, k: int = 5) -> Floats:
    """Probability of every model to be among the k best.

    Args:
        draws: joint draws of results, shape (n_draws, n_models).
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
    best = np.argpartition(-draws, k - 1, axis=1)[:, :k]
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
