"""Datasets of other libraries: torchvision, Hugging Face `datasets`, scikit-learn.

In: a name. Out: `Listing`.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Hashable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fennec.errors import DataError, FennecError, InputError, MissingExtraError, OfflineError, did_you_mean, said
from fennec.settings import cache_dir

from .labels import Wanted, clean_labels, find_image_column, labels_of, notes_on, part_of_rows
from .listing import Listing, Row
from .parts import TEST, TRAIN, VAL, choose_parts, meaning

SPLIT_NAMES = {TRAIN: ("train", "training", "trainval"), VAL: ("val", "valid", "validation"), TEST: ("test",)}


def list_scikit_learn(name: str, split: str | None, wanted: Wanted) -> Listing:
    """`digits`, the 1,797 real 8 x 8 pictures that ship with scikit-learn.

    Raises:
        InputError: another name, or columns.
    """
    from sklearn.datasets import load_digits

    if name != "digits":
        raise InputError(f"unknown dataset 'sklearn:{name}'; there is sklearn:digits")
    _refuse_columns(wanted, "sklearn:digits")
    digits = load_digits()
    pictures = (255 - digits.images * (255 / 16)).astype(np.uint8)  # ink on paper, 0 to 16 in the source
    rows = [Row(f"digit {index}", str(label)) for index, label in enumerate(digits.target)]
    return Listing("sklearn:digits", "sklearn:digits", rows, lambda index: Image.fromarray(pictures[index]))


def list_torchvision(name: str, split: str | None, wanted: Wanted) -> Listing:
    """A classification dataset of torchvision, downloaded to the cache folder if need be.

    Raises:
        InputError: unknown name, one that cannot be opened without more arguments, no such split, or columns.
        OfflineError: it must be downloaded and the server cannot be reached.
    """
    import torchvision.datasets as library

    base = library.VisionDataset
    kinds = {each: kind for each in library.__all__ if isinstance(kind := getattr(library, each), type)}
    kind = kinds.get(name, base)
    if kind is base:
        known = (each for each in kinds if kinds[each] is not base)
        raise InputError(f"unknown dataset 'torchvision:{name}'{did_you_mean(name, known)}")
    _refuse_columns(wanted, f"torchvision:{name}")
    root = str(cache_dir() / "torchvision")
    tried = [split]
    if split is not None and "train" not in inspect.signature(kind).parameters:
        tried += [other for other in SPLIT_NAMES.get(meaning(split) or "", ()) if other != split]
    for number, asked in enumerate(tried, start=1):
        try:
            dataset = make_torchvision(kind, root, asked, download=True)
        except InputError:
            if number == len(tried):
                raise
            continue
        break
    found = list_pairs(f"torchvision:{name}", dataset)
    others = _others_at_hand(kind, root, found.chosen or ())
    parts = ("train", "test") if "train" in inspect.signature(kind).parameters else (*(found.chosen or ()), *others)
    return replace(found, parts=parts, others=tuple(_without_labels(name, other) for other in others.values()))


def _others_at_hand(kind: Any, root: str, chosen: tuple[str, ...]) -> dict[str, Any]:
    """The parts of a dataset of torchvision that were not chosen and can be opened without a download, by name."""
    accepted = inspect.signature(kind).parameters
    names = ("train", "test") if "train" in accepted else ("train", "val", "test") if "split" in accepted else ()
    there = {}
    for name in names:
        with contextlib.suppress(InputError):
            if name not in chosen:
                there[name] = make_torchvision(kind, root, name, download=False)
    return there


def _without_labels(name: str, dataset: Any) -> Listing:
    """Pictures of a list of pairs (picture, class number)."""
    rows = [Row(f"image {index}") for index in range(len(dataset))]
    return Listing(name, name, rows, lambda index: dataset[index][0], _mark(dataset))


def _mark(dataset: Any) -> Callable[[int], Hashable] | None:
    """What tells pictures of a list of pairs apart at no cost: their arrays, or the sizes of their files."""
    data: Any = getattr(dataset, "data", None)
    if getattr(data, "ndim", 0) > 2 and len(data) == len(dataset):
        return lambda index: hash(np.asarray(data[index]).tobytes())
    for value in vars(dataset).values():
        if isinstance(value, (list, tuple)) and len(value) == len(dataset) > 0:
            files = [entry[0] if isinstance(entry, tuple) and entry else entry for entry in value]
            if all(isinstance(file, (str, Path)) for file in files) and Path(files[0]).is_file():
                return lambda index: Path(files[index]).stat().st_size
    return None


def make_torchvision(kind: Any, root: str, split: str | None, *, download: bool) -> Any:
    """Construct a torchvision dataset, whichever way its class spells root, split and download.

    Raises:
        InputError: it needs other arguments, has no such split, or is not below `root` and cannot be downloaded.
        OfflineError: the download failed.
    """
    accepted = inspect.signature(kind).parameters
    arguments: dict[str, Any] = {"root": root} if "root" in accepted else {}
    if "train" in accepted:
        arguments["train"] = choose_parts(["train", "test"], split, kind.__name__) == ("train",)
    elif "split" in accepted and (split or accepted["split"].default is inspect.Parameter.empty):
        arguments["split"] = split or "train"
    elif split is not None and "split" not in accepted:
        choose_parts([], split, kind.__name__)
    inherited = [each for each in kind.__mro__ if any(one.kind is one.VAR_KEYWORD for one in accepted.values())]
    fetches = any("download" in inspect.signature(each.__init__).parameters for each in (kind, *inherited))
    if fetches:
        arguments["download"] = download
    try:
        return kind(**arguments)
    except (TypeError, ValueError, ImportError) as error:
        raise InputError(f"cannot open torchvision's {kind.__name__}: {said(error)}") from error
    except (OSError, RuntimeError) as error:  # URLError is an OSError; a failed check is a RuntimeError
        if download and not fetches:
            raise InputError(
                f"torchvision downloads no {kind.__name__}, and there is none in {root}; give the folder, table or "
                "archive with its pictures itself"
            ) from error
        if download:
            raise OfflineError(
                f"cannot download {kind.__name__} ({said(error)}); put it into {root} on a machine with a network"
            ) from error
        raise InputError(f"no {kind.__name__} in {root} ({said(error)})") from error


def list_pairs(name: str, dataset: Any) -> Listing:
    """Pictures of a list of pairs (picture, class number), as torchvision's are; -1 and None are no class.

    Raises:
        InputError: what belongs to a picture is no class.
    """
    targets = next(
        (
            value
            for field in ("targets", "_labels", "labels", "y")
            if (value := getattr(dataset, field, None)) is not None
        ),
        None,
    )
    if targets is None:
        samples = getattr(dataset, "samples", None) or getattr(dataset, "_samples", None)
        pairs = samples if samples is not None else [dataset[index] for index in range(len(dataset))]
        targets = [label for _, label in pairs]
    several = (target for target in targets if isinstance(target, (dict, list, tuple)) or np.ndim(target) > 0)
    if (wrong := next(several, None)) is not None:
        raise DataError(f"the pictures of '{name}' have no single class, but {type(wrong).__name__} each")
    classes = getattr(dataset, "classes", None)
    labels = clean_labels(targets)
    if classes:
        numbers = [None if label is None or not label.isdigit() else int(label) for label in labels]
        labels = [None if number is None or number >= len(classes) else str(classes[number]) for number in numbers]
    rows = [Row(f"image {index}", label) for index, label in enumerate(labels)]
    part = getattr(dataset, "split", getattr(dataset, "_split", None))
    if hasattr(dataset, "train") and isinstance(dataset.train, bool):
        part = "train" if dataset.train else "test"
    return replace(_without_labels(name, dataset), rows=rows, chosen=(part,) if isinstance(part, str) else (),
                   notes=notes_on(labels))  # fmt: skip


def list_hugging_face(name: str, split: str | None, wanted: Wanted) -> Listing:
    """`ORG/NAME[:CONFIG]` through the `datasets` library, or a folder that it wrote with `save_to_disk`.

    Raises:
        MissingExtraError: `datasets` is not installed.
        OfflineError: the hub cannot be reached.
        InputError: no such dataset, split, or column.
    """
    try:
        import datasets as library
    except ImportError as error:
        raise MissingExtraError("'hf:' needs the datasets library; pip install 'fennec-recommender[hf]'") from error
    repository, _, config = name.partition(":")
    where = f"hf:{name}"
    if not repository.strip("/. ") or ".." in repository.split("/"):
        raise InputError(f"'{where}' names no dataset; expected hf:ORG/NAME, or hf: and a folder of save_to_disk")
    try:
        if (Path(repository) / "dataset_dict.json").is_file() or (Path(repository) / "state.json").is_file():
            saved = library.load_from_disk(repository)
            splits = list(saved) if isinstance(saved, library.DatasetDict) else []
            chosen = choose_parts(splits, split, where) if splits or split is not None else ()
            table = library.concatenate_datasets([saved[part] for part in chosen]) if splits else saved
            others = [saved[part] for part in splits if part not in chosen]
        else:
            splits = library.get_dataset_split_names(repository, config or None)
            chosen = choose_parts(splits, split, where)
            table, *others = (
                library.load_dataset(repository, config or None, split=part)
                for part in ("+".join(chosen), *(part for part in splits if part not in chosen))
            )
    except (ConnectionError, library.exceptions.DatasetNotFoundError, OSError) as error:
        raise OfflineError(
            f"cannot get 'hf:{name}' ({(said(error) or type(error).__name__).splitlines()[0]}); check the name and the "
            "network, or give a local folder"
        ) from error
    except FennecError:
        raise
    except Exception as error:  # of the library's many readers
        raise InputError(f"cannot open 'hf:{name}': {' '.join(said(error).split()) or type(error).__name__}") from error
    listing = _list_table(table, where, wanted, chosen, tuple(splits))
    column = listing.columns["image"]
    return replace(listing, others=tuple(
        _pictures_of(other, column, where) for other in others if column in other.column_names))  # fmt: skip


def _list_table(table: Any, where: str, wanted: Wanted, chosen: tuple[str, ...], splits: tuple[str, ...]) -> Listing:
    """Rows of one split of `datasets`."""
    import datasets as library

    holders = [column for column, kind in table.features.items() if isinstance(kind, library.Image)]
    if not holders:
        raise DataError(f"'{where}' has no column of images (it has {', '.join(table.column_names)})")
    column = find_image_column(holders, wanted.image, where)
    others = [name for name in table.column_names if name not in holders]
    frame = table.select_columns(others).with_format(None).to_pandas() if others else None
    class_names = {name: kind.names for name, kind in table.features.items() if isinstance(kind, library.ClassLabel)}
    labels = None
    part_columns: list[str] = []
    notes: tuple[str, ...] = ()
    used: tuple[str, ...] = ()
    parts: list[str | None] | None = None
    if frame is not None:
        if len(splits) < 2:
            parts, part_columns = part_of_rows(frame)
        found = labels_of(frame.drop(columns=part_columns), wanted.label, where, class_names)
        labels, used, notes = found.values, found.columns, found.notes
    elif wanted.label is not None:
        raise InputError(f"'{where}' has no column '{wanted.label}' for --label-column; it has {column} alone")
    pictures = _pictures_of(table, column, where)
    for index, row in enumerate(pictures.rows):
        row.label = None if labels is None else labels[index]
        row.part = None if parts is None else parts[index]
    columns = {"image": column} | ({"label": ", ".join(used)} if used else {})
    columns |= {"part": ", ".join(part_columns)} if part_columns else {}
    unused = [name for name in table.column_names if name not in (column, *part_columns, *used)]
    names, asked = (None, None) if parts is not None else (splits, chosen)
    return replace(pictures, parts=names, chosen=asked, columns=columns, columns_not_used=tuple(unused), notes=notes)


def _pictures_of(table: Any, column: str, where: str) -> Listing:
    """Pictures of one split of `datasets`, without labels."""
    import datasets as library
    import pyarrow.compute as pc

    raw = table.cast_column(column, library.Image(decode=False)).select_columns([column])
    cells = raw.data.column(column) if raw._indices is None else raw.flatten_indices().data.column(column)
    sizes = pc.binary_length(pc.struct_field(cells, "bytes")).to_pylist()
    paths = pc.struct_field(cells, "path").to_pylist()
    rows = [Row(f"row {index}", problem="without a picture" if size is None and path is None else None)
            for index, (size, path) in enumerate(zip(sizes, paths, strict=True))]  # fmt: skip

    def load(index: int) -> Any:
        value = raw[index][column] or {}
        return value.get("bytes") or value.get("path")

    def mark(index: int) -> Hashable:
        path = Path(paths[index] or "")
        return sizes[index] if sizes[index] is not None else path.stat().st_size if path.is_file() else -1

    return Listing(where, where, rows, load, mark)


def _refuse_columns(wanted: Wanted, where: str) -> None:
    if wanted != Wanted():
        raise InputError(f"'{where}' has no columns to choose; --image-column and --label-column are for tables")
