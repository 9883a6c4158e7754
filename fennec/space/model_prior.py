"""The model side of the transfer space: what to expect of a checkpoint before, or beside, its results.

The static history of a model, its mean score over tasks, is a sum of effects: quality of its architecture (archi2vec),
size, ImageNet accuracy, words of its pre-training, family, network, and what is its own. Every effect is normal; how
much each matters is learned over all hubs, and once more, by two factors, from the hub at hand. A model with history
is pulled towards what its relatives say as far as its own results are few and noisy; one without stands where they
put it. In: `ModelFacts` and static history. Out: means and variances.

Source: Henderson 1975 (best linear unbiased prediction), here as the posterior of a Gaussian process with a sum of
linear covariances (Rasmussen & Williams 2006, section 2.7).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import minimize
from sklearn.utils.extmath import randomized_svd

from fennec.checkpoints.facts import ModelFacts

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Effects:
    """Variance of every effect on static history, in squared Gaussian scores.

    Attributes:
        slope: expected change per unit of architecture quality.
        quality: variance of that slope between hubs.
        size: of parameters, GMACs and input size together.
        imagenet: of published ImageNet accuracy.
        words: of words of the pre-training, four of them.
        family: of the family.
        backbone: of the network.
        level: of a whole hub.
        checkpoint: what is a checkpoint's own.
    """

    slope: float
    quality: float
    size: float
    imagenet: float
    words: float
    family: float
    backbone: float
    level: float
    checkpoint: float


# Learned over all hubs by `benchmark/architectures/cold_start.py`; reported figures use a nested choice.
DEFAULT_EFFECTS = Effects(0.7474, 0.2316, 0.0928, 0.0189, 0.4273, 0.1328, 0.0019, 0.2239, 0.0498)
START = Effects(0.3, 0.1, 0.1, 0.1, 0.1, 0.05, 0.05, 0.3, 0.1)
TRUST = 2.0  # standard deviation of the logarithms of variances around START


def parts(one: ModelFacts, two: ModelFacts) -> dict[str, Floats]:
    """Covariance of two sets of models by effect, each of unit variance, shape (n_one, n_two)."""
    vocabulary = sorted(frozenset().union(*one.words, *two.words))
    families, others = _numbered(one.families, two.families)
    networks, rest = _numbered(one.backbones, two.backbones)
    known = np.array(one.backbones) != ""
    return {
        "quality": np.outer(one.quality, two.quality),
        "size": one.size @ two.size.T / 3,
        "imagenet": np.outer(one.imagenet, two.imagenet),
        "words": indicators(one.words, vocabulary) @ indicators(two.words, vocabulary).T / 4,
        "family": (families[:, None] == others[None]).astype(np.float64),
        "backbone": ((networks[:, None] == rest[None]) & known[:, None]).astype(np.float64),
        "level": np.ones((len(one), len(two))),
    }


def _numbered(one: Sequence[str], two: Sequence[str]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Names as numbers, equal ones alike: a hundred times faster to compare."""
    _, numbers = np.unique([*one, *two], return_inverse=True)
    return numbers[: len(one)], numbers[len(one) :]


class ModelPrior:
    """Static history as a sum of effects.

    Args:
        effects: how much each matters.
    """

    def __init__(self, effects: Effects = DEFAULT_EFFECTS) -> None:
        self.effects = effects

    def fit(
        self,
        facts: ModelFacts,
        static: Floats,
        noise: Floats,
        *,
        factors: tuple[float, float] | None = None,
        shared: Floats | None = None,
    ) -> Self:
        """Learn from models with history.

        Args:
            facts: of n models.
            static: their mean scores over tasks, shape (n,).
            noise: variance of each, shape (n,).
            factors: of the shared effects and of the checkpoints' own; the most likely ones when None.
            shared: `shared_` of an earlier fit to these models, which saves time.
        """
        self.facts_ = facts
        self.shared_ = shared = self._covariance(facts, facts) if shared is None else shared
        error = static - self.effects.slope * facts.quality

        def cost(logs: Floats) -> float:
            scale, own = np.exp(logs)
            total = scale * shared + np.diag(own * self.effects.checkpoint + noise)
            factor = cho_factor(total, lower=True)
            size = np.log(np.diag(factor[0])).sum()
            return float(0.5 * error @ cho_solve(factor, error) + size + 0.5 * logs @ logs)

        if factors is None:
            corners = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
            options = {"xatol": 0.05, "fatol": 0.01, "initial_simplex": corners}
            found = minimize(cost, corners[0], method="Nelder-Mead", options=options)
            factors = (float(np.exp(found.x[0])), float(np.exp(found.x[1])))
        self.factors_ = factors
        self.scale_, self.own_ = factors[0], factors[1] * self.effects.checkpoint
        self.prior_ = self.scale_ * shared + self.own_ * np.eye(len(facts))
        self.factor_ = cho_factor(self.prior_ + np.diag(noise), lower=True)
        self.weights_ = cho_solve(self.factor_, error)
        return self

    def mean(self) -> Floats:
        """Expected static history of the fitted models given all of it, shape (n,)."""
        return np.asarray(self.effects.slope * self.facts_.quality + self.prior_ @ self.weights_)

    def posterior(self) -> tuple[Floats, Floats]:
        """Static history of the fitted models given all of it: mean and variance, shape (n,)."""
        gain = cho_solve(self.factor_, self.prior_)
        return self.mean(), np.diag(self.prior_) - np.einsum("ij,ij->j", self.prior_, gain)

    def predict(self, facts: ModelFacts) -> tuple[Floats, Floats]:
        """Static history of models without any: mean and variance, shape (n_models,).

        Sizes beyond those of the fitted models count as the nearest of theirs in the mean, not in the variance: that
        the largest of a hub did best does not say that a tenfold larger one does better still.
        """
        inside = facts.clipped(self.facts_)
        cross = self.scale_ * self._covariance(inside, self.facts_)
        effects = self.effects
        before = effects.quality * facts.quality**2 + effects.size / 3 * np.square(facts.size).sum(axis=1)
        before += effects.imagenet * facts.imagenet**2 + effects.words / 4 * np.array([len(w) for w in facts.words])
        before += effects.family + effects.level + effects.backbone * np.array([name != "" for name in facts.backbones])
        gain = cho_solve(self.factor_, cross.T)
        mean = effects.slope * inside.quality + cross @ self.weights_
        return mean, self.scale_ * before + self.own_ - np.einsum("ij,ji->i", cross, gain)

    def relatives(self, facts: ModelFacts, *, n_shared: int = 32) -> Floats:
        """What the doubt about models without history has in common, as loadings, shape (n_models, n_shared).

        Loadings times their transpose is the covariance of what is not known of static history, as far as so many
        directions say it: near-copies are wrong together. Sizes beyond those of the fitted models count as in the mean.
        """
        inside = facts.clipped(self.facts_)
        cross = self.scale_ * self._covariance(inside, self.facts_)
        left = self.scale_ * self._covariance(inside, inside) - cross @ cho_solve(self.factor_, cross.T)
        axes, values, _ = randomized_svd(left, min(n_shared, len(facts)), random_state=0)
        return np.asarray(axes * np.sqrt(values))

    def _covariance(self, one: ModelFacts, two: ModelFacts) -> Floats:
        variances = asdict(self.effects)
        return np.asarray(sum(variances[name] * part for name, part in parts(one, two).items()))


def learn_effects(hubs: Sequence[tuple[ModelFacts, Floats, Floats]]) -> Effects:
    """The effects under which the static histories of several hubs are most likely.

    Args:
        hubs: facts, static history and its noise, as for `ModelPrior.fit`.
    """
    prepared = [
        (np.stack([*parts(facts, facts).values(), np.eye(len(facts))]), facts.quality, static, noise)
        for facts, static, noise in hubs
    ]
    names = list(asdict(START))
    start = np.array([START.slope, *np.log([getattr(START, name) for name in names[1:]])])

    def cost(point: Floats) -> tuple[float, Floats]:
        slope, variances = point[0], np.exp(point[1:])
        away = (point - start) / TRUST
        value, gradient = 0.5 * float(away @ away), away / TRUST
        for blocks, quality, static, noise in prepared:
            total = np.tensordot(variances, blocks, axes=1) + np.diag(noise)
            inverse = np.linalg.inv(total)
            error = static - slope * quality
            weighted = inverse @ error
            value += 0.5 * float(error @ weighted) + 0.5 * float(np.linalg.slogdet(total)[1])
            gradient[0] -= float(quality @ weighted)
            pull = inverse - np.outer(weighted, weighted)
            gradient[1:] += 0.5 * variances * np.einsum("kij,ij->k", blocks, pull)
        return value, gradient

    found = minimize(cost, start, jac=True, method="L-BFGS-B", options={"maxiter": 60})
    return Effects(float(found.x[0]), *np.exp(found.x[1:]).tolist())


def indicators(words: Sequence[frozenset[str]], vocabulary: Sequence[str]) -> Floats:
    """1 where a model has a word, else 0, shape (n_models, n_words); words outside the vocabulary do not count."""
    column = {word: index for index, word in enumerate(vocabulary)}
    rows = np.zeros((len(words), len(vocabulary)))
    for row, own in enumerate(words):
        rows[row, [column[word] for word in own if word in column]] = 1.0
    return rows
