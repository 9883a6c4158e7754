"""TransRate: coding rate of the features less that within classes.

Source: Huang et al., ICML 2022, arXiv:2106.09362.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from .contract import Undefined, prepare, scored
from .scatter import deviations, gram, scatter

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
    n, d = batch.x.shape
    mean, deviation = deviations(batch.x)
    variance = float(deviation.square().mean())
    if variance <= 0:
        raise Undefined("no feature varies over the samples")
    distortion = EPSILON * variance if unit_scale else EPSILON
    large = (2 * batch.counts >= d) & (n >= d)  # classes whose product of features serves the whole as well
    whole = gram((batch.x - mean).T) if n < d else scatter(batch.x[~large[batch.y]], mean)
    rates = []
    for label, is_large in enumerate(large.tolist()):
        z = batch.x[batch.y == label]  # a copy
        z -= mean
        square = gram(z if is_large else z.T)
        if is_large:
            whole += square
        rates.append(_coding_rate(square, len(z), distortion))
    within = torch.stack(rates) * (batch.counts / n if class_weights == "share" else 1 / batch.n_classes)
    return _coding_rate(whole, n, distortion) - within.sum()


def _coding_rate(square: Tensor, n_samples: int, distortion: float) -> Tensor:
    """Half the log determinant of I + square / (n eps), of a product of features or of samples; overwrites it."""
    square /= n_samples * distortion
    square.diagonal().add_(1.0)
    return torch.linalg.cholesky(square).diagonal().log().sum()
