"""How alike two tasks are, from their embeddings.

In: task embeddings of the known tasks. Out: `TaskKernel`, the covariance that Fennec assumes between tasks
in what is left of results when general quality is taken out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from fennec.errors import InputError
from fennec.tasks.embedding import TaskEmbedding

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class TaskKernel:
    """Covariance `specific * exp(-d^2 / (2 length_scale^2))` between tasks.

    It fades with the distance d between task embeddings. d^2 is the mean of the squared Euclidean distances between the
    feature means and between the feature standard deviations, each divided by its median over pairs of
    known tasks, so that no proxy's scale matters. A task without an embedding shares nothing, except with
    tasks on the same images.

    Attributes:
        image_sets: keys of the known tasks, in the order of `descriptors`.
        descriptors: one row per known task, scaled so that squared distances between rows are d^2,
            shape (n_known, n_descriptors).
        scales: median distances that the means and the standard deviations were divided by, shape (2,).
        proxy: name of the proxy.
        fingerprint: hash of the proxy.
        specific: variance of what only alike tasks have in common.
        length_scale: distance at which it fades, 1 is the median distance between known tasks.
    """

    image_sets: tuple[str, ...]
    descriptors: Floats
    scales: Floats
    proxy: str
    fingerprint: str
    specific: float
    length_scale: float

    @classmethod
    def fit(
        cls,
        embeddings: Mapping[str, TaskEmbedding],
        *,
        specific: float = 1.0,
        length_scale: float = 0.3,
    ) -> TaskKernel:
        """Learn the scales from known tasks.

        Args:
            embeddings: by image set, all from one proxy.
            specific: see the class.
            length_scale: see the class.

        Raises:
            InputError: embeddings come from different proxies.
        """
        names = tuple(sorted(embeddings))
        if len({embeddings[name].fingerprint for name in names}) > 1:
            raise InputError("task embeddings come from different proxies; embed them with one")
        raw = [_raw(embeddings[name]) for name in names]
        scales = np.array([_median_distance(np.stack(block)) for block in zip(*raw, strict=True)] or [1.0, 1.0])
        rows = [_scaled(blocks, scales) for blocks in raw]
        return cls(
            names,
            np.stack(rows) if rows else np.zeros((0, 0)),
            scales,
            embeddings[names[0]].proxy if names else "",
            embeddings[names[0]].fingerprint if names else "",
            specific,
            length_scale,
        )

    def between(self, image_sets: Sequence[str]) -> Floats:
        """Covariance of tasks on these image sets, shape (n_tasks, n_tasks)."""
        names = np.array(image_sets, dtype=str)
        likeness = (names[:, None] == names[None]).astype(np.float64)
        index = {name: row for row, name in enumerate(self.image_sets)}
        known = [position for position, name in enumerate(image_sets) if name in index]
        if known:
            rows = self.descriptors[[index[image_sets[position]] for position in known]]
            likeness[np.ix_(known, known)] = self._fade(rows, rows)
        return np.asarray(self.specific * likeness)

    def to_new(self, image_sets: Sequence[str], embedding: TaskEmbedding | None) -> Floats:
        """Covariance of known tasks with a new one, shape (n_tasks,); zeros without an embedding.

        Raises:
            InputError: the embedding comes from another proxy than the known tasks'.
        """
        likeness = np.zeros(len(image_sets))
        if embedding is not None and self.image_sets:
            distances = self.distances(embedding)
            fade = np.exp(-(distances**2) / (2 * self.length_scale**2))
            index = dict(zip(self.image_sets, fade, strict=True))
            likeness = np.array([index.get(name, 0.0) for name in image_sets])
        return np.asarray(self.specific * likeness)

    def to_described(self, image_sets: Sequence[str], shares: Mapping[str, float]) -> Floats:
        """Covariance of known tasks with one that is a mixture of known tasks and of what none of them tells.

        Args:
            image_sets: of the known tasks.
            shares: of the mixture, by image set; at least 0 and at most 1 in all.

        Returns:
            Shape (n_tasks,).
        """
        mixed = list(shares)
        between = self.between([*image_sets, *mixed])[: len(image_sets), len(image_sets) :]
        return np.asarray(between @ np.fromiter(shares.values(), dtype=np.float64, count=len(mixed)))

    def distances(self, embedding: TaskEmbedding) -> Floats:
        """Distance of a new task to every known one, shape (n_known,); 1 is the median between known ones.

        Raises:
            InputError: the embedding comes from another proxy than the known tasks'.
        """
        if embedding.fingerprint != self.fingerprint:
            raise InputError(
                f"the task was embedded with proxy '{embedding.proxy}' ({embedding.fingerprint[:8]}), the known "
                f"tasks with '{self.proxy}' ({self.fingerprint[:8]}); use one proxy for both"
            )
        row = _scaled(_raw(embedding), self.scales)
        return np.asarray(np.linalg.norm(self.descriptors - row, axis=1))

    def _fade(self, one: Floats, two: Floats) -> Floats:
        return np.asarray(np.exp(-cdist(one, two, "sqeuclidean") / (2 * self.length_scale**2)))


def _raw(embedding: TaskEmbedding) -> tuple[Floats, Floats]:
    return embedding.mean, embedding.std


def _scaled(blocks: tuple[Floats, Floats], scales: Floats) -> Floats:
    mean, std = (block / scale for block, scale in zip(blocks, scales, strict=True))
    return np.asarray(np.concatenate([mean, std]) * np.sqrt(0.5))


def _median_distance(rows: Floats) -> float:
    if len(rows) < 2:
        return 1.0
    squared = ((rows[:, None] - rows[None]) ** 2).sum(-1)
    median = float(np.median(squared[np.triu_indices(len(rows), 1)]))
    return float(np.sqrt(median)) if median > 0 else 1.0
