"""FDA: mean posterior of a linear discriminant, which fills the matrix of the published Fennec pipeline.

Source: Bai et al. 2024, arXiv:2403.06382, released code.
"""

from __future__ import annotations

from typing import Any

from .contract import Score, near_ceiling, prepare, scored
from .scatter import principal_components
from .sfda import Discriminant


@scored
def fda(
    features: Any, labels: Any, *, pca_dim: int | None = 32, exact_pca: bool = True, device: str | None = None
) -> Score:
    """Mean posterior of the true class under linear discriminant analysis.

    Args:
        features: shape (n_samples, n_features).
        labels: shape (n_samples,).
        pca_dim: principal components to keep first; all features when None.
        exact_pca: whether these are exact, or the released code's random approximation.
        device: where to compute; the CPU when None.

    Returns:
        A probability in (0, 1]; NaN with one class.

    Raises:
        InputError: inputs that do not fit together or are not finite, no such device.

    Source:
        The first pass of SFDA without shrinkage, scored on the same points. A singular within-class scatter
        gets the smallest ridge that makes it regular [inferred].
    """
    batch = prepare(features, labels, device=device)
    if pca_dim is not None:
        batch = batch.with_features(principal_components(batch.x, pca_dim, exact=exact_pca))
    value = Discriminant(batch).posteriors(0.0).gather(1, batch.y[:, None]).mean()
    return near_ceiling(value, 1.0, batch, "keep fewer features (pca_dim) or take more images")
