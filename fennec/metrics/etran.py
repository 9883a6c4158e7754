"""ETran: class separation plus energy, over a set of models.

Source: Gholami et al., ICCV 2023, in the form of the released code.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .contract import Score, matrix, scored
from .disco import min_max
from .ncc import ncc

LOWEST = 0.005  # share of samples whose energy counts
WEIGHTS = np.array([0.85, 0.15])


@scored
def energy(features: Any, *, device: str | None = None) -> Tensor:
    """Mean of the lowest 0.5 % of the log-sum-exp of the features.

    Args:
        features: shape (n_samples, n_features).
        device: where to compute; the CPU when None.
    """
    values = torch.logsumexp(matrix(features, "features", device=device), dim=1)
    return values.sort().values[: max(int(LOWEST * len(values)), 1)].mean()


def etran(features: Sequence[Any], labels: Any, *, device: str | None = None) -> list[Score]:
    """Energy-based transferability of a set of models.

    Args:
        features: one array per model, each of shape (n_samples, n_features).
        labels: shape (n_samples,).
        device: where to compute; the CPU when None.

    Returns:
        One score per model in [0, 1], comparable within the set only; NaN with one class.

    Raises:
        InputError: inputs that do not fit together or are not finite, no such device.

    Source:
        Section 3.3 with the released weights. The released discriminant cancels to class means with
        identity covariance, which is what is computed here.
    """
    scores = [(ncc(x, labels, device=device), energy(x, device=device)) for x in features]
    values = min_max(np.array(scores, dtype=float)) @ WEIGHTS
    return [Score(value, own.reason) for value, (own, _) in zip(values.tolist(), scores, strict=True)]
