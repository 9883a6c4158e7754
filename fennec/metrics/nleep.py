"""NLEEP: LEEP with the clusters of a Gaussian mixture in place of source classes.

Source: Li et al., CVPR 2021, in the form of the code released with SFDA.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .contract import Undefined, prepare, scored
from .leep import expected_prediction


@scored
def nleep(
    features: Any,
    labels: Any,
    *,
    components_per_class: int = 5,
    log: bool = False,
    random_state: int = 0,
    device: str | None = None,
) -> Tensor:
    """LEEP over a Gaussian mixture of the features.

    Args:
        features: shape (n_samples, n_features).
        labels: shape (n_samples,).
        components_per_class: mixture components per class.
        log: mean of logarithms, as in the paper, instead of the mean probability of the released code.
        random_state: seed of the mixture; another seed moves the score by about 0.01.
        device: where to compute what follows the mixture; the CPU when None.

    Returns:
        Mean probability of the true class in (0, 1], or mean log likelihood; NaN with one class.

    Raises:
        InputError: inputs that do not fit together or are not finite, no such device.

    Source:
        Section 3: principal components with 80 % of the variance, full covariances. No more than a tenth
        of the samples, or one per class where that is more, become components [inferred].
    """
    from sklearn.decomposition import PCA
    from sklearn.mixture import GaussianMixture

    batch = prepare(features, labels, device=device)
    rows = batch.x.cpu().numpy()
    if not rows.std(axis=0).any():
        raise Undefined("no feature varies over the samples")
    reduced = PCA(0.8, svd_solver="full", random_state=random_state).fit_transform(rows)
    n_components = min(components_per_class * batch.n_classes, max(batch.n_classes, len(rows) // 10))
    mixture = GaussianMixture(n_components, random_state=random_state).fit(reduced)
    clusters = torch.as_tensor(mixture.predict_proba(reduced), dtype=batch.x.dtype, device=batch.x.device)
    likelihood = expected_prediction(batch.with_features(clusters))
    return likelihood.log().mean() if log else likelihood.mean()
