"""GBC: Gaussian Bhattacharyya coefficients between classes.

Source: Pandy et al., CVPR 2022, arXiv:2111.12780.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .contract import prepare, scored
from .scatter import class_means, class_variances, principal_components

FLOOR = 1e-4  # of a variance


@scored
def gbc(
    features: Any,
    labels: Any,
    *,
    diagonal: bool = False,
    pca_dim: int | None = 64,
    device: str | None = None,
) -> Tensor:
    """Minus the summed overlap of all pairs of classes.

    Args:
        features: shape (n_samples, n_features).
        labels: shape (n_samples,).
        diagonal: one variance per class and feature instead of one per class.
        pca_dim: principal components to keep first, as in the paper; all features when None.
        device: where to compute; the CPU when None.

    Returns:
        A value of at most 0; 0 where no two classes overlap. NaN with one class.

    Raises:
        InputError: inputs that do not fit together or are not finite, no such device.

    Source:
        Equations 2-4 over ordered pairs. With one variance per class the released code counts the
        logarithm of the variances once and not once per feature, and so does this.
    """
    batch = prepare(features, labels, device=device)
    if pca_dim is not None:
        batch = batch.with_features(principal_components(batch.x, pca_dim))
    means = class_means(batch)
    variances = class_variances(batch, means).clamp_min(FLOOR)
    overlap = _overlap_diagonal(means, variances) if diagonal else _overlap_spherical(means, variances.mean(dim=1))
    return -overlap.fill_diagonal_(0.0).sum()


def _overlap_spherical(means: Tensor, variances: Tensor) -> Tensor:
    """Bhattacharyya coefficient of every pair, shape (n_classes, n_classes)."""
    pooled = (variances[:, None] + variances) / 2
    squares = torch.cdist(means, means, compute_mode="donot_use_mm_for_euclid_dist").square()
    logs = variances.log()
    distance = squares / pooled / 8 + 0.5 * (pooled.log() - 0.5 * (logs[:, None] + logs))
    return (-distance).exp()


def _overlap_diagonal(means: Tensor, variances: Tensor) -> Tensor:
    """The same with one variance per feature, a row of pairs at a time to bound the memory."""
    logs = variances.log().sum(dim=1)
    rows = []
    for mean, variance, log in zip(means, variances, logs, strict=True):
        pooled = (variance + variances) / 2
        distance = ((mean - means).square() / pooled).sum(dim=1) / 8
        rows.append((-distance - 0.5 * (pooled.log().sum(dim=1) - 0.5 * (log + logs))).exp())
    return torch.stack(rows)
