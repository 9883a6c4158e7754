"""Conditions on the facts of models: a small language of our own, of which nothing is run as Python.

In: a text such as `params < 30e6 and license == 'apache-2.0'`, and a table. Out: which rows satisfy it. Comparisons,
`in`, and, or, not, + - * / of numbers, and a few methods of texts; what is not known satisfies no comparison.
"""

from __future__ import annotations

import ast
import operator
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fennec.errors import InputError, NothingToRecommendError, did_you_mean, shown

if TYPE_CHECKING:
    import pandas as pd

MAX_LENGTH, MAX_DEPTH = 2000, 30
POWERS = {"k": 3, "m": 6, "g": 9, "b": 9}
EXAMPLE = "for example \"params < 30e6 and license == 'apache-2.0'\""
UNKNOWN = ("nan", "NaN", "NA", "None", "null")
CONSTANTS = (bool, int, float, str)
ORDERS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge,
}  # fmt: skip
SUMS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
}  # fmt: skip
TESTS: dict[str, Callable[[str, str], bool]] = {
    "startswith": str.startswith, "endswith": str.endswith, "contains": operator.contains,
}  # fmt: skip
CASES: dict[str, Callable[[str], str]] = {"lower": str.lower, "upper": str.upper}
METHODS = (*TESTS, *CASES, "isin", "isna", "notna")


@dataclass(frozen=True, eq=False)
class Truth:
    """Rows for which something holds, and rows for which it does not; of the others it is not known."""

    yes: NDArray[np.bool_]
    no: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Values:
    """A column, or a constant for all rows; `kind` is number, text or truth."""

    kind: str
    values: NDArray[Any]
    known: NDArray[np.bool_]
    source: str


def satisfied(condition: str, frame: pd.DataFrame) -> NDArray[np.bool_]:
    """Rows that satisfy a condition.

    Args:
        condition: on the columns of the table, as above. Columns of yes and no stand for themselves.
        frame: columns of numbers, of texts, and of True and False; missing cells are not known.

    Returns:
        Shape (n_rows,).

    Raises:
        InputError: it is longer than 2,000 characters, cannot be read, or compares what cannot be compared.
        NothingToRecommendError: no row satisfies it, and it asks for a text that no row has in the column.

    Example:
        >>> import pandas as pd
        >>> frame = pd.DataFrame({"params": [1e6, 5e6, None], "family": ["vit", "resnet", "vit"]})
        >>> satisfied("params < 3e6 or family.startswith('res')", frame).tolist()
        [True, True, False]
    """
    if len(condition) > MAX_LENGTH:
        raise InputError(f"the condition has {len(condition):,} characters, {MAX_LENGTH:,} at most are read; {EXAMPLE}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # of Python on what is no expression of ours anyway
            tree = ast.parse(condition.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        hint = _hint(condition)
        raise InputError(f"cannot read the condition '{shown(condition)}'{hint}; {EXAMPLE}") from error
    reader = _Reader(condition, frame)
    found = reader.truth(tree, 0)
    if reader.unmet and not found.yes.any():
        raise NothingToRecommendError(f"no model satisfies the condition: {reader.unmet[0]}")
    return found.yes


def _hint(condition: str) -> str:
    """What may be meant by a text that is no expression."""
    if number := re.search(r"\b(\d+(?:\.\d+)?)\s?([kKmMgGbB])\b", condition):
        return f": write {number[1]}e{POWERS[number[2].lower()]} for {number[0]}"
    if "&&" in condition or "||" in condition:
        return ": write 'and' and 'or' for && and ||"
    if "=" in condition.replace("==", "").replace("<=", "").replace(">=", "").replace("!=", ""):
        return ": write == for 'is equal to'"
    if " AND " in condition or " OR " in condition or " NOT " in condition:
        return ": write 'and', 'or' and 'not' in small letters"
    return ""


class _Reader:
    """One condition on one table."""

    def __init__(self, condition: str, frame: pd.DataFrame) -> None:
        self.condition, self.frame = condition.strip(), frame
        self.columns = [str(column) for column in frame.columns]
        self.unmet: list[str] = []  # texts that no row has

    def refuse(self, node: ast.AST, why: str) -> InputError:
        """The error for a part of the condition."""
        part = shown(ast.get_source_segment(self.condition, node) or self.condition, 80)
        return InputError(f"'{part}' in the condition {why}; {EXAMPLE}")

    def deeper(self, node: ast.AST, depth: int) -> int:
        """One level below."""
        if depth >= MAX_DEPTH:
            raise self.refuse(node, f"stands more than {MAX_DEPTH} levels deep")
        return depth + 1

    def truth(self, node: ast.expr, depth: int) -> Truth:
        """What holds for which rows."""
        depth = self.deeper(node, depth)
        if isinstance(node, ast.BoolOp):
            parts = [self.truth(part, depth) for part in node.values]
            return self.joined(parts, isinstance(node.op, ast.And))
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitAnd | ast.BitOr):  # as pandas writes them
            return self.joined(
                [self.truth(part, depth) for part in (node.left, node.right)], isinstance(node.op, ast.BitAnd)
            )
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.Invert):
            part = self.truth(node.operand, depth)
            return Truth(part.no, part.yes)
        if isinstance(node, ast.Compare):
            return self.comparison(node, depth)
        if isinstance(node, ast.Call) and (name := self.method(node)) not in CASES:
            return self.test(node, name, depth)
        if isinstance(node, ast.Name):
            found = self.values(node, depth)
            if found.kind == "truth":
                return Truth(found.known & found.values, found.known & ~found.values)
        raise self.refuse(node, "compares nothing")

    def joined(self, parts: list[Truth], both: bool) -> Truth:
        """And, or."""
        every, some = np.logical_and.reduce, np.logical_or.reduce
        yes, no = [part.yes for part in parts], [part.no for part in parts]
        return Truth(every(yes), some(no)) if both else Truth(some(yes), every(no))

    def comparison(self, node: ast.Compare, depth: int) -> Truth:
        """A chain of comparisons, `1e6 < params <= 30e6`."""
        if not any(isinstance(part, ast.Name) for part in ast.walk(node)):
            raise self.refuse(node, "compares nothing")
        parts, left = [], node.left
        for order, right in zip(node.ops, node.comparators, strict=True):
            if isinstance(order, ast.In | ast.NotIn):
                found = self.among(node, self.values(left, depth), right)
                parts.append(Truth(found.no, found.yes) if isinstance(order, ast.NotIn) else found)
            else:
                parts.append(self.ordered(node, order, left, right, depth))
            left = right
        return self.joined(parts, True)

    def ordered(self, node: ast.Compare, order: ast.cmpop, left: ast.expr, right: ast.expr, depth: int) -> Truth:
        """One comparison."""
        one, two = (self.values(part, depth, beside=other) for part, other in ((left, right), (right, left)))
        equal = isinstance(order, ast.Eq | ast.NotEq)
        if one.kind != two.kind or not (equal or (one.kind == "number" and type(order) in ORDERS)):
            wanted = {"number": "a number", "text": "== or != and a text in quotes", "truth": "== True or == False"}
            raise self.refuse(node, f"compares {one.source}, a {one.kind}, with {two.source}, a {two.kind}, expected "
                                    f"{wanted[one.kind]}")  # fmt: skip
        compare: Callable[[Any, Any], Any] = ORDERS.get(type(order), operator.eq)
        holds: NDArray[np.bool_] = np.asarray(compare(one.values, two.values), dtype=np.bool_)
        known = one.known & two.known
        for name, text in ((left, right), (right, left)) if isinstance(order, ast.Eq) and not holds.any() else ():
            if isinstance(name, ast.Name) and isinstance(text, ast.Constant) and isinstance(text.value, str):
                self.unmet.append(self.absent(name.id, text.value))
        if isinstance(order, ast.NotEq):
            holds = ~holds
        return Truth(known & holds, known & ~holds)

    def absent(self, column: str, text: str) -> str:
        """That no row has a text in a column, and where it does stand."""
        others = [name for name in self.columns if name != column and self.frame[name].eq(text).any()]
        if others:
            return f"{column} is never '{shown(text, 60)}'; did you mean {others[0]} == '{shown(text, 60)}'?"
        return f"{column} is never '{shown(text, 60)}'{did_you_mean(text, self.frame[column].dropna().unique())}"

    def among(self, node: ast.AST, one: Values, right: ast.expr) -> Truth:
        """Whether values are in a list."""
        if not isinstance(right, ast.List | ast.Tuple | ast.Set) or not right.elts:
            raise self.refuse(node, f"needs a list behind it, such as {one.source} in ['a', 'b']")
        holds = np.zeros(len(self.frame), dtype=bool)
        for each in right.elts:
            two = self.values(each, MAX_DEPTH - 1)
            if two.kind != one.kind:
                raise self.refuse(node, f"looks for a {two.kind} in {one.source}, a {one.kind}")
            holds |= np.asarray(one.values == two.values, dtype=np.bool_)
        return Truth(one.known & holds, one.known & ~holds)

    def test(self, node: ast.Call, name: str, depth: int) -> Truth:
        """A method that says yes or no."""
        assert isinstance(node.func, ast.Attribute)
        one = self.values(_without_str(node.func.value), depth)
        if name in ("isna", "notna") and not node.args and not node.keywords:
            return Truth(~one.known, one.known) if name == "isna" else Truth(one.known, ~one.known)
        if len(node.args) != 1 or node.keywords:
            raise self.refuse(node, f"needs one value in the brackets of {name}")
        if name == "isin":
            return self.among(node, one, node.args[0])
        text = node.args[0]
        if one.kind != "text" or not isinstance(text, ast.Constant) or not isinstance(text.value, str):
            raise self.refuse(node, f"needs a column of texts before {name} and a text in quotes in its brackets")
        holds = np.array([TESTS[name](value, text.value) for value in one.values], dtype=bool)
        return Truth(one.known & holds, one.known & ~holds)

    def method(self, node: ast.Call) -> str:
        """Name of the method that is called."""
        if not isinstance(node.func, ast.Attribute) or node.func.attr not in METHODS:
            raise self.refuse(node.func, f"is not allowed; there are {', '.join(METHODS)}")
        return node.func.attr

    def values(self, node: ast.expr, depth: int, beside: ast.expr | None = None) -> Values:
        """A column, a constant, or what is computed of them."""
        depth = self.deeper(node, depth)
        if isinstance(node, ast.Constant):
            return self.constant(node)
        if isinstance(node, ast.Name):
            return self.column(node, beside)
        if isinstance(node, ast.Call) and (name := self.method(node)) in CASES and not node.args and not node.keywords:
            assert isinstance(node.func, ast.Attribute)
            one = self.values(_without_str(node.func.value), depth)
            if one.kind != "text":
                raise self.refuse(node, f"needs a column of texts before {name}")
            return Values(
                "text", np.array([CASES[name](value) for value in one.values], dtype=object), one.known, one.source
            )
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
            sign = self.number(-1.0 if isinstance(node.op, ast.USub) else 1.0)
            return self.computed(node, operator.mul, [self.values(node.operand, depth), sign])
        if isinstance(node, ast.BinOp) and type(node.op) in SUMS:
            return self.computed(
                node, SUMS[type(node.op)], [self.values(part, depth) for part in (node.left, node.right)]
            )
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow | ast.LShift):
            raise self.refuse(node, "is a power, and powers are not allowed: write 1e9 for 10**9")
        if isinstance(node, ast.Attribute):
            raise self.refuse(node, f"is not allowed; there are the methods {', '.join(METHODS)}")
        raise self.refuse(node, "is not allowed: only comparisons of columns with numbers and texts are")

    def computed(self, node: ast.expr, operation: Callable[[Any, Any], Any], parts: list[Values]) -> Values:
        """A sum or the like of numbers."""
        if any(part.kind != "number" for part in parts):
            raise self.refuse(node, "computes with what is no number")
        with np.errstate(all="ignore"):
            values = operation(parts[0].values, parts[1].values)
        return Values("number", values, parts[0].known & parts[1].known & np.isfinite(values), "what is computed")

    def number(self, value: float) -> Values:
        """The same number for all rows."""
        n_rows = len(self.frame)
        return Values("number", np.full(n_rows, value), np.ones(n_rows, dtype=bool), shown(str(value), 40))

    def constant(self, node: ast.Constant) -> Values:
        """A number, a text, True or False."""
        value, n_rows = node.value, len(self.frame)
        if not isinstance(value, CONSTANTS):
            raise self.refuse(node, "is no number and no text; unknown facts are found by params.isna()")
        if isinstance(value, bool):
            return Values("truth", np.full(n_rows, value), np.ones(n_rows, dtype=bool), str(value))
        if isinstance(value, str):
            return Values(
                "text", np.full(n_rows, value, dtype=object), np.ones(n_rows, dtype=bool), f"'{shown(value, 40)}'"
            )
        if abs(value) > 1e300:
            raise self.refuse(node, "is too large a number")
        return self.number(float(value))

    def column(self, node: ast.Name, beside: ast.expr | None) -> Values:
        """A column of the table."""
        if node.id not in self.columns:
            raise self.unknown(node, beside)
        cells = self.frame[node.id]
        known = cells.notna().to_numpy(dtype=bool)
        if cells.dtype.kind in "iuf":
            return Values("number", cells.to_numpy(dtype=np.float64), known, node.id)
        plain = cells.to_numpy(dtype=object)
        if all(isinstance(cell, bool | np.bool_) for cell in plain[known]):
            return Values("truth", np.where(known, plain, False).astype(bool), known, node.id)
        return Values("text", np.where(known, plain, ""), known, node.id)

    def unknown(self, node: ast.Name, beside: ast.expr | None) -> InputError:
        """Why a name is refused, and what it may have meant."""
        if node.id in UNKNOWN:
            return self.refuse(
                node, "is no value: what is not known satisfies no comparison, and params.isna() finds it"
            )
        hint = did_you_mean(node.id, self.columns)
        if isinstance(beside, ast.Name) and beside.id in self.columns and self.column(beside, None).kind == "text":
            hint = f"; a text stands in quotes: {beside.id} == '{shown(node.id, 60)}'"
        hint = hint or f"; columns are {', '.join(self.columns)}"
        return InputError(f"unknown column '{shown(node.id, 80)}' in the condition{hint}")


def _without_str(node: ast.expr) -> ast.expr:
    """What stands before `.str`, which pandas writes before the methods of texts."""
    return node.value if isinstance(node, ast.Attribute) and node.attr == "str" else node
