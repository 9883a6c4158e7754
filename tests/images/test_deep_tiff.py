"""TIFF of 16 bits for each colour, which Pillow opens with the upper 8 of them and does not write."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fennec.images.datasets import ReadReport, iter_images
from fennec.images.decode import decode
from fennec.images.open import open_pictures

Colours = np.ndarray[Any, Any]
NOISE = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
SHORT, LONG = 3, 4  # types of numbers in TIFF


def tiff16(
    colours: Colours, order: str = "<", *, packed: bool = False, planes: bool = False, more: tuple[Any, ...] = ()
) -> bytes:
    """A TIFF of 16 bits for each colour, in strips of 7 lines.

    Args:
        colours: shape (height, width, 3 or 4).
        order: of the bytes, `<` or `>`.
        packed: by deflate.
        planes: each colour for itself.
        more: further tags, triples of number, type and values.
    """
    height, width, n_colours = colours.shape
    parts = [colours[..., i : i + 1] for i in range(n_colours)] if planes else [colours]
    raw = [part[row : row + 7].astype(f"{order}u2").tobytes() for part in parts for row in range(0, height, 7)]
    strips = [zlib.compress(strip) if packed else strip for strip in raw]
    starts = list(np.cumsum([8, *map(len, strips)]))
    tags = [(256, LONG, [width]), (257, LONG, [height]), (258, SHORT, [16] * n_colours),
            (259, SHORT, [8 if packed else 1]),
            (262, SHORT, [2]), (273, LONG, starts[:-1]), (277, SHORT, [n_colours]), (278, LONG, [7]),
            (279, LONG, [len(strip) for strip in strips]), (284, SHORT, [2 if planes else 1]), *more]  # fmt: skip
    entries, beyond = b"", b""
    behind = int(starts[-1]) + 2 + 12 * len(tags) + 4
    for tag, kind, values in sorted(tags):
        value = struct.pack(f"{order}{len(values)}{'H' if kind == SHORT else 'I'}", *map(int, values))
        if len(value) > 4:
            value, beyond = struct.pack(f"{order}I", behind + len(beyond)), beyond + value
        entries += struct.pack(f"{order}HHI", tag, kind, len(values)) + value.ljust(4, b"\0")
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, starts[-1])
    return head + b"".join(strips) + struct.pack(f"{order}H", len(tags)) + entries + b"\0" * 4 + beyond


@pytest.mark.parametrize("bits", [10, 12, 16])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("options", [{}, {"packed": True}, {"planes": True}], ids=str)
def test_decode__colours_of_a_deep_tiff__scaled_by_the_bits_in_use(
    bits: int, order: str, options: dict[str, bool]
) -> None:
    full = 2**bits - 1
    pictures = [np.round(each / 255 * full).astype(np.uint16) for each in (NOISE, NOISE // 4)]
    dataset = open_pictures([tiff16(each, order, **options) for each in pictures])
    found = [np.asarray(image) for _, image in iter_images(dataset, np.arange(2), ReadReport())]
    for got, expected in zip(found, (NOISE, NOISE // 4), strict=True):  # one range: the dark one stays dark
        np.testing.assert_allclose(got.astype(int), expected, atol=1)


@pytest.mark.parametrize("order", ["<", ">"])
def test_decode__hot_pixel_in_a_deep_tiff__does_not_darken_the_rest(order: str) -> None:
    colours = np.round(NOISE / 255 * 4095).astype(np.uint16)
    colours[0, 0] = 65535
    got = np.asarray(decode(tiff16(colours, order))).astype(int)
    np.testing.assert_allclose(got[1:], NOISE[1:], atol=1)


@pytest.mark.parametrize("packed", [False, True])
def test_decode__fourth_value_of_a_deep_tiff__transparency_or_nothing(packed: bool) -> None:
    colours = np.dstack([np.full((9, 9, 3), 4000 * 16), np.zeros((9, 9))]).astype(np.uint16)
    for kind, expected in ((0, 249), (2, 255)):  # a value without a meaning, transparency
        image = decode(tiff16(colours, packed=packed, more=((338, SHORT, [kind]),)))
        assert image.getpixel((4, 4)) == (expected,) * 3


def test_decode__turned_deep_tiff__upright() -> None:
    colours = np.round(NOISE / 255 * 4095).astype(np.uint16)
    image = decode(tiff16(colours, more=((274, SHORT, [6]),)))
    np.testing.assert_allclose(np.asarray(image).astype(int), np.rot90(NOISE, -1), atol=1)


def test_decode__packed_planes__the_upper_bits() -> None:
    colours = NOISE.astype(np.uint16) * 256 + 17
    assert np.array_equal(decode(tiff16(colours, packed=True, planes=True)), NOISE)


def test_decode__eight_bits__as_they_are() -> None:
    for kind in ("PNG", "TIFF"):
        buffer = io.BytesIO()
        Image.fromarray(NOISE // 4).save(buffer, kind)
        assert np.array_equal(decode(buffer.getvalue()), NOISE // 4)
