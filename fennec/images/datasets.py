"""What an image dataset is: a lazy list of images with labels where there are any.

In: names, contents and labels from a reader (`folders`, `archives`, `manifests`, `libraries`). Out: `ImageDataset`,
a balanced draw of it, its pictures in order. Nothing is decoded before it is asked for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fennec.errors import InputError

from .decode import UnreadableImage, decode

Content = bytes | str | Path | Image.Image
Labels = NDArray[np.int64]
LOOK_AHEAD = 32  # images decoded ahead of their use


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
    """

    name: str
    items: Sequence[str]
    load: Callable[[int], Content]
    labels: Labels | None = None
    class_names: tuple[str, ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()

    def __len__(self) -> int:
        return len(self.items)


@dataclass
class ReadReport:
    """What could not be read on the way.

    Attributes:
        n_read: images read.
        skipped: pairs (item, reason).
    """

    n_read: int = 0
    skipped: list[tuple[str, str]] = field(default_factory=list)

    def check_enough(self, name: str) -> None:
        """Raise when nothing is left to work with.

        Raises:
            InputError: no image could be read.
        """
        if self.n_read == 0:
            first = "; ".join(f"{_printable(item)}: {reason}" for item, reason in self.skipped[:3])
            raise InputError(f"none of the {len(self.skipped)} images of '{name}' could be read ({first})")


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

    def read(index: int) -> Image.Image | str:
        try:
            return decode(dataset.load(index), min_side=min_side)
        except UnreadableImage as error:
            return str(error)

    with ThreadPoolExecutor(max_workers=4, thread_name_prefix="decode") as pool:
        waiting = deque((int(index), pool.submit(read, int(index))) for index in indices[:LOOK_AHEAD])
        following = iter(indices[LOOK_AHEAD:])
        try:
            while waiting:
                index, future = waiting.popleft()
                image = future.result()
                if (upcoming := next(following, None)) is not None:
                    waiting.append((int(upcoming), pool.submit(read, int(upcoming))))
                if isinstance(image, str):
                    report.skipped.append((dataset.items[index], image))
                else:
                    report.n_read += 1
                    yield index, image
        finally:
            for _, future in waiting:
                future.cancel()


def encode_labels(names: Sequence[str]) -> tuple[Labels, tuple[str, ...]]:
    """Class names as ints in [0, n_classes) and the sorted names."""
    unique, labels = np.unique(np.asarray(names, dtype=object).astype(str), return_inverse=True)
    return labels.astype(np.int64), tuple(str(name) for name in unique)


def choose_split(available: Sequence[str], split: str | None, where: str) -> str:
    """The split asked for, or the training part, or the first.

    Raises:
        InputError: it is not there; the message lists those that are.
    """
    if split is not None:
        if split not in available:
            raise InputError(f"'{where}' has no split '{split}'; there are {', '.join(available) or 'none'}")
        return split
    return next((name for name in ("train", "training") if name in available), available[0])


def _printable(name: str) -> str:
    """A name that any terminal can show: bytes that are no text are escaped."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")
