"""A search on real networks and real images, within a quarter of the time that measuring all of them takes.

    python benchmark/lab24/search_lab24.py [--real 6]

Writes `search_lab24.csv` (how, left, task, n_models, method, budget, seconds, trials, passes, regret), in seconds:

- `replayed`: the cells of lab24 with the time that each took, all sixteen tasks, once with the task left out and once
  with all of lab24 left out (what `benchmark/space/search.py` fitted and kept);
- `run`: `fennec.search` itself on the first so many tasks of `TASKS`, two at a time, on the public checkpoints and the
  networks without pre-training, which need no preparation. Cells go to `benchmark/cache/search/TASK` and what came out
  beside them, so a run that was interrupted goes on. The truth is what lab24 measured before, elsewhere; the time that
  all take is that of then, times how much longer the quickest network takes here and now.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import lab24
import numpy as np
import pandas as pd
from measure_lab24 import FINETUNE, tasks

from fennec.bench.run import Job, measure_cell
from fennec.evidence.hubs import load_matrix
from fennec.evidence.scores import load_scores, without
from fennec.space.recommender import Recommender
from fennec.trials.budget import Budget, passes_of
from fennec.trials.loop import Hands, search

sys.path.insert(0, str(Path(__file__).parents[1] / "space"))
import search as simulation
import search_cases

RESULTS = Path(__file__).parents[1] / "results"
# Hands, places, lungs, drawings, blood and objects, of those that take least time.
TASKS = ("sign_digits", "scene15", "pneumonia", "pacs_cartoon", "blood_cells", "eth80")
AT_A_TIME = 2
SHARE = 0.25
COLUMNS = ["how", "left", "task", "n_models", "method", "budget", "seconds", "trials", "passes", "regret"]
Row = tuple[object, ...]


def measured() -> pd.DataFrame:
    """Result and seconds of every cell of the first seed."""
    cells = pd.read_csv(RESULTS / "lab24_cells.csv")
    return cells[(cells["seed"] == 0) & (cells["status"] == "done")].set_index(["task", "model"])[["value", "seconds"]]


def replayed() -> Iterator[Row]:
    """Searches among known cells."""
    cells, price = measured(), passes_of(FINETUNE)
    for left in ("task", "study"):
        for path in sorted(search_cases.CACHE.glob(f"{left}-*lab24-finetune.npz")):
            for case in search_cases.cases(left, path):
                task = case.task.partition("|")[0]
                seconds = cells.loc[task].reindex(case.models)["seconds"].to_numpy()
                budget = SHARE * seconds.sum()
                generator = np.random.default_rng(0)
                orders = {
                    "search": simulation.trials_of(case, case.prior, budget, cost=seconds),
                    "no history": simulation.trials_of(case, case.flat, budget, cost=seconds),
                    "ranking": simulation.affordable(simulation.in_order(case.scores["ranking"]), seconds, budget),
                    "cheapest": simulation.affordable(np.argsort(seconds).tolist(), seconds, budget),
                }
                for index in range(simulation.N_RANDOM):
                    order = generator.permutation(len(seconds)).tolist()
                    orders[f"random {index}"] = simulation.affordable(order, seconds, budget)
                for method, order in orders.items():
                    name = "random" if method.startswith("random") else method
                    yield ("replayed", left, task, len(seconds), name, budget, seconds[order].sum(), len(order),
                           price * len(order), simulation.regret(case, order))  # fmt: skip


def run(n_tasks: int) -> Iterator[Row]:
    """The search itself."""
    with ProcessPoolExecutor(AT_A_TIME) as pool:
        yield from pool.map(run_one, TASKS[:n_tasks])


def run_one(task: str) -> Row:
    """The search itself on one task; what came out is kept."""
    kept = search_cases.CACHE / f"run-{task}.json"
    if kept.exists():
        return tuple(json.loads(kept.read_text(encoding="utf-8")))
    cells, matrix = measured(), load_matrix("lab24")
    names = [*lab24.real_names(), *(name for name, recipe in lab24.OWN.items() if not recipe.source)]
    models = [f"lab24:{name}" for name in names]
    rest = without(load_scores(), image_sets=[matrix.image_sets[matrix.tasks.index(task)]])
    space = Recommender().fit(rest, protocol="finetune", study="lab24", candidates=models)
    truth = cells.loc[task].reindex(models)
    quickest = str(truth["seconds"].idxmin())
    timed = measure_cell(Job(quickest, task, tasks()[task], FINETUNE), "cpu")["seconds"]
    budget = SHARE * truth["seconds"].sum() * timed / truth["seconds"].min()
    start = time.perf_counter()
    found = search(
        tasks()[task], Budget(budget, "seconds"), protocol=FINETUNE, recommender=space, models=models,
        out=search_cases.CACHE / task, worth=0.0, hands=Hands("serial"),
        report=lambda state: print(state.latest, file=sys.stderr, flush=True),
    )  # fmt: skip
    print(f"{found}\n{task}: {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
    tried = [trial.model for trial in found.trials]
    regret = 100 * (truth["value"].max() - truth["value"].reindex(tried).max())
    row = ("run", "task", task, len(models), "search", budget, found.spent, len(tried),
           passes_of(FINETUNE) * len(tried), float(regret))  # fmt: skip
    kept.write_text(json.dumps(row), encoding="utf-8")
    return row


def main() -> None:
    """Replay, run and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--real", type=int, default=len(TASKS), help="how many tasks to run for real")
    table = pd.DataFrame([*run(parser.parse_args().real), *replayed()], columns=COLUMNS)
    key = ["how", "left", "task", "n_models", "method", "budget"]
    table.groupby(key, sort=False).mean().reset_index().round(3).to_csv(RESULTS / "search_lab24.csv", index=False)


if __name__ == "__main__":
    main()
