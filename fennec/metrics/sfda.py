"""SFDA: mean posterior of a regularised Fisher classifier after every sample was made harder.

Source: Shao et al., ECCV 2022, arXiv:2207.03036, equations 1-9, in the form of the released code.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .contract import Batch, Undefined, prepare, scored
from .scatter import class_means, principal_components

FLOOR = 1e-10  # of the shrinkage


@scored
def sfda(features: Any, labels: Any, *, pca_dim: int | None = None, device: str | None = None) -> Tensor:
    """Self-challenging Fisher discriminant analysis.

    Args:
        features: of one model on the target images, shape (n_samples, n_features).
        labels: shape (n_samples,).
        pca_dim: principal components to keep first; all features when None. With about as many features as
            samples the score saturates at 1; 32 is the remedy that the authors gave.
        device: where to compute; the CPU when None.

    Returns:
        Mean posterior of the true class in (0, 1]; NaN with one class or constant features.

    Raises:
        InputError: inputs that do not fit together or are not finite, no such device.

    Source:
        Equations 3-9 as released: the projection drops out, as the product of all generalised eigenvectors
        is the inverse within-class scatter; the confidences that mix samples with the other classes' mean
        pass a softmax twice; the mean of probabilities stands for the sum of logarithms. With fewer samples
        than features the same inverse is taken in the space of the samples [inferred: algebra only]. Where
        the shrunken scatter is singular the ridge grows tenfold until it is not, at most to 1e-3 [inferred].

    Example:
        >>> features = [[0.0, 0.1], [0.2, 0.0], [1.0, 1.1], [1.2, 0.9]]
        >>> 0.9 < sfda(features, ["a", "a", "b", "b"]) <= 1
        True
    """
    batch = prepare(features, labels, device=device)
    if pca_dim is not None:
        batch = batch.with_features(principal_components(batch.x, pca_dim))
    means = class_means(batch)
    shrinkage = max(float(torch.exp(-5 * largest_eigenvalue(batch.x - means[batch.y]))), FLOOR)
    confidence = torch.softmax(posteriors(batch, shrinkage), dim=1).gather(1, batch.y[:, None])
    others = (means.sum(dim=0) - means) / (batch.n_classes - 1)
    harder = confidence * batch.x + (1 - confidence) * others[batch.y]
    return posteriors(batch.with_features(harder), shrinkage).gather(1, batch.y[:, None]).mean()


def largest_eigenvalue(centred: Tensor) -> Tensor:
    """Estimate of the largest eigenvalue of the within-class scatter, by six multiplications as released.

    Args:
        centred: features less their class mean, shape (n_samples, n_features).
    """

    def scatter(vector: Tensor) -> Tensor:
        return centred.T @ (centred @ vector) / len(centred)

    left = scatter(torch.ones(centred.shape[1], dtype=centred.dtype, device=centred.device))
    right = left
    for _ in range(3):
        right = scatter(left)
        right = right / right.norm().clamp_min(torch.finfo(right.dtype).tiny)
        left = scatter(right)
        left = left / left.norm().clamp_min(torch.finfo(left.dtype).tiny)
    return left @ scatter(right)


def posteriors(batch: Batch, shrinkage: float) -> Tensor:
    """Class probabilities of a linear discriminant with a shrunken scatter, on its own samples.

    Args:
        batch: features and labels.
        shrinkage: weight of the spherical part, in [0, 1].

    Returns:
        Shape (n_samples, n_classes).

    Raises:
        Undefined: the features do not vary within any class.
    """
    means = class_means(batch)
    centred = batch.x - means[batch.y]
    n, d = centred.shape
    ridge = centred.square().sum() / (n * d)  # mean variance within classes
    if ridge <= 0:
        raise Undefined("the features do not vary within any class")
    solve = _in_rows if n < d else _in_columns
    products, norms = solve(batch.x, means, centred, shrinkage, float(ridge))
    return torch.softmax(products - 0.5 * norms + torch.log(batch.counts / n), dim=1)


def _in_columns(x: Tensor, means: Tensor, centred: Tensor, shrinkage: float, ridge: float) -> tuple[Tensor, Tensor]:
    """X S^-1 m_c and m_c S^-1 m_c by one Cholesky decomposition of the scatter S."""
    scatter = centred.T @ centred
    scatter *= (1 - shrinkage) / len(centred)
    diagonal = scatter.diagonal()
    added = shrinkage * ridge
    diagonal += added
    while True:
        factor, failed = torch.linalg.cholesky_ex(scatter)
        if not failed:
            break
        if added > 1e-3 * ridge:
            raise Undefined("the within-class scatter is singular")
        larger = max(10 * added, FLOOR * ridge)
        diagonal += larger - added
        added = larger
    directions = torch.cholesky_solve(means.T, factor)  # (n_features, n_classes)
    return x @ directions, (means.T * directions).sum(dim=0)


def _in_rows(x: Tensor, means: Tensor, centred: Tensor, shrinkage: float, ridge: float) -> tuple[Tensor, Tensor]:
    """The same where samples are fewer than features, without any matrix of n_features x n_features.

    Directions are split into the span of the centred samples and the rest, on which the scatter is the ridge.
    """
    values, vectors = torch.linalg.eigh(centred @ centred.T)
    kept = values > values[-1] * max(centred.shape) * torch.finfo(x.dtype).eps
    values, vectors = values[kept], vectors[:, kept]
    added = max(shrinkage, FLOOR) * ridge
    inside = 1 / ((1 - shrinkage) * values / len(centred) + added)
    basis = centred.T @ (vectors / values.sqrt())  # (n_features, rank)
    x_in, means_in = x @ basis, means @ basis
    products = (x_in * (inside - 1 / added)) @ means_in.T + x @ means.T / added
    norms = (means_in.square() * (inside - 1 / added)).sum(dim=1) + means.square().sum(dim=1) / added
    return products, norms
