"""Linear models on frozen features, all classes at once: LEAD's machine and the linear probe.

In: standardised features and labels; out: weights with the bias in the last row. Squared hinge by splitting (Boyd et
al. 2011, section 3): one ridge regression, factorised once, fits all classes again and again. Logistic by Newton steps
whose conjugate gradients run in coordinates that the Gram matrix makes round (Lin et al. 2008; Hsia et al. 2018).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from .contract import varying
from .scatter import BLOCK, gram, regular_factor

MARGIN_TOLERANCE = 1e-5  # of margins, root mean square over the samples of the worst class
MAX_SPLITS, RELAXATION = 1000, 1.6
FIRST_PENALTY, REBALANCE, UNBALANCED = 5.0, 10, 3.0  # weight of the split; looked at every ten steps, at most so uneven
SETTLED = 100  # steps after which the weight stays, so that they converge
GAIN_TOLERANCE = 1e-6  # of what a Newton step promises, as a share of the loss
MAX_NEWTON, MAX_CONJUGATE, FORCING = 50, 200, 0.5
ARMIJO, HALVINGS = 1e-4, 20
ANOTHER_SCALE = 3.0  # of the curvature: from there on the coordinates are made again


def standardise(x: Tensor, reference: Tensor) -> Tensor:
    """Columns less mean and over standard deviation of `reference`, those without spread set to 0."""
    mean, deviation = reference.mean(dim=0), reference.std(dim=0, correction=0)
    flat = ~varying(mean, deviation)
    return (x - mean).mul_(torch.where(flat, 0.0, 1 / torch.where(flat, 1.0, deviation)))


def fit_linear(
    x: Tensor,
    y: Tensor,
    n_classes: int,
    *,
    loss: Literal["squared_hinge", "cross_entropy"],
    strength: float,
    start: Tensor | None = None,
) -> Tensor:
    """Weights of a linear model, deterministic.

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
    if loss == "squared_hinge":
        return _support_vectors(x, y, n_classes, strength, start)
    return Logistic(x, y, n_classes).fit(strength, start)


def predict(x: Tensor, weights: Tensor) -> Tensor:
    """Logits, shape (n_samples, n_classes)."""
    return torch.addmm(weights[-1], x, weights[:-1])


def _support_vectors(x: Tensor, y: Tensor, n_classes: int, strength: float, start: Tensor | None) -> Tensor:
    """One-vs-rest squared hinge, by alternating directions.

    The margins F = X W are split off as V: a ridge regression towards V less the multipliers gives F, each entry of V
    then moves to its own optimum, and the multipliers gather what still lies between the two. The first step is the
    same linear map for all classes and all time, as long as the weight of the split stays; it changes where one
    of the two residuals lags behind the other.
    """
    signs = 2.0 * functional.one_hot(y, n_classes).to(x.dtype) - 1.0
    rows = torch.cat([x, x.new_ones(len(x), 1)], dim=1)
    n, d = rows.shape
    ridge = _Ridge(rows)
    penalty = FIRST_PENALTY * min(1.0, n / d) * n / max(float(ridge.square.trace()), 1.0)
    ridge.factorise(penalty)
    split = signs.clone() if start is None else rows @ start
    multipliers = -2 * strength / penalty * signs * (1 - signs * split).clamp_min(0.0)
    for step in range(1, MAX_SPLITS + 1):
        fitted = ridge.fitted(split - multipliers)
        blend = RELAXATION * fitted + (1 - RELAXATION) * split
        aim = (blend + multipliers) * signs
        moved = torch.where(aim < 1, (penalty * aim + 2 * strength) / (penalty + 2 * strength), aim) * signs
        multipliers += blend - moved
        apart, change = _largest_rms(fitted - moved), _largest_rms(moved - split)
        split = moved
        if max(apart, change) < MARGIN_TOLERANCE:
            break
        if step % REBALANCE == 0 and step <= SETTLED and not 1 / UNBALANCED < apart / change < UNBALANCED:
            factor = min(max(apart / change, 0.1), 10.0)
            penalty *= factor
            multipliers /= factor
            ridge.factorise(penalty)
    return ridge.weights(split - multipliers)


def _transposed(rows: Tensor, targets: Tensor) -> Tensor:
    """The product rows.T @ targets, in an order several times as fast for few targets, as rows lie in memory."""
    return (targets.T @ rows).T


def _largest_rms(x: Tensor) -> float:
    return float(x.square().mean(dim=0).max().sqrt())


class _Ridge:
    """Ridge regression of many targets on the same rows, in the space of the samples where these are few.

    Args:
        rows: shape (n_samples, n_columns).
    """

    def __init__(self, rows: Tensor) -> None:
        self.rows = rows
        self.wide = len(rows) < 2 * rows.shape[1]  # a map of the samples then costs less than there and back
        self.square = gram(rows.T if self.wide else rows)

    def factorise(self, penalty: float) -> None:
        """Make ready for a weight of the squared error against the squared norm."""
        square = self.square.clone()
        square.diagonal().add_(1 / penalty)
        self.factor = torch.linalg.cholesky(square)
        if self.wide:  # K (K + I / p)^-1 = I - (K + I / p)^-1 / p
            inverse = torch.cholesky_inverse(self.factor, out=square).div_(-penalty)
            inverse.diagonal().add_(1.0)
            self.map = inverse.float()
        else:  # X (X'X + I / p)^-1 X' = Z Z'
            self.map = torch.empty(self.rows.shape, dtype=torch.float32, device=self.rows.device)
            for start in range(0, len(self.rows), BLOCK):
                block = self.rows[start : start + BLOCK].T
                self.map[start : start + BLOCK] = torch.linalg.solve_triangular(self.factor, block, upper=False).T

    def fitted(self, targets: Tensor) -> Tensor:
        """What the regression makes of targets on its own rows, shape (n_samples, n_targets)."""
        low = targets.float()
        return (self.map @ (low if self.wide else _transposed(self.map, low))).to(targets.dtype)

    def weights(self, targets: Tensor) -> Tensor:
        """Its weights, shape (n_columns, n_targets)."""
        if self.wide:
            return self.rows.T @ torch.cholesky_solve(targets, self.factor)
        return torch.cholesky_solve(_transposed(self.rows, targets), self.factor)


class Logistic:
    """Multinomial logistic regression on one set of samples, for one strength after another.

    Gradients are in the precision of the features; the directions of Newton steps need only single precision. Fewer
    samples than features are first turned into the space that they span, which changes no solution.

    Args:
        x: features, shape (n_samples, n_features).
        y: labels, shape (n_samples,).
        n_classes: classes in all.
    """

    def __init__(self, x: Tensor, y: Tensor, n_classes: int) -> None:
        self.x, self.y, self.span = x, y, None
        if len(x) < x.shape[1]:
            square = gram(x.T)
            self.span, _ = regular_factor(square, 0.0, max(float(square.diagonal().mean()), 1.0))
        self.rows = x if self.span is None else self.span
        self.square = gram(self._with_ones()).to(x.dtype)
        self.hot = functional.one_hot(y, n_classes).to(x.dtype)
        self.decay = x.new_ones(len(self.square), 1)
        self.decay[-1] = 0.0  # the bias is free

    def fit(self, strength: float, start: Tensor | None = None) -> Tensor:
        """Weights, shape (n_features + 1, n_classes).

        Args:
            strength: weight of the summed loss against half the squared norm of the weights.
            start: weights to start from, zeros when None.
        """
        weights = self.x.new_zeros(len(self.square), self.hot.shape[1])
        if start is not None:
            weights = start if self.span is None else torch.cat([self._into(self.x @ start[:-1]), start[-1:]])
        logits = predict(self.rows, weights)
        cost, scale = self._cost(weights, logits, strength), 0.0
        for _ in range(MAX_NEWTON):
            probs = torch.softmax(logits, dim=1)
            error = strength * (probs - self.hot)
            gradient = torch.cat([_transposed(self.rows, error), error.sum(dim=0, keepdim=True)]) + self.decay * weights
            curvature = strength * float((probs * (1 - probs)).mean())
            if not scale / ANOTHER_SCALE < curvature < scale * ANOTHER_SCALE:
                scale, (factor, rounded) = curvature, self._round(curvature)
            uphill = torch.linalg.solve_triangular(factor, gradient.float(), upper=False)
            downhill, gain = _newton(rounded, scale, probs.float(), strength, uphill, float(cost))
            if gain < GAIN_TOLERANCE * float(cost):
                break
            direction = torch.linalg.solve_triangular(factor.T, downhill, upper=True).to(self.x.dtype)
            along, size = predict(self.rows, direction), 1.0
            slope = float((gradient * direction).sum())
            for _ in range(HALVINGS):
                lower = self._cost(weights + size * direction, logits + size * along, strength)
                if lower <= cost + ARMIJO * size * slope:
                    break
                size /= 2
            else:
                break  # no lower cost in this precision
            weights, logits, cost = weights + size * direction, logits + size * along, lower
        return weights if self.span is None else torch.cat([self._out_of(weights[:-1]), weights[-1:]])

    def _cost(self, weights: Tensor, logits: Tensor, strength: float) -> Tensor:
        loss = functional.cross_entropy(logits, self.y, reduction="sum")
        return strength * loss + 0.5 * weights[:-1].square().sum()

    def _with_ones(self) -> Tensor:
        """The rows in single precision with a column for the bias."""
        return torch.cat([self.rows, self.rows.new_ones(len(self.rows), 1)], dim=1).float()

    def _round(self, curvature: float) -> tuple[Tensor, Tensor]:
        """Coordinates in which the cost would be round, were every sample and class as uncertain as the mean.

        Returns:
            The factor L of curvature * X'X + decay, weights being L'^-1 times the coordinates, and X L'^-1.
        """
        square = curvature * self.square
        square.diagonal().add_(torch.where(self.decay[:, 0] > 0, 1.0, 1e-6))
        factor = regular_factor(square, 0.0, max(float(square.diagonal().mean()), 1.0))[0].float()
        return factor, torch.linalg.solve_triangular(factor, self._with_ones().T, upper=False).T

    def _into(self, logits: Tensor) -> Tensor:
        """Weights in the span of the samples that give logits."""
        assert self.span is not None
        return torch.linalg.solve_triangular(self.span, logits, upper=False)

    def _out_of(self, weights: Tensor) -> Tensor:
        """Weights of the features, shape (n_features, n_classes)."""
        assert self.span is not None
        return self.x.T @ torch.linalg.solve_triangular(self.span.T, weights, upper=True)


def _newton(
    rounded: Tensor, curvature: float, probs: Tensor, strength: float, uphill: Tensor, cost: float
) -> tuple[Tensor, float]:
    """A Newton step by conjugate gradients, and twice what it promises to gain.

    Args:
        rounded: Z = X L'^-1 as of `Logistic._round`, where the decay is I - curvature * Z'Z.
        curvature: that they were made for.
        probs: of every class, shape (n_samples, n_classes).
        strength: weight of the summed loss.
        uphill: gradient in these coordinates, shape (n_columns, n_classes).
        cost: at which it was taken.
    """
    left = -uphill
    step, ahead = torch.zeros_like(left), left
    first = size = float(left.square().sum())
    goal = first * min(FORCING**2, first / max(cost, 1e-30))
    for _ in range(MAX_CONJUGATE):
        if size <= goal or first < GAIN_TOLERANCE * cost:
            break
        along = rounded @ ahead
        pull = strength * probs * along
        pull -= probs * pull.sum(dim=1, keepdim=True)
        bent = ahead + _transposed(rounded, pull - curvature * along)
        length = size / float((ahead * bent).sum())
        step = step + length * ahead
        left = left - length * bent
        last, size = size, float(left.square().sum())
        ahead = left + size / last * ahead
    return step, first


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
