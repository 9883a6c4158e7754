"""Linear probe: cross-validated accuracy of a logistic regression on frozen features."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .contract import Undefined, prepare, scored
from .linear_models import Logistic, fit_linear, folds, predict, standardise

STRENGTHS = (0.01, 0.1, 1.0, 10.0)


@scored
def linear_probe(
    features: Any,
    labels: Any,
    *,
    n_folds: int = 5,
    strength: float | None = None,
    random_state: int = 0,
    device: str | None = None,
) -> Tensor:
    """Accuracy of a logistic regression on samples that it was not fitted on.

    Args:
        features: shape (n_samples, n_features).
        labels: shape (n_samples,).
        n_folds: stratified folds.
        strength: `C` of the regression; chosen among 0.01, 0.1, 1 and 10 in an inner fold when None.
        random_state: seed of the folds.
        device: where to compute; the CPU when None.

    Returns:
        Accuracy in [0, 1]; NaN with one class or where no class has two samples.

    Raises:
        InputError: inputs that do not fit together or are not finite, no such device.

    Source:
        The usual protocol; details [inferred]: standardised features, L2 penalty.
    """
    batch = prepare(features, labels, device=device)
    if batch.counts.max() < 2:
        raise Undefined("every class has a single sample")
    right = torch.zeros((), dtype=batch.x.dtype, device=batch.x.device)
    for fit, held in folds(batch.y, min(n_folds, len(batch.x)), random_state=random_state):
        x, y = batch.x[fit], batch.y[fit]
        chosen, start = (strength, None) if strength is not None else _choose(x, y, batch.n_classes, random_state)
        weights = fit_linear(standardise(x, x), y, batch.n_classes, loss="cross_entropy", strength=chosen, start=start)
        right += (predict(standardise(batch.x[held], x), weights).argmax(dim=1) == batch.y[held]).sum()
    return right / len(batch.x)


def _choose(x: Tensor, y: Tensor, n_classes: int, random_state: int) -> tuple[float, Tensor]:
    """The strength with the best accuracy on a third of the samples, the weakest of equals, and its weights."""
    fit, held = next(folds(y, 3, random_state=random_state))
    inner, outer = standardise(x[fit], x[fit]), standardise(x[held], x[fit])
    model = Logistic(inner, y[fit], n_classes)
    weights: Tensor | None = None
    best = (-1.0, STRENGTHS[0], torch.empty(0))
    for strength in STRENGTHS:
        weights = model.fit(strength, weights)
        accuracy = float((predict(outer, weights).argmax(dim=1) == y[held]).double().mean())
        if accuracy > best[0]:
            best = (accuracy, strength, weights)
        if accuracy == 1.0:
            break
    return best[1:]
