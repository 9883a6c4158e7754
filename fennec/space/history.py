"""Static history: how good a model is on the whole, from its own results and from those of its relatives.

In: a transfer matrix as Gaussian scores, and the catalog. Out: one number per model, for models without any result too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm, rankdata

from fennec.checkpoints.catalog import Catalog
from fennec.checkpoints.facts import ModelFacts, facts_of
from fennec.errors import InputError, UnknownModelError
from fennec.evidence.hubs import imagenet_accuracy
from fennec.evidence.matrix import TransferMatrix
from fennec.measures import weighted_tau

from .model_prior import Effects, ModelPrior

Floats = NDArray[np.float64]
TRUSTS = (0.3, 1.0)  # factors on the noise of a model's own history that are tried


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


def static_history(scores: Floats) -> tuple[Floats, Floats]:
    """Mean score of every model and the variance of that mean.

    Args:
        scores: Gaussian scores, shape (n_models, n_tasks), NaN for unknown.

    Returns:
        Means (n_models,), NaN where nothing is known, and variances (n_models,): what is left of single scores, pooled
        over models, divided by their number.
    """
    known = np.isfinite(scores).sum(axis=1)
    static = np.where(known, np.nansum(scores, axis=1) / np.maximum(known, 1), np.nan)
    left = np.nansum((scores - static[:, None]) ** 2) / max(int(known.sum() - (known > 0).sum()), 1)
    return static, left / np.maximum(known, 1)


class StaticHistory:
    """Mean score of every model over tasks, moved towards what is expected of its relatives where that helps.

    How far it is moved is learned from the matrix: as far as it surely (by two standard errors) helps to rank known
    tasks that are left out, which may be not at all. Models without history stand where their relatives put them.

    Args:
        effects: how much architecture, size and pre-training matter; None takes every model for itself.
    """

    def __init__(self, effects: Effects | None) -> None:
        self.effects = effects
        self.prior_: ModelPrior | None = None
        self.trust_ = 0.0

    def fit(self, matrix: TransferMatrix, scores: Floats, catalog: Catalog) -> Self:
        """Learn from a transfer matrix.

        Args:
            matrix: of n models.
            scores: its Gaussian scores, shape (n, n_tasks).
            catalog: facts of the models. Where it has none of them, every model is taken for itself.
        """
        self.matrix_ = matrix
        if self.effects is not None and any(model in catalog for model in matrix.models):
            self.facts_ = self._facts(matrix.models, catalog)
            self.prior_ = ModelPrior(self.effects).fit(self.facts_, *static_history(scores))
            self.trust_ = self._choose_trust(scores)
        return self

    def of(self, scores: Floats) -> Floats:
        """Static history of the models of the matrix from some of its columns, shape (n_models,)."""
        return self._moved(scores, self.trust_)

    def expect(self, models: Sequence[str], catalog: Catalog) -> tuple[Floats, Floats, Floats]:
        """Static history of models without any.

        Returns:
            Mean and variance, shape (n_models,), and loadings of what the models share of that variance, shape
            (n_models, n_shared).

        Raises:
            UnknownModelError: a model is not in the catalog.
            InputError: the catalog knows no model of the matrix.
        """
        for model in models:
            if model not in catalog:
                raise UnknownModelError(f"cannot place '{model}': it is not in the catalog; see 'fennec add-model'")
        if not models:
            return np.zeros(0), np.zeros(0), np.zeros((0, 0))
        if self.prior_ is None:
            raise InputError(f"no model of '{self.matrix_.name}' is in the catalog: nothing says where others belong")
        facts = self._facts(models, catalog)
        return *self.prior_.predict(facts), self.prior_.relatives(facts)

    def _facts(self, models: Sequence[str], catalog: Catalog) -> ModelFacts:
        # a matrix of ImageNet results must not explain itself
        published = imagenet_accuracy() if self.matrix_.protocol != "eval" else None
        return facts_of(models, catalog, imagenet=published)

    def _choose_trust(self, scores: Floats) -> float:
        sets = np.array(self.matrix_.image_sets)
        gains = []
        for column, image_set in enumerate(sets):
            rest, truth = scores[:, sets != image_set], scores[:, column]
            if rest.shape[1] < 2:
                continue
            plain, *moved = (weighted_tau(self._moved(rest, trust), truth) for trust in (0.0, *TRUSTS))
            gains.append(np.array(moved) - plain)
        if len(gains) < 3:
            return 0.0
        sure = np.mean(gains, axis=0) - 2 * np.std(gains, axis=0, ddof=1) / np.sqrt(len(gains))
        return TRUSTS[int(sure.argmax())] if sure.max() > 0 else 0.0

    def _moved(self, scores: Floats, trust: float) -> Floats:
        static, noise = static_history(scores)
        known, unknown = np.flatnonzero(np.isfinite(static)), np.flatnonzero(np.isnan(static))
        if self.prior_ is None:
            return np.nan_to_num(static)
        if trust or len(unknown):
            prior = ModelPrior(self.prior_.effects).fit(
                self.facts_.select(known),
                static[known],
                (trust or 1.0) * noise[known],
                factors=self.prior_.factors_,
                shared=self.prior_.shared_[np.ix_(known, known)],
            )
            if len(unknown):
                static[unknown] = prior.predict(self.facts_.select(unknown))[0]
            if trust:
                static[known] = prior.mean()
        return static
