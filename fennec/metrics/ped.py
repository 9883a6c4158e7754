"""PED: move overlapping classes apart for a few small steps, then score with any metric.

Source: Li et al., ICCV 2023, arXiv:2308.15074, in the form of the released code.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .contract import Batch, Score, matrix, prepare, scored
from .scatter import class_means, class_variances, deviations

TIME_STEP, MAX_STEPS, EXIT_RATIO = 0.1, 6, 0.5
STD_FLOOR = 1e-3


def ped(
    metric: Callable[..., Score], *, n_sigma: float = 0.6, reference: Any = None, stiffness: float = 1.0
) -> Callable[..., Score]:
    """A metric on features whose classes were pushed apart.

    Args:
        metric: any metric of features and labels.
        n_sigma: radii of a class that count as its ball; the paper uses 0.3 and 0.6.
        reference: features of the same model on generic images, shape (n_reference, n_features), whose mean
            and standard deviation set the scale; those of the target features when None [inferred], which
            is not equivalent.
        stiffness: force per overlap.

    Returns:
        A metric with the same arguments and range.

    Source:
        Released code; the pairwise forces are one product with a matrix of n_classes x n_classes, so memory
        grows with n_classes * n_features. Classes with equal means do not push each other [inferred].

    Example:
        >>> from fennec.metrics.sfda import sfda
        >>> features = [[0.0, 0.1], [0.2, 0.0], [0.1, 0.3], [0.3, 0.2]]
        >>> ped(sfda)(features, [0, 0, 1, 1]) >= sfda(features, [0, 0, 1, 1])
        True
    """

    @scored
    def pushed(features: Any, labels: Any, *, device: str | None = None, **options: Any) -> Score:
        batch = prepare(features, labels, device=device)
        generic = batch.x if reference is None else matrix(reference, "reference features", device=device)
        moved = push_apart(batch, generic, n_sigma=n_sigma, stiffness=stiffness)
        return metric(moved, batch.y, device=device, **options)

    pushed.__name__ = f"ped({getattr(metric, '__name__', 'metric')})"
    return pushed


def push_apart(batch: Batch, reference: Tensor, *, n_sigma: float, stiffness: float = 1.0) -> Tensor:
    """Features after the classes moved, at most six steps, until the motion has halved.

    Args:
        batch: features and labels.
        reference: features that set the scale, shape (n_reference, n_features).
        n_sigma: radii of a class that count as its ball.
        stiffness: force per overlap.

    Returns:
        Shape (n_samples, n_features); classes are translated as a whole.
    """
    shift, deviation = deviations(reference)
    scale = deviation.clamp_min(STD_FLOOR)
    centres = class_means(batch)
    means = start = (centres - shift) / scale
    radii = (class_variances(batch, centres) / scale.square()).sum(dim=1).sqrt()  # rigid motion keeps them
    first = None
    for _ in range(MAX_STEPS):
        move = _one_step(means, radii, n_sigma, stiffness)
        total = move.abs().sum()
        first = total if first is None else first
        if not total / first > EXIT_RATIO:  # also when nothing overlaps
            break
        means = means + move
    moved = ((means - start) * scale)[batch.y]
    return moved.add_(batch.x)


def _one_step(means: Tensor, radii: Tensor, n_sigma: float, stiffness: float) -> Tensor:
    """Displacement of every class, shape (n_classes, n_features)."""
    distance = torch.cdist(means, means, compute_mode="donot_use_mm_for_euclid_dist")
    force = stiffness * (n_sigma * (radii[:, None] + radii) - distance).clamp_min(0.0)
    step = torch.minimum(0.5 * TIME_STEP**2 * force, force / stiffness)
    apart = distance > 0
    weights = torch.where(apart, step / torch.where(apart, distance, 1.0), 0.0)
    return weights.sum(dim=1, keepdim=True) * means - weights @ means
