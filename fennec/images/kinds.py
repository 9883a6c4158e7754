"""What a file is, by its name or its first bytes: a picture, a picture that is not read, or something else.

In: relative paths with `/`, first bytes. Out: kinds. One rule of what is hidden, for folders and archives alike.
"""

from __future__ import annotations

import importlib.util
from pathlib import PurePosixPath

PICTURES = frozenset([
    ".jpg", ".jpeg", ".jpe", ".jfif", ".pjpeg", ".pjp", ".png", ".apng", ".bmp", ".dib", ".gif", ".webp", ".tif",
    ".tiff", ".ppm", ".pgm", ".pbm", ".pnm", ".pfm", ".jp2", ".j2k", ".jpx", ".jpf", ".tga", ".avif", ".ico", ".qoi"
])  # fmt: skip
HEIC = frozenset([".heic", ".heif", ".hif"])  # read with the extra `heic`
# Photographs and scans that Fennec does not read. A class that holds nothing else would vanish without a word.
CLOSED = HEIC | frozenset([
    ".psd", ".psb", ".xcf", ".jxl", ".exr", ".hdr", ".dcm", ".dicom", ".nii", ".cr2", ".cr3", ".crw", ".nef", ".nrw",
    ".arw", ".srf", ".sr2", ".dng", ".orf", ".rw2", ".raf", ".pef", ".srw", ".x3f", ".raw", ".3fr", ".iiq", ".erf",
    ".mef", ".mos", ".dcr", ".kdc", ".cin", ".dpx"
])  # fmt: skip
# What may stand for pictures in a class folder: drawings, films, documents, arrays.
STAND_INS = CLOSED | frozenset([
    ".svg", ".svgz", ".eps", ".ai", ".pdf", ".djvu", ".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".wmv", ".flv",
    ".mpg", ".mpeg", ".3gp", ".ogv", ".npy", ".npz", ".mat", ".h5", ".hdf5", ".tfrecord", ".tfrecords", ".mha", ".mhd",
    ".nrrd", ".fits", ".fit", ".svs", ".ndpi", ".czi", ".nd2", ".lif", ".vsi", ".mng", ".jbig2", ".pcx", ".wmf",
    ".emf"
])  # fmt: skip
DOCUMENTS = frozenset(
    ["doc", "docs", "documentation", "manual", "manuals", "papers", "about"]
)  # folders beside classes
TOOL_NAMES = frozenset([
    "__macosx", "__pycache__", "@eadir", "@__thumb", "@tmp", "#recycle", "#snapshot", "$recycle.bin", "lost+found",
    "thumbs.db", "ehthumbs.db", "desktop.ini"
]) | {"system volume information"}  # fmt: skip
HEAD_BYTES = 132  # the mark of DICOM ends there

_MAGIC = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+",
          b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51", b"qoif")  # fmt: skip
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")


def suffix(name: str) -> str:
    """Last suffix in small letters, with its dot; empty where there is none.

    Example:
        >>> suffix("a/IMG_1.HEIC"), suffix("a/README"), suffix("scan.nii.gz")
        ('.heic', '', '.nii')
    """
    path = PurePosixPath(name.lower())
    return PurePosixPath(path.stem).suffix if path.suffix == ".gz" and path.stem.endswith(".nii") else path.suffix


def is_hidden(path: str) -> bool:
    """Whether a file or a folder above it is hidden or was left by a tool: `.ipynb_checkpoints`, `@eaDir`, `__MACOSX`.

    Args:
        path: relative, with `/`.
    """
    return any(part.startswith(".") or part.lower() in TOOL_NAMES for part in path.split("/"))


def can_read_heic() -> bool:
    """Whether the extra that reads HEIC is installed."""
    return importlib.util.find_spec("pillow_heif") is not None


def is_picture_name(name: str) -> bool:
    """Whether the suffix of a file is one of pictures that are read."""
    kind = suffix(name)
    return kind in PICTURES or (kind in HEIC and can_read_heic())


def has_telling_suffix(name: str) -> bool:
    """Whether a name ends in something that can be a suffix; `photo_12.03.2020` and `a.jpg?size=large` do not."""
    letters = suffix(name)[1:]
    return bool(letters) and len(letters) <= 8 and letters.isalnum() and not letters.isdigit()


def is_picture_content(head: bytes) -> bool:
    """Whether the first bytes of a file are those of a picture that is read."""
    if head.startswith(_MAGIC):
        return True
    if head.startswith(b"RIFF"):
        return head[8:12] == b"WEBP"
    if head.startswith(b"BM"):
        return head[6:10] == b"\0\0\0\0"  # two reserved fields; a text that begins with BM has letters there
    return head[4:8] == b"ftyp" and (head[8:12] in (b"avif", b"avis") or (is_heic_content(head) and can_read_heic()))


def is_heic_content(head: bytes) -> bool:
    """Whether the first bytes of a file are those of a HEIC picture."""
    return head[4:8] == b"ftyp" and head[8:12] in _HEIC_BRANDS


def is_dicom_content(head: bytes) -> bool:
    """Whether the first bytes of a file are those of a DICOM picture."""
    return head[128:132] == b"DICM"


def advice(kinds: set[str]) -> str:
    """What to do about kinds that are not read, ready to append; empty where nothing is known to help."""
    return "pip install 'fennec-recommender[heic]' reads HEIC" if kinds & HEIC and not can_read_heic() else ""
