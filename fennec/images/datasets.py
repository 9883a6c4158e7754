"""What an image dataset is: a lazy list of images with labels where there are any.

In: names, contents and labels, as `listing` takes them from a reader. Out: `ImageDataset`, which says in one line what
was taken and what was not (`Taken`), a balanced draw of it, its pictures in order. Nothing is decoded before it is
asked for.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fennec.errors import DataError, InputError, printable

from .decode import Content, DeepRanges, UnreadableImage, decode, is_flat, readable

Labels = NDArray[np.int64]
LOOK_AHEAD = 32  # images decoded ahead of their use
N_NAMED = 3  # classes named in the line
N_KINDS = 5  # kinds of files and columns named in the line


@dataclass(frozen=True)
class Taken:
    """What was taken of a dataset, and what was not.

    Attributes:
        name: of the dataset.
        n_images: pictures taken.
        class_counts: pictures of each class, the largest first; empty without labels.
        part: name of the part as the source has it, None where it has no parts.
        other_parts: parts that are there and were not taken.
        not_read: files or rows that were left out, by kind (`.heic`, `missing`, `beside the class folders`).
        n_unlabelled: pictures left out because they have no label while others have.
        columns: which column serves as `image`, `label`, `part`.
        columns_not_used: of a table.
        across_parts: pictures that are, byte for byte, in another part as well.
        across_classes: pictures that are, byte for byte, in another class as well.
        n_flat: pictures without contrast among those looked at, None before that.
        notes: what else to know, each a clause.
    """

    name: str
    n_images: int
    class_counts: Mapping[str, int] = field(default_factory=dict)
    part: str | None = None
    other_parts: tuple[str, ...] = ()
    not_read: Mapping[str, int] = field(default_factory=dict)
    n_unlabelled: int = 0
    columns: Mapping[str, str] = field(default_factory=dict)
    columns_not_used: tuple[str, ...] = ()
    across_parts: int = 0
    across_classes: int = 0
    n_flat: int | None = None
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        plain = {key: dict(value) if isinstance(value, Mapping) else value for key, value in vars(self).items()}
        return {**plain, "line": str(self)} | {
            key: list(value) for key, value in plain.items() if isinstance(value, tuple)
        }

    def __str__(self) -> str:
        head = [count(self.n_images, "picture"), self._classes()]
        if self.part is not None:
            head.append(f'part "{self.part}"')
        clauses = [f"{self.name}: {', '.join(head)}"]
        if self.not_read:
            clauses.append(f"not read: {_first([_kind(kind, n) for kind, n in self.not_read.items()], 'kinds')}")
        if self.n_unlabelled:
            clauses.append(f"without a label and left out: {self.n_unlabelled:,}")
        if self.columns_not_used:
            clauses.append(f"columns not used: {_first(list(self.columns_not_used), 'columns')}")
        if self.across_parts:
            clauses.append(f"{count(self.across_parts, 'picture')} also in another part")
        if self.across_classes:
            clauses.append(f"{count(self.across_classes, 'picture')} also in another class")
        if self.n_flat:
            clauses.append(f"{count(self.n_flat, 'picture')} without contrast")
        return printable("; ".join([*clauses, *self.notes]))

    def _classes(self) -> str:
        if not self.class_counts:
            return "no labels"
        named = [f"{name} {n:,}" for name, n in list(self.class_counts.items())[:N_NAMED]]
        more = ["..."] if len(self.class_counts) > N_NAMED else []
        n_classes = len(self.class_counts)
        return f"{n_classes:,} {'class' if n_classes == 1 else 'classes'} ({', '.join([*named, *more])})"


@dataclass(frozen=True, eq=False)
class ImageDataset:
    """Images of one task, in a fixed order.

    Attributes:
        name: what to call it.
        items: names of the images, for messages.
        load: gives the content of the image at a position: encoded bytes, a path or a picture.
        labels: class of each image in [0, n_classes), None when unlabelled, shape (n_images,).
        class_names: names of the classes, sorted.
        skipped: pairs (item, reason) already known to be unusable.
        taken: what was taken of the source and what was not; made of the above when None.
        ranges: of 16-bit and float pictures, one for the whole dataset; found by looking at some of it when None.

    Raises:
        InputError: labels are not whole numbers in [0, n_classes), one for each image.
    """

    name: str
    items: Sequence[str]
    load: Callable[[int], Content]
    labels: Labels | None = None
    class_names: tuple[str, ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()
    taken: Taken = None  # type: ignore[assignment]
    ranges: DeepRanges = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        counts: dict[str, int] = {}
        if self.labels is not None:
            labels = np.asarray(self.labels)
            whole = np.issubdtype(labels.dtype, np.integer)
            if (
                not whole
                or labels.shape != (len(self.items),)
                or not np.isin(labels, range(len(self.class_names))).all()
            ):
                raise InputError(
                    f"the labels of '{self.name}' are not {len(self.items)} numbers from 0 to "
                    f"{len(self.class_names) - 1}; fennec.open_pictures takes names and leaves out what is missing"
                )
            numbers = np.bincount(labels, minlength=len(self.class_names))
            order = np.argsort(-numbers, kind="stable")
            counts = {self.class_names[label]: int(numbers[label]) for label in order if numbers[label]}
        if self.taken is None:
            object.__setattr__(self, "taken", Taken(self.name, len(self.items), counts))
        if self.ranges is None:
            object.__setattr__(self, "ranges", DeepRanges(self.load, len(self.items)))

    def __len__(self) -> int:
        return len(self.items)


@dataclass
class ReadReport:
    """What could not be read on the way.

    Attributes:
        n_read: images read.
        skipped: pairs (item, reason).
        n_flat: images read whose pixels are all the same.
    """

    n_read: int = 0
    skipped: list[tuple[str, str]] = field(default_factory=list)
    n_flat: int = 0

    def check_enough(self, name: str) -> None:
        """Raise when nothing is left to work with.

        Raises:
            InputError: no image could be read.
        """
        if self.n_read == 0:
            first = "; ".join(f"{printable(item)}: {reason}" for item, reason in self.skipped[:3])
            raise DataError(f"none of the {len(self.skipped)} images of '{name}' could be read ({first})")


def sample(dataset: ImageDataset, *, max_images: int = 500, random_state: int = 0) -> NDArray[np.intp]:
    """Seeded draw of positions, as many of each class as possible, in reading order.

    Args:
        dataset: what to draw from.
        max_images: how many at most.
        random_state: seed.

    Returns:
        Sorted positions, shape (min(max_images, n_images),). Class counts differ by at most one, except
        where a class has no more images.

    Raises:
        InputError: max_images is below 1.
    """
    if max_images < 1:
        raise InputError(f"max_images is {max_images}; use at least 1")
    order = np.random.default_rng(random_state).permutation(len(dataset))
    if dataset.labels is not None:
        # Position of every image within its class: taking low turns first goes round the classes.
        labels = dataset.labels[order]
        by_class = np.argsort(labels, kind="stable")
        starts = np.searchsorted(labels[by_class], labels[by_class], side="left")
        turn = np.empty(len(order), dtype=np.int64)
        turn[by_class] = np.arange(len(order)) - starts
        order = order[np.argsort(turn, kind="stable")]
    return np.sort(order[:max_images])


def iter_images(
    dataset: ImageDataset, indices: NDArray[np.intp], report: ReadReport, *, min_side: int | None = None
) -> Iterator[tuple[int, Image.Image]]:
    """Decode images in order with a few threads, skipping what cannot be read.

    Args:
        dataset: where from.
        indices: positions to read.
        report: counts what was read and lists what was not.
        min_side: pictures may be decoded smaller, down to this shorter side.

    Yields:
        Position and RGB picture.
    """
    report.skipped.extend(dataset.skipped)

    def read(index: int) -> tuple[Image.Image, bool] | str:
        try:
            with readable():
                image = decode(dataset.load(index), min_side=min_side, ranges=dataset.ranges)
                return image, is_flat(image)
        except UnreadableImage as error:
            return str(error)

    with ThreadPoolExecutor(max_workers=max(4, os.cpu_count() or 4), thread_name_prefix="decode") as pool:
        waiting = deque((int(index), pool.submit(read, int(index))) for index in indices[:LOOK_AHEAD])
        following = iter(indices[LOOK_AHEAD:])
        try:
            while waiting:
                index, future = waiting.popleft()
                found = future.result()
                if (upcoming := next(following, None)) is not None:
                    waiting.append((int(upcoming), pool.submit(read, int(upcoming))))
                if isinstance(found, str):
                    report.skipped.append((dataset.items[index], found))
                else:
                    image, flat = found
                    report.n_read += 1
                    report.n_flat += flat
                    yield index, image
        finally:
            for _, future in waiting:
                future.cancel()


def encode_labels(names: Sequence[str]) -> tuple[Labels, tuple[str, ...]]:
    """Class names as ints in [0, n_classes) and the sorted names."""
    unique, labels = np.unique(np.asarray(names, dtype=object).astype(str), return_inverse=True)
    return labels.astype(np.int64), tuple(str(name) for name in unique)


def count(n: int, noun: str) -> str:
    """A number with its noun: `1 picture`, `1,240 pictures`."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def _kind(kind: str, n: int) -> str:
    return f"{n:,} {kind}" if kind.startswith(".") else f"{count(n, 'file')} {kind}"


def _first(texts: list[str], what: str) -> str:
    rest = len(texts) - N_KINDS
    return ", ".join(texts[:N_KINDS]) + (f" and {rest} more {what}" if rest > 0 else "")
