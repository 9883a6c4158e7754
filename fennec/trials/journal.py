"""The record of a search: the cells of one dataset in a folder of `fennec bench`, those of earlier runs included.

In: a folder, a dataset, a protocol. Out: records by model, read again before every choice, so that a search that was
killed goes on and several may share a folder. A record that a search made says so in `trial`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fennec.bench.cells import Cell, Record, iter_records, read_record
from fennec.bench.protocols import Protocol
from fennec.bench.run import Job, note_tasks, read_tasks
from fennec.errors import DataError

SEED = 0


@dataclass(frozen=True)
class Journal:
    """Cells of one dataset under one protocol.

    Attributes:
        folder: of results.
        task: name of the dataset there.
        source: the dataset, as `open_dataset` takes it.
        protocol: of the trials.
    """

    folder: Path
    task: str
    source: str
    protocol: Protocol

    @classmethod
    def open(cls, folder: str | Path, source: str, name: str, data: Mapping[str, str], protocol: Protocol) -> Journal:
        """Find the dataset in a folder, or begin.

        Args:
            folder: of results; made where it is absent.
            source: the dataset.
            name: of it.
            data: its images, as of `TaskImages.identity`.
            protocol: of the trials.

        Raises:
            DataError: the folder holds results on other datasets only, or on this one with other images.
            FennecError: it cannot be written to.
        """
        root = Path(folder)
        tasks = read_tasks(root)
        found = next((task for task, other in tasks.items() if _same(other, source)), None)
        if found is None and tasks:
            others = ", ".join(f"'{task}' ({other})" for task, other in tasks.items())
            raise DataError(f"'{folder}' holds results on {others}, not on '{source}'; give another folder with --out")
        journal = cls(root, found or name, source if found is None else tasks[found], protocol)
        for record in journal.records().values():
            before = record.get("data", {})
            part = next((part for part in before if before[part] != data.get(part)), None)
            if part is None:
                continue
            then, now = ("other pictures", "these") if part == "pictures" else (f"'{before[part]}'", f"'{data[part]}'")
            raise DataError(
                f"'{folder}' holds results on {then}, but now it is {now}: results on other images do not compare; "
                "give another folder with --out"
            )
        if root.is_dir() and not tasks and any(iter_records(root)) and not journal.records():
            raise DataError(f"'{folder}' holds results, but none on '{source}'; give another folder with --out")
        note_tasks(root, [journal.job("")])
        return journal

    def job(self, model: str, weights: str | None = None) -> Job:
        """The cell of a model, as a worker measures it."""
        return Job(model, self.task, self.source, self.protocol, SEED, weights)

    def record(self, model: str) -> Record | None:
        """Record of one model, None where there is none yet."""
        return read_record(self.folder / self.job(model).cell.path)

    def records(self) -> dict[str, Record]:
        """Records by model."""
        place = self.folder / Cell("", self.task, self.protocol.name).path.parent
        found = (read_record(path) for path in sorted(place.glob(f"*.{SEED}.json")))
        return {record["model"]: record for record in found if record is not None}


def _same(one: str, other: str) -> bool:
    """Whether two names mean one dataset; a folder is the same however its path is written."""
    if one == other:
        return True
    first, second = Path(one), Path(other)
    return first.exists() and second.exists() and first.resolve() == second.resolve()
