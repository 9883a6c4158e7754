"""Images in folders: what is a split, what is a class. Archives use the same rules."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from fennec.errors import InputError

from .datasets import Content, ImageDataset, Labels, choose_split, encode_labels
from .decode import EXTENSIONS, is_image_name

SPLITS = ("train", "training", "val", "valid", "validation", "test", "testing")


def open_folder(path: Path, split: str | None) -> ImageDataset:
    """Dataset of a directory tree.

    Raises:
        InputError: no images in it, or the split is not there.
    """
    names = sorted(_walk(path, "", set()))
    if not names:
        seen = sorted(entry.name for entry in path.iterdir())[:5]
        raise InputError(
            f"no images in '{path}' (it holds {', '.join(seen) if seen else 'nothing'}); "
            f"looked for {' '.join(sorted(EXTENSIONS)[:6])} ... in it and in its folders"
        )
    return from_names(path.name or str(path), names, lambda name: path / name, split)


def from_names(name: str, names: Sequence[str], load: Callable[[str], Content], split: str | None) -> ImageDataset:
    """Dataset of relative image paths: `[split/]class/.../image`, or images without classes.

    Args:
        name: what to call it.
        names: relative paths with `/`.
        load: content of one of them.
        split: the split wanted.
    """
    parts = [tuple(path.split("/")) for path in names]
    skip = 0  # folders that everything lies in
    while all(len(p) - skip > 2 for p in parts) and len({p[skip] for p in parts}) == 1 and parts[0][skip] not in SPLITS:
        skip += 1
    there = sorted({p[skip] for p in parts if len(p) - skip > 1 and p[skip].lower() in SPLITS})
    chosen = list(range(len(names)))
    if there:
        wanted = choose_split(there, split, name)
        chosen = [index for index, p in enumerate(parts) if len(p) - skip > 1 and p[skip] == wanted]
        skip += 1
    elif split is not None:
        choose_split(there, split, name)
    kept = [names[index] for index in chosen]
    labels: Labels | None = None
    class_names: tuple[str, ...] = ()
    if all(len(parts[index]) - skip > 1 for index in chosen):
        labels, class_names = encode_labels([parts[index][skip] for index in chosen])
    return ImageDataset(name, kept, lambda index: load(kept[index]), labels, class_names)


def _walk(root: Path, relative: str, seen: set[tuple[int, int]]) -> Iterator[str]:
    """Relative paths of the images below a directory; links are followed, each directory entered once."""
    status = (root / relative).stat()
    if (status.st_dev, status.st_ino) in seen:
        return
    seen.add((status.st_dev, status.st_ino))
    try:
        entries = sorted(os.scandir(root / relative), key=lambda entry: entry.name)
    except PermissionError as error:
        raise InputError(f"cannot read the folder '{root / relative}': {error.strerror}") from error
    for entry in entries:
        path = f"{relative}/{entry.name}" if relative else entry.name
        if entry.name.startswith((".", "__MACOSX")):
            continue
        if entry.is_dir():
            yield from _walk(root, path, seen)
        elif is_image_name(entry.name):
            yield path
