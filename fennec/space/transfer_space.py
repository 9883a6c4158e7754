"""Where weights and tasks lie: latent vectors of what all results say, and the place of a new task among them.

Offline, `fit` turns results into model vectors and everything needed to place a new task. Online, a task embedding (and
any results already known) becomes a task vector; a model's score is one dot product. In: results, task embeddings.
Out: `Prediction`, joint draws.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import block_diag
from scipy.special import expit
from sklearn.base import BaseEstimator
from sklearn.utils.extmath import randomized_svd
from sklearn.utils.validation import check_is_fitted

from fennec.checkpoints.catalog import Catalog, load_catalog
from fennec.errors import DataError, InputError, UnknownModelError, did_you_mean
from fennec.evidence.matrix import TransferMatrix
from fennec.evidence.scores import GENERAL, matrix_scores, study_name
from fennec.tasks.embedding import TaskEmbedding
from fennec.tasks.embedding_files import load_known_embeddings
from fennec.tasks.words import Task, images_of, shares_of

from .alike import Effects
from .deviation import Deviation, Expected, left_out_columns, odds
from .factorize import task_spread
from .index import ModelIndex
from .kernel import TaskKernel
from .process import AFFINITY, AFFINITY_NOISE, QUALITY, Affinity, GeneralQuality

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]
ALL_STUDIES = "all studies"
LITTLE_SHARE = 0.005  # of a known task that is not worth naming


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
    """What is expected of every model on a task by one protocol, as latent vectors.

    A score is general quality plus affinity (`fennec.space.process`). The first latent dimension is general quality;
    the next are singular vectors of the affinities of all models with all known image sets; the last say what is not
    known of general quality and shared by models: results of the new task move models along them.

    How far results lie from what is expected is measured by leaving every study out once, or where there are few
    studies every image set (`Deviation`): the prior for folding in results, and the width of the intervals.

    Args:
        n_components: latent dimensions of affinities, and of what is not known of general quality, at most.
        quality: how much what weights have in common matters for general quality.
        affinity: how much for affinities.
        length_scale: distance between task embeddings over which affinities fade, in median distances.
        random_state: seed of the draws behind `top5` and portfolios; all else is deterministic.

    Source:
        Rasmussen & Williams 2006, chapter 2. How the defaults were chosen: docs/method.md.
    """

    def __init__(
        self,
        n_components: int = 32,
        *,
        quality: Effects = QUALITY,
        affinity: Effects = AFFINITY,
        length_scale: float = 0.3,
        random_state: int | None = 0,
    ) -> None:
        self.n_components = n_components
        self.quality = quality
        self.affinity = affinity
        self.length_scale = length_scale
        self.random_state = random_state

    def fit(
        self,
        results: TransferMatrix | pd.DataFrame,
        embeddings: Mapping[str, TaskEmbedding] | None = None,
        *,
        protocol: str | None = None,
        study: str | None = None,
        candidates: Sequence[str] = (),
        proxy: str = "fennec-mini",
        catalog: Catalog | None = None,
    ) -> Self:
        """Learn from results.

        Args:
            results: of many studies as of `fennec.evidence.scores.load_scores`, or the matrix of one.
            embeddings: task embeddings by image set; those of `proxy` in `data/embeddings` when None. Results on images
                without one count towards general quality only, and towards tasks on the same images.
            protocol: what is foretold; that of the matrix, or finetune, when None.
            study: the study that is continued: the matrix's own when None; empty foretells a study never seen.
            candidates: models of the catalog to place beside those that have results by this protocol.
            proxy: name of the proxy whose embeddings to load.
            catalog: facts of the models; the bundled catalog when None.

        Raises:
            InputError: fewer than two tasks, no result by the protocol, or embeddings of different proxies.
            UnknownModelError: a candidate is not in the catalog.
        """
        facts = load_catalog() if catalog is None else catalog
        for model in candidates:
            if model not in facts:
                raise UnknownModelError(f"cannot place '{model}': it is not in the catalog; see 'fennec add-model'")
        if isinstance(results, TransferMatrix):
            if results.n_tasks < 2:
                raise DataError(f"a recommender needs at least 2 tasks; matrix '{results.name}' has {results.n_tasks}")
            protocol = protocol or results.protocol
            study = results.name if study is None else study
            results = matrix_scores(results)
        self.protocol_, self.study_ = protocol or "finetune", study or ""
        own = results[results["protocol"].eq(self.protocol_)]
        if own.empty:
            raise InputError(f"no result by {self.protocol_} among those given; they are by "
                             f"{', '.join(sorted(set(results['protocol'])))}")  # fmt: skip
        self.name_ = self.study_ if results["study"].nunique() == 1 else ALL_STUDIES
        known = load_known_embeddings(proxy) if embeddings is None else embeddings
        self.kernel_ = TaskKernel.fit(known, length_scale=self.length_scale)
        self.general_ = GeneralQuality(self.quality).fit(results, facts)
        self.affinity_ = Affinity(self.affinity).fit(own, self.kernel_, facts)
        self.image_sets_ = self.affinity_.image_sets_
        measured = own["weights"].drop_duplicates().tolist()
        mine = [model for model in measured if model not in set(candidates)]
        if self.name_ == ALL_STUDIES:  # others' fine-tunes are evidence, not what anybody would start from
            mine = own.loc[own["study"].eq(study_name(self.study_)), "weights"].drop_duplicates().tolist()
            self.name_ += f" and {self.study_}" * bool(mine)
        self.models_ = tuple(dict.fromkeys([*mine, *candidates]))
        if not self.models_:
            raise InputError("no model to place: give candidates of the catalog, or a study with results of its own")
        self._place()
        self._count(results, own)
        self._calibrate(results)
        return self

    def _place(self) -> None:
        """Vectors of all models, and the map from (1, covariances with the known image sets) to task vectors."""
        level = self.general_.expect(self.models_, self.protocol_, self.study_)
        left = self.general_.covariance(self.models_, self.protocol_, self.study_)
        axes, values, _ = randomized_svd(left, min(self.n_components, len(left)), random_state=0)
        shared = axes * np.sqrt(values)
        self.doubt_ = np.maximum(np.diag(left) - np.square(shared).sum(axis=1), 0.0)
        affinities = self.affinity_.expect(self.models_, self.study_)
        _, values, directions = np.linalg.svd(affinities, full_matrices=False)
        directions = directions[: self.n_components][values[: self.n_components] > 1e-9]
        self.model_vectors_ = np.column_stack([level, affinities @ directions.T, shared])
        self.mapper_ = block_diag(np.ones((1, 1)), directions)
        self.index_ = ModelIndex(self.model_vectors_)
        covariances = self.kernel_.between(self.image_sets_)
        tasks = self.mapper_[1:, 1:] @ covariances
        spread = task_spread(tasks) if tasks.size else np.zeros((0, 0))
        self.task_covariance_ = block_diag(1e-6 * np.eye(1), spread, np.eye(shared.shape[1]))

    def _count(self, results: pd.DataFrame, own: pd.DataFrame) -> None:
        """What is known of every model, and its results by this protocol."""
        import pandas as pd

        by_weights = results.groupby("weights").agg(tasks=("image_set", "nunique"), studies=("study", "nunique"))
        self.known_ = by_weights.reindex(list(self.models_)).fillna(0).to_numpy(dtype=np.int64)
        table = own[own["weights"].isin(self.models_) & own["image_set"].ne(GENERAL)]
        wide = table.pivot_table(index="weights", columns="image_set", values="value", aggfunc="mean")
        wide = wide.reindex(index=list(self.models_), columns=list(self.image_sets_))
        self.performance_ = pd.DataFrame(wide).to_numpy(dtype=np.float64)

    def _calibrate(self, results: pd.DataFrame) -> None:
        """How hard known tasks are, and how far results lie from what was expected without their study or images."""
        columns = list(left_out_columns(self.general_, results, self.protocol_, self.study_))
        levels = {name: [c.level for c in columns if c.image_set == name] for name in self.image_sets_}
        self.levels_ = np.array([np.mean(found) if found else np.nan for found in levels.values()])
        expected = [self._level(self._covariance_of(column.image_set), without=column.image_set) for column in columns]
        self.deviation_ = Deviation.fit(columns, expected)

    def _level(self, covariance: Floats, *, without: str = "") -> float:
        """Expected level of a task: the mean of the known ones moved towards alike tasks."""
        known = np.isfinite(self.levels_) & (np.array(self.image_sets_) != without)
        if not known.any():
            return 0.0
        mean = self.levels_[known].mean()
        alike = self.kernel_.between(np.array(self.image_sets_)[known]) + np.eye(known.sum())
        return float(mean + covariance[known] @ np.linalg.solve(alike, self.levels_[known] - mean))

    def task_vector(self, task: Task | None) -> Floats:
        """Expected task vector, shape (n_components,); that of general quality alone when the task is None.

        Raises:
            InputError: the task was embedded with another proxy.
        """
        check_is_fitted(self, "mapper_")
        placed = self.mapper_ @ np.concatenate([[1.0], self.covariance(task)])
        return np.concatenate([placed, np.zeros(self.model_vectors_.shape[1] - len(placed))])

    def covariance(self, task: Task | None) -> Floats:
        """Covariance of a new task with the known image sets, shape (n_image_sets,).

        Images come first: words tell of what they leave open. Zeros where there are neither.
        """
        seen = self.kernel_.to_new(self.image_sets_, images_of(task))
        if not (shares := shares_of(task)):
            return seen
        return seen + (1.0 - self._explained(seen)) * self.kernel_.to_described(self.image_sets_, shares)

    def affinities_of(self, row: int) -> Floats:
        """What every known image set adds to the score of one model per unit of covariance, shape (n_image_sets,)."""
        affinity = self.mapper_[1:, 1:]
        return np.asarray(self.model_vectors_[row, 1 : 1 + len(affinity)] @ affinity)

    def _covariance_of(self, image_set: str) -> Floats:
        return self.kernel_.between([*self.image_sets_, image_set])[:-1, -1]

    def predict(self, task: Task | None = None, *, known: Mapping[str, float] | None = None) -> Prediction:
        """Expected result of every model on a new task.

        Args:
            task: embedding or description of it; None ranks by general quality.
            known: results already measured on it, model id -> fraction in [0, 1].

        Raises:
            InputError: the task was embedded with another proxy, or a known value is not a fraction.
            UnknownModelError: a known result is of a model that has no place here.
        """
        return self.predicted(self.expected(task, known))

    def predicted(self, expected: Expected) -> Prediction:
        """The same of a task as `expected` says."""
        vector, mean, deviation = self.deviation_.update(expected)
        half = self.deviation_.width * deviation
        return Prediction(vector, self.model_vectors_ @ vector, expit(mean), expit(mean - half), expit(mean + half))

    def draws(
        self,
        task: Task | None = None,
        *,
        known: Mapping[str, float] | None = None,
        n_draws: int = 500,
    ) -> Floats:
        """Joint draws of every model's result on a new task: models alike are wrong together.

        Args:
            task: as for `predict`.
            known: as for `predict`.
            n_draws: how many; the same ones for the same `random_state`.

        Returns:
            Fractions, shape (n_draws, n_models).

        Raises:
            InputError: as for `predict`.
            UnknownModelError: as for `predict`.
        """
        return np.asarray(expit(self.drawn_logits(self.expected(task, known), n_draws=n_draws).astype(np.float64)))

    def drawn_logits(self, expected: Expected, *, n_draws: int) -> NDArray[np.float32]:
        """The same on the logit scale, where the order is the same, of a task as `expected` says."""
        return self.deviation_.draw(expected, n_draws=n_draws, random_state=self.random_state or 0)

    def expected(self, task: Task | None = None, known: Mapping[str, float] | None = None) -> Expected:
        """A new task before its results; arguments and errors as for `predict`."""
        return Expected(
            self.model_vectors_,
            self.task_covariance_,
            self.task_vector(task),
            self._level(self.covariance(task)),
            self._observed(known or {}),
            self.doubt_,
            len(self.mapper_) - 1,
        )

    def _observed(self, known: Mapping[str, float]) -> Floats:
        observed = np.full(len(self.models_), np.nan)
        for model, value in known.items():
            row = self.row_of(model)
            if not 0.0 <= value <= 1.0:
                raise InputError(f"result of '{model}' is {value}; expected a fraction in [0, 1]")
            observed[row] = odds(np.float64(value))
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
        near = did_you_mean(model, self.models_)
        raise UnknownModelError(f"model '{model}' is none of the {len(self.models_)} of this space{near}")

    def resemblance(self, task: Task | None) -> float:
        """How much known tasks say about what is special to a new one: 0 nothing, 1 all.

        The share of the variance of an affinity that results on all known tasks explain.

        Raises:
            InputError: the task was embedded with another proxy.
        """
        return self._explained(self.covariance(task))

    def _explained(self, own: Floats) -> float:
        inside = self.kernel_.between(self.image_sets_) + AFFINITY_NOISE * np.eye(len(own))
        return float(own @ np.linalg.solve(inside, own))

    def nearest_tasks(self, task: Task | None, *, n: int = 3) -> tuple[tuple[str, float], ...]:
        """The n known image sets whose images are most like those of a new task, with their distance (1 is typical)."""
        if (images := images_of(task)) is None:
            return ()
        distance = dict(zip(self.kernel_.image_sets, self.kernel_.distances(images), strict=True))
        pairs = [(name, float(distance[name])) for name in self.image_sets_ if name in distance]
        return tuple(sorted(pairs, key=lambda pair: pair[1])[:n])

    def nearest_in_words(self, task: Task | None, *, n: int = 3) -> tuple[tuple[str, float], ...]:
        """The n known image sets most like what is said of a task, with their shares (`TaskDescription`)."""
        known = set(self.image_sets_)
        pairs = [(name, share) for name, share in shares_of(task).items() if name in known and share >= LITTLE_SHARE]
        return tuple(sorted(pairs, key=lambda pair: -pair[1])[:n])
