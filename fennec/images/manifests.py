"""What tables say: which pictures, of which classes, in which part.

In: tables, alone or among the files of a tree. Out: `Listing`. Several tables are one dataset: shards and parts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from fennec.errors import InputError

from . import kinds
from .labels import Wanted, find_image_column, labels_of, part_of_rows, text_of
from .listing import Listing, Row
from .parts import check_shards, lay_out, shard_of
from .tables import MISSING, Table, read_table, unread_kind

if TYPE_CHECKING:
    import pandas as pd

N_TRIED = 200  # cells looked at to see whether a column names files
N_WALKED = 500_000  # files looked through for names without a suffix
Resolve = Callable[[str, str], str | None]  # folder of the table, value of a cell -> name of a file


def open_table(path: Path, wanted: Wanted) -> Listing:
    """Pictures that a table names, relative to its own folder, or that it holds.

    Raises:
        InputError: not a table, no column of pictures, or none of the files exists.
    """
    return list_tables([read_table(path, path.name)], path.stem, str(path), wanted, Beside(path.parent).find)


class Beside:
    """Files in the folder of a table: by path, or by a name without its suffix where it is the only one.

    Args:
        folder: where paths begin.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def find(self, folder: str, value: str) -> str | None:
        """Path of the file that a cell names, None where there is none."""
        try:
            for text in (value, value.replace("\\", "/")):
                if (path := self.folder / folder / text).is_file():
                    return str(path)
        except (OSError, ValueError):  # too long for a name, a zero byte in it
            return None
        same = [] if kinds.has_telling_suffix(value) or "/" in value else self.by_stem.get(value, [])
        return str(same[0]) if len(same) == 1 else None

    @cached_property
    def by_stem(self) -> dict[str, list[Path]]:
        """Pictures below the folder by their names without suffix."""
        found: dict[str, list[Path]] = defaultdict(list)
        for path in islice(self.folder.rglob("*"), N_WALKED):
            if kinds.is_picture_name(path.name) and not kinds.is_hidden(path.relative_to(self.folder).as_posix()):
                found[path.stem].append(path)
        return found


def list_tables(
    tables: Sequence[Table],
    name: str,
    where: str,
    wanted: Wanted,
    resolve: Resolve = lambda folder, value: None,
    *,
    alone: bool = True,
) -> Listing:
    """Rows of tables that are one dataset: parts and shards by the names of their files, or by a column.

    Args:
        tables: of one kind.
        name: what to call the dataset.
        where: the source, for messages.
        wanted: columns asked for.
        resolve: finds the file that a cell names.
        alone: nothing but the tables says what belongs together, so they must fit.

    Raises:
        InputError: no column of pictures or paths, several datasets, no rows, none of the files exists.
    """
    import pandas as pd

    parts = _parts_of_files(tables, where, alone=alone)
    frame = pd.concat([table.frame for table in tables], ignore_index=True)
    if not len(frame) and not any(table.source and table.source.starts[-1] for table in tables):
        raise InputError(f"none of the 0 files named in '{where}' exists: it has no rows")
    inside = [column for column in tables[0].pictures if all(column in table.pictures for table in tables)]
    sizes = [len(table.frame) if table.source is None else table.source.starts[-1] for table in tables]
    owner = [table for table, size in zip(tables, sizes, strict=True) for _ in range(size)]
    frame = frame.reindex(range(len(owner)))  # a table of pictures alone has no other columns and so no rows
    if wanted.image in frame.columns or not inside:
        columns = [str(entry) for entry in frame.columns]
        column = find_image_column(columns, wanted.image, where, _fits(frame, owner, resolve))
        cells = [text_of(value) for value in frame[column]]
        names = [cell and resolve(table.folder, cell) for cell, table in zip(cells, owner, strict=True)]
        if not any(names):
            first = next((cell for cell in cells if cell), "")
            raise InputError(f"none of the {sum(map(bool, cells))} files named in '{where}' exists, first '{first}'")
        problems = [_problem(cell, found) for cell, found in zip(cells, names, strict=True)]
        items = [found or str(cell or "empty cell") for cell, found in zip(cells, names, strict=True)]
        rest = frame.drop(columns=column)

        def load(index: int) -> bytes | Path:
            return Path(str(names[index]))

    else:
        column = find_image_column(inside, wanted.image, where)
        problems = [problem for table in tables for problem in table.source.problems(column)]
        within = [row for size in sizes for row in range(size)]
        items = [f"{PurePosixPath(table.name).name} row {row}" for table, row in zip(owner, within, strict=True)]
        rest = frame

        def load(index: int) -> bytes | Path:
            content: bytes | Path = owner[index].source.get(column, within[index])
            return content

    part, part_columns = part_of_rows(rest)
    rest = rest.drop(columns=part_columns)
    class_names = {key: names for table in tables for key, names in table.class_names.items()}
    labels = labels_of(rest, wanted.label, where, class_names)
    by_file = {id(table): name for table, name in zip(tables, parts, strict=True)}
    rows = [
        Row(item, labels.values[index] if labels.values is not None else None,
            part[index] if part is not None else by_file[id(owner[index])], problems[index])
        for index, item in enumerate(items)
    ]  # fmt: skip
    used = {"image": column} | ({"label": ", ".join(labels.columns)} if labels.columns else {})
    used |= {"part": ", ".join(part_columns)} if part_columns else {}
    unused = [other for other in rest.columns if other not in labels.columns]
    unused += [other for other in inside if other != column]
    mark = None if inside and column in inside else lambda index: Path(str(names[index])).stat().st_size
    return Listing(name, where, rows, load, mark, columns=used, columns_not_used=tuple(unused), notes=labels.notes)


def label_rows(listing: Listing, names: Sequence[str], read: Callable[[str], Table], wanted: Wanted) -> Listing:
    """Labels of the files of a tree from tables among them; the listing as it was where no table knows its pictures.

    Args:
        listing: files of a tree, the tables among them.
        names: of the tables.
        read: opens one of them.
        wanted: columns asked for.

    Raises:
        InputError: columns are asked for and no table has them.
    """
    at = {row.item: index for index, row in enumerate(listing.rows)}
    resolve = _Among([row.item for row in listing.rows if row.problem is None or row.problem in kinds.CLOSED]).find
    found: list[Table] = []
    for name in names:
        try:
            table = read(name)
        except InputError:
            continue
        fits = _fits(table.frame, [table] * len(table.frame), resolve)
        if any(fits(column) for column in table.frame.columns):
            found.append(table)
    named = [table for table in found if wanted.label is None or wanted.label in table.frame.columns]
    if not named:
        if wanted != Wanted():
            raise InputError(
                f"'{listing.where}' has no table with the column {wanted.label or wanted.image}; --image-column and "
                "--label-column are for CSV, JSON lines and parquet"
            )
        return listing
    check_shards([PurePosixPath(table.name).with_suffix("").as_posix() for table in found], listing.where)
    told = list_tables(found, listing.name, listing.where, wanted, resolve, alone=False)
    if all(row.label is None for row in told.rows):
        return replace(listing, notes=(*listing.notes, *told.notes))
    sources = {table.name for table in found}
    rows: list[Row] = []
    index_of: list[int] = []
    labelled = {row.item for row in told.rows if row.label is not None}
    for row in told.rows:
        if row.label is None and row.item in labelled:  # another table has its label
            continue
        known = listing.rows[at[row.item]] if row.item in at else None
        part = known.part if known is not None and known.part is not None else row.part
        problem = known.problem if known is not None and known.problem in kinds.CLOSED else row.problem
        rows.append(Row(row.item, row.label, part, problem))
        index_of.append(at.get(row.item, -1))
    named_items = {row.item for row in told.rows}
    for index, row in enumerate(listing.rows):
        if row.item not in named_items and row.item not in sources:
            rows.append(
                replace(row, label=None, problem=None if str(row.problem).startswith("beside") else row.problem)
            )
            index_of.append(index)
    return replace(
        listing,
        rows=rows,
        load=lambda index: listing.load(index_of[index]),
        mark=None if listing.mark is None else lambda index: listing.mark(index_of[index]),  # type: ignore[misc]
        columns=told.columns,
        columns_not_used=told.columns_not_used,
        notes=told.notes,
    )


class _Among:
    """Names of a tree: by path below the folder of the table, by a unique end, or by a name without its suffix."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = set(names)
        self.by_name: dict[str, list[str]] = defaultdict(list)
        for name in names:
            base = name.rpartition("/")[2]
            for key in {base, PurePosixPath(base).stem}:
                self.by_name[key].append(name)

    def find(self, folder: str, value: str) -> str | None:
        value = value.replace("\\", "/").removeprefix("./")
        path = f"{folder}/{value}" if folder else value
        if path in self.names:
            return path
        same = self.by_name.get(value.rpartition("/")[2], [])
        ends = [name for name in same if name.endswith(f"/{value}")]
        best = ends or same
        return best[0] if len(best) == 1 else None


def is_manifest_name(name: str, *, metadata_only: bool) -> bool:
    """Whether a table may say what the pictures beside it are; a form to hand in answers does not.

    Args:
        name: of the table.
        metadata_only: class folders say it already, and only `metadata.*` may say otherwise.
    """
    stem = PurePosixPath(name).stem.lower()
    return stem == "metadata" if metadata_only else "submission" not in stem


def _parts_of_files(tables: Sequence[Table], where: str, *, alone: bool) -> list[str | None]:
    """Part of each table by its file's name, None where the names are no parts.

    Raises:
        InputError: the files are several datasets.
    """
    paths = []
    for table in tables:
        *folders, base = PurePosixPath(table.name).with_suffix("").parts
        stem = shard_of(base)[0]
        paths.append((*folders, stem) if stem else tuple(folders))
    if len(tables) == 1:
        return [None]
    layout = lay_out(dict.fromkeys(paths, 1))
    if not alone:
        return [layout.part.get(path) for path in paths]
    kept = {layout.label.get(path) for path in paths} if layout.part else {"/".join(path[:-1]) for path in paths}
    if len(kept) > 1:
        raise InputError(
            f"'{where}' holds several datasets ({', '.join(sorted(map(str, kept)))}); give the folder or file of one"
        )
    columns = {frozenset([*table.frame.columns, *table.pictures]) for table in tables}
    if not layout.part and len(columns) > 1 and len(set(paths)) > 1:
        raise InputError(
            f"'{where}' holds tables with different columns ({', '.join(table.name for table in tables[:3])}); give one"
        )
    return [layout.part.get(path) for path in paths]


def _fits(frame: pd.DataFrame, owner: Sequence[Table], resolve: Resolve) -> Callable[[str], bool]:
    """Whether half of the cells of a column, or of some of them, name files."""
    rows = range(0, len(frame), max(len(frame) // N_TRIED, 1))

    def fits(column: str) -> bool:
        cells = [(owner[row].folder, text_of(frame[column].iloc[row])) for row in rows]
        there = [resolve(folder, cell) is not None for folder, cell in cells if cell is not None]
        return bool(there) and sum(there) >= len(there) / 2

    return fits


def _problem(cell: str | None, found: str | None) -> str | None:
    if cell is None:
        return "without a picture"
    return MISSING if found is None else unread_kind(found)
