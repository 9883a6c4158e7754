"""How far a new task lies from what its embedding says, learned by leaving every known task out once.

In: what was expected of left-out tasks and what was true. Out: `Deviation`, which gives every prediction its interval,
draws results of all models together, and weighs results of the new task against the expectation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import block_diag
from scipy.optimize import minimize
from scipy.stats import norm

from .factorize import condition

Floats = NDArray[np.float64]
LEVEL = 0.8  # coverage of every interval
QUANTILES = np.linspace(-2.0, 2.0, 9)  # at which the spread of models on a new task is considered


@dataclass(frozen=True, eq=False)
class LeftOut:
    """One known task, expected without itself.

    Attributes:
        vectors: model vectors made without the task, shape (n_models, n_components).
        covariance: of the task vectors of the other tasks, shape (n_components, n_components).
        expected: expected Gaussian scores, shape (n_models,).
        scores: true ones, NaN for unknown.
        level: expected mean of the logits of the results.
        odds: true logits, NaN for unknown, shape (n_models,).
    """

    vectors: Floats
    covariance: Floats
    expected: Floats
    scores: Floats
    level: float
    odds: Floats


@dataclass(frozen=True, eq=False)
class Expected:
    """A new task before its results.

    Attributes:
        vectors: model vectors, shape (n_models, n_components).
        covariance: of the known task vectors, shape (n_components, n_components).
        task_vector: expected one, shape (n_components,).
        level: expected mean of the logits of the results.
        observed: logits of results that are known already, NaN for unknown, shape (n_models,).
        doubt: variance of scores beyond that of models with history, shape (n_models,).
        relatives: loadings of the part of `doubt` that models share, shape (n_models, n_shared).
    """

    vectors: Floats
    covariance: Floats
    task_vector: Floats
    level: float
    observed: Floats
    doubt: Floats
    relatives: Floats


@dataclass(frozen=True, eq=False)
class Deviation:
    """Spread of new tasks around their expectation, on the logit scale of results.

    The logit of a result is level + spread * (model vector . task vector + noise). The level is normal, the
    task vector is normal around what the embedding says, with the covariance of known task vectors up to a
    factor, and the spread is log-normal: some tasks hardly tell models apart.

    Attributes:
        level_variance: of the level around its expectation.
        task_variance: of the task vector around its expectation, as a multiple of that of known ones.
        noise: variance of a single Gaussian score around what the vectors say.
        spreads: standard deviations of models on a task at `QUANTILES` of the known tasks, shape (9,).
        width: factor on the standard deviation with which `LEVEL` of the results of a new task fall inside, if it is
            a task like those left out.
    """

    level_variance: float
    task_variance: float
    noise: float
    spreads: Floats
    width: float

    @classmethod
    def fit(cls, left_out: Sequence[LeftOut], odds: Floats) -> Deviation:
        """Learn from left-out tasks; with none of them, wide defaults.

        Args:
            left_out: every known task, expected without itself.
            odds: logits of all known results, shape (n_models, n_tasks), NaN for unknown.
        """
        logs = np.log(np.maximum(np.nanstd(odds, axis=0), 1e-3))
        spreads = np.exp(logs.mean() + logs.std() * QUANTILES)
        if not left_out:
            return cls(1.0, 1.0, 1.0, spreads, float(norm.ppf((1 + LEVEL) / 2)))
        errors = [np.nanmean(task.odds) - task.level for task in left_out]
        task_variance, noise = _most_likely(
            [(task.vectors @ np.linalg.cholesky(task.covariance), task.scores - task.expected) for task in left_out]
        )
        unscaled = cls(float(np.mean(np.square(errors))), task_variance, noise, spreads, 1.0)
        ratios = []
        for task in left_out:
            known = np.isfinite(task.odds)
            mean, deviation = unscaled._results(task.vectors, task.covariance, task.expected, task.level)
            ratios.append((np.abs(task.odds - mean) / deviation)[known])
        # Results of one task are off together, so few tasks say little: a new one counts as one more.
        share = min(LEVEL * (1 + 1 / len(left_out)), 1.0)
        width = float(np.quantile(np.concatenate(ratios), share))
        return cls(unscaled.level_variance, task_variance, noise, spreads, width)

    def _results(
        self, vectors: Floats, covariance: Floats, scores: Floats, level: float, doubt: Floats | float = 0.0
    ) -> tuple[Floats, Floats]:
        """Mean and standard deviation of the logits of results that nothing is known of yet."""
        weights = _weights(np.zeros(len(self.spreads)))
        own = self.task_variance * np.einsum("mk,kl,ml->m", vectors, covariance, vectors) + self.noise + doubt
        mean, square = weights @ self.spreads, weights @ self.spreads**2
        variance = self.level_variance + square * own + (square - mean**2) * scores**2
        return level + mean * scores, np.sqrt(variance)

    def update(self, task: Expected) -> tuple[Floats, Floats, Floats]:
        """Fold in results of a new task.

        Returns:
            Task vector given the results, mean and standard deviation of every model's logit (n_models,).
        """
        vectors, doubt = task.vectors, task.doubt
        if not np.isfinite(task.observed).any():
            scores = vectors @ task.task_vector
            return task.task_vector, *self._results(vectors, task.covariance, scores, task.level, doubt)
        weights, given = self._given(task)
        means, variances = [], []
        for spread, posterior, left in given:
            design = np.column_stack([np.ones(len(vectors)), spread * vectors])
            means.append(design @ posterior)
            variances.append(np.einsum("mk,kl,ml->m", design, left, design) + spread**2 * (self.noise + doubt))
        mean = weights @ means
        variance = weights @ variances + weights @ np.square(np.array(means) - mean)
        return weights @ [posterior[1:] for _, posterior, _ in given], mean, np.sqrt(variance)

    def draw(self, task: Expected, *, n_draws: int, random_state: int) -> Floats:
        """Joint draws of the logits of all results on a new task: what models share is drawn once for all.

        Args:
            task: what is expected of it.
            n_draws: how many.
            random_state: seed.

        Returns:
            Shape (n_draws, n_models); a known result is the same in every draw.
        """
        generator = np.random.default_rng(random_state)
        weights, given = self._given(task)
        own = np.sqrt(self.noise + np.maximum(task.doubt - np.square(task.relatives).sum(axis=1), 0.0))
        draws = []
        for count, (spread, posterior, left) in zip(generator.multinomial(n_draws, weights), given, strict=True):
            drawn = generator.multivariate_normal(posterior, left, count)
            relatives = generator.standard_normal((count, task.relatives.shape[1])) @ task.relatives.T
            scores = drawn[:, 1:] @ task.vectors.T + relatives + own * generator.standard_normal((count, len(own)))
            draws.append(drawn[:, :1] + spread * scores)
        return np.where(np.isfinite(task.observed), task.observed, np.concatenate(draws))

    def _given(self, task: Expected) -> tuple[Floats, list[tuple[float, Floats, Floats]]]:
        """Weights of the spreads, and with each of them mean and covariance of (level, task vector), given results."""
        prior = np.concatenate([[task.level], task.task_vector])
        uncertainty = block_diag(self.level_variance, self.task_variance * task.covariance)
        given, evidence = [], []
        for spread in self.spreads:
            design = np.column_stack([np.ones(len(task.vectors)), spread * task.vectors])
            noise = spread**2 * (self.noise + task.doubt)
            posterior, left, likelihood = condition(prior, uncertainty, design, task.observed, noise=noise)
            given.append((float(spread), posterior, left))
            evidence.append(likelihood)
        return _weights(np.array(evidence)), given


def _weights(evidence: Floats) -> Floats:
    """Posterior weights of the spreads, standard normal at `QUANTILES` before any evidence."""
    logs = evidence - 0.5 * QUANTILES**2
    weights = np.exp(logs - logs.max())
    return np.asarray(weights / weights.sum())


def _most_likely(errors: Sequence[tuple[Floats, Floats]]) -> tuple[float, float]:
    """Variance of the drift and of the noise under which errors = vectors @ drift + noise is most likely.

    Args:
        errors: vectors (n_models, n_components) and errors (n_models,), NaN for unknown, per task.
    """
    parts = []
    for vectors, error in errors:
        known = np.isfinite(error)
        values, axes = np.linalg.eigh(vectors[known].T @ vectors[known])
        drift = np.square(axes.T @ (vectors[known].T @ error[known]))
        parts.append((known.sum() - len(values), np.maximum(values, 0.0), drift, float(np.square(error[known]).sum())))

    def cost(logs: Floats) -> float:
        task, noise = np.exp(logs)
        total = 0.0
        for extra, values, drift, square in parts:
            inside = noise + task * values
            total += (square - task * (drift / inside).sum()) / noise + np.log(inside).sum() + extra * np.log(noise)
        return float(total)

    found = minimize(cost, np.log([0.1, 0.3]), method="L-BFGS-B", bounds=[(-12.0, 8.0), (-6.0, 3.0)])
    task, noise = np.exp(found.x)
    return float(task), float(noise)
