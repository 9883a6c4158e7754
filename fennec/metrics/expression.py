"""What a user types for a metric: a name, with options or around another metric where there are any.

In: text such as `logme`, `sfda(pca_dim=32)` or `ped(sfda(pca_dim=32), n_sigma=0.3)`. Out: its parts, options checked
against the function that takes them. The text is parsed as Python and never run.
"""

from __future__ import annotations

import ast
import inspect
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from fennec.errors import InputError, did_you_mean

LEAST = {"random_state": 0}  # of whole numbers, which count something elsewhere
NOT_TYPED = ("device",)  # given by whoever calls the metric


@dataclass(frozen=True)
class Expression:
    """The parts of a metric as typed.

    Attributes:
        text: all of it.
        name: what stands before the bracket.
        inner: the metric that it is put around, if any.
        options: keyword options in plain values.
    """

    text: str
    name: str
    inner: Expression | None
    options: dict[str, Any]


def split_metrics(text: str) -> list[str]:
    """Metrics by commas; commas inside brackets belong to the metric.

    Raises:
        InputError: brackets or quotes do not match.

    Example:
        >>> split_metrics("logme, ped(sfda(pca_dim=32), n_sigma=0.3)")
        ['logme', 'ped(sfda(pca_dim=32), n_sigma=0.3)']
    """
    parts, depth = [""], 0
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
        if depth < 0:
            break
    if depth:
        raise InputError(f"brackets do not match in the metrics '{text}'; expected such as sfda(pca_dim=32),logme")
    return [part.strip() for part in parts if part.strip()]


def parse_metric(text: str) -> Expression:
    """The parts of a metric as typed.

    Raises:
        InputError: it does not read NAME, NAME(OPTION=VALUE) or NAME(METRIC), or a value is not plain.
    """
    try:
        return _parts(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise InputError(
            f"cannot read the metric '{text}'; expected such as logme, sfda(pca_dim=32) or ped(logme)"
        ) from error


def _parts(node: ast.expr) -> Expression:
    text = ast.unparse(node)
    if isinstance(node, ast.Name):
        return Expression(text, node.id, None, {})
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or len(node.args) > 1:
        raise ValueError(text)
    options = {}
    for keyword in node.keywords:
        if keyword.arg is None or keyword.arg in options:
            raise ValueError(text)
        options[keyword.arg] = ast.literal_eval(keyword.value)
    return Expression(text, node.func.id, _parts(node.args[0]) if node.args else None, options)


def check_options(wanted: Expression, function: Callable[..., Any]) -> dict[str, Any]:
    """The options of a metric, each of which the function has and may have with that value.

    Raises:
        InputError: there is no such option, or the value is of another type or out of range.
    """
    hints = typing.get_type_hints(function)
    there = {
        name: hints[name]
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and name not in NOT_TYPED and hints[name] is not Any
    }
    for name, value in wanted.options.items():
        if name not in there:
            known = f"; it has {', '.join(there)}" if there else "; it has none"
            raise InputError(f"'{wanted.name}' has no option '{name}'{did_you_mean(name, there) or known}")
        if not _fits(value, there[name]):
            raise InputError(f"{name} of '{wanted.name}' is {value!r}; expected {_described(there[name])}")
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        least = 0 if float in _choices(there[name]) else LEAST.get(name, 1)
        if not (value >= least and np.isfinite(value)):
            raise InputError(f"{name} of '{wanted.name}' is {value}; expected a finite number of at least {least}")
    return wanted.options


def _choices(hint: Any) -> tuple[Any, ...]:
    """The types of a union, or the one type."""
    return (
        typing.get_args(hint)
        if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union
        else (hint,)
    )


def _fits(value: Any, hint: Any) -> bool:
    for choice in _choices(hint):
        if typing.get_origin(choice) is Literal:
            if value in typing.get_args(choice):
                return True
        elif (choice is float and isinstance(value, int) and not isinstance(value, bool)) or type(value) is choice:
            return True
    return False


def _described(hint: Any) -> str:
    """Types in words, literals as they are typed."""
    words = {int: "a whole number", float: "a number", bool: "True or False", str: "text", type(None): "None"}
    found: list[str] = []
    for choice in _choices(hint):
        if typing.get_origin(choice) is Literal:
            found += [repr(value) for value in typing.get_args(choice)]
        else:
            found.append(words.get(choice, str(choice)))
    return " or ".join(found)
