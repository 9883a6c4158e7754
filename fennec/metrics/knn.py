"""kNN: leave-one-out accuracy of nearest neighbours."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .contract import prepare, scored
from .scatter import gram

BLOCK = 2048  # samples compared with as many others at a time


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
    closeness = torch.full((len(x), n_voters), -torch.inf, dtype=x.dtype, device=x.device)
    neighbors = torch.zeros_like(closeness, dtype=torch.long)
    blocks = [slice(start, min(start + BLOCK, len(x))) for start in range(0, len(x), BLOCK)]
    for place, rows in enumerate(blocks):
        for columns in blocks[place:]:  # a block serves its rows and, transposed, its columns
            near = _closeness(x[rows], None if rows == columns else x[columns], cosine)
            if rows == columns:
                near.fill_diagonal_(-torch.inf)
            else:
                _keep_best(closeness[columns], neighbors[columns], near.T, rows.start)
            _keep_best(closeness[rows], neighbors[rows], near, columns.start)
    weights = (closeness + 1) / 2 if cosine else 1 / (1e-12 - closeness)
    votes = torch.zeros(len(x), batch.n_classes, dtype=x.dtype, device=x.device)
    votes.scatter_add_(1, batch.y[neighbors], weights)
    return (votes.argmax(dim=1) == batch.y).to(x.dtype).mean()


def _closeness(rows: Tensor, columns: Tensor | None, cosine: bool) -> Tensor:
    """Of rows with columns, or among themselves, shape (n_rows, n_columns)."""
    if cosine:
        return gram(rows.T) if columns is None else rows @ columns.T
    others = rows if columns is None else columns
    return -torch.cdist(rows, others, compute_mode="donot_use_mm_for_euclid_dist")


def _keep_best(closeness: Tensor, neighbors: Tensor, near: Tensor, start: int) -> None:
    """Update the best so far, in place, with candidates that are numbered from `start`."""
    values, found = near.topk(min(closeness.shape[1], near.shape[1]), dim=1)
    values, order = torch.cat([closeness, values], dim=1).topk(closeness.shape[1], dim=1)
    closeness.copy_(values)
    neighbors.copy_(torch.cat([neighbors, found + start], dim=1).gather(1, order))
