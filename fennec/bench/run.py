"""Measure models on tasks, one cell at a time, so that a team's own history becomes its own space.

Every cell (model, task, protocol, seed) is measured once and kept in a folder (`fennec.bench.cells`); a run that was
interrupted in any way goes on where it was, and several runs may share a folder. In: names of models and tasks. Out:
records.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import os
import platform
import re
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from fennec.errors import FennecError, InputError, ModelFailedError, UnwritableError, said, shown
from fennec.files import change_json, damaged, read_as
from fennec.memory import forget_peak, peak_megabytes

from .cells import Cell, Record, read_record, write_record
from .engines import WorkerDiedError, run_jobs

if TYPE_CHECKING:
    from filelock import BaseFileLock

    from .protocols import Protocol

LIBRARIES = ("fennec-recommender", "numpy", "open-clip-torch", "timm", "torch", "torchvision")


@dataclass(frozen=True)
class Job:
    """One cell to measure: what a worker needs to know.

    Attributes:
        model: id.
        task: name of the task.
        source: dataset of the task, as `open_dataset` takes it.
        protocol: budget.
        seed: of the run.
        weights: local weights of the model, None for the library's own.
    """

    model: str
    task: str
    source: str
    protocol: Protocol
    seed: int = 0
    weights: str | None = None

    @property
    def cell(self) -> Cell:
        """Where its record belongs."""
        return Cell(self.model, self.task, self.protocol.name, self.seed)


@dataclass
class BenchSummary:
    """What a run did.

    Attributes:
        measured: cells measured now.
        kept: cells that were there already.
        failed: failures by class, of now and before.
        elsewhere: cells that another run holds.
        seconds: wall-clock time.
    """

    measured: int = 0
    kept: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    elsewhere: int = 0
    seconds: float = 0.0


def measure_cell(job: Job, device: str) -> Record:
    """Measure one cell; whatever goes wrong is part of the record."""
    from fennec.checkpoints.encoders import Encoder
    from fennec.images.task_images import open_task

    from .protocols import measure

    start = time.perf_counter()
    forget_peak(device)
    record: Record = {}
    try:
        images = open_task(job.source, n_train=job.protocol.n_train, n_test=job.protocol.n_test, seed=job.seed)
        encoder = Encoder.load(job.model, weights=job.weights, device=device)
        record = {
            "status": "done",
            "weights": encoder.fingerprint,
            "data": images.identity(),
            **measure(encoder, images, job.protocol, seed=job.seed),
        }
    except (Exception, SystemExit) as error:  # of a library or a network of the user's own
        record = failure(error)
    peak = peak_megabytes(device)
    return {**_identity(job), **record, "seconds": time.perf_counter() - start, "peak_mb": peak, "device": device,
            "versions": _versions()}  # fmt: skip


def as_record(job: Job, found: Record | WorkerDiedError, device: str) -> Record:
    """What an engine gives back for a cell; a worker that died is a failure."""
    if not isinstance(found, WorkerDiedError):
        return found
    return {**_identity(job), **failure(found), "seconds": None, "peak_mb": None, "device": device,
            "versions": _versions()}  # fmt: skip


def failure(error: BaseException) -> Record:
    """How a failure stands in a record: its class, of foreign code the one it had there, and one line."""
    first = error.__cause__ if isinstance(error, ModelFailedError) and error.__cause__ else error
    return {"status": "failed", "error": type(first).__name__, "message": _short(said(error))}


def make_jobs(
    models: Sequence[str],
    tasks: Mapping[str, str],
    protocols: Sequence[Protocol],
    *,
    seeds: Sequence[int] = (0,),
    weights: Mapping[str, str] | None = None,
    shard: str = "1/1",
) -> list[Job]:
    """All cells, task by task, or the share of them that falls to one machine.

    Args:
        models: ids.
        tasks: name -> dataset.
        protocols: budgets.
        seeds: of the runs.
        weights: local files by model.
        shard: `i/n`, the i-th of n machines; cells are dealt out by a hash of their names.

    Raises:
        InputError: no models, tasks, protocols or seeds, weights of a model that is not among them, or a bad shard.
    """
    if not (models and tasks and protocols and seeds):
        raise InputError("nothing to measure; give at least one model, one task, one protocol and one seed")
    for name in weights or {}:
        if name not in models:
            raise InputError(f"weights are given for '{name}', which is not among the models")
    index, _, count = shard.partition("/")
    if not (re.fullmatch("[0-9]{1,9}/[0-9]{1,9}", shard) and 1 <= int(index) <= int(count)):
        raise InputError(f"shard is '{shown(shard)}'; expected i/n, such as 2/4")
    jobs = [
        Job(model, task, source, protocol, seed, (weights or {}).get(model))
        for seed in seeds
        for protocol in protocols
        for task, source in tasks.items()
        for model in dict.fromkeys(models)
    ]
    return [job for job in jobs if _hash(job) % int(count) == int(index) - 1]


def _hash(job: Job) -> int:
    return int(hashlib.sha256(job.cell.path.as_posix().encode()).hexdigest()[:12], 16)


def run_bench(
    folder: str | Path,
    jobs: Sequence[Job],
    *,
    engine: str = "serial",
    workers: int = 1,
    devices: Sequence[str] = ("cpu",),
    retry: bool = False,
    report: Callable[[str], None] = lambda message: None,
    said: Collection[str] = (),
) -> BenchSummary:
    """Measure what is not there yet and write each record as soon as it is known.

    Args:
        folder: of results; made where it is absent.
        jobs: cells.
        engine: `serial`, `process` or `ray`; they give the same results.
        workers: cells at a time.
        devices: where to compute, one for each worker, in turn.
        retry: measure cells again that failed.
        report: told about every cell, with an estimate of the time left.
        said: reasons of failures that the user has been told already.

    Raises:
        FennecError: the folder cannot be written to, for example because the disk is full.
    """
    root = Path(folder)
    note_tasks(root, jobs)
    summary = BenchSummary()
    start = time.perf_counter()
    told = {_short(reason) for reason in said}
    locks: dict[Cell, BaseFileLock] = {}

    def claim() -> Iterator[Job]:
        for job in jobs:
            lock = claim_cell(root, job.cell)
            if lock is None:
                summary.elsewhere += 1
            elif (found := read_record(root / job.cell.path)) is not None and not (
                retry and found["status"] == "failed"
            ):
                lock.release()
                summary.kept += 1
                if found["status"] == "failed":
                    summary.failed.update([found["error"]])
                    report(f"{_called(job)}: failed before: {_outcome(found, told)}")
            else:
                locks[job.cell] = lock
                yield job

    for job, found in run_jobs(measure_cell, claim(), engine=engine, workers=workers, devices=devices):
        record = as_record(job, found, devices[0])
        write_record(root, job.cell, record)
        locks.pop(job.cell).release()
        summary.measured += 1
        summary.failed.update([record["error"]] if record["status"] == "failed" else [])
        summary.seconds = time.perf_counter() - start
        outcome = _outcome(record, told)
        passed = summary.measured + summary.kept + summary.elsewhere
        remaining = (len(jobs) - passed) * summary.seconds / summary.measured
        report(f"{passed}/{len(jobs)} {_called(job)}: {outcome}; at most {_duration(remaining)} left")
    summary.seconds = time.perf_counter() - start
    return summary


def _called(job: Job) -> str:
    return f"{job.model} on {job.task} ({job.protocol.kind}, seed {job.seed})"


def _short(text: str) -> str:
    """A reason as a record has it, on one line."""
    return " ".join(text.split())[:500]


def _outcome(record: Record, told: set[str]) -> str:
    """What became of a cell, in words; a reason is told once."""
    if record["status"] == "failed":
        if record["message"] in told:
            return f"{record['error']}, as said above"
        told.add(record["message"])
        return f"{record['error']}: {record['message']}"
    left_out = record.get("n_left_out", 0)
    return f"{record['value']:.3f}" + (f" ({left_out} images could not be read and were left out)" if left_out else "")


def find_devices(device: str | None, *, threads: int = 1) -> tuple[list[str], int]:
    """Where cells can be measured, and how many at a time.

    Args:
        device: asked for; all GPUs where there are any, else the CPU, when None.
        threads: of a cell on the CPU.

    Raises:
        InputError: no such device.
    """
    import torch

    from fennec.metrics.contract import find_device
    from fennec.settings import default_device

    found = find_device(device or default_device())
    if found.type == "cuda" and found.index is None:
        count = torch.cuda.device_count()
        return [f"cuda:{index}" for index in range(count)], count
    return [str(found)], max((os.cpu_count() or 1) // threads, 1) if found.type == "cpu" else 1


def _identity(job: Job) -> Record:
    return {
        "model": job.model,
        "task": job.task,
        "protocol_name": job.protocol.name,
        "protocol": asdict(job.protocol),
        "seed": job.seed,
    }


def claim_cell(root: Path, cell: Cell) -> BaseFileLock | None:
    """The right to measure a cell, None while another run has it; the system takes it back from a killed run."""
    from filelock import FileLock, Timeout

    path = root / ".locks" / f"{hashlib.sha256(cell.path.as_posix().encode()).hexdigest()[:24]}.lock"
    lock = FileLock(str(path), timeout=0)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        return None
    except OSError as error:
        raise FennecError(f"cannot write to '{root}' ({error.strerror}); make room and run it again") from error
    return lock


def note_tasks(root: Path, jobs: Sequence[Job]) -> None:
    """Remember which dataset each task is, so that `fennec fit --results` can embed it."""

    def known() -> dict[str, str]:
        tasks = read_tasks(root)
        for job in jobs:
            if tasks.setdefault(job.task, job.source) != job.source:
                raise InputError(
                    f"task '{job.task}' of '{root}' is '{tasks[job.task]}', not '{job.source}'; use another name"
                )
        return tasks

    if known() == read_tasks(root):
        return
    try:
        change_json(root / "tasks.json", known)
    except UnwritableError as error:
        raise FennecError(f"{error}; make room and run it again") from error


def read_tasks(folder: str | Path) -> dict[str, str]:
    """Dataset of every task of a folder of results, empty where the folder is new.

    Raises:
        ArtifactError: the list is damaged.
    """
    path = Path(folder) / "tasks.json"
    if not os.path.lexists(path):
        return {}
    with damaged(f"'{path}'", "delete it: cells are kept, and 'bench' or 'search' write it again, run with each task"):
        return read_as(dict[str, str], path, limit=10**8)


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for library in LIBRARIES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[library] = importlib.metadata.version(library)
    return found


def _duration(seconds: float) -> str:
    """A time for people.

    Example:
        >>> _duration(42), _duration(3900)
        ('42 s', '1 h 05 min')
    """
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min"
