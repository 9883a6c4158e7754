"""Does Fennec know what it knows? Intervals and probabilities on studies, and on tasks, that were left out.

    python benchmark/space/certainty.py [--left study --left task]

Everything of a left-out study (`leave_one_study_out.py`) or of a left-out task's images (`leave_one_task_out.py`) is
gone from every fitted part. Writes

- `certainty.csv` (left, study, protocol, task, measure, value): share of results inside the 80 % interval;
  resemblance with the known tasks, and what looking at the images gains in tau_w over not looking; with tasks left out,
  regret of the K best of the ranking and of a portfolio of K, in points;
- `calibration.csv` (left, protocol, low, high, n, predicted, observed): models whose probability of being among the
  five best lies between two bounds, the mean of that probability, and the share that was.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from fennec.checkpoints.catalog import load_catalog
from fennec.evaluation.leave_one_study_out import judged_studies
from fennec.evaluation.leave_one_task_out import EVALUATED_HUBS, fitted, splits
from fennec.evidence.hubs import load_matrix
from fennec.evidence.scores import load_scores, study_name, without
from fennec.measures import regret_at_k, weighted_tau
from fennec.space.portfolio import best_together, in_top
from fennec.space.recommender import Recommender
from fennec.space.shortlist import N_PORTFOLIO_DRAWS
from fennec.tasks.embedding import TaskEmbedding
from fennec.tasks.embedding_files import load_known_embeddings

RESULTS = Path(__file__).parents[1] / "results"
BOUNDS = np.array([0.0, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0])
SIZES = (2, 3, 5, 10)  # of a shortlist
N_BEST = 5

Case = tuple[str, str, str, Recommender, TaskEmbedding | None, np.ndarray]


def left_out_studies() -> Iterator[Case]:
    """Study, protocol, column, a recommender without the study, embedding of the images, true results."""
    embeddings, catalog = load_known_embeddings(), load_catalog()
    for case in judged_studies():
        rest = without(load_scores(), studies=[study_name(case.study)])
        placed = [model for model in case.models if model in catalog]
        if not placed or not rest["protocol"].eq(case.protocol).any():
            continue
        recommender = Recommender().fit(rest, protocol=case.protocol, candidates=placed, catalog=catalog)
        for name, image_set in zip(case.table, case.image_sets, strict=True):
            truth = case.table[name].reindex(list(recommender.models_)).to_numpy(dtype=np.float64)
            yield case.study, case.protocol, str(name), recommender, embeddings.get(image_set), truth


def left_out_tasks() -> Iterator[Case]:
    """The same for the tasks with images of the eight hubs."""
    for hub in EVALUATED_HUBS:
        for split in splits(load_matrix(hub), load_known_embeddings()):
            recommender = fitted(split)
            position = {model: row for row, model in enumerate(split.matrix.models)}
            truth = np.array([split.truth[position[m]] if m in position else np.nan for m in recommender.models_])
            yield hub, split.matrix.protocol, split.task, recommender, split.embedding, truth


def main() -> None:
    """Evaluate and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--left", action="append", choices=["study", "task"])
    chosen = parser.parse_args().left or ["study", "task"]
    rows, chances = [], []
    for left in chosen:
        before = ""
        for study, protocol, task, recommender, embedding, truth in (
            left_out_studies() if left == "study" else left_out_tasks()
        ):
            if study != before:
                print(left, study, file=sys.stderr, flush=True)
            before = study
            known = np.isfinite(truth)
            true = truth[known]
            found = recommender.predict(embedding)
            inside = (found.low[known] <= true) & (true <= found.high[known])
            place = (left, study, protocol, task)
            rows.append((*place, "coverage@80", inside.mean()))
            if embedding is not None:
                gain = weighted_tau(found.scores, truth) - weighted_tau(recommender.predict(None).scores, truth)
                rows.append((*place, "resemblance", recommender.resemblance(embedding)))
                rows.append((*place, "gain", gain))
            if left == "task":
                draws = recommender.draws(embedding, n_draws=N_PORTFOLIO_DRAWS)[:, known]
                together = best_together(draws, max(SIZES))
                taken = np.zeros(len(true))
                taken[together] = np.arange(len(together), 0, -1)
                for name, scores in (("regret", found.scores[known]), ("portfolio regret", taken)):
                    rows += [(*place, f"{name}@{k}", 100 * regret_at_k(scores, true, k=k)) for k in SIZES]
            else:
                draws = recommender.draws(embedding)[:, known]
            truly = np.isin(np.arange(len(true)), np.argsort(-true, kind="stable")[:N_BEST])
            chances += [(left, protocol, *pair) for pair in zip(in_top(draws, N_BEST), truly, strict=True)]
    table = pd.DataFrame(rows, columns=["left", "study", "protocol", "task", "measure", "value"])
    table.round(5).to_csv(RESULTS / "certainty.csv", index=False)
    pairs = pd.DataFrame(chances, columns=["left", "protocol", "chance", "truly"])
    pairs["bin"] = np.clip(np.searchsorted(BOUNDS, pairs["chance"], side="right") - 1, 0, len(BOUNDS) - 2)
    bins = pairs.groupby(["left", "protocol", "bin"], sort=False).agg(
        n=("chance", "size"), predicted=("chance", "mean"), observed=("truly", "mean")
    )
    bins = bins.reset_index().sort_values(["left", "protocol", "bin"])
    bins.insert(2, "low", BOUNDS[bins["bin"]])
    bins.insert(3, "high", BOUNDS[bins["bin"] + 1])
    bins.drop(columns="bin").round(6).to_csv(RESULTS / "calibration.csv", index=False)


if __name__ == "__main__":
    main()
