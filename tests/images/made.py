"""Datasets made for a test: pictures of noise in a folder, an archive or a table."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from fennec.images.datasets import ImageDataset

Files = Mapping[str, bytes]


def coded(seed: int, kind: str = "PNG") -> bytes:
    """A small picture of noise; every seed another."""
    buffer = io.BytesIO()
    noise = np.random.default_rng(seed).integers(0, 256, (9, 11, 3), dtype=np.uint8)
    Image.fromarray(noise).save(buffer, kind)
    return buffer.getvalue()


def files(*names: str, start: int = 0) -> dict[str, bytes]:
    """A picture for every name, none like another."""
    return {name: coded(start + index) for index, name in enumerate(names)}


def many(folder: str, n: int, *, suffix: str = ".png", start: int = 0) -> dict[str, bytes]:
    return files(*[f"{folder}/{index}{suffix}" for index in range(n)], start=start + hash_of(folder))


def hash_of(text: str) -> int:
    return sum(ord(letter) * 131**place for place, letter in enumerate(text)) % 1_000_003


def as_folder(root: Path, content: Files) -> Path:
    for name, data in content.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def as_zip(root: Path, content: Files) -> Path:
    root.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(f"{root}.zip", "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return Path(f"{root}.zip")


def as_tar(root: Path, content: Files) -> Path:
    root.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(f"{root}.tar", "w") as archive:
        for name, data in content.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return Path(f"{root}.tar")


TREES: dict[str, Callable[[Path, Files], Path]] = {"folder": as_folder, "zip": as_zip, "tar": as_tar}


def table(root: Path, frame: pd.DataFrame, name: str = "list.csv") -> Path:
    """A table beside pictures `0.png`, `1.png`, ..., one for each row."""
    as_folder(root, files(*[f"{index}.png" for index in range(len(frame))]))
    frame.to_csv(root / name, index=False)
    return root / name


def counts(dataset: ImageDataset) -> dict[str, int]:
    assert dataset.labels is not None
    found = {name: int((dataset.labels == label).sum()) for label, name in enumerate(dataset.class_names)}
    assert {name: n for name, n in found.items() if n} == dict(dataset.taken.class_counts)
    return found


def rows_of(names: Sequence[str], labels: Sequence[object], start: int = 0) -> pd.DataFrame:
    return pd.DataFrame({"image": [coded(start + index) for index in range(len(names))], "label": labels})
