"""How much a few results on the new task help: 0, 1, 3, 5, 10 known results on hf180 and vtab291.

    python benchmark/space/partial_knowledge.py

For every held-out task ten draws of ten models; the first n of a draw are folded in. All values are
measured on the models outside the ten, so that every n is judged on the same models. `fennec` starts from
the embedding, `no images` from general quality. Writes `partial_knowledge.csv`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from fennec.evaluation.leave_one_task_out import fitted, splits
from fennec.evidence.hubs import load_matrix
from fennec.measures import MEASURES
from fennec.tasks.embedding_files import load_known_embeddings

RESULTS = Path(__file__).parents[1] / "results"
KNOWN = (0, 1, 3, 5, 10)
N_DRAWS = 10


def main() -> None:
    """Evaluate and write."""
    embeddings = load_known_embeddings("fennec-mini")
    rows = []
    for hub in ("hf180", "vtab291"):
        for split in splits(load_matrix(hub), embeddings):
            recommender = fitted(split)
            place = [recommender.models_.index(model) for model in split.matrix.models]
            measured = np.flatnonzero(np.isfinite(split.truth))
            values: dict[tuple[int, str, str], list[float]] = {}
            for draw in range(N_DRAWS):
                order = np.random.default_rng(draw).permutation(measured)
                judged = order[max(KNOWN) :]
                for n_known in KNOWN:
                    known = {split.matrix.models[row]: float(split.truth[row]) for row in order[:n_known]}
                    for method, embedding in (("fennec", split.embedding), ("no images", None)):
                        scores = recommender.predict(embedding, known=known).scores[place]
                        for measure in ("tau_w", "spearman", "regret@1"):
                            value = MEASURES[measure](scores[judged], split.truth[judged])
                            values.setdefault((n_known, method, measure), []).append(value)
            rows += [(hub, split.task, *key, np.mean(draws)) for key, draws in values.items()]
            print(hub, split.task, flush=True)
    columns = ["hub", "task", "n_known", "method", "measure", "value"]
    pd.DataFrame(rows, columns=columns).round(6).to_csv(RESULTS / "partial_knowledge.csv", index=False)


if __name__ == "__main__":
    main()
