"""LEEP: log expected empirical prediction, from the probabilities of a model's own source head.

Source: Nguyen et al., ICML 2020, arXiv:2002.12462.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from fennec.errors import InputError

from .contract import Batch, prepare, scored

BLOCK = 128  # rows at a time, so that no second table of the size of the probabilities is made


@scored
def leep(probs: Any, labels: Any, *, device: str | None = None) -> Tensor:
    """Log expected empirical prediction.

    Args:
        probs: source-head probabilities, rows sum to 1, shape (n_samples, n_source_classes).
        labels: shape (n_samples,).
        device: where to compute; the CPU when None.

    Returns:
        Mean log likelihood, at most 0; NaN with one class.

    Raises:
        InputError: inputs that do not fit together or are not finite, rows that are no probabilities, no
            such device.

    Source:
        Equations 1-3. A source class without mass predicts nothing.
    """
    return expected_prediction(prepare_probs(probs, labels, device=device)).log().mean()


def expected_prediction(batch: Batch) -> Tensor:
    """Probability of the true class through the empirical conditional p(label | source class), shape (n_samples,).

    Args:
        batch: source probabilities as features, and labels.
    """
    joint = torch.zeros(batch.n_classes, batch.x.shape[1], dtype=batch.x.dtype, device=batch.x.device)
    joint.index_add_(0, batch.y, batch.x)  # up to a factor that cancels
    joint /= joint.sum(dim=0).clamp_min(torch.finfo(batch.x.dtype).tiny)  # now p(label | source class)
    likelihood = torch.empty_like(batch.x[:, 0])
    for start in range(0, len(likelihood), BLOCK):
        rows = slice(start, start + BLOCK)
        likelihood[rows] = (batch.x[rows] * joint[batch.y[rows]]).sum(dim=1)
    return likelihood


def prepare_probs(probs: Any, labels: Any, *, device: str | None = None) -> Batch:
    """Check source-head probabilities and labels and put them on a device, as `prepare` does.

    Raises:
        InputError: also where a row does not sum to 1, to 1 %.
    """
    batch = prepare(probs, labels, device=device)
    sums = batch.x.sum(dim=1)
    if bool(batch.x.min() < 0) or bool(((sums - 1).abs() > 0.01).any()):
        worst = float(sums[(sums - 1).abs().argmax()])
        raise InputError(f"probs hold rows that are no probabilities (one sums to {worst:.3g}); apply softmax")
    return batch
