"""Which column holds the pictures, the labels and the part of a table, and which labels are missing.

In: a data frame without pictures in it, what the user asked for. Out: texts of labels, None where there is none.
Missing is missing in every source (None, NaN, empty, -1 beside 0, 1, ... or 1, 2, ...); the text `None` or
`NA` is a name.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from fennec.errors import DataError, InputError, did_you_mean

from . import parts
from .datasets import count

if TYPE_CHECKING:
    import pandas as pd

IMAGE_COLUMNS = (
    "image", "path", "file", "filename", "file_name", "filepath", "file_path", "image_path", "img", "img_path",
    "image_file", "image_filename", "image_name", "img_name", "photo", "picture", "jpg", "png", "webp", "jpeg",
    "image_id", "img_id", "id_code", "isic_id", "id", "name", "uri", "url"
)  # fmt: skip
LABEL_COLUMNS = (
    "class_name", "label", "class", "target", "category", "labels", "label_name", "class_label", "category_name",
    "classname", "cls", "diagnosis", "dx", "species", "breed", "class_id", "label_id", "category_id", "fine_label",
    "coarse_label", "classes", "targets", "y", "tag", "tags"
)  # fmt: skip
PART_COLUMNS = ("split", "part", "partition", "subset", "set", "usage", "phase", "fold", "data_set", "dataset")
HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"
YES, NO = frozenset(["1", "true", "yes", "1.0"]), frozenset(["0", "false", "no", "0.0"])
N_TRIED = 200  # rows looked at to see whether a column may have few values
FEW = 20  # distinct values that can be classes even where they are no whole numbers


@dataclass(frozen=True)
class Wanted:
    """Columns that the user asked for, None to find them.

    Attributes:
        image: column of pictures or their paths.
        label: column of classes.
    """

    image: str | None = None
    label: str | None = None


@dataclass(frozen=True)
class Labels:
    """What a table says about classes.

    Attributes:
        values: one for each row, None where it is missing; None in all when the table has no labels.
        columns: those that were used.
        notes: what the user should know.
    """

    values: Sequence[str | None] | None
    columns: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def text_of(value: Any) -> str | None:
    """Name of a class as it stands in a source, None where there is none.

    Example:
        >>> [text_of(value) for value in ("None", None, float("nan"), " cat ", 3.0, "")]
        ['None', None, None, 'cat', '3', None]
    """
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return None
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if hasattr(value, "item") and getattr(value, "ndim", 1) == 0:  # a number of NumPy or torch
        value = value.item()
    if isinstance(value, float):
        if math.isnan(value):
            return None
        value = int(value) if value.is_integer() else value
    return str(value).strip() or None


def hive_cell(folder: str) -> tuple[str, str | None] | None:
    """Column and value of a folder as Hive and Spark name them, None where it is another.

    Example:
        >>> hive_cell("label=red%20oak"), hive_cell("split=__HIVE_DEFAULT_PARTITION__"), hive_cell("oak")
        (('label', 'red oak'), ('split', None), None)
    """
    column, mark, value = folder.partition("=")
    if not mark or not column.isidentifier():
        return None
    return column, None if value == HIVE_NULL else text_of(unquote(value))


def clean_labels(values: Iterable[Any]) -> list[str | None]:
    """Names of classes, None where a label is missing; -1 is missing beside two other whole numbers, or alone.

    Args:
        values: as they stand in a source, of any type.

    Example:
        >>> clean_labels([0, 1, -1]), clean_labels([-1, 1, 1]), clean_labels(["NA", "crack", None])
        (['0', '1', None], ['-1', '1', '1'], ['NA', 'crack', None])
    """
    texts = [text_of(value) for value in values]
    there = {text for text in texts if text is not None}
    if there and all(re.fullmatch(r"-?\d+\.0+", text) for text in there):  # whole numbers beside missing ones, as text
        texts = [text and text.partition(".")[0] for text in texts]
        there = {text for text in texts if text is not None}
    others = there - {"-1"}
    numbers = all(text.isdigit() for text in others)
    if "-1" in there and numbers and len(others) != 1:
        return [None if text == "-1" else text for text in texts]
    return texts


def find_image_column(
    columns: Sequence[str], wanted: str | None, where: str, fits: Callable[[str], bool] = lambda column: True
) -> str:
    """Column of pictures: the one asked for, or the first of a known name that fits, or else another that fits.

    A column with the name of one of labels is none: numbers of classes may be names of files too.

    Args:
        columns: that may hold pictures.
        wanted: what the user asked for.
        where: the table, for messages.
        fits: whether the values of a column lead to pictures.

    Raises:
        InputError: there is none.
    """
    if wanted is not None:
        return _asked(wanted, columns, where, "--image-column")
    known = [column for name in IMAGE_COLUMNS for column in columns if str(column).lower() == name]
    others = [column for column in columns if column not in known and str(column).lower() not in LABEL_COLUMNS]
    found = next((column for column in [*known, *others] if fits(column)), known[0] if known else None)
    if found is None:
        raise DataError(
            f"'{where}' has no column of image paths or images (it has {', '.join(map(str, columns))}); "
            f"name it {', '.join(IMAGE_COLUMNS[:4])} ..., or choose it with --image-column"
        )
    return found


def part_of_rows(frame: pd.DataFrame) -> tuple[list[str | None] | None, list[str]]:
    """Part of each row and the columns that say so; None where no column does.

    The values decide: a column all of whose values are names of parts, whatever its own name; then yes and no under
    names of parts (`isTrain`; `train`, `val`, `test` where nothing else is yes or no); then a column that is named a
    split, whatever its values.
    """
    columns = [column for column in frame.columns if _may_say_few(list(frame[column].head(N_TRIED)))]
    texts = {str(column): [text_of(value) for value in frame[column]] for column in columns}
    distinct = {column: set(values) - {None} for column, values in texts.items()}
    few = {column: {str(text) for text in there} for column, there in distinct.items() if 1 <= len(there) <= FEW}
    named = sorted(
        (name for name in few if name.lower() in PART_COLUMNS), key=lambda name: PART_COLUMNS.index(name.lower())
    )
    for column in named:
        if parts.TRAIN in map(parts.meaning, few[column]):
            return texts[column], [column]
    for column, there in few.items():
        is_path = any(mark in text for text in there for mark in "/\\.")
        of_parts = parts.TRAIN in map(parts.meaning, there) and parts.are_parts(there)
        if len(there) > 1 and of_parts and not is_path and column.lower() not in LABEL_COLUMNS:
            return texts[column], [column]
    answers = {column: [(text or "").lower() for text in texts[column]] for column, there in few.items()
               if len(there) == 2 and {text.lower() for text in there} <= YES | NO}  # fmt: skip
    if (told := _part_of_answers(answers)) is not None:
        return told
    guess = next((column for column, there in few.items() if len(there) > 1 and parts.says_split(column)), None)
    return (None, []) if guess is None else (texts[guess], [guess])


def _may_say_few(head: Sequence[Any]) -> bool:
    """Whether a column, by its first rows, may have few values."""
    if any(_is_list(value) or isinstance(value, (dict, bytes)) for value in head):
        return False
    return len(set(map(text_of, head))) <= FEW + 1


def _part_of_answers(answers: Mapping[str, Sequence[str]]) -> tuple[list[str | None], list[str]] | None:
    """Part of each row by columns of yes and no, None where none of them is named like a part."""
    senses = {column: sense for column in answers if (sense := parts.meaning(column)) not in (None, parts.OTHER)}
    asking = [column for column in senses if re.match(r"(?i)(is|in)[_ ]|is[A-Z]", column)]
    if not asking:  # beside other answers a column `train` is a class (`bus`, `train`); `valid` alone is a quality
        asking = list(senses) if len(senses) == len(answers) and set(senses.values()) != {parts.VAL} else []
    if not asking:
        return None
    rows = list(zip(*(answers[column] for column in asking), strict=True))
    if len(asking) > 1 and all(sum(answer in YES for answer in row) <= 1 for row in rows):
        return [next((senses[c] for c, answer in zip(asking, row, strict=True) if answer in YES), None)
                for row in rows], asking  # fmt: skip
    sense = str(senses[asking[0]])
    other = parts.TEST if sense == parts.TRAIN else parts.TRAIN
    return [None if not row[0] else sense if row[0] in YES else other for row in rows], asking[:1]


def labels_of(
    frame: pd.DataFrame, wanted: str | None, where: str, class_names: Mapping[str, Sequence[str]] | None = None
) -> Labels:
    """Labels of a table: the column asked for, or one of a known name, or columns of which one is 1 in each row.

    Args:
        frame: without the columns of pictures and parts.
        wanted: what the user asked for.
        where: the table, for messages.
        class_names: names of the classes of columns that hold their numbers.

    Raises:
        InputError: the column asked for is not there, or holds no classes.
    """
    names = class_names or {}
    columns = [str(column) for column in frame.columns]
    frame = frame.set_axis(columns, axis=1)
    if wanted is not None:
        found = _column(frame, _asked(wanted, columns, where, "--label-column"), names)
        if found.values is None:
            raise InputError(f"'{where}': {found.notes[0]}")
        return found
    lower = {column.lower(): column for column in reversed(columns)}
    known = [lower[name] for name in LABEL_COLUMNS if name in lower]
    known += [column for column in columns if column in names and column not in known]
    if known:
        filled = [column for column in known if frame[column].notna().any()] or known[:1]
        found = _column(frame, filled[0], names)
        choice = f"labels are those of column '{filled[0]}', not of {', '.join(filled[1:4])} (--label-column chooses)"
        return replace(found, notes=(choice, *found.notes)) if len(filled) > 1 and found.columns else found
    if (one_hot := _one_hot(frame)) is not None:
        return one_hot
    maybe = [column for column in columns if _could_be_classes(list(frame[column]))]
    advice = f"could be labels: {', '.join(maybe)} (choose with --label-column)"
    return Labels(None, (), (advice,) if maybe else ())


def _column(frame: pd.DataFrame, column: str, names: Mapping[str, Sequence[str]]) -> Labels:
    """Labels of one column."""
    values = [_listed(value) for value in frame[column]]
    if any(_is_list(value) for value in values):
        sizes = [len(value) if _is_list(value) else 0 for value in values]
        if max(sizes) > 1:
            n_several = sum(size > 1 for size in sizes)
            return Labels(None, (), (f"column '{column}' has several labels for {count(n_several, 'picture')}, "
                                     "which Fennec cannot use: taken without labels",))  # fmt: skip
        values = [value[0] if size else None for value, size in zip(values, sizes, strict=True)]
    if any(isinstance(value, dict) for value in values):
        first = next(value for value in values if isinstance(value, dict))
        note = f"column '{column}' holds objects ({str(first)[:40]}) and no classes: taken without labels"
        return Labels(None, (), (note,))
    if column in names:
        values = [_name(value, names[column]) for value in values]
        return Labels(values, (column,), notes_on(values))
    texts = clean_labels(values)
    if _are_real(texts):
        some = ", ".join(text for text in texts[:3] if text is not None)
        return Labels(
            None, (), (f"column '{column}' holds numbers ({some}, ...) and no classes: taken without labels",)
        )
    return Labels(texts, (column,), notes_on(texts))


def notes_on(texts: Sequence[str | None]) -> tuple[str, ...]:
    """What is odd about labels: a class for each picture, several names in one."""
    there = [text for text in texts if text is not None]
    classes = set(there)
    notes = []
    if len(there) > 1 and len(classes) > len(there) / 2:
        notes.append(f"{len(classes):,} classes for {len(there):,} pictures: are these labels?")
    for mark in ("|", ";", ",", " "):
        several = [text for text in classes if mark in text]
        pieces = {piece.strip() for text in several for piece in text.split(mark)}
        if several and (pieces & classes or len(pieces) < len(several) + (mark != " ")):
            notes.append(f"labels such as '{min(several)}' are taken as one class each")
            break
    return tuple(notes)


def _one_hot(frame: pd.DataFrame) -> Labels | None:
    """Labels of columns of 0 and 1, named like the classes; None where there are no such columns."""
    answers = {column: [(text_of(value) or "").lower() for value in frame[column]] for column in frame.columns}
    columns = [column for column, values in answers.items() if set(values) <= YES | NO | {""} and YES & set(values)]
    if len(columns) < 2:
        return None
    chosen = [[column for column in columns if answers[column][row] in YES] for row in range(len(frame))]
    several = sum(len(names) > 1 for names in chosen)
    if several:
        return Labels(None, (), (f"columns {', '.join(columns[:3])} ... have several labels for "
                                 f"{count(several, 'picture')}, which Fennec cannot use: "
                                 "taken without labels",))  # fmt: skip
    return Labels([names[0] if names else None for names in chosen], tuple(columns))


def _asked(wanted: str, columns: Sequence[str], where: str, option: str) -> str:
    if wanted in columns:
        return wanted
    found = [column for column in columns if str(column).lower() == wanted.lower()]
    if len(found) == 1:
        return found[0]
    raise InputError(
        f"'{where}' has no column '{wanted}' for {option}{did_you_mean(wanted, map(str, columns))} "
        f"It has {', '.join(map(str, columns)) or 'none'}"
    )


def _name(value: Any, names: Sequence[str]) -> str | None:
    """Name of a class by its number, None where the number is withheld (-1) or missing."""
    text = text_of(value)
    if text is None or not text.lstrip("-").isdigit():
        return text
    return names[int(text)] if 0 <= int(text) < len(names) else None


def _listed(value: Any) -> Any:
    """A list that is written out (`['a', 'b']`, `["a"]`, `[a b]`) as a list, anything else as it is."""
    if not isinstance(value, str) or not re.fullmatch(r"\s*\[.*\]\s*", value, re.DOTALL):
        return value
    return [piece.strip("'\"") for piece in re.findall(r"'[^']*'|\"[^\"]*\"|[^\s,\[\]]+", value)]


def is_nested(value: Any) -> bool:
    """Whether a cell holds a list, an array or an object."""
    return isinstance(value, dict) or _is_list(value)


def rank(columns: Sequence[str]) -> int:
    """How well known a column of labels is, 0 the best."""
    return min((LABEL_COLUMNS.index(name) for column in columns if (name := column.lower()) in LABEL_COLUMNS),
               default=len(LABEL_COLUMNS))  # fmt: skip


def _is_list(value: Any) -> bool:
    return isinstance(value, (list, tuple, set)) or getattr(value, "ndim", 0) == 1


def _are_real(texts: Sequence[str | None]) -> bool:
    """Whether labels are measurements: numbers, not all whole, and too many to be classes."""
    there = [text for text in texts if text is not None]
    try:
        numbers = {float(text) for text in there}
    except ValueError:
        return False
    return any(not number.is_integer() for number in numbers) and len(numbers) > min(FEW, len(there) / 2)


def _could_be_classes(values: Sequence[Any]) -> bool:
    """Whether a column has at least two values, each several times."""
    if any(is_nested(value) or isinstance(value, bytes) for value in values):
        return False
    texts = [text for text in map(text_of, values) if text is not None]
    return 2 <= len(set(texts)) <= len(texts) / 2 and not _are_real(texts)
