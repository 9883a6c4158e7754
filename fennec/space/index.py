"""Top-k of an inner product over model vectors: exact up to a size, faiss above it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Above this many models the index answers faster than numpy (benchmark/results/speed.csv).
EXACT_LIMIT = 100_000
CELLS_SHARE = 4  # one in so many cells is visited


class ModelIndex:
    """Finds the models with the largest inner product with a task vector.

    Args:
        vectors: model vectors, shape (n_models, n_components).
        exact: whether to compare with every model; by size when None. Otherwise an inverted file visits
            only the cells nearest to the query, and may miss a model.

    Source:
        Douze et al. 2024 (faiss), `IndexIVFFlat`; Bachrach et al. 2014, section 3.2, turns the largest inner
        product into the nearest neighbour.
    """

    def __init__(self, vectors: Floats, *, exact: bool | None = None) -> None:
        self.vectors = vectors
        self.is_exact = len(vectors) <= EXACT_LIMIT if exact is None else exact
        self._index = None if self.is_exact else _inverted_file(vectors)

    def search(self, query: Floats, n: int) -> NDArray[np.intp]:
        """Positions of the n best models, best first, ties by position.

        Args:
            query: task vector, shape (n_components,).
            n: how many; all models when there are fewer.
        """
        if self._index is None:
            return top_k(self.vectors @ query, n)
        lifted = np.append(query, 0.0)[None].astype(np.float32)
        _, found = self._index.search(lifted, min(n, len(self.vectors)))
        candidates = found[0][found[0] >= 0]
        return np.asarray(candidates[top_k(self.vectors[candidates] @ query, n)])


def top_k(scores: Floats, n: int) -> NDArray[np.intp]:
    """Positions of the n largest scores, largest first, ties by position.

    Args:
        scores: shape (n_models,).
        n: how many; all when there are fewer.

    Example:
        >>> top_k(np.array([0.1, 0.9, 0.5]), 2).tolist()
        [1, 2]
    """
    if n < len(scores):
        threshold = np.partition(scores, -n)[-n]
        best = np.flatnonzero(scores >= threshold)  # in order of position, so that ties stay stable
    else:
        best = np.arange(len(scores))
    return np.asarray(best[np.argsort(-scores[best], kind="stable")][:n])


def _inverted_file(vectors: Floats) -> Any:
    import faiss

    rows = _on_a_sphere(vectors)
    n_cells = int(np.sqrt(len(rows)))
    index = faiss.IndexIVFFlat(faiss.IndexFlatL2(rows.shape[1]), rows.shape[1], n_cells, faiss.METRIC_L2)
    sample = np.random.default_rng(0).choice(len(rows), min(len(rows), 40 * n_cells), replace=False)
    index.train(rows[sample])
    index.add(rows)
    index.nprobe = max(1, n_cells // CELLS_SHARE)
    return index


def _on_a_sphere(vectors: Floats) -> NDArray[np.float32]:
    """One more dimension makes all vectors equally long: nearest is then largest inner product."""
    norms = np.linalg.norm(vectors, axis=1)
    extra = np.sqrt(np.maximum(norms.max() ** 2 - norms**2, 0.0))
    return np.ascontiguousarray(np.column_stack([vectors, extra]), dtype=np.float32)
