"""Every metric for every model on every task of a folder of results: what the comparison with Fennec needs.

One JSON file for each task, `scores/TASK.json` in the folder, so that a run can be interrupted. Features are always
computed anew, since their time is part of the answer. In: results of `fennec bench`. Out: a tidy table.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from fennec.errors import ArtifactError, FennecError
from fennec.files import as_json, read_as, write_whole
from fennec.memory import forget_peak, peak_megabytes
from fennec.metrics import METRICS

from .cells import measured_models, one_budget
from .engines import WorkerDiedError, run_jobs

if TYPE_CHECKING:
    import pandas as pd

    from fennec.forward.features import FeatureSet

NAMES = (*(name for name, metric in METRICS.items() if metric.target == "labels"), "ped(sfda)", "ped(logme)")
COLUMNS = ["task", "model", "metric", "score", "reason", "seconds", "peak_mb"]
FORWARD = "forward pass"  # stands in the column metric, with the time of the features


@dataclass(frozen=True)
class ScoreJob:
    """All models on one task.

    Attributes:
        task: name.
        source: dataset.
        models: ids.
        weights: local files by model, as pairs.
        n_train: training images, the same that the models were trained on.
        threads: on a CPU.
    """

    task: str
    source: str
    models: tuple[str, ...]
    weights: tuple[tuple[str, str], ...]
    n_train: int
    threads: int


@dataclass(frozen=True)
class ScoreRow:
    """One row of the file of a task, as `COLUMNS` says."""

    task: str
    model: str
    metric: str
    score: float | None
    reason: str
    seconds: float
    peak_mb: float | None


def score_task(job: ScoreJob, device: str) -> list[dict[str, Any]]:
    """Rows of one task; a model that cannot be loaded or run has one row with the reason."""
    import torch

    from fennec.checkpoints.encoders import Encoder
    from fennec.forward.features import extract_features
    from fennec.forward.foreign import foreign, let_go
    from fennec.forward.scoring import on_common_images
    from fennec.images.task_images import open_task

    torch.set_num_threads(job.threads)
    images = open_task(job.source, n_train=job.n_train).train
    rows: list[dict[str, Any]] = []
    sets: list[FeatureSet] = []
    for model in job.models:
        forget_peak(device)
        try:
            with foreign("loading it"):
                encoder = Encoder.load(model, weights=dict(job.weights).get(model), device=device)
            found = extract_features(encoder, images, max_images=len(images), cached=False)
        except FennecError as error:
            let_go(error)
            rows.append(_row(job.task, model, FORWARD, float("nan"), str(error), 0.0))
            continue
        sets.append(found)
        rows.append(
            {**_row(job.task, model, FORWARD, float("nan"), "", found.seconds), "peak_mb": peak_megabytes(device)}
        )
    sets = on_common_images(sets)
    for name in NAMES:
        rows += _score(name, job.task, sets, device)
    return rows


def _score(name: str, task: str, sets: Sequence[FeatureSet], device: str) -> list[dict[str, Any]]:
    from fennec.forward.scoring import score_one, score_together
    from fennec.metrics import find_metric

    metric = find_metric(name)
    forget_peak(device)
    start = time.perf_counter()
    if metric.takes == "set":
        scores = score_together(metric, sets, device) if sets else []
        seconds = (time.perf_counter() - start) / max(len(sets), 1)
        rows = [
            _row(task, each.model, name, float(score), score.reason, seconds)
            for each, score in zip(sets, scores, strict=True)
        ]
    else:
        rows = []
        for each in sets:
            start = time.perf_counter()
            score = score_one(metric, each, device)
            rows.append(_row(task, each.model, name, float(score), score.reason, time.perf_counter() - start))
    peak = peak_megabytes(device)
    return [{**row, "peak_mb": peak} for row in rows]


def _row(task: str, model: str, metric: str, score: float, reason: str, seconds: float) -> dict[str, Any]:
    return {
        "task": task,
        "model": model,
        "metric": metric,
        "score": None if score != score else score,
        "reason": reason,
        "seconds": seconds,
        "peak_mb": None,
    }


def score_results(
    folder: str | Path,
    tasks: Mapping[str, str],
    *,
    weights: Mapping[str, str] | None = None,
    protocol: str | None = None,
    workers: int = 1,
    devices: Sequence[str] = ("cpu",),
    report: Callable[[str], None] = lambda message: None,
) -> pd.DataFrame:
    """Score the models of a folder of results on its tasks, those that are not scored yet.

    Args:
        folder: of `fennec bench`.
        tasks: name -> dataset.
        weights: local files by model.
        protocol: only models with results of this name or kind of protocol.
        workers: tasks at a time.
        devices: where to compute, one for each worker, in turn.
        report: told about every task.

    Returns:
        Columns task, model, metric, score (None where undefined), reason, seconds, peak_mb; the metric
        `forward pass` has the time and memory of the features.

    Raises:
        InputError: the folder holds no results.
        FennecError: a worker died twice, for example for its memory.
    """
    import pandas as pd

    root = Path(folder)
    models = measured_models(root, protocol=protocol)
    budget = one_budget(models, root)
    pairs = tuple(sorted((weights or {}).items()))
    rows: list[dict[str, Any]] = []
    jobs = []
    for task, source in tasks.items():
        kept = _read(root, task)
        if {row["model"] for row in kept} == set(models) and set(NAMES) <= {row["metric"] for row in kept}:
            rows += kept
        else:
            names = tuple(sorted(models))
            jobs.append(ScoreJob(task, source, names, pairs, budget["n_train"], budget["threads"]))
    engine = "process" if workers > 1 else "serial"
    for job, found in run_jobs(score_task, jobs, engine=engine, workers=workers, devices=devices):
        if isinstance(found, WorkerDiedError):
            raise FennecError(f"metrics on '{job.task}': {found}; use fewer workers")
        write_whole(_path(root, job.task), as_json(found, indent=None) + "\n")
        rows += found
        report(f"scored {len(job.models)} models on {job.task}")
    return pd.DataFrame(rows, columns=COLUMNS)


def _path(root: Path, task: str) -> Path:
    return root / "scores" / f"{quote(task, safe='-_.', errors='surrogatepass')}.json"


def _read(root: Path, task: str) -> list[dict[str, Any]]:
    """Rows of one task, none where there are none or they are damaged: it is scored again."""
    try:
        rows = read_as(tuple[ScoreRow, ...], _path(root, task), limit=10**9)
    except (FileNotFoundError, ArtifactError):
        return []
    return [vars(row) for row in rows]
