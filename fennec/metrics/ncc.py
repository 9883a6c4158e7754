"""NCC: nearest class centroid."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .contract import Batch, prepare, scored
from .scatter import class_means, class_sums


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
    logits = batch.x @ means.T - 0.5 * means.square().sum(dim=1) + torch.log(batch.counts / len(batch.x))
    return torch.softmax(logits, dim=1).gather(1, batch.y[:, None]).mean()


def _leave_one_out(batch: Batch) -> Tensor:
    x = torch.nn.functional.normalize(batch.x, dim=1)
    sums = class_sums(batch.with_features(x))
    similarity = x @ torch.nn.functional.normalize(sums, dim=1).T
    own = torch.nn.functional.normalize(sums[batch.y] - x, dim=1)  # a class of one has no centroid left
    similarity.scatter_(1, batch.y[:, None], (x * own).sum(dim=1, keepdim=True))
    return (similarity.argmax(dim=1) == batch.y).to(x.dtype).mean()
