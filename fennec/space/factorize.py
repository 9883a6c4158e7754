"""Offline: model vectors and task vectors from an incomplete transfer matrix.

One small contract, scikit-learn's: rows are models, columns are tasks, NaN is unknown.

- `fit(X)` learns `components_`, the task vectors, shape (n_components, n_tasks);
- `transform(X)` folds models in from what is known of their rows, shape (n_models, n_components);
- `transform(X) @ components_` is the completed matrix;
- `fold_in_task(model_vectors, column)` places a new task from a few known results.

Members: `MaskedNMF` (Lee & Seung 2001 with a mask) and `MaskedSVD` (alternating ridge regressions).
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from fennec.errors import InputError

Floats = NDArray[np.float64]


class _MaskedFactorizer(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """What the factorisers share: NaN allowed, validation, fold-in of tasks."""

    n_components: int
    components_: Floats

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    def _validate(self, X: ArrayLike, *, reset: bool) -> Floats:
        checked: Floats = validate_data(
            self, X, reset=reset, dtype=np.float64, ensure_all_finite="allow-nan", ensure_min_samples=1
        )
        return checked

    def _rank(self, X: Floats) -> int:
        if self.n_components < 1:
            raise ValueError(f"n_components is {self.n_components}; it must be at least 1")
        return int(min(self.n_components, *X.shape))

    def fold_in_task(
        self,
        model_vectors: ArrayLike,
        performance: ArrayLike,
        *,
        prior_mean: ArrayLike | None = None,
        prior_covariance: ArrayLike | None = None,
        noise: float = 0.1,
    ) -> Floats:
        """Task vector of a new task from a few known results.

        Args:
            model_vectors: output of `transform`, shape (n_models, n_components).
            performance: results on the new task in the unit of the fitted matrix, NaN for unknown,
                shape (n_models,).
            prior_mean: task vector expected before any result, shape (n_components,); the mean of the
                known tasks when None.
            prior_covariance: how far from it tasks lie, shape (n_components, n_components); the spread of
                the known tasks when None.
            noise: variance of one result.

        Returns:
            Posterior mean of the task vector, shape (n_components,); the prior mean when nothing is known.

        Raises:
            InputError: shapes do not agree.
        """
        check_is_fitted(self)
        vectors = np.asarray(model_vectors, dtype=np.float64)
        column = np.asarray(performance, dtype=np.float64)
        if column.shape != (len(vectors),) or vectors.shape[1] != len(self.components_):
            raise InputError(
                f"model vectors {vectors.shape} and results {column.shape} must have shapes "
                f"(n_models, {len(self.components_)}) and (n_models,)"
            )
        mean = self.components_.mean(axis=1) if prior_mean is None else np.asarray(prior_mean)
        covariance = task_spread(self.components_) if prior_covariance is None else np.asarray(prior_covariance)
        posterior, _, _ = condition(mean, covariance, vectors, column, noise=noise)
        return posterior


def task_spread(components: Floats) -> Floats:
    """Covariance of the known task vectors with a small ridge, shape (n_components, n_components)."""
    centred = components - components.mean(axis=1, keepdims=True)
    spread = centred @ centred.T / components.shape[1]
    ridge = 1e-3 * np.trace(spread) / len(spread) + 1e-9
    return np.asarray(spread + ridge * np.eye(len(spread)))


def condition(
    mean: Floats, covariance: Floats, design: Floats, observed: Floats, *, noise: float | Floats
) -> tuple[Floats, Floats, float]:
    """Gaussian vector given noisy linear observations of it, NaN observations left out.

    Args:
        mean: prior mean, shape (k,).
        covariance: prior covariance, shape (k, k).
        design: one row per observation, shape (n, k).
        observed: values, shape (n,), NaN for unknown.
        noise: variance of the observations, one value or shape (n,).

    Returns:
        Posterior mean (k,) and covariance (k, k), and the logarithm of the observations' density.
    """
    known = ~np.isnan(observed)
    if not known.any():
        return mean, covariance, 0.0
    rows = design[known]
    variance = np.broadcast_to(noise, observed.shape)[known]
    cross = rows @ covariance  # (n_known, k)
    total = cross @ rows.T + np.diag(variance)
    error = observed[known] - rows @ mean
    gain = np.linalg.solve(total, cross).T  # (k, n_known)
    size = np.linalg.slogdet(total)[1] + known.sum() * np.log(2 * np.pi)
    density = -0.5 * float(error @ np.linalg.solve(total, error) + size)
    return mean + gain @ error, covariance - gain @ cross, density


class MaskedNMF(_MaskedFactorizer):
    """Non-negative matrix factorisation that ignores unknown cells.

    Args:
        n_components: number of latent dimensions; capped at the smaller side of the matrix.
        max_iter: multiplicative updates at most.
        tol: stop when the error falls by less than this share in ten updates.
        random_state: seed of the initial vectors.

    Source:
        Lee & Seung, NeurIPS 2001, with both sides of the update multiplied by the mask of known cells
        (Zhang et al., SDM 2006).
    """

    def __init__(
        self, n_components: int = 5, *, max_iter: int = 1000, tol: float = 1e-5, random_state: int | None = 0
    ) -> None:
        self.n_components = n_components
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = True
        return tags

    def fit(self, X: ArrayLike, y: None = None) -> Self:
        """Learn task vectors from X, shape (n_models, n_tasks), non-negative, NaN for unknown."""
        self.fit_transform(X)
        return self

    def fit_transform(self, X: ArrayLike, y: None = None) -> Floats:
        """Fit and return the model vectors, shape (n_models, n_components)."""
        matrix = self._non_negative(X, reset=True)
        rank = self._rank(matrix)
        generator = check_random_state(self.random_state)
        scale = np.sqrt(np.nanmean(matrix) / rank) if np.isfinite(matrix).any() else 1.0
        vectors = scale * generator.uniform(0.5, 1.5, (matrix.shape[0], rank))
        components = scale * generator.uniform(0.5, 1.5, (rank, matrix.shape[1]))
        mask = np.isfinite(matrix).astype(np.float64)
        filled = np.nan_to_num(matrix)
        tiny = np.finfo(np.float64).tiny
        previous = np.inf
        for iteration in range(self.max_iter):
            vectors *= (filled @ components.T) / np.maximum((mask * (vectors @ components)) @ components.T, tiny)
            components *= (vectors.T @ filled) / np.maximum(vectors.T @ (mask * (vectors @ components)), tiny)
            if iteration % 10 == 9:
                error = float((mask * (filled - vectors @ components) ** 2).sum())
                if np.isfinite(previous) and previous - error <= self.tol * max(previous, tiny):
                    break
                previous = error
        self.components_ = components
        self.n_iter_ = iteration + 1
        return self.transform(matrix)

    def transform(self, X: ArrayLike) -> Floats:
        """Model vectors of rows of results with the task vectors fixed, shape (n_models, n_components)."""
        from scipy.optimize import nnls

        check_is_fitted(self)
        matrix = self._non_negative(X, reset=False)
        vectors = np.zeros((len(matrix), len(self.components_)))
        for row, known in enumerate(np.isfinite(matrix)):
            if known.any():
                vectors[row], _ = nnls(self.components_[:, known].T, matrix[row, known])
        return vectors

    def _non_negative(self, X: ArrayLike, *, reset: bool) -> Floats:
        matrix = self._validate(X, reset=reset)
        if np.nanmin(matrix, initial=0.0) < 0:
            raise ValueError("Negative values in data passed to MaskedNMF; shift them or use MaskedSVD")
        return matrix


class MaskedSVD(_MaskedFactorizer):
    """Low-rank factorisation by alternating ridge regressions over the known cells.

    Args:
        n_components: number of latent dimensions; capped at the smaller side of the matrix.
        ridge: penalty on the vectors, in units of squared performance per cell.
        max_iter: alternations at most.
        tol: stop when the completed matrix moves by less than this share.
        random_state: seed of the initial task vectors.

    Source:
        Koren, Bell & Volinsky, Computer 2009 (alternating least squares); rotated to singular vectors, so
        that on a complete matrix and without ridge it is the truncated SVD.
    """

    def __init__(
        self,
        n_components: int = 5,
        *,
        ridge: float = 1e-3,
        max_iter: int = 500,
        tol: float = 1e-6,
        random_state: int | None = 0,
    ) -> None:
        self.n_components = n_components
        self.ridge = ridge
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: None = None) -> Self:
        """Learn task vectors from X, shape (n_models, n_tasks), NaN for unknown."""
        matrix = self._validate(X, reset=True)
        rank = self._rank(matrix)
        components = check_random_state(self.random_state).standard_normal((rank, matrix.shape[1]))
        completed = np.zeros_like(matrix)
        for iteration in range(self.max_iter):  # noqa: B007 - counted after the loop
            vectors = _ridge_rows(matrix, components, self.ridge)
            components = _ridge_rows(matrix.T, vectors.T, self.ridge).T
            before, completed = completed, vectors @ components
            if np.linalg.norm(completed - before) <= self.tol * max(float(np.linalg.norm(completed)), 1e-12):
                break
        # Only the product is determined: singular vectors make it unique, model vectors carry the scale.
        _, _, rows = np.linalg.svd(completed, full_matrices=False)
        self.components_ = _fixed_signs(rows[:rank])
        self.n_iter_ = iteration + 1
        return self

    def transform(self, X: ArrayLike) -> Floats:
        """Model vectors of rows of results with the task vectors fixed, shape (n_models, n_components)."""
        check_is_fitted(self)
        return _ridge_rows(self._validate(X, reset=False), self.components_, self.ridge)


def _ridge_rows(matrix: Floats, components: Floats, ridge: float) -> Floats:
    """Per row, the ridge regression of its known cells on the components, shape (n_rows, rank)."""
    rank, known = len(components), np.isfinite(matrix)
    squares = np.einsum("at,bt->tab", components, components).reshape(-1, rank * rank)
    gram = (known.astype(np.float64) @ squares).reshape(-1, rank, rank)  # (n_rows, rank, rank)
    gram += (ridge * known.sum(axis=1) + 1e-12)[:, None, None] * np.eye(rank)
    answers = np.where(known, matrix, 0.0) @ components.T
    return np.asarray(np.linalg.solve(gram, answers[:, :, None])[:, :, 0])


def _fixed_signs(components: Floats) -> Floats:
    """Singular vectors with the largest entry of each positive, so that results do not depend on LAPACK."""
    largest = np.abs(components).argmax(axis=1)
    signs = np.sign(components[np.arange(len(components)), largest])
    return np.asarray(components * np.where(signs == 0, 1.0, signs)[:, None])
