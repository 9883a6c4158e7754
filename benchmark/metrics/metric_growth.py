"""How the time of every metric grows with samples, features and classes.

    python benchmark/metrics/metric_growth.py [--seconds 20]

Writes `metric_growth_runs.csv` (metric, n, d, c, seconds: of the processor, one thread, which hardly feels what else
runs), `metric_growth.csv` (metric, sizes, n, d, c: exponents by least squares of logarithms; within: factor by which
the fit is off at most; largest_s) and `metric_growth.png`. Runs already in the file are kept; a metric that took
longer than --seconds is not run on larger sizes.
"""

from __future__ import annotations

import argparse
import time
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from metric_speed import make, ours
from threadpoolctl import threadpool_limits

from fennec.metrics import METRICS

RESULTS = Path(__file__).parents[1] / "results"
SIZES = (*product((1_000, 4_000), (128, 512), (10, 50)),)
NAMES = [name for name, metric in METRICS.items() if metric.target == "labels"] + ["ped(sfda)"]
REPEAT_S = 0.1


def seconds(name: str, size: tuple[int, int, int]) -> float:
    """Processor seconds of a call, short ones repeated, the least of them."""
    arrays, spent = make(*size), []
    while sum(spent) < REPEAT_S:
        start = time.process_time()
        ours(name, *arrays)
        spent.append(time.process_time() - start)
    return min(spent)


def fit(runs: pd.DataFrame) -> pd.DataFrame:
    """Exponents of every metric."""
    rows = []
    for name, group in runs.groupby("metric"):
        design = np.column_stack([np.ones(len(group)), *(np.log(group[key]) for key in "ndc")])
        goal = np.log(group["seconds"])
        found = np.linalg.lstsq(design, goal, rcond=None)[0]
        off = float(np.exp(np.abs(goal - design @ found).max()))
        rows.append((name, len(group), *found[1:], off, group["seconds"].iloc[-1]))
    return pd.DataFrame(rows, columns=["metric", "sizes", "n", "d", "c", "within", "largest_s"])


def draw(fits: pd.DataFrame, target: Path) -> None:
    """Exponents as dots, one row per metric."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    ordered = fits.sort_values("largest_s")
    figure, axes = pyplot.subplots(figsize=(7, 0.28 * len(fits) + 1.2))
    for key, word, marker in (("n", "samples", "o"), ("d", "features", "s"), ("c", "classes", "^")):
        axes.plot(ordered[key], ordered["metric"], marker, label=word)
    axes.axvline(0, color="0.8", zorder=0)
    axes.axvline(1, color="0.8", zorder=0)
    axes.set_xlabel("exponent of time (1: twice as many, twice as long); slowest metric on top")
    axes.legend()
    figure.tight_layout()
    figure.savefig(target, dpi=110)


def main() -> None:
    """Measure what is missing, fit, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0)
    limit = parser.parse_args().seconds
    torch.set_num_threads(1)
    target = RESULTS / "metric_growth_runs.csv"
    runs = pd.read_csv(target) if target.exists() else pd.DataFrame(columns=["metric", "n", "d", "c", "seconds"])
    with threadpool_limits(1):
        for name in NAMES:
            ours(name, *make(60, 40, 3))  # loads code
        for size in SIZES:
            for name in NAMES:
                own = runs[runs["metric"] == name]
                if (own[["n", "d", "c"]] == size).all(axis=1).any() or (own["seconds"] > limit).any():
                    continue
                row = pd.DataFrame([(name, *size, seconds(name, size))], columns=runs.columns)
                runs = pd.concat([runs, row], ignore_index=True) if len(runs) else row
                runs.round(6).to_csv(target, index=False)
            print(size, flush=True)
    fits = fit(runs)
    fits.round(3).to_csv(RESULTS / "metric_growth.csv", index=False)
    draw(fits, RESULTS / "metric_growth.png")
    print(fits.round(2).to_string(index=False))


if __name__ == "__main__":
    main()
