"""Leave one family out: cold models on every hub, and what archi2vec knows of held-out families.

    python benchmark/architectures/cold_start.py [--seeds 3]

Needs the encoders of `train_archi2vec.py`. Writes `cold_start.parquet` (hub, family, method, seed, measure, value) and
`archi2vec.csv` (target, seed, measure, value).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import spearmanr
from sklearn.linear_model import RidgeCV
from sklearn.metrics import r2_score

from fennec.architectures.build import family_of
from fennec.architectures.graph import load_known_graphs
from fennec.architectures.vectors import ArchitectureVectors, load_known_vectors
from fennec.checkpoints.catalog import load_catalog
from fennec.evaluation.architecture_quality import architecture_quality
from fennec.evaluation.cold_start import cold_start, family_folds, united_families
from fennec.evidence.hubs import load_hubs, load_matrix

RESULTS = Path(__file__).parents[1] / "results"
CACHE = Path(__file__).parents[1] / "cache" / "archi2vec"


def structure(folds: dict[str, int], vectors: list[ArchitectureVectors], seed: int) -> list[tuple]:
    """What vectors of architectures say of families that their encoder never saw."""
    graphs = load_known_graphs()
    united = united_families(graphs, load_catalog())
    names = list(graphs)
    families = np.array([united[family_of(name)] for name in names])
    place = np.array([folds[family] for family in families])
    truth = {
        "params": np.log2([graphs[name].params for name in names]),
        "gmacs": np.log2([graphs[name].gmacs + 1e-3 for name in names]),
    }
    quality = architecture_quality(load_matrix("timm1557"), load_catalog())
    truth["imagenet"] = np.array([quality.get(name, np.nan) for name in names])
    rows = []
    for target, values in truth.items():
        guessed = np.full(len(names), np.nan)
        for fold, found in enumerate(vectors):
            new, old = place == fold, (place != fold) & np.isfinite(values)
            if target == "imagenet":
                guessed[new] = found.quality[new]
            else:
                guessed[new] = (
                    RidgeCV(np.logspace(-3, 3, 13)).fit(found.vectors[old], values[old]).predict(found.vectors[new])
                )
        known = np.isfinite(values)
        rows.append((target, seed, "r2", r2_score(values[known], guessed[known])))
        rows.append((target, seed, "spearman", spearmanr(values[known], guessed[known]).statistic))
        within = pd.DataFrame({"family": families, "true": values, "guessed": guessed})[known]
        within = within[within.groupby("family")["true"].transform("size") >= 5]
        centred = within.groupby("family")[["true", "guessed"]].transform(lambda column: column - column.mean())
        rows.append((target, seed, "r2 within families", r2_score(centred["true"], centred["guessed"])))
    return rows


def main() -> None:
    """Evaluate and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    load_known_vectors()
    graphs = load_known_graphs()
    united = united_families(graphs, load_catalog())
    families = [united[family_of(name)] for name in graphs]
    tables, rows = [], []
    for seed in range(arguments.seeds):
        files = sorted(CACHE.glob(f"seed{seed}-fold*.npz"))
        if not files:
            raise SystemExit(
                f"no encoders of seed {seed} in {CACHE}; run benchmark/architectures/train_archi2vec.py first"
            )
        vectors = [ArchitectureVectors.load(path) for path in files]
        folds = family_folds(families, len(files), random_state=seed)
        rows += structure(folds, vectors, seed)
        tables.append(
            cold_start(
                [load_matrix(name) for name in load_hubs()],
                folds,
                vectors,
                seed=seed,
                report=lambda text: print(text, file=sys.stderr, flush=True),
            )
        )
    columns = ["target", "seed", "measure", "value"]
    pd.DataFrame(rows, columns=columns).round(4).to_csv(RESULTS / "archi2vec.csv", index=False)
    pd.concat(tables).round(5).to_parquet(RESULTS / "cold_start.parquet", index=False)


if __name__ == "__main__":
    main()
