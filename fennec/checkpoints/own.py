"""Networks of the user's own: `module:NAME`, a function or class that makes one when called without arguments.

In: such a name. Out: what was made. The working directory counts as a place of modules; Python's own modules do not, as
none of them makes a network and some end the process.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fennec.errors import DataError, InputError, did_you_mean, said


def has_module(name: str) -> bool:
    """Whether `name` reads `module:NAME` and there is such a module.

    Example:
        >>> has_module("json:loads"), has_module("timm"), has_module("no_such_module:net")
        (True, False, False)
    """
    module, _, attribute = name.partition(":")
    if not attribute or not all(part.isidentifier() for part in module.split(".")):
        return False
    if _is_pythons(module):
        return True
    with _working_directory():
        try:
            return importlib.util.find_spec(module) is not None
        except (ImportError, ValueError):
            return False
        except (Exception, SystemExit):  # the module around it is there and fails; `make_own` says how
            return True


def make_own(name: str) -> Any:
    """Call what `module:NAME` names.

    Raises:
        InputError: the name cannot be read, or the module has nothing of this name.
        DataError: importing or calling it fails.
    """
    module, _, attribute = name.partition(":")
    if not module or not attribute:
        raise InputError(f"cannot read '{name}'; expected timm:NAME, hf-hub:timm/NAME or module:FUNCTION")
    if _is_pythons(module):
        raise InputError(
            f"'{name}' names a module of Python's own, which makes no network; expected module:FUNCTION of a module of "
            "yours, under another name"
        )
    with _working_directory():
        try:
            found = importlib.import_module(module)
            if not hasattr(found, attribute):
                raise InputError(f"'{module}' has no '{attribute}'{did_you_mean(attribute, vars(found))}")
            return getattr(found, attribute)()
        except InputError:
            raise
        except (Exception, SystemExit) as error:  # foreign code, which may raise anything
            raise DataError(f"'{name}' makes no network ({type(error).__name__}: {said(error)})") from error


def _is_pythons(module: str) -> bool:
    """Whether a module belongs to Python, found without importing anything: some do things when they are imported."""
    return module.partition(".")[0] in (*sys.stdlib_module_names, "__main__")


@contextmanager
def _working_directory() -> Iterator[None]:
    sys.path.insert(0, str(Path.cwd()))
    try:
        yield
    finally:
        sys.path.remove(str(Path.cwd()))
