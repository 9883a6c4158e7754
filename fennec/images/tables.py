"""Files with rows: CSV, TSV, JSON lines and parquet.

In: one file. Out: `Table`, its columns as they are; pictures inside stay there until they are asked for.
"""

from __future__ import annotations

import io
import json
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from fennec.errors import InputError

from . import kinds
from .decode import UnreadableImage

if TYPE_CHECKING:
    import pandas as pd

SEPARATORS = ",;\t|"
TABLES = frozenset([".csv", ".tsv", ".jsonl", ".ndjson", ".parquet"])
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
    def folder(self) -> str:
        """Where its paths begin."""
        return self.name.rpartition("/")[0]


def read_table(content: bytes | Path, name: str) -> Table:
    """A table as it is in its file: all cells of a CSV are texts, empty ones missing.

    Args:
        content: of the file, or its path.
        name: of the file.

    Raises:
        InputError: not a table of its kind, or empty.
    """
    import pandas as pd

    if kinds.suffix(name) == ".parquet":
        return _read_parquet(content, name)
    try:
        text = _text(content if isinstance(content, bytes) else content.read_bytes())
        if kinds.suffix(name) in (".jsonl", ".ndjson"):
            frame = pd.DataFrame([json.loads(line) for line in text.splitlines() if line.strip()], dtype=object)
        else:
            separator = max(SEPARATORS, key=text.partition("\n")[0].count)
            separator = "\t" if kinds.suffix(name) == ".tsv" else separator
            frame = pd.read_csv(io.StringIO(text), sep=separator, dtype=str, skipinitialspace=True,
                                keep_default_na=False, na_values=[""], index_col=False)  # fmt: skip
    except (ValueError, OSError) as error:
        raise InputError(f"'{name}' is not a readable table: {error}") from error
    frame.columns = [str(column).strip() for column in frame.columns]
    return Table(name, frame)


def _text(content: bytes) -> str:
    """Text of a file by its byte order mark, else UTF-8, else the code page of western Windows."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", "replace")


def _read_parquet(content: bytes | Path, name: str) -> Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(io.BytesIO(content) if isinstance(content, bytes) else content)
        schema = file.schema_arrow
        pictures = tuple(entry.name for entry in schema if _holds_bytes(entry.type))
        frame = file.read(columns=[column for column in schema.names if column not in pictures]).to_pandas()
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(f"'{name}' is not a readable parquet file: {error}") from error
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
