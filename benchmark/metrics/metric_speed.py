"""Time and memory of the metrics against the algorithms that people run, `references.py` and `machines.py`.

    python benchmark/metrics/metric_speed.py [--device cuda] [--seconds 15] [--sizes 2]

Ours and theirs take turns in one process, on the same features, so that the ratio of a pair survives a busy machine.
Writes `metric_speed.csv` (metric, against, n, d, c, device, threads, pairs, times_faster, ours_s, reference_s,
ours_mb, reference_mb): the median ratio of the pairs and median wall-clock seconds of a call after a warm-up, the least
megabytes on top of the data; inf where a reference took longer than --seconds or more than 3 GB, when its ratio is a
lower bound by that time; it is not tried again on sizes that are nowhere smaller. Rows already in the file are kept:
a run can be interrupted. Threads are those of OMP_NUM_THREADS: on a busy machine one gives both sides the same.
"""

from __future__ import annotations

import argparse
import ctypes
import math
import multiprocessing
import os
import resource
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import machines
import numpy as np
import pandas as pd
import psutil
import references
import torch
from scipy.special import softmax

from fennec.metrics import find_metric

RESULTS = Path(__file__).parents[1] / "results"
SIZES = ((500, 512, 10), (5_000, 512, 10), (500, 2_048, 100), (5_000, 2_048, 100), (20_000, 512, 100))
REPEAT_S = 0.05  # a call is repeated until it took this long
MAX_PAIRS, MEMORY = 5, 3 * 2**30
FIRST_S = 120  # for the data and the warm-up
COLUMNS = ["metric", "against", "n", "d", "c", "device", "threads", "pairs", "times_faster", "ours_s", "reference_s",
           "ours_mb", "reference_mb"]  # fmt: skip
Size = tuple[int, int, int]
Call = Callable[..., Any]
REFERENCES: dict[str, Call] = {
    "sfda": references.sfda,
    "ped(sfda)": references.ped,
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
    "ncti": machines.ncti,
    "lead": machines.lead,
    "linear_probe": machines.linear_probe,
    "leep": references.leep,
    "nce": references.nce,
}


def make(n: int, d: int, c: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rectified features of overlapping classes with a decaying spectrum, labels, source probabilities."""
    generator = np.random.default_rng(0)
    y = generator.permutation(np.arange(n) % c)
    x = generator.standard_normal((c, d))[y] + 2 * generator.standard_normal((n, d))
    x = np.maximum(x * (np.arange(d) + 1.0) ** -0.25, 0.0)
    return x, y, softmax(generator.standard_normal((n, 1000)), axis=1)


def ours(name: str, x: Any, y: Any, probs: Any, **options: Any) -> float:
    """A metric of the package, by name, on what it takes."""
    metric = find_metric(name)
    first = {"probs": probs, "set": [x]}.get(metric.takes, x)
    return metric.function(first, y, **options)


def call(function: Call, arrays: Any, device: str = "", **options: Any) -> tuple[float, float]:
    """Seconds of one call and the megabytes that it took."""
    used, spent = reset_peak(device), []
    while sum(spent) < REPEAT_S:  # short ones again, for their median
        start = time.perf_counter()
        function(*arrays, **options)
        if device == "cuda":
            torch.cuda.synchronize()
        spent.append(time.perf_counter() - start)
    return float(np.median(spent)), max(peak(device) - used, 0) / 2**20


def _child(pipe: Any, functions: list[Call], size: Size, device: str) -> None:
    used = psutil.Process().memory_info().vms
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    options = {"device": device} if device else {}
    arrays = [make(60, 40, 3), make(*size)]
    on_device = arrays
    if device:  # features of a GPU pass are there already
        on_device = [(torch.as_tensor(x).to(device), y, torch.as_tensor(p).to(device)) for x, y, p in arrays]
    functions[0](*on_device[0], **options)  # loads code and starts threads, which is no part of the algorithm
    for function in functions[1:]:
        function(*arrays[0])
    pipe.send("ready")
    while True:
        pipe.send(call(functions[0], on_device[1], device, **options))
        for function in functions[1:]:
            try:
                pipe.send(call(function, arrays[1]))
            except (MemoryError, ValueError, np.linalg.LinAlgError):  # no room, or it needs more samples of a class
                pipe.send((math.inf, math.inf))


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


def turns(functions: list[Call], size: Size, limit: float, device: str) -> Iterator[list[tuple[float, float]]]:
    """Seconds and megabytes of every function, one turn after another; inf where one was stopped."""
    context = multiprocessing.get_context("spawn" if device else "fork")
    mine, its = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(its, functions, size, device))
    process.start()
    its.close()
    try:
        if mine.poll(FIRST_S):
            mine.recv()
        while True:
            turn = []
            for place in range(len(functions)):
                done = mine.poll(limit if place else 20 * limit)
                turn.append(mine.recv() if done else (math.inf, math.inf))
            yield turn
            if math.isinf(turn[-1][0]):
                return
    except EOFError:  # killed for its memory
        yield [(math.inf, math.inf)] * len(functions)
    finally:
        process.kill()
        process.join()


def measure(name: str, size: Size, device: str, limit: float, stopped: bool) -> dict[str, Any]:
    """One row."""
    reference = REFERENCES[name]
    functions: list[Call] = [partial(ours, name)] if stopped else [partial(ours, name), reference]
    found, start = [], time.perf_counter()
    for turn in turns(functions, size, limit, device):
        found.append(turn if len(turn) == 2 else [turn[0], (math.inf, math.inf)])
        if len(found) == MAX_PAIRS or time.perf_counter() - start > limit:
            break
    values = np.array(found)  # (pairs, 2, 2)
    ratios = np.where(np.isinf(values[:, 1, 0]), limit, values[:, 1, 0]) / values[:, 0, 0]
    ours_s, reference_s = np.median(values[:, :, 0], axis=0)
    ours_mb, reference_mb = values[:, :, 1].min(axis=0)
    against = (reference.__doc__ or "").split("\n")[0].rstrip(".")
    row = (name, against, *size, device or "cpu", torch.get_num_threads(), len(found), np.median(ratios), ours_s)
    return dict(zip(COLUMNS, (*row, reference_s, ours_mb, reference_mb), strict=True))


def main() -> None:
    """Measure what is missing, small sizes first, and write after each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--sizes", type=int, default=len(SIZES), help="how many, smallest first")
    arguments = parser.parse_args()
    device = "" if arguments.device == "cpu" else arguments.device
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", torch.get_num_threads())))
    target = RESULTS / "metric_speed.csv"
    table = pd.read_csv(target) if target.exists() else pd.DataFrame(columns=COLUMNS)
    for size in SIZES[: arguments.sizes]:
        for name in REFERENCES:
            own = table[(table["metric"] == name) & (table["device"] == arguments.device)]
            if ((own[["n", "d", "c"]] == size).all(axis=1)).any():
                continue
            smaller = own[(own[["n", "d", "c"]] <= size).all(axis=1)]
            stopped = bool(np.isinf(smaller["reference_s"].astype(float)).any())
            row = pd.DataFrame([measure(name, size, device, arguments.seconds, stopped)])
            table = pd.concat([table, row], ignore_index=True) if len(table) else row
            table.round(6).to_csv(target, index=False)
            print(row.drop(columns=["against", "device"]).round(3).to_string(index=False, header=False), flush=True)


if __name__ == "__main__":
    main()
