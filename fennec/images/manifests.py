"""What tables say: which pictures, of which classes, in which part.

In: tables, alone or among the files of a tree. Out: `Listing`. Several tables are one dataset: shards and parts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from fennec.errors import DataError, InputError

from . import kinds
from .datasets import count
from .labels import (
    IMAGE_COLUMNS,
    LABEL_COLUMNS,
    Labels,
    Wanted,
    find_image_column,
    hive_cell,
    is_nested,
    labels_of,
    notes_on,
    part_of_rows,
    rank,
    text_of,
)
from .listing import Listing, Row
from .parts import check_shards, lay_out, shard_of
from .tables import MISSING, Among, Beside, Table, no_header, read_table, unread_kind

if TYPE_CHECKING:
    import pandas as pd

N_TRIED = 200  # cells looked at to see whether a column names files
Resolve = Callable[[str, str], str | None]  # name of the table, value of a cell -> name of a file


def open_table(path: Path, wanted: Wanted) -> Listing:
    """Pictures that a table names, relative to its own folder, or that it holds.

    Raises:
        InputError: not a table, no column of pictures, or none of the files exists.
    """
    return list_tables([read_table(path, path.name)], path.stem, str(path), wanted, Beside(path.parent).find)


def list_tables(
    tables: Sequence[Table],
    name: str,
    where: str,
    wanted: Wanted,
    resolve: Resolve = lambda table, value: None,
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

    tables = [_with_hive_columns(table) for table in tables]
    parts = _parts_of_files(tables, where, alone=alone)
    frame = pd.concat([table.frame for table in tables], ignore_index=True)
    if not len(frame) and not any(table.source and table.source.starts[-1] for table in tables):
        raise DataError(f"none of the 0 files named in '{where}' exists: it has no rows")
    inside = [column for column in tables[0].pictures if all(column in table.pictures for table in tables)]
    sizes = [len(table.frame) if table.source is None else table.source.starts[-1] for table in tables]
    owner = [table for table, size in zip(tables, sizes, strict=True) for _ in range(size)]
    frame = frame.reindex(range(len(owner)))  # a table of pictures alone has no other columns and so no rows
    if wanted.image in frame.columns or not inside:
        columns = [str(entry) for entry in frame.columns]
        _check_header(tables, resolve)
        column = find_image_column(columns, wanted.image, where, _fits(frame, owner, resolve))
        if any(is_nested(value) for value in frame[column].head(N_TRIED)):
            raise DataError(f"column '{column}' of '{where}' holds arrays or objects; expected paths or encoded "
                             "pictures (PNG, JPEG): encode them, or give arrays to fennec.open_pictures")  # fmt: skip
        cells = [text_of(value) for value in frame[column]]
        names = [cell and resolve(table.name, cell) for cell, table in zip(cells, owner, strict=True)]
        if not any(names):
            first = next((cell for cell in cells if cell), "")
            raise DataError(f"none of the {sum(map(bool, cells))} files named in '{where}' exists, first '{first}'")
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
    held = column in inside
    labels = _labels_of_tables(rest, owner, items, wanted.label, where, class_names)
    by_file = {id(table): name for table, name in zip(tables, parts, strict=True)}
    rows = [
        Row(item, labels.values[index] if labels.values is not None else None,
            part[index] if part is not None else by_file[id(owner[index])], problems[index])
        for index, item in enumerate(items)
    ]  # fmt: skip
    kept = list(range(len(rows)))
    notes = list(labels.notes)
    if not held:
        kept, n_several = _one_row_each(rows)
        told = f"{count(len(rows), 'row')} for {count(len(kept), 'picture')}"
        if n_several:
            told = (f"column '{', '.join(labels.columns[:3])}' has several labels for {count(n_several, 'picture')} "
                    f"({told}), which Fennec cannot use")  # fmt: skip
            if wanted.label is not None:
                raise DataError(f"'{where}': {told}; leave one row for each picture, or choose another column")
            labels, notes = Labels(None), [f"{told}: taken without labels"]
        elif len(kept) < len(rows):
            notes.append(f"{told}, each of which is taken once")
    used = {"image": column} | ({"label": ", ".join(labels.columns)} if labels.columns else {})
    used |= {"part": ", ".join(part_columns)} if part_columns else {}
    unused = [other for other in rest.columns if other not in labels.columns]
    unused += [other for other in inside if other != column]
    mark = None if held else lambda index: Path(str(names[kept[index]])).stat().st_size
    return Listing(
        name,
        where,
        [rows[index] for index in kept],
        lambda index: load(kept[index]),
        mark,
        columns=used,
        columns_not_used=tuple(unused),
        notes=tuple(notes),
    )


def _with_hive_columns(table: Table) -> Table:
    """The table with a column for each folder that is called after a column and its value (`label=cat`)."""
    cells = dict(cell for folder in table.name.split("/")[:-1] if (cell := hive_cell(folder)) is not None)
    own = {column: value for column, value in cells.items() if column not in (*table.frame.columns, *table.pictures)}
    if not own:
        return table
    n_rows = len(table.frame) if table.source is None else table.source.starts[-1]
    return replace(table, frame=table.frame.reindex(range(n_rows)).assign(**own))


def _labels_of_tables(
    frame: pd.DataFrame,
    owner: Sequence[Table],
    items: Sequence[str],
    wanted: str | None,
    where: str,
    class_names: Mapping[str, Sequence[str]],
) -> Labels:
    """Labels of the rows of several tables; those with other columns may call the column of labels otherwise.

    Where two such tables have labels of one picture, those of the better known column are taken.
    """  # fmt: skip
    groups: dict[frozenset[str], list[int]] = defaultdict(list)
    for index, table in enumerate(owner):
        groups[frozenset(map(str, table.frame.columns))].append(index)
    if len(groups) < 2 or wanted is not None:
        return labels_of(frame, wanted, where, class_names)
    found = []
    for columns, rows in groups.items():
        own = frame.loc[rows, [column for column in frame.columns if str(column) in columns]]
        found.append((labels_of(own, None, where, class_names), rows))
    known = [(labels, rows) for labels, rows in found if labels.values is not None]
    if len({labels.columns for labels, _ in known}) < 2:
        return labels_of(frame, known[0][0].columns[0] if known and len(known[0][0].columns) == 1 else None, where,
                         class_names)  # fmt: skip
    known.sort(key=lambda pair: rank(pair[0].columns))
    values: list[str | None] = [None] * len(owner)
    told: set[str] = set()
    for labels, rows in known:
        assert labels.values is not None
        here = {index: label for index, label in zip(rows, labels.values, strict=True) if items[index] not in told}
        for index, label in here.items():
            values[index] = label
        told |= {items[index] for index, label in here.items() if label is not None}
    columns_used = tuple(dict.fromkeys(column for labels, _ in known for column in labels.columns))
    each = " and ".join(f"'{', '.join(labels.columns[:3])}' of {owner[rows[0]].name}" for labels, rows in known[:3])
    return Labels(values, columns_used, (f"labels come from column {each}", *notes_on(values)))


def _one_row_each(rows: list[Row]) -> tuple[list[int], int]:
    """Positions of one row for each picture (a table of boxes has one for each box), and how many have several classes.

    Where there are such pictures, all labels are taken away.
    """
    by_file: dict[tuple[str, str | None], list[int]] = defaultdict(list)
    for index, row in enumerate(rows):
        by_file[(row.item, row.part) if row.problem in (None, MISSING) else (f"row {index}", None)].append(index)
    n_several = 0
    for same in by_file.values() if len(by_file) < len(rows) else ():
        classes = dict.fromkeys(label for index in same if (label := rows[index].label) is not None)
        rows[same[0]].label = next(iter(classes), None)
        n_several += len(classes) > 1
    for row in rows if n_several else ():
        row.label = None
    return sorted(same[0] for same in by_file.values()), n_several


def label_rows(listing: Listing, names: Sequence[str], read: Callable[[str], Table], wanted: Wanted) -> Listing:
    """Labels of the files of a tree from tables among them; the listing as it was where no table knows its pictures.

    Args:
        listing: files of a tree, the tables among them.
        names: of the tables.
        read: opens one of them.
        wanted: columns asked for.

    Raises:
        InputError: columns are asked for and no table has them; no table can be read, or it has no header or names
            pictures that are there several times.
    """
    at = {row.item: index for index, row in enumerate(listing.rows)}
    among = Among([row.item for row in listing.rows if row.problem is None or row.problem in kinds.CLOSED])
    found: list[Table] = []
    refused: list[InputError] = []
    for name in names:
        try:
            table = read(name)
        except InputError as error:
            refused.append(error)
            continue
        _check_header([table], among.find)
        fits = _fits(table.frame, [table] * len(table.frame), among.find)
        if any(fits(column) for column in table.frame.columns if str(column).lower() not in LABEL_COLUMNS):
            found.append(table)
        elif name in among.several:
            refused.append(DataError(f"'{name}' of '{listing.where}' names pictures that are there several times "
                                      f"({among.several[name]}); write their folders into the table"))  # fmt: skip
    named = [table for table in found if wanted.label is None or wanted.label in table.frame.columns]
    if not named and refused:
        raise refused[0]
    if not named:
        if wanted != Wanted():
            raise InputError(
                f"'{listing.where}' has no table with the column {wanted.label or wanted.image}; --image-column and "
                "--label-column are for CSV, JSON lines and parquet"
            )
        return listing
    check_shards([PurePosixPath(table.name).with_suffix("").as_posix() for table in found], listing.where)
    told = list_tables(found, listing.name, listing.where, wanted, among.find, alone=False)
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
        folders = [folder for folder in folders if hive_cell(folder) is None]  # these are columns
        stem = shard_of(base)[0]
        paths.append((*folders, stem) if stem else tuple(folders))
    if len(tables) == 1:
        return [None]
    layout = lay_out(dict.fromkeys(paths, 1))
    if not alone:
        return [layout.part.get(path) for path in paths]
    kept = {layout.label.get(path) for path in paths} if layout.part else {"/".join(path[:-1]) for path in paths}
    if len(kept) > 1:
        raise DataError(
            f"'{where}' holds several datasets ({', '.join(sorted(map(str, kept)))}); give the folder or file of one"
        )
    columns = {frozenset([*table.frame.columns, *table.pictures]) for table in tables}
    if not layout.part and len(columns) > 1 and len(set(paths)) > 1:
        raise DataError(
            f"'{where}' holds tables with different columns ({', '.join(table.name for table in tables[:3])}); give one"
        )
    return [layout.part.get(path) for path in paths]


def _fits(frame: pd.DataFrame, owner: Sequence[Table], resolve: Resolve) -> Callable[[str], bool]:
    """Whether half of the cells of a column, or of some of them, name files.

    Numbers and words that come back in most rows of a column of an unknown name are classes, even where there are files
    of such names.
    """
    rows = range(0, len(frame), max(len(frame) // N_TRIED, 1))

    def fits(column: str) -> bool:
        if any(is_nested(value) for value in frame[column].iloc[:N_TRIED]):
            return False
        cells = [(owner[row].name, cell) for row in rows if (cell := text_of(frame[column].iloc[row])) is not None]
        known = str(column).lower() in IMAGE_COLUMNS or any(kinds.is_picture_name(cell) for _, cell in cells)
        if not known and 2 * len(set(cells)) <= len(cells):
            return False
        there = [resolve(table, cell) is not None for table, cell in cells]
        return bool(there) and sum(there) >= len(there) / 2

    return fits


def _check_header(tables: Sequence[Table], resolve: Resolve) -> None:
    """A header whose names are all unknown and of which one names a picture is the first row of the table."""
    for table in tables:
        columns = [str(column) for column in table.frame.columns] if table.has_header else []
        if (
            columns
            and not {column.lower() for column in columns} & {*IMAGE_COLUMNS, *LABEL_COLUMNS}
            and any(resolve(table.name, column) is not None for column in columns)
        ):
            raise no_header(table.name, columns)


def _problem(cell: str | None, found: str | None) -> str | None:
    if cell is None:
        return "without a picture"
    return MISSING if found is None else unread_kind(found)
