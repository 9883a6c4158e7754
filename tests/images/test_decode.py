from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fennec.images.decode import UnreadableImage, decode


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def noise(mode: str = "RGB", size: tuple[int, int] = (40, 30)) -> Image.Image:
    channels = len(Image.new(mode, (1, 1)).getbands())
    values = np.random.default_rng(0).integers(0, 256, (size[1], size[0], channels), dtype=np.uint8)
    return Image.frombytes(mode, size, values.tobytes())


@pytest.mark.parametrize(
    ("mode", "kind"),
    [("RGB", "PNG"), ("RGB", "JPEG"), ("L", "PNG"), ("CMYK", "JPEG"), ("RGBA", "PNG"), ("LA", "PNG"), ("RGB", "WEBP"),
     ("RGB", "BMP"), ("RGB", "TIFF"), ("CMYK", "TIFF")],
)  # fmt: skip
def test_decode__any_mode__rgb_of_the_same_size(mode: str, kind: str) -> None:
    image = decode(encoded(noise(mode), kind))
    assert (image.mode, image.size) == ("RGB", (40, 30))


def test_decode__sixteen_bit_grey__full_range() -> None:
    ramp = np.linspace(0, 40_000, 256 * 4).reshape(4, 256).astype(np.uint16)
    image = np.asarray(decode(encoded(Image.fromarray(ramp), "PNG")))
    assert (image.min(), image.max()) == (0, 255)
    assert (np.diff(image[0, :, 0].astype(int)) >= 0).all()


def test_decode__animated__first_frame() -> None:
    frames = [Image.new("RGB", (9, 9), colour) for colour in ("red", "blue")]
    image = decode(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    assert image.getpixel((4, 4)) == (255, 0, 0)


def test_decode__transparent__on_white() -> None:
    assert decode(encoded(Image.new("RGBA", (3, 3), (0, 0, 0, 0)), "PNG")).getpixel((1, 1)) == (255, 255, 255)
    palette = Image.new("P", (3, 3))
    assert decode(encoded(palette, "PNG", transparency=0)).getpixel((1, 1)) == (255, 255, 255)


def test_decode__exif_rotation__upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert decode(encoded(noise(size=(40, 30)), "JPEG", exif=exif)).size == (30, 40)


@pytest.mark.parametrize("size", [(1, 1), (20_000, 3), (1, 20_000)])
def test_decode__extreme_sizes__read(size: tuple[int, int]) -> None:
    assert decode(encoded(Image.new("RGB", size), "PNG")).size == size


def test_decode__large_jpeg_for_a_small_side__shrunk_but_large_enough() -> None:
    image = decode(encoded(noise(size=(800, 600)), "JPEG"), min_side=96)
    assert 96 <= min(image.size) < 600


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"hello, this is no image", "unknown format"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "unknown format"),
        (encoded(noise(), "PNG")[:200], "(?i)truncated|broken|image file"),
        (encoded(noise(), "JPEG")[:300], "(?i)truncated|broken|image file"),
    ],
)
def test_decode__unusable__reason(content: bytes, reason: str) -> None:
    with pytest.raises(UnreadableImage, match=reason):
        decode(content)


def test_decode__empty_or_missing_file__reason(tmp_path: Path) -> None:
    empty = tmp_path / "a.jpg"
    empty.touch()
    with pytest.raises(UnreadableImage, match="empty"):
        decode(empty)
    with pytest.raises(UnreadableImage, match="No such file"):
        decode(tmp_path / "b.jpg")


def test_decode__more_pixels_than_allowed__reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fennec.images.decode.MAX_PIXELS", 100)
    with pytest.raises(UnreadableImage, match="more than 100 pixels"):
        decode(encoded(noise(), "PNG"))
