"""kNN: leave-one-out accuracy of nearest neighbours."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .contract import prepare, scored

CHUNK = 512  # rows compared with all others at a time


@scored
def knn(features: Any, labels: Any, *, n_neighbors: int = 5, cosine: bool = True, device: str | None = None) -> Tensor:
    """Leave-one-out accuracy of a vote of the nearest neighbours.

    Args:
        features: shape (n_samples, n_features).
        labels: shape (n_samples,).
        n_neighbors: voters, each with its similarity as weight [inferred]; 1 is the variant of PARC's code.
        cosine: similarity of directions instead of Euclidean distance.
        device: where to compute; the CPU when None.

    Returns:
        Accuracy in [0, 1]; NaN with one class.

    Raises:
        InputError: inputs that do not fit together or are not finite, no such device.

    Source:
        Bolya et al., NeurIPS 2021, baselines; a vote weighted by one over the distance where that is
        Euclidean.
    """
    batch = prepare(features, labels, device=device)
    x = torch.nn.functional.normalize(batch.x, dim=1) if cosine else batch.x
    n_voters = min(n_neighbors, len(x) - 1)
    right = torch.zeros((), dtype=x.dtype, device=x.device)
    for start in range(0, len(x), CHUNK):
        rows = x[start : start + CHUNK]
        near = rows @ x.T if cosine else -torch.cdist(rows, x, compute_mode="donot_use_mm_for_euclid_dist")
        own = torch.arange(len(rows), device=x.device)
        near[own, own + start] = -torch.inf
        values, neighbors = near.topk(n_voters, dim=1)
        weights = (values + 1) / 2 if cosine else 1 / (1e-12 - values)
        votes = torch.zeros(len(rows), batch.n_classes, dtype=x.dtype, device=x.device)
        votes.scatter_add_(1, batch.y[neighbors], weights)
        right += (votes.argmax(dim=1) == batch.y[start : start + CHUNK]).sum()
    return right / len(x)
