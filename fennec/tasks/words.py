"""A description in words becomes a likeness to known tasks: where there are no images yet, and beside them.

In: what a person says of the pictures, names of the classes, how many pictures there will be. Out: `TaskDescription`:
how much of what is special to the task each known image set is expected to tell, by how alike the words are, and the
numbers. What is said of the known ones is in `data/tasks.csv`, `data/class_names.json` and `data/descriptions.csv`.
Source: Nadaraya 1964 and Watson 1964 for the shares, with a weight for what nobody knows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fennec.errors import InputError
from fennec.settings import data_dir

from .embedding import TaskEmbedding
from .text_encoders import TextEncoder, WordPieces, load_text_encoder

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]

# Written down before they were measured, and kept: what nine settings gain is in benchmark/space/words.py.
POWER = 2.0  # of likeness: how much more the nearest count
UNKNOWN = 0.1  # weight of what no known task tells
UNKNOWN_NUMBER = 0.5  # how alike a number is to one that nobody knows
NUMBERS = ("n_train", "n_classes")  # what is compared: pictures to train on, classes
N_TITLE = 60  # characters of a description that name the task


class Text(NamedTuple):
    """What is said of a task.

    Attributes:
        about: what the pictures show.
        class_names: of its classes.
    """

    about: str
    class_names: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class TaskDescription:
    """A task in words.

    Attributes:
        text: what was said.
        likeness: of the words with every known image set, 0 none in common to 1 the same words.
        shares: how much of what is special to the task each known image set tells, at least 0, less than 1 in all.
        encoder: what compared the words.
        n_images: how many images there will be, None when nobody said.
        images: embedding of images that are there already, None without.
    """

    text: Text
    likeness: Mapping[str, float]
    shares: Mapping[str, float]
    encoder: str
    n_images: int | None = None
    images: TaskEmbedding | None = None

    @property
    def name(self) -> str:
        """That of the images, or the beginning of the description."""
        if self.images is not None:
            return self.images.name
        about = " ".join(self.text.about.split())
        return about if len(about) <= N_TITLE else f"{about[: N_TITLE - 3].rstrip()}..."

    @property
    def said_of_classes(self) -> bool:
        """Whether the name of a class is a word: numbers say nothing."""
        return any(any(map(str.isalpha, name)) for name in self.text.class_names)


Task = TaskEmbedding | TaskDescription


def images_of(task: Task | None) -> TaskEmbedding | None:
    """The embedding of its images, None where there are none."""
    return task.images if isinstance(task, TaskDescription) else task


def shares_of(task: Task | None) -> Mapping[str, float]:
    """What its description tells of it, nothing where there is none."""
    return task.shares if isinstance(task, TaskDescription) else {}


class KnownTexts:
    """What is said of the known image sets, ready to be compared.

    Args:
        texts: by image set.
        encoder: of texts.
    """

    def __init__(self, texts: Mapping[str, Text], encoder: TextEncoder) -> None:
        self.image_sets = tuple(sorted(texts))
        known = [texts[name] for name in self.image_sets]
        self.encoder = encoder.fit([" ".join((text.about, *text.class_names)) for text in known])
        self.rows = self._rows(known)
        between = _dense(self.rows @ self.rows.T)
        self.typical = float(np.median(between[np.triu_indices(len(between), 1)])) if len(known) > 1 else 0.0

    def likeness(self, text: Text) -> Floats:
        """With every known image set, shape (n_known,): 0 no more alike than any two of them, 1 the same."""
        products = _dense(self.rows @ self._rows([text]).T)[:, 0]
        return np.clip((products - self.typical) / max(1.0 - self.typical, 1e-9), 0.0, 1.0)

    def _rows(self, texts: Sequence[Text]) -> Any:
        """Half for the description, half for the classes, however many there are."""
        from sklearn.preprocessing import normalize

        rows = self.encoder.encode([text.about for text in texts] + [", ".join(text.class_names) for text in texts])
        return normalize(rows[: len(texts)] + rows[len(texts) :])


def alike_in_size(own: Floats, others: Floats) -> Floats:
    """How alike numbers of a task are with those of known ones: the mean of min(a/b, b/a), 1 for the same.

    Args:
        own: NaN where nobody said, shape (n_numbers,); such a number does not count.
        others: NaN where nobody knows, which is a half alike, shape (n_known, n_numbers).

    Returns:
        Shape (n_known,); ones where nobody said anything.

    Example:
        >>> alike_in_size(np.array([1000.0, 10.0]), np.array([[1000.0, 100.0], [10.0, np.nan]])).tolist()
        [0.55, 0.255]
    """
    said = np.isfinite(own)
    if not said.any():
        return np.ones(len(others))
    ratio = np.minimum(own / others, others / own)[:, said]
    return np.asarray(np.where(np.isnan(ratio), UNKNOWN_NUMBER, ratio).mean(axis=1))


def mixture(likeness: Floats, sizes: Floats | float = 1.0, *, power: float = POWER, unknown: float = UNKNOWN) -> Floats:
    """How much of what is special to a task each known one tells, from how alike they are, shape (n_known,).

    Args:
        likeness: of the words, shape (n_known,).
        sizes: of the numbers, shape (n_known,).
        power: of the likeness of words.
        unknown: weight of what no known task tells.

    Example:
        >>> mixture(np.array([0.0, 0.0])).tolist()
        [0.0, 0.0]
    """
    weights = likeness**power * sizes
    return np.asarray(weights / (unknown + weights.sum()))


def describe_task(
    about: str,
    *,
    classes: Sequence[str] = (),
    n_images: int | None = None,
    images: TaskEmbedding | None = None,
    encoder: str | TextEncoder | None = None,
) -> TaskDescription:
    """Say in words what a task will be.

    Args:
        about: what the pictures show, in English where the encoder is the one that comes with Fennec.
        classes: their names; those of the images when they have labels.
        n_images: how many there will be; known tasks of as many images and classes count more. Those of the images
            when None.
        images: embedding of images that are there already; words then join them.
        encoder: a loaded one, or what `load_text_encoder` takes; words and pieces of words when None.

    Raises:
        InputError: no description, an empty class name or one given twice, a number in place of names, less than one
            image, or classes beside images that have labels.
        FennecError: as `load_text_encoder` does.

    Example:
        >>> describe_task("aerial photographs of crops", classes=["wheat", "maize"]).name
        'aerial photographs of crops'
    """
    if not about.strip():
        raise InputError("the description is empty; say what the pictures show, such as 'chest X-rays of children'")
    if n_images is not None and n_images < 1:
        raise InputError(f"{n_images} images; expected at least 1, or nothing where nobody knows")
    names = tuple(" ".join(name.split()) for name in classes)
    if "" in names:
        raise InputError("the name of a class is empty; give names such as wheat,maize,barley")
    if len(names) == 1 and names[0].isdecimal():
        raise InputError(
            f"'{names[0]}' is one class by name; give the names of all, such as wheat,maize,barley, or leave them out"
        )
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"class '{twice}' is named twice; give every class once")
    if images is not None and images.class_names:
        if names:
            raise InputError(
                f"the images have labels of {len(images.class_names)} classes; leave the names of classes out"
            )
        names = images.class_names
    known = known_texts() if encoder is None else KnownTexts(load_texts(), _loaded(encoder))
    text = Text(about, names)
    likeness = known.likeness(text)
    n_there = np.nan if images is None else images.n_in_all
    own = np.array([n_images or n_there, len(names) or np.nan])
    numbers = known_numbers().reindex(list(known.image_sets)).to_numpy(dtype=np.float64)
    shares = mixture(likeness, alike_in_size(own, numbers))
    return TaskDescription(
        text,
        dict(zip(known.image_sets, likeness.tolist(), strict=True)),
        {name: share for name, share in zip(known.image_sets, shares.tolist(), strict=True) if share > 0},
        known.encoder.name,
        n_images,
        images,
    )


def _loaded(encoder: str | TextEncoder) -> TextEncoder:
    return load_text_encoder(encoder) if isinstance(encoder, str) else encoder


def _dense(rows: Any) -> Floats:
    """Products of sparse rows are sparse."""
    return np.asarray(rows.toarray() if hasattr(rows, "toarray") else rows, dtype=np.float64)


@lru_cache(maxsize=1)
def known_texts() -> KnownTexts:
    """Those of all known image sets, by words and pieces of words."""
    return KnownTexts(load_texts(), WordPieces())


@lru_cache(maxsize=1)
def known_numbers() -> pd.DataFrame:
    """Medians of `NUMBERS` over the tasks of every known image set, NaN for unknown."""
    import pandas as pd

    tasks = pd.read_csv(data_dir() / "tasks.csv", usecols=["image_set", *NUMBERS])
    numbers = tasks[list(NUMBERS)].apply(pd.to_numeric, errors="coerce")
    found: pd.DataFrame = numbers.groupby(tasks["image_set"]).median()
    return found


def load_texts() -> dict[str, Text]:
    """What is said of every known image set: titles, domains and kinds of its tasks, a description, class names."""
    import pandas as pd

    tasks = pd.read_csv(data_dir() / "tasks.csv", dtype=str, keep_default_na=False)
    described = pd.read_csv(data_dir() / "descriptions.csv", index_col="image_set")["description"]
    classes = json.loads((data_dir() / "class_names.json").read_text(encoding="utf-8"))
    found = {}
    for name, rows in tasks.groupby("image_set"):
        said = [*rows["title"], *rows["domain"], *rows["granularity"], described.get(name, "")]
        names = [label for task in rows["task"] for label in classes.get(task, ())]
        found[str(name)] = Text(". ".join(dict.fromkeys(filter(None, said))), tuple(dict.fromkeys(names)))
    return found
