"""LogME: log evidence of Bayesian linear regression from features to labels.

Source: You et al., ICML 2021, arXiv:2102.11005, and JMLR 2022, arXiv:2110.10545.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from .contract import matrix, prepare, scored
from .scatter import class_sums, gram_basis

MAX_STEPS, TOLERANCE, EPSILON = 11, 1e-3, 1e-5


@scored
def logme(features: Any, labels: Any, *, compat: Literal["thuml"] | None = None, device: str | None = None) -> Tensor:
    """Log of maximum evidence, for classification.

    Args:
        features: shape (n_samples, n_features).
        labels: shape (n_samples,).
        compat: `thuml` leaves out a term as the released code does.
        device: where to compute; the CPU when None.

    Returns:
        Mean over classes of the log evidence per sample; NaN with one class.

    Raises:
        InputError: inputs that do not fit together or are not finite, no such device.

    Source:
        Fixed point of JMLR 2022, algorithm 3, all classes at once. The released code forgets
        (n_features - rank) / 2 * ln(alpha) in the evidence, which is wrong for fewer samples than features;
        here it is counted, as in the first version of the authors' code.
    """
    batch = prepare(features, labels, device=device)

    def products(z: Tensor) -> Tensor:
        return class_sums(batch.with_features(z)).T

    return _evidence(batch.x, products, batch.counts, full=compat != "thuml").mean()


@scored
def logme_regression(
    features: Any, targets: Any, *, compat: Literal["thuml"] | None = None, device: str | None = None
) -> Tensor:
    """Log of maximum evidence, for regression, or for several labels per sample as columns of 0 and 1.

    Args:
        features: shape (n_samples, n_features).
        targets: real values, shape (n_samples,) or (n_samples, n_targets).
        compat: `thuml` leaves out a term as the released code does.
        device: where to compute; the CPU when None.

    Returns:
        Mean over targets of the log evidence per sample.

    Raises:
        InputError: inputs that do not fit together or are not finite, no such device.

    Source:
        As `logme`; targets are taken as they are.
    """
    x = matrix(features, "features", device=device)
    columns = targets if np.ndim(targets) == 2 else np.reshape(targets, (-1, 1))
    y = matrix(columns, "targets", n_rows=len(x), device=device)
    return _evidence(x, lambda z: z.T @ y, y.square().sum(dim=0), full=compat != "thuml").mean()


def _evidence(x: Tensor, products: Callable[[Tensor], Tensor], squares: Tensor, *, full: bool) -> Tensor:
    """Log evidence per sample of every target.

    Args:
        x: features, shape (n_samples, n_features).
        products: of columns, shape (n_samples, n_columns), and targets, shape (n_columns, n_targets).
        squares: sum of squares of every target, shape (n_targets,).
        full: whether directions beyond the number of samples count.

    Returns:
        Shape (n_targets,).
    """
    n, d = x.shape
    if n >= d:
        vectors, sigma = gram_basis(x)
        explained = (vectors.T @ products(x)).square() / sigma[:, None]  # (rank, n_targets)
    else:
        vectors, sigma = gram_basis(x.T)
        explained = products(vectors).square()
    rest = (squares - explained.sum(dim=0)).clamp_min(0.0)
    sigma = sigma[:, None]
    alpha, beta = torch.ones_like(squares), torch.ones_like(squares)
    active = torch.ones_like(squares, dtype=torch.bool)
    norm, residual = torch.zeros_like(squares), torch.zeros_like(squares)
    for _ in range(MAX_STEPS):
        ratio = alpha / beta
        gamma = (sigma / (sigma + ratio)).sum(dim=0)
        norm = torch.where(active, (sigma * explained / (ratio + sigma).square()).sum(dim=0), norm)
        residual = torch.where(active, (explained / (1 + sigma / ratio).square()).sum(dim=0) + rest, residual)
        alpha = torch.where(active, gamma / (norm + EPSILON), alpha)
        beta = torch.where(active, (n - gamma) / (residual + EPSILON), beta)
        active = active & ((alpha / beta - ratio).abs() / ratio > TOLERANCE)
        if not active.any():
            break
    empty = (d if full else min(n, d)) - len(sigma)
    evidence = (
        d / 2 * alpha.log()
        + n / 2 * beta.log()
        - 0.5 * (alpha + beta * sigma).log().sum(dim=0)
        - empty / 2 * alpha.log()
        - beta / 2 * residual
        - alpha / 2 * norm
        - n / 2 * float(np.log(2 * np.pi))
    )
    return evidence / n
