"""DISCO: how well groups of spectral components tell classes apart, or predict targets.

Source: Zhang et al., AAAI 2025, arXiv:2412.19085; the released code for classification, a transcription of
the equations for regression, detection and hard examples.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .contract import Batch, Score, Undefined, matrix, prepare, scored
from .ncc import class_posterior
from .scatter import principal_components
from .sfda import Discriminant

N_COMPONENTS, N_GROUPS = 128, 8


@scored
def disco(
    features: Any,
    labels: Any,
    *,
    hard_share: float | None = None,
    unit_scale: bool = False,
    exact_pca: bool = True,
    device: str | None = None,
) -> Tensor:
    """Distribution of spectral components, for classification.

    Args:
        features: shape (n_samples, n_features).
        labels: shape (n_samples,).
        hard_share: score only this share of every class, those that a discriminant classifies worst (at
            least two per class); all samples when None.
        unit_scale: scale the components to unit mean square first, against the dependence on the scale of
            the features [inferred].
        exact_pca: whether to compute the components exactly; the released code takes a rough random
            approximation, which moves the score by up to a fifth where the spectrum is flat.
        device: where to compute; the CPU when None.

    Returns:
        Weighted mean posterior of the true class in (0, 1]; NaN with one class.

    Raises:
        InputError: inputs that do not fit together or are not finite, no such device.

    Source:
        Released code: 128 principal components in 8 groups, each scored by class means with identity
        covariance and weighted by its share of singular values. The decomposition here is exact. Hard
        examples: section 3.3; the ratio and the classifier are [inferred].
    """
    batch = prepare(features, labels, device=device)
    if hard_share is not None:
        batch = hard_examples(batch, hard_share)
    scores = principal_components(batch.x, N_COMPONENTS, exact=exact_pca)
    if unit_scale:
        scores = scores / scores.square().sum(dim=1).mean().div(scores.shape[1]).sqrt()
    parts = [class_posterior(batch.with_features(group)) for group in _groups(scores)]
    return torch.dot(_shares(scores), torch.stack(parts))


@scored
def disco_regression(features: Any, targets: Any, *, device: str | None = None) -> Tensor:
    """DISCO for regression: how well groups of spectral components predict targets.

    Args:
        features: shape (n_samples, n_features).
        targets: real values, shape (n_samples,) or (n_samples, n_targets).
        device: where to compute; the CPU when None.

    Returns:
        Minus a weighted mean squared error, at most 0.

    Raises:
        InputError: inputs that do not fit together or are not finite, no such device.

    Source:
        Least squares within every group; targets are centred, as the components are [inferred].
    """
    x = matrix(features, "features", device=device)
    values = targets if np.ndim(targets) == 2 else np.reshape(targets, (-1, 1))
    y = matrix(values, "targets", n_rows=len(x), device=device)
    y = y - y.mean(dim=0)
    scores = principal_components(x, N_COMPONENTS)
    errors = []
    for group in _groups(scores):
        vectors = group / group.norm(dim=0).clamp_min(torch.finfo(x.dtype).tiny)
        errors.append(-(y - vectors @ (vectors.T @ y)).square().mean())
    return torch.dot(_shares(scores), torch.stack(errors))


def disco_detection(features: Sequence[Any], labels: Any, boxes: Any, *, device: str | None = None) -> list[Score]:
    """DISCO for object detection over a set of models: class part plus box part.

    Args:
        features: of every box under every model, each of shape (n_boxes, n_features).
        labels: class of every box, shape (n_boxes,).
        boxes: coordinates as fractions of the image [inferred], shape (n_boxes, 4).
        device: where to compute; the CPU when None.

    Returns:
        One score per model in [0, 2]: both parts are scaled to [0, 1] over the models and added.
    """
    parts = np.array([[disco(x, labels, device=device), disco_regression(x, boxes, device=device)] for x in features])
    return [Score(value) for value in min_max(parts).sum(axis=1).tolist()]


def min_max(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Columns scaled to [0, 1] over the models, NaN left out; a constant column becomes 0."""
    low, high = np.fmin.reduce(values, axis=0), np.fmax.reduce(values, axis=0)
    return np.asarray((values - low) / np.where(high > low, high - low, 1.0))


def hard_examples(batch: Batch, share: float) -> Batch:
    """The samples of every class that a shrunken discriminant gives the lowest posterior.

    Args:
        batch: features and labels.
        share: of every class to keep, in (0, 1]; never fewer than two where there are two.
    """
    if not 0 < share <= 1:
        raise Undefined(f"hard_share is {share}; expected a share in (0, 1]")
    reduced = batch.with_features(principal_components(batch.x, N_COMPONENTS))
    own = Discriminant(reduced).posteriors(0.1).gather(1, batch.y[:, None])[:, 0]
    kept = []
    for label in range(batch.n_classes):
        members = torch.nonzero(batch.y == label)[:, 0]
        n_kept = min(len(members), max(2, round(share * len(members))))
        kept.append(members[own[members].argsort(stable=True)[:n_kept]])
    chosen = torch.cat(kept).sort().values
    y = batch.y[chosen]
    return Batch(batch.x[chosen], y, torch.bincount(y).to(batch.x.dtype))


def _groups(scores: Tensor) -> list[Tensor]:
    """Components in consecutive groups of equal size, largest first; what does not fill a group is left out."""
    width = max(scores.shape[1] // N_GROUPS, 1)
    return [scores[:, start : start + width] for start in range(0, scores.shape[1] - width + 1, width)][:N_GROUPS]


def _shares(scores: Tensor) -> Tensor:
    """Share of singular values in every group, shape (n_groups,)."""
    values = scores.norm(dim=0)
    return torch.stack([group.norm(dim=0).sum() for group in _groups(scores)]) / values.sum()
