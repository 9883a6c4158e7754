"""Files inside `.zip` and `.tar` archives, read in place and in steps.

In: an archive, or several that lie in a folder. Out: `Tree`, as of a folder. What an archive claims is never believed:
no member takes more memory than `MAX_MEMBER`, and one that is damaged costs itself alone.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import struct
import tarfile
import tempfile
import weakref
import zipfile
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import ExitStack, nullcontext
from pathlib import Path, PurePosixPath
from threading import Lock
from typing import IO, Any

from fennec.errors import DataError, InputError, said, shown

from .decode import UnreadableImage, readable
from .folders import Tree
from .kinds import is_hidden
from .parts import check_shards, shard_of

_OPENERS: dict[bytes, Callable[..., Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZ": bz2.open,
    b"\xfd7": lzma.open,
}
MB = 2**20
MAX_MEMBER = 128 * MB  # of one picture
SMALL_MEMBER = 16 * MB  # up to here a member may be packed as tightly as it likes
MAX_RATIO = 200  # unpacked to packed: no picture with something in it is beyond that
LEAST_UNPACKED = 512 * MB  # of a packed tar, up to which its ratio is not looked at
MAX_NAME, MAX_DEPTH = 1000, 60  # characters and folders of a member's name
LOCAL_HEADER, CENTRAL_HEADER = 30, 46  # bytes of a zip's headers before the name
UTF8_FLAG = 8  # of the second byte of their flags
STEP = 2**12  # packed bytes of LZMA at a time: they become up to 7,000 times as much
_LARGE = Lock()  # one member above `SMALL_MEMBER` is unpacked at a time
_TAR_ENDINGS = (".tar", ".tgz", ".tbz2", ".txz", ".tar.gz", ".tar.bz2", ".tar.xz")


def is_archive_name(name: str) -> bool:
    """Whether a file is an archive that is read, by its name."""
    return name.lower().endswith((".zip", *_TAR_ENDINGS))


def open_archive(path: Path) -> Tree:
    """The files in an archive.

    Raises:
        InputError: damaged, or with members outside itself.
    """
    if not path.is_file():
        raise DataError(f"'{path}' is no regular file; expected an archive")
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


class _AnyNames(io.FileIO):
    """A zip whose names may be bytes that are no UTF-8 although it says so, for which `zipfile` refuses all of it.

    Their flag is cleared in what is read, so that `zipfile` takes them for code page 437, which has every byte.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.bad: set[bytes] = set()
        self.listed = False

    def read(self, size: int | None = -1) -> bytes:
        """Bytes of the file, but for that flag."""
        at = self.tell()
        data = super().read(-1 if size is None else size)
        if not self.listed and data.startswith(b"PK\1\2"):  # the list of all members, read as one
            return self._cleared(data)
        if size == LOCAL_HEADER and data.startswith(b"PK\3\4") and self._is_bad(data[6:8], name := super().read(
                int.from_bytes(data[26:28], "little"))):  # fmt: skip
            data = data[:6] + _without_utf8(data[6:8]) + data[8:]
            self.bad.add(name)
        self.seek(at + len(data))
        return data

    def _cleared(self, data: bytes) -> bytes:
        found, at = bytearray(data), 0
        while data[at : at + 4] == b"PK\1\2" and len(data) >= at + CENTRAL_HEADER:
            n_name, n_extra, n_comment = struct.unpack_from("<HHH", data, at + 28)
            name = data[at + CENTRAL_HEADER : at + CENTRAL_HEADER + n_name]
            if self._is_bad(data[at + 8 : at + 10], name):
                found[at + 8 : at + 10] = _without_utf8(data[at + 8 : at + 10])
                self.bad.add(name)
            at += CENTRAL_HEADER + n_name + n_extra + n_comment
        return bytes(found)

    @staticmethod
    def _is_bad(flags: bytes, name: bytes) -> bool:
        if not flags[1] & UTF8_FLAG:
            return False
        try:
            name.decode()
        except UnicodeDecodeError:
            return True
        return False

    def name_of(self, info: zipfile.ZipInfo) -> str:
        """Name of a member; bytes that are no text as `os.fsdecode` has them."""
        if info.flag_bits & UTF8_FLAG << 8 or not self.bad:
            return info.filename
        raw = info.orig_filename.encode("cp437")
        return raw.decode("utf-8", "surrogateescape") if raw in self.bad else info.filename


def _without_utf8(flags: bytes) -> bytes:
    return bytes((flags[0], flags[1] & ~UTF8_FLAG))


def _open_zip(path: Path) -> Tree:
    try:
        with ExitStack() as stack:
            file = stack.enter_context(_AnyNames(path))
            archive = zipfile.ZipFile(file)
            infos = archive.infolist()
            stack.pop_all()  # open as long as the archive
    except Exception as error:  # of a foreign reader on what may be anything
        raise DataError(f"'{path}' is not a readable zip archive: {said(error) or type(error).__name__}") from error
    file.listed = True
    weakref.finalize(archive, file.close)
    # Some programs of Windows write `\` between folders.
    named = [(file.name_of(info).replace("\\", "/"), info) for info in infos]
    inside = dict(named)
    members = {clean: info for name, info in inside.items() if not name.endswith("/") and (clean := _clean(path, name))}

    def load(name: str) -> bytes:
        info = members[name]
        _check_size(info.file_size, info.compress_size)
        with readable(), _LARGE if info.file_size > SMALL_MEMBER else nullcontext():
            if info.compress_type == zipfile.ZIP_BZIP2:
                return _unpacked_bzip2(path, info)
            with archive.open(info) as file:
                return b"".join(iter(lambda: file.read(STEP if info.compress_type == zipfile.ZIP_LZMA else MB), b""))

    def mark(name: str) -> Hashable:
        return members[name].file_size, members[name].CRC

    folders = (_clean(path, name) for name in inside if name.endswith("/"))
    return Tree(_stem(path.name), str(path), sorted(members), load, mark, empty=_empty(folders, members),
                notes=(*_left_out(inside), *_named_twice(name for name, _ in named)))  # fmt: skip


def _named_twice(names: Iterable[str]) -> tuple[str, ...]:
    """A note on members of one name, of which the last counts."""
    twice = [name for name, times in Counter(names).items() if times > 1 and not name.endswith("/")]
    more = f" and {len(twice) - 1:,} more" if len(twice) > 1 else ""
    return (f"'{shown(twice[0])}'{more} is in the archive several times: the last was taken",) if twice else ()


def _check_size(size: int, packed: int) -> None:
    """Refuse what would fill the memory, by what the archive says; no more than that is read in any case.

    Raises:
        UnreadableImage: larger than any picture, or packed as only nothing can be.
    """
    if not 0 <= size <= MAX_MEMBER:
        raise UnreadableImage(f"{size / MB:,.0f} MB in an archive, at most {MAX_MEMBER // MB} MB are read; unpack it")
    if size > SMALL_MEMBER and size > MAX_RATIO * packed:
        raise UnreadableImage(f"unpacks to more than {MAX_RATIO} times its size")


def _unpacked_bzip2(path: Path, info: zipfile.ZipInfo) -> bytes:
    """A member packed by bzip2, no more of it than it says; `zipfile` would unpack all, a million times what it reads.

    Raises:
        UnreadableImage: encrypted or damaged.
    """
    with path.open("rb") as file:
        file.seek(info.header_offset + 26)
        file.seek(sum(struct.unpack("<HH", file.read(4))), 1)  # behind its name and what else is there
        packed = file.read(min(info.compress_size, MAX_MEMBER))
    content = bz2.BZ2Decompressor().decompress(packed, max_length=info.file_size + 1)
    if info.flag_bits & 1 or len(content) != info.file_size or zlib.crc32(content) != info.CRC:
        raise UnreadableImage("damaged or encrypted in the archive")
    return content


def _left_out(names: Iterable[str]) -> tuple[str, ...]:
    """A note on members that no file system would hold."""
    n_long = sum(map(_is_long, names))
    return (f"{n_long:,} members with names of more than {MAX_NAME:,} characters or {MAX_DEPTH} folders left out",) * (
        n_long > 0
    )


def _is_long(name: str) -> bool:
    return len(name) > MAX_NAME or name.count("/") > MAX_DEPTH


def _open_tar(path: Path) -> Tree:
    try:
        archive = _Tar(path)
    except InputError:
        raise
    except Exception as error:  # of a foreign reader on what may be anything
        raise DataError(f"'{path}' is not a readable tar archive: {said(error) or type(error).__name__}") from error
    members = {clean: member for name, member in archive.members.items() if (clean := _clean(path, name))}
    folders = (_clean(path, name) for name in archive.folders)
    return Tree(_stem(path.name), str(path), sorted(members), lambda name: archive.read(*members[name]),
                lambda name: members[name][1], empty=_empty(folders, members),
                notes=(*archive.notes, *_left_out(archive.members)))  # fmt: skip


def _empty(folders: Iterable[str], files: Iterable[str]) -> list[str]:
    """Folders that hold neither files nor folders, sorted."""
    there = set(filter(None, folders))
    return sorted(there - {str(above) for path in (*files, *there) for above in PurePosixPath(path).parents})


class _Tar:
    """Random access to the files of a tar; a compressed one is decompressed to an unnamed file first.

    Attributes:
        members: place and size of the files, by name.
        folders: names of the folders.
        notes: where what can be read ends, if that is not the end.
    """

    def __init__(self, path: Path) -> None:
        self.notes: list[str] = []
        with path.open("rb") as file:
            opener = _OPENERS.get(file.read(2))
        self.file: IO[bytes] = path.open("rb") if opener is None else tempfile.TemporaryFile()  # noqa: SIM115 - closed below
        weakref.finalize(self, self.file.close)
        if opener is not None:
            self._unpack(path, opener)
        self.members: dict[str, tuple[int, int]] = {}
        self.folders: list[str] = []
        n_times: Counter[str] = Counter()
        for member in self._headers():
            if member.isdir():
                self.folders.append(member.name)
            elif member.islnk():  # a second name of a file inside is that file, other links are ignored
                if member.linkname in self.members:
                    self.members[member.name] = self.members[member.linkname]
            elif member.isfile():
                n_times[member.name] += 1
                self.members[member.name] = (member.offset_data, member.size)
        self.notes += _named_twice(n_times.elements())
        self.lock = Lock()  # one file position for all threads

    def _unpack(self, path: Path, opener: Callable[..., Any]) -> None:
        """Decompress into the file, as far as that goes.

        Raises:
            InputError: it becomes so much larger that it can hold no pictures, or there is no room.
        """
        limit = max(LEAST_UNPACKED, MAX_RATIO * path.stat().st_size)
        done = 0
        with opener(path, "rb") as packed:
            while True:
                try:
                    chunk = packed.read1(MB)  # all that there is before the damage
                except Exception as error:  # cut short or damaged
                    if not done:
                        raise
                    self._damaged(f"it cannot be decompressed to its end: {said(error) or type(error).__name__}")
                    return
                done += len(chunk)
                if done > limit:
                    raise DataError(f"'{path}' unpacks to more than {MAX_RATIO} times its size; unpack it yourself")
                try:
                    self.file.write(chunk)
                    self.file.flush()
                except OSError as error:
                    raise DataError(f"no room in {tempfile.gettempdir()} to unpack '{path}' ({error.strerror}); "
                                     "set TMPDIR, or unpack it yourself") from error  # fmt: skip
                if not chunk:
                    return

    def _headers(self) -> Iterator[tarfile.TarInfo]:
        """Members in their order, up to the first that cannot be read."""
        self.file.seek(0)
        at = -1
        with tarfile.open(fileobj=self.file, mode="r:") as archive:
            try:
                while (member := archive.next()) is not None:
                    archive.members.clear()  # type: ignore[attr-defined]  # it keeps what it has read, which can be a million headers
                    if member.offset <= at:
                        raise tarfile.ReadError("a member that begins before the last one")
                    at = member.offset
                    yield member
            except Exception as error:  # of a foreign reader on what may be anything
                if at < 0:
                    raise
                self._damaged(said(error) or type(error).__name__)
                return
            self.file.seek(archive.offset)
            if self.file.read(tarfile.BLOCKSIZE).strip(b"\0"):
                self._damaged("no header where the next member should begin")

    def _damaged(self, why: str) -> None:
        if not self.notes:  # what was not decompressed is cut short as well
            self.notes.append(f"the archive is damaged and only its beginning was read ({shown(why)})")

    def read(self, offset: int, size: int) -> bytes:
        _check_size(size, size)
        with readable(), self.lock:
            self.file.seek(offset)
            content = self.file.read(size)
        if len(content) < size:
            raise UnreadableImage("cut short in the archive")
        return content


def _clean(path: Path, member: str) -> str:
    """Name of a member without `./`, empty where it is hidden or too long.

    Raises:
        InputError: it lies outside the archive.
    """
    if _is_long(member):
        return ""
    parts = [part for part in member.split("/") if part != "."]
    if ".." in parts or member.startswith("/") or re.match(r"[A-Za-z]:", member):
        raise DataError(f"'{path}' has a member outside itself ('{member}'); refused, make the archive again")
    name = "/".join(part for part in parts if part)
    return "" if is_hidden(name) else name
