"""Fit the transfer spaces that Fennec ships, one for each protocol: `data/spaces`.

    python benchmark/space/build_spaces.py

In: the evidence, the catalog, embeddings of the known tasks. The same input gives the same order of models. To be run
whenever one of them changes. Writes also `shipped_spaces.csv` (protocol, measure, value): seconds, models, size.
"""

from __future__ import annotations

import time
from pathlib import Path

import pandas as pd

from fennec.checkpoints.catalog import load_catalog
from fennec.evidence.scores import load_scores
from fennec.evidence.studies import PROTOCOLS
from fennec.settings import data_dir
from fennec.space.recommender import Recommender

RESULTS = Path(__file__).parents[1] / "results"


def main() -> None:
    """Fit and write."""
    catalog, scores, rows = load_catalog(), load_scores(), []
    for protocol in PROTOCOLS:
        if protocol == "eval":
            continue
        start = time.perf_counter()
        recommender = Recommender().fit(scores, protocol=protocol, candidates=catalog.candidates(protocol))
        seconds = time.perf_counter() - start
        folder = data_dir() / "spaces" / protocol
        recommender.save(folder)
        size = sum(path.stat().st_size for path in folder.iterdir()) / 1e6
        starts = []
        for _ in range(20):
            start = time.perf_counter()
            recommender.index_.search(recommender.task_vector(None), 10)
            starts.append(time.perf_counter() - start)
        rows += [
            (protocol, "fit seconds", seconds),
            (protocol, "models", len(recommender.models_)),
            (protocol, "known image sets", len(recommender.image_sets_)),
            (protocol, "megabytes", size),
            (protocol, "ranking milliseconds", 1000 * sorted(starts)[len(starts) // 2]),
        ]
        print(protocol, f"{seconds:.0f} s, {size:.1f} MB", flush=True)
    pd.DataFrame(rows, columns=["protocol", "measure", "value"]).round(3).to_csv(
        RESULTS / "shipped_spaces.csv", index=False
    )


if __name__ == "__main__":
    main()
