"""SFDA: mean posterior of a regularised Fisher classifier after every sample was made harder.

Source: Shao et al., ECCV 2022, arXiv:2207.03036, equations 1-9, in the form of the released code.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from .contract import Batch, Score, Undefined, near_ceiling, prepare, scored
from .scatter import class_means, gram, principal_components, regular_factor, scatter

FLOOR = 1e-10  # of the shrinkage
EPSILON = 1e-30  # of a norm


@scored
def sfda(features: Any, labels: Any, *, pca_dim: int | None = None, device: str | None = None) -> Score:
    """Self-challenging Fisher discriminant analysis.

    Args:
        features: of one model on the target images, shape (n_samples, n_features).
        labels: shape (n_samples,).
        pca_dim: principal components to keep first; all features when None. With about as many features as
            samples the score saturates at 1, as its reason then says; 32 is the remedy that the authors gave.
        device: where to compute; the CPU when None.

    Returns:
        Mean posterior of the true class in (0, 1]; NaN with one class or constant features.

    Raises:
        InputError: inputs that do not fit together or are not finite, no such device.

    Source:
        Equations 3-9 as released: the projection drops out, as the product of all generalised eigenvectors
        is the inverse within-class scatter; the confidences that mix samples with the other classes' mean
        pass a softmax twice; the mean of probabilities stands for the sum of logarithms. With fewer samples
        than features the same inverse is taken in the space of the samples [inferred: algebra only]. Where
        the shrunken scatter is singular the ridge grows tenfold until it is not, at most to 1e-3 [inferred].

    Example:
        >>> features = [[0.0, 0.1], [0.2, 0.0], [1.0, 1.1], [1.2, 0.9]]
        >>> 0.9 < sfda(features, ["a", "a", "b", "b"]) <= 1
        True
    """
    batch = prepare(features, labels, device=device)
    if pca_dim is not None:
        batch = batch.with_features(principal_components(batch.x, pca_dim))
    discriminant = Discriminant(batch)
    shrinkage = discriminant.shrinkage()
    confidence = torch.softmax(discriminant.posteriors(shrinkage), dim=1).gather(1, batch.y[:, None])
    means = discriminant.means
    others = (means.sum(dim=0) - means) / (batch.n_classes - 1)
    harder = others[batch.y].lerp_(batch.x, confidence)
    del discriminant  # its scatter is not needed beside the next one
    value = Discriminant(batch.with_features(harder)).posteriors(shrinkage).gather(1, batch.y[:, None]).mean()
    return near_ceiling(value, 1.0, batch, "take sfda(pca_dim=32) or more images")


class Discriminant:
    """Linear discriminant with a shrunken within-class scatter, evaluated on its own samples.

    Args:
        batch: features and labels.

    Raises:
        Undefined: the features do not vary within any class.
    """

    def __init__(self, batch: Batch) -> None:
        """Take the scatter, or the products of the samples where these are fewer than the features."""
        self.batch, self.means = batch, class_means(batch)
        self.n_samples, self.n_features = batch.x.shape
        self.centred = batch.x - self.means[batch.y] if self.n_samples < self.n_features else None
        self.square = scatter(batch.x, self.means, batch.y) if self.centred is None else gram(self.centred.T)
        self.square /= self.n_samples
        self.ridge = float(self.square.trace()) / self.n_features  # mean variance within classes
        if self.ridge <= 0:
            raise Undefined("the features do not vary within any class")

    def shrinkage(self) -> float:
        """Weight of the spherical part: exp(-5 times an estimate of the largest eigenvalue), as released."""
        left = self._multiply(torch.ones_like(self.means[0]))
        right = left
        for _ in range(3):
            right = functional.normalize(self._multiply(left), dim=0, eps=EPSILON)
            left = functional.normalize(self._multiply(right), dim=0, eps=EPSILON)
        return max(float(torch.exp(-5 * (left @ self._multiply(right)))), FLOOR)

    def posteriors(self, shrinkage: float) -> Tensor:
        """Class probabilities of the samples, shape (n_samples, n_classes).

        Args:
            shrinkage: weight of the spherical part, in [0, 1].

        Raises:
            Undefined: the scatter is singular.
        """
        products, norms = self._in_columns(shrinkage) if self.centred is None else self._in_rows(shrinkage)
        products += torch.log(self.batch.counts / self.n_samples) - 0.5 * norms
        return torch.softmax(products, dim=1)

    def _multiply(self, vector: Tensor) -> Tensor:
        """The within-class scatter times a vector."""
        if self.centred is None:
            return self.square @ vector
        return self.centred.T @ (self.centred @ vector) / self.n_samples

    def _in_columns(self, shrinkage: float) -> tuple[Tensor, Tensor]:
        """X S^-1 m_c and m_c S^-1 m_c by one Cholesky decomposition of the shrunken scatter S."""
        factor, _ = regular_factor((1 - shrinkage) * self.square, shrinkage * self.ridge, self.ridge)
        directions = torch.cholesky_solve(self.means.T, factor)  # (n_features, n_classes)
        return self.batch.x @ directions, (self.means.T * directions).sum(dim=0)

    def _in_rows(self, shrinkage: float) -> tuple[Tensor, Tensor]:
        """The same without any matrix of n_features x n_features.

        With the centred samples Z, weight a / n and ridge b, S = a Z'Z / n + b I, so that
        Z S^-1 = (a ZZ' / n + b I)^-1 Z, and S^-1 = (I - a Z' (a ZZ' / n + b I)^-1 Z / n) / b for the means.
        """
        assert self.centred is not None
        least = max(shrinkage, FLOOR) * self.ridge
        factor, added = regular_factor((1 - shrinkage) * self.square, least, self.ridge)
        across = self.centred @ self.means.T  # (n_samples, n_classes)
        inside = torch.cholesky_solve(across, factor)
        between = (self.means @ self.means.T - (1 - shrinkage) / self.n_samples * (across.T @ inside)) / added
        return inside + between[self.batch.y], between.diagonal()
