"""A folder of results that a team measured itself: one JSON file for each cell (model, task, protocol, seed).

In: records of `fennec.bench`. Out: files, written whole or not at all, and the table that a space is built from.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

from fennec.errors import ArtifactError, DataError, FennecError, InputError, UnwritableError
from fennec.evidence.matrix import TransferMatrix
from fennec.files import as_json, read_file, write_whole
from fennec.typed import LARGE, check_between, read_json, typed

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)

FORMAT_VERSION = 1
LIMIT = 10**8  # bytes of a record
Record = dict[str, Any]


@dataclass(frozen=True)
class Budget:
    """What a record says of its protocol."""

    kind: str
    n_train: int | None = None
    threads: int | None = None

    def __post_init__(self) -> None:
        check_between(1, LARGE, n_train=self.n_train, threads=self.threads)


@dataclass(frozen=True)
class Failed:
    """A record of a cell that failed, as far as it is read; a record may say more."""

    format: int
    model: str
    task: str
    status: Literal["failed"]
    protocol_name: str
    protocol: Budget
    seed: int
    error: str
    message: str


@dataclass(frozen=True)
class Done:
    """A record of a cell that was measured, as far as it is read."""

    format: int
    model: str
    task: str
    status: Literal["done"]
    protocol_name: str
    protocol: Budget
    seed: int
    metric: str
    value: float
    seconds: float | None
    peak_mb: float | None

    def __post_init__(self) -> None:
        check_between(-LARGE, LARGE, value=self.value)


@dataclass(frozen=True)
class Cell:
    """What a record is about.

    Attributes:
        model: id.
        task: name.
        protocol: name of the protocol.
        seed: of the run.
    """

    model: str
    task: str
    protocol: str
    seed: int = 0

    @property
    def path(self) -> Path:
        """Place of the record below the folder.

        Example:
            >>> Cell("timm:resnet18.a1_in1k", "pets", "finetune-1000-3668a1").path.as_posix()
            'finetune-1000-3668a1/pets/timm%3Aresnet18.a1_in1k.0.json'
        """
        model, task = (quote(text, safe="-_.", errors="surrogatepass") for text in (self.model, self.task))
        return Path(self.protocol) / task / f"{model}.{self.seed}.json"


def write_record(folder: Path, cell: Cell, record: Record) -> None:
    """Write a record under its name; readers see the whole of it or nothing.

    Raises:
        FennecError: the disk is full or the folder cannot be written to.
    """
    path = folder / cell.path
    try:
        write_whole(path, as_json({"format": FORMAT_VERSION, **record}) + "\n")
    except UnwritableError as error:
        raise FennecError(f"{error}; cells already written are kept, make room and run it again") from error


def read_record(path: Path) -> Record | None:
    """A record, None where there is none or it is damaged (it is then measured again).

    Raises:
        InputError: it was written by a newer version.
        OSError: there is no right to read it.
    """
    try:
        return _read(path)
    except (FileNotFoundError, ArtifactError):
        return None


def _read(path: Path) -> Record:
    record = read_json(read_file(path, limit=LIMIT))
    if not isinstance(record, dict):
        raise ArtifactError("no record of a cell")
    version = record.get("format")
    if type(version) is int and version > FORMAT_VERSION:
        raise DataError(f"'{path}' has format {version}, this version reads up to {FORMAT_VERSION}; update")
    typed(Done if record.get("status") == "done" else Failed, record, where="the record", more=True)
    return record


def iter_records(folder: str | Path) -> Iterator[Record]:
    """All readable records of a folder, in the order of their names; of damaged ones the log says so.

    Raises:
        InputError: there is no such folder.
    """
    if not Path(folder).is_dir():
        raise InputError(f"no folder of results at '{folder}'; 'fennec bench' makes one")
    for path in sorted(Path(folder).rglob("*.json")):
        if path.parent in (Path(folder), Path(folder) / "scores"):  # of `run` and `metric_scores`
            continue
        try:
            yield _read(path)
        except (FileNotFoundError, ArtifactError) as error:
            _say_once(path, str(error))


@cache
def _say_once(path: Path, reason: str) -> None:
    logger.warning("left out '%s', which is damaged (%s); what measured it measures it again", path, reason)


def measured_models(folder: str | Path, *, protocol: str | None = None) -> dict[str, Record]:
    """Models with a result, and the protocol of their first one.

    Args:
        folder: of `fennec bench`.
        protocol: only results of this name or kind of protocol.

    Raises:
        InputError: there is no such folder, or no result in it.
    """
    models: dict[str, Record] = {}
    for record in iter_records(folder):
        if record["status"] == "done" and protocol in (None, record["protocol_name"], record["protocol"]["kind"]):
            models.setdefault(record["model"], record["protocol"])
    if not models:
        raise DataError(f"'{folder}' holds no results; 'fennec bench' writes them")
    return models


def one_budget(models: Mapping[str, Record], folder: str | Path) -> Record:
    """The protocol of the first of `measured_models`, which says how many images the models saw.

    Raises:
        InputError: its record does not say so.
    """
    model, budget = next(iter(models.items()))
    if budget.get("n_train") is None or budget.get("threads") is None:
        raise DataError(f"the protocol of '{model}' in '{folder}' lacks n_train or threads; measure it again")
    return budget


def results_frame(folder: str | Path) -> pd.DataFrame:
    """Every cell that was measured: model, task, protocol (its name), kind, seed, metric, value, seconds, peak_mb.

    Raises:
        InputError: there is no such folder, or no result in it.
    """
    import pandas as pd

    rows = [
        (record["model"], record["task"], record["protocol_name"], record["protocol"]["kind"], record["seed"],
         record["metric"], record["value"], record["seconds"], record["peak_mb"])
        for record in iter_records(folder)
        if record["status"] == "done"
    ]  # fmt: skip
    if not rows:
        raise DataError(f"'{folder}' holds no results; 'fennec bench' writes them")
    columns = ["model", "task", "protocol", "kind", "seed", "metric", "value", "seconds", "peak_mb"]
    return pd.DataFrame(rows, columns=columns)


def measured_matrix(folder: str | Path, *, protocol: str | None = None) -> TransferMatrix:
    """Results of one protocol as a transfer matrix, the mean over seeds.

    Args:
        folder: of `fennec bench`.
        protocol: `finetune`, `linear_probe` or the name of a protocol; the only one there is when None.

    Raises:
        InputError: nothing there, no such protocol, or several where one must be chosen.
    """
    frame = results_frame(folder)
    if protocol is not None:
        frame = frame[(frame["protocol"] == protocol) | (frame["kind"] == protocol)]
    names = sorted(frame["protocol"].unique())
    if len(names) != 1:
        known = ", ".join(names or sorted(results_frame(folder)["protocol"].unique()))
        raise InputError(f"'{folder}' holds results of {known}; choose one with --protocol")
    mean = frame.groupby(["model", "task", "metric"])["value"].mean().reset_index()
    return TransferMatrix.from_frame(mean, protocol=str(frame["kind"].iloc[0]), name=Path(folder).name)
