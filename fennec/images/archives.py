"""Images inside `.zip` and `.tar` archives, read in place."""

from __future__ import annotations

import bz2
import gzip
import lzma
import shutil
import tarfile
import tempfile
import weakref
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from threading import Lock
from typing import IO, Any

from fennec.errors import InputError

from .datasets import ImageDataset
from .decode import UnreadableImage, is_image_name
from .folders import from_names

_OPENERS: dict[bytes, Callable[..., Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZ": bz2.open,
    b"\xfd7": lzma.open,
}


def open_zip(path: Path, split: str | None) -> ImageDataset:
    """Dataset of the images in a zip archive.

    Raises:
        InputError: damaged, with members outside itself, or without images.
    """
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError) as error:
        raise InputError(f"'{path}' is not a readable zip archive: {error}") from error
    names = _image_members(path, [info.filename for info in archive.infolist() if not info.is_dir()])

    def load(name: str) -> bytes:
        try:
            return archive.read(name)
        except (zipfile.BadZipFile, RuntimeError, NotImplementedError, OSError, EOFError) as error:
            raise UnreadableImage(f"damaged or encrypted member: {error}") from error

    return from_names(path.stem, names, load, split)


def open_tar(path: Path, split: str | None) -> ImageDataset:
    """Dataset of the images in a tar archive, compressed or not; links in it are ignored.

    Raises:
        InputError: damaged, with members outside itself, or without images.
    """
    try:
        archive = _Tar(path)
    except (tarfile.TarError, OSError, EOFError, lzma.LZMAError) as error:
        raise InputError(f"'{path}' is not a readable tar archive: {error}") from error
    names = _image_members(path, list(archive.members))
    return from_names(path.name.split(".tar")[0], names, archive.read, split)


class _Tar:
    """Random access to the files of a tar; a compressed one is decompressed to an unnamed file first."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            opener = _OPENERS.get(file.read(2))
        self.file: IO[bytes] = path.open("rb") if opener is None else tempfile.TemporaryFile()  # noqa: SIM115 - closed below
        weakref.finalize(self, self.file.close)
        if opener is not None:
            with opener(path, "rb") as compressed:
                shutil.copyfileobj(compressed, self.file)
            self.file.seek(0)
        with tarfile.open(fileobj=self.file, mode="r:") as archive:
            self.members = {member.name: member for member in archive.getmembers() if member.isfile()}
        self.lock = Lock()  # one file position for all threads

    def read(self, name: str) -> bytes:
        member = self.members[name]
        with self.lock:
            self.file.seek(member.offset_data)
            content = self.file.read(member.size)
        if len(content) < member.size:
            raise UnreadableImage("cut short in the archive")
        return content


def _image_members(path: Path, members: list[str]) -> list[str]:
    for member in members:
        if ".." in PurePosixPath(member).parts or PurePosixPath(member).is_absolute() or "\\" in member:
            raise InputError(f"'{path}' has a member outside itself ('{member}'); refused, make the archive again")
    names = sorted(name for name in members if is_image_name(name) and not name.startswith("__MACOSX/"))
    if not names:
        raise InputError(f"no images in '{path}' ({len(members)} other files)")
    return names
