"""How good is a ranking: scores of one task against measured performances.

Every measure is a pure function `measure(scores, performance) -> float` over the models whose
performance is known; a model without a score (NaN) stands below all others. `MEASURES` is the registry.
Definitions: Shao et al. (SFDA, ECCV 2022) for weighted tau and Rel@k, Li et al. (TransferGraph,
ICDE 2024) for Pearson.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from fennec.errors import InputError

Floats = NDArray[np.float64]


def _check(scores: ArrayLike, performance: ArrayLike) -> tuple[Floats, Floats]:
    """Known cells only, unscored models last."""
    predicted = np.asarray(scores, dtype=np.float64)
    measured = np.asarray(performance, dtype=np.float64)
    if predicted.ndim != 1 or predicted.shape != measured.shape:
        raise InputError(f"scores {predicted.shape} and performance {measured.shape} must both have shape (n_models,)")
    if np.isinf(predicted).any() or np.isinf(measured).any():
        raise InputError("scores and performance must not be infinite")
    known = ~np.isnan(measured)
    if known.sum() < 2:
        raise InputError(f"{known.sum()} models have a performance; a ranking needs at least 2")
    predicted, measured = predicted[known], measured[known]
    scored = predicted[~np.isnan(predicted)]
    floor = scored.min() - 1.0 if scored.size else 0.0
    return np.where(np.isnan(predicted), floor, predicted), measured


def _best_first(scores: Floats) -> NDArray[np.intp]:
    """Order of the models, best score first, ties by position."""
    return np.argsort(-scores, kind="stable")


def _check_k(k: int) -> None:
    if k < 1:
        raise InputError(f"k is {k}; it must be at least 1")


def weighted_tau(scores: ArrayLike, performance: ArrayLike) -> float:
    """Weighted Kendall tau with weights from both rankings (`tau_w`).

    Args:
        scores: predicted scores of one task, shape (n_models,), higher is better.
        performance: measured results of the same models, shape (n_models,), NaN for unknown.

    Returns:
        A value in [-1, 1]; 0 where either side is constant.

    Raises:
        InputError: shapes differ, a value is infinite, or fewer than 2 performances are known.

    Source:
        Vigna 2015; `scipy.stats.weightedtau` with its defaults, as in the SFDA evaluation code.

    Example:
        >>> weighted_tau([0.1, 0.2, 0.3], [0.5, 0.6, 0.7])
        1.0
    """
    predicted, measured = _check(scores, performance)
    return _defined(stats.weightedtau(predicted, measured).statistic)


def weighted_tau_true(scores: ArrayLike, performance: ArrayLike) -> float:
    """Weighted Kendall tau with weights from the true ranking alone (`tau_w_true`).

    Args, Returns and Raises as for `weighted_tau`.

    Source:
        The variant of Model Spider (Zhang et al., NeurIPS 2023): `weightedtau(truth, scores, rank=None)`.
        Not comparable with `weighted_tau`.
    """
    predicted, measured = _check(scores, performance)
    return _defined(stats.weightedtau(measured, predicted, rank=None).statistic)


def spearman(scores: ArrayLike, performance: ArrayLike) -> float:
    """Spearman correlation; arguments as for `weighted_tau`, 0 where either side is constant."""
    predicted, measured = _check(scores, performance)
    if np.ptp(predicted) == 0 or np.ptp(measured) == 0:
        return 0.0
    return _defined(stats.spearmanr(predicted, measured).statistic)


def pearson(scores: ArrayLike, performance: ArrayLike) -> float:
    """Pearson correlation; arguments as for `weighted_tau`, 0 where either side is constant."""
    predicted, measured = _check(scores, performance)
    if np.ptp(predicted) == 0 or np.ptp(measured) == 0:
        return 0.0
    return _defined(np.corrcoef(predicted, measured)[0, 1])


def regret_at_k(scores: ArrayLike, performance: ArrayLike, *, k: int = 1) -> float:
    """Performance lost by trying only the k best-scored models.

    Args:
        scores: predicted scores of one task, shape (n_models,), higher is better.
        performance: measured results of the same models, shape (n_models,), NaN for unknown.
        k: number of models tried, at least 1.

    Returns:
        Best performance of all models minus the best among the k tried, in the unit of `performance`;
        0 is perfect.

    Raises:
        InputError: as for `weighted_tau`, or k is below 1.

    Source:
        Simple regret; ties in `scores` are broken by position.

    Example:
        >>> round(regret_at_k([0.9, 0.1], [0.70, 0.75], k=1), 3)
        0.05
    """
    _check_k(k)
    predicted, measured = _check(scores, performance)
    return float(measured.max() - measured[_best_first(predicted)[:k]].max())


def relative_at_k(scores: ArrayLike, performance: ArrayLike, *, k: int = 1) -> float:
    """Best performance among the k best-scored models over the best of all (Rel@k); 1 is perfect."""
    _check_k(k)
    predicted, measured = _check(scores, performance)
    best = measured.max()
    return float(measured[_best_first(predicted)[:k]].max() / best) if best > 0 else 1.0


def recall_at_k(scores: ArrayLike, performance: ArrayLike, *, k: int = 5) -> float:
    """Share of the k truly best models that are among the k best-scored ones; 1 is perfect."""
    _check_k(k)
    predicted, measured = _check(scores, performance)
    k = min(k, len(measured))
    return len(set(_best_first(predicted)[:k]) & set(_best_first(measured)[:k])) / k


def ndcg_at_k(scores: ArrayLike, performance: ArrayLike, *, k: int = 5) -> float:
    """Normalised discounted cumulative gain of the k best-scored models.

    The gain of a model is its performance rescaled to [0, 1] over the models of the task, the discount
    is 1 / log2(rank + 1). 0 where all performances are equal.
    """
    _check_k(k)
    predicted, measured = _check(scores, performance)
    span = np.ptp(measured)
    if span == 0:
        return 0.0
    gain = (measured - measured.min()) / span
    k = min(k, len(gain))
    discount = 1.0 / np.log2(np.arange(2, k + 2))
    ideal = np.sort(gain)[::-1][:k] @ discount
    return float(gain[_best_first(predicted)[:k]] @ discount / ideal)


def _defined(value: float) -> float:
    """A correlation of a constant is undefined; it tells nothing, so it counts as 0."""
    return 0.0 if np.isnan(value) else float(value)


Measure = Callable[[ArrayLike, ArrayLike], float]

MEASURES: dict[str, Measure] = {
    "tau_w": weighted_tau,
    "tau_w_true": weighted_tau_true,
    "spearman": spearman,
    "pearson": pearson,
    "regret@1": lambda scores, performance: regret_at_k(scores, performance, k=1),
    "regret@3": lambda scores, performance: regret_at_k(scores, performance, k=3),
    "regret@5": lambda scores, performance: regret_at_k(scores, performance, k=5),
    "rel@1": lambda scores, performance: relative_at_k(scores, performance, k=1),
    "recall@5": lambda scores, performance: recall_at_k(scores, performance, k=5),
    "ndcg@5": lambda scores, performance: ndcg_at_k(scores, performance, k=5),
}


def bootstrap_interval(
    values: Sequence[float] | Floats, *, level: float = 0.95, n_resamples: int = 10_000, random_state: int = 0
) -> tuple[float, float]:
    """Percentile bootstrap interval of a mean over tasks.

    Args:
        values: one value per task, shape (n_tasks,).
        level: coverage wanted, in (0, 1).
        n_resamples: number of bootstrap samples.
        random_state: seed.

    Returns:
        Lower and upper end, in the unit of `values`.

    Raises:
        InputError: `values` is empty.
    """
    sample = np.asarray(values, dtype=np.float64)
    if sample.size == 0:
        raise InputError("no values to take an interval of")
    generator = np.random.default_rng(random_state)
    means = generator.choice(sample, size=(n_resamples, sample.size)).mean(axis=1)
    tail = (1.0 - level) / 2.0
    low, high = np.quantile(means, [tail, 1.0 - tail])
    return float(low), float(high)
