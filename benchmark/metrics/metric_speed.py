"""Time and memory of the metrics against obvious implementations of the published algorithms, `references.py`.

    python benchmark/metrics/metric_speed.py [--device cuda] [--seconds 60]

Same features in both, every run in a process of its own, stopped after --seconds. Writes `metric_speed.csv`
(metric, n, d, c, device, ours_s, reference_s, ours_mb, reference_mb): wall-clock seconds of a call after a
warm-up (short ones repeated, their median), megabytes on top of the data; inf where a run was stopped or ran
out of memory, empty where an algorithm is not defined. Sizes already in the file are kept, so a run can be interrupted;
a metric is not run on sizes above one that took it twice --seconds.
"""

from __future__ import annotations

import argparse
import ctypes
import multiprocessing
import resource
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import references
import torch
from scipy.special import softmax

from fennec.metrics import find_metric

RESULTS = Path(__file__).parents[1] / "results"
SIZES = [(n, d, c) for n in (500, 5_000, 20_000) for d in (512, 2_048) for c in (10, 100, 400) if n >= c]
REPEAT_S = 0.3  # a call is repeated until it took this long
COLUMNS = ["metric", "n", "d", "c", "device", "ours_s", "reference_s", "ours_mb", "reference_mb"]
Arrays = tuple[np.ndarray, np.ndarray, np.ndarray]


def make(n: int, d: int, c: int) -> Arrays:
    """Rectified features of overlapping classes with a decaying spectrum, labels, source probabilities."""
    generator = np.random.default_rng(0)
    y = generator.permutation(np.arange(n) % c)
    x = generator.standard_normal((c, d))[y] + 2 * generator.standard_normal((n, d))
    x = np.maximum(x * (np.arange(d) + 1.0) ** -0.25, 0.0)
    return x, y, softmax(generator.standard_normal((n, 1000)), axis=1)


REFERENCES: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray], float]] = {
    "sfda": references.sfda,
    "ped(ncc)": references.ped,
    "disco": references.disco,
    "logme": references.logme,
    "h_score": references.h_score,
    "regularised_h_score": references.regularised_h_score,
    "transrate": references.transrate,
    "gbc": references.gbc,
    "parc": references.parc,
    "ncc": references.ncc,
    "knn": references.knn,
    "fda": references.fda,
    "etran": references.etran,
    "emms": references.emms,
    "ncti": references.ncti,
    "lead": references.lead,
    "linear_probe": references.linear_probe,
    "leep": references.leep,
    "nce": references.nce,
}


def ours(name: str, x: Any, y: Any, probs: Any, **options: Any) -> float:
    """A metric of the package, by name, on what it takes."""
    metric = find_metric(name)
    first = {"probs": probs, "set": [x]}.get(metric.takes, x)
    return metric.function(first, y, **options)


def _child(pipe: Any, function: Callable[..., Any], size: tuple[int, int, int], device: str) -> None:
    options = {"device": device} if device else {}
    arrays = [make(60, 40, 3), make(*size)]
    if device == "cuda":  # features of a GPU pass are there already
        arrays = [(torch.as_tensor(x).cuda(), y, torch.as_tensor(p).cuda()) for x, y, p in arrays]
    function(*arrays[0], **options)  # loads code and starts threads, which is no part of the algorithm
    used = reset_peak(device)
    pipe.send("ready")
    spent: list[float] = []
    while sum(spent) < REPEAT_S:  # short ones again, for their median
        start = time.perf_counter()
        try:
            function(*arrays[1], **options)
        except (ValueError, np.linalg.LinAlgError):  # a reference that needs more samples of a class
            pipe.send((float("nan"), float("nan")))
            return
        if device == "cuda":
            torch.cuda.synchronize()
        spent.append(time.perf_counter() - start)
    pipe.send((float(np.median(spent)), max(peak(device) - used, 0) / 2**20))


def reset_peak(device: str) -> int:
    """Forget the peak of memory so far; bytes in use now."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    return psutil.Process().memory_info().rss


def peak(device: str) -> int:
    """Most bytes in use since."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measure(
    function: Callable[..., Any], size: tuple[int, int, int], limit: float, device: str = ""
) -> tuple[float, float]:
    """Seconds and megabytes of one call in a fresh process, inf when it was stopped."""
    context = multiprocessing.get_context("spawn" if device == "cuda" else "fork")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(theirs, function, size, device))
    process.start()
    theirs.close()
    try:
        ours.recv()
        result = ours.recv() if ours.poll(limit) else (float("inf"), float("inf"))
    except EOFError:  # killed for its memory
        result = (float("inf"), float("inf"))
    process.kill()
    process.join()
    return result


def too_long(table: pd.DataFrame, name: str, size: tuple[int, int, int], arguments: argparse.Namespace) -> bool:
    """Whether a size that is nowhere larger took more than twice the time of a reference."""
    smaller = (table[["n", "d", "c"]] <= size).all(axis=1)
    own = (table["metric"] == name) & (table["device"] == arguments.device)
    return bool((table.loc[smaller & own, "ours_s"] > 2 * arguments.seconds).any())


def main() -> None:
    """Measure what is missing, small sizes first, and write after each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seconds", type=float, default=60.0)
    arguments = parser.parse_args()
    target = RESULTS / "metric_speed.csv"
    table = pd.read_csv(target) if target.exists() else pd.DataFrame(columns=COLUMNS)
    done = set(zip(table["metric"], table["n"], table["d"], table["c"], table["device"], strict=True))
    for size in sorted(SIZES, key=lambda size: size[0] * size[1] * size[2]):
        for name, reference in REFERENCES.items():
            if (name, *size, arguments.device) in done or too_long(table, name, size, arguments):
                continue
            device = "cuda" if arguments.device == "cuda" else ""
            own = measure(partial(ours, name), size, 10 * arguments.seconds, device)
            theirs = measure(reference, size, arguments.seconds)
            row = pd.DataFrame([(name, *size, arguments.device, own[0], theirs[0], own[1], theirs[1])], columns=COLUMNS)
            table = pd.concat([table, row], ignore_index=True) if len(table) else row
            table.round(6).to_csv(target, index=False)
            print(
                name,
                *size,
                f"ours {own[0]:.3f} s {own[1]:.0f} MB, reference {theirs[0]:.3f} s {theirs[1]:.0f} MB",
                flush=True,
            )


if __name__ == "__main__":
    main()
