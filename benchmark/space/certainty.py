"""Does Fennec know what it knows? Intervals, probabilities, shortlists and abstention on held-out tasks.

    python benchmark/space/certainty.py

The default recommender with what was chosen without the held-out task (`hyperparameters.csv`). Writes

- `certainty.csv` (hub, task, measure, value): share of results inside the 80 % interval; resemblance with the known
  tasks, and what looking at the images gains in tau_w over not looking; regret of the K best of the ranking and of a
  portfolio of K, in points;
- `calibration.csv` (hub, low, high, n, predicted, observed): models whose probability of being among the five best of a
  task lies between two bounds, the mean of that probability, and the share that was.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from leave_one_task_out import read_choices

from fennec.evaluation.leave_one_task_out import EVALUATED_HUBS, fitted, splits
from fennec.evidence.hubs import load_matrix
from fennec.measures import regret_at_k, weighted_tau
from fennec.space.portfolio import best_together, in_top
from fennec.space.shortlist import N_PORTFOLIO_DRAWS
from fennec.tasks.embedding_files import load_known_embeddings

RESULTS = Path(__file__).parents[1] / "results"
BOUNDS = np.array([0.0, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0])
SIZES = (2, 3, 5, 10)  # of a shortlist
N_BEST = 5


def main() -> None:
    """Evaluate and write."""
    embeddings, choices = load_known_embeddings(), read_choices()
    rows, chances = [], []
    for hub in EVALUATED_HUBS:
        for split in splits(load_matrix(hub), embeddings, choices=choices):
            recommender = fitted(split)
            known = np.isfinite(split.truth)
            truth = split.truth[known]
            found, blind = recommender.predict(split.embedding), recommender.predict(None)
            inside = (found.low[known] <= truth) & (truth <= found.high[known])
            gain = weighted_tau(found.scores, split.truth) - weighted_tau(blind.scores, split.truth)
            rows += [
                (hub, split.task, "coverage@80", inside.mean()),
                (hub, split.task, "resemblance", recommender.resemblance(split.embedding)),
                (hub, split.task, "gain", gain),
            ]
            draws = recommender.draws(split.embedding, n_draws=N_PORTFOLIO_DRAWS)[:, known]
            together = best_together(draws, max(SIZES))
            taken = np.zeros(len(truth))
            taken[together] = np.arange(len(together), 0, -1)
            for name, scores in (("regret", found.scores[known]), ("portfolio regret", taken)):
                rows += [
                    (hub, split.task, f"{name}@{size}", 100 * regret_at_k(scores, truth, k=size)) for size in SIZES
                ]
            truly = np.isin(np.arange(len(truth)), np.argsort(-truth, kind="stable")[:N_BEST])
            chances += [(hub, *pair) for pair in zip(in_top(draws, N_BEST), truly, strict=True)]
        print(hub, file=sys.stderr, flush=True)
    table = pd.DataFrame(rows, columns=["hub", "task", "measure", "value"])
    table.round(6).to_csv(RESULTS / "certainty.csv", index=False)
    pairs = pd.DataFrame(chances, columns=["hub", "chance", "truly"])
    pairs["bin"] = np.clip(np.searchsorted(BOUNDS, pairs["chance"], side="right") - 1, 0, len(BOUNDS) - 2)
    bins = pairs.groupby(["hub", "bin"], sort=False).agg(
        n=("chance", "size"), predicted=("chance", "mean"), observed=("truly", "mean")
    )
    bins = bins.reset_index().sort_values(["hub", "bin"])
    bins.insert(1, "low", BOUNDS[bins["bin"]])
    bins.insert(2, "high", BOUNDS[bins["bin"] + 1])
    bins.drop(columns="bin").round(6).to_csv(RESULTS / "calibration.csv", index=False)


if __name__ == "__main__":
    main()
