"""NCTI: how close features are to neural collapse, over a set of models.

Source: Wang et al., ICCV 2023 (How far pre-trained models are from neural collapse), released code.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.linalg
from numpy.typing import NDArray
from scipy.special import softmax

from .contract import Score, Undefined, one_thread, prepare
from .disco import min_max
from .scatter import principal_components

Floats = NDArray[np.float64]

PCA_DIM, N_VARIANCES = 64, 32
FLOOR = 1e-10  # of the shrinkage, below which the released code leaves it out


def ncti(features: Sequence[Any], labels: Any, *, device: str | None = None) -> list[Score]:
    """Neural collapse transferability index of a set of models.

    Args:
        features: one array per model, each of shape (n_samples, n_features).
        labels: shape (n_samples,).
        device: where to compute the principal components; the CPU when None.

    Returns:
        One score per model in [-1, 2], comparable within the set only; NaN where a part is undefined.

    Raises:
        InputError: inputs that do not fit together or are not finite, no such device.

    Source:
        Section 3.4: simplex encoding plus nearest centre less within-class variability, each scaled to
        [0, 1] over the models. The principal components are exact; the released code takes an unseeded random
        approximation of them for more than 80 features, which moves the parts by a few percent.
    """
    parts, reasons = [], []
    for x in features:
        try:
            parts.append(ncti_parts(x, labels, device=device))
            reasons.append("")
        except Undefined as undefined:
            parts.append((np.nan, np.nan, np.nan))
            reasons.append(str(undefined))
    values = np.full(len(parts), np.nan)
    if not all(reasons):
        values = min_max(np.array(parts)) @ np.array([1.0, 1.0, -1.0])
    return [Score(value, reason) for value, reason in zip(values.tolist(), reasons, strict=True)]


def ncti_parts(features: Any, labels: Any, *, device: str | None = None) -> tuple[float, float, float]:
    """The three parts of one model.

    Args:
        features: shape (n_samples, n_features).
        labels: shape (n_samples,).
        device: where to compute the principal components.

    Returns:
        Nuclear norm of the centred discriminant features, mean posterior of the true class, and the
        logarithm of the summed nuclear norms of every class's posteriors.

    Raises:
        Undefined: one class, or no variance within the classes.
    """
    batch = prepare(features, labels, device=device)
    reduced = principal_components(batch.x, PCA_DIM).cpu().numpy()
    y = batch.y.cpu().numpy()
    shrinkage = float(np.exp(-reduced.var(axis=0, ddof=1)[:N_VARIANCES].sum()))
    with one_thread():
        try:
            projected, posteriors = (_plain if shrinkage < FLOOR else _shrunken)(reduced, y, shrinkage)
        except (np.linalg.LinAlgError, ValueError) as error:
            raise Undefined(f"the linear discriminant failed ({error})") from error
        simplex = np.linalg.norm(projected - projected.mean(axis=0), "nuc")
        within = sum(np.linalg.norm(posteriors[y == label], "nuc") for label in range(batch.n_classes))
        return float(simplex), float(posteriors[np.arange(len(y)), y].mean()), float(np.log(within))


def _plain(x: Floats, y: NDArray[np.int64], _: float) -> tuple[Floats, Floats]:
    """Discriminant coordinates (n_samples, n_directions) and posteriors (n_samples, n_classes) without shrinkage."""
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    discriminant = LinearDiscriminantAnalysis(solver="svd").fit(x, y)
    return discriminant.transform(x), discriminant.predict_proba(x)


def _shrunken(x: Floats, y: NDArray[np.int64], shrinkage: float) -> tuple[Floats, Floats]:
    """The same with all scatter shrunk towards a multiple of the identity, for all classes at once.

    Shrinking the scatter of every class and averaging is shrinking the average, as both are linear.
    """
    priors = np.bincount(y) / len(y)
    means = np.stack([np.bincount(y, column) for column in x.T], axis=1) / np.bincount(y)[:, None]
    within, total = (centred.T @ centred / len(x) for centred in (x - means[y], x - x.mean(axis=0)))
    within, total = (_shrink(square, shrinkage) for square in (within, total))
    _, vectors = scipy.linalg.eigh(total - within, within)
    n_directions = min(len(priors) - 1, x.shape[1])
    coefficients = means @ vectors @ vectors.T
    odds = x @ coefficients.T - 0.5 * np.einsum("kd,kd->k", means, coefficients) + np.log(priors)
    return x @ vectors[:, ::-1][:, :n_directions], softmax(odds, axis=1)


def _shrink(square: Floats, shrinkage: float) -> Floats:
    size = len(square)
    return np.asarray((1 - shrinkage) * square + shrinkage * np.trace(square) / size * np.eye(size))
