"""Changes to saved files: what somebody, a disk or a program may do to JSON, to tensors and to a place on the disk.

In: a source of chance and a file. Out: the file changed, and what was done to it.
"""

from __future__ import annotations

import json
import os
import random
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load, save

HOW = ("drop", "add", "value", "value", "value", "shape", "type", "cut", "empty", "sign", "scale", "swap")
TYPES = ("bool", "int8", "uint8", "int64", "float16", "float64", "complex64")


class Raw(str):
    """Text that stands in a document as it is."""


ODD: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 0.5, -0.5, 3.7, 2**31, 2**63, 10**400, -(10**30), 1e-320, 1e300, -1e308, "", " ", "x",
    "nan", "-1", "a" * 100_000, "\ud800", "\0", "\x1b[2J", "[/x]", "<script>", "=1+1", "../../etc/passwd", [], {}, [[]],
    [None], [1, "a"], {"a": 1}, [0] * 1000, Raw("NaN"), Raw("Infinity"), Raw("-Infinity"), Raw("1e999"),
    Raw("1" * 5000), Raw("[" * 100_000),
    Raw("[" * 500 + "]" * 500), Raw('{"a":' * 40 + "1" + "}" * 40), Raw('{"a": 1, "a": 2}'), Raw("'x'"), Raw(""),
)  # fmt: skip


def document(value: Any) -> bytes:
    """JSON with odd values in it."""
    raw: list[str] = []

    def marked(item: Any) -> Any:
        if isinstance(item, Raw):
            raw.append(str(item))
            return f"@{len(raw) - 1}@"
        if isinstance(item, dict):
            return {key: marked(inner) for key, inner in item.items()}
        return [marked(inner) for inner in item] if isinstance(item, list) else item

    text = json.dumps(marked(value), indent=1)
    for at, odd in enumerate(raw):
        text = text.replace(f'"@{at}@"', odd)
    return text.encode("utf-8", "surrogatepass")


def changed(rng: random.Random, stored: Any) -> tuple[str, Any]:
    """A JSON value with one to three things changed, and what."""
    stored, said = json.loads(json.dumps(stored)), []
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        place, path = stored, []
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            if not keys:
                break
            key = rng.choice(keys)
            path.append(key)
            if not isinstance(place[key], dict | list) or not place[key] or rng.random() < 0.25:
                break
            place = place[key]
        if not keys:
            continue
        how = rng.choice(("odd", "odd", "odd", "odd", "drop", "add", "twice", "near"))
        if how == "drop":
            del place[key]
        elif how == "add":
            if isinstance(place, dict):
                place[rng.choice(("more", "", "__class__", "name", "self"))] = rng.choice(ODD)
            else:
                place.append(rng.choice(ODD))
        elif how == "twice" and isinstance(place, list):
            place.append(place[key])
        elif how == "near" and type(place[key]) in (int, float) and abs(place[key]) < 1e99:
            place[key] *= rng.choice((-1, 1.5, 1e6, 1e-6, 1e30))
        else:
            place[key] = rng.choice(ODD)
        said.append(f"{how} {path}")
    return "; ".join(said), stored


def damaged(rng: random.Random, content: bytes) -> bytes:
    """Bytes cut, flipped, doubled or replaced."""
    data = bytearray(content)
    at = rng.randrange(max(len(data), 1))
    how = rng.randrange(6)
    if how == 0:
        del data[at:]
    elif how == 1:
        for _ in range(rng.choice((1, 5, 50))):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    elif how == 2:
        data[at : at + 16] = b"\xff" * 16
    elif how == 3:
        data = data + data
    elif how == 4:
        data[:8] = rng.choice((0, 1, len(data), 2**62, 2**64 - 1)).to_bytes(8, "little")
    else:
        data[:] = rng.choice((b"", b"{}", b"[]", b"null", b"\0" * 100, b"\xff\xfe", b"PK\x03\x04", b"\x80\x04N."))
    return bytes(data)


def changed_tensors(rng: random.Random, content: bytes) -> tuple[str, bytes]:
    """A safetensors file with one to three tensors changed, and what."""
    size = int.from_bytes(content[:8], "little")
    texts = json.loads(content[8 : 8 + size]).get("__metadata__")
    tensors, said = load(content), []
    for _ in range(rng.choice((1, 1, 2, 3))):
        if not tensors:
            break
        name = rng.choice(sorted(tensors))
        array = np.array(tensors[name])
        how = rng.choice(
            ("drop", "add", "value", "value", "value", "shape", "type", "cut", "empty", "sign", "scale", "swap")
        )
        if how == "drop":
            del tensors[name]
        elif how == "add":
            tensors[rng.choice(("more", "", "../x", "mean"))] = array
        elif how == "value" and array.size and array.dtype.kind == "f":
            flat = array.reshape(-1)
            some = slice(None) if rng.random() < 0.2 else rng.randrange(flat.size)
            with np.errstate(all="ignore"):
                flat[some] = rng.choice((np.nan, np.inf, -np.inf, 0, -1, 1e30, -1e30, 1e-40, 65504))
            tensors[name] = array
        elif how == "shape":
            tensors[name] = rng.choice((array.reshape(-1), array[None], array.T.copy(), np.repeat(array, 2, axis=0)))
        elif how == "type":
            with np.errstate(all="ignore"), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                tensors[name] = array.astype(
                    rng.choice(("bool", "int8", "uint8", "int64", "float16", "float64", "complex64"))
                )
        elif how == "cut":
            tensors[name] = array[: len(array) // 2].copy()
        elif how == "empty":
            tensors[name] = np.zeros(rng.choice(((0,), (0, 0), (), (1,))), dtype=np.float32)
        elif how == "sign":
            tensors[name] = -array if array.dtype.kind in "if" else array
        elif how == "scale":
            with np.errstate(all="ignore"):
                tensors[name] = array * array.dtype.type(rng.choice((1e4, 1e-4, 100)) if array.dtype.kind == "f" else 3)
        else:
            other = rng.choice(sorted(tensors))
            tensors[name] = tensors[other]
        said.append(f"{how} {name}")
    try:
        return "; ".join(said), save(tensors, metadata=texts)
    except Exception:  # a type that safetensors does not write
        return "cut", content[: len(content) // 2]


def misplaced(rng: random.Random, path: Path) -> str:
    """Something in the place of a file that is none, and what."""
    how = rng.choice(("missing", "folder", "pipe", "link out", "link to itself", "link to a device", "socket-like"))
    content = path.read_bytes() if path.is_file() else b""
    path.unlink(missing_ok=True)
    if how == "folder":
        path.mkdir()
    elif how == "pipe":
        os.mkfifo(path)
    elif how == "link out":
        outside = path.parent.parent / f"outside-{path.name}"
        outside.write_bytes(content)
        path.symlink_to(outside)
    elif how == "link to itself":
        path.symlink_to(path.name)
    elif how == "link to a device":
        path.symlink_to("/dev/zero")
    elif how == "socket-like":
        path.write_bytes(b"")
        path.chmod(0)
    return f"{how} at {path.name}"


def tampered(rng: random.Random, path: Path) -> str:
    """A file changed in place, and how."""
    if rng.random() < 0.1:
        return misplaced(rng, path)
    if rng.random() < 0.2:
        path.write_bytes(damaged(rng, path.read_bytes()))
        return f"bytes of {path.name}"
    if path.suffix == ".json":
        what, stored = changed(rng, json.loads(path.read_text()))
        path.write_bytes(document(stored))
    else:
        what, content = changed_tensors(rng, path.read_bytes())
        path.write_bytes(content)
    return f"{path.name}: {what}"
