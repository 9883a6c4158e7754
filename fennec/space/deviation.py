"""How far results lie from what was expected of them, learned by leaving out every study, or every image set.

In: what was expected of left-out results and what was true. Out: `Deviation`, which gives predictions their intervals,
draws results of all models together, and weighs results of the new task against the expectation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import block_diag
from scipy.special import logit
from scipy.stats import norm

from fennec.evidence.scores import without

from .factorize import condition
from .process import GeneralQuality

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]
LEVEL = 0.8  # coverage of every interval
QUANTILES = np.linspace(-2.0, 2.0, 9)  # at which the spread of models on a new task is considered
MIN_NOISE = 0.1  # variance of a single result: whole studies repeated do not agree better


@dataclass(frozen=True, eq=False)
class LeftOut:
    """Results of one study on one image set, expected without the study or without the images.

    Attributes:
        image_set: the images.
        expected: expected Gaussian scores, shape (n_models,).
        variance: of the scores around that, noise left out, shape (n_models,).
        scores: true ones among these models.
        odds: logits of the true results.
    """

    image_set: str
    expected: Floats
    variance: Floats
    scores: Floats
    odds: Floats

    @property
    def spread(self) -> float:
        """Change of the logit of a result by one unit of score."""
        return max(float(np.std(self.odds)), 1e-3)

    @property
    def level(self) -> float:
        """Logit of the result of a model of score 0."""
        return float(np.mean(self.odds) - self.spread * np.mean(self.expected))


@dataclass(frozen=True, eq=False)
class Expected:
    """A new task before its results.

    Attributes:
        vectors: model vectors, shape (n_models, n_components).
        covariance: of the task vector around its expectation, shape (n_components, n_components).
        task_vector: expected one, shape (n_components,).
        level: expected logit of the result of a model of score 0.
        observed: logits of results that are known already, NaN for unknown, shape (n_models,).
        doubt: variance of scores that is a model's own, shape (n_models,).
        n_affinities: components that say what known tasks favour; they follow the first, which is general quality.
    """

    vectors: Floats
    covariance: Floats
    task_vector: Floats
    level: float
    observed: Floats
    doubt: Floats
    n_affinities: int = 0

    def take(self, rows: NDArray[np.intp]) -> Expected:
        """The same of some models."""
        return replace(self, vectors=self.vectors[rows], observed=self.observed[rows], doubt=self.doubt[rows])


@dataclass(frozen=True, eq=False)
class Deviation:
    """Spread of results around their expectation, on the logit scale.

    The logit of a result is level + spread * (model vector . task vector + noise). The level is normal, the task vector
    is normal around what the embedding says, and the spread is log-normal: some tasks hardly tell models apart.

    Attributes:
        level_variance: of the level around its expectation.
        noise: variance of a single Gaussian score around what the vectors say.
        spreads: standard deviations of models on a task at `QUANTILES` of the known tasks, shape (9,).
        width: factor on the standard deviation with which `LEVEL` of the left-out results fall inside.
    """

    level_variance: float
    noise: float
    spreads: Floats
    width: float

    @classmethod
    def fit(cls, columns: Sequence[LeftOut], levels: Sequence[float]) -> Deviation:
        """Learn from left-out results; with none of them, wide defaults.

        Args:
            columns: what was left out.
            levels: expected level of each.
        """
        if not columns:
            return cls(1.0, 1.0, np.exp(0.5 * QUANTILES), float(norm.ppf((1 + LEVEL) / 2)))
        logs = np.log([column.spread for column in columns])
        spreads = np.exp(logs.mean() + logs.std() * QUANTILES)
        errors = np.concatenate([_centred(column.scores - column.expected) for column in columns])
        variances = np.concatenate([column.variance for column in columns])
        noise = max(float(np.mean(errors**2) - np.mean(variances)), MIN_NOISE)
        off = [column.level - level for column, level in zip(columns, levels, strict=True)]
        unscaled = cls(float(np.mean(np.square(off))), noise, spreads, 1.0)
        ratios = []
        for column, level in zip(columns, levels, strict=True):
            mean, deviation = unscaled._results(column.expected, column.variance, level)
            ratios.append(np.abs(column.odds - mean) / deviation)
        # Every column counts once, and a new one as one more: results of one column are off together.
        weights = np.concatenate([np.full(len(ratio), 1 / len(ratio)) for ratio in ratios])
        share = min(LEVEL * (1 + 1 / len(columns)), 1.0)
        width = _weighted_quantile(np.concatenate(ratios), weights, share)
        return cls(unscaled.level_variance, noise, spreads, width)

    def _results(self, scores: Floats, variance: Floats, level: float) -> tuple[Floats, Floats]:
        """Mean and standard deviation of the logits of results that nothing is known of yet."""
        weights = weights_of(np.zeros(len(self.spreads)))
        mean, square = weights @ self.spreads, weights @ self.spreads**2
        total = self.level_variance + square * (variance + self.noise) + (square - mean**2) * scores**2
        return level + mean * scores, np.sqrt(total)

    def update(self, task: Expected) -> tuple[Floats, Floats, Floats]:
        """Fold in results of a new task.

        Returns:
            Task vector given the results, mean and standard deviation of every model's logit (n_models,).
        """
        vectors, doubt = task.vectors, task.doubt
        if not np.isfinite(task.observed).any():
            variance = np.einsum("mk,mk->m", vectors @ task.covariance, vectors) + doubt
            return task.task_vector, *self._results(vectors @ task.task_vector, variance, task.level)
        weights, given = self._given(task)
        means, variances = [], []
        for spread, posterior, left in given:
            design = np.column_stack([np.ones(len(vectors)), spread * vectors])
            means.append(design @ posterior)
            own = np.einsum("mk,mk->m", design @ left, design)
            variances.append(own + spread**2 * (self.noise + doubt))
        mean = weights @ means
        variance = weights @ variances + weights @ np.square(np.array(means) - mean)
        return weights @ [posterior[1:] for _, posterior, _ in given], mean, np.sqrt(variance)

    def draw(self, task: Expected, *, n_draws: int, random_state: int) -> NDArray[np.float32]:
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
        vectors = np.vstack([np.ones(len(task.vectors)), task.vectors.T]).astype(np.float32)  # the level first
        own = np.sqrt(self.noise + task.doubt).astype(np.float32)
        noise = _own_noise(n_draws, len(task.doubt), random_state)
        draws = np.empty_like(noise)
        first, root, of = 0, np.empty(0), np.empty(0)
        for count, (spread, posterior, left) in zip(generator.multinomial(n_draws, weights), given, strict=True):
            some = slice(first, first := first + count)
            if left is not of:
                values, axes = np.linalg.eigh(left)
                root, of = np.sqrt(values.clip(0)) * axes, left
            drawn = (posterior + generator.standard_normal((count, len(left))) @ root.T).astype(np.float32)
            drawn[:, 1:] *= spread
            np.multiply(noise[some], np.float32(spread) * own, out=draws[some])
            draws[some] += drawn @ vectors
        known = np.isfinite(task.observed)
        draws[:, known] = task.observed[known]
        return draws

    def _given(self, task: Expected) -> tuple[Floats, list[tuple[float, Floats, Floats]]]:
        """Weights of the spreads, and with each of them mean and covariance of (level, task vector), given results."""
        prior = np.concatenate([[task.level], task.task_vector])
        uncertainty = block_diag(self.level_variance, task.covariance)
        if not np.isfinite(task.observed).any():
            return weights_of(np.zeros(len(self.spreads))), [
                (float(spread), prior, uncertainty) for spread in self.spreads
            ]
        given, evidence = [], []
        for spread in self.spreads:
            design = np.column_stack([np.ones(len(task.vectors)), spread * task.vectors])
            noise = spread**2 * (self.noise + task.doubt)
            posterior, left, likelihood = condition(prior, uncertainty, design, task.observed, noise=noise)
            given.append((float(spread), posterior, left))
            evidence.append(likelihood)
        return weights_of(np.array(evidence)), given


@lru_cache(maxsize=2)
def _own_noise(n_draws: int, n_models: int, random_state: int) -> NDArray[np.float32]:
    """What is drawn for every model alone, the same for all tasks; shape (n_draws, n_models)."""
    noise = np.random.default_rng([random_state, n_models]).standard_normal((n_draws, n_models), dtype=np.float32)
    noise.flags.writeable = False
    return noise


def left_out_columns(general: GeneralQuality, results: pd.DataFrame, protocol: str, study: str) -> Iterator[LeftOut]:
    """Results by a protocol, each column expected by general quality alone.

    Args:
        general: fitted to the results.
        results: as of `load_scores`.
        protocol: whose results are left out.
        study: the study that is continued. Where there is no other, image sets are left out of it.
    """
    own = results[results["protocol"].eq(protocol)]
    if results["study"].nunique() > 1:
        for name in own["study"].unique():
            rows = general.left_out([name])
            rows = rows[rows["protocol"].eq(protocol)]
            expected = dict(zip(rows["weights"], rows["expected"], strict=True))
            yield from _columns(general, own[own["study"].eq(name)], expected, protocol, "")
        return
    for image_set in own["image_set"].unique():
        rest = without(results, image_sets=[image_set])
        if rest.empty:
            continue
        again = GeneralQuality(general.effects).fit(rest, general.catalog_)
        table = own[own["image_set"].eq(image_set)]
        models = table["weights"].tolist()
        expected = dict(zip(models, again.expect(models, protocol, study), strict=True))
        yield from _columns(general, table, expected, protocol, study)


def _columns(
    general: GeneralQuality, table: pd.DataFrame, expected: Mapping[str, float], protocol: str, study: str
) -> Iterator[LeftOut]:
    models = table["weights"].unique().tolist()
    variance = dict(zip(models, np.diag(general.covariance(models, protocol, study)), strict=True))
    for image_set, column in table.groupby("image_set"):
        if len(column) > 1:
            names = column["weights"].tolist()
            yield LeftOut(
                str(image_set),
                np.array([expected[name] for name in names]),
                np.array([variance[name] for name in names]),
                column["score"].to_numpy(),
                odds(column["value"]),
            )


def odds(performance: ArrayLike) -> Floats:
    """Logits of results, those of 0 and 1 kept finite."""
    return np.asarray(logit(np.clip(performance, 0.005, 0.995)))


def _centred(values: Floats) -> Floats:
    return np.asarray(values - values.mean())


def weights_of(evidence: Floats) -> Floats:
    """Posterior weights of the spreads, standard normal at `QUANTILES` before any evidence."""
    logs = evidence - 0.5 * QUANTILES**2
    weights = np.exp(logs - logs.max())
    return np.asarray(weights / weights.sum())


def _weighted_quantile(values: Floats, weights: Floats, share: float) -> float:
    order = np.argsort(values)
    total = np.cumsum(weights[order])
    return float(values[order][min(np.searchsorted(total, share * total[-1]), len(order) - 1)])
