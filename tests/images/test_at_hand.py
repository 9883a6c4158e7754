"""Pictures at hand and their values: Pillow, NumPy, torch, deep colours, no contrast."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from fennec.errors import InputError
from fennec.images.datasets import ImageDataset, ReadReport, iter_images
from fennec.images.open import open_pictures

from .made import coded

NOISE = [np.random.default_rng(seed).integers(0, 256, (9, 11, 3), dtype=np.uint8) for seed in range(4)]


def seen(dataset: ImageDataset) -> list[np.ndarray[Any, Any]]:
    report = ReadReport()
    found = [np.asarray(image) for _, image in iter_images(dataset, np.arange(len(dataset)), report, min_side=4)]
    assert not report.skipped
    return found


@pytest.mark.parametrize(
    "change",
    [
        lambda a: a,
        Image.fromarray,
        lambda a: a.astype(np.int64),
        lambda a: a.astype(np.float64),
        lambda a: a.astype(np.float32) / 255,
        lambda a: a.astype(np.uint16) * 257,
        lambda a: torch.from_numpy(a).permute(2, 0, 1),
        lambda a: torch.from_numpy(a).permute(2, 0, 1) / 255,
        lambda a: np.asarray(a).tolist(),
    ],
)
def test_open_pictures__colours_of_any_kind__same_pictures(change: Callable[[Any], Any]) -> None:
    dataset = open_pictures([change(a) for a in NOISE], list("abab"))
    for _ in range(2):
        for got, expected in zip(seen(dataset), NOISE, strict=True):
            np.testing.assert_allclose(got.astype(int), expected, atol=1)


@pytest.mark.parametrize(
    "change",
    [
        lambda a: a[..., :1],
        lambda a: a[..., 0].astype(np.int64),
        lambda a: a[..., 0].astype(np.float16),
        lambda a: torch.from_numpy(a[..., 0] / 255)[None],
        lambda a: Image.fromarray(a[..., 0]),
    ],
)
def test_open_pictures__greys_of_any_kind__read(change: Callable[[Any], Any]) -> None:
    for got, expected in zip(seen(open_pictures([change(a) for a in NOISE])), NOISE, strict=True):
        np.testing.assert_allclose(got[..., 0].astype(int), expected[..., 0], atol=4)


def test_open_pictures__files_opened_by_pillow__stay_open() -> None:
    pictures = [Image.open(io.BytesIO(coded(seed, kind))) for seed in range(2) for kind in ("PNG", "JPEG")]
    dataset = open_pictures(pictures)
    assert [got.shape for got in seen(dataset)] == [got.shape for got in seen(dataset)] == [(9, 11, 3)] * 4
    assert pictures[1].size == (11, 9)


@pytest.mark.parametrize(
    ("picture", "said"),
    [
        (np.zeros((9, 11, 5)), "picture 0 of 'pictures' is shape .9, 11, 5. of float64; expected a path"),
        ({"image": 1}, "picture 0 of 'pictures' is a dict; expected a path"),
        (None, "is a NoneType; expected"),
        (NOISE[0] / 255 - 0.5, "go from -0.5 to 0.5; give them from 0 to 1 or 0 to 255"),
    ],
)
def test_open_pictures__no_pictures__one_clear_line(picture: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        open_pictures([picture])


def png16(colours: np.ndarray[Any, Any]) -> bytes:
    """A PNG of 16 bits for each colour, which Pillow does not write."""
    height, width, n_channels = colours.shape

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", width, height, 16, {3: 2, 4: 6}[n_channels], 0, 0, 0)
    lines = b"".join(b"\0" + line.astype(">u2").tobytes() for line in colours)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_decode__deep_colours__scaled_by_the_bits_in_use(bits: int) -> None:
    full = 2**bits - 1
    pictures = [np.round(a / 255 * full).astype(np.uint16) for a in (*NOISE, NOISE[0] // 4)]
    found = seen(open_pictures([png16(a) for a in pictures]))
    for got, expected in zip(found, [*NOISE, NOISE[0] // 4], strict=True):  # one range: the dark one stays dark
        np.testing.assert_allclose(got.astype(int), expected, atol=1)


def test_decode__deep_colours_with_transparency__on_white() -> None:
    picture = np.full((4, 5, 4), 65535, dtype=np.uint16)
    picture[:2] = (4000 * 16, 0, 0, 65535)
    picture[2:, :, 3] = 0
    got = seen(open_pictures([png16(picture)]))[0]
    assert (got[0, 0].tolist(), got[3, 0].tolist()) == ([249, 0, 0], [255, 255, 255])


def test_is_flat__next_to_no_contrast__counted() -> None:
    rng = np.random.default_rng(0)
    pictures = [np.full((20, 20, 3), 127, np.uint8) + (rng.random((20, 20, 3)) > 0.9), NOISE[0], NOISE[1] // 16]
    report = ReadReport()
    assert len(list(iter_images(open_pictures(pictures), np.arange(3), report))) == 3
    assert report.n_flat == 1
