"""Networks of the user's own: `module:NAME`, a function or class that makes one when called without arguments.

The working directory counts as a place of modules.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fennec.errors import InputError, said


def has_module(name: str) -> bool:
    """Whether `name` reads `module:NAME` and there is such a module.

    Example:
        >>> has_module("json:loads"), has_module("timm"), has_module("no_such_module:net")
        (True, False, False)
    """
    module, _, attribute = name.partition(":")
    if not attribute or not all(part.isidentifier() for part in module.split(".")):
        return False
    with _working_directory():
        try:
            return importlib.util.find_spec(module) is not None
        except (ImportError, ValueError):
            return False


def make_own(name: str) -> Any:
    """Call what `module:NAME` names.

    Raises:
        InputError: the name cannot be read or imported, or the call fails.
    """
    module, _, attribute = name.partition(":")
    if not module or not attribute:
        raise InputError(f"cannot read '{name}'; expected timm:NAME, hf-hub:timm/NAME or module:FUNCTION")
    with _working_directory():
        try:
            return getattr(importlib.import_module(module), attribute)()
        except Exception as error:  # foreign code, which may raise anything
            raise InputError(f"'{name}' makes no network ({type(error).__name__}: {said(error)})") from error


@contextmanager
def _working_directory() -> Iterator[None]:
    sys.path.insert(0, str(Path.cwd()))
    try:
        yield
    finally:
        sys.path.remove(str(Path.cwd()))
