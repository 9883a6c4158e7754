"""One image file or byte string becomes one RGB picture, or a reason why not.

In: encoded bytes, a path, an open picture. Out: RGB, upright. Pictures of 16 bits or floats are brought to 8 bits by
one range for the whole dataset (`DeepRanges`), so that what is brighter in one of them is brighter in the result.
"""

from __future__ import annotations

import io
import re
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from fennec.errors import said, shown

from .kinds import HEAD_BYTES, can_read_heic, is_heic_content

Content = bytes | str | Path | Image.Image
Range = tuple[float, float]

MAX_PIXELS = 500_000_000  # a 20 000 x 20 000 picture passes, a decompression bomb does not
N_LOOKED = 32  # deep pictures that decide the range of a dataset
N_VALUES = 65_536  # looked at in each of them
NODATA_TAG = 42113  # of GDAL, in TIFF: the value of cells without data, as text
TAIL = 0.001  # share of values beyond either end of the range: hot pixels
DEEP_COLOUR = "16 bits in colour"
DEEP_MODE = re.compile(r"(RGB|RGBA|RGBX);16([BLN])|[RGBA]")  # Pillow's word for how colours lie in a file
BITS_TAG, PLANAR_TAG = 258, 284  # of TIFF
LEAST_CONTRAST = 8  # of 255 levels between the darkest and the brightest, in one channel
LEAST_VALUES = 20  # distinct ones, below which a picture is a mask of levels and all of them count


class UnreadableImage(Exception):
    """An image cannot be used; the text says why. Never reaches the user: images are skipped and listed."""


def decode(source: Content, *, min_side: int | None = None, ranges: DeepRanges | None = None) -> Image.Image:
    """Decode an image to RGB, upright.

    Animations give their first frame, transparency is laid on white, EXIF rotation is applied, 16-bit and float greys
    are scaled to 8 bits; cells without data (NaN, the value that the file names) become black.

    Args:
        source: encoded bytes, a path, or an open picture.
        min_side: the shorter side may shrink to no less than this while decoding (JPEG only; faster).
        ranges: of the dataset, for 16-bit and float pictures; their own range when None.

    Raises:
        UnreadableImage: empty, damaged, cut short, too large, or of an unknown format.
    """
    with _readable(source) as image:
        if min_side is not None and image.format == "JPEG" and not isinstance(source, Image.Image):
            image.draft("RGB", (min_side, min_side))
        colours = _deep_colours(source, image)
        image.load()
        nodata = _nodata(image)  # upright pictures are copies without the tags of the file
        if colours is not None:
            top = (ranges.get(DEEP_COLOUR) if ranges is not None else None) or _top(colours)
            scaled = (np.clip(colours, *top) * (255.0 / top[1])).round().astype(np.uint8)
            info, image = image.info, Image.fromarray(scaled)
            image.info = info  # rotation
        upright = ImageOps.exif_transpose(image)
        return _to_rgb(upright if upright is not None else image, nodata, ranges)


def is_flat(image: Image.Image) -> bool:
    """Whether all pixels of an RGB picture are practically the same: nothing can be seen in it."""
    extrema = np.array([band.getextrema() for band in image.split()])
    return bool((np.ptp(extrema, axis=1) < LEAST_CONTRAST).all())


class DeepRanges:
    """Which values of 16-bit and float pictures become black and white, one range for each depth of a dataset.

    Args:
        load: content of the picture at a position.
        n_images: how many there are; a few of them, evenly spread, decide.
    """

    def __init__(self, load: Callable[[int], Content], n_images: int) -> None:
        self.load = load
        self.positions = np.unique(np.linspace(0, max(n_images - 1, 0), min(n_images, N_LOOKED)).astype(int))
        self.lock = Lock()
        self.found: dict[str, Range] | None = None

    def get(self, depth: str) -> Range | None:
        """Range of a depth, None where no picture that was looked at has it."""
        with self.lock:
            if self.found is None:
                self.found = self._look()
        return self.found.get(depth)

    def _look(self) -> dict[str, Range]:
        seen: dict[str, list[NDArray[np.float64]]] = {}
        tops: list[Range] = []
        for position in self.positions:
            try:
                with readable():
                    source = self.load(int(position))
                with _readable(source) as image:
                    if (colours := _deep_colours(source, image)) is not None:
                        tops.append(_top(colours))
                    elif (depth := _depth(image)) is not None:
                        values = _values(image, _nodata(image)).ravel()
                        seen.setdefault(depth, []).append(values[:: max(len(values) // N_VALUES, 1)])
            except UnreadableImage:
                continue
        found = {depth: robust_range(np.concatenate(values)) for depth, values in seen.items()}
        return found | ({DEEP_COLOUR: max(tops)} if tops else {})


def robust_range(values: NDArray[np.float64]) -> Range:
    """Range of values without those that stand alone: codes for missing data, hot pixels.

    Values at either end that are farther from the next than nine tenths of all distinct values span are codes
    (-9999 beside 0.2 to 0.8), however many cells have them; of the others, a thousandth at either end is cut.

    Args:
        values: any shape; NaN and infinities are no values.

    Returns:
        Lowest and highest value, (0, 0) where there are none.

    Example:
        >>> low, high = robust_range(np.append(np.linspace(0, 1, 500), [-9999.0, np.nan]))
        >>> round(low, 2), round(high, 2)
        (0.0, 1.0)
    """
    values = values[np.isfinite(values)]
    if not len(values):
        return 0.0, 0.0
    levels = np.unique(values)
    if len(levels) < LEAST_VALUES:
        return float(levels[0]), float(levels[-1])
    edge = max(len(levels) // 20, 1)
    core = levels[-1 - edge] - levels[edge]
    wide = np.diff(levels) > core
    below, above = np.flatnonzero(wide[:edge]), np.flatnonzero(wide[-edge:])
    lowest = levels[below[-1] + 1] if len(below) else levels[0]
    highest = levels[len(levels) - 1 - edge + above[0]] if len(above) else levels[-1]
    kept = values[(values >= lowest) & (values <= highest)]
    low, high = np.quantile(kept, [TAIL, 1 - TAIL])
    return (float(low), float(high)) if high > low else (float(lowest), float(highest))


@contextmanager
def readable() -> Iterator[None]:
    """Whatever a reader raises in the block becomes `UnreadableImage`: readers are foreign code on bad input."""
    try:
        yield
    except UnreadableImage:
        raise
    except MemoryError as error:
        raise UnreadableImage("larger than the memory") from error
    except Exception as error:
        raise UnreadableImage(shown(said(error).strip()) or type(error).__name__) from error


def check_regular(path: Path) -> Path:
    """The path of what can be read to its end.

    Raises:
        UnreadableImage: a pipe, a socket or a device, which would be waited for.
    """
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode):
        raise UnreadableImage("a folder" if stat.S_ISDIR(mode) else "no regular file")
    return path


@contextmanager
def _readable(source: Content) -> Iterator[Image.Image]:
    """An open picture; whatever is wrong with it becomes `UnreadableImage`."""
    with readable():
        try:
            # A picture at hand stays open, it is the user's.
            with _own_limit(), nullcontext(source) if isinstance(source, Image.Image) else _open(source) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise UnreadableImage(f"{image.width} x {image.height} pixels, more than {MAX_PIXELS:,}")
                yield image
        except UnidentifiedImageError as error:
            raise UnreadableImage(_what_else(source)) from error
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise UnreadableImage(f"more than {MAX_PIXELS:,} pixels") from error


def _open(source: bytes | str | Path) -> Image.Image:
    _register_heic()
    if not source or (not isinstance(source, bytes) and check_regular(Path(source)).stat().st_size == 0):
        raise UnreadableImage("empty file")
    return Image.open(io.BytesIO(source) if isinstance(source, bytes) else source)


@cache
def _register_heic() -> None:
    if can_read_heic():
        import pillow_heif

        pillow_heif.register_heif_opener()


class _Limit:
    """How many decodings are at work, and the limit of Pillow to put back after the last of them."""

    lock = Lock()
    n_inside = 0
    before: int | None = None


@contextmanager
def _own_limit() -> Iterator[None]:
    """Fennec's limit of pixels in place of Pillow's lower one, which warns at 89 and refuses at 179 million."""
    with _Limit.lock:
        if _Limit.n_inside == 0:
            _Limit.before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, MAX_PIXELS
        _Limit.n_inside += 1
    try:
        yield
    finally:
        with _Limit.lock:
            _Limit.n_inside -= 1
            if _Limit.n_inside == 0:
                Image.MAX_IMAGE_PIXELS = _Limit.before


def _what_else(source: Content) -> str:
    """What a file is that is no picture."""
    head = b""
    if isinstance(source, bytes):
        head = source[:HEAD_BYTES]
    elif not isinstance(source, Image.Image):
        with Path(source).open("rb") as file:
            head = file.read(HEAD_BYTES)
    if is_heic_content(head):
        return "a HEIC picture; pip install 'fennec-recommender[heic]' reads it"
    if head.startswith(b"version https://git-lfs"):
        return "a pointer of Git LFS in place of the picture; fetch it with 'git lfs pull'"
    return "not an image, or of an unknown format"


def _depth(image: Image.Image) -> str | None:
    """What a range belongs to: whole numbers of 16 or 32 bits, floats; None for 8 bits."""
    if image.mode.startswith("I;16"):
        return "16 bits"
    return {"I": "32 bits", "F": "float"}.get(image.mode)


def _deep_colours(source: Content, image: Image.Image) -> NDArray[np.uint16] | None:
    """Colours of a PNG or TIFF of 16 bits for each, shape (height, width, 3 or 4), None where it is another picture.

    Pillow keeps the upper byte; read as if its bytes were in the other order, the file gives the lower one.
    """
    orders = None if isinstance(source, Image.Image) else _byte_orders(image)
    if orders is None or isinstance(source, Image.Image):
        return None
    _read_as(image, orders[0])
    with _open(source) as second:
        _read_as(second, orders[1])
        lower = np.asarray(second).astype(np.uint16)
    return np.asarray(image).astype(np.uint16) * 256 + lower


def _byte_orders(image: Image.Image) -> str | None:
    """Order of the bytes of colours of 16 bits in a PNG or TIFF and the other one, `BL` or `LB`; else None."""
    tiles: Sequence[Any] = getattr(image, "tile", [])
    match = DEEP_MODE.fullmatch(_raw_mode(tiles[0])) if tiles else None
    if match is None or image.format not in ("PNG", "TIFF"):
        return None
    order = {"N": sys.byteorder[0].upper()}.get(match[2], match[2])
    if image.format == "TIFF":
        tags = image.tag_v2  # type: ignore[attr-defined]
        if tags.get(PLANAR_TAG) == 2 and (tiles[0].codec_name != "raw" or set(tags[BITS_TAG]) != {16}):
            return None  # a plane for each colour, which Pillow decompresses in its own order alone
        order = order or ("L" if tags.prefix == b"II" else "B")
    return {"L": "LB", "B": "BL"}.get(order or "")


def _read_as(image: Image.Image, order: str) -> None:
    """Take the bytes of colours of 16 bits for being in an order, when the picture is loaded."""
    tiles = []
    for tile in image.tile:  # type: ignore[attr-defined]
        raw = f"{_raw_mode(tile).partition(';')[0]};16{order}"
        tiles.append(tile._replace(args=raw if isinstance(tile.args, str) else (raw, *tile.args[1:])))
    image.tile = tiles  # type: ignore[attr-defined]


def _raw_mode(tile: Any) -> str:
    return str(tile.args if isinstance(tile.args, str) else tile.args[0])


def _top(colours: NDArray[np.uint16]) -> Range:
    """Range of deep colours: from 0 to the highest value of as many bits as they use, 8 at least."""
    highest = np.quantile(colours[..., :3], 1 - TAIL)
    return 0.0, float(2 ** max(int(np.ceil(np.log2(highest + 1))), 8) - 1)


def _nodata(image: Image.Image) -> float | None:
    """Value that a file names for cells without data."""
    try:
        return float(str(image.tag_v2[NODATA_TAG]).strip("\0 "))  # type: ignore[attr-defined]
    except (AttributeError, KeyError, ValueError):
        return None


def _values(image: Image.Image, nodata: float | None) -> NDArray[np.float64]:
    """Values of a deep picture, NaN where there are no data."""
    values = np.asarray(image).astype(np.float64)
    return values if nodata is None else np.where(values == nodata, np.nan, values)


def _to_rgb(image: Image.Image, nodata: float | None, ranges: DeepRanges | None) -> Image.Image:
    if (depth := _depth(image)) is not None:
        values = _values(image, nodata)
        low, high = (ranges.get(depth) if ranges is not None else None) or robust_range(values)
        scaled = (np.clip(values, low, high) - low) * (255.0 / (high - low)) if high > low else np.zeros_like(values)
        return Image.fromarray(np.nan_to_num(scaled).round().astype(np.uint8)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        layer = image.convert("RGBA")
        paper = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(paper, layer).convert("RGB")
    return image.convert("RGB")
