"""NCC: nearest class centroid."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .contract import Batch, prepare, scored
from .scatter import BLOCK, class_means, class_sums


@scored
def ncc(features: Any, labels: Any, *, cosine: bool = False, device: str | None = None) -> Tensor:
    """Nearest class centroid.

    Args:
        features: shape (n_samples, n_features).
        labels: shape (n_samples,).
        cosine: leave-one-out accuracy of the centroid nearest in angle, instead of the mean posterior.
        device: where to compute; the CPU when None.

    Returns:
        Mean posterior of the true class, or accuracy, in [0, 1]; NaN with one class.

    Raises:
        InputError: inputs that do not fit together or are not finite, no such device.

    Source:
        Posterior of Gaussian classes with identity covariance, as DISCO and ETran use it. The cosine form
        takes every sample out of its own centroid [inferred].
    """
    batch = prepare(features, labels, device=device)
    return _leave_one_out(batch) if cosine else class_posterior(batch)


def class_posterior(batch: Batch) -> Tensor:
    """Mean posterior of the true class under Gaussian classes with identity covariance."""
    means = class_means(batch)
    offsets = torch.log(batch.counts / len(batch.x)) - 0.5 * means.square().sum(dim=1)
    total = torch.zeros((), dtype=means.dtype, device=means.device)
    for start in range(0, len(batch.x), BLOCK):
        rows = slice(start, start + BLOCK)
        logits = torch.addmm(offsets, batch.x[rows], means.T)
        total += torch.softmax(logits, dim=1).gather(1, batch.y[rows, None]).sum()
    return total / len(batch.x)


def _leave_one_out(batch: Batch) -> Tensor:
    x = torch.nn.functional.normalize(batch.x, dim=1)
    sums = class_sums(batch.with_features(x))
    similarity = x @ torch.nn.functional.normalize(sums, dim=1).T
    own = torch.nn.functional.normalize(sums[batch.y] - x, dim=1)  # a class of one has no centroid left
    similarity.scatter_(1, batch.y[:, None], (x * own).sum(dim=1, keepdim=True))
    return (similarity.argmax(dim=1) == batch.y).to(x.dtype).mean()
