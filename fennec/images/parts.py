"""Which names mean a part of a dataset: train, val and test, and what people call them.

In: names of splits or values of a column, folders of a tree. Out: their meaning, the part to take, which folders are
parts and which are classes. A name means a part only where its siblings do: `train` beside `bus` is a vehicle.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from fennec.errors import InputError

TRAIN, VAL, TEST, OTHER = "train", "val", "test", "other"
_WORDS = {
    TRAIN: "train training trn tr trainset trainingset trains learn learning fit",
    VAL: "val valid validation validate dev devel development eval evaluation valset validationset devset holdout",
    TEST: "test testing tst ts testset tests testingset",
    OTHER: "pred predict prediction predictions unlabeled unlabelled unsupervised extra inference submission",
}
MEANINGS = {word: meaning for meaning, words in _WORDS.items() for word in words.split()}
BESIDE_PARTS, BESIDE_CLASSES = "beside the parts", "beside the class folders"
Folders = tuple[str, ...]  # from the root down, without the file's name

# Words beside the one that matters: `train_images`, `Training Set`, `original_train`.
_PLAIN = frozenset([
    "image", "images", "img", "imgs", "picture", "pictures", "pic", "pics", "photo", "photos", "jpg", "jpeg", "jpegs",
    "jpegimages", "png", "pngs", "data", "dataset", "set", "sets", "split", "splits", "part", "folder", "dir", "files",
    "file", "crop", "crops", "cropped", "resized", "raw", "original", "full", "all", "final", "new", "the", "samples",
    "is", "in"
])  # fmt: skip
GENERIC = _PLAIN  # a folder of such a name is no class


def _tokens(name: str) -> list[str]:
    """Words of a name: `seg_train`, `train2017`, `TrainImages`, `imagesTr`."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return re.findall(r"[^\W\d_]+", spaced.casefold())


def meaning(name: str) -> str | None:
    """`train`, `val`, `test` or `other` (unlabelled, extra) by the one word of a name that says so, else None.

    Example:
        >>> [meaning(name) for name in ("TRAIN", "val2017", "seg_test", "Training Set", "invalid", "car")]
        ['train', 'val', 'test', 'train', None, None]
    """
    found = {MEANINGS[token] for token in _tokens(name) if token in MEANINGS}
    return found.pop() if len(found) == 1 else None


def is_generic(name: str) -> bool:
    """Whether a name says only that there are pictures: `images`, `Photos`, `JPEGImages`."""
    words = _tokens(name)
    return bool(words) and all(word in GENERIC for word in words)


def are_parts(names: Collection[str]) -> bool:
    """Whether names stand for parts: each has a meaning, one is train, val or test, and the rest of them is alike.

    Args:
        names: siblings, all of them.

    Example:
        >>> are_parts(["seg_train", "seg_test", "seg_pred"]), are_parts(["train", "bus"])
        (True, False)
        >>> are_parts(["train_station", "test_tube"])
        False
    """
    if {meaning(name) for name in names} <= {None, OTHER} or any(meaning(name) is None for name in names):
        return False
    rests = {frozenset(word for word in _tokens(name) if word not in MEANINGS and word not in _PLAIN) for name in names}
    own = rests - {frozenset()}
    if own and own != rests:  # `train` beside `test_stage1`; but `valid` beside `test_tube` are things
        return len(own) == 1 and TRAIN in {MEANINGS.get(name.casefold()) for name in names}
    return len(own) <= (1 if len(names) > 1 else 0)


def choose_parts(available: Iterable[str], wanted: str | None, where: str) -> tuple[str, ...]:
    """The part asked for, by its name or by its meaning, or else the training part by whatever name.

    Args:
        available: names of the parts, in any order.
        wanted: what the user asked for.
        where: the dataset, for the message.

    Returns:
        Names of one meaning, sorted: several where a part is kept in several (`train_1`, `train_2`); a bare word
        (`train`) wins over them. Empty where there are no parts.

    Raises:
        InputError: the part is not there; the message lists those that are.
    """
    names = sorted(set(available))
    if wanted is None:
        return next(
            (found for sense in (TRAIN, VAL, TEST, OTHER) if (found := of_meaning(names, sense))), tuple(names[:1])
        )
    if wanted in names:
        return (wanted,)
    same = tuple(name for name in names if name.casefold() == wanted.casefold())
    sense = meaning(wanted)
    found = same or (of_meaning(names, sense) if sense is not None and wanted.casefold() in MEANINGS else ())
    if not found:
        raise InputError(f"'{where}' has no split '{wanted}'; there are {', '.join(names) or 'none'}")
    return found


def of_meaning(names: Sequence[str], sense: str) -> tuple[str, ...]:
    """Those names that mean a part; the bare words alone where there are any."""
    found = tuple(name for name in names if meaning(name) == sense)
    return tuple(name for name in found if name.casefold() in MEANINGS) or found


def test_parts(names: Sequence[str]) -> list[tuple[str, ...]]:
    """What a model can be tested on, best first: the test part, else the validation part."""
    return [found for sense in (TEST, VAL) if (found := of_meaning(names, sense))]


def shard_of(stem: str) -> tuple[str, int | None, int | None]:
    """Name of the part or dataset that a file belongs to, which of its files it is, and of how many.

    Args:
        stem: file name without suffixes.

    Example:
        >>> shard_of("train-00001-of-00003"), shard_of("val-000012"), shard_of("digits")
        (('train', 1, 3), ('val', 12, None), ('digits', None, None))
    """
    if match := re.fullmatch(r"(.+?)[-_.](\d+)[-_.]of[-_.](\d+)(?:[-_.][0-9a-f]+)?", stem, re.IGNORECASE):
        return match[1], int(match[2]), int(match[3])
    if match := re.fullmatch(r"(.+?)[-_.](\d+)", stem):
        return match[1], int(match[2]), None
    return stem, None, None


@dataclass
class Layout:
    """What the folders of a tree mean.

    Attributes:
        part: of each folder, None outside parts.
        label: class of each folder, None where there is none.
        stray: why the pictures of a folder are left out.
        notes: what the user should know.
    """

    part: dict[Folders, str] = field(default_factory=dict)
    label: dict[Folders, str] = field(default_factory=dict)
    stray: dict[Folders, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def lay_out(counts: Mapping[Folders, int]) -> Layout:
    """Decide which folders are parts, which are classes, and which only hold everything.

    Args:
        counts: pictures directly in each folder that has some.

    Example:
        >>> found = lay_out({("pets", "Train", "cat"): 5, ("pets", "Train", "dog"): 5, ("pets", "Test"): 3})
        >>> found.part[("pets", "Test")], found.label[("pets", "Train", "cat")]
        ('Test', 'cat')
    """
    found = Layout()
    live, depth = set(counts), 0
    while True:
        inner = {path for path in live if len(path) > depth}
        names = _part_folders(inner, depth)
        if names:
            for path in live - {path for path in inner if path[depth] in names}:
                found.stray[path] = BESIDE_PARTS
            for name in names:
                below = {path for path in inner if path[depth] == name}
                found.part |= dict.fromkeys(below, name)
                _classes(found, below, depth + 1, counts)
            return found
        if (unwrapped := _unwrap(found, live, depth, counts)) is None:
            break
        live, depth = unwrapped, depth + 1
    second = {path[depth + 1] for path in live if len(path) > depth + 1}
    if all(len(path) > depth + 1 for path in live) and are_parts(second):  # class/part/picture
        for path in live:
            found.label[path], found.part[path] = path[depth], path[depth + 1]
        return found
    _classes(found, live, depth, counts, unwrap=False)
    return found


def _part_folders(inner: set[Folders], depth: int) -> set[str]:
    """Names at a depth that are parts, empty where they are not."""
    names = {path[depth] for path in inner}
    if are_parts(names):
        return names
    some = {name for name in names if meaning(name) is not None}
    if len({meaning(name) for name in some}) < 2 or not are_parts(some):
        return set()
    below: dict[str, set[str]] = defaultdict(set)
    for path in inner:
        below[path[depth]] |= set(path[depth + 1 : depth + 2])
    # Folders beside parts: the parts hold the same classes, and the others do not.
    shared = set.intersection(*(below[name] for name in some))
    return some if shared and not any(below[name] & shared for name in names - some) else set()


def _unwrap(found: Layout, live: set[Folders], depth: int, counts: Mapping[Folders, int]) -> set[Folders] | None:
    """Folders below the one that everything lies in, None where there is no such one or it is a class."""
    inner = {path for path in live if len(path) > depth}
    heads = {path[depth] for path in inner}
    loose = live - inner
    if len(heads) != 1 or sum(counts[path] for path in loose) > sum(counts[path] for path in inner):
        return None
    if not (all(len(path) > depth + 1 for path in inner) or is_generic(next(iter(heads)))):
        return None
    found.stray |= dict.fromkeys(loose, BESIDE_CLASSES)
    return inner


def _classes(
    found: Layout, live: set[Folders], depth: int, counts: Mapping[Folders, int], *, unwrap: bool = True
) -> None:
    """Classes of the folders of one part."""
    while unwrap and (below := _unwrap(found, live, depth, counts)) is not None:
        live, depth = below, depth + 1
    inner = {path for path in live if len(path) > depth}
    heads = sorted({path[depth] for path in inner})
    n_loose, n_inner = sum(counts[path] for path in live - inner), sum(counts[path] for path in inner)
    if not heads:
        return
    if n_loose and (n_loose > n_inner or len(heads) == 1):
        found.notes.append(
            f"no classes, as {n_loose:,} of its pictures lie beside the folders ({', '.join(heads[:3])})"
        )
        return
    found.stray |= dict.fromkeys(live - inner, BESIDE_CLASSES)
    found.label |= {path: path[depth] for path in inner}
    flat = {path[depth] for path in inner if len(path) == depth + 1}
    for head in sorted(set(heads) - flat):
        own = sorted({path[depth + 1] for path in inner if path[depth] == head})
        if flat and len(own) > 1:
            found.notes.append(f"class '{head}' has folders of its own ({', '.join(own[:3])}): are these the classes?")
