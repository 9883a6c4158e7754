"""Every error that Fennec raises on purpose.

A message says what was seen, what was expected and what to type next. The command line prints it as
one line and maps the class to an exit code.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class FennecError(Exception):
    """Root of all errors that Fennec raises on purpose."""


class InputError(FennecError, ValueError):
    """A value given by the user is not usable."""


class UnknownModelError(InputError):
    """A model id is not in the catalog."""


class UnknownTaskError(InputError):
    """A task, hub or protocol name is not known."""


class NothingToRecommendError(FennecError):
    """Every model was removed by the conditions asked for."""


class ArtifactError(FennecError):
    """A saved recommender, space or proxy cannot be read."""


class UnwritableError(FennecError, OSError):
    """A file cannot be written: there is no room, or no right."""


class OfflineError(FennecError):
    """Weights or data must be downloaded and the hub cannot be reached."""


class UnsupportedModelError(FennecError):
    """A model is known, but Fennec cannot run it."""


class ModelFailedError(FennecError):
    """A model's own code failed on the pictures, or what it gives is of no use."""


class MissingExtraError(FennecError, ImportError):
    """An optional dependency is not installed."""


def said(error: BaseException) -> str:
    """What an error says; nothing where its class, which is foreign code as well, fails at that."""
    try:
        return str(error)
    except Exception:
        return ""


def did_you_mean(name: str, known: Iterable[str], *, n: int = 3) -> str:
    """Sentence that offers the nearest known names, or an empty string.

    Args:
        name: what the user typed.
        known: names that would have been accepted.
        n: how many names to offer at most.

    Returns:
        `"; did you mean 'a' or 'b'?"`, ready to append to a message.

    Example:
        >>> did_you_mean("resnet5O", ["resnet50", "vit"])
        "; did you mean 'resnet50'?"
    """
    lower: dict[str, str] = {}
    for candidate in known:
        lower.setdefault(candidate.lower(), candidate)
    matches = difflib.get_close_matches(name.lower(), lower, n=n, cutoff=0.5)
    if not matches:
        return ""
    return "; did you mean " + " or ".join(f"'{lower[match]}'" for match in matches) + "?"
