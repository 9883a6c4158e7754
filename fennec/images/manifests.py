"""Manifests: CSV or parquet tables with paths or image bytes, and labels."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from fennec.errors import InputError

from .datasets import ImageDataset, choose_split, encode_labels
from .decode import UnreadableImage

IMAGE_COLUMNS = ("image", "path", "file", "filename", "file_name", "filepath", "image_path", "img")
LABEL_COLUMNS = ("class_name", "label", "class", "target", "category", "labels")


def open_table(path: Path, split: str | None) -> ImageDataset:
    """Dataset of a CSV or TSV with a column of paths, relative to the file, and maybe labels and splits.

    Raises:
        InputError: not a table, no column of paths, or none of the files exists.
    """
    import pandas as pd

    try:
        table = pd.read_csv(path, sep="\t" if path.suffix.lower() == ".tsv" else ",", dtype=str)
    except (ValueError, OSError) as error:
        raise InputError(f"'{path}' is not a readable table: {error}") from error
    column = _find(list(table.columns), IMAGE_COLUMNS)
    if column is None:
        raise InputError(
            f"'{path}' has no column of image paths (it has {', '.join(map(str, table.columns))}); "
            f"name it one of {', '.join(IMAGE_COLUMNS)}"
        )
    if "split" in table:
        wanted = choose_split(sorted(table["split"].dropna().unique()), split, str(path))
        table = table[table["split"] == wanted]
    elif split is not None:
        choose_split([], split, str(path))
    table = table[table[column].notna()]
    files = [path.parent / name for name in table[column]]
    there = np.array([file.is_file() for file in files], dtype=bool)
    skipped = tuple((str(file), "no such file") for file, exists in zip(files, there, strict=True) if not exists)
    if not there.any():
        first = f", first '{skipped[0][0]}'" if skipped else ""
        raise InputError(f"none of the {len(files)} files named in '{path}' exists{first}")
    files = [file for file, exists in zip(files, there, strict=True) if exists]
    labels, class_names = _labels(table[there], path)
    return ImageDataset(path.stem, [str(f) for f in files], lambda index: files[index], labels, class_names, skipped)


def parquet_splits(folder: Path) -> dict[str, Path]:
    """Parquet files directly in a folder, by split (the name up to the first dash)."""
    return {path.stem.split("-")[0]: path for path in sorted(folder.glob("*.parquet"))}


def open_parquet(tables: dict[str, Path], name: str, split: str | None) -> ImageDataset:
    """Dataset of a parquet file with image bytes (or paths) and maybe labels; read by row group.

    Args:
        tables: file per split; the only one may have an empty name.
        name: what to call it.
        split: the split wanted.

    Raises:
        InputError: damaged, empty, or without a column of images.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if "" in tables and split is not None:
        choose_split([], split, name)
    path = tables[""] if "" in tables else tables[choose_split(list(tables), split, name)]
    try:
        file = pq.ParquetFile(path)
        columns = list(file.schema_arrow.names)
        column = _find(columns, IMAGE_COLUMNS)
        if column is None:
            raise InputError(
                f"'{path}' has no column of images (it has {', '.join(columns)}); "
                f"name it one of {', '.join(IMAGE_COLUMNS)}"
            )
        facts = file.read(columns=[c for c in columns if c in LABEL_COLUMNS]).to_pandas()
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(f"'{path}' is not a readable parquet file: {error}") from error
    if file.metadata.num_rows == 0:
        raise InputError(f"'{path}' has no rows")
    labels, class_names = _labels(facts, path)
    rows = _RowGroups(file, column, path.parent)
    items = [f"{path.name} row {index}" for index in range(file.metadata.num_rows)]
    return ImageDataset(name, items, rows.load, labels, class_names)


class _RowGroups:
    """Random access to one column of a parquet file, one row group in memory."""

    def __init__(self, file: Any, column: str, folder: Path) -> None:
        self.file, self.column, self.folder = file, column, folder
        sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
        self.starts = [0, *accumulate(sizes)]
        self.group, self.values = -1, None
        self.lock = Lock()

    def load(self, index: int) -> bytes | Path:
        group = bisect_right(self.starts, index) - 1
        with self.lock:
            if group != self.group:
                self.values = self.file.read_row_group(group, columns=[self.column]).column(0)
                self.group = group
            value = self.values[index - self.starts[group]].as_py()  # type: ignore[index]
        if isinstance(value, dict):  # the layout of Hugging Face: bytes, or a path
            value = value.get("bytes") or value.get("path")
        if value is None:
            raise UnreadableImage("no image in this row")
        return value if isinstance(value, bytes) else self.folder / str(value)


def _labels(table: Any, path: Path) -> tuple[Any, tuple[str, ...]]:
    column = _find(list(table.columns), LABEL_COLUMNS)
    if column is None:
        return None, ()
    if table[column].isna().any():
        raise InputError(f"'{path}' has rows without a {column}; fill or drop the column")
    return encode_labels([str(value) for value in table[column]])


def _find(columns: list[str], wanted: tuple[str, ...]) -> str | None:
    lower = {str(column).lower(): column for column in columns}
    return next((lower[name] for name in wanted if name in lower), None)
