"""Runs one hostile input in this process and says whether the answer was clear.

In: arguments of the command, or a call of the library. Out: an empty string where the answer was clear, else what was
wrong with it.
"""

from __future__ import annotations

import contextlib
import io
import json
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

from fennec.cli import main as cli
from fennec.errors import FennecError

PATIENCE_S = 20  # of computing
ALARM_S = 60  # of waiting: other work may keep the machine busy
LINE = 500  # characters
DOCUMENTED = (0, 1, 2, 3)


class TooLongError(BaseException):
    """Raised by the alarm; no `except Exception` holds it up."""


class Reached(FennecError):
    """Everything that was typed was accepted, and what would take minutes was not done."""


@dataclass(frozen=True)
class Case:
    """One input: what it is, and how to try it; `try_it` returns what is wrong with the answer."""

    what: str
    try_it: Callable[[], str]


@dataclass
class Seen:
    """What a command did."""

    status: object
    out: str
    err: str

    @property
    def wrong(self) -> str:
        """What is wrong with the answer, empty where it is clear."""
        if type(self.status) is not int or self.status not in DOCUMENTED:
            return f"exit status {self.status!r}"
        if "Traceback" in self.err or "unexpected" in self.err:
            return self.err[-300:]
        last = (self.err.rstrip("\n").splitlines() or [""])[-1]
        if self.status and not (last.startswith("fennec: ") and len(last) < LINE):
            return f"{len(last)} characters: {last[:200]}"
        return ""

    @property
    def wrong_json(self) -> str:
        """The same where the command was asked for JSON."""
        if self.status == 0:
            try:
                json.loads(self.out, parse_constant=lambda name: 1 / 0)
            except (ValueError, ZeroDivisionError):
                return f"no JSON: {self.out[:200]}"
        return self.wrong


@contextlib.contextmanager
def patience() -> Iterator[None]:
    """Ends what takes too long, where Python code runs at all."""

    def ring(*_: object) -> None:
        raise TooLongError

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(ALARM_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@cache
def warm_up() -> None:
    """Import what the first command would import, and read what it would read: that is no fault of an input."""
    import open_clip  # noqa: F401
    import timm  # noqa: F401
    import torchvision.datasets  # noqa: F401

    from fennec.online import published

    published()


def command(*arguments: str) -> Seen:
    """What the command does, in this process."""
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", errors) for errors in ("strict", "backslashreplace"))
    typed, sys.argv = sys.argv, ["fennec", *arguments]
    status: object = 0
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            cli.main()
    except SystemExit as stop:
        status = 0 if stop.code is None else stop.code
    except Exception as error:
        status = f"{type(error).__name__}: {str(error)[:200]}"
    finally:
        sys.argv = typed
    texts = []
    for stream in (out, err):
        stream.flush()
        texts.append(stream.detach().getvalue().decode("utf-8"))  # type: ignore[attr-defined]
    return Seen(status, *texts)


def library(call: Callable[[], str]) -> str:
    """What is wrong with a call of the library: what it returns, or an error that is not ours or no short line."""
    try:
        return call()
    except FennecError as error:
        text = str(error)
        return "" if len(text) < LINE and "\n" not in text and text.isprintable() else f"{len(text)}: {text[:300]!r}"
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:300]}"


def tried(case: Case) -> tuple[str, float]:
    """What is wrong with the answer to one input, and how long it computed."""
    start = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of decoders; the command does not show them either
        try:
            with patience():
                wrong = case.try_it()
        except TooLongError:
            wrong = f"waits for more than {ALARM_S} s"
        except Exception as error:
            wrong = f"{type(error).__name__}: {str(error)[:300]}"
    seconds = time.process_time() - start
    return wrong or f"computes for {seconds:.0f} s" * (seconds > PATIENCE_S), seconds
