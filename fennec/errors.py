"""Every error that Fennec raises on purpose.

A message says what was seen, what was expected and what to type next. The command line prints it as one line and
ends with the exit code of its class: 2 where what was typed must be mended, 1 where that names something that is there
and cannot be used, or the machine fails.
"""

from __future__ import annotations

import contextlib
import difflib
import re
from collections.abc import Iterable, Iterator

TYPED = 200  # characters of what was typed that a message repeats
LINE = 480  # characters of a message


class FennecError(Exception):
    """Root of all errors that Fennec raises on purpose.

    Args:
        message: becomes one line that any terminal can show; what it quotes and what is longer than a line loses its
            middle, so that nothing of any length that was typed or stood in a file comes back.

    Attributes:
        exit_code: with which a command ends.
    """

    exit_code = 1

    def __init__(self, message: object = "") -> None:
        super().__init__(clipped(str(message)))


class InputError(FennecError, ValueError):
    """A value given by the user is not usable: not understood, out of range, or it names what is not there."""

    exit_code = 2


class DataError(InputError):
    """What a file, a folder or a data set holds is not usable."""

    exit_code = 1


class UnknownModelError(InputError):
    """A model id is not in the catalog."""


class UnknownTaskError(InputError):
    """A task, hub or protocol name is not known."""


class NothingToRecommendError(FennecError):
    """Every model was removed by the conditions asked for."""

    exit_code = 3


class ArtifactError(FennecError):
    """A saved recommender, space or proxy cannot be read."""


class AbsentError(ArtifactError, InputError):
    """There is nothing where a saved thing was named."""

    exit_code = 2


class UnwritableError(FennecError, OSError):
    """A file cannot be written: there is no room, no right, or something else in its place."""


class UnreadableError(FennecError, OSError):
    """A file is there and cannot be read, which says nothing of what it holds."""


class OfflineError(FennecError):
    """Weights or data must be downloaded and the hub cannot be reached."""


class UnsupportedModelError(FennecError):
    """A model is known, but Fennec cannot run it."""


class ModelFailedError(FennecError):
    """A model's own code failed on the pictures, or what it gives is of no use."""


class CellsFailedError(FennecError):
    """Some of many measurements failed; the others were kept."""


class MissingExtraError(FennecError, ImportError):
    """An optional dependency is not installed."""


@contextlib.contextmanager
def held_by(place: object) -> Iterator[None]:
    """Lay what is wrong with a value at the door of the file that holds it.

    Raises:
        DataError: the block raised `InputError`.
    """
    try:
        yield
    except DataError:
        raise
    except InputError as error:
        raise DataError(f"{place}: {error}") from error


def said(error: BaseException) -> str:
    """What a foreign error says; nothing where its class, which is foreign code as well, fails at that.

    Fennec calls its own faults unexpected and nothing else, so libraries may not.
    """
    try:
        return re.sub("(u|U)nexpected", r"\1nforeseen", str(error))
    except Exception:
        return ""


def printable(text: str) -> str:
    r"""Text that any terminal can show in one line: bytes that are no text, ends of lines and the like are escaped.

    Example:
        >>> printable("two\nlines")
        'two\\nlines'
    """
    if text.isprintable():
        return text
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def shown(text: str, n: int = TYPED) -> str:
    """As much of a text as a message repeats: printable, and without its middle where it is long.

    Example:
        >>> shown("a" * 100 + "z", 20)
        'aaaaaaaa ... aaaaaaz'
    """
    if len(text) > n:
        text = f"{text[: n - n // 2 - 2]} ... {text[len(text) - n // 2 + 3 :]}"
    text = printable(text)
    return text if len(text) <= n else shown(text, n)


def clipped(message: str) -> str:
    """A message as one line of at most `LINE` characters that repeats at most `TYPED` of each text in it."""
    if len(message) > LINE:
        for long in (r"(?<=')[^']{%d,}(?=')", r"\S{%d,}"):
            message = re.sub(long % (TYPED + 1), lambda text: shown(text[0]), message)
    message = printable(" ".join(filter(None, (line.strip() for line in message.splitlines()))))
    return message if len(message) <= LINE else shown(message, 3 * TYPED // 2)


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
    if len(name) > TYPED:
        return ""
    lower: dict[str, str] = {}
    for candidate in known:
        lower.setdefault(candidate.lower(), candidate)
    matches = difflib.get_close_matches(name.lower(), lower, n=n, cutoff=0.5)
    if not matches:
        return ""
    return "; did you mean " + " or ".join(f"'{lower[match]}'" for match in matches) + "?"
