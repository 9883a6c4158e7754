"""Measure the lab24 hub: every network of `lab24.py` on every task, then a second seed for a sixth of the cells.

    python benchmark/lab24/measure_lab24.py [--workers 2] [--shard 1/2]

Cells go to `benchmark/cache/lab24/results` (continued when run again).
"""

from __future__ import annotations

import argparse
import hashlib
import os
from pathlib import Path

import lab24

from fennec.bench.protocols import Protocol
from fennec.bench.run import Job, find_devices, make_jobs, run_bench

FOLDER = Path(__file__).parents[1] / "cache" / "lab24" / "results"
# Smaller than the defaults of `fennec bench`, so that two cores are enough.
FINETUNE = Protocol(
    n_train=200, n_test=400, epochs=6, batch_size=16, learning_rates=(2e-3, 5e-4), weight_decays=(1e-2,)
)


def models() -> list[str]:
    """Ids of all networks."""
    return [f"lab24:{name}" for name in (*lab24.real_names(), *lab24.OWN)]


def tasks() -> dict[str, str]:
    """Datasets by name."""
    return {name: os.path.relpath(lab24.SHARED / "images" / name) for name in lab24.TASKS}


def repeated(job: Job) -> bool:
    """Whether a cell is measured with a second seed: a sixth of them, by a hash of their names."""
    return hashlib.sha256(f"{job.model} {job.task}".encode()).digest()[0] % 6 == 0


def main() -> None:
    """Measure what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--shard", default="1/1")
    arguments = parser.parse_args()
    first, second = (make_jobs(models(), tasks(), [FINETUNE], seeds=[seed], shard=arguments.shard) for seed in (0, 1))
    devices, _ = find_devices(None)
    summary = run_bench(
        FOLDER,
        [*first, *filter(repeated, second)],
        engine="process",
        workers=arguments.workers,
        devices=devices,
        report=lambda line: print(line, flush=True),
    )
    print(summary)


if __name__ == "__main__":
    main()
