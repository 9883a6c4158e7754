"""NCE: negative conditional entropy of the labels given a model's own predictions.

Source: Tran et al., ICCV 2019, arXiv:1908.08142.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .contract import scored
from .leep import prepare_probs


@scored
def nce(probs: Any, labels: Any, *, device: str | None = None) -> Tensor:
    """Negative conditional entropy.

    Args:
        probs: source-head probabilities, rows sum to 1, shape (n_samples, n_source_classes).
        labels: shape (n_samples,).
        device: where to compute; the CPU when None.

    Returns:
        Minus the entropy of the label given the most probable source class, in nats, at most 0; NaN with
        one class.

    Raises:
        InputError: inputs that do not fit together or are not finite, rows that are no probabilities, no
            such device.

    Source:
        Section 4, with 0 ln 0 = 0 and no smoothing.
    """
    batch = prepare_probs(probs, labels, device=device)
    source = batch.x.argmax(dim=1)
    cells, joint = torch.unique(source * batch.n_classes + batch.y, return_counts=True)  # those that occur
    marginal = torch.bincount(source)[cells.div(batch.n_classes, rounding_mode="floor")]
    return (joint * (joint.to(batch.x.dtype) / marginal).log()).sum() / len(source)
