"""A command that is told to end cleans up first: Ctrl-C gives status 130, SIGTERM 143, and nothing is half-written.

In: signals. Out: `KeyboardInterrupt` where the command is, and the status.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

INTERRUPTED = 128 + signal.SIGINT


@contextmanager
def stoppable() -> Iterator[None]:
    """Let SIGTERM do what Ctrl-C does, but for the exit status."""
    heard: list[int] = []

    def stop(number: int, _: Any) -> None:
        heard.append(number)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except (KeyboardInterrupt, SystemExit) as error:
        status = 128 + heard[0] if heard else INTERRUPTED
        if isinstance(error, SystemExit) and not heard and error.code != INTERRUPTED:
            raise
        sys.stderr.write("fennec: stopped; what was written is whole, the same command goes on or begins again\n")
        raise SystemExit(status) from None
    finally:
        signal.signal(signal.SIGTERM, before)
