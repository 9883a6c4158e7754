"""Which names mean a part of a dataset: train, val and test, and what people call them.

In: names of splits or values of a column, folders of a tree. Out: their meaning, the part to take, which folders are
parts and which are classes. A name means a part only where its siblings do: `train` beside `bus` is a vehicle.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from fennec.errors import DataError, InputError

TRAIN, VAL, TEST, OTHER = "train", "val", "test", "other"
_WORDS = {
    TRAIN: "train training trainings trn tr trains learn learning fit entrenamiento entrainement treino treinamento",
    VAL: "val valid validation validate dev devel development eval evaluation holdout validierung validacion",
    TEST: "test testing tst ts tests teste prueba pruebas",
    OTHER: "pred predict prediction predictions unlabeled unlabelled unsupervised extra inference submission",
}
MEANINGS = {word: meaning for meaning, words in _WORDS.items() for word in words.split()}
_JOINT = {frozenset([TRAIN, VAL]): TRAIN, frozenset([VAL, TEST]): TEST}  # `trainval`
BESIDE_PARTS, BESIDE_CLASSES = "beside the parts", "beside the class folders"
Folders = tuple[str, ...]  # from the root down, without the file's name

# Words beside the one that matters: `train_images`, `Training Set`, `original_train`.
GENERIC = frozenset([
    "image", "images", "img", "imgs", "picture", "pictures", "pic", "pics", "photo", "photos", "jpg", "jpeg", "jpegs",
    "jpegimages", "png", "pngs", "data", "dataset", "set", "sets", "split", "splits", "part", "folder", "dir", "files",
    "file", "crop", "crops", "cropped", "resized", "raw", "original", "full", "all", "final", "new", "the", "samples",
    "is", "in"
])  # fmt: skip
_PLAIN = GENERIC | {"public", "private", "stage", "daten", "datensatz", "satz", "bilder", "imgset"}
_GLUED = re.compile(  # `trainset`, `testdata`, `trainval`, `Trainingsdaten`, `imgtrain`
    "({plain})?({word})({word})?({plain})?".format(
        word="|".join(sorted((word for word in MEANINGS if len(word) > 2), key=len, reverse=True)),
        plain="|".join(sorted((word for word in _PLAIN if len(word) > 2), key=len, reverse=True)),
    )
)
_CODEC = re.compile(r"(?i)\.(snappy|gz|gzip|zstd|zst|lz4|lzo|br|brotli)$")  # as Spark writes it before `.parquet`
_WRITTEN = re.compile(  # with a hash behind the number, by Spark and its like
    r"(?i)(?:(?P<name>part)-(?:[rm]-)?(?=\d+-)|(?:(?P<other>.+?)[-_.])?(?=\d+[-_.](?:[0-9a-f]{16}|[0-9a-f]{8}-[0-9a-f]{4}-)))"
    r"(?P<index>\d+)[-_.].+"
)


def _tokens(name: str) -> list[str]:
    """Words of a name: `seg_train`, `train2017`, `TrainImages`, `imagesTr`, `trainA`, `trainset`."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    words = []
    for word in re.findall(r"[^\W\d_]+", spaced.casefold()):
        glued = None if word in MEANINGS else _GLUED.fullmatch(word)
        words += [word] if glued is None else [piece for piece in glued.groups() if piece]
    return words


def _is_bare(name: str) -> bool:
    """Whether a name is the word for a part and nothing else."""
    return name.casefold() in MEANINGS


def meaning(name: str) -> str | None:
    """`train`, `val`, `test` or `other` (unlabelled, extra) by the one word of a name that says so, else None.

    `trainval` is a training part: both are at hand before the test.

    Example:
        >>> [meaning(name) for name in ("TRAIN", "val2017", "trainval", "Training Set", "testset", "invalid")]
        ['train', 'val', 'train', 'train', 'test', None]
    """
    found = frozenset(MEANINGS[token] for token in _tokens(name) if token in MEANINGS)
    return next(iter(found)) if len(found) == 1 else _JOINT.get(found)


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
    rests = {frozenset(words) for words in _rests(names).values()}
    own = rests - {frozenset()}
    if own and own != rests:  # `train` beside `test_stage1`; but `valid` beside `test_tube` are things
        return len(own) == 1 and any(_is_bare(name) and meaning(name) == TRAIN for name in names)
    return len(own) <= (1 if len(names) > 1 else 0)


def _rests(names: Collection[str]) -> dict[str, list[str]]:
    """Words of each name that say neither a part nor that there are pictures, nor count (`a. Train`)."""
    rests = {name: [word for word in _tokens(name) if word not in MEANINGS and word not in _PLAIN] for name in names}
    counted = {match[1].casefold() for name in names if (match := re.match(r"\W*([A-Za-z])[.)_ ]", name))}
    return {name: words[1:] for name, words in rests.items()} if len(counted) == len(rests) > 1 else rests


def says_split(name: str) -> bool:
    """Whether the name of a column says that it splits, whatever its values: `data_split`, `train_or_test`.

    Example:
        >>> [says_split(name) for name in ("Split", "split_name", "train_or_test", "traintest", "split_lip", "train")]
        [True, True, True, True, False, False]
    """
    words = [word for word in _tokens(name) if word not in _PLAIN - {"split", "splits"}]
    words = [word for word in words if word not in ("name", "type", "id", "or", "and", "vs", "flag")]
    senses = {MEANINGS[word] for word in words if word in MEANINGS}
    own = {"split", "splits", "partition", "partitions"} & set(words)
    return (bool(own) or len(senses) > 1) and all(word in MEANINGS or word in own for word in words)


def choose_parts(
    available: Iterable[str], wanted: str | None, where: str, column: str | None = None
) -> tuple[str, ...]:
    """The part asked for, by its name or by its meaning, or else the training part by whatever name.

    Args:
        available: names of the parts, in any order.
        wanted: what the user asked for.
        where: the dataset, for the message.
        column: that the names are values of, for the message.

    Returns:
        Names of one meaning, sorted: several where a part is kept in several (`train_1`, `train_2`); a bare word
        (`train`) wins over them. Empty where there are no parts.

    Raises:
        InputError: the part is not there, or none is asked for and no name says what it is; the message lists them.
    """
    names = sorted(set(available))
    if wanted is None:
        found = next((found for sense in (TRAIN, VAL, TEST, OTHER) if (found := of_meaning(names, sense))), ())
        if not found and len(names) > 1:
            place = f"'{where}'" if column is None else f"column '{column}' of '{where}'"
            shown = ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
            raise DataError(f"{place} has the parts {shown} and none of these names says which is for training; "
                             f"choose one: --split {names[0]}")  # fmt: skip
        return found or tuple(names)
    if wanted in names:
        return (wanted,)
    same = tuple(name for name in names if name.casefold() == wanted.casefold())
    sense = meaning(wanted)
    says = wanted.casefold() in MEANINGS or "".join(_tokens(wanted)) in ("trainval", "valtest", "testval")
    found = same or (of_meaning(names, sense) if sense is not None and says else ())
    if not found:
        raise InputError(f"'{where}' has no split '{wanted}'; there are {', '.join(names) or 'none'}")
    return found


def of_meaning(names: Sequence[str], sense: str) -> tuple[str, ...]:
    """Those names that mean a part; the bare words alone where there are any, `trainval` only where nothing else is."""
    found = tuple(name for name in names if meaning(name) == sense)
    single = tuple(name for name in found if {MEANINGS.get(word, sense) for word in _tokens(name)} == {sense})
    return tuple(name for name in found if _is_bare(name)) or single or found


def test_parts(names: Sequence[str]) -> list[tuple[str, ...]]:
    """What a model can be tested on, best first: the test part, else the validation part."""
    return [found for sense in (TEST, VAL) if (found := of_meaning(names, sense))]


def shard_of(stem: str) -> tuple[str, int | None, int | None]:
    """Name of the part or dataset that a file belongs to, which of its files it is, and of how many.

    Args:
        stem: file name without its last suffix.

    Example:
        >>> shard_of("train-00001-of-00003"), shard_of("val-000012"), shard_of("0003"), shard_of("digits")
        (('train', 1, 3), ('val', 12, None), ('', 3, None), ('digits', None, None))
        >>> shard_of("part-00002-5fd6c5b9-c000.snappy")
        ('part', 2, None)
    """
    stem = _CODEC.sub("", stem)
    if match := re.fullmatch(r"(.+?)[-_.](\d+)[-_.]of[-_.](\d+)(?:[-_.][0-9a-f]+)?", stem, re.IGNORECASE):
        return match[1], int(match[2]), int(match[3])
    if match := _WRITTEN.fullmatch(stem):
        return match["name"] or match["other"] or "", int(match["index"]), None
    if match := re.fullmatch(r"(?:(.+?)[-_.])?(\d+)", stem):
        return match[1] or "", int(match[2]), None
    return stem, None, None


def check_shards(files: Iterable[str], where: str) -> None:
    """Refuse files of one dataset where some are missing: by the number in their names, or by a gap.

    Args:
        files: paths without suffixes.
        where: the source, for the message.

    Raises:
        InputError: a file is missing.
    """
    there: dict[tuple[str, int | None], set[int]] = defaultdict(set)
    for file in files:
        folder, slash, base = file.rpartition("/")
        name, index, of = shard_of(base)
        is_gapless = not _WRITTEN.fullmatch(_CODEC.sub("", base)) and "=" not in folder  # those leave out empty files
        if index is not None and is_gapless and (name or len(base) > 3):  # `7` beside `9` may be classes
            there[folder + slash + name, of].add(index)
    for (name, of), numbers in there.items():
        if of is not None:
            wanted = set(range(of)) if 0 in numbers or of not in numbers else set(range(1, of + 1))
        else:  # numbers that begin elsewhere are years or the like
            wanted = set(range(min(numbers), max(numbers))) if min(numbers) <= 1 else set()
        if missing := sorted(wanted - numbers):
            there_are = f"{len(numbers)} of {len(wanted | numbers)} files of '{name or 'one dataset'}'"
            raise DataError(f"'{where}' has {there_are} (number {missing[0]} is missing); complete the download")


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
        if all(len(path) == depth + 1 for path in live) and (
            crossed := _part_and_class({path[depth] for path in inner})
        ):
            for path in live:
                found.part[path], found.label[path] = crossed[path[depth]]
            return found
        if (unwrapped := _unwrap(found, live, depth, counts)) is None:
            break
        live, depth = unwrapped, depth + 1
    second = {path[depth + 1] for path in live if len(path) > depth + 1}
    if all(len(path) > depth + 1 for path in live) and are_parts(second):  # class/part/picture
        for path in live:
            found.label[path], found.part[path] = path[depth], path[depth + 1]
        _doubt(found, _names_below(live, depth, depth + 2))
        return found
    _classes(found, live, depth, counts, unwrap=False)
    return found


def _part_folders(inner: set[Folders], depth: int) -> set[str]:
    """Names at a depth that are parts, empty where they are not."""
    names = {path[depth] for path in inner}
    if are_parts(names):
        return names
    some = {name for name in names if meaning(name) is not None}
    if len({meaning(name) for name in some}) < 2:
        return set()
    # Other words, or folders beside parts: those that hold folders hold the same classes, and the others do not.
    below = _names_below(inner, depth, depth + 1)
    shared = set.intersection(*([below[name] for name in some if below[name]] or [set()]))
    enough = 1 if are_parts(some) and all(below[name] for name in some) else 2
    return some if len(shared) >= enough and not any(below[name] & shared for name in names - some) else set()


def _names_below(live: Collection[Folders], depth: int, lower: int) -> dict[str, set[str]]:
    """Names of folders at a lower depth, for each name at a depth."""
    below: dict[str, set[str]] = defaultdict(set)
    for path in live:
        below[path[depth]] |= set(path[lower : lower + 1])
    return below


def _names_inside(paths: Collection[Folders]) -> set[str]:
    """Names of folders at the top, or below the one that holds all pictures and is called for that (`images`)."""
    names = {path[0] if path else "" for path in paths}
    if len(names) == 1 and is_generic(next(iter(names))):
        return _names_inside({path[1:] for path in paths}) or names
    return names - {""}


def _part_and_class(names: Collection[str]) -> dict[str, tuple[str, str]]:
    """Part and class of folders that are named after both (`trainA`, `trainB`, `testA`, `testB`), else nothing."""
    found: dict[str, tuple[str, str]] = {}
    for name in names:
        words = [word for word in _tokens(name) if word in MEANINGS]
        if len(words) != 1 or len(_tokens(name)) < 2:
            return {}
        before, part, after = re.split(f"({re.escape(words[0])})", name, maxsplit=1, flags=re.IGNORECASE)
        found[name] = part, f"{before.strip(' _-.')} {after.strip(' _-.')}".strip()
    classes: dict[str, set[str]] = defaultdict(set)
    for part, label in found.values():
        classes[part].add(label)
    alike = len(set(map(frozenset, classes.values()))) == 1
    return found if alike and are_parts(classes) and len(classes) > 1 and len(found) >= 2 * len(classes) else {}


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
    _doubt(found, {head: _names_inside({path[depth + 1 :] for path in inner if path[depth] == head}) for head in heads})
    generic = [head for head in heads if is_generic(head)]
    if len(generic) == 1 < len(heads):  # `images` beside `masks`
        beside = next(head for head in heads if head not in generic)
        note = f"{generic[0]} is taken as a class, as '{beside}' beside it holds pictures too"
        found.notes += [note] if note not in found.notes else []
    bare = [head for head in heads if MEANINGS.get(head.casefold()) in (TRAIN, VAL, TEST)]
    if bare:
        other = next((head for head in heads if head not in bare), None)
        taken = f"{bare[0]} is taken as a class" if len(bare) == 1 else f"{', '.join(bare)} are taken as classes"
        why = f"'{other}' beside {'it' if len(bare) == 1 else 'them'} is no part"
        found.notes.append(f"{taken}, as {'this is within a part' if other is None else why}")


def _doubt(found: Layout, below: Mapping[str, set[str]]) -> None:
    """Note where the folders below those taken as classes look like the classes."""
    often = Counter(name for names in below.values() for name in names if not is_generic(name))
    shared = sorted(name for name, n in often.items() if n >= max(2, len(below) / 2))
    if are_parts(shared):  # and yet no parts, as another class has none
        found.notes.append(f"folders {', '.join(shared[:3])} are taken together, as not every class has them alone")
        return
    if len(shared) > 1:
        heads = sorted(below)
        note = (f"{', '.join(heads[:3])}{', ...' if len(heads) > 3 else ''} are taken as classes, and hold folders of "
                f"the same names ({', '.join(shared[:3])}{', ...' if len(shared) > 3 else ''}): if these are the "
                f"classes, give one folder, such as '{heads[0]}', alone")  # fmt: skip
        if note not in found.notes:
            found.notes.append(note)
        return
    for head in sorted(name for name, own in below.items() if len(own) > 1):
        if not all(below.values()):
            own = ", ".join(sorted(below[head])[:3])
            are = f"parts of a dataset? Then give '{head}' alone" if are_parts(below[head]) else "the classes?"
            found.notes.append(f"class '{head}' has folders of its own ({own}): are these {are}")
