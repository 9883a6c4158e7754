"""Files that are written whole or not at all, one alone or several together, and that nobody can hang a reader with.

In: text or bytes, values for JSON. Out: files. Everything that Fennec writes goes through here; what is read back is
typed by `fennec.typed`.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import math
import os
import shutil
import socket
import stat
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from fennec.errors import ArtifactError, InputError, UnreadableError, UnwritableError
from fennec.typed import Made, read_json, typed

MANIFEST = "manifest.json"
ATTEMPTS = 5  # to read what another process is writing
NEXT = ".next"  # in a folder: files that belong in it and were not all moved there yet
PARTIAL = ".part"
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def write_whole(path: Path, content: str | bytes) -> None:
    """Write to a name of this thread beside the target, then rename; folders are made.

    Raises:
        UnwritableError: there is no room or no right to write; nothing is left behind.
    """
    partial = path.parent / _partial_name()
    with _writing(path):
        if path.is_char_device() or (path.is_symlink() and path.is_fifo()):  # /dev/stdout is not ours to replace
            path.write_bytes(_bytes(content))
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _sweep(path.parent)
            partial.write_bytes(_bytes(content))
            partial.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)
            raise


def check_place(path: Path, *, folder: bool = False) -> None:
    """Refuse a place where nothing can be written, before the work and not after it.

    Args:
        path: of a file in a folder that is there, or of a folder, which need not be there.
        folder: which of both it is.

    Raises:
        InputError: a file is to lie in a folder that is not there.
        UnwritableError: something else is in its place, or there is no right.
    """
    with _writing(path):
        there = path.exists()
        above = path if there and folder else next(each for each in path.absolute().parents if os.path.lexists(each))
        if there and path.is_dir() != folder:
            raise OSError(errno.EEXIST if folder else errno.EISDIR, "")
        if not folder and above.is_dir() and not path.parent.is_dir():
            raise InputError(f"no folder '{path.parent}' to write '{path.name}' into; make it, or give another place")
        if not above.is_dir():
            raise OSError(errno.ENOTDIR, "")
        if not os.access(path if there and not path.is_file() else above, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def make_folder(path: Path) -> None:
    """Make a folder where there is none, and make sure that it can be written to.

    Raises:
        UnwritableError: something else is in its place, or there is no room or no right.
    """
    with _writing(path):
        path.mkdir(parents=True, exist_ok=True)
        if not os.access(path, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise InputError(f"'{path}' is longer than names of files may be; give another place") from error
        advice = "make room or give another place" if error.errno in NO_ROOM else "give another place"
        raise UnwritableError(f"cannot write '{path}' ({_obstacle(path, error)}); {advice}") from error


def _obstacle(path: Path, error: OSError) -> str:
    """What stands in the way of a file."""
    with contextlib.suppress(OSError):  # longer than the system takes
        above = next(each for each in path.parents if os.path.lexists(each))
        if not above.is_dir():
            return f"'{above}' is no folder"
    reasons = {
        errno.EISDIR: "it is a folder",
        errno.ENOTDIR: "it is no folder",
        errno.EEXIST: "it is a file",
        errno.ENOENT: "nothing can be made there",
    }
    return reasons.get(error.errno or 0, error.strerror or str(error))


def write_together(folder: Path, contents: Mapping[str, str | bytes]) -> None:
    """Write several files of a folder as one: whenever it is interrupted, all of them are new or none is.

    They are written into a folder beside them, which one rename makes valid (`find_file` looks there first); then they
    are moved to their places. Other files of the folder stay.

    Raises:
        UnwritableError: there is no room or no right to write; the files are as they were.
    """
    staged = folder / _partial_name()
    with _writing(folder):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _sweep(folder)
            staged.mkdir()
            for name, content in contents.items():
                (staged / name).write_bytes(_bytes(content))
            for attempt in range(100 * ATTEMPTS):
                finish(folder)
                try:
                    staged.rename(folder / NEXT)
                    break
                except OSError as error:  # another process was faster, whose files go to their places first
                    if attempt + 1 == 100 * ATTEMPTS or error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                        raise
        except BaseException:
            shutil.rmtree(staged, ignore_errors=True)
            raise
        finish(folder)


def finish(folder: Path) -> None:
    """Move the files of an interrupted `write_together` to their places; several processes may do it at once."""
    if not (folder / NEXT).is_dir():
        return
    with contextlib.suppress(FileNotFoundError):
        for path in (folder / NEXT).iterdir():
            with contextlib.suppress(FileNotFoundError):
                path.replace(folder / path.name)
    with contextlib.suppress(OSError):
        (folder / NEXT).rmdir()


def find_file(folder: Path, name: str) -> Path:
    """Where the newest whole version of a file of `write_together` lies."""
    moved = folder / NEXT / name
    return moved if os.path.lexists(moved) else folder / name


@dataclass(frozen=True)
class Manifest:
    """What `manifest.json` holds: SHA-256 of files beside it."""

    format_version: int
    files: dict[str, str]


def with_manifest(contents: Mapping[str, bytes], names: Iterable[str]) -> dict[str, bytes]:
    """Contents for `write_together`, with a manifest of some of them."""
    hashes = {name: _hash(contents[name]) for name in names}
    return {**contents, MANIFEST: (as_json(asdict(Manifest(1, hashes))) + "\n").encode()}


def read_together(
    folder: Path, limits: Mapping[str, int], *, inside: Path | None = None
) -> tuple[dict[str, bytes], str]:
    """Files of one folder, all of one `write_together`.

    Args:
        folder: where they are.
        limits: bytes at most, by name.
        inside: as for `read_file`.

    Returns:
        Contents by name, and the first file that is not what the manifest says: empty where all are, or where there
        is no manifest.

    Raises:
        ArtifactError: as `read_file`, or the manifest is damaged.
        FileNotFoundError: a file is missing.
        UnreadableError: as `read_file`.
    """
    changed = ""
    for attempt in range(ATTEMPTS):
        time.sleep(0.02 * attempt)  # another process may be writing
        try:
            contents = {name: read_file(find_file(folder, name), limit=limits[name], inside=inside) for name in limits}
            manifest = find_file(folder, MANIFEST)
            if not os.path.lexists(manifest):
                return contents, ""
            hashes = read_as(Manifest, manifest, limit=10**6, inside=inside).files
        except FileNotFoundError:  # moved meanwhile
            if attempt + 1 == ATTEMPTS:
                raise
            continue
        changed = next((name for name in limits if _hash(contents[name]) != hashes.get(name)), "")
        if not changed:
            break
    return contents, changed


@contextlib.contextmanager
def damaged(what: str, advice: str) -> Iterator[None]:
    """Say of a saved thing that it is damaged and what to do; of one that cannot be read, that alone.

    Raises:
        ArtifactError: the block raised one, or `InputError`, or a file of the thing is missing.
    """
    try:
        yield
    except UnreadableError:
        raise
    except (OSError, ArtifactError, InputError) as error:
        raise ArtifactError(f"{what} is damaged ({error}); {advice}") from error


def read_as(kind: type[Made], path: Path, *, limit: int, inside: Path | None = None, more: bool = False) -> Made:
    """A JSON file as what it should hold.

    Args:
        kind: as for `typed`.
        path: of the file.
        limit: as for `read_file`.
        inside: as for `read_file`.
        more: as for `typed`.

    Raises:
        ArtifactError: as `read_file`, `read_json` and `typed`.
        FileNotFoundError: there is none.
        UnreadableError: as `read_file`.
    """
    return typed(kind, read_json(read_file(path, limit=limit, inside=inside)), where=path.name, more=more)


def read_file(path: Path, *, limit: int, inside: Path | None = None) -> bytes:
    """The bytes of a regular file.

    Args:
        path: of the file.
        limit: bytes at most.
        inside: folder that a link may not lead out of, where there is one.

    Raises:
        ArtifactError: a pipe, a device or a folder, larger than the limit, or a link that leads out.
        FileNotFoundError: there is none.
        UnreadableError: there is no right to read it, or the disk fails.
    """
    try:
        return _read_file(path, limit, inside)
    except FileNotFoundError:
        raise
    except NotADirectoryError as error:
        raise FileNotFoundError(error.errno, "no such file", str(path)) from error
    except OSError as error:
        raise UnreadableError(f"cannot read '{path}' ({error.strerror or error}); mend that and try again") from error


def _read_file(path: Path, limit: int, inside: Path | None) -> bytes:
    try:
        leads_out = inside is not None and not path.resolve().is_relative_to(inside.resolve())
    except RuntimeError as error:
        raise ArtifactError(f"'{path.name}' is a link to itself") from error
    if leads_out:
        raise ArtifactError(f"'{path.name}' is a link out of its folder")
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise ArtifactError(f"'{path.name}' is a link to itself") from error
        raise
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):  # a pipe would be waited for without end
        os.close(descriptor)
        raise ArtifactError(f"'{path.name}' is no regular file")
    with os.fdopen(descriptor, "rb") as file:
        content = file.read(limit + 1) if found.st_size <= limit else b""
    if found.st_size > limit or len(content) > limit:
        raise ArtifactError(f"'{path.name}' is larger than {limit / 1e6:.0f} MB")
    return content


def as_json(value: Any, *, indent: int | None = 1, ensure_ascii: bool = True) -> str:
    """A JSON document: a number that is not finite, which JSON has no word for, is null, and texts are Unicode."""
    return json.dumps(_plain(value), indent=indent, ensure_ascii=ensure_ascii, allow_nan=False)


def as_text(name: str) -> str:
    r"""A name, of a file for example, as Unicode: bytes that are none as `\\udc80`."""
    return name if name.isascii() else name.encode("utf-8", "backslashreplace").decode()


def _plain(value: Any) -> Any:
    """A value in the types of JSON."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        return as_text(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {as_text(str(key)): _plain(item) for key, item in value.items()}
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, Iterable):
        return [_plain(item) for item in value]
    raise TypeError(f"a {type(value).__name__} is nothing for JSON")


@contextlib.contextmanager
def alone(path: Path) -> Iterator[None]:
    """Keep other processes from changing a file that is read, changed and written again.

    Raises:
        UnwritableError: the folder cannot be written to.
    """
    from filelock import FileLock

    lock = FileLock(str(path.with_name(f".{path.name}.lock")))
    with _writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def change_json(path: Path, change: Callable[[], Any]) -> None:
    """Write what `change` makes of a file, with no other process between its reading and the writing.

    Raises:
        UnwritableError: the folder cannot be written to.
    """
    with alone(path):
        write_whole(path, as_json(change()) + "\n")


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _bytes(content: str | bytes) -> bytes:
    return content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content


def _partial_name() -> str:
    return f".{_here()}-{os.getpid()}-{threading.get_native_id()}{PARTIAL}"


@cache
def _here() -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in socket.gethostname())[:40]


@cache
def _sweep(folder: Path) -> None:
    """Remove what killed processes of this machine left half-written in a folder, once for each."""
    for path in folder.glob(f".{_here()}-*{PARTIAL}"):
        process = path.name.removeprefix(f".{_here()}-").partition("-")[0]
        if process.isdigit() and int(process) != os.getpid() and not _runs(int(process)):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                with contextlib.suppress(OSError):
                    path.unlink()


def _runs(process: int) -> bool:
    if os.name != "posix":  # elsewhere nobody can be asked without harm
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # another user's
        return True
    return True
