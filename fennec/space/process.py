"""Offline: what all results together say of every set of weights.

The score of weights on a task, in a study, by a protocol, is a sum of two draws from Gaussian processes and of noise:

- `GeneralQuality`, the same on all tasks of the study: (weights alike) x (studies alike);
- `Affinity`, what tasks like this one favour in weights like these: (weights alike) x (studies alike) x (tasks alike).

The first is learned from the mean scores of weights in all studies, the second from what is left of single results by
the protocol asked for. In: `load_scores`, facts of the weights, `TaskKernel`. Out: means, variances, and what weights
share of them, for any weights of the catalog.

Source: Rasmussen & Williams 2006, chapter 2; section 5.4.2 for what is expected of results that are left out.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from fennec.checkpoints.catalog import Catalog
from fennec.checkpoints.facts import Facts, facts_of
from fennec.evidence.scores import GENERAL, study_name

from .alike import Effects, between_studies, between_weights
from .kernel import TaskKernel

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]

QUALITY = Effects(
    facts=0.08, same=0.1, parent=0.1, network=0.1, family=0.1, pretraining=0.0, common=0.15, protocol=0.15
)
AFFINITY = Effects(
    facts=0.03, same=0.25, parent=0.0, network=0.05, family=0.05, pretraining=0.03, common=0.5, protocol=0.0
)
LEVEL = 5.0  # variance of the level of a study: which weights it took says nothing of them
OWN_NOISE = 0.02  # variance of the mean of ever so many results of weights in one study
CELL, CELLS = 0.3, 20  # variance of a single result before any is seen, and how many results that counts as
AFFINITY_NOISE = 0.25  # variance of a single result around quality and affinity


class GeneralQuality:
    """Mean score of weights in a study.

    Args:
        effects: how much what weights have in common matters.
    """

    def __init__(self, effects: Effects = QUALITY) -> None:
        self.effects = effects

    def fit(self, scores: pd.DataFrame, catalog: Catalog, *, quality: Mapping[str, float] | None = None) -> Self:
        """Learn from results.

        Args:
            scores: as of `load_scores`.
            catalog: facts of the weights; those that it does not have are taken for themselves.
            quality: of architectures, as for `facts_of`.
        """
        self.catalog_, self.quality_ = catalog, quality
        self.rows_ = study_means(scores)
        self.facts_ = facts_of(self.rows_["weights"].tolist(), catalog, quality=quality)
        covariance = between_weights(self.facts_, self.facts_, self.effects)
        covariance *= between_studies(self.rows_, self.rows_, self.effects)
        total = covariance.astype(np.float64)
        order = self.rows_.groupby(["study", "protocol"]).ngroup().to_numpy()
        total += LEVEL * (order[:, None] == order[None])
        total[np.diag_indices(len(total))] += self.rows_["noise"]
        self.factor_ = cho_factor(total, lower=True, overwrite_a=True)
        self.pull_ = cho_solve(self.factor_, self.rows_["score"].to_numpy())
        return self

    @cached_property
    def inverse_(self) -> Floats:
        """Inverse covariance of the rows, made when it is asked for: expectations do not need it."""
        identity = np.eye(len(self.rows_))
        return np.asarray(cho_solve(self.factor_, identity, overwrite_b=True))

    def expect(self, models: Sequence[str], protocol: str, study: str = "") -> Floats:
        """Expected mean score of weights in a study, of which nothing is known where it has no name, (n_models,)."""
        return np.asarray(self._cross(self._facts(models), protocol, study) @ self.pull_, dtype=np.float64)

    def covariance(self, models: Sequence[str], protocol: str, study: str = "") -> Floats:
        """Covariance of what is not known of the mean scores of weights in a study, shape (n_models, n_models)."""
        facts = self._facts(models)
        cross = self._cross(facts, protocol, study).astype(np.float64)
        return np.asarray(between_weights(facts, facts, self.effects) - (cross @ self.inverse_) @ cross.T)

    def left_out(self, studies: Collection[str]) -> pd.DataFrame:
        """Rows of some studies with their expectation (`expected`) from all results of the others."""
        out = np.flatnonzero(self.rows_["study"].isin({study_name(study) for study in studies}))
        block = self.inverse_[np.ix_(out, out)]
        error = np.linalg.solve(block, self.pull_[out])
        return self.rows_.iloc[out].assign(expected=self.rows_["score"].to_numpy()[out] - error)

    def _facts(self, models: Sequence[str]) -> Facts:
        return facts_of(models, self.catalog_, quality=self.quality_)

    def _cross(self, facts: Facts, protocol: str, study: str) -> NDArray[np.float32]:
        share = between_studies(_place(study, protocol), self.rows_, self.effects)
        return np.asarray(between_weights(facts, self.facts_, self.effects) * share)


def _place(study: str, protocol: str) -> pd.DataFrame:
    """A study, as rows of results say it."""
    import pandas as pd

    return pd.DataFrame({"study": [study_name(study)], "protocol": [protocol]})


def study_means(scores: pd.DataFrame) -> pd.DataFrame:
    """Mean score of weights in every study by every protocol.

    Returns:
        Columns weights, study, protocol, score (the mean), n (image sets), noise (variance of the mean: of single
        results in the study, which is learned for every study, over their number).
    """
    import pandas as pd

    place = ["study", "protocol"]
    rows = scores.groupby([*place, "weights"], as_index=False).agg(score=("score", "mean"), n=("score", "size"))
    errors = scores["score"] - scores.groupby([*place, "weights"])["score"].transform("mean")
    squares = errors.pow(2).groupby([scores[name] for name in place]).sum()
    counts = rows.groupby(place)["n"].agg(lambda n: (n - 1).sum())
    single = (squares + CELL * CELLS) / (counts + CELLS)
    noise = single.reindex(pd.MultiIndex.from_frame(rows[place])).to_numpy() / rows["n"].to_numpy()
    return rows.assign(noise=OWN_NOISE + noise)


class Affinity:
    """What tasks favour in weights beyond their general quality, by one protocol.

    Args:
        effects: how much what weights have in common matters.
        noise: variance of a single result.
    """

    def __init__(self, effects: Effects = AFFINITY, noise: float = AFFINITY_NOISE) -> None:
        self.effects = effects
        self.noise = noise

    def fit(self, scores: pd.DataFrame, kernel: TaskKernel, catalog: Catalog) -> Self:
        """Learn from results.

        Args:
            scores: as of `load_scores`, by one protocol.
            kernel: how alike tasks are.
            catalog: facts of the weights.
        """
        self.catalog_ = catalog
        mean = scores.groupby(["study", "protocol", "weights"])["score"].transform("mean")
        self.rows_ = scores.assign(left=scores["score"] - mean).reset_index(drop=True)
        self.image_sets_ = tuple(sorted(set(self.rows_["image_set"]) - {GENERAL}))
        self.rows_ = self.rows_[self.rows_["image_set"].ne(GENERAL)].reset_index(drop=True)
        self.facts_ = facts_of(self.rows_["weights"].tolist(), catalog)
        factor = cho_factor(self._covariance(kernel), lower=True, overwrite_a=True)
        self.pull_ = cho_solve(factor, self.rows_["left"].to_numpy(np.float32))
        return self

    def _covariance(self, kernel: TaskKernel) -> NDArray[np.float32]:
        """Of all results, shape (n_results, n_results)."""
        covariance = between_weights(self.facts_, self.facts_, self.effects)
        covariance *= between_studies(self.rows_, self.rows_, self.effects)
        column = self._columns()
        covariance *= kernel.between(self.image_sets_).astype(np.float32)[np.ix_(column, column)]
        covariance[np.diag_indices(len(covariance))] += self.noise / self.rows_["n"].to_numpy(np.float32)
        return covariance

    def expect(self, models: Sequence[str], study: str = "") -> Floats:
        """What results on every known image set add to the expected scores on a task.

        Returns:
            Shape (n_models, n_image_sets): to be multiplied by the covariance of the task with the image sets.
        """
        facts = facts_of(models, self.catalog_)
        if self.rows_.empty:
            return np.zeros((len(models), 0))
        asked = _place(study, self.rows_["protocol"].iloc[0])
        pulls = between_studies(asked, self.rows_, self.effects)[0] * self.pull_
        cross = between_weights(facts, self.facts_, self.effects) * pulls
        indicator = self._columns()[:, None] == np.arange(len(self.image_sets_))
        return np.asarray(cross @ indicator.astype(np.float32), dtype=np.float64)

    def _columns(self) -> NDArray[np.intp]:
        return np.searchsorted(np.array(self.image_sets_, dtype=str), self.rows_["image_set"].to_numpy(dtype=str))
