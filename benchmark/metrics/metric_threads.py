"""Why a metric decomposes on one thread: one 512 x 512 matrix, by itself and straight after a product of numpy.

    OMP_NUM_THREADS=2 python benchmark/metrics/metric_threads.py

Writes `metric_threads.csv` (threads, after_numpy, seconds: median of five turns, longest).
"""

from __future__ import annotations

import time
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from fennec.metrics.contract import one_thread

RESULTS = Path(__file__).parents[1] / "results"
TURNS, SIZE, ROWS = 5, 512, 1_000


def main() -> None:
    """Take turns and write."""
    rows = np.random.default_rng(0).standard_normal((ROWS, SIZE))
    square = torch.as_tensor(rows.T @ rows)
    torch.linalg.eigh(square)  # loads code
    spent: dict[tuple[int, bool], list[float]] = {}
    for _ in range(TURNS):
        for threads in (1, torch.get_num_threads()):
            for after_numpy in (False, True):
                time.sleep(0.2)  # threads that spun have gone to sleep
                if after_numpy:
                    np.linalg.qr(rows)
                start = time.perf_counter()
                with one_thread() if threads == 1 else nullcontext():
                    torch.linalg.eigh(square)
                spent.setdefault((threads, after_numpy), []).append(time.perf_counter() - start)
    table = [(*key, float(np.median(values)), max(values)) for key, values in spent.items()]
    found = pd.DataFrame(table, columns=["threads", "after_numpy", "seconds", "longest"])
    found.round(4).to_csv(RESULTS / "metric_threads.csv", index=False)
    print(found.to_string(index=False))


if __name__ == "__main__":
    main()
