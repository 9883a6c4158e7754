"""What each part of the default adds, one left out or replaced at a time; leave one task out.

    python benchmark/space/ablation.py [--workers 2]

Hyper-parameters are those chosen without the held-out task over all hubs (`hyperparameters.csv`), except in the rows
about the choice itself: over the other hubs alone (a hub that no choice has seen), over its own hub alone, and the
defaults as shipped. Writes `ablation.csv` (hub, task, variant, tau_w).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from multiprocessing import Pool
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from leave_one_task_out import read_choices

from fennec.evaluation.baselines import Split, static_history
from fennec.evaluation.leave_one_task_out import EVALUATED_HUBS, choose, default_fennec, fitted, splits
from fennec.evidence.hubs import load_matrix
from fennec.measures import weighted_tau
from fennec.tasks.embedding_files import load_known_embeddings

RESULTS = Path(__file__).parents[1] / "results"
Variant = Callable[[Split], np.ndarray]


def with_parameters(**parameters: Any) -> Variant:
    """The default with some parameters fixed."""
    return lambda split: default_fennec(replace(split, choices={**split.choices, **parameters}))


def mean_result(split: Split) -> np.ndarray:
    """Static history of the results as they are."""
    return np.nanmean(split.matrix.performance, axis=1)


def standardised_result(split: Split) -> np.ndarray:
    """Static history of results with mean 0 and standard deviation 1 per task."""
    results = split.matrix.performance
    spread = np.nanstd(results, axis=0)
    return np.nanmean((results - np.nanmean(results, axis=0)) / np.where(spread > 0, spread, 1), axis=1)


def nearest_task(split: Split) -> np.ndarray:
    """Results on the one task that resembles it most; static history for models without."""
    recommender = fitted(split)
    nearest = recommender.nearest_tasks(split.embedding, n=1)[0][0]
    column = recommender.scores_[:, split.matrix.tasks.index(nearest)]
    return np.where(np.isfinite(column), column, static_history(split))


def chosen_on(own: bool) -> Variant:
    """The default with the choice made on the hub of the task alone, or on the other hubs alone."""

    def variant(split: Split) -> np.ndarray:
        names = [name for name in EVALUATED_HUBS if (name == split.matrix.name) == own]
        found = choose([load_matrix(name) for name in names], embeddings(), without=split.image_set)
        return default_fennec(replace(split, choices=found))

    return variant


@cache
def embeddings() -> dict:
    """Of the known tasks."""
    return dict(load_known_embeddings())


VARIANTS: dict[str, Variant] = {
    "fennec": default_fennec,
    "without images": lambda split: fitted(split).predict(None).scores,
    "nearest task alone": nearest_task,
    "without model side": with_parameters(effects=None),
    "two latent dimensions": with_parameters(n_components=2),
    "results without noise": with_parameters(noise=0.01),
    "static history": static_history,
    "static history of plain results": mean_result,
    "static history of standardised results": standardised_result,
    "chosen on the other hubs": chosen_on(own=False),
    "chosen on its own hub": chosen_on(own=True),
    "defaults as shipped": lambda split: default_fennec(replace(split, choices={})),
}


def evaluate(place: tuple[str, str]) -> list[tuple[str, str, str, float]]:
    """All variants on one task of a hub."""
    hub, task = place
    found = splits(load_matrix(hub), embeddings(), choices=read_choices())
    split = next(split for split in found if split.task == task)
    return [(hub, task, name, weighted_tau(variant(split), split.truth)) for name, variant in VARIANTS.items()]


def main() -> None:
    """Evaluate and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    tasks = [(hub, split.task) for hub in EVALUATED_HUBS for split in splits(load_matrix(hub), embeddings())]
    rows = []
    with Pool(arguments.workers) as pool:
        for done, part in enumerate(pool.imap(evaluate, tasks), start=1):
            rows += part
            print(f"{done} of {len(tasks)}: {part[0][0]} {part[0][1]}", file=sys.stderr, flush=True)
    columns = ["hub", "task", "variant", "tau_w"]
    pd.DataFrame(rows, columns=columns).round(6).to_csv(RESULTS / "ablation.csv", index=False)


if __name__ == "__main__":
    main()
