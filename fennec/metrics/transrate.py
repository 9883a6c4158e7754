"""TransRate: coding rate of the features less that within classes.

Source: Huang et al., ICML 2022, arXiv:2106.09362.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from .contract import Undefined, prepare, scored
from .scatter import gram

EPSILON = 1e-4


@scored
def transrate(
    features: Any,
    labels: Any,
    *,
    unit_scale: bool = True,
    class_weights: Literal["share", "equal"] = "share",
    device: str | None = None,
) -> Tensor:
    """Mutual information between features and labels, by coding rates.

    Args:
        features: shape (n_samples, n_features).
        labels: shape (n_samples,).
        unit_scale: scale the features to unit mean square first, against the dependence on their scale
            [inferred].
        class_weights: weight classes by their share of the samples, as in the paper, or equally, as common
            ports do.
        device: where to compute; the CPU when None.

    Returns:
        A value in nats, 0 or more for class shares; it grows with the number of features. NaN with one
        class or constant features.

    Raises:
        InputError: inputs that do not fit together or are not finite, no such device.

    Source:
        Equation 5 with distortion 1e-4; classes are not centred again.
    """
    batch = prepare(features, labels, device=device)
    z = batch.x - batch.x.mean(dim=0)
    size = z.square().mean().sqrt()
    if size <= 0:
        raise Undefined("no feature varies over the samples")
    if unit_scale:
        z /= size
    rates = torch.stack([_coding_rate(z[batch.y == label]) for label in range(batch.n_classes)])
    within = torch.dot(batch.counts / len(z), rates) if class_weights == "share" else rates.mean()
    return _coding_rate(z) - within


def _coding_rate(z: Tensor) -> Tensor:
    """Half the log determinant of I + z'z / (n eps), by the smaller Gram matrix."""
    square = gram(z.T if z.shape[0] < z.shape[1] else z)
    square /= len(z) * EPSILON
    square.diagonal().add_(1.0)
    return torch.linalg.cholesky(square).diagonal().log().sum()
