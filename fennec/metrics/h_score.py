"""H-score: between-class variance relative to the total, raw and with a shrunken covariance.

Source: Bao et al., ICIP 2019; Ibrahim et al. 2021, arXiv:2110.06893.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .contract import Batch, prepare, scored
from .scatter import class_means, class_sums, gram_basis, left_basis


@scored
def h_score(features: Any, labels: Any, *, device: str | None = None) -> Tensor:
    """Trace of the inverse covariance times the covariance of the class means.

    Args:
        features: shape (n_samples, n_features).
        labels: shape (n_samples,).
        device: where to compute; the CPU when None.

    Returns:
        A value in [0, n_classes - 1]; the upper bound is reached by any features where there are no more
        samples than features, so that models tie: take `regularised_h_score` there. NaN with one class or
        constant features.

    Raises:
        InputError: inputs that do not fit together or are not finite, no such device.

    Source:
        Bao et al., definition 2, with a pseudo-inverse. Computed from the left singular vectors of the
        centred features alone: the sum over classes of the squared norm of their class sum over n_c.
    """
    batch = prepare(features, labels, device=device, drop_constant=True)
    vectors, _ = left_basis(batch.x - batch.x.mean(dim=0))
    return (class_sums(batch.with_features(vectors)).square().sum(dim=1) / batch.counts).sum()


@scored
def regularised_h_score(features: Any, labels: Any, *, device: str | None = None) -> Tensor:
    """H-score with a Ledoit-Wolf covariance.

    Args:
        features: shape (n_samples, n_features).
        labels: shape (n_samples,).
        device: where to compute; the CPU when None.

    Returns:
        A value in [0, n_classes - 1]; NaN with one class or constant features.

    Raises:
        InputError: inputs that do not fit together or are not finite, no such device.

    Source:
        Ibrahim et al., section 3.1: the covariance of the class means is scaled by one minus the shrinkage.
        Shrinkage of Ledoit & Wolf 2004. Only directions in which the samples vary count, so that fewer
        samples than features cost no large matrix.
    """
    batch = prepare(features, labels, device=device)
    centred = batch.with_features(batch.x - batch.x.mean(dim=0))
    n, d = centred.x.shape
    if n >= d:
        basis, values = gram_basis(centred.x)
    else:
        left, values = gram_basis(centred.x.T)
        basis = centred.x.T @ (left / values.sqrt())
    sphere = values.sum() / (n * d)  # mean variance
    shrinkage = _ledoit_wolf(centred, values, sphere)
    variances = (1 - shrinkage) * values / n + shrinkage * sphere
    between = (batch.counts[:, None] * (class_means(centred) @ basis).square()).sum(dim=0) / (n - 1)
    return (1 - shrinkage) * (between / variances).sum()


def _ledoit_wolf(centred: Batch, values: Tensor, sphere: Tensor) -> Tensor:
    """Optimal weight of the spherical part."""
    n, d = centred.x.shape
    square = (values / n).square().sum()  # squared norm of the covariance
    fourth = centred.x.square().sum(dim=1).square().sum() / n
    error = (fourth - square) / (n * d)
    distance = (square - d * sphere.square()) / d
    return torch.minimum(error, distance) / distance.clamp_min(torch.finfo(values.dtype).tiny)
