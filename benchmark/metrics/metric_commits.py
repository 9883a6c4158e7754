"""LEAD and the linear probe of another commit beside those of this one, in turns.

    git worktree add ../before b32466d
    python benchmark/metrics/metric_commits.py --before ../before [--seconds 300]

Without --before, the sizes at which the former takes minutes, now only.

Every run in a process of its own, before and after in turns. Writes `metric_commits.csv` (metric, n, d, c, pair,
before_s, after_s, times_faster, before_cpu_s, after_cpu_s, before_mb, after_mb, before, after, exact): wall-clock and
processor seconds of a call, megabytes on top of the data, the score of either, and for LEAD on small sizes the score
with scikit-learn's LinearSVC at a tolerance of 1e-7. inf where a run was stopped after --seconds. Rows in the file are
kept.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmark" / "results"
RUNS = (("lead", (1_000, 512, 10), 3), ("linear_probe", (1_000, 512, 10), 3), ("lead", (500, 2_048, 100), 3),
        ("linear_probe", (500, 2_048, 100), 3), ("lead", (5_000, 512, 10), 2), ("linear_probe", (5_000, 512, 10), 2),
        ("lead", (2_000, 2_048, 100), 1), ("linear_probe", (2_000, 2_048, 100), 1))  # fmt: skip
AFTER_ONLY = (("lead", (2_000, 2_048, 100)), ("linear_probe", (2_000, 2_048, 100)), ("lead", (20_000, 2_048, 100)))
EXACT_UP_TO = 1_000  # samples


def run(name: str, size: tuple[int, int, int], exact: bool = False) -> dict[str, float]:
    """What a child process measures, with the package that it finds first."""
    from metric_speed import make, ours, peak, reset_peak

    if exact:
        sys.modules["fennec.metrics.lead"].fit_linear = _liblinear  # type: ignore[attr-defined]
    ours(name, *make(60, 40, 3))
    arrays = make(*size)
    used, start, spent = reset_peak(""), time.perf_counter(), time.process_time()
    score = ours(name, *arrays)
    return {"s": time.perf_counter() - start, "cpu_s": time.process_time() - spent,
            "mb": max(peak("") - used, 0) / 2**20, "score": score}  # fmt: skip


def _liblinear(x: torch.Tensor, y: torch.Tensor, n_classes: int, **_: Any) -> torch.Tensor:
    from sklearn.svm import LinearSVC

    machine = LinearSVC(dual=True, tol=1e-7, max_iter=100_000).fit(x.numpy(), y.numpy())
    return torch.as_tensor(np.vstack([machine.coef_.T, machine.intercept_]))


def child(checkout: Path, name: str, size: tuple[int, int, int], limit: float, exact: bool = False) -> dict[str, float]:
    """One run with the package of a checkout."""
    order = json.dumps([name, size, exact])
    path = os.pathsep.join([str(checkout), str(Path(__file__).parent)])
    try:
        done = subprocess.run([sys.executable, "-W", "ignore", __file__, "--child", order], check=True, text=True,
                              capture_output=True, timeout=limit, env=os.environ | {"PYTHONPATH": path})  # fmt: skip
    except subprocess.TimeoutExpired:
        return {"s": math.inf, "cpu_s": math.inf, "mb": math.nan, "score": math.nan}
    return dict(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    """Measure what is missing and write after each pair."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--child")
    parser.add_argument("--runs", type=int, default=len(RUNS), help="how many of the sizes, smallest first")
    arguments = parser.parse_args()
    if arguments.child:
        name, size, exact = json.loads(arguments.child)
        print(json.dumps(run(name, tuple(size), exact)))
        return
    target = RESULTS / "metric_commits.csv"
    rows = pd.read_csv(target).to_dict("records") if target.exists() else []
    done = {(row["metric"], row["n"], row["d"], row["c"], row["pair"]) for row in rows}
    wanted = [(name, size, -1, False) for name, size in AFTER_ONLY[: arguments.runs]]
    if arguments.before:
        wanted = [(name, size, pair, True) for name, size, pairs in RUNS[: arguments.runs] for pair in range(pairs)]
    for name, size, pair, both in wanted:
        if (name, *size, pair) in done:
            continue
        stopped = {"s": math.nan, "cpu_s": math.nan, "mb": math.nan, "score": math.nan}
        old = child(arguments.before, name, size, arguments.seconds) if both else stopped
        new = child(ROOT, name, size, arguments.seconds)
        exact = math.nan
        if name == "lead" and size[0] <= EXACT_UP_TO and pair == 0:
            exact = child(ROOT, name, size, arguments.seconds, exact=True)["score"]
        faster = min(old["s"], arguments.seconds) / new["s"]
        rows.append({
            "metric": name, "n": size[0], "d": size[1], "c": size[2], "pair": pair, "before_s": old["s"],
            "after_s": new["s"], "times_faster": faster, "before_cpu_s": old["cpu_s"], "after_cpu_s": new["cpu_s"],
            "before_mb": old["mb"], "after_mb": new["mb"], "before": old["score"], "after": new["score"],
            "exact": exact,
        })  # fmt: skip
        pd.DataFrame(rows).round(6).to_csv(target, index=False)
        print(rows[-1], flush=True)


if __name__ == "__main__":
    main()
