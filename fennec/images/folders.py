"""Images in folders, or in anything that has paths: which files are pictures, parts and classes.

In: a directory, or the members of an archive as a `Tree`. Out: `Listing`. Labels come from class folders, from files
beside the pictures (`.cls`, `.json`), or from a table among the files.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fennec.errors import DataError

from . import kinds
from .datasets import N_NAMED, count
from .decode import UnreadableImage, check_regular
from .labels import LABEL_COLUMNS, PART_COLUMNS, Wanted, clean_labels, hive_cell, notes_on
from .listing import Listing, Row
from .manifests import is_manifest_name, label_rows, list_tables
from .parts import Folders, check_shards, lay_out
from .tables import TABLES, Beside, Table, read_table

SIDE_LABELS = ("cls", "label")  # beside a picture of the same name: its class as text
TOLD = frozenset([*LABEL_COLUMNS, *PART_COLUMNS])
SIDE_BYTES = 1_000_000  # of a file beside a picture
N_TRIED = 20  # JSON files looked into for a label


@dataclass(frozen=True, eq=False)
class Tree:
    """Files with relative paths.

    Attributes:
        name: what to call the dataset.
        where: the source, for messages.
        names: paths with `/` of all files that are not hidden, sorted.
        load: content of one of them: bytes or a path.
        mark: size or checksum of one of them, as `Listing.mark`.
        folder: that they lie in, None in an archive.
        empty: folders without files of their own: hidden ones do not count, nor links to folders met before; sorted.
        empty: paths of folders without files, hidden ones aside.
        notes: what the user should know.
    """

    name: str
    where: str
    names: Sequence[str]
    load: Callable[[str], bytes | Path]
    mark: Callable[[str], Hashable]
    folder: Path | None = None
    empty: Sequence[str] = ()
    notes: tuple[str, ...] = ()

    def head(self, name: str) -> bytes:
        """First bytes of a file, none where it cannot be read."""
        try:
            content = self.load(name)
            if isinstance(content, bytes):
                return content[: kinds.HEAD_BYTES]
            with content.open("rb") as file:
                return file.read(kinds.HEAD_BYTES)
        except (OSError, UnreadableImage):
            return b""

    def table(self, name: str) -> Table:
        """A file as a table.

        Raises:
            InputError: it cannot be read, or is none.
        """
        try:
            content = self.load(name)
        except (OSError, UnreadableImage) as error:
            raise DataError(f"'{name}' of '{self.where}' cannot be read: {error}") from error
        return read_table(content, name)

    def is_picture(self, name: str) -> bool:
        """By its suffix, or by its first bytes where it has none that says something."""
        return kinds.is_picture_name(name) or (
            not kinds.has_telling_suffix(name) and kinds.is_picture_content(self.head(name))
        )


def open_tree(path: Path) -> Tree:
    """The files below a directory.

    Raises:
        InputError: a folder of it cannot be read.
    """
    found = sorted(_walk(path))
    names, empty = [name for name in found if name[-1] != "/"], [name[:-1] for name in found if name[-1] == "/"]
    name = path.resolve().name or str(path)
    return Tree(
        name, str(path), names, lambda name: check_regular(path / name), lambda name: _size(path / name), path, empty
    )


def list_tree(tree: Tree, wanted: Wanted) -> Listing:
    """What the files of a tree are: pictures with parts and classes, and what is not read.

    Raises:
        InputError: a table among them that is needed cannot be read, or lacks the column asked for.
    """
    pictures = [name for name in tree.names if tree.is_picture(name)]
    tables = [name for name in tree.names if kinds.suffix(name) in TABLES]
    if not pictures and tables:
        return _only_tables(tree, tables, wanted)
    rows, notes = _rows_of_folders(tree, set(pictures))
    at = {name: index for index, name in enumerate(tree.names)}
    listing = Listing(tree.name, tree.where, rows, lambda index: tree.load(tree.names[index]),
                      lambda index: tree.mark(tree.names[index]), notes=(*tree.notes, *notes))  # fmt: skip
    by_side = _side_labels(tree, pictures, {row.label for row in rows if row.problem is None})
    if by_side:
        return _with_side_labels(listing, by_side, at)
    labels = {row.label for row in rows if row.problem is None}
    use = [name for name in tables if is_manifest_name(name, metadata_only=len(labels - {None}) > 1)]
    if use or wanted != Wanted():
        return label_rows(listing, use, tree.table, wanted)
    return listing


def _only_tables(tree: Tree, tables: Sequence[str], wanted: Wanted) -> Listing:
    """Tables that hold the pictures, or name them elsewhere; parquet is read before others."""
    parquet = [name for name in tables if kinds.suffix(name) == ".parquet"]
    chosen = set(parquet or tables)
    read = [tree.table(name) for name in sorted(chosen)]
    check_shards([name.rpartition(".")[0] for name in sorted(chosen)], tree.where)
    found = list_tables(
        read, tree.name, tree.where, wanted, *([] if tree.folder is None else [Beside(tree.folder).find])
    )
    rest = [Row(name, problem=_kind(name)) for name in tree.names if name not in chosen]
    return replace(found, rows=[*found.rows, *rest])


def _rows_of_folders(tree: Tree, pictures: set[str]) -> tuple[list[Row], list[str]]:
    """One row for each file, by the folders alone."""
    photos = [name for name in tree.names if name in pictures or kinds.suffix(name) in kinds.CLOSED]
    layout = lay_out(Counter(_folders(name) for name in photos))
    part_at = {path[: path.index(part) + 1] if part in path else path: part for path, part in layout.part.items()}
    classes = {path[: path.index(label) + 1] for path, label in layout.label.items() if label in path}
    above_classes = {path[:-1] for path in classes}

    def head(path: Folders) -> Folders:
        """The folder on a path that lies where the classes lie, nothing where there is none."""
        return next((path[: n + 1] for n in range(len(path) - 1, -1, -1) if path[:n] in above_classes), ())

    rows = []
    beside: dict[Folders, Counter[str]] = defaultdict(Counter)  # what folders hold that lie where the classes lie
    for name in tree.names:
        path = _folders(name)
        if name in pictures or kinds.suffix(name) in kinds.CLOSED:
            problem = None if name in pictures else _kind(name)
            row = Row(name, layout.label.get(path), layout.part.get(path), problem or layout.stray.get(path))
        else:
            above = (part_at[path[:n]] for n in range(len(path), 0, -1) if path[:n] in part_at)
            kind = _kind_inside(tree, name) if above_classes else _kind(name)
            own = head(path)
            is_class = bool(own) and kind in kinds.STAND_INS and own[-1].lower() not in kinds.DOCUMENTS
            beside[own][kind] += 1
            row = Row(name, own[-1] if is_class else None, next(above, None), kind)
        if "=" in name:
            label, part = _told(name)
            row = replace(row, label=label or row.label, part=part or row.part)
        rows.append(row)
    holds = {path: ", ".join(f"{n:,} {kind}" for kind, n in found.most_common(3)) for path, found in beside.items()}
    holds |= {path: "no files of its own" for name in tree.empty if (path := head(_folders(f"{name}/"))) not in holds}
    lost = [f"'{'/'.join(path)}' ({holds[path]})" for path in sorted(holds) if path and path not in classes]
    if lost:
        more = f" and {len(lost) - N_NAMED} more" if len(lost) > N_NAMED else ""
        layout.notes.append(f"no picture and so no class in {', '.join(lost[:N_NAMED])}{more}")
    return rows, [*layout.notes, *_named_after_others(pictures)]


def _named_after_others(pictures: set[str]) -> list[str]:
    """A word on pictures that are called like another with something behind: `scan_mask.png` beside `scan.png`."""
    stems = {name.rpartition(".")[0] for name in pictures}
    endings = (match for stem in stems if (match := re.fullmatch(r"(.+?)([-_. ][A-Za-z]+)(?:[-_ ]?\d+)?", stem)))
    often = Counter(match[2] for match in endings if match[1] in stems).most_common(1)
    return [
        f"{count(n, 'picture')} called like another with '{ending}' behind: are they pictures of their own?"
        for ending, n in often
        if n >= max(2, len(stems) / 10)
    ]


def _side_labels(tree: Tree, pictures: Sequence[str], classes: set[str | None]) -> dict[str, str | None]:
    """Labels by the name of the picture, from files of the same name; empty where there are none."""
    beside: dict[str, dict[str, str]] = defaultdict(dict)
    for name in tree.names:
        key, ending = _key(name)
        if ending in (*SIDE_LABELS, "json"):
            beside[key][ending] = name
    texts = {key: files[ending] for key, files in beside.items() for ending in SIDE_LABELS if ending in files}
    found: dict[str, object] = {}
    if texts:
        found = {name: _text(tree, texts[key]) for name in pictures if (key := _key(name)[0]) in texts}
    elif len(classes - {None}) < 2:
        jsons = {name: beside[key]["json"] for name in pictures if "json" in beside.get(key := _key(name)[0], {})}
        for tried, (name, side) in enumerate(jsons.items()):
            label = _json_label(_text(tree, side))
            if label is not None:
                found[name] = label
            elif not found and tried > N_TRIED:
                break
    return dict(zip(found, clean_labels(found.values()), strict=True))


def _with_side_labels(listing: Listing, labels: dict[str, str | None], at: dict[str, int]) -> Listing:
    """The same files with labels from beside them; a sample has one picture, the files beside it are read."""
    rows = [replace(row, label=labels.get(row.item)) if row.problem is None else row for row in listing.rows]
    samples = {_key(name)[0] for name in labels}
    first: dict[str, str] = {}
    for name in sorted(labels, key=lambda name: (_key(name)[1].count("."), name)):
        first.setdefault(_key(name)[0], name)
    gone = set()
    for name, index in at.items():
        key, ending = _key(name)
        if key in samples and name != first[key]:
            if ending in (*SIDE_LABELS, "json"):
                gone.add(index)
            elif rows[index].problem is None:
                rows[index] = replace(rows[index], label=None, problem="beside the picture of a sample")
    for index, row in enumerate(rows):
        if row.problem is not None and row.problem.startswith("beside the class"):
            rows[index] = replace(row, problem=None, label=labels.get(row.item))
    kept = [index for index in range(len(rows)) if index not in gone]
    return replace(
        listing,
        rows=[rows[index] for index in kept],
        load=lambda index: listing.load(kept[index]),
        mark=None if listing.mark is None else lambda index: listing.mark(kept[index]),  # type: ignore[misc]
        columns={"label": "files beside the pictures"},
        notes=notes_on(list(labels.values())),
    )


def _key(name: str) -> tuple[str, str]:
    """Name of a sample, and what follows its first dot."""
    folder, _, base = name.rpartition("/")
    key, _, ending = base.partition(".")
    return f"{folder}/{key}", ending.lower()


def _text(tree: Tree, name: str) -> str:
    try:
        content = tree.load(name)
        if not isinstance(content, bytes):
            with content.open("rb") as file:
                content = file.read(SIDE_BYTES)
        return content[:SIDE_BYTES].decode("utf-8-sig", "replace").strip()
    except (OSError, UnreadableImage):
        return ""


def _json_label(text: str) -> object:
    """Label in the JSON file of one picture, None where it has none."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if isinstance(value, dict):
        lower = {str(key).lower(): entry for key, entry in value.items()}
        value = next((lower[name] for name in LABEL_COLUMNS if name in lower), None)
    return value if isinstance(value, (str, int)) else None


def _kind(name: str) -> str:
    """How a file that is not read is counted."""
    return kinds.suffix(name) if kinds.has_telling_suffix(name) else "of unknown kind"


def _kind_inside(tree: Tree, name: str) -> str:
    """The same, by the first bytes where the name says nothing."""
    head = b"" if kinds.has_telling_suffix(name) else tree.head(name)
    return ".heic" if kinds.is_heic_content(head) else ".dcm" if kinds.is_dicom_content(head) else _kind(name)


def _folders(name: str) -> tuple[str, ...]:
    """Folders of a file whose meaning is to be found; `label=cat` and `split=train` say it."""
    return tuple(folder for folder in name.split("/")[:-1] if _column(folder) not in TOLD)


def _told(name: str) -> tuple[str | None, str | None]:
    """Class and part of a file by folders that say which column they are values of."""
    cells = {_column(folder): hive_cell(folder) for folder in name.split("/")[:-1]}
    label, part = (
        next((cell[1] for column in columns if (cell := cells.get(column)) is not None), None)
        for columns in (LABEL_COLUMNS, PART_COLUMNS)
    )
    return label, part


def _column(folder: str) -> str:
    cell = hive_cell(folder)
    return "" if cell is None else cell[0].lower()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _walk(root: Path) -> Iterator[str]:
    """Relative paths of the files below a directory, and with a `/` behind them of folders without files of their own.

    Links are followed, each directory entered once.
    """
    seen: set[tuple[int, int]] = set()
    waiting = [""]
    while waiting:
        relative = waiting.pop()
        try:
            status = (root / relative).stat()
            again = (status.st_dev, status.st_ino) in seen
            entries = [] if again else sorted(os.scandir(root / relative), key=lambda entry: entry.name)
        except PermissionError as error:
            raise DataError(f"cannot read the folder '{root / relative}': {error.strerror}") from error
        except OSError:  # gone, or a path longer than the system takes
            entries = []
        else:
            seen.add((status.st_dev, status.st_ino))
        shown = [entry for entry in entries if not kinds.is_hidden(entry.name)]
        if relative and not shown:
            yield f"{relative}/"
        folders = []
        for entry in shown:
            path = f"{relative}/{entry.name}" if relative else entry.name
            if _is_folder(entry):
                folders.append(path)
            else:
                yield path
        waiting += reversed(folders)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False
