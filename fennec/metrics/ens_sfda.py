"""Ens-SFDA: choice of a set of models that are good and complement each other.

Source: Shao et al., ECCV 2022, arXiv:2207.03036, equations 8 and 9; not in the released code.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from .contract import Batch, Score, prepare
from .disco import min_max
from .scatter import class_means, gram_basis
from .sfda import Discriminant, sfda


def ens_sfda(features: Sequence[Any], labels: Any, *, ratio: float = 0.5, device: str | None = None) -> list[Score]:
    """Score of every model for its place in an ensemble; the set of k models is the k best.

    Args:
        features: one array per model, each of shape (n_samples, n_features).
        labels: shape (n_samples,).
        ratio: weight of the model's own SFDA against what it adds to the others.
        device: where to compute; the CPU when None.

    Returns:
        One score per model in [0, 1], comparable within the set only; NaN where SFDA is.

    Raises:
        InputError: inputs that do not fit together or are not finite, no such device.

    Source:
        Equations 8-9. [inferred]: a model's row is its centred projection on as many Fisher directions as
        all models have, every sample to unit length; what it adds is the nuclear norm lost without it; both
        parts are scaled to [0, 1] over the models.
    """
    own = [sfda(x, labels, device=device) for x in features]
    if np.isnan(own).all():
        return own
    if np.isnan(own).any():  # the others are a set without these
        defined = iter(ens_sfda([x for x, score in zip(features, own, strict=True) if score == score], labels,
                                ratio=ratio, device=device))  # fmt: skip
        return [next(defined) if score == score else score for score in own]
    projections = [_fisher_features(prepare(x, labels, device=device)) for x in features]
    width = min(projection.shape[1] for projection in projections)
    rows = torch.stack([functional.normalize(each[:, :width], dim=1).ravel() for each in projections])
    gram = rows @ rows.T
    whole = _nuclear_norm(gram)
    added = []
    for index in range(len(rows)):
        others = [other for other in range(len(rows)) if other != index]
        added.append(whole - _nuclear_norm(gram[others][:, others]) if others else whole)
    parts = min_max(np.array([own, added], dtype=float).T)
    values = (parts @ np.array([ratio, 1 - ratio])).tolist()
    return [Score(value, score.reason) for value, score in zip(values, own, strict=True)]


def _nuclear_norm(gram: Tensor) -> float:
    return float(torch.linalg.eigvalsh(gram).clamp_min(0.0).sqrt().sum())


def _fisher_features(batch: Batch) -> Tensor:
    """Discriminant projections of the centred samples, best first, shape (n_samples, at most n_classes - 1)."""
    means = class_means(batch)
    inside = batch.x - means[batch.y]
    shrinkage = Discriminant(batch).shrinkage()
    centred = batch.x - batch.x.mean(dim=0)
    basis, _ = gram_basis(centred)  # whiten within the span of the samples
    reduced, inner = centred @ basis, inside @ basis
    scatter = (1 - shrinkage) * inner.T @ inner / len(inner)
    scatter.diagonal().add_(max(shrinkage, 1e-6) * inside.square().mean())
    factor = torch.linalg.cholesky(scatter)
    white = torch.linalg.solve_triangular(factor, reduced.T, upper=False).T
    spread = class_means(batch.with_features(white)) * batch.counts[:, None].sqrt()
    width = min(batch.n_classes - 1, white.shape[1])
    return white @ torch.linalg.eigh(spread.T @ spread)[1][:, -width:].flip(1)
