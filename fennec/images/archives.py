"""Files inside `.zip` and `.tar` archives, read in place.

In: an archive, or several that lie in a folder. Out: `Tree`, as of a folder.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
import shutil
import tarfile
import tempfile
import weakref
import zipfile
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from pathlib import Path, PurePosixPath
from threading import Lock
from typing import IO, Any

from fennec.errors import InputError

from .decode import UnreadableImage
from .folders import Tree
from .kinds import is_hidden
from .parts import check_shards, shard_of

_OPENERS: dict[bytes, Callable[..., Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZ": bz2.open,
    b"\xfd7": lzma.open,
}
_TAR_ENDINGS = (".tar", ".tgz", ".tbz2", ".txz", ".tar.gz", ".tar.bz2", ".tar.xz")


def is_archive_name(name: str) -> bool:
    """Whether a file is an archive that is read, by its name."""
    return name.lower().endswith((".zip", *_TAR_ENDINGS))


def open_archive(path: Path) -> Tree:
    """The files in an archive.

    Raises:
        InputError: damaged, or with members outside itself.
    """
    return _open_zip(path) if path.name.lower().endswith(".zip") else _open_tar(path)


def join_archives(tree: Tree, folder: Path) -> Tree:
    """The files in all archives of a folder, each archive a folder of its name; shards are one folder.

    Archives named by a number alone are shards where it is long and has zeros in front (`00000.tar`), else folders.

    Args:
        tree: of the folder.
        folder: its path.

    Raises:
        InputError: an archive is damaged, or shards are missing.
    """
    archives = [name for name in tree.names if is_archive_name(name)]
    opened = {name: open_archive(folder / name) for name in archives}
    members: dict[str, tuple[Tree, str]] = {}
    check_shards(map(_stem, archives), tree.where)
    homes, notes = _homes(archives)
    twice = Counter(homes[name] + member for name, inside in opened.items() for member in inside.names)
    for name, inside in opened.items():
        for member in inside.names:
            path = homes[name] + member
            if twice[path] > 1:  # the same name in two shards
                above, slash, base = path.rpartition("/")
                path = f"{above}{slash}{Path(name).name.partition('.')[0]} {base}"
            members[path] = (inside, member)
    members |= {name: (tree, name) for name in tree.names if not is_archive_name(name)}
    return Tree(
        tree.name,
        tree.where,
        sorted(members),
        lambda name: members[name][0].load(members[name][1]),
        lambda name: members[name][0].mark(members[name][1]),
        notes=tuple(dict.fromkeys(notes)),
    )


def _homes(archives: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Folder that stands for each archive, with a `/` behind it unless it is the root, and what to say of numbers."""
    homes, notes = {}, []
    numbers: dict[str, list[str]] = defaultdict(list)
    for name in archives:
        folder, slash, base = _stem(name).rpartition("/")
        part, index, _ = shard_of(base)
        homes[name] = f"{folder}{slash}{part if index is not None and part else base}/"
        if index is not None and not part:
            numbers[folder + slash].append(name)
    for folder, names in numbers.items():
        bases = [_stem(name).rpartition("/")[2] for name in names]
        some = f"{', '.join(Path(name).name for name in names[:2])}{', ...' if len(names) > 2 else ''}"
        if len(bases[0]) > 3 and len(set(map(len, bases))) == 1 and any(base[0] == "0" for base in bases):
            homes |= dict.fromkeys(names, folder)
            notes.append(f"{some} are taken as pieces of one dataset; unpack them where each is a class")
        elif len(names) > 1:
            notes.append(f"{some} are taken as classes of these names")
    return homes, notes


def _stem(name: str) -> str:
    """Path of an archive without its endings."""
    return re.sub(r"(?i)(\.tar)?\.(zip|tar|tgz|tbz2|txz|gz|bz2|xz)$", "", name)


def _open_zip(path: Path) -> Tree:
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError) as error:
        raise InputError(f"'{path}' is not a readable zip archive: {error}") from error
    # Some programs of Windows write `\` between folders.
    inside = {info.filename.replace("\\", "/"): info for info in archive.infolist()}
    members = {clean: info for name, info in inside.items() if not name.endswith("/") and (clean := _clean(path, name))}

    def load(name: str) -> bytes:
        try:
            return archive.read(members[name])
        except (zipfile.BadZipFile, RuntimeError, NotImplementedError, OSError, EOFError) as error:
            raise UnreadableImage(f"damaged or encrypted member: {error}") from error

    def mark(name: str) -> Hashable:
        return members[name].file_size, members[name].CRC

    folders = (_clean(path, name) for name in inside if name.endswith("/"))
    return Tree(_stem(path.name), str(path), sorted(members), load, mark, empty=_empty(folders, members))


def _open_tar(path: Path) -> Tree:
    try:
        archive = _Tar(path)
    except (tarfile.TarError, OSError, EOFError, lzma.LZMAError) as error:
        raise InputError(f"'{path}' is not a readable tar archive: {error}") from error
    members = {clean: member for name, member in archive.members.items() if (clean := _clean(path, name))}
    folders = (_clean(path, name) for name in archive.folders)
    return Tree(_stem(path.name), str(path), sorted(members), lambda name: archive.read(members[name]),
                lambda name: members[name].size, empty=_empty(folders, members))  # fmt: skip


def _empty(folders: Iterable[str], files: Iterable[str]) -> list[str]:
    """Folders that hold neither files nor folders, sorted."""
    there = set(filter(None, folders))
    return sorted(there - {str(above) for path in (*files, *there) for above in PurePosixPath(path).parents})


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
            self.members = dict(_files(archive.getmembers()))
            self.folders = [member.name for member in archive.getmembers() if member.isdir()]
        self.lock = Lock()  # one file position for all threads

    def read(self, member: tarfile.TarInfo) -> bytes:
        with self.lock:
            self.file.seek(member.offset_data)
            content = self.file.read(member.size)
        if len(content) < member.size:
            raise UnreadableImage("cut short in the archive")
        return content


def _files(members: Iterable[tarfile.TarInfo]) -> Iterable[tuple[str, tarfile.TarInfo]]:
    """Names and files of a tar; a second name of a file inside (a hard link) is that file, other links are ignored."""
    known: dict[str, tarfile.TarInfo] = {}
    for member in members:
        target = known.get(member.linkname) if member.islnk() else member
        if target is not None and target.isfile():
            known[member.name] = target
            yield member.name, target


def _clean(path: Path, member: str) -> str:
    """Name of a member without `./`, empty where it is hidden.

    Raises:
        InputError: it lies outside the archive.
    """
    parts = [part for part in member.split("/") if part != "."]
    if ".." in parts or member.startswith("/") or re.match(r"[A-Za-z]:", member):
        raise InputError(f"'{path}' has a member outside itself ('{member}'); refused, make the archive again")
    name = "/".join(part for part in parts if part)
    return "" if is_hidden(name) else name
