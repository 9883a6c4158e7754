"""A search in a process of its own that stops for ever at some moment, so that it can be killed there.

    python -m tests.trials.killed FOLDER MOMENT

The folder holds `photos`. Makes the file `there` when the moment has come.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from fennec.bench.cells import Record
from fennec.bench.run import Job
from fennec.trials import loop
from fennec.trials.loop import Hands, search

from .conftest import Lab, planted_hub

MOMENTS = {"first trial": 0, "third trial": 2, "not written": 0, "half written": 0, "written": 1}  # and records then
BUDGET = "4 models"


def main(folder: Path, moment: str) -> None:
    """Search until the moment."""

    def stop() -> None:
        (folder / "there").touch()
        time.sleep(600)

    class Stops(Lab):
        def __call__(self, job: Job, device: str) -> Record:
            if moment == ("first trial", "second trial", "third trial")[len(self.measured)]:
                stop()
            return super().__call__(job, device)

    write, replace = loop.write_record, Path.replace

    def written(*given: Any) -> None:
        if moment == "not written":
            stop()
        write(*given)
        if moment == "written":
            stop()

    def replaced(one: Path, other: Path) -> Path:
        if moment == "half written" and other.name.endswith(".0.json"):
            stop()
        return replace(one, other)

    loop.write_record = written
    Path.replace = replaced  # type: ignore[assignment,method-assign]
    hands = Hands("serial", measure=Stops())
    search(str(folder / "photos"), BUDGET, recommender=planted_hub(), out=folder / "out", worth=0.0, hands=hands)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
