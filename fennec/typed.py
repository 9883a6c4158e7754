"""What was saved is typed before it is used: JSON against dataclasses, tensors against shapes and ranges.

In: bytes of a file that anybody may have changed. Out: values of the types that were asked for, or one line that says
what was seen and what was expected. A schema is a dataclass: its annotations are the types, its `__post_init__` says
what else must hold.
"""

from __future__ import annotations

import json
import math
import reprlib
import types
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from fennec.errors import ArtifactError

if TYPE_CHECKING:
    from numpy.typing import NDArray

Made = TypeVar("Made")

MAX_DEPTH = 32  # lists in lists
MAX_TEXT = 4096  # characters of a name or a path
MAX_INTEGER = 2**63
LARGE = 1e9  # no number of ours comes near, and products of a few of them are still finite
NAMES_OF_TYPES = {
    str: "a text", int: "a whole number", float: "a finite number", bool: "true or false", type(None): "null",
}  # fmt: skip


def read_json(content: bytes) -> Any:
    """What a JSON document says.

    Raises:
        ArtifactError: no JSON, a key twice, a number that is not finite or beyond 64 bits, nested too deeply, or text
            that is no Unicode.
    """
    try:
        value = json.loads(content.decode("utf-8"), object_pairs_hook=_once, parse_constant=_no_number)
    except RecursionError as error:
        raise ArtifactError(f"lists are nested more than {MAX_DEPTH} deep") from error
    except ValueError as error:
        raise ArtifactError(f"no JSON: {str(error)[:150]}") from error
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise ArtifactError(f"lists are nested more than {MAX_DEPTH} deep")
        below: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                below += [*item, *item.values()]
            elif isinstance(item, list):
                below += item
            elif isinstance(item, str):
                _check_text(item)
            elif isinstance(item, int | float) and not abs(item) < MAX_INTEGER:
                raise ArtifactError(f"a number is {reprlib.repr(item)}; expected one of at most 64 bits")
        level = below
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ArtifactError("a key stands there twice")
    return found


def _no_number(name: str) -> Any:
    raise ArtifactError(f"{name} is no JSON")


def _check_text(text: str) -> None:
    if len(text) > MAX_TEXT:
        raise ArtifactError(f"a text has {len(text)} characters; expected at most {MAX_TEXT}")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise ArtifactError(f"{text[:40]!a} is no Unicode text") from error


def typed(kind: type[Made], value: Any, *, where: str = "", more: bool = False) -> Made:
    """A value of JSON in the type that is expected of it.

    Args:
        kind: a dataclass, or `dict[str, ...]`, `tuple[..., ...]`, `X | None`, `Literal[...]`, str, int, float, bool.
        value: as of `read_json`.
        where: place of the value, for messages.
        more: whether keys that a dataclass does not know are left aside, not refused.

    Raises:
        ArtifactError: a value has another type, a key is missing or unknown, or a dataclass refuses what it is given.

    Example:
        >>> typed(dict[str, float], {"a": 1})
        {'a': 1.0}
    """
    return cast("Made", _typed(kind, value, where or "it", more))


def _typed(kind: Any, value: Any, where: str, more: bool) -> Any:
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is Any:
        return value
    if origin in (Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        (kind,) = (each for each in arguments if each is not type(None))
        return _typed(kind, value, where, more)
    if origin is Literal:
        if value in arguments and type(value) in {type(each) for each in arguments}:
            return value
        raise _mistyped(where, value, " or ".join(map(repr, arguments)))
    if origin is dict:
        if type(value) is not dict:
            raise _mistyped(where, value, "keys and values")
        return {key: _typed(arguments[1], item, f"'{key}' of {where}", more) for key, item in value.items()}
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise _mistyped(where, value, "a list")
        return tuple(_typed(arguments[0], item, f"item {at} of {where}", more) for at, item in enumerate(value))
    if is_dataclass(kind):
        return _made(cast("type", kind), value, where, more)
    if kind is float and type(value) in (int, float) and math.isfinite(value):
        return float(value)
    if type(value) is kind and kind is not float:
        return value
    raise _mistyped(where, value, NAMES_OF_TYPES[kind])


def _made(kind: type, value: Any, where: str, more: bool) -> Any:
    if type(value) is not dict:
        raise _mistyped(where, value, "keys and values")
    types_of, required = _fields(kind)
    if absent := [name for name in required if name not in value]:
        raise ArtifactError(f"'{absent[0]}' is missing in {where}")
    unknown = [name for name in value if name not in types_of]
    if unknown and not more:
        raise ArtifactError(f"{reprlib.repr(unknown[0])} in {where} is unknown; expected {', '.join(types_of)}")
    found = {
        name: _typed(types_of[name], value[name], f"'{name}' of {where}", more) for name in types_of if name in value
    }
    try:
        return kind(**found)
    except ValueError as error:
        raise ArtifactError(f"{where}: {error}") from error


@cache
def _fields(kind: type) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Types of the fields of a dataclass, and which of them must be there."""
    hints = get_type_hints(kind)
    given = [each for each in fields(cast("Any", kind)) if each.init]
    required = [each.name for each in given if each.default is MISSING and each.default_factory is MISSING]
    return {each.name: hints[each.name] for each in given}, tuple(required)


def _mistyped(where: str, value: Any, expected: str) -> ArtifactError:
    return ArtifactError(f"{where} is {reprlib.repr(value)}; expected {expected}")


def check_between(low: float, high: float, **values: float | None) -> None:
    """For the `__post_init__` of a schema: numbers are in a range, where they are known.

    Raises:
        ValueError: one is not.
    """
    for name, value in values.items():
        if value is not None and not low <= value <= high:
            raise ValueError(f"'{name}' is {value}; expected {low:g} to {high:g}")


def check_different(**names: tuple[str, ...]) -> None:
    """For the `__post_init__` of a schema: no name stands in a list twice.

    Raises:
        ValueError: one does.
    """
    for name, found in names.items():
        if len(set(found)) < len(found):
            raise ValueError(f"'{name}' names one twice")


def read_tensors(content: bytes) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """Tensors of a safetensors file, and the texts that go with them.

    Raises:
        ArtifactError: it is damaged, or a tensor has a type that numpy does not know.
    """
    from safetensors.numpy import load

    try:
        found = load(content)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    except Exception as error:  # a foreign reader on foreign bytes
        raise ArtifactError(f"no tensors ({type(error).__name__}: {str(error)[:150]})") from error
    return found, header.get("__metadata__") or {}


@dataclass(frozen=True)
class Table:
    """What is expected of a tensor.

    Attributes:
        shape: sizes, numbers or names; the same name is the same size wherever it stands.
        low: smallest value.
        high: largest value.
        gaps: whether NaN stands for what is not known.
        whole: whether values are whole numbers.
    """

    shape: tuple[int | str, ...]
    low: float = -LARGE
    high: float = LARGE
    gaps: bool = False
    whole: bool = False


def check_tensors(
    found: Mapping[str, NDArray[Any]], expected: Mapping[str, Table], sizes: Mapping[str, int]
) -> dict[str, int]:
    """Hold tensors against what is expected of them and against each other.

    Args:
        found: by name.
        expected: by name.
        sizes: what is known of the names of sizes.

    Returns:
        All sizes by name.

    Raises:
        ArtifactError: a tensor is missing or unknown, or has another shape, type or range.
    """
    for name in sorted(found.keys() ^ expected.keys()):
        raise ArtifactError(f"tensor {reprlib.repr(name)} is {'unknown' if name in found else 'missing'}")
    known = dict(sizes)
    for name, table in expected.items():
        array = found[name]
        wanted = [known.get(size, size) if isinstance(size, str) else size for size in table.shape]
        if array.ndim == len(wanted):
            known |= {size: length for size, length in zip(wanted, array.shape, strict=True) if isinstance(size, str)}
            wanted = [known[size] if isinstance(size, str) else size for size in wanted]
        if array.shape != tuple(wanted):
            raise ArtifactError(f"tensor '{name}' has shape {array.shape}; expected {tuple(wanted)}")
        check_values(name, array, table)
    return known


def check_values(name: str, array: NDArray[Any], table: Table) -> None:
    """Hold the values of a tensor against what is expected of them.

    Raises:
        ArtifactError: its type is no number's, or a value is out of range.
    """
    import numpy as np

    if array.dtype.kind not in "fiu":
        raise ArtifactError(f"tensor '{name}' holds {array.dtype}; expected numbers")
    values = array[~np.isnan(array)] if table.gaps else array
    if not values.size:
        return
    low, high = float(values.min()), float(values.max())  # NaN where there is one
    if not (table.low <= low and high <= table.high):
        seen = low if not table.low <= low else high
        raise ArtifactError(f"tensor '{name}' holds {seen}; expected {table.low:g} to {table.high:g}")
    if table.whole and not np.array_equal(values, np.round(values)):
        raise ArtifactError(f"tensor '{name}' holds fractions; expected whole numbers")


def check_covariance(name: str, matrix: NDArray[Any]) -> None:
    """Make sure that a matrix can be a covariance, as far as single precision keeps it one.

    Raises:
        ArtifactError: it is not symmetric or has a negative eigenvalue.
    """
    import numpy as np

    size = float(np.abs(matrix).max(initial=1e-12))
    if np.abs(matrix - matrix.T).max(initial=0.0) > 1e-5 * size or np.linalg.eigvalsh(matrix).min() < -1e-5 * size:
        raise ArtifactError(f"tensor '{name}' is no covariance: it is not symmetric and positive")
