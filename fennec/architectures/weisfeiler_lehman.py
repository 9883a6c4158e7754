"""The published encoding of architectures, as a baseline: Weisfeiler-Lehman labels, document vectors, clusters.

Source: Bai et al. 2024, arXiv:2403.06382, archi2vec of the released code.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .graph import KINDS, ArchitectureGraph

N_ROUNDS = 2


def wl_counts(graph: ArchitectureGraph, *, n_rounds: int = N_ROUNDS) -> Counter[str]:
    """How often every label occurs: the kind of an operator, then digests of its label and those it feeds.

    Args:
        graph: of one architecture; attributes do not count.
        n_rounds: of relabelling; the labels of all rounds count.
    """
    labels = [KINDS[kind] for kind in graph.kinds]
    fed: list[list[int]] = [[] for _ in labels]
    for source, target in graph.edges.T.tolist():
        fed[source].append(target)
    counts = Counter(labels)
    for _ in range(n_rounds):
        joined = (
            "_".join([label, *sorted(labels[target] for target in fed[node])]) for node, label in enumerate(labels)
        )
        labels = [hashlib.md5(text.encode(), usedforsecurity=False).hexdigest() for text in joined]
        counts.update(labels)
    return counts


def wl_vectors(graphs: Sequence[ArchitectureGraph], *, n_components: int = 128) -> NDArray[np.float64]:
    """Vectors of unit length, shape (n_graphs, at most n_components).

    Args:
        graphs: at least two.
        n_components: length of a vector.

    Source:
        Truncated singular vectors of weighted label counts in place of the released document vectors, which
        are random and need another library [inferred].
    """
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction import DictVectorizer
    from sklearn.feature_extraction.text import TfidfTransformer
    from sklearn.preprocessing import normalize

    counts = DictVectorizer().fit_transform([wl_counts(graph) for graph in graphs])
    common = np.asarray((counts > 0).sum(axis=0)).ravel() >= min(2, len(graphs))
    weighted = TfidfTransformer().fit_transform(counts[:, common])
    size = max(1, min(n_components, len(graphs) - 1, weighted.shape[1] - 1))
    return np.asarray(normalize(TruncatedSVD(size, random_state=0).fit_transform(weighted)))


def wl_clusters(vectors: NDArray[np.float64], n_clusters: int) -> NDArray[np.float64]:
    """Cluster of every architecture, one-hot, shape (n_graphs, n_clusters), as the published pipeline uses it."""
    from sklearn.cluster import KMeans

    found = KMeans(n_clusters, n_init=10, random_state=0).fit_predict(vectors)
    return np.asarray(np.eye(n_clusters)[found])
