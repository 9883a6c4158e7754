"""Linear models on frozen features, all classes in one convex problem: LEAD's machine and the linear probe."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from .contract import varying

MAX_ITER = 200


def standardise(x: Tensor, reference: Tensor) -> Tensor:
    """Columns less mean and over standard deviation of `reference`, those without spread set to 0."""
    deviation = reference.std(dim=0, correction=0)
    flat = ~varying(reference.mean(dim=0), deviation)
    return torch.where(flat, 0.0, (x - reference.mean(dim=0)) / torch.where(flat, 1.0, deviation))


def fit_linear(
    x: Tensor,
    y: Tensor,
    n_classes: int,
    *,
    loss: Literal["squared_hinge", "cross_entropy"],
    strength: float,
    start: Tensor | None = None,
) -> Tensor:
    """Weights of a linear model by L-BFGS, deterministic.

    Args:
        x: features, shape (n_samples, n_features).
        y: labels, shape (n_samples,).
        n_classes: classes in all.
        loss: one-vs-rest squared hinge (a linear support vector machine, the bias regularised as liblinear
            does), or multinomial logistic (the bias free).
        strength: weight of the summed loss against half the squared norm of the weights (`C`).
        start: weights to start from, zeros when None.

    Returns:
        Shape (n_features + 1, n_classes); the last row is the bias.
    """
    hinge = loss == "squared_hinge"
    signs = 2.0 * functional.one_hot(y, n_classes).to(x.dtype) - 1.0
    shape = (x.shape[1] + 1, n_classes)
    weights = torch.zeros(shape, dtype=x.dtype, device=x.device) if start is None else start.clone()
    weights.requires_grad_(True)
    optimiser = torch.optim.LBFGS(
        [weights],
        max_iter=MAX_ITER,
        history_size=20,
        tolerance_grad=1e-4,
        tolerance_change=1e-9,
        line_search_fn="strong_wolfe",
    )

    def objective() -> Tensor:
        optimiser.zero_grad()
        logits = x @ weights[:-1] + weights[-1]
        if hinge:
            cost = strength * (1 - signs * logits).clamp_min(0.0).square().sum() + 0.5 * weights.square().sum()
        else:
            cost = strength * functional.cross_entropy(logits, y, reduction="sum") + 0.5 * weights[:-1].square().sum()
        cost.backward()  # type: ignore[no-untyped-call]
        return cost

    optimiser.step(objective)  # type: ignore[no-untyped-call]
    return weights.detach()


def predict(x: Tensor, weights: Tensor) -> Tensor:
    """Logits, shape (n_samples, n_classes)."""
    return x @ weights[:-1] + weights[-1]


def folds(y: Tensor, n_folds: int, *, random_state: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Stratified folds: positions to fit on and to predict, every sample predicted once.

    Args:
        y: labels, shape (n_samples,).
        n_folds: how many.
        random_state: seed of the order within classes.
    """
    generator = torch.Generator().manual_seed(random_state)
    fold = torch.empty(len(y), dtype=torch.long)
    offset = 0
    for label in range(int(y.max()) + 1):
        members = torch.nonzero(y.cpu() == label)[:, 0]
        order = members[torch.randperm(len(members), generator=generator)]
        fold[order] = (torch.arange(len(order)) + offset) % n_folds
        offset += len(order)  # classes smaller than the folds spread over them
    for index in range(n_folds):
        held = (fold == index).to(y.device)
        yield torch.nonzero(~held)[:, 0], torch.nonzero(held)[:, 0]
