"""Train archi2vec: on the graphs of `data/architectures.npz` alone, then on ImageNet results (hub timm1557).

    python benchmark/architectures/train_archi2vec.py [--folds 5] [--seeds 3] [--cache benchmark/cache/archi2vec]

Writes `data/archi2vec.safetensors` and `data/architecture_vectors.npz` from everything. For `cold_start.py` it writes
into --cache the vectors of one encoder per seed and fold of families that saw neither a graph nor a result of its
fold. What is there is kept, so that a run can be interrupted.
"""

from __future__ import annotations

import argparse
import logging
import time
from pathlib import Path

import numpy as np

from fennec.architectures.archi2vec import Archi2Vec
from fennec.architectures.build import family_of
from fennec.architectures.graph import load_known_graphs
from fennec.architectures.vectors import ArchitectureVectors
from fennec.checkpoints.catalog import load_catalog
from fennec.evaluation.architecture_quality import architecture_quality
from fennec.evaluation.cold_start import family_folds, united_families
from fennec.evidence.hubs import load_matrix

ROOT = Path(__file__).parents[2]
DATA = ROOT / "data"


def train(structure: Path, names: list[str], *, n_epochs: int, seed: int) -> Archi2Vec:
    """An encoder that has seen only these architectures, tuned on the results of their checkpoints."""
    graphs = load_known_graphs()
    if not structure.exists():
        Archi2Vec.fit([graphs[name] for name in names], n_epochs=n_epochs, random_state=seed).save(structure)
    catalog, matrix, seen = load_catalog(), load_matrix("timm1557"), set(names)
    chosen = [model for model in matrix.models if catalog.frame.loc[model, "backbone"] in seen]
    quality = architecture_quality(matrix.select(models=chosen), catalog)
    model = Archi2Vec.load(structure)
    return model.tune([graphs[name] for name in quality], np.array(list(quality.values())), random_state=seed)


def vectors_of(model: Archi2Vec) -> ArchitectureVectors:
    """Vectors of all known architectures."""
    graphs = load_known_graphs()
    vectors = model.encode(list(graphs.values()))
    return ArchitectureVectors(tuple(graphs), vectors, model.quality(vectors))


def main() -> None:
    """Train what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--cache", type=Path, default=ROOT / "benchmark" / "cache" / "archi2vec")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    arguments.cache.mkdir(parents=True, exist_ok=True)
    names = list(load_known_graphs())
    if not (DATA / "architecture_vectors.npz").exists():
        model = train(arguments.cache / "all.safetensors", names, n_epochs=arguments.epochs, seed=0)
        model.save(DATA / "archi2vec.safetensors")
        vectors_of(model).save(DATA / "architecture_vectors.npz")
    united = united_families(load_known_graphs(), load_catalog())
    families = [united[family_of(name)] for name in names]
    for seed in range(arguments.seeds):
        folds = family_folds(families, arguments.folds, random_state=seed)
        for fold in range(arguments.folds):
            target = arguments.cache / f"seed{seed}-fold{fold}.npz"
            if target.exists():
                continue
            start = time.perf_counter()
            kept = [name for name, family in zip(names, families, strict=True) if folds[family] != fold]
            structure = target.with_suffix(".safetensors")
            vectors_of(train(structure, kept, n_epochs=arguments.epochs, seed=seed)).save(target)
            logging.info("%s: %d architectures, %.0f s", target.name, len(kept), time.perf_counter() - start)


if __name__ == "__main__":
    main()
