"""One image file or byte string becomes one RGB picture, or a reason why not."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

EXTENSIONS = frozenset(
    [
        ".jpg",
        ".jpeg",
        ".jpe",
        ".png",
        ".bmp",
        ".gif",
        ".webp",
        ".tif",
        ".tiff",
        ".ppm",
        ".pgm",
        ".pbm",
        ".pnm",
        ".jp2",
        ".tga",
        ".avif",
        ".ico",
    ]
)
MAX_PIXELS = 500_000_000  # a 20 000 x 20 000 picture passes, a decompression bomb does not


class UnreadableImage(Exception):
    """An image cannot be used; the text says why. Never reaches the user: images are skipped and listed."""


def is_image_name(name: str) -> bool:
    """Whether a file name looks like an image, by its extension, and is not hidden."""
    base = name.rsplit("/", 1)[-1]
    return not base.startswith(".") and Path(base).suffix.lower() in EXTENSIONS


def decode(source: bytes | str | Path | Image.Image, *, min_side: int | None = None) -> Image.Image:
    """Decode an image to RGB, upright.

    Animations give their first frame, transparency is laid on white, 16-bit and float greys are scaled
    from their own range to 8 bits, EXIF rotation is applied.

    Args:
        source: encoded bytes, a path, or an open picture.
        min_side: the shorter side may shrink to no less than this while decoding (JPEG only; faster).

    Raises:
        UnreadableImage: empty, damaged, cut short, too large, or of an unknown format.
    """
    if isinstance(source, bytes) and not source:
        raise UnreadableImage("empty file")
    try:
        image = source if isinstance(source, Image.Image) else _open(source)
        with image:
            if image.width * image.height > MAX_PIXELS:
                raise UnreadableImage(f"{image.width} x {image.height} pixels, more than {MAX_PIXELS:,}")
            if min_side is not None and image.format == "JPEG":
                image.draft("RGB", (min_side, min_side))
            image.load()
            upright = ImageOps.exif_transpose(image)
            return _to_rgb(upright if upright is not None else image)
    except UnidentifiedImageError as error:
        raise UnreadableImage("not an image, or of an unknown format") from error
    except (OSError, ValueError, SyntaxError, EOFError, MemoryError, Image.DecompressionBombError) as error:
        raise UnreadableImage(str(error) or type(error).__name__) from error


def _open(source: bytes | str | Path) -> Image.Image:
    if not isinstance(source, bytes) and Path(source).stat().st_size == 0:
        raise UnreadableImage("empty file")
    return Image.open(io.BytesIO(source) if isinstance(source, bytes) else source)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        values = np.asarray(image, dtype=np.float64)
        low, high = values.min(), values.max()
        grey = (values - low) * (255.0 / (high - low)) if high > low else np.zeros_like(values)
        return Image.fromarray(grey.round().astype(np.uint8)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        layer = image.convert("RGBA")
        paper = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(paper, layer).convert("RGB")
    return image.convert("RGB")
