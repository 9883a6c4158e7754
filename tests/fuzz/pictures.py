"""Folders with good pictures and one that is damaged, forged, of another kind, or called something odd."""

from __future__ import annotations

import io
import json
import os
import random
import socket
import struct
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from fennec.images.datasets import ReadReport, iter_images, sample
from fennec.images.open import open_dataset

from .judge import Case, command, library

SAVED = {
    "png": "PNG", "jpg": "JPEG", "gif": "GIF", "webp": "WEBP", "tif": "TIFF", "bmp": "BMP", "ico": "ICO", "ppm": "PPM",
    "tga": "TGA", "avif": "AVIF", "jp2": "JPEG2000", "qoi": "QOI",
}  # fmt: skip
ODD_NAMES = (
    b"\xe9t\xe9.png", b"\xff\xfe\xfd.png", b"two\nlines.png", b"\x1b[31mred.png", b"[bold]x[red].png", b"<b>&amp;.png",
    b"=1+1.png", "\u202egnp.png".encode(), b"n" * 250 + b".png", b"%s{0}.png", b"\xed\xa0\x80.png", b"a\tb.png",
)  # fmt: skip
HUGE = 3 * 2**30


@cache
def encoded(kind: str, seed: int, mode: str = "RGB") -> bytes:
    """A small picture of noise in a format."""
    noise = np.random.default_rng(seed).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    picture = Image.fromarray(noise) if mode == "RGB" else Image.fromarray(noise[..., 0].astype(np.uint16) * 200)
    buffer = io.BytesIO()
    picture.save(buffer, kind)
    return buffer.getvalue()


def damaged(rng: random.Random, content: bytes) -> bytes:
    """The bytes with something wrong: cut, flipped, zeroed, doubled, or with a large number written into them."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 5))):
        at, n = rng.randrange(len(data)), rng.randrange(1, 40)
        how = rng.randrange(6)
        if how == 0:
            del data[max(at, 4) :]
        elif how == 1:
            for _ in range(n):
                data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        elif how == 2:
            data[at : at + n] = bytes(len(data[at : at + n]))
        elif how == 3:
            data[at:at] = data[at : at + n]
        elif how == 4:
            data[at : at + 4] = rng.choice((b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\x80", b"\xff\xff\0\0"))
        else:
            data[at : at + n] = rng.randbytes(n)
    return bytes(data)


def forged_png(width: int, height: int) -> bytes:
    """A PNG that claims a size and has hardly any pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(5000))) + chunk(b"IEND", b"")
    )


def good_folder(folder: Path, n: int = 2) -> Path:
    """Two classes of some good pictures."""
    for label, name in enumerate(("cat", "dog")):
        (folder / name).mkdir(parents=True)
        for index in range(n):
            (folder / name / f"good{index}.png").write_bytes(encoded("PNG", 10 * label + index))
    return folder


def _put(rng: random.Random, path: Path) -> str:
    """Something hostile at a path or beside it; what it is."""
    how = rng.randrange(22)
    if how < 10:
        suffix, kind = rng.choice(list(SAVED.items()))
        name = rng.choice((suffix, suffix, rng.choice(list(SAVED))))
        content = damaged(rng, encoded(kind, 3))
        path.with_name(f"bad.{name}").write_bytes(content)
        return f"damaged {kind} called .{name}"
    if how == 10:
        content = damaged(rng, encoded(rng.choice(("PNG", "TIFF")), 4, "I;16"))
        path.write_bytes(content)
        return "damaged deep picture"
    if how == 11:
        path.write_bytes(forged_png(*rng.choice(((0, 5), (2**31 - 1, 2**31 - 1), (70_000, 70_000), (1, 10**9)))))
        return "forged size"
    if how == 12:
        path.with_suffix(".ppm").write_bytes(
            rng.choice((b"P6 99999999 99999999 255\n", b"P6 -1 5 255\n", b"P5 1 1 0\n"))
        )
        return "forged PPM"
    if how == 13:
        path.write_bytes(rng.choice((b"", b"\0", b"<svg/>", b"\0" * 1000, b"\xff\xd8\xff", rng.randbytes(300))))
        return "no picture"
    if how == 14:
        path.symlink_to(rng.choice((path.name, "nowhere", "/", "/proc/self/mem", "/dev/zero")))
        return f"link to {path.readlink()}"
    if how == 15:
        rng.choice((os.mkfifo, _socket))(path)
        return "no regular file"
    if how in (16, 17, 18):
        name = rng.choice(ODD_NAMES)
        place = os.fsencode(path.parent) + b"/" + name
        with open(place, "wb") as file:  # noqa: PTH123 - a name that is no text
            file.write(rng.choice((encoded("PNG", 5), b"no picture")))
        return f"called {name!r}"
    if how == 19:
        odd = os.fsencode(path.parent.parent) + b"/" + rng.choice(ODD_NAMES)[:-4]
        os.mkdir(odd)  # noqa: PTH102
        with open(odd + b"/a.png", "wb") as file:  # noqa: PTH123
            file.write(encoded("PNG", 6))
        return f"class called {odd.rpartition(b'/')[2]!r}"
    if how == 20:
        for name in ("cat", "dog"):
            with (path.parents[1] / name / "huge.png").open("wb") as file:
                file.truncate(HUGE)
        return "two sparse files of 3 GB"
    deep = path.parent
    for _ in range(rng.choice((60, 900))):
        deep = deep / "d"
    os.makedirs(deep)  # noqa: PTH103 - mkdir is recursive
    (deep / "a.png").write_bytes(encoded("PNG", 7))
    return "deep folders"


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as end:
        here = Path.cwd()
        os.chdir(path.parent)
        try:
            end.bind(path.name)
        finally:
            os.chdir(here)


def pictures(rng: random.Random, folder: Path) -> Case:
    """The good pictures are read whatever lies beside them, and what is not read is counted or named."""
    root = good_folder(folder / "photos")
    what = _put(rng, root / rng.choice(("cat", "dog")) / "bad.png")
    if rng.random() < 0.1:
        return Case(what, lambda: command("recommend", str(root), "-n", "1", "--json").wrong_json)
    return Case(what, lambda: library(lambda: read_all(root, lambda name: "good" in name, 4)))


def read_all(root: Path, is_good: Callable[[str], bool], n_good: int | None) -> str:
    """Reads everything; what is wrong with what was read. Any number of good pictures will do where that is None."""
    images = open_dataset(root)
    report = ReadReport()
    read = [images.items[index] for index, _ in iter_images(images, sample(images), report)]
    text = (
        json.dumps(images.taken.to_dict(), ensure_ascii=False) + str(images.taken) + "".join(map(str, report.skipped))
    )
    text.encode()
    if n_good is not None and sum(map(is_good, read)) != n_good:
        return f"read {read}, skipped {report.skipped}"[:300]
    return "" if str(images.taken).isprintable() else f"not printable: {images.taken!s:.200}"
