"""What is believed of every candidate's result on a task, given the results of a few trials.

The logit of a result is level + spread * (score + noise), as in `fennec.space.deviation`. Beyond the model vectors,
candidates share what a task favours in their parents, networks, families, pre-training and facts (`Effects` of
affinity), which the space leaves in its noise: so a trial moves relatives on tasks like no known one as well. In:
`Expected`, `Deviation`, `Facts`, results. Out: expected improvement, joint draws.

Source: Rasmussen & Williams 2006, section 2.2; draws by Matheron's rule, Wilson et al., ICML 2020, equation 9.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky, solve_triangular
from scipy.special import expit, logit, ndtr, owens_t

from fennec.checkpoints.facts import Facts
from fennec.space.alike import Effects
from fennec.space.deviation import MIN_NOISE, Deviation, Expected, odds, weights_of

Floats = NDArray[np.float64]
RELATIVES = ("parent", "network", "family", "pretraining")  # what is a model's own stays in its noise
N_DRAWS = 1000
NODES, WEIGHTS = np.polynomial.legendre.leggauss(24)  # of an integral over results
LITTLE = 1e-3  # posterior weight of a spread below which it does not count
SKEW = -0.95  # of own noise, `delta` of the skew-normal distribution: 0 is none, -1 the most
SPREAD_OF_SKEWED = np.sqrt(1 - 2 * SKEW**2 / np.pi)  # its standard deviation at scale 1
JITTER = 1e-9  # variance that keeps two models of equal factors apart


@dataclass(frozen=True)
class Scatter:
    """How far results on a new task lie from what is expected of them.

    Attributes:
        affinity: factor on the variance of task vectors along what known tasks favour. The vectors of known tasks are
            expectations, so a new task differs from them by more than they do among each other.
        relatives: factor on what relatives have in common beyond the vectors.
        noise: variance of a single result, in squared Gaussian scores, at least. `Deviation.noise` has the doubt that
            all models share taken out, so it is often next to nothing.
    """

    affinity: float = 2.0
    relatives: float = 1.0
    noise: float = 0.2


SCATTER = Scatter()  # chosen by simulation: benchmark/space/search_choice.py


@dataclass(frozen=True, eq=False)
class Prior:
    """What is believed before any trial: scores are mean + factors @ z + own noise, z standard normal.

    Attributes:
        mean: expected Gaussian scores, shape (n_models,).
        factors: what models share, shape (n_models, n_factors).
        own: variance that is a model's own, shape (n_models,).
        level: expected logit of the result of a model of score 0.
        level_variance: of the level around that.
        spreads: changes of the logit by one unit of score that are considered, standard normal weights at `QUANTILES`.
    """

    mean: Floats
    factors: Floats
    own: Floats
    level: float
    level_variance: float
    spreads: Floats

    @classmethod
    def of(
        cls, task: Expected, deviation: Deviation, facts: Facts, affinity: Effects, scatter: Scatter = SCATTER
    ) -> Self:
        """From what a space says of a task.

        Args:
            task: before its results, shape (n_models, ...).
            deviation: of the space.
            facts: of the same models.
            affinity: how much what they have in common matters on one task.
            scatter: of results.
        """
        root = np.linalg.cholesky(task.covariance + JITTER * np.eye(len(task.covariance)))
        root[:, 1 : 1 + task.n_affinities] *= np.sqrt(scatter.affinity)
        alike = np.sqrt(scatter.relatives) * relatives(facts, affinity)
        noise = np.maximum(max(deviation.noise, scatter.noise) - np.square(alike).sum(axis=1), MIN_NOISE)
        return cls(
            task.vectors @ task.task_vector,
            np.column_stack([task.vectors @ root, alike]),
            task.doubt + noise,
            task.level,
            deviation.level_variance,
            deviation.spreads,
        )


def relatives(facts: Facts, effects: Effects) -> Floats:
    """Factors of what models have in common, so that their product is the covariance, shape (n_models, n_factors)."""
    parts = [np.sqrt(effects.facts) * facts.numbers]
    for name in RELATIVES:
        if variance := getattr(effects, name):
            names = np.array(facts.shared[name], dtype=str)
            _, group, size = np.unique(names, return_inverse=True, return_counts=True)
            parts.append(np.sqrt(variance) * (group[:, None] == np.flatnonzero(size > 1)))  # alone: own noise
    return np.column_stack(parts)


class Belief:
    """Results of all candidates, given those of some.

    Args:
        prior: before any trial.
        results: by row of the prior, fractions in [0, 1].

    Attributes:
        best: the best result, 0 where there is none.
    """

    def __init__(self, prior: Prior, results: Mapping[int, float]) -> None:
        self.prior = prior
        self.results = dict(results)
        self.best = max(self.results.values(), default=0.0)
        self._tried = np.array(list(self.results), dtype=np.intp)
        self._observed = odds(np.array(list(self.results.values()), dtype=np.float64))
        self._condition()

    def _condition(self) -> None:
        """Mean and deviation of every logit under every spread, and how likely the spreads are."""
        prior, tried, n_tried = self.prior, self._tried, len(self._tried)
        shared = prior.factors @ prior.factors[tried].T  # (n_models, n_tried)
        shared[tried, np.arange(n_tried)] += prior.own[tried]
        total = np.square(prior.factors).sum(axis=1) + prior.own
        means, variances, own, evidence, self._gains = [], [], [], [], []
        for spread in prior.spreads:
            mean = prior.level + spread * prior.mean
            cross = prior.level_variance + spread**2 * shared
            root = cholesky(cross[tried] + JITTER * np.eye(n_tried), lower=True) if n_tried else np.zeros((0, 0))
            gain = solve_triangular(root, cross.T, lower=True) if n_tried else cross.T  # (n_tried, n_models)
            error = self._observed - mean[tried]
            error = solve_triangular(root, error, lower=True) if n_tried else error
            means.append(mean + gain.T @ error)
            variances.append(prior.level_variance + spread**2 * total - np.square(gain).sum(axis=0))
            own.append(spread**2 * prior.own)
            evidence.append(-0.5 * error @ error - np.log(np.diag(root)).sum())
            self._gains.append((root, gain))
        self.weights = weights_of(np.array(evidence))  # (n_spreads,)
        self.means = np.array(means)  # (n_spreads, n_models)
        self.deviations = np.sqrt(np.maximum(variances, JITTER))
        self.own = np.array(own)  # variance of the skewed part

    def gains(self, above: float | None = None) -> Floats:
        """Expected improvement of every model: by how much its result is above a result, on average.

        Args:
            above: a fraction; the best result when None.

        Returns:
            Fractions, shape (n_models,). The integral of the chance to be above every higher result.
        """
        floor = self.best if above is None else above
        heights = logit(np.clip(floor + (1 - floor) * (NODES + 1) / 2, JITTER, 1 - JITTER))  # (n_nodes,)
        found = np.zeros(len(self.prior.mean))
        for weight, mean, deviation, own in zip(self.weights, self.means, self.deviations, self.own, strict=True):
            if weight > LITTLE:
                found += weight * (_above(heights, mean[:, None], deviation[:, None], own[:, None]) @ WEIGHTS)
        found *= (1 - floor) / 2
        found[self._tried] = np.maximum(np.array(list(self.results.values())) - floor, 0.0)
        return found

    def expected(self) -> Floats:
        """Expected result of every model, a fraction, shape (n_models,)."""
        return self.gains(0.0)

    def moments(self) -> tuple[Floats, Floats]:
        """Mean and standard deviation of the logit of every result, shapes (n_models,)."""
        mean = self.weights @ self.means
        square = self.weights @ (np.square(self.deviations) + np.square(self.means - mean))
        return np.asarray(mean), np.sqrt(square)

    def draws(self, rows: NDArray[np.intp], *, n_draws: int = N_DRAWS, random_state: int = 0) -> Floats:
        """Joint draws of results: models alike are wrong together.

        Args:
            rows: of the models.
            n_draws: how many; the same ones for the same `random_state` and rows.
            random_state: seed.

        Returns:
            Fractions, shape (n_draws, n_rows); a result of a trial is the same in every draw.
        """
        prior, generator = self.prior, np.random.default_rng(random_state)
        drawn = np.concatenate([rows, self._tried])
        scores = generator.standard_normal((n_draws, prior.factors.shape[1])) @ prior.factors[drawn].T
        half, whole = np.abs(generator.standard_normal(scores.shape)), generator.standard_normal(scores.shape)
        skewed = (SKEW * (half - np.sqrt(2 / np.pi)) + np.sqrt(1 - SKEW**2) * whole) / SPREAD_OF_SKEWED
        scores += np.sqrt(prior.own[drawn]) * skewed
        scores += prior.mean[drawn]
        level = prior.level + np.sqrt(prior.level_variance) * generator.standard_normal((n_draws, 1))
        chosen = generator.choice(len(self.weights), size=n_draws, p=self.weights)
        for index, spread in enumerate(prior.spreads):
            ours = chosen == index
            logits = level[ours] + spread * scores[ours]
            if len(self._tried) and ours.any():
                root, gain = self._gains[index]
                off = solve_triangular(root, (self._observed - logits[:, len(rows) :]).T, lower=True)
                logits += off.T @ gain[:, drawn]
            scores[ours] = logits
        known = np.array([self.results.get(int(row), np.nan) for row in rows])
        return np.where(np.isnan(known), expit(scores[:, : len(rows)]), known)


def _above(heights: Floats, mean: Floats, deviation: Floats, own: Floats) -> Floats:
    """Chance of logits above heights: a normal part, and own noise with a long lower tail.

    The sum of both is skew-normal again: Azzalini 1985, properties of the family.
    """
    own = np.minimum(own, deviation**2)
    scale = own / SPREAD_OF_SKEWED**2
    whole = np.sqrt(deviation**2 - own + scale)
    delta = SKEW * np.sqrt(scale) / whole
    place = (heights - mean) / whole + delta * np.sqrt(2 / np.pi)
    return np.asarray(ndtr(-place) + 2 * owens_t(place, delta / np.sqrt(1 - delta**2)))
