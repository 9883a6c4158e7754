"""Files with rows: CSV, TSV, JSON lines and parquet, and which files their cells name.

In: one file. Out: `Table`, its columns as they are; pictures inside stay there until they are asked for. `Among` and
`Beside` find the files that are named.
"""

from __future__ import annotations

import csv
import io
import json
import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate, islice
from pathlib import Path, PurePosixPath, PureWindowsPath
from threading import Lock
from typing import TYPE_CHECKING, Any

from fennec.errors import DataError, InputError, said

from . import kinds
from .datasets import count
from .decode import UnreadableImage
from .labels import IMAGE_COLUMNS
from .parts import meaning

if TYPE_CHECKING:
    import pandas as pd

SEPARATORS = ",;\t|"
TABLES = frozenset([".csv", ".tsv", ".jsonl", ".ndjson", ".parquet"])
N_TRIED = 8  # cells of bytes looked into
N_WALKED = 500_000  # files looked through for those that a table names
LONG = 256  # bytes that no id or name has
MISSING = "missing"  # a file that a table names and that is not there


@dataclass(frozen=True, eq=False)
class Table:
    """One file with rows.

    Attributes:
        name: of the file, with its folders.
        frame: columns that hold no pictures.
        pictures: columns with encoded pictures in them.
        class_names: names of the classes of columns that hold their numbers.
        source: gives encoded pictures, where there are such columns.
    """

    name: str
    frame: pd.DataFrame
    pictures: tuple[str, ...] = ()
    class_names: Mapping[str, Sequence[str]] = field(default_factory=dict)
    source: Any = None

    @property
    def has_header(self) -> bool:
        """Whether the names of its columns stand in its first line."""
        return kinds.suffix(self.name) in (".csv", ".tsv")


def read_table(content: bytes | Path, name: str) -> Table:
    """A table as it is in its file: all cells of a CSV are texts, empty ones missing.

    Args:
        content: of the file, or its path.
        name: of the file.

    Raises:
        InputError: not a table of its kind, empty, without a header, or a row has more cells than the header.
    """
    import pandas as pd

    if kinds.suffix(name) == ".parquet":
        return _read_parquet(content, name)
    try:
        text = _text(content if isinstance(content, bytes) else content.read_bytes())
        if kinds.suffix(name) in (".jsonl", ".ndjson"):
            rows = [json.loads(line) for line in text.splitlines() if line.strip()]
            if any(not isinstance(row, dict) for row in rows):
                raise DataError(f'\'{name}\' has a line that is no object; expected lines such as {{"image": "0.png"}}')
            frame = pd.DataFrame(rows, dtype=object)
        else:
            text = text.replace("\r\n", "\n").replace("\r", "\n")
            separator, text, n_skipped = _begin(text, "\t" if kinds.suffix(name) == ".tsv" else None)
            text = _whole_rows(text, separator, name, n_skipped)
            frame = pd.read_csv(io.StringIO(text), sep=separator, dtype=str, skipinitialspace=True,
                                keep_default_na=False, na_values=[""], index_col=False)  # fmt: skip
    except InputError:
        raise
    except Exception as error:  # of foreign readers on what may be anything
        raise DataError(f"'{name}' is not a readable table: {said(error) or type(error).__name__}") from error
    frame.columns = [str(column).strip() for column in frame.columns]
    return Table(name, frame)


def _begin(text: str, separator: str | None) -> tuple[str, str, int]:
    """Separator of a CSV, its text from the header on, and how many lines stand before that.

    Before it may be empty lines, comments, and the line `sep=;` that spreadsheets write.
    """
    n_skipped = 0
    while text:
        line, _, rest = text.partition("\n")
        if asked := re.fullmatch(r'"?sep=(.)"?\s*', line, re.IGNORECASE):
            separator = asked[1]
        elif line.strip() and not (line.startswith("#") and rest.strip() and not _names_columns(line)):
            break
        text, n_skipped = rest, n_skipped + 1
    first = text.partition("\n")[0]
    return separator or max(SEPARATORS, key=first.count), text.lstrip("# ") if first[:1] == "#" else text, n_skipped


def _names_columns(line: str) -> bool:
    """Whether a line that begins like a comment is a header: `#image,label`."""
    words = {word.strip(' "').lower() for word in re.split(f"[{SEPARATORS}]", line.lstrip("# "))}
    return bool(words & set(IMAGE_COLUMNS)) and len(words) > 1


def _whole_rows(text: str, separator: str, name: str, n_skipped: int) -> str:
    """The text of a CSV, with a name for its first column where that has none (row numbers, as R writes them).

    Raises:
        InputError: a row has more cells than the header, which would be lost, or there is no header.
    """
    csv.field_size_limit(max(csv.field_size_limit(), len(text)))  # a cell may hold a whole picture
    reader = csv.reader(io.StringIO(text), delimiter=separator, skipinitialspace=True)
    header = next(reader, [])
    firsts: list[str] = []
    below: list[str] = []
    longer: tuple[int, list[str]] | None = None
    all_longer = True
    line = reader.line_num
    for row in reader:
        start, line = line + 1, reader.line_num
        if not row:
            continue
        below = below or row
        all_longer = all_longer and len(row) == len(header) + 1
        if longer is None and any(cell.strip() for cell in row[len(header) :]):
            longer = start + n_skipped, row
        firsts.append(row[0])
    if longer is not None:
        if all_longer and len(set(firsts)) == len(firsts) and all(cell.isdigit() for cell in firsts):
            return f"row{separator}{text}"
        raise DataError(
            f"line {longer[0]} of '{name}' has {count(len(longer[1]), 'cell')} and the header "
            f"({separator.join(header)[:60]}) has {len(header)}; put text that holds '{separator}' into quotes"
        )
    if any(map(_are_pictures, header, below or header)):
        raise no_header(name, header, n_skipped + 1)
    return text


def _are_pictures(title: str, cell: str) -> bool:
    return kinds.is_picture_name(title) and kinds.is_picture_name(cell)


def no_header(name: str, header: Sequence[str], line: int = 1) -> InputError:
    """Why a table is refused whose first line is a row."""
    return DataError(
        f"line {line} of '{name}' names a picture and no columns ({', '.join(header)[:60]}); write a header above it, "
        "such as image,label"
    )


def _text(content: bytes) -> str:
    """Text of a file by its byte order mark, else UTF-8, else the code page of western Windows."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", "replace")


def _read_parquet(content: bytes | Path, name: str) -> Table:
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(io.BytesIO(content) if isinstance(content, bytes) else content)
        schema = file.schema_arrow
        held = [entry.name for entry in schema if _holds_bytes(entry.type)]
        pictures = tuple(column for column in held if _holds_pictures(file, column)) or tuple(held)
        frame = file.read(columns=[column for column in schema.names if column not in pictures]).to_pandas()
    except Exception as error:  # of a foreign reader on what may be anything
        raise DataError(f"'{name}' is not a readable parquet file: {said(error) or type(error).__name__}") from error
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
    except (KeyError, ValueError, TypeError):
        features = {}
    class_names = {
        column: [str(entry) for entry in kind["names"]]
        for column, kind in features.items()
        if isinstance(kind, dict) and kind.get("_type") == "ClassLabel" and "names" in kind
    }
    return Table(name, frame.reset_index(drop=True), pictures, class_names, _RowGroups(file, content))


def _holds_bytes(kind: Any) -> bool:
    """Whether a column holds encoded pictures: bytes, or the layout of Hugging Face, bytes with a path."""
    import pyarrow as pa

    if pa.types.is_struct(kind):
        return any(kind.field(index).name == "bytes" for index in range(kind.num_fields))
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _holds_pictures(file: Any, column: str) -> bool:
    """Whether the first bytes in a column can be pictures; ids and names may be kept as bytes too."""
    values = file.schema_arrow.field(column).type
    if values.num_fields or not file.metadata.num_rows:
        return True
    batch = next(file.iter_batches(batch_size=N_TRIED, columns=[column]))
    there = [value for value in batch.column(0).to_pylist() if value]
    return not there or any(len(value) >= LONG or kinds.is_picture_content(value) for value in there)


class _RowGroups:
    """Random access to a column of a parquet file, one row group in memory."""

    def __init__(self, file: Any, content: bytes | Path) -> None:
        self.file, self.folder = file, None if isinstance(content, bytes) else content.parent
        sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
        self.starts = [0, *accumulate(sizes)]
        self.held: tuple[int, str] | None = None
        self.values: Any = None
        self.lock = Lock()

    def get(self, column: str, index: int) -> bytes | Path:
        group = bisect_right(self.starts, index) - 1
        with self.lock:
            if self.held != (group, column):
                self.values = self.file.read_row_group(group, columns=[column]).column(0)
                self.held = (group, column)
            value = self.values[index - self.starts[group]].as_py()
        if isinstance(value, dict):
            value = value.get("bytes") or value.get("path")
        if isinstance(value, str) and self.folder is not None:
            return self.folder / value
        if not isinstance(value, bytes):
            raise UnreadableImage("no image in this row")
        return value

    def problems(self, column: str) -> list[str | None]:
        """Why each row has no picture to take: none in it, or one of a kind that is not read."""
        import pyarrow as pa

        metadata = self.file.metadata
        leaves = [metadata.schema.column(leaf).path for leaf in range(metadata.num_columns)]
        is_struct = pa.types.is_struct(self.file.schema_arrow.field(column).type)
        found: list[str | None] = [None] * metadata.num_rows
        if is_struct and f"{column}.path" in leaves:
            cells = self.file.read(columns=[f"{column}.path"]).column(0).to_pylist()
            paths = [(cell or {}).get("path") for cell in cells]
            found = [unread_kind(path) if path else None for path in paths]
        leaf = leaves.index(f"{column}.bytes" if is_struct else column)
        chunks = [metadata.row_group(group).column(leaf).statistics for group in range(metadata.num_row_groups)]
        if any(chunk is None or chunk.null_count is None or chunk.null_count for chunk in chunks):
            for index in range(metadata.num_rows):
                try:
                    content = self.get(column, index)
                except UnreadableImage:
                    found[index] = "without a picture"
                    continue
                if isinstance(content, Path) and not content.is_file():
                    found[index] = MISSING
        return found


def unread_kind(name: str) -> str | None:
    """Kind of a file that a table names and that is not read, None where it is or may be read."""
    kind = kinds.suffix(name)
    return kind if kind in kinds.CLOSED and not kinds.is_picture_name(name) else None


class Among:
    """Names of a tree: by path below the folder of the table, by a unique end, or by a name without its suffix.

    Where a name is in several parts, the table that is called like one of them means that (`train.csv`, `train/0.png`).

    Attributes:
        several: a name that leads to several files, by the table in which it stands.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = set(names)
        self.several: dict[str, str] = {}
        self.by_name: dict[str, list[str]] = defaultdict(list)
        for name in names:
            base = name.rpartition("/")[2]
            for key in {base, PurePosixPath(base).stem}:
                self.by_name[key].append(name)

    def find(self, table: str, value: str) -> str | None:
        """Name of the file that a cell of a table names, None where there is none or there are several."""
        folder = table.rpartition("/")[0]
        value = value.replace("\\", "/").removeprefix("./")
        path = f"{folder}/{value}" if folder else value
        if path in self.names:
            return path
        same = self.by_name.get(value.rpartition("/")[2], [])
        best = [name for name in same if name.endswith(f"/{value}") or f"/{value}".endswith(f"/{name}")]
        if not best and ("/" not in value or _is_absolute(value)):  # of another machine: the name alone tells
            best = same
        if len(best) > 1:
            sense = meaning(PurePosixPath(table).stem)
            own = [name for name in best if sense in map(meaning, name.split("/")[:-1])] if sense is not None else []
            best = own or best
        if len(best) > 1:
            self.several[table] = f"'{value}' is {best[0]} and {best[1]}"
        return best[0] if len(best) == 1 else None


class Beside:
    """Files in the folder of a table, or below it: by path, or else as `Among` finds them.

    Args:
        folder: where paths begin.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def find(self, table: str, value: str) -> str | None:
        """Path of the file that a cell of a table names, None where there is none."""
        folder = table.rpartition("/")[0]
        try:
            for text in (value, value.replace("\\", "/")):
                if (path := self.folder / folder / text).is_file():
                    return str(path)
        except (OSError, ValueError):  # too long for a name, a zero byte in it
            return None
        found = None if _is_absolute(value) else self.below.find(table, value)
        return found and str(self.folder / found)

    @cached_property
    def below(self) -> Among:
        """Pictures below the folder."""
        paths = (path.relative_to(self.folder).as_posix() for path in islice(self.folder.rglob("*"), N_WALKED))
        return Among([path for path in paths if kinds.is_picture_name(path) and not kinds.is_hidden(path)])


def _is_absolute(value: str) -> bool:
    return PurePosixPath(value).is_absolute() or PureWindowsPath(value).is_absolute()
