"""Would a search gain by looking at features first? What a metric says beyond history, and its worth in trials.

    python benchmark/lab24/search_evidence.py

One pass of every candidate over the training images gives all metrics. What a metric adds to what history expects is
learned on the other tasks: a linear regression of Gaussian scores on the expected score and the metric's. The search
then starts from that expectation instead. Left out as in `benchmark/space/search_cases.py`, once the task alone and
once all of lab24. Writes `search_evidence.csv` (left, metric, history, weight, explained, regret@1, ..., cost@1, ...):
weights of both in the regression, share of the variance of scores that it explains, and the mean regret in points after
so many trials, and within the time of so many mean trials, that of passes and metrics included. Metric `none` is the
search without a pass, `chosen` the metric that explains most on the other tasks.
"""

from __future__ import annotations

import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from fennec.bench.measured import load_measured_hub
from fennec.evidence.scores import gaussian_scores

sys.path.insert(0, str(Path(__file__).parents[1] / "space"))
import search as simulation
import search_cases
from search_lab24 import measured

RESULTS = Path(__file__).parents[1] / "results"
TRIALS = (1, 2, 3, 5, 10)
PASS = "forward pass"
KNOWN = 0.8  # share of networks for which a metric has to be defined


def main() -> None:
    """Learn, simulate and write."""
    warnings.simplefilter("ignore")
    table = load_measured_hub("lab24").scores
    cells = measured()["seconds"]
    names = [name for name in table["metric"].unique() if name != PASS]
    rows = []
    for left in ("task", "study"):
        found = [case for path in sorted(search_cases.CACHE.glob(f"{left}-*lab24-finetune.npz"))
                 for case in search_cases.cases(left, path)]  # fmt: skip
        truth = [gaussian_scores(case.truth) for case in found]
        seconds = [cells.loc[_task(case)].reindex(case.models).to_numpy() for case in found]
        by_metric: dict[str, np.ndarray] = {}
        for metric in ["none", *names]:
            columns = [_columns(case, table[table["metric"].eq(metric)]) for case in found]
            if metric != "none" and np.mean([column[:, 1].any() for column in columns]) < KNOWN:
                continue
            figures = []
            for index, case in enumerate(found):
                x = np.concatenate([part for other, part in enumerate(columns) if other != index])
                y = np.concatenate([part for other, part in enumerate(truth) if other != index])
                weight = np.linalg.lstsq(x, y, rcond=None)[0]
                prior = case.prior if metric == "none" else replace(case.prior, mean=columns[index] @ weight)
                order = simulation.trials_of(case, prior, max(TRIALS))
                spent = 0.0 if metric == "none" else _price(table, case, metric)
                within = [budget * seconds[index].mean() - spent for budget in TRIALS]
                timed = [simulation.trials_of(case, prior, left_over, cost=seconds[index]) for left_over in within]
                explained = 1 - np.mean((truth[index] - columns[index] @ weight) ** 2)
                figures.append([*weight, explained, *(simulation.regret(case, order[:k]) for k in TRIALS),
                                *(simulation.regret(case, order) for order in timed)])  # fmt: skip
            by_metric[metric] = np.array(figures)
            print(left, metric, file=sys.stderr, flush=True)
        explained = np.array([by_metric[name][:, 2] for name in by_metric])  # (n_metrics, n_tasks)
        best = (explained.sum(axis=1, keepdims=True) - explained).argmax(axis=0)
        by_metric["chosen"] = np.array([list(by_metric.values())[row][index] for index, row in enumerate(best)])
        rows += [(left, metric, *figures.mean(axis=0)) for metric, figures in by_metric.items()]
    columns = ["left", "metric", "history", "weight", "explained"]
    columns += [f"{what}@{k}" for what in ("regret", "cost") for k in TRIALS]
    pd.DataFrame(rows, columns=columns).round(3).to_csv(RESULTS / "search_evidence.csv", index=False)


def _task(case: search_cases.Case) -> str:
    return case.task.partition("|")[0]


def _price(table: pd.DataFrame, case: search_cases.Case, metric: str) -> float:
    """Seconds of a pass of every candidate and of the metric on what it gives."""
    paid = table["task"].eq(_task(case)) & table["model"].isin(case.models) & table["metric"].isin([PASS, metric])
    return float(table.loc[paid, "seconds"].sum())


def _columns(case: search_cases.Case, scores: pd.DataFrame) -> np.ndarray:
    """Expected score and the metric's Gaussian score of every network, 0 where there is none, shape (n_models, 2)."""
    own = scores[scores["task"].eq(_task(case))].set_index("model")["score"].astype(float)
    values = own.reindex(case.models).to_numpy()
    said = np.zeros(len(values))
    if (known := np.isfinite(values)).mean() >= KNOWN:
        said[known] = gaussian_scores(values[known])
    return np.column_stack([case.prior.mean - case.prior.mean.mean(), said])


if __name__ == "__main__":
    main()
