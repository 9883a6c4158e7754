"""Class means, scatter and principal components: the linear algebra that the metrics share."""

from __future__ import annotations

import torch
from torch import Tensor

from .contract import Batch


def class_sums(batch: Batch) -> Tensor:
    """Sum of the features of every class, shape (n_classes, n_features)."""
    sums = torch.zeros(batch.n_classes, batch.x.shape[1], dtype=batch.x.dtype, device=batch.x.device)
    return sums.index_add_(0, batch.y, batch.x)


def class_means(batch: Batch) -> Tensor:
    """Mean features of every class, shape (n_classes, n_features)."""
    return class_sums(batch) / batch.counts[:, None]


def class_variances(batch: Batch, means: Tensor) -> Tensor:
    """Variance of every feature within every class, divisor n, shape (n_classes, n_features)."""
    return class_means(batch.with_features((batch.x - means[batch.y]) ** 2))


def principal_components(x: Tensor, n_components: int, *, exact: bool = True) -> Tensor:
    """Scores of the leading principal components, largest first, shape (n_samples, n_kept).

    As many as asked for, as there are samples, or as there are features, whichever is least; components
    without variance are zero.

    Args:
        x: shape (n_samples, n_features).
        n_components: how many at most.
        exact: eigenvectors of the smaller Gram matrix; otherwise the rough randomised decomposition that the
            released code of several methods takes (one power iteration, seed 1919), on the CPU.
    """
    kept = min(n_components, *x.shape)
    if not exact:
        from sklearn.decomposition import PCA

        reducer = PCA(kept, svd_solver="randomized", iterated_power=1, random_state=1919)
        return torch.as_tensor(reducer.fit_transform(x.cpu().numpy()), dtype=x.dtype, device=x.device)
    centred = x - x.mean(dim=0)
    if x.shape[0] >= x.shape[1]:
        return centred @ torch.linalg.eigh(centred.T @ centred)[1][:, -kept:].flip(1)
    values, vectors = torch.linalg.eigh(centred @ centred.T)
    return torch.as_tensor(vectors[:, -kept:].flip(1) * values[-kept:].flip(0).clamp_min(0.0).sqrt())


def gram_basis(x: Tensor) -> tuple[Tensor, Tensor]:
    """Right singular vectors and squared singular values that are not zero up to rounding.

    Args:
        x: shape (n_samples, n_features).

    Returns:
        Vectors, shape (n_features, rank), and squared singular values, shape (rank,).
    """
    values, vectors = torch.linalg.eigh(x.T @ x)
    kept = values > values[-1] * max(x.shape) * torch.finfo(x.dtype).eps
    return vectors[:, kept], values[kept]


def left_basis(x: Tensor) -> tuple[Tensor, Tensor]:
    """Left singular vectors and squared singular values that are not zero, by the smaller Gram matrix.

    Args:
        x: shape (n_samples, n_features).

    Returns:
        Vectors, shape (n_samples, rank), and squared singular values, shape (rank,).
    """
    if x.shape[0] <= x.shape[1]:
        return gram_basis(x.T)
    vectors, values = gram_basis(x)
    return x @ (vectors / values.sqrt()), values
