"""A recommender of a planted hub, and trials that take no time: their results follow the planted ones."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fennec.bench.cells import Record
from fennec.bench.run import Job
from fennec.evidence.matrix import TransferMatrix
from fennec.space.recommender import Recommender
from fennec.trials.found import Search
from fennec.trials.loop import Hands, search
from tests.conftest import coloured, planted

TRUTH = {f"model{index:02d}": 0.5 + 0.04 * index for index in range(10)}  # the last is best


@pytest.fixture(scope="session", name="hub")
def _hub() -> Recommender:
    return planted_hub()


def planted_hub() -> Recommender:
    """Ten models, of which the later are better, with one that history has wrong."""
    matrix, _ = planted(10, 5, noise=0.3)
    levels = np.log(np.array(list(TRUTH.values())) / (1 - np.array(list(TRUTH.values()))))
    noise = 0.1 * np.random.default_rng(0).standard_normal((10, 5))
    noise[2] += 3.0
    results = 1 / (1 + np.exp(-(levels[:, None] + noise)))
    matrix = TransferMatrix(results, matrix.models, matrix.tasks, matrix.image_sets, matrix.metrics, "finetune", "hub")
    return Recommender().fit(matrix, {})


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two classes of ten pictures, in the folder where the test runs."""
    monkeypatch.chdir(tmp_path)
    return coloured(tmp_path / "photos", {"lemon": (220, 200, 60), "plum": (120, 40, 120)}, 10)


class Lab:
    """Stands for the workers: counts what is measured, and fails or is interrupted where it is told to."""

    def __init__(self, *, failing: tuple[str, ...] = (), interrupted_at: int = -1) -> None:
        self.failing, self.interrupted_at = failing, interrupted_at
        self.measured: list[str] = []
        self.lock = threading.Lock()

    def __call__(self, job: Job, device: str) -> Record:
        with self.lock:
            if len(self.measured) == self.interrupted_at:
                raise KeyboardInterrupt
            self.measured.append(job.model)
        record: dict[str, Any] = {
            "model": job.model, "task": job.task, "protocol_name": job.protocol.name, "protocol": asdict(job.protocol),
            "seed": job.seed, "seconds": 2.0, "peak_mb": 1.0, "device": device, "versions": {},
        }  # fmt: skip
        if job.model in self.failing:
            return {**record, "status": "failed", "error": "OutOfMemoryError", "message": "tried to allocate 900 GiB"}
        return {**record, "status": "done", "value": TRUTH[job.model], "metric": "top1", "n_test": 4}


Look = Callable[..., Search]


@pytest.fixture
def look(hub: Recommender, photos: Path, tmp_path: Path) -> Look:
    """A search of the planted hub: `look("3 models", lab, **others)`."""

    def call(budget: str, lab: Lab, **others: Any) -> Search:
        arguments = {"recommender": hub, "out": tmp_path / "out", "worth": 0.0, **others}
        dataset = arguments.pop("dataset", str(photos))
        return search(dataset, budget, hands=Hands("serial", measure=lab), **arguments)

    return call
