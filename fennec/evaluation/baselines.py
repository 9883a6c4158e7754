"""What every figure must stand beside: rankings that look at less, and one that looks at the truth.

A method is a function `method(split) -> scores`, shape (n_models,), over the models of `split.matrix`;
NaN means that the method says nothing of a model. `BASELINES` is the registry.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fennec.checkpoints.catalog import Catalog
from fennec.evidence.matrix import TransferMatrix
from fennec.evidence.scores import gaussian_scores
from fennec.tasks.embedding import TaskEmbedding

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Split:
    """One held-out task and all that may be known without it.

    Attributes:
        matrix: results on the other tasks, none of them on the same images.
        task: name of the held-out task.
        image_set: its images.
        truth: its measured results for the models of `matrix`, NaN for unknown, shape (n_models,). Only the
            oracle may look.
        embedding: its task embedding, None when there are no images of it.
        embeddings: those of the other tasks, by image set.
        catalog: facts of the models.
        accuracy: ImageNet top-1 of models, where known, model id -> fraction.
    """

    matrix: TransferMatrix
    task: str
    image_set: str
    truth: Floats
    embedding: TaskEmbedding | None
    embeddings: Mapping[str, TaskEmbedding]
    catalog: Catalog
    accuracy: Mapping[str, float]


Method = Callable[[Split], Floats]


def static_history(split: Split) -> Floats:
    """Mean over the other tasks of each model's Gaussian-scored rank; never looks at the new data."""
    return np.asarray(np.nanmean(_history(split), axis=1))


def random_order(split: Split) -> Floats:
    """A seeded draw; the seed depends on the task's name alone."""
    seed = int.from_bytes(split.task.encode()[:8].ljust(8, b"\0"), "little")
    return np.random.default_rng(seed).random(split.matrix.n_models)


def largest(split: Split) -> Floats:
    """Number of parameters, NaN where unknown."""
    return split.catalog.frame["params"].reindex(split.matrix.models).to_numpy(dtype=np.float64)


def best_on_imagenet(split: Split) -> Floats:
    """ImageNet top-1 accuracy, NaN where unknown or where ImageNet is the held-out task."""
    if split.image_set == "imagenet":
        return np.full(split.matrix.n_models, np.nan)
    own = dict(split.accuracy)
    if "imagenet" in split.matrix.tasks:
        column = split.matrix.performance[:, split.matrix.tasks.index("imagenet")]
        own |= dict(zip(split.matrix.models, column, strict=True))
    return np.array([own.get(model, np.nan) for model in split.matrix.models])


def similarity_weighted_history(split: Split) -> Floats:
    """Oracle: history moved by what each known task truly has in common with the held-out one.

    Static history plus the mean of the known tasks' residuals (Gaussian scores less static history),
    weighted by the positive part of their Pearson correlation with the true residuals of the held-out task:
    what a perfect proxy could reach by weighting whole tasks.
    """
    history, static = _history(split), static_history(split)
    residuals, target = history - static[:, None], gaussian_scores(split.truth) - static
    weights = np.zeros(history.shape[1])
    for column, residual in enumerate(residuals.T):
        both = np.isfinite(residual) & np.isfinite(target)
        if both.sum() > 2 and np.ptp(residual[both]) > 0 and np.ptp(target[both]) > 0:
            weights[column] = max(np.corrcoef(residual[both], target[both])[0, 1], 0.0)
    if not weights.any():
        return static
    return np.asarray(static + np.nan_to_num(residuals) @ weights / weights.sum())


def _history(split: Split) -> Floats:
    return np.column_stack([gaussian_scores(column) for column in split.matrix.performance.T])


BASELINES: dict[str, Method] = {
    "static": static_history,
    "random": random_order,
    "largest": largest,
    "imagenet": best_on_imagenet,
    "oracle": similarity_weighted_history,
}
