"""The same eight cells by every engine of `fennec bench`: time, and whether the results are equal.

    python benchmark/lab24/engines.py [--workers 2]

Writes `engines.csv` (engine, workers, jobs, seconds, equal). Starting workers and importing libraries counts.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import pandas as pd
from measure_lab24 import FINETUNE, tasks

from fennec.bench.cells import iter_records
from fennec.bench.engines import ENGINES
from fennec.bench.run import make_jobs, run_bench

MODELS = ["lab24:test_vit.none", "lab24:test_vit.tiny", "lab24:test_resnet.tiny", "lab24:test_efficientnet.tiny"]
TASKS = ("flowers5", "kmnist")
OWN = ("seconds", "peak_mb", "device")  # what may differ between runs


def main() -> None:
    """Run them one after another."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=2)
    workers = parser.parse_args().workers
    jobs = make_jobs(MODELS, {name: tasks()[name] for name in TASKS}, [FINETUNE])
    rows: list[tuple] = []
    found: dict[str, list[dict]] = {}
    for engine in ENGINES:
        with tempfile.TemporaryDirectory() as folder:
            summary = run_bench(folder, jobs, engine=engine, workers=workers, report=print)
            found[engine] = [{key: record[key] for key in set(record) - set(OWN)} for record in iter_records(folder)]
        at_a_time = 1 if engine == "serial" else workers
        rows.append((engine, at_a_time, len(jobs), round(summary.seconds, 2), found[engine] == found["serial"]))
        print(rows[-1], flush=True)
    table = pd.DataFrame(rows, columns=["engine", "workers", "jobs", "seconds", "equal"])
    table.to_csv(Path(__file__).parents[1] / "results" / "engines.csv", index=False)


if __name__ == "__main__":
    main()
