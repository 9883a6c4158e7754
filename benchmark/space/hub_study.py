"""Where the gap between static history and the oracle is, and how much of it is there after noise.

    python benchmark/space/hub_study.py

For every task that has images, writes `hub_study.csv` (hub, task, what, value):

- `static`, `oracle`: tau_w. The oracle weighs the known tasks by their true correlation with the held-out one, and is
  judged on the very results that gave the weights; on a dozen models it fits their noise;
- `oracle, other models`: the same with the weights of every model learned on other models (five folds, five deals),
  which are few in a small hub;
- `within a point`: share of models at most one point below the best, among which the ranking is noise;
- `spread`: standard deviation of the results, in points;
- `agreement HUB`: tau_w with the results of the same models on the same images in another hub.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from fennec.evaluation.baselines import Split, similarity_weighted_history, static_history
from fennec.evaluation.leave_one_task_out import EVALUATED_HUBS, splits
from fennec.evidence.hubs import load_hubs, load_matrix
from fennec.evidence.matrix import TransferMatrix
from fennec.measures import weighted_tau
from fennec.tasks.embedding_files import load_known_embeddings

RESULTS = Path(__file__).parents[1] / "results"
N_FOLDS, N_DEALS = 5, 5
MIN_SHARED = 8  # models that two hubs must have in common


def oracle_of_others(split: Split) -> float:
    """Mean tau_w of the oracle when no model's own result tells how to weigh the tasks."""
    known = np.flatnonzero(np.isfinite(split.truth))
    generator, values = np.random.default_rng(0), []
    for _ in range(N_DEALS):
        scores = static_history(split)
        for fold in np.array_split(generator.permutation(known), N_FOLDS):
            hidden = split.truth.copy()
            hidden[fold] = np.nan
            scores[fold] = similarity_weighted_history(replace(split, truth=hidden))[fold]
        values.append(weighted_tau(scores, split.truth))
    return float(np.mean(values))


def agreements(matrix: TransferMatrix, column: int) -> Iterator[tuple[str, float]]:
    """Other hubs with results of the same models on the same images."""
    task, own = matrix.tasks[column], pd.Series(matrix.performance[:, column], matrix.models)
    for name in load_hubs():
        other = load_matrix(name)
        if name == matrix.name or task not in other.tasks:
            continue
        theirs = pd.Series(other.performance[:, other.tasks.index(task)], other.models)
        both = pd.concat([own, theirs], axis=1, join="inner").dropna().to_numpy()
        if len(both) >= MIN_SHARED:
            yield f"agreement {name}", weighted_tau(both[:, 1], both[:, 0])


def main() -> None:
    """Measure and write."""
    embeddings = load_known_embeddings()
    rows: list[tuple[str, str, str, float]] = []
    for hub in EVALUATED_HUBS:
        matrix = load_matrix(hub)
        for split in splits(matrix, embeddings):
            truth = 100 * split.truth[np.isfinite(split.truth)]
            found = {
                "static": weighted_tau(static_history(split), split.truth),
                "oracle": weighted_tau(similarity_weighted_history(split), split.truth),
                "oracle, other models": oracle_of_others(split),
                "within a point": float((truth >= truth.max() - 1).mean()),
                "spread": float(truth.std()),
                **dict(agreements(matrix, matrix.tasks.index(split.task))),
            }
            rows += [(hub, split.task, what, value) for what, value in found.items()]
    columns = ["hub", "task", "what", "value"]
    pd.DataFrame(rows, columns=columns).round(6).to_csv(RESULTS / "hub_study.csv", index=False)


if __name__ == "__main__":
    main()
