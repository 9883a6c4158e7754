"""A labelled dataset as a task to be trained on: training and test images, split once for all models."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fennec.errors import DataError, FennecError

from .datasets import ImageDataset, ReadReport, iter_images, sample
from .open import open_dataset
from .parts import test_parts

N_HASHED = 16  # pictures of a part that tell it from another of the same names and classes
HELD_OUT = "a fifth of each class is held out for the test"


@dataclass(frozen=True, eq=False)
class TaskImages:
    """Images of one task, split once for all models.

    Attributes:
        train: images to train on, their labels in [0, n_classes).
        test: images to test on, labels of the same classes.
    """

    train: ImageDataset
    test: ImageDataset

    def identity(self) -> dict[str, str]:
        """What was taken for `train` and `test` in words, and a hash of some `pictures` of both."""
        digest = hashlib.sha256()
        for part in (self.train, self.test):
            some = np.unique(np.linspace(0, len(part) - 1, N_HASHED).astype(np.intp))
            for _, image in iter_images(part, some, ReadReport()):
                digest.update(repr(image.size).encode() + image.tobytes())
        return {"train": str(self.train.taken), "test": str(self.test.taken), "pictures": digest.hexdigest()[:32]}


def open_task(source: str, *, n_train: int = 1000, n_test: int = 1000, seed: int = 0) -> TaskImages:
    """Training and test images of a dataset; `.taken` of both says which parts they come from.

    Args:
        source: as `open_dataset` takes it. Where it has no test (or else validation) part, a fifth of the images
            of each class, always the same, is the test part.
        n_train: training images at most, balanced over classes.
        n_test: test images at most, balanced over classes.
        seed: of the draw of training images; the test images do not depend on it.

    Raises:
        InputError: no labels, one class only, a class without training images, a test part without labels, or nothing
            to open.
    """
    whole = open_dataset(source)
    if whole.labels is None:
        raise DataError(f"{whole.taken}; a model cannot be trained on '{source}' without labels")
    test = _test_part(source, whole)
    if test is None:
        held = _fifth(whole.labels)
        if not len(held):
            raise DataError(f"'{source}' has no test part and fewer than 5 images of every class; give it a test part")
        whole = replace(whole, taken=replace(whole.taken, notes=(*whole.taken.notes, f"no test part: {HELD_OUT}")))
        train, test = _part(whole, np.setdiff1d(np.arange(len(whole)), held)), _part(whole, held)
    else:
        train = whole
    train = _part(train, sample(train, max_images=n_train, random_state=seed))
    test = _part(test, sample(test, max_images=n_test, random_state=0))
    assert train.labels is not None
    assert test.labels is not None
    if len(np.unique(train.labels)) < 2:
        raise DataError(f"'{source}' has one class, '{train.class_names[train.labels[0]]}'; expected at least two")
    unknown = sorted({test.class_names[label] for label in np.unique(test.labels)} - set(train.class_names))
    if unknown:
        raise DataError(f"class '{unknown[0]}' of '{source}' has test images but no training images")
    number = {name: label for label, name in enumerate(train.class_names)}
    labels = np.array([number[test.class_names[label]] for label in test.labels], dtype=np.int64)
    # One range of 16-bit and float pictures for both parts, found in the training part.
    return TaskImages(train, replace(test, labels=labels, class_names=train.class_names, ranges=train.ranges))


def describe(source: str, *, report: Callable[[str], None] = lambda message: None) -> dict[str, Any]:
    """What is taken of a task for training and for testing, before any model is measured.

    Args:
        source: as `open_task` takes it.
        report: told both in a line each, or why the task cannot be opened.

    Returns:
        `train` and `test` as `Taken.to_dict` gives them, or `error`.
    """
    try:
        task = open_task(source)
    except FennecError as error:  # the cells of this task are recorded as failures with this reason
        report(str(error))
        return {"error": str(error)}
    for images in (task.train, task.test):
        report(str(images.taken))
    return {"train": task.train.taken.to_dict(), "test": task.test.taken.to_dict()}


def _test_part(source: str, train: ImageDataset) -> ImageDataset | None:
    """The test part, or else the validation part, None where there is neither.

    Raises:
        InputError: none of them has labels.
    """
    unlabelled: list[str] = []
    for names in test_parts(train.taken.other_parts):
        opened = [open_dataset(source, split=name) for name in names]
        labelled = [part for part in opened if part.labels is not None]
        if labelled:
            found = labelled[0]
            notes = [f'part "{name}" has no labels' for name in unlabelled]
            return replace(found, taken=replace(found.taken, notes=(*found.taken.notes, *notes)))
        unlabelled += names
    if unlabelled:
        raise DataError(
            f"the test part '{unlabelled[0]}' of '{source}' has no labels, so no model can be tested on it; give it "
            f"labels, or give the part '{train.taken.part}' alone, of which {HELD_OUT}"
        )
    return None


def _part(images: ImageDataset, positions: NDArray[np.intp]) -> ImageDataset:
    """Some of the images, and what is said of them; classes keep their numbers."""
    assert images.labels is not None
    labels = images.labels[positions]
    items = [images.items[position] for position in positions]
    counted = ImageDataset(images.name, items, images.load, labels, images.class_names).taken
    taken = replace(images.taken, n_images=counted.n_images, class_counts=counted.class_counts)
    return replace(
        images, items=items, load=lambda index: images.load(int(positions[index])), labels=labels, taken=taken
    )


def _fifth(labels: NDArray[np.int64]) -> NDArray[np.intp]:
    """Positions of a fifth of each class, rounded down, the same in every run."""
    order = np.random.default_rng(0).permutation(len(labels))
    members = [order[labels[order] == label] for label in np.unique(labels)]
    return np.sort(np.concatenate([positions[: len(positions) // 5] for positions in members]))
