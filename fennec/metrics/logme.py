"""LogME: log evidence of Bayesian linear regression from features to labels.

Source: You et al., ICML 2021, arXiv:2102.11005, and JMLR 2022, arXiv:2110.10545.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from .contract import Undefined, matrix, one_thread, prepare, scored
from .scatter import class_sums, gram_basis

MAX_STEPS, TOLERANCE, EPSILON = 11, 1e-3, 1e-5  # of the released fixed point
MARGIN = 16.0  # of the logarithm of a ratio beyond the singular values: there the evidence is level
N_POINTS, WIDTH = 9, 1e-3  # of a finer grid, and its step at which the top is found


@scored
def logme(features: Any, labels: Any, *, compat: Literal["thuml"] | None = None, device: str | None = None) -> Tensor:
    """Log of maximum evidence, for classification.

    Args:
        features: shape (n_samples, n_features).
        labels: shape (n_samples,).
        compat: `thuml` stops where the released code does and leaves out the term that it forgets.
        device: where to compute; the CPU when None.

    Returns:
        Mean over classes of the log evidence per sample; NaN with one class.

    Raises:
        InputError: inputs that do not fit together or are not finite, no such device.

    Source:
        Evidence of JMLR 2022, section 4, all classes at once. The fixed point of algorithm 3 starts at one and
        takes at most eleven steps, which is not the maximum where the features have another unit; here the
        maximum itself is taken, the same for every unit. The released code also forgets
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
        compat: `thuml` stops where the released code does and leaves out the term that it forgets.
        device: where to compute; the CPU when None.

    Returns:
        Mean over targets of the log evidence per sample; targets that are zero everywhere do not count. NaN where
        nothing but zeros is left.

    Raises:
        InputError: inputs that do not fit together or are not finite, no such device.

    Source:
        As `logme`; targets are taken as they are.
    """
    x = matrix(features, "features", device=device)
    columns = targets if np.ndim(targets) == 2 else np.reshape(targets, (-1, 1))
    y = matrix(columns, "targets", n_rows=len(x), device=device)
    says = y.square().sum(dim=0) > 0
    if not (says.any() and x.any()):
        raise Undefined("the features or the targets are all zero")
    y = y[:, says]
    return _evidence(x, lambda z: z.T @ y, y.square().sum(dim=0), full=compat != "thuml").mean()


def _evidence(x: Tensor, products: Callable[[Tensor], Tensor], squares: Tensor, *, full: bool) -> Tensor:
    """Largest log evidence per sample of every target.

    Args:
        x: features, shape (n_samples, n_features).
        products: of columns, shape (n_samples, n_columns), and targets, shape (n_columns, n_targets).
        squares: sum of squares of every target, shape (n_targets,).
        full: whether directions beyond the number of samples count.

    Returns:
        Shape (n_targets,).
    """
    n, d = x.shape
    if full:  # the evidence does not depend on the unit of the features: take one that no square overflows in
        x = x / x.abs().max()
    if n >= d:
        vectors, sigma = gram_basis(x)
        explained = (vectors.T @ products(x)).square() / sigma[:, None]  # (rank, n_targets)
    else:
        vectors, sigma = gram_basis(x.T)
        explained = products(vectors).square()
    rest = (squares - explained.sum(dim=0)).clamp_min(0.0)
    with one_thread():
        return _maximum(sigma, explained, rest, n) if full else _as_released(sigma, explained, rest, n, d)


def _maximum(sigma: Tensor, explained: Tensor, rest: Tensor, n: int) -> Tensor:
    """The largest evidence over both precisions, found along the logarithm of their ratio.

    With t = alpha / beta fixed, the best 1 / beta is the weighted residual per sample, r(t) / n, so that the evidence
    is a function of t alone: -n/2 ln(2 pi r(t) / n) - n/2 - 1/2 sum ln(1 + sigma / t). A grid finds the highest hill,
    ever finer ones its top.

    Args:
        sigma: squared singular values of the features, shape (rank,).
        explained: of every target along every direction, shape (rank, n_targets).
        rest: of every target outside of these, shape (n_targets,).
        n: samples.
    """
    floor = torch.finfo(sigma.dtype).eps * n * (explained.sum(dim=0) + rest)  # of rounding, where all is explained

    def evidence(log_ratio: Tensor) -> Tensor:
        """Per sample, one ratio for each target."""
        odds = sigma[:, None] / log_ratio.exp()  # (rank, n_targets)
        residual = (explained / (1 + odds)).sum(dim=0) + rest + floor
        return -0.5 * ((2 * np.pi / n * residual).log() + 1 + odds.log1p().sum(dim=0) / n)

    low, high = float(sigma.min().log()) - MARGIN, float(sigma.max().log()) + MARGIN
    steps = torch.linspace(-1, 1, N_POINTS, dtype=sigma.dtype, device=sigma.device)[:, None]
    points = torch.linspace(low, high, int(high - low), dtype=sigma.dtype, device=sigma.device)
    width = float(points[1] - points[0])
    points = points[:, None].expand(-1, len(rest))  # (n_points, n_targets)
    while True:
        values = torch.stack([evidence(row) for row in points])
        best = values.argmax(dim=0, keepdim=True)
        if width < WIDTH:
            return values.gather(0, best)[0]
        points = points.gather(0, best) + width * steps
        width *= 2 / (N_POINTS - 1)


def _as_released(sigma: Tensor, explained: Tensor, rest: Tensor, n: int, d: int) -> Tensor:
    """What the released code makes of the same: a few steps of its fixed point, and without a term."""
    squares, sigma = rest, sigma[:, None]
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
    evidence = (
        d / 2 * alpha.log()
        + n / 2 * beta.log()
        - 0.5 * (alpha + beta * sigma).log().sum(dim=0)
        - (min(n, d) - len(sigma)) / 2 * alpha.log()
        - beta / 2 * residual
        - alpha / 2 * norm
        - n / 2 * float(np.log(2 * np.pi))
    )
    return evidence / n
