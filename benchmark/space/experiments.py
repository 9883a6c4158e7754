"""Ideas for more than static history, one by one, judged as the default is: leave one task out on the eight hubs.

    python benchmark/space/experiments.py [--idea covariance] [--workers 2]

Writes `experiments.csv` (idea, hub, task, static, tau_w), an idea at a time, those already there kept. What was thought
of each: `EXPERIMENTS.md`; how each is tried: `ideas.py`, on the distances of `likeness.py`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd
from ideas import (
    try_history,
    try_learned,
    try_likeness,
    try_metrics,
    try_models,
    try_other_hubs,
    try_sources,
    try_weighted_history,
)
from joblib import Parallel, delayed
from likeness import (
    LARGE,
    RESULTS,
    SMALL,
    Floats,
    covariance,
    fade,
    frechet,
    image_sets,
    measured,
    moments,
    n_classes,
    separation,
)
from scipy.stats import trim_mean

from fennec.evidence.hubs import load_matrix

RESULT = RESULTS / "experiments.csv"


def bases(*, everything: bool) -> list[Floats]:
    """What a learned likeness is made of: looks at several lengths, or all that was tried above."""
    looks = [(moments(SMALL), length) for length in (0.2, 0.3, 0.45, 0.6, 0.9)]
    if everything:
        looks += [(moments(LARGE), length) for length in (0.3, 0.6, 0.9)]
        looks += [(n_classes(SMALL), 0.6), (separation(SMALL), 0.6), (separation(LARGE), 0.6)]
    return [fade(squared, length) for squared, length in looks]


IDEAS: dict[str, Callable[[], Callable[[int], list[tuple]]]] = {
    "moments": lambda: partial(try_likeness, moments(SMALL)),
    "covariance": lambda: partial(try_likeness, covariance(SMALL)),
    "moments and covariance": lambda: partial(try_likeness, (moments(SMALL) + covariance(SMALL)) / 2),
    "frechet distance": lambda: partial(try_likeness, frechet(SMALL)),
    "larger encoder": lambda: partial(try_likeness, moments(LARGE)),
    "both encoders": lambda: partial(try_likeness, (moments(SMALL) + moments(LARGE)) / 2),
    "separation of classes": lambda: partial(try_likeness, separation(SMALL)),
    "moments and separation": lambda: partial(try_likeness, (moments(SMALL) + separation(SMALL)) / 2),
    "number of classes": lambda: partial(try_likeness, n_classes(SMALL)),
    "moments and number of classes": lambda: partial(try_likeness, (4 * moments(SMALL) + n_classes(SMALL)) / 5),
    "landmarks": lambda: partial(try_likeness, measured("knn .*")),
    "moments and landmarks": lambda: partial(try_likeness, (moments(SMALL) + measured("knn .*")) / 2),
    "image statistics": lambda: partial(try_likeness, measured("[a-z]+")),
    "moments and image statistics": lambda: partial(try_likeness, (4 * moments(SMALL) + measured("[a-z]+")) / 5),
    "learned likeness": lambda: partial(try_learned, bases(everything=False)),
    "learned from everything": lambda: partial(try_learned, bases(everything=True)),
    "sources of the models": lambda: try_sources,
    "median history": lambda: partial(try_history, np.median),
    "trimmed history": lambda: partial(try_history, partial(trim_mean, proportiontocut=0.2)),
    "weighted history": lambda: try_weighted_history,
    "history in other hubs": lambda: try_other_hubs,
    "no alike models": lambda: partial(try_models, 0.0, 0.0),
    "alike models": lambda: partial(try_models, 0.9, 0.0),
    "alike models, all hubs": lambda: partial(try_models, 0.9, 0.7),
    "all metrics, lab24": lambda: partial(try_metrics, None),
    "best metrics, lab24": lambda: partial(try_metrics, ("ncti", "linear_probe", "etran")),
}


def main() -> None:
    """Try what is missing or asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--idea", action="append", choices=list(IDEAS))
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    columns = ["idea", "hub", "task", "static", "tau_w"]
    table = pd.read_csv(RESULT) if RESULT.is_file() else pd.DataFrame(columns=columns)
    for idea in arguments.idea or [name for name in IDEAS if name not in set(table["idea"])]:
        attempt = IDEAS[idea]()
        workers = 1 if "all hubs" in idea else arguments.workers  # for its memory
        held = load_matrix("lab24").n_tasks if "lab24" in idea else len(image_sets())
        parts = Parallel(n_jobs=workers, backend="multiprocessing")(delayed(attempt)(new) for new in range(held))
        rows = pd.DataFrame([(idea, *row) for part in parts for row in part], columns=columns).round(5)
        table = pd.concat([table[table["idea"] != idea], rows]).reset_index(drop=True)
        order = {name: number for number, name in enumerate(IDEAS)}
        table = table.sort_values("idea", key=lambda column: column.map(order), kind="stable")
        table.to_csv(RESULT, index=False)
        gains = (rows["tau_w"] - rows["static"]).groupby(rows["hub"], sort=False).mean()
        print(f"{idea:30s} {gains.mean():+.4f}  {gains.round(3).to_dict()}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
