"""The page, with answers at once for what is called `quick`: `python -m tests.reports.served PORT`."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fennec.cli.stop import stoppable
from fennec.errors import InputError
from fennec.online import Said
from fennec.reports import ui

real = ui.answer


def answer(
    folder: str, upload: str | None, protocol: str, params: float | None, licence: str, n: float,
    said: Said | None = None, report: Callable[[str], None] = lambda stage: None,
) -> tuple[str, list[list[Any]], str]:  # fmt: skip
    """What was asked, where it is called `quick`."""
    name = Path(upload).name if upload else folder
    if not name.startswith("quick"):
        return real(folder, upload, protocol, params, licence, n, said, report)
    for _ in range(1200 if name == "quick slow" else 1):
        time.sleep(0.01 if name != "quick slow" else 0.05)
        report("still")
    if name == "quick bad":
        raise InputError("<img src=x onerror=alert(1)>")
    text = name + (Path(upload).read_bytes()[:2].decode() if upload else "")
    return f"<!doctype html><p>{text}</p>", [[1, text, 1.0, 1.0, 1.0]], f"{text} {n:.0f}"


if __name__ == "__main__":
    ui.answer = answer
    with stoppable():
        ui.serve(port=int(sys.argv[1]), browser=False)
