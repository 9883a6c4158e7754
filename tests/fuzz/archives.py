"""Archives of good pictures in which one member, or the archive itself, is damaged, forged or larger than it looks."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import random
import struct
import tarfile
import warnings
import zipfile
from functools import cache
from pathlib import Path

from .judge import Case, command, library
from .pictures import damaged, encoded, read_all

ZIP_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
PACKERS = {".tar": bytes, ".tar.gz": gzip.compress, ".tar.bz2": bz2.compress, ".tar.xz": lzma.compress}
GOOD = ("cat/good0.png", "cat/good1.png", "dog/good0.png", "dog/good1.png")
ODD_MEMBERS = (
    "../../outside.png", "/etc/outside.png", "C:/outside.png", "cat/../../x.png", "cat/\x1b[31m.png", "cat/[/x].png",
    "d/" * 2000 + "deep.png", "d/" * 20_000 + "deeper.png", "cat/two\nlines.png", "", "/", "cat/" + "n" * 5000 + ".png",
    "cat//double.png", "cat/\u202egnp.png", "cat/=1+1.png", "CON.png", "cat/ .png",
)  # fmt: skip
BOMB_MB = 1200
BOMBS = "FENNEC_BOMBS"  # in the environment where some are to be tried: they take a while to make


@cache
def zeros(packer: str) -> bytes:
    """Zeros that unpack to more than a picture has, packed."""
    content = bytes(2**20)
    if packer == "gz":
        buffer = io.BytesIO()
        with gzip.open(buffer, "wb", compresslevel=1) as file:
            for _ in range(BOMB_MB):
                file.write(content)
        return buffer.getvalue()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name in GOOD:
            archive.writestr(name, _good(name))
        with archive.open("cat/bomb.png", "w", force_zip64=True) as member:
            for _ in range(BOMB_MB):
                member.write(content)
    return buffer.getvalue()


def _good(name: str) -> bytes:
    return encoded("PNG", GOOD.index(name))


def _zip(rng: random.Random) -> tuple[bytes, str]:
    """A zip with something wrong in it, and what."""
    method = rng.choice(ZIP_METHODS)
    odd = rng.choice(ODD_MEMBERS) if rng.random() < 0.3 else "cat/bad.png"
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w") as archive:
        warnings.simplefilter("ignore")
        for name in GOOD:
            archive.writestr(name, _good(name), zipfile.ZIP_DEFLATED)
        archive.writestr(odd or " ", encoded("PNG", 9) * rng.choice((1, 50)), method)
        if rng.random() < 0.1:
            archive.writestr(odd or " ", b"again")
    data = bytearray(buffer.getvalue())
    if odd != "cat/bad.png":
        return bytes(data), f"zip with a member {odd[:40]!r}"
    at = data.rindex(b"PK\x01\x02")  # its entry in the directory
    local = struct.unpack_from("<I", data, at + 42)[0]
    how = rng.randrange(12)
    if how == 0:
        data[at + 6 : at + 8] = struct.pack("<H", rng.choice((99, 255, 64)))
        return bytes(data), "zip of another version"
    if how == 1:
        flags = rng.choice((1, 0x41, 0x2000, 0x20, 8))
        for place in (at + 8, local + 6):
            data[place : place + 2] = struct.pack("<H", flags)
        return bytes(data), f"zip with flags {flags:#x}"
    if how == 2:
        number = rng.choice((1, 6, 9, 12, 14, 93, 95, 97, 98, 99, 65535))
        for place in (at + 10, local + 8):
            data[place : place + 2] = struct.pack("<H", number)
        return bytes(data), f"zip with method {number}"
    if how == 3:
        data[at + 8 : at + 10] = data[local + 6 : local + 8] = struct.pack("<H", 0x800)
        data[at + 46 : at + 48] = data[local + 30 : local + 32] = b"\xff\xfe"
        return bytes(data), "zip with a name that is no UTF-8"
    if how == 4:
        data[at + 20 : at + 28] = struct.pack("<II", *rng.choice(((100, 2**32 - 2), (2**32 - 2, 2**32 - 2), (0, 0))))
        return bytes(data), "zip with a forged size"
    if how == 5:
        data[at + 42 : at + 46] = struct.pack("<I", rng.choice((2**32 - 2, 5, len(data))))
        return bytes(data), "zip with a forged place"
    if how == 6:
        body = local + 30 + len("cat/bad.png")
        data[body : body + 12] = rng.choice((rng.randbytes(12), b"\x09\x14\x05\x00\x5d\xff\xff\xff\xff\xff\xff\xff"))
        return bytes(data), f"zip with a damaged member by method {method}"
    if how == 7:
        end = data.rindex(b"PK\x05\x06")
        data[end + rng.randrange(4, 20)] = rng.choice((0, 255, 7))
        return bytes(data), "zip with a forged end"
    if how == 8:
        return bytes(data[: rng.randrange(len(data))]), "zip cut short"
    return damaged(rng, bytes(data)), "damaged zip"


def _tar(rng: random.Random) -> tuple[bytes, str]:
    """A tar with something wrong in it, and what."""
    kinds = (tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE,
             tarfile.GNUTYPE_SPARSE, tarfile.CONTTYPE, b"Z")  # fmt: skip
    buffer = io.BytesIO()
    info = tarfile.TarInfo(rng.choice(ODD_MEMBERS) if rng.random() < 0.4 else "cat/bad.png")
    with tarfile.open(fileobj=buffer, mode="w", format=rng.choice((tarfile.GNU_FORMAT, tarfile.PAX_FORMAT))) as archive:
        for name in GOOD[:2]:
            _add(archive, name)
        content = encoded("PNG", 9)
        info.type = rng.choice(kinds) if rng.random() < 0.5 else tarfile.REGTYPE
        info.linkname = rng.choice(("cat/bad.png", "cat/good0.png", "/etc/passwd", "nowhere"))
        info.size = len(content) if info.isreg() else 0
        if rng.random() < 0.2:
            key = rng.choice(("size", "path", "GNU.sparse.map", "GNU.sparse.size", "hdrcharset", "mtime"))
            info.pax_headers = {key: rng.choice(("9" * 30, "-1", "x", "1,2,3", "BINARY"))}
        before = archive.offset
        archive.addfile(info, io.BytesIO(content) if info.isreg() else None)
        for name in GOOD[2:]:
            _add(archive, name)
    data = bytearray(buffer.getvalue())
    what = f"tar with a member {info.name[:40]!r} of type {info.type!r} {info.pax_headers or ''}"
    if rng.random() < 0.5:
        how = rng.randrange(4)
        if how == 0:
            data[before + 124 : before + 136] = rng.choice(
                (b"77777777777\0", b"\x80" + b"\xff" * 11, b"-0000000001\0", b"x" * 12)
            )
            _checksum(data, before)
            return bytes(data), "tar with a forged size"
        if how == 1:
            data[before + 156 : before + 157] = rng.choice((b"x", b"L", b"g", b"S"))
            data[before + 124 : before + 136] = rng.choice((b"00000000100\0", b"77777777777\0"))
            _checksum(data, before)
            return bytes(data), "tar with a forged header"
        if how == 2:
            return bytes(data[: rng.randrange(len(data))]), "tar cut short"
        return damaged(rng, bytes(data)), "damaged tar"
    return bytes(data), what


def _add(archive: tarfile.TarFile, name: str) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(_good(name))
    archive.addfile(info, io.BytesIO(_good(name)))


def _checksum(data: bytearray, at: int) -> None:
    head = data[at : at + 512]
    head[148:156] = b" " * 8
    data[at + 148 : at + 156] = f"{sum(head):06o}\0 ".encode()


def archives(rng: random.Random, folder: Path) -> Case:
    """One line, or the good pictures are read: all of them where the archive itself is whole."""
    folder.mkdir(parents=True, exist_ok=True)
    how = rng.randrange(20)
    if how == 0 and BOMBS in os.environ:
        suffix = rng.choice((".zip", ".tar.gz"))
        content, what = zeros("zip" if suffix == ".zip" else "gz"), f"bomb {suffix}"
    elif how <= 10:
        suffix, (content, what) = ".zip", _zip(rng)
    elif how <= 18:
        suffix = rng.choice(list(PACKERS))
        content, what = _tar(rng)
        content = PACKERS[suffix](content)
        if rng.random() < 0.2:
            content, what = damaged(rng, content), f"damaged {suffix}"
    else:
        suffix = rng.choice((".zip", *PACKERS))
        content, what = (
            rng.choice((b"", b"PK\x03\x04", b"hello", b"\x1f\x8b", b"BZh9", b"\xfd7zXZ\0", rng.randbytes(99))),
            "no archive",
        )
    path = folder / f"data{suffix}"
    path.write_bytes(content)
    source = folder if rng.random() < 0.2 else path
    if rng.random() < 0.1:
        return Case(what, lambda: command("recommend", str(source), "-n", "1", "--json").wrong_json)
    whole = what.startswith(("zip with flags", "zip with method", "bomb .zip"))
    return Case(what, lambda: _read(source, n_good=4 if whole else None))


def _read(source: Path, n_good: int | None) -> str:
    return library(lambda: read_all(source, lambda name: "good" in name, n_good))
