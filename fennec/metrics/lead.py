"""LEAD: likelihood of the labels after the logits evolved towards them, at a rate per class.

Source: Hu et al., CVPR 2024, arXiv:2507.14559; equations and constants second-hand, no official code.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .contract import Batch, prepare, scored
from .linear_models import fit_linear, folds, predict, standardise

HIDDEN = (1024, 2048)  # widths of the random head
SAMPLES_PER_CLASS = 64
N_FOLDS = 3
BLOCK = 4096  # samples whose gradients are measured at a time


@scored
def lead(
    features: Any,
    labels: Any,
    *,
    out_of_fold: bool = True,
    time: float = 1.0,
    n_heads: int = 3,
    random_state: int = 0,
    device: str | None = None,
) -> Tensor:
    """Logit evolution.

    Args:
        features: shape (n_samples, n_features).
        labels: shape (n_samples,).
        out_of_fold: initial probabilities from a machine that was not fitted on the sample [inferred];
            in-sample ones saturate where features are as many as samples, and are taken where a class has a
            single sample.
        time: of the evolution, times the learning rate.
        n_heads: random heads to average, since one moves the score by about a tenth.
        random_state: seed of folds and heads.
        device: where to compute; the CPU when None.

    Returns:
        Minus a mean cross-entropy, at most 0; NaN with one class or constant features.

    Raises:
        InputError: inputs that do not fit together or are not finite, no such device.

    Source:
        Equations 5-7 and 16-17: probabilities of a linear support vector machine evolve exponentially
        towards the labels, at the mean eigenvalue of the tangent kernel of a random ReLU head on each
        class, which is its trace over the samples. [inferred]: standardised features, tangent-kernel
        scaling, the kernel divided by the number of classes, margins through a softmax.
    """
    batch = prepare(features, labels, device=device, drop_constant=True)
    batch = batch.with_features(standardise(batch.x, batch.x))
    start = _margin_posterior(batch, out_of_fold and bool(batch.counts.min() > 1), random_state)
    scores = []
    for head in range(n_heads):
        left = torch.exp(-time * class_rates(batch, random_state=random_state + head))[batch.y]
        scores.append((1 - left + left * start).clamp_min(1e-12).log().mean())
    return torch.stack(scores).mean()


def _margin_posterior(batch: Batch, out_of_fold: bool, random_state: int) -> Tensor:
    """Probability of the true class by the softmax of one-vs-rest margins, shape (n_samples,)."""
    margins = torch.empty(len(batch.x), batch.n_classes, dtype=batch.x.dtype, device=batch.x.device)
    everything = torch.arange(len(batch.x), device=batch.x.device)
    parts = folds(batch.y, N_FOLDS, random_state=random_state) if out_of_fold else [(everything, everything)]
    for fit, held in parts:
        weights = fit_linear(batch.x[fit], batch.y[fit], batch.n_classes, loss="squared_hinge", strength=1.0)
        margins[held] = predict(batch.x[held], weights)
    return torch.softmax(margins, dim=1).gather(1, batch.y[:, None])[:, 0]


def class_rates(batch: Batch, *, random_state: int) -> Tensor:
    """Mean eigenvalue of the tangent kernel of a random head on every class, shape (n_classes,).

    Args:
        batch: standardised features and labels.
        random_state: seed of the head and of the samples of large classes.
    """
    first, second = HIDDEN
    generator = torch.Generator().manual_seed(random_state)
    shapes = ((second, batch.n_classes), (first, second), (batch.x.shape[1], first))
    w3, w2, w1 = (
        torch.randn(shape, generator=generator, dtype=torch.float64).to(batch.x.device, torch.float32)
        for shape in shapes
    )
    c1, c2, c3 = (2 / batch.x.shape[1]) ** 0.5, (2 / first) ** 0.5, (1 / second) ** 0.5
    chosen = []
    for label in range(batch.n_classes):
        members = torch.nonzero(batch.y == label)[:, 0].cpu()
        chosen.append(members[torch.randperm(len(members), generator=generator)[:SAMPLES_PER_CLASS]])
    samples = torch.cat(chosen).to(batch.y.device)
    upper = c3 * w3.sum(dim=1)
    norms = []
    for rows in torch.split(samples, BLOCK):
        z = batch.x[rows].float()
        a1 = (c1 * z @ w1).clamp_min_(0.0)
        a2 = (c2 * a1 @ w2).clamp_min_(0.0)
        d2 = upper * (a2 > 0)
        d1 = c2 * (d2 @ w2.T) * (a1 > 0)
        norms.append(
            c3**2 * batch.n_classes * a2.square().sum(dim=1)
            + c2**2 * a1.square().sum(dim=1) * d2.square().sum(dim=1)
            + c1**2 * z.square().sum(dim=1) * d1.square().sum(dim=1)
        )
    y = batch.y[samples]
    sums = torch.zeros_like(batch.counts).index_add_(0, y, torch.cat(norms).to(batch.counts))
    return sums / torch.bincount(y) / batch.n_classes
