"""Where models and tasks lie: static history, moved by what alike tasks say.

Offline, `fit` turns a transfer matrix into model vectors and everything needed to place a new task.
Online, a task embedding (and any results already known) becomes a task vector; a model's score is one dot
product. In: `TransferMatrix`, task embeddings. Out: `Prediction`, joint draws.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from fennec.checkpoints.catalog import Catalog, load_catalog
from fennec.errors import InputError, UnknownModelError, did_you_mean
from fennec.evidence.matrix import TransferMatrix
from fennec.tasks.embedding import TaskEmbedding
from fennec.tasks.embedding_files import load_known_embeddings

from .deviation import Deviation, Expected, LeftOut
from .factorize import ProbabilisticFactorizer, task_spread
from .history import StaticHistory, gaussian_scores
from .index import ModelIndex
from .kernel import TaskKernel
from .model_prior import DEFAULT_EFFECTS, Effects

Floats = NDArray[np.float64]


def _odds(performance: ArrayLike) -> Floats:
    """Logits of results, those of 0 and 1 kept finite."""
    return np.asarray(logit(np.clip(performance, 0.005, 0.995)))


def _task_covariance(vectors: Floats, components: Floats, scores: Floats) -> Floats:
    """Covariance of the task vectors that fit the known scores best, whatever the noise they were smoothed with."""
    filled = np.where(np.isfinite(scores), scores, vectors @ components)
    return task_spread(np.asarray(np.linalg.lstsq(vectors, filled, rcond=None)[0]))


@dataclass(frozen=True, eq=False)
class Prediction:
    """What the recommender expects of every model on one task.

    Attributes:
        task_vector: expected task vector, shape (n_components,).
        scores: expected Gaussian scores, higher is better, shape (n_models,).
        performance: expected results, fractions, shape (n_models,).
        low: lower ends of the 80 % intervals of `performance`, shape (n_models,).
        high: upper ends.
    """

    task_vector: Floats
    scores: Floats
    performance: Floats
    low: Floats
    high: Floats


class TransferSpace(BaseEstimator):  # type: ignore[misc]
    """What is expected of every model on a task: a Gaussian process over tasks, one draw per model, as latent vectors.

    Every column of the matrix becomes Gaussian scores. Their mean per model is static history; what is
    left is a draw from a process over tasks with covariance `TaskKernel` plus noise. So the expected score
    on a new task is static history moved by the results on alike tasks, and falls back to static history
    when nothing is alike. Model vectors are singular vectors of the completed matrix.

    Static history is moved towards what `ModelPrior` says of a model's relatives where its own results are few and
    noisy, as far as that surely helps to rank known tasks that are left out. Models of the catalog without any result
    are placed by their relatives alone, on request.

    How far task vectors lie from what their embedding says is measured by leaving every known task out
    once (`Deviation`): the prior for folding in results of the new task, and the width of the intervals.

    Args:
        n_components: latent dimensions kept.
        specific: variance of what only alike tasks have in common.
        length_scale: distance between task embeddings over which that fades, in median distances.
        noise: variance of a single result.
        effects: how much architecture, size and pre-training matter (`ModelPrior`); None takes every model for itself.
        random_state: seed of the draws behind `top5` and portfolios; all else is deterministic.

    Source:
        Rasmussen & Williams 2006, chapter 2. The defaults were chosen by leave-one-task-out over all hubs
        (`benchmark/results/hyperparameters.csv`); reported figures use a nested choice.
    """

    def __init__(
        self,
        n_components: int = 16,
        *,
        specific: float = 1.0,
        length_scale: float = 0.3,
        noise: float = 0.1,
        effects: Effects | None = DEFAULT_EFFECTS,
        random_state: int | None = 0,
    ) -> None:
        self.n_components = n_components
        self.specific = specific
        self.length_scale = length_scale
        self.noise = noise
        self.effects = effects
        self.random_state = random_state

    def fit(
        self,
        matrix: TransferMatrix,
        embeddings: Mapping[str, TaskEmbedding] | None = None,
        *,
        proxy: str = "fennec-mini",
        catalog: Catalog | None = None,
        cold: Sequence[str] = (),
    ) -> Self:
        """Learn model vectors and the place of known tasks.

        Args:
            matrix: what is known, shape (n_models, n_tasks).
            embeddings: task embeddings by image set; those of `proxy` in `data/embeddings` when None. Tasks
                without one count towards static history only.
            proxy: name of the proxy whose embeddings to load.
            catalog: facts of the models; the bundled catalog when None. A matrix none of whose models is in it is
                taken as it is.
            cold: models of the catalog without history to place as well; those of the matrix do not count.

        Raises:
            InputError: fewer than two tasks, embeddings of different proxies, or models to place where nothing is
                known of any model of the matrix.
            UnknownModelError: a model to place is not in the catalog.
        """
        if matrix.n_tasks < 2:
            raise InputError(f"a recommender needs at least 2 tasks; matrix '{matrix.name}' has {matrix.n_tasks}")
        known = load_known_embeddings(proxy) if embeddings is None else embeddings
        self.matrix_ = matrix
        self.kernel_ = TaskKernel.fit(
            known,
            specific=self.specific,
            length_scale=self.length_scale,
        )
        self.scores_ = np.column_stack([gaussian_scores(column) for column in matrix.performance.T])
        facts = load_catalog() if catalog is None else catalog
        self.history_ = StaticHistory(self.effects).fit(matrix, self.scores_, facts)
        self.factorizer_, warm, self.mapper_ = self._place(np.arange(matrix.n_tasks))
        self.task_covariance_ = _task_covariance(warm, self.factorizer_.components_, self.scores_)
        self._fit_level()
        self.deviation_ = Deviation.fit(list(self._left_out()), _odds(matrix.performance))
        self._add_cold(warm, facts, [model for model in dict.fromkeys(cold) if model not in set(matrix.models)])
        self.index_ = ModelIndex(self.model_vectors_)
        return self

    def _add_cold(self, warm: Floats, catalog: Catalog, cold: Sequence[str]) -> None:
        """Vectors of all models, with and without history, and how much wider the intervals of the latter are."""
        mean, variance, relatives = self.history_.expect(cold, catalog)
        # nothing is known of them but static history: the same score on every known task
        vectors = np.outer(mean, self.factorizer_.components_.sum(axis=1))
        self.models_ = (*self.matrix_.models, *cold)
        self.model_vectors_ = np.concatenate([warm, vectors])
        self.static_ = np.concatenate([self.history_.of(self.scores_), mean])
        self.doubt_ = np.concatenate([np.zeros(len(warm)), variance])
        self.relatives_ = np.concatenate([np.zeros((len(warm), relatives.shape[1])), relatives])

    def _place(self, columns: NDArray[np.intp]) -> tuple[ProbabilisticFactorizer, Floats, Floats]:
        """Factoriser, model vectors, and the map from (1, task covariances) to task vectors, from some columns."""
        image_sets = [self.matrix_.image_sets[column] for column in columns]
        factorizer = ProbabilisticFactorizer(self.n_components, noise=self.noise)
        scores = self.scores_[:, columns]
        static = self.history_.of(scores)
        factorizer.fit(scores, covariance=self.kernel_.between(image_sets), static=static)
        vectors = factorizer.complete(scores, static) @ factorizer.components_.T
        _, weights = factorizer.weights(scores)
        mapper = np.linalg.lstsq(vectors, np.column_stack([static, weights]), rcond=None)[0]
        return factorizer, vectors, np.asarray(mapper, dtype=np.float64)

    def _fit_level(self) -> None:
        """Mean logit of every known task: how hard it is."""
        self.levels_ = np.nanmean(_odds(self.matrix_.performance), axis=0)

    def _level(self, covariance: Floats, columns: NDArray[np.intp]) -> float:
        """Expected logit level of a task: mean of the known ones moved towards alike tasks."""
        image_sets = [self.matrix_.image_sets[column] for column in columns]
        mean = self.levels_[columns].mean()
        alike = self.kernel_.between(image_sets) + max(self.specific, 1e-12) * np.eye(len(columns))
        return float(mean + covariance @ np.linalg.solve(alike, self.levels_[columns] - mean))

    def _left_out(self) -> Iterator[LeftOut]:
        """Every known task, expected without it and without the tasks on the same images."""
        sets = np.array(self.matrix_.image_sets)
        odds = _odds(self.matrix_.performance)
        for image_set in dict.fromkeys(self.matrix_.image_sets):
            rest = np.flatnonzero(sets != image_set)
            if len(rest) < 2:
                continue
            factorizer, vectors, mapper = self._place(rest)
            covariance = _task_covariance(vectors, factorizer.components_, self.scores_[:, rest])
            own = self.kernel_.between([*sets[rest], image_set])[:-1, -1]
            expected = vectors @ (mapper @ np.concatenate([[1.0], own]))
            level = self._level(own, rest)
            for column in np.flatnonzero(sets == image_set):
                yield LeftOut(vectors, covariance, expected, self.scores_[:, column], level, odds[:, column])

    def task_vector(self, embedding: TaskEmbedding | None) -> Floats:
        """Expected task vector, shape (n_components,); that of static history when the embedding is None.

        Raises:
            InputError: the embedding comes from another proxy.
        """
        check_is_fitted(self, "mapper_")
        covariance = self.kernel_.to_new(self.matrix_.image_sets, embedding)
        return np.asarray(self.mapper_ @ np.concatenate([[1.0], covariance]))

    def predict(
        self, embedding: TaskEmbedding | None = None, *, known: Mapping[str, float] | None = None
    ) -> Prediction:
        """Expected result of every model on a new task.

        Args:
            embedding: of the new task; None ranks by static history.
            known: results already measured on it, model id -> fraction in [0, 1].

        Raises:
            InputError: the embedding comes from another proxy, or a known value is not a fraction.
            UnknownModelError: a known result is of a model that has no place here.
        """
        vector, mean, deviation = self.deviation_.update(self._expected(embedding, known or {}))
        half = self.deviation_.width * deviation
        return Prediction(vector, self.model_vectors_ @ vector, expit(mean), expit(mean - half), expit(mean + half))

    def draws(
        self,
        embedding: TaskEmbedding | None = None,
        *,
        known: Mapping[str, float] | None = None,
        n_draws: int = 500,
    ) -> Floats:
        """Joint draws of every model's result on a new task: models alike are wrong together.

        Args:
            embedding: as for `predict`.
            known: as for `predict`.
            n_draws: how many; the same ones for the same `random_state`.

        Returns:
            Fractions, shape (n_draws, n_models).

        Raises:
            InputError: as for `predict`.
            UnknownModelError: as for `predict`.
        """
        task = self._expected(embedding, known or {})
        return np.asarray(expit(self.deviation_.draw(task, n_draws=n_draws, random_state=self.random_state or 0)))

    def _expected(self, embedding: TaskEmbedding | None, known: Mapping[str, float]) -> Expected:
        """A new task before its results."""
        columns = np.arange(self.matrix_.n_tasks)
        return Expected(
            self.model_vectors_,
            self.task_covariance_,
            self.task_vector(embedding),
            self._level(self.kernel_.to_new(self.matrix_.image_sets, embedding), columns),
            self._observed(known),
            self.doubt_,
            self.relatives_,
        )

    def _observed(self, known: Mapping[str, float]) -> Floats:
        observed = np.full(len(self.models_), np.nan)
        for model, value in known.items():
            row = self.row_of(model)
            if not 0.0 <= value <= 1.0:
                raise InputError(f"result of '{model}' is {value}; expected a fraction in [0, 1]")
            observed[row] = _odds(np.float64(value))
        return observed

    def row_of(self, model: str) -> int:
        """Position of a model, under any of its names, in all that is predicted.

        Raises:
            UnknownModelError: it has no place here.
        """
        if model in self.models_:
            return self.models_.index(model)
        id_of = load_catalog().id_of  # a space of an earlier catalog may have another of its names
        if (asked := id_of(model)) is not None:
            for row, name in enumerate(self.models_):
                if id_of(name) == asked:
                    return row
        raise UnknownModelError(
            f"model '{model}' has no place in '{self.matrix_.name}'{did_you_mean(model, self.models_)}"
        )

    def resemblance(self, task: TaskEmbedding | None) -> float:
        """How much known tasks say about what is special to a new one: 0 nothing, 1 all.

        The share of the variance that is left by static history which results on all known tasks explain.

        Raises:
            InputError: the embedding comes from another proxy.
        """
        if not self.specific:
            return 0.0
        own = self.kernel_.to_new(self.matrix_.image_sets, task)
        inside = self.kernel_.between(self.matrix_.image_sets) + self.noise * np.eye(len(own))
        return float(own @ np.linalg.solve(inside, own) / self.specific)

    def nearest_tasks(self, task: TaskEmbedding | None, *, n: int = 3) -> tuple[tuple[str, float], ...]:
        """The n known tasks of this matrix most like a new one, with their distance (1 is typical)."""
        if task is None:
            return ()
        distance = dict(zip(self.kernel_.image_sets, self.kernel_.distances(task), strict=True))
        pairs = [
            (name, float(distance[image_set]))
            for name, image_set in zip(self.matrix_.tasks, self.matrix_.image_sets, strict=True)
            if image_set in distance
        ]
        return tuple(sorted(pairs, key=lambda pair: pair[1])[:n])
