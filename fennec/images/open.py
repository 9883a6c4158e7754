"""Open any image dataset: a folder, a table, an archive, or a dataset of another library.

In: one argument. Out: `ImageDataset`. Archives are never unpacked to disk.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fennec.errors import DataError, InputError, did_you_mean

from .archives import is_archive_name, join_archives, open_archive
from .datasets import ImageDataset
from .decode import Content
from .folders import list_tree, open_tree
from .kinds import PICTURES, is_picture_name, suffix
from .labels import Wanted, clean_labels, is_nested, notes_on
from .libraries import list_hugging_face, list_scikit_learn, list_torchvision
from .listing import Listing, Row, take
from .manifests import open_table
from .parts import shard_of
from .tables import TABLES

READERS = {"torchvision": list_torchvision, "hf": list_hugging_face, "sklearn": list_scikit_learn}
ASKED = ("split", "image-column", "label-column")  # what may stand behind a `?`


def open_dataset(
    source: str | Path | ImageDataset,
    *,
    split: str | None = None,
    image_column: str | None = None,
    label_column: str | None = None,
) -> ImageDataset:
    """Open images from wherever they are; `.taken` of the result says what was taken and what was not.

    Args:
        source: a folder of images (class folders, parts, tables and archives in it are understood), a CSV, TSV, JSON
            lines or parquet table, a `.zip` or `.tar` archive, `torchvision:NAME`, `hf:ORG/NAME[:CONFIG]`,
            `sklearn:digits`, or a dataset that is open already. Where options cannot be given, they may stand behind
            it: `skin.csv?label-column=dx&split=val`.
        split: which part, by name or meaning (`train` finds `Training`); the training part when None and there are
            parts, else everything.
        image_column: of a table, the column of pictures or their paths; found by name and content when None.
        label_column: of a table, the column of classes; found by name when None.

    Raises:
        InputError: there is nothing there, or nothing usable; the message says what was looked for.
        OfflineError: a download is needed and the hub cannot be reached.
        MissingExtraError: the `datasets` library is needed and not installed.

    Example:
        >>> str(open_dataset("sklearn:digits").taken)
        'sklearn:digits: 1,797 pictures, 10 classes (3 183, 1 182, 5 182, ...)'
    """
    if isinstance(source, ImageDataset):
        if split or image_column or label_column:
            raise InputError(f"'{source.name}' is open already; give split and columns where it is opened")
        return source
    text, asked = _asked(str(source))
    wanted = Wanted(image_column or asked.get("image-column"), label_column or asked.get("label-column"))
    return take(_listing(text, split or asked.get("split"), wanted), split or asked.get("split"))


def open_pictures(
    pictures: Sequence[Any], labels: Sequence[Any] | None = None, *, name: str = "pictures"
) -> ImageDataset:
    """A dataset of pictures that are at hand.

    Args:
        pictures: paths, encoded bytes, pictures of Pillow, or arrays (NumPy, torch) of shape (height, width),
            (height, width, 1, 3 or 4) or (1, 3 or 4, height, width); colours from 0 to 1 as floats, else from 0 to 255
            or, all of them by one scale, to whatever is the highest.
        labels: names or numbers of classes, one for each picture, None when there are none. Missing ones (None, NaN,
            empty, -1 beside 0, 1, ...) are left out and counted.
        name: what to call it.

    Raises:
        InputError: no pictures, one of another kind or shape, as many labels as there are not pictures, or a label
            that is a list or an object.

    Example:
        >>> import numpy as np
        >>> shades = np.arange(5 * 64, dtype=np.uint8).reshape(5, 8, 8)
        >>> str(open_pictures(shades, [*"abab", None]).taken)
        'pictures: 4 pictures, 2 classes (a 2, b 2); without a label and left out: 1'
    """
    given = [None] * len(pictures) if labels is None else list(labels)
    if (wrong := next((label for label in given if is_nested(label)), None)) is not None:
        raise InputError(f"a label of '{name}' is a {type(wrong).__name__}; give one name or number for each picture")
    texts = clean_labels(given)
    if len(texts) != len(pictures):
        raise InputError(
            f"{len(pictures)} pictures and {len(texts)} labels of '{name}'; give one label for each picture"
        )

    load = _loader(pictures, name)
    rows = [Row(str(picture) if isinstance(picture, (str, Path)) else f"picture {index}", texts[index])
            for index, picture in enumerate(pictures)]  # fmt: skip
    return take(Listing(name, name, rows, load, notes=notes_on(texts)), None)


def _loader(pictures: Sequence[Any], name: str) -> Callable[[int], Content]:
    """Content of each of the pictures at hand; arrays are brought to what Pillow holds, all colours by one scale.

    Raises:
        InputError: a picture of another kind or shape, or colours that are no colours.
    """
    arrays = {
        index: _array(picture, f"picture {index} of '{name}'")
        for index, picture in enumerate(pictures)
        if not isinstance(picture, (str, Path, bytes, Image.Image))
    }
    colours = [array for array in arrays.values() if array.ndim == 3 and array.dtype != np.uint8]
    extremes = [(float(array.min()), float(array.max())) for array in colours]
    low, high = min((low for low, _ in extremes), default=0.0), max((high for _, high in extremes), default=0.0)
    if not (low >= 0 and np.isfinite(high)):
        raise InputError(f"the colours of '{name}' go from {low:.3g} to {high:.3g}; give them from 0 to 1 or 0 to 255, "
                         "before they are normalised")  # fmt: skip
    of_one = high <= 1 and all(np.issubdtype(array.dtype, np.floating) for array in colours)
    top = 1.0 if of_one else max(high, 255.0)

    def load(index: int) -> Content:
        if index not in arrays:
            content: Content = pictures[index]
            return content
        array = arrays[index]
        if array.ndim == 3 and array.dtype != np.uint8:
            array = (array.astype(np.float64) * (255.0 / top)).round().astype(np.uint8)
        elif array.dtype not in (np.uint8, np.uint16):
            fits = np.issubdtype(array.dtype, np.integer) and array.min() >= -(2**31) and array.max() < 2**31
            array = array.astype(np.int32 if fits else np.float32)
        return Image.fromarray(array)

    return load


def _array(picture: Any, which: str) -> NDArray[Any]:
    """A picture as an array of shape (height, width), or (height, width, 3 or 4).

    Raises:
        InputError: it is no picture.
    """
    expected = "a path, bytes, a picture of Pillow or an array of shape (height, width) or (height, width, 3)"
    try:
        array = np.asarray(picture)
    except (TypeError, ValueError, RuntimeError) as error:  # on another device, with a gradient, ragged
        raise InputError(
            f"{which} is a {type(picture).__name__} that is no array ({error}); expected {expected}"
        ) from error
    if array.ndim == 3 and array.shape[-1] not in (1, 3, 4) and array.shape[0] in (1, 3, 4):
        array = np.moveaxis(array, 0, -1)  # as torch has it
    if array.ndim == 3 and array.shape[-1] == 1:
        array = array[..., 0]
    is_picture = array.ndim == 2 or (array.ndim == 3 and array.shape[-1] in (3, 4))
    if array.dtype.kind not in "buif" or not is_picture or not array.size:
        seen = f"shape {array.shape} of {array.dtype}" if array.ndim else f"a {type(picture).__name__}"
        raise InputError(f"{which} is {seen}; expected {expected}")
    return array.astype(np.uint8) * 255 if array.dtype == bool else array


def with_columns(source: str, image_column: str | None, label_column: str | None) -> str:
    """A source with the columns to take behind it, as `open_dataset` understands it.

    Example:
        >>> with_columns("skin.csv", None, "dx")
        'skin.csv?label-column=dx'
    """
    asked = {"image-column": image_column, "label-column": label_column}
    query = urlencode({key: column for key, column in asked.items() if column is not None}, errors="surrogatepass")
    return source + ("&" if "?" in source else "?") + query if query else source


def _asked(text: str) -> tuple[str, dict[str, str]]:
    """A source without what stands behind its `?`, and that."""
    source, _, query = text.partition("?")
    if not query or _exists(Path(text)):
        return text, {}
    asked = dict(parse_qsl(query, errors="surrogatepass"))
    for key in asked:
        if key not in ASKED:
            raise InputError(f"'{text}' asks for '{key}'{did_you_mean(key, ASKED)}; there are {', '.join(ASKED)}")
    return source, asked


def _listing(text: str, split: str | None, wanted: Wanted) -> Listing:
    """What a source holds."""
    if not text.strip():
        raise InputError("the dataset is an empty string; expected a folder, a manifest, an archive or 'hf:NAME'")
    scheme, _, rest = text.partition(":")
    if re.fullmatch(r"[A-Za-z][A-Za-z0-9_]+", scheme) and _ and not _exists(Path(text)):
        if scheme not in READERS:
            raise InputError(f"unknown kind of dataset '{scheme}:'{did_you_mean(scheme, READERS)}; "
                             f"there are {', '.join(READERS)}, folders, manifests and archives")  # fmt: skip
        return READERS[scheme](rest, split, wanted)
    with contextlib.suppress(RuntimeError):  # nobody of this name
        text = str(Path(text).expanduser())
    path = Path(text)
    if not _exists(path):
        siblings = [p.name for p in path.parent.iterdir()] if _exists(path.parent) and path.parent.is_dir() else []
        raise InputError(f"no dataset at '{path}'{did_you_mean(path.name, siblings)}")
    if path.is_dir():
        return _folder(path, split, wanted)
    if not path.is_file():
        raise DataError(f"'{path}' is neither a folder nor a regular file; a pipe or a device cannot be read twice")
    if suffix(path.name) in TABLES:
        return _beside_shards(open_table(path, wanted), path)
    if is_archive_name(path.name):
        tree = open_archive(path)
        if not tree.names:
            raise DataError(f"no images in '{path}' (it holds nothing that is not hidden)")
        return _beside_shards(list_tree(tree, wanted), path)
    if is_picture_name(path.name):
        raise DataError(f"'{path}' is one image; give the folder that holds the dataset: '{path.parent}'")
    raise DataError(f"cannot tell what '{path}' is; expected a folder, {', '.join(sorted(TABLES))}, .zip or .tar")


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # longer than the system takes, a zero byte in it
        return False


def _beside_shards(listing: Listing, path: Path) -> Listing:
    """What one file holds, with a note where others beside it are the same dataset."""
    stem = _stem(path)
    name, index, of = shard_of(stem)
    ending = path.name[len(stem) :]
    others = (
        [_stem(other) for other in path.parent.iterdir() if other.name.endswith(ending)] if index is not None else []
    )
    n_files = of or sum(shard_of(other)[0] == name and shard_of(other)[1] is not None for other in others)
    note = f"this is one of {n_files:,} files; give the folder to take them all"
    return replace(listing, notes=(*listing.notes, note)) if n_files > 1 else listing


def _stem(path: Path) -> str:
    return re.sub(r"(?i)(\.tar)?\.\w+$", "", path.name)


def _folder(path: Path, split: str | None, wanted: Wanted) -> Listing:
    """What a folder holds: pictures, tables, archives, or what the library `datasets` saved there."""
    if any((path / name).is_file() for name in ("dataset_dict.json", "state.json")):
        return replace(list_hugging_face(str(path), split, wanted), name=path.name)
    tree = open_tree(path)
    if not tree.names:
        raise DataError(
            f"no images in '{path}' (it holds nothing that is not hidden); "
            f"looked for {' '.join(sorted(PICTURES)[:6])} ... in it and in its folders"
        )
    others = [name for name in tree.names if not is_archive_name(name)]
    has_data = any(tree.is_picture(name) or suffix(name) == ".parquet" for name in others)
    if len(others) < len(tree.names) and not has_data:
        tree = join_archives(tree, path)
    return list_tree(tree, wanted)
