"""How alike known tasks are, by many looks at their images: distances, and how fast likeness fades with them.

In: the hubs with images and the embeddings of their image sets. Out: matrices over all image sets, squared distances in
units of their median. The held-out set counts in that median: one number, without any result.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from fennec.space.history import gaussian_scores
from numpy.typing import NDArray

from fennec.evaluation.leave_one_task_out import EVALUATED_HUBS
from fennec.evidence.hubs import load_matrix
from fennec.tasks.embedding_files import load_known_embeddings

Floats = NDArray[np.float64]
RESULTS = Path(__file__).parents[1] / "results"
SMALL, LARGE = "fennec-mini", "dav2-ViT-S-14"  # encoders


@dataclass(frozen=True, eq=False)
class Hub:
    """Results as Gaussian scores; `sets` are positions among the known image sets, below zero where there is none."""

    name: str
    scores: Floats
    truth: Floats
    tasks: tuple[str, ...]
    sets: NDArray[np.intp]
    models: tuple[str, ...]


@cache
def image_sets() -> tuple[str, ...]:
    """Names of the image sets that have an embedding."""
    return tuple(sorted(load_known_embeddings()))


@cache
def hubs() -> tuple[Hub, ...]:
    """The evaluated hubs."""
    found = []
    for name in EVALUATED_HUBS:
        matrix = load_matrix(name)
        unknown = {images: -1 - row for row, images in enumerate(sorted(set(matrix.image_sets) - set(image_sets())))}
        numbers = {**{images: row for row, images in enumerate(image_sets())}, **unknown}
        scores = np.column_stack([gaussian_scores(column) for column in matrix.performance.T])
        sets = np.array([numbers[images] for images in matrix.image_sets])
        found.append(Hub(name, scores, matrix.performance, matrix.tasks, sets, matrix.models))
    return tuple(found)


def scaled(squared: Floats) -> Floats:
    """Squared distances in units of their median."""
    return squared / np.median(squared[np.triu_indices(len(squared), 1)])


def between(rows: Floats) -> Floats:
    """Scaled squared Euclidean distances of rows."""
    return scaled(((rows[:, None] - rows[None]) ** 2).sum(-1))


def moments(proxy: str) -> Floats:
    """Means and standard deviations, as in the default."""
    known = [load_known_embeddings(proxy)[name] for name in image_sets()]
    return (between(np.stack([e.mean for e in known])) + between(np.stack([e.std for e in known]))) / 2


def covariance(proxy: str) -> Floats:
    """All second moments."""
    known = [load_known_embeddings(proxy)[name] for name in image_sets()]
    upper = np.triu_indices(len(known[0].mean))
    return between(np.stack([(e.scatter / e.n_images)[upper] for e in known]))


def frechet(proxy: str) -> Floats:
    """Frechet distance between Gaussians (Heusel et al. 2017, equation 6)."""
    known = [load_known_embeddings(proxy)[name] for name in image_sets()]
    squared = np.zeros((len(known), len(known)))
    roots = []
    for embedding in known:
        values, axes = np.linalg.eigh(embedding.scatter / embedding.n_images)
        roots.append((axes * np.sqrt(np.maximum(values, 0))) @ axes.T)
    for one in range(len(known)):
        for two in range(one):
            product = np.linalg.svd(roots[one] @ roots[two], compute_uv=False).sum()
            traces = (roots[one] ** 2).sum() + (roots[two] ** 2).sum()
            squared[one, two] = ((known[one].mean - known[two].mean) ** 2).sum() + traces - 2 * product
    return scaled(squared + squared.T)


def separation(proxy: str) -> Floats:
    """Share of every feature's variance that lies between classes: what has to be told apart."""
    rows = []
    for name in image_sets():
        e = load_known_embeddings(proxy)[name]
        total = np.diag(e.scatter) / e.n_images
        classes = (e.class_counts[:, None] * (e.class_means - e.mean) ** 2).sum(0) / e.n_images
        chance = (len(e.class_counts) - 1) / e.n_images  # class means of few images vary by chance
        rows.append(np.clip((classes / (total + 1e-9) - chance) / max(1 - chance, 1e-9), 0, 1))
    return between(np.stack(rows))


def n_classes(proxy: str) -> Floats:
    """Logarithm of the number of classes seen."""
    known = load_known_embeddings(proxy)
    return between(np.log([[max(len(known[name].class_names), 2)] for name in image_sets()]))


def measured(pattern: str) -> Floats:
    """Numbers of `landmarks.csv` whose names match, each in standard deviations; far from all where there are none."""
    table = pd.read_csv(RESULTS / "landmarks.csv")
    wide = table[table["what"].str.fullmatch(pattern)].pivot(index="image_set", columns="what", values="value")
    rows = ((wide - wide.mean()) / wide.std()).reindex(list(image_sets())).to_numpy()
    known = np.isfinite(rows).all(axis=1)
    squared = np.where(np.eye(len(rows), dtype=bool), 0.0, 1e3)
    squared[np.ix_(known, known)] = between(rows[known])
    return squared


def fade(squared: Floats, length: float) -> Floats:
    """Likeness of all image sets."""
    return np.exp(-squared / (2 * length**2))
