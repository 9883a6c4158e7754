"""H-score: between-class variance relative to the total, raw and with a shrunken covariance.

Source: Bao et al., ICIP 2019; Ibrahim et al. 2021, arXiv:2110.06893.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from .contract import Batch, Score, near_ceiling, prepare, scored
from .scatter import centred_blocks, class_sums, gram, gram_basis, regular_factor, scatter, spectrum


@scored
def h_score(features: Any, labels: Any, *, device: str | None = None) -> Score:
    """Trace of the inverse covariance times the covariance of the class means.

    Args:
        features: shape (n_samples, n_features).
        labels: shape (n_samples,).
        device: where to compute; the CPU when None.

    Returns:
        A value in [0, n_classes - 1]; the upper bound is reached by any features where there are no more
        samples than features, so that models tie, as the reason then says. NaN with one class or constant
        features.

    Raises:
        InputError: inputs that do not fit together or are not finite, no such device.

    Source:
        Bao et al., definition 2, with a pseudo-inverse of the covariance.
    """
    batch = prepare(features, labels, device=device, drop_constant=True)
    n, d = batch.x.shape
    centre = batch.x.mean(dim=0)
    if n < d:
        left, _ = gram_basis((batch.x - centre).T)
        value = (class_sums(batch.with_features(left)).square().sum(dim=1) / batch.counts).sum()
    else:
        value = _in_columns(batch, centre)
    return near_ceiling(value, batch.n_classes - 1, batch, "take regularised_h_score or more images")


def _in_columns(batch: Batch, centre: Tensor) -> Tensor:
    """The trace from the scatter of the features, where these are no more than the samples."""
    square = scatter(batch.x, centre)
    means = _weighted_means(batch, centre)
    factor, failed = torch.linalg.cholesky_ex(square)
    pivots = factor.diagonal().square()
    if not failed and pivots.min() > len(batch.x) * torch.finfo(square.dtype).eps * square.diagonal().max():
        return torch.linalg.solve_triangular(factor, means.T, upper=False).square().sum()
    basis, values = spectrum(square, len(batch.x))
    return ((means @ basis).square() / values).sum()


@scored
def regularised_h_score(features: Any, labels: Any, *, device: str | None = None) -> Score:
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
        Shrinkage of Ledoit & Wolf 2004. Fewer samples than features cost no matrix of n_features x
        n_features: with the centred samples Z, Z'Z and ZZ' have the same trace and norm, and
        Z (a Z'Z + b I)^-1 Z' = (I - b (a ZZ' + b I)^-1) / a.
    """
    batch = prepare(features, labels, device=device)
    n, d = batch.x.shape
    centre = batch.x.mean(dim=0)
    square = (gram((batch.x - centre).T) if n < d else scatter(batch.x, centre)) / n
    sphere = float(square.trace()) / d  # mean variance
    shrinkage = _ledoit_wolf(square.square().sum(), batch.x, centre, sphere)
    factor, ridge = regular_factor((1 - shrinkage) * square, shrinkage * sphere, sphere)
    if n < d:
        members = functional.one_hot(batch.y) / batch.counts.sqrt()  # (n_samples, n_classes), orthonormal columns
        left_over = torch.linalg.solve_triangular(factor, members, upper=False).square().sum()
        value = n * (batch.n_classes - ridge * left_over) / (n - 1)
    else:
        means = _weighted_means(batch, centre)
        inside = torch.linalg.solve_triangular(factor, means.T, upper=False).square().sum()
        value = (1 - shrinkage) * inside / (n - 1)
    return near_ceiling(value, batch.n_classes - 1, batch, "take more images")


def _weighted_means(batch: Batch, centre: Tensor) -> Tensor:
    """Class means less the mean of all, times the root of their counts, shape (n_classes, n_features)."""
    return class_sums(batch) / batch.counts[:, None].sqrt() - batch.counts[:, None].sqrt() * centre


def _ledoit_wolf(square: Tensor, x: Tensor, centre: Tensor, sphere: float) -> float:
    """Optimal weight of the spherical part.

    Args:
        square: squared norm of the covariance.
        x: features, shape (n_samples, n_features).
        centre: their mean.
        sphere: their mean variance.
    """
    n, d = x.shape
    fourth = sum(block.square_().sum(dim=1).square().sum() for _, block in centred_blocks(x, centre)) / n
    error = (fourth - square) / (n * d)
    distance = (square - d * sphere**2) / d
    return float(torch.minimum(error, distance) / distance.clamp_min(torch.finfo(x.dtype).tiny))
