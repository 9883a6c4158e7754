"""EMMS: weighted multi-label-embedding regression.

Source: Meng et al., NeurIPS 2023, arXiv:2308.06262.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from fennec.errors import InputError

from .contract import prepare, scored
from .scatter import gram, gram_basis


@scored
def emms(features: Any, labels: Any, *, embeddings: Any = None, device: str | None = None) -> Tensor:
    """Fit of features to several embeddings of the labels at once.

    Args:
        features: shape (n_samples, n_features).
        labels: shape (n_samples,).
        embeddings: label embeddings of every sample, such as text features of its class name, shape
            (n_samples, n_dimensions, n_embeddings); one-hot labels when None [inferred].
        device: where to compute; the CPU when None.

    Returns:
        Minus a squared error, at most 0; NaN with one class or constant features.

    Raises:
        InputError: inputs that do not fit together or are not finite, no such device.

    Source:
        Algorithm 1 as released: one step of the alternation, weights of the embeddings on the simplex, the
        error divided by samples and multiplied by dimensions. With no more samples than features every
        model would fit; a ridge of 1e-3 of the samples is added then [inferred].
    """
    batch = prepare(features, labels, device=device, drop_constant=True)
    x = _standardise(batch.x)
    if embeddings is None:
        stack = functional.one_hot(batch.y).to(x.dtype)[:, :, None]
    else:
        stack = _check(embeddings, len(x)).to(x)
    stack = _standardise(stack)
    n, size, n_embeddings = stack.shape
    target = stack.mean(dim=2)
    fitted = _fit(x, target)
    columns = stack.reshape(-1, n_embeddings)
    weights = torch.linalg.lstsq(columns, fitted.reshape(-1, 1)).solution[:, 0]
    mixed = stack @ _onto_simplex(weights)
    return -(fitted - mixed).square().sum() / n * size


def _standardise(x: Tensor) -> Tensor:
    return (x - x.mean(dim=0)).div_(x.std(dim=0, correction=0) + 1e-8)


def _fit(x: Tensor, target: Tensor) -> Tensor:
    """Least-squares prediction of the targets, shape (n_samples, n_dimensions)."""
    n, d = x.shape
    if n > d:
        vectors, values = gram_basis(x)
        return x @ (vectors @ ((vectors.T @ (x.T @ target)) / values[:, None]))
    ridge = 1e-3 * n
    ridged = gram(x.T)
    ridged.diagonal().add_(ridge)
    return target - ridge * torch.cholesky_solve(target, torch.linalg.cholesky(ridged))


def _onto_simplex(weights: Tensor) -> Tensor:
    """Nearest point with weights of at least 0 that sum to 1 (sparsemax), shape (n_embeddings,)."""
    ordered = weights.sort(descending=True).values
    sums = ordered.cumsum(0) - 1
    positions = torch.arange(1, len(weights) + 1, dtype=weights.dtype, device=weights.device)
    size = int((ordered * positions > sums).sum())
    return (weights - sums[size - 1] / size).clamp_min(0.0)


def _check(embeddings: Any, n_samples: int) -> Tensor:
    stack = torch.as_tensor(embeddings)
    if stack.ndim != 3 or len(stack) != n_samples or 0 in stack.shape:
        raise InputError(
            f"embeddings have shape {tuple(stack.shape)}; expected ({n_samples}, n_dimensions, n_embeddings)"
        )
    if not torch.isfinite(stack).all():
        raise InputError("embeddings hold NaN or infinite values")
    return stack
