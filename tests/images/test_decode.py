from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fennec.images.decode import DeepRanges, UnreadableImage, decode, is_flat


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


def grey(values: np.ndarray, kind: str = "TIFF", **options: object) -> bytes:
    return encoded(Image.fromarray(values), kind, **options)


@pytest.mark.parametrize("code", [np.nan, -9999.0, 1e20, -3.4028235e38, np.inf, -np.inf])
@pytest.mark.parametrize("share", [0.001, 0.3])
def test_decode__cells_without_data__the_others_keep_their_range(code: float, share: float) -> None:
    values = np.random.default_rng(0).uniform(0.2, 0.8, (40, 50)).astype(np.float32)
    plain = np.asarray(decode(grey(values)))[..., 0].astype(float)
    holes = np.random.default_rng(1).random(values.shape) < share
    marked = np.where(holes, np.float32(code), values)
    found = np.asarray(decode(grey(marked)))[..., 0].astype(float)
    assert np.abs(found - plain)[~holes].max() <= 2


def test_decode__value_that_the_file_names_for_no_data__black() -> None:
    values = np.linspace(10, 20, 2000, dtype=np.float32).reshape(40, 50)
    values[:5] = 20.5
    tagged = encoded(Image.fromarray(values), "TIFF", tiffinfo={42113: "20.5"})
    image = np.asarray(decode(tagged))[..., 0]
    assert image[:5].max() == 0
    assert image[-1].max() == 255


@pytest.mark.parametrize("n_hot", [1, 3])
def test_decode__hot_pixels__do_not_darken_the_rest(n_hot: int) -> None:
    values = np.random.default_rng(0).integers(100, 1100, (60, 60)).astype(np.uint16)
    values.flat[:n_hot] = (65535, 50000, 30000)[:n_hot]
    image = np.asarray(decode(grey(values, "PNG")))[..., 0]
    assert image.mean() == pytest.approx(127, abs=4)


def test_decode__levels_of_a_mask__all_count() -> None:
    values = np.zeros((20, 20), dtype=np.uint16)
    values[:10] = 65535
    assert sorted(set(np.asarray(decode(grey(values, "PNG"))).ravel())) == [0, 255]


def test_deep_ranges__one_for_the_dataset__brighter_stays_brighter() -> None:
    rng = np.random.default_rng(0)
    pictures = [grey(rng.integers(low, low + 1000, (30, 30)).astype(np.uint16), "PNG") for low in (0, 4000, 9000)]
    ranges = DeepRanges(pictures.__getitem__, 3)
    means = [np.asarray(decode(content, ranges=ranges)).mean() for content in pictures]
    assert means == pytest.approx([13, 115, 242], abs=4)
    assert [np.asarray(decode(content)).mean() for content in pictures] == pytest.approx([127] * 3, abs=5)
    damaged = DeepRanges([b"", *pictures].__getitem__, 4)
    assert damaged.get("16 bits") == ranges.get("16 bits")
    assert damaged.get("float") is None


def test_decode__stated_limit_of_pixels__is_the_real_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert decode(encoded(Image.new("1", (40, 30)), "PNG")).size == (40, 30)
    assert Image.MAX_IMAGE_PIXELS == 100


def test_is_flat__one_colour__is(tmp_path: Path) -> None:
    assert is_flat(decode(encoded(Image.new("RGB", (9, 9), "teal"), "JPEG")))
    assert not is_flat(noise())
    assert is_flat(decode(grey(np.full((5, 5), 7.5, dtype=np.float32))))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "pointer of Git LFS"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 40, r"HEIC picture; pip install|HEIF|heif"),
    ],
)
def test_decode__what_stands_in_for_a_picture__is_named(content: bytes, reason: str) -> None:
    with pytest.raises(UnreadableImage, match=reason):
        decode(content)
