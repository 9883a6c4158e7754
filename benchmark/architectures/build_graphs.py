"""Operator graphs of every architecture of timm, torchvision and open_clip.

    python benchmark/architectures/build_graphs.py [--library timm] [--jobs 2] [--seconds 120]

Every architecture is built and traced in a process of its own, stopped after --seconds. Writes
`data/architectures.npz` and `graphs.csv` (architecture, nodes, edges, params, gmacs, unknown, seconds, error) after
every few; what is there is kept, failures are tried again, so that a run can be interrupted.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from fennec.architectures.build import build_architecture, list_architectures
from fennec.architectures.graph import ArchitectureGraph, graph_of, load_graphs, save_graphs
from fennec.errors import FennecError
from fennec.progress import progress_bar

ROOT = Path(__file__).parents[2]
GRAPHS = ROOT / "data" / "architectures.npz"
REPORT = ROOT / "benchmark" / "results" / "graphs.csv"
LIBRARIES = ("timm", "torchvision", "open_clip")
EVERY = 50


def _child(pipe: Any, name: str) -> None:
    torch.set_num_threads(1)
    try:
        module, size = build_architecture(name)
        pipe.send(graph_of(module, input_size=size, name=name))
    except FennecError as error:
        pipe.send(str(error))


def build(name: str, limit: float) -> tuple[ArchitectureGraph | str, float]:
    """Graph of an architecture, or why there is none, and the seconds it took."""
    start = time.perf_counter()
    ours, theirs = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("fork").Process(target=_child, args=(theirs, name))
    process.start()
    theirs.close()
    try:
        found = ours.recv() if ours.poll(limit) else f"stopped after {limit:.0f} s"
    except EOFError:
        found = "the process died"
    process.kill()
    process.join()
    return found, time.perf_counter() - start


def main() -> None:
    """Build what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--library", choices=LIBRARIES)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=120.0)
    arguments = parser.parse_args()
    graphs = load_graphs(GRAPHS) if GRAPHS.exists() else {}
    rows = pd.read_csv(REPORT).set_index("architecture").to_dict("index") if REPORT.exists() else {}
    libraries = [arguments.library] if arguments.library else LIBRARIES
    wanted = [name for library in libraries for name in list_architectures(library) if name not in graphs]

    def save() -> None:
        save_graphs([graphs[name] for name in sorted(graphs)], GRAPHS)
        frame = pd.DataFrame.from_dict(rows, orient="index").sort_index()
        frame.to_csv(REPORT, index_label="architecture")

    with ThreadPoolExecutor(arguments.jobs) as pool, progress_bar("tracing", len(wanted), shown=True) as step:
        jobs = {pool.submit(build, name, arguments.seconds): name for name in wanted}
        for done, job in enumerate(as_completed(jobs), start=1):
            found, seconds = job.result()
            row: dict[str, Any] = {"seconds": round(seconds, 2)}
            if isinstance(found, ArchitectureGraph):
                graphs[jobs[job]] = found
                row |= {"nodes": found.n_nodes, "edges": found.edges.shape[1], "params": found.params,
                        "gmacs": round(found.gmacs, 4), "unknown": " ".join(found.unknown), "error": ""}  # fmt: skip
            else:
                row |= {"nodes": 0, "edges": 0, "params": 0, "gmacs": 0.0, "unknown": "", "error": found}
            rows[jobs[job]] = row
            step(1)
            if done % EVERY == 0 or done == len(jobs):
                save()


if __name__ == "__main__":
    main()
