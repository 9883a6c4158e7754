"""A person's file of results as text cells, whatever program wrote it, and what is found in it.

In: a CSV: UTF-8 or a Windows code page, separated by commas, semicolons, tabs or bars, decimal points or commas. Out:
`ResultsFile`, the cells with their lines and what was not plain about the file; `Findings`, which checks fill.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fennec.errors import DataError, InputError, said

if TYPE_CHECKING:
    import pandas as pd

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
LEVELS = ("wrong", "odd", "note")
N_SHOWN = 5  # lines and names in a finding
_LONGEST = 60  # characters of a name in a message
_LONGEST_TEXT = 500


@dataclass(frozen=True, eq=False)
class ResultsFile:
    """What stands in a file.

    Attributes:
        path: of the file.
        frame: its cells as text, None where empty, indexed by their line; decimal commas in `value` are points.
        notes: how it was read where that is not plain, one line each.
    """

    path: Path
    frame: pd.DataFrame
    notes: tuple[str, ...]


def read_cells(path: str | Path, columns: Sequence[str]) -> ResultsFile:
    """The cells of a file.

    Args:
        path: of the file.
        columns: that must be there, of any case.

    Raises:
        InputError: no such file, no text, no such column or one twice, a line of another length, or no line at all.
    """
    import pandas as pd

    path = Path(path)
    expected = f"expected a CSV with the columns {', '.join(columns)}"
    if not path.exists():
        raise InputError(f"no file {path}; {expected}")
    if not path.is_file():  # a pipe would be waited for
        raise DataError(f"{path} is no regular file; {expected}")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} is not a readable CSV ({error.strerror or error}); {expected}") from error
    text, notes = _decoded(path, content, expected)
    first = next((line for line in text.splitlines() if line.strip()), "")
    if not first:
        raise DataError(f"{path} is empty; {expected}")
    separator = max(SEPARATORS, key=lambda mark: (_hits(first, mark, columns), first.count(mark)))
    if separator != ",":
        notes.append(f"separated by {SEPARATORS[separator]}")
    header, lines, rows = _rows(path, text, separator, columns)
    if not rows:
        raise DataError(f"{path} has a header but no results")
    index = pd.Index(lines, name="line")
    frame = pd.DataFrame(rows, columns=header, index=index, dtype=object)
    if "value" in frame:
        commas = frame["value"].str.fullmatch(r"[+-]?\d*,\d+\s*%?", na=False)
        frame.loc[commas, "value"] = frame.loc[commas, "value"].str.replace(",", ".", regex=False)
        if commas.any():
            notes.append("decimal commas")
    return ResultsFile(path, frame, tuple(notes))


def _decoded(path: Path, content: bytes, expected: str) -> tuple[str, list[str]]:
    """The text, and a note where it is no UTF-8."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16", errors="replace"), ["read as UTF-16"]
    if b"\0" in content:
        raise DataError(f"{path} is not a readable CSV (no text, byte {content.index(0)} is zero); {expected}")
    try:
        return content.decode("utf-8-sig"), []
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        return content.decode("cp1252", errors="replace"), [f"read as Windows-1252: line {line} is no UTF-8"]


def _named(header: Sequence[str]) -> list[str]:
    return [name.strip().casefold() for name in header]


def _hits(line: str, separator: str, columns: Sequence[str]) -> int:
    """How many of the columns a header has when it is cut at a separator."""
    return len(set(columns) & {name.strip('" ') for name in _named(line.split(separator))})


def _rows(
    path: Path, text: str, separator: str, columns: Sequence[str]
) -> tuple[list[str], list[int], list[list[str | None]]]:
    """Names of the columns, the line on which each row begins, and the rows."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=True)
    header: list[str] = []
    lines, rows = [], []
    end = 0
    try:
        for row in reader:
            start, end = end + 1, reader.line_num
            cells = [cell.strip() for cell in row]
            if not any(cells):
                continue
            if not header:
                header = _named(cells)
                _check_header(path, header, columns)
                continue
            while len(cells) > len(header) and not cells[-1]:
                cells.pop()
            if len(cells) > len(header):
                advice = "; a decimal comma needs quotes, or semicolons between the columns" if separator == "," else ""
                raise DataError(f"{path} line {start} has {len(cells)} columns, the header has {len(header)}{advice}")
            cells += [""] * (len(header) - len(cells))
            lines.append(start)
            rows.append([cell or None for cell in cells])
    except csv.Error as error:
        advice = "; a quote that is opened must be closed" if '"' in text else ""
        raise DataError(f"{path} line {end + 1} is not a readable CSV ({said(error)}{advice})") from error
    return header, lines, rows


def _check_header(path: Path, header: list[str], columns: Sequence[str]) -> None:
    for column in columns:
        if column not in header:
            has = ", ".join(cut(name) for name in header[:10])
            raise DataError(f"{path} has no column '{column}' (it has {has}); expected {', '.join(columns)}")
    for name in filter(None, header):
        if header.count(name) > 1:
            raise DataError(f"{path} has two columns '{cut(name)}'; keep one")


@dataclass(frozen=True)
class Finding:
    """One thing about a file.

    Attributes:
        level: `wrong` must be mended, `odd` should be looked at, `note` says how the file was understood.
        kind: what it is about: reading, value, unit, name, task, metric, protocol, budget, duplicate, chance, constant,
            size, agreement, repeat, order or shift.
        text: one line for people.
        lines: of the file, where it is about some of them.
    """

    level: str
    kind: str
    text: str
    lines: tuple[int, ...] = ()


class Findings:
    """Findings as they come up.

    Args:
        found: those at the start.
    """

    def __init__(self, found: Iterable[Finding]) -> None:
        self.found = list(found)

    def add(self, level: str, kind: str, text: str, lines: Iterable[int] = ()) -> None:
        """One more."""
        self.found.append(Finding(level, kind, cut(text, _LONGEST_TEXT), tuple(int(line) for line in lines)))

    def add_lines(self, level: str, kind: str, text: str, bad: pd.Series[bool]) -> None:
        """One more where any line is bad; `LINES` in the text becomes their numbers."""
        if bad.any():
            lines = bad.index[bad.to_numpy()]
            self.add(level, kind, text.replace("LINES", lines_text(lines), 1), lines)

    def has_wrong(self, kind: str) -> bool:
        """Whether something of this kind is wrong."""
        return any(finding.level == "wrong" and finding.kind == kind for finding in self.found)

    def sorted(self) -> tuple[Finding, ...]:
        """All, by level."""
        return tuple(sorted(self.found, key=lambda finding: LEVELS.index(finding.level)))


def lines_text(lines: Iterable[int]) -> str:
    """`line 3`, or the first of them and how many more."""
    numbers = [str(line) for line in lines]
    if len(numbers) == 1:
        return f"line {numbers[0]}"
    more = f" and {len(numbers) - N_SHOWN} more" if len(numbers) > N_SHOWN else ""
    return f"lines {', '.join(numbers[:N_SHOWN])}{more}"


def first_of(values: pd.Series[float], where: pd.Series[bool]) -> str:
    """The first of some values, with its line."""
    return f"first line {values.index[where][0]}: {values[where].iloc[0]:g}"


def cut(text: str, length: int = _LONGEST) -> str:
    """A text of the file as short as a message needs it, without characters that steer a terminal."""
    plain = "".join(mark if mark.isprintable() else "\N{REPLACEMENT CHARACTER}" for mark in text[: length + 1])
    return plain if len(plain) <= length else f"{plain[:length]}..."
