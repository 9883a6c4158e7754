"""Online: a dataset becomes a task embedding, a small set of mergeable statistics of proxy features.

In: images (any source that `fennec.images` opens) and a proxy. Out: `TaskEmbedding`, computed in one
streaming pass in constant memory. Embeddings of the known tasks are kept in `data/embeddings`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fennec.errors import DataError, InputError

if TYPE_CHECKING:
    from fennec.images.datasets import ImageDataset, ReadReport, Taken

    from .proxy import Proxy

Floats = NDArray[np.float64]
N_SAMPLES = 1000  # single features kept at most


@dataclass(frozen=True, eq=False)
class TaskEmbedding:
    """Statistics of proxy features over the images of one task.

    Attributes:
        name: what the task is called.
        proxy: name of the proxy.
        fingerprint: hash of the proxy's weights and preprocessing; only equal ones can be compared.
        n_images: images that went in.
        mean: mean feature, shape (n_features,).
        scatter: sum of outer products of the centred features, shape (n_features, n_features).
        class_names: names of the classes seen, empty without labels.
        class_counts: images per class, shape (n_classes,).
        class_means: mean feature per class, shape (n_classes, n_features).
        samples: up to 1000 single features, evenly over the images in the order they came, shape
            (n_samples, n_features).
        skipped: pairs (image, reason) that could not be read.
        seconds: wall-clock time of decoding and embedding.
        taken: what was taken of the dataset and what was not, None where the images do not come from one.
    """

    name: str
    proxy: str
    fingerprint: str
    n_images: int
    mean: Floats
    scatter: Floats
    class_names: tuple[str, ...] = ()
    class_counts: Floats = field(default_factory=lambda: np.zeros(0))
    class_means: Floats | None = None
    samples: Floats | None = None
    skipped: tuple[tuple[str, str], ...] = ()
    seconds: float = 0.0
    taken: Taken | None = None

    def __post_init__(self) -> None:
        width = len(self.mean)
        if self.n_images < 1:
            raise InputError("a task embedding needs at least one image")
        if self.scatter.shape != (width, width) or len(self.class_counts) != len(self.class_names):
            raise InputError(f"statistics of '{self.name}' have shapes that do not agree")
        if not np.isfinite(self.mean).all() or not np.isfinite(self.scatter).all():
            raise InputError(f"statistics of '{self.name}' are not finite")

    @classmethod
    def from_features(
        cls,
        features: ArrayLike,
        labels: Sequence[str] | None = None,
        *,
        name: str = "",
        proxy: str = "",
        fingerprint: str = "",
    ) -> TaskEmbedding:
        """Statistics of features held in memory.

        Args:
            features: proxy features, shape (n_images, n_features), finite.
            labels: class name of each image, or None.
            name: what the task is called.
            proxy: name of the proxy.
            fingerprint: its hash.

        Raises:
            InputError: no rows, not two-dimensional, or a value is not finite.
        """
        rows = np.asarray(features, dtype=np.float64)
        if rows.ndim != 2 or len(rows) == 0:
            raise InputError(f"features have shape {rows.shape}; expected (n_images, n_features)")
        if not np.isfinite(rows).all():
            raise InputError("features hold values that are not finite")
        mean = rows.mean(axis=0)
        centred = rows - mean
        names: tuple[str, ...] = ()
        counts, means = np.zeros(0), np.zeros((0, rows.shape[1]))
        if labels is not None:
            unique, inverse = np.unique(np.asarray(labels, dtype=object).astype(str), return_inverse=True)
            names = tuple(str(label) for label in unique)
            counts = np.bincount(inverse).astype(np.float64)
            means = np.zeros((len(names), rows.shape[1]))
            np.add.at(means, inverse, rows)
            means /= counts[:, None]
        return cls(
            name,
            proxy,
            fingerprint,
            len(rows),
            mean,
            centred.T @ centred,
            names,
            counts,
            means,
            evenly(rows, N_SAMPLES),
        )

    @property
    def n_features(self) -> int:
        """Width of the proxy's features."""
        return len(self.mean)

    @property
    def n_in_all(self) -> int:
        """Images of the dataset that it stands for; those that went in where nobody knows."""
        return self.n_images if self.taken is None else self.taken.n_images

    @property
    def n_classes(self) -> int | None:
        """Number of classes seen, None without labels."""
        return len(self.class_names) or None

    @property
    def covariance(self) -> Floats:
        """Total covariance, ddof 0, shape (n_features, n_features)."""
        return self.scatter / self.n_images

    @property
    def std(self) -> Floats:
        """Standard deviation of each feature, ddof 0, shape (n_features,)."""
        return np.asarray(np.sqrt(np.maximum(np.diag(self.scatter), 0.0) / self.n_images))

    @property
    def between_covariance(self) -> Floats:
        """Covariance of the class means, weighted by class size; total minus this is within classes.

        Raises:
            InputError: the task has no labels.
        """
        if self.class_means is None or not self.class_names:
            raise InputError(f"'{self.name}' has no labels")
        centred = self.class_means - self.mean
        return np.asarray((self.class_counts[:, None] * centred).T @ centred / self.class_counts.sum())

    def merge(self, other: TaskEmbedding) -> TaskEmbedding:
        """Statistics of both sets of images together.

        Raises:
            InputError: they come from different proxies.

        Source:
            Chan, Golub & LeVeque 1979, pairwise update of mean and scatter.
        """
        if self.fingerprint != other.fingerprint or self.n_features != other.n_features:
            raise InputError(f"cannot merge embeddings of proxies '{self.proxy}' and '{other.proxy}'")
        total = self.n_images + other.n_images
        delta = other.mean - self.mean
        names, counts, means = _merge_classes(self, other)
        samples = [part.samples for part in (self, other) if part.samples is not None]
        return TaskEmbedding(
            self.name,
            self.proxy,
            self.fingerprint,
            total,
            self.mean + delta * (other.n_images / total),
            self.scatter + other.scatter + np.outer(delta, delta) * (self.n_images * other.n_images / total),
            names,
            counts,
            means,
            evenly(np.concatenate(samples), N_SAMPLES) if samples else None,
            self.skipped + other.skipped,
            self.seconds + other.seconds,
        )


def evenly(rows: Floats, n: int) -> Floats:
    """At most n of the rows, evenly spaced."""
    return rows if len(rows) <= n else rows[np.linspace(0, len(rows) - 1, n).round().astype(int)]


def _merge_classes(one: TaskEmbedding, two: TaskEmbedding) -> tuple[tuple[str, ...], Floats, Floats]:
    sums: dict[str, Floats] = {}
    counts: dict[str, float] = {}
    for part in (one, two):
        if part.class_means is None:
            continue
        for name, count, mean in zip(part.class_names, part.class_counts, part.class_means, strict=True):
            sums[name] = sums.get(name, np.zeros(part.n_features)) + count * mean
            counts[name] = counts.get(name, 0.0) + count
    names = tuple(sorted(sums))
    if not names:
        return (), np.zeros(0), np.zeros((0, one.n_features))
    sizes = np.array([counts[name] for name in names])
    return names, sizes, np.stack([sums[name] for name in names]) / sizes[:, None]


def embed_task(
    source: str | Path | ImageDataset,
    *,
    proxy: str | Proxy = "fennec-mini",
    max_images: int = 500,
    random_state: int = 0,
    split: str | None = None,
    image_column: str | None = None,
    label_column: str | None = None,
    progress: bool = False,
) -> TaskEmbedding:
    """Embed a dataset with a proxy in one streaming pass.

    Args:
        source: anything `fennec.open_dataset` accepts.
        proxy: a loaded proxy, or what `Proxy.load` accepts.
        max_images: images used at most, balanced over classes when there are labels.
        random_state: seed of the draw.
        split: which split of the dataset, its training part when None.
        image_column: as for `fennec.open_dataset`.
        label_column: as for `fennec.open_dataset`.
        progress: show a bar on standard error.

    Raises:
        InputError: the dataset cannot be opened or too few of its images can be read.
        OfflineError: the proxy or the dataset needs a download and the hub cannot be reached.

    Example:
        >>> embed_task("sklearn:digits", max_images=20).n_images
        20
    """
    from fennec.images.open import open_dataset

    from .proxy import Proxy

    dataset = open_dataset(source, split=split, image_column=image_column, label_column=label_column)
    encoder = Proxy.load(proxy) if isinstance(proxy, str) else proxy
    return embed_dataset(dataset, encoder, max_images=max_images, random_state=random_state, progress=progress)


def embed_dataset(
    dataset: ImageDataset,
    proxy: Proxy,
    *,
    max_images: int = 500,
    random_state: int = 0,
    progress: bool = False,
) -> TaskEmbedding:
    """Embed an open dataset; arguments as for `embed_task`.

    Raises:
        InputError: none of its images can be read.
    """
    from fennec.images.datasets import ReadReport, sample
    from fennec.progress import progress_bar

    chosen = sample(dataset, max_images=max_images, random_state=random_state)
    start = time.perf_counter()
    report = ReadReport()
    with progress_bar("embedding", len(chosen), shown=progress) as advance:
        embedding = embed_chosen(dataset, chosen, proxy, report, advance)
    return finished(embedding, dataset, report, time.perf_counter() - start)


def embed_chosen(
    dataset: ImageDataset,
    chosen: NDArray[np.intp],
    proxy: Proxy,
    report: ReadReport,
    advance: Callable[[int], None],
) -> TaskEmbedding | None:
    """Embed some images of a dataset.

    Args:
        dataset: where they are.
        chosen: their positions.
        proxy: what looks at them.
        report: counts what was read and lists what was not.
        advance: told how many were seen, batch by batch.

    Returns:
        None where none of them can be read.
    """
    from fennec.images.datasets import iter_images

    embedding: TaskEmbedding | None = None
    for indices, features in proxy.embed_batches(iter_images(dataset, chosen, report, min_side=proxy.input_size)):
        labels = None
        if dataset.labels is not None:
            labels = [dataset.class_names[dataset.labels[index]] for index in indices]
        part = TaskEmbedding.from_features(
            features, labels, name=dataset.name, proxy=proxy.name, fingerprint=proxy.fingerprint
        )
        embedding = part if embedding is None else embedding.merge(part)
        advance(len(indices))
    return embedding


def finished(
    embedding: TaskEmbedding | None, dataset: ImageDataset, report: ReadReport, seconds: float
) -> TaskEmbedding:
    """An embedding with what was skipped, how long it took and what was taken of the dataset.

    Raises:
        InputError: none of its images can be read.
    """
    report.check_enough(dataset.name)
    if embedding is None:
        raise DataError(f"'{dataset.name}' has no images")
    taken = replace(dataset.taken, n_flat=report.n_flat)
    return replace(embedding, skipped=tuple(report.skipped), seconds=seconds, taken=taken)
