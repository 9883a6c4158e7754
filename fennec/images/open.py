"""Open any image dataset: a folder, a manifest, an archive, or a dataset of another library.

In: one argument. Out: `ImageDataset`. Archives are never unpacked to disk.
"""

from __future__ import annotations

import re
from pathlib import Path

from fennec.errors import InputError, did_you_mean

from .archives import open_tar, open_zip
from .datasets import ImageDataset
from .decode import is_image_name
from .folders import open_folder
from .libraries import open_hugging_face, open_scikit_learn, open_torchvision
from .manifests import open_parquet, open_table, parquet_splits


def open_dataset(source: str | Path, *, split: str | None = None) -> ImageDataset:
    """Open images from wherever they are.

    Args:
        source: a folder of images (class folders and train/val/test folders are understood), a CSV, TSV or
            parquet manifest, a `.zip` or `.tar` archive, `torchvision:NAME`, `hf:ORG/NAME[:CONFIG]`, or
            `sklearn:digits`.
        split: which part; the training part when None and there is one, else everything.

    Raises:
        InputError: there is nothing there, or nothing usable; the message says what was looked for.
        OfflineError: a download is needed and the hub cannot be reached.
        MissingExtraError: the `datasets` library is needed and not installed.

    Example:
        >>> len(open_dataset("sklearn:digits"))
        1797
    """
    text = str(source)
    if not text.strip():
        raise InputError("the dataset is an empty string; expected a folder, a manifest, an archive or 'hf:NAME'")
    scheme, _, rest = text.partition(":")
    if re.fullmatch(r"[A-Za-z][A-Za-z0-9_]+", scheme) and _ and not Path(text).exists():
        readers = {
            "torchvision": open_torchvision,
            "hf": open_hugging_face,
            "sklearn": open_scikit_learn,
        }
        if scheme not in readers:
            raise InputError(f"unknown kind of dataset '{scheme}:'{did_you_mean(scheme, readers)}; "
                             f"there are {', '.join(readers)}, folders, manifests and archives")  # fmt: skip
        return readers[scheme](rest, split)
    path = Path(text)
    if not path.exists():
        siblings = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        raise InputError(f"no dataset at '{path}'{did_you_mean(path.name, siblings)}")
    if path.is_dir():
        tables = parquet_splits(path)
        return open_parquet(tables, path.name, split) if tables else open_folder(path, split)
    suffixes = "".join(path.suffixes[-2:]).lower()
    if path.suffix.lower() in (".csv", ".tsv"):
        return open_table(path, split)
    if path.suffix.lower() == ".parquet":
        return open_parquet({"": path}, path.stem, split)
    if path.suffix.lower() == ".zip":
        return open_zip(path, split)
    if path.suffix.lower() in (".tar", ".tgz", ".tbz2", ".txz") or suffixes in (
        ".tar.gz",
        ".tar.bz2",
        ".tar.xz",
    ):
        return open_tar(path, split)
    if is_image_name(path.name):
        raise InputError(f"'{path}' is one image; give the folder that holds the dataset: '{path.parent}'")
    raise InputError(f"cannot tell what '{path}' is; expected a folder, .csv, .tsv, .parquet, .zip or .tar")
