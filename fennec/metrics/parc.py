"""PARC: rank correlation between the similarities of features and those of labels.

Source: Bolya et al., NeurIPS 2021, arXiv:2111.06977.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor

from .contract import Undefined, one_thread, prepare, scored, tiny, varying
from .scatter import deviations, gram, principal_components


@scored
def parc(
    features: Any,
    labels: Any,
    *,
    pca_dim: int | None = None,
    exact_pca: bool = True,
    max_samples: int = 2000,
    compat: Literal["parc"] | None = None,
    random_state: int = 0,
    device: str | None = None,
) -> Tensor:
    """Pairwise annotation representation comparison.

    Args:
        features: shape (n_samples, n_features).
        labels: shape (n_samples,).
        pca_dim: principal components to keep first; the authors' variant takes 32.
        exact_pca: whether these are exact, or the released code's random approximation.
        max_samples: draw this many of more samples, since pairs are compared.
        compat: `parc` breaks the ties between labels by rounding errors, as the released code does.
        random_state: seed of the draw.
        device: where to compute; the CPU when None.

    Returns:
        100 times a Spearman correlation, in [-100, 100]; NaN with one class or where a sample has no
        correlation with others.

    Raises:
        InputError: inputs that do not fit together or are not finite, no such device.

    Source:
        Section 3.2: one minus the correlation of standardised features of two samples, against one minus
        that of their one-hot labels, over all pairs. The latter has two values only. The released code
        lets rounding split these, for some numbers of classes, which moves its score by up to 1 %.
    """
    batch = prepare(features, labels, device=device)
    x, y = batch.x, batch.y
    if len(x) > max_samples:
        generator = torch.Generator().manual_seed(random_state)
        chosen = torch.randperm(len(x), generator=generator)[:max_samples].sort().values.to(x.device)
        x, y = x[chosen], y[chosen]
    if pca_dim is not None:
        x = principal_components(x, pca_dim, exact=exact_pca)
    with one_thread():
        return _rank_correlation(x, y, batch.n_classes, compat)


def _rank_correlation(x: Tensor, y: Tensor, n_classes: int, compat: str | None) -> Tensor:
    """Of the similarities of features and of labels over all pairs of samples, times 100."""
    mean, deviation = deviations(x)
    varies = varying(mean, deviation)
    rows = x - mean
    rows *= torch.where(varies, 1 / deviation, 0.0)
    rows -= rows.mean(dim=1, keepdim=True)
    norms = rows.norm(dim=1, keepdim=True)
    if len(rows) < 3 or rows.shape[1] < 2 or bool((norms <= tiny(x, 1e-12)).any()):
        raise Undefined("a sample has no correlation with others: its standardised features are all equal")
    rows /= norms
    pairs = torch.ones(len(rows), len(rows), dtype=torch.bool, device=x.device).triu_(1)
    alike = gram(rows.T)[pairs]
    alike.round_(decimals=12 if x.dtype == torch.float64 else 6)  # equal pairs tie whatever the order of the sums
    same = (y[:, None] == y)[pairs]
    values, ranks, counts = _distinct(alike)
    n_same = int(same.sum())
    if len(values) == 1 or n_same in (0, len(same)):
        raise Undefined("all pairs of samples are equally alike")
    if compat == "parc":
        unlike = 1 - np.corrcoef(np.eye(n_classes)[y.cpu().numpy()])[pairs.cpu().numpy()]
        return torch.as_tensor(100 * spearmanr(1 - alike.cpu(), unlike).statistic)
    spread = (counts * ranks.square()).sum().sqrt() * (n_same * (1 - n_same / len(same))) ** 0.5
    return 100 * ranks[torch.searchsorted(values, alike[same])].sum() / spread


def _distinct(values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Distinct values, ascending, their ranks less the mean rank, and how often they occur."""
    on_cpu = values.device.type == "cpu"  # where numpy sorts several times as fast
    ordered = torch.from_numpy(np.sort(values.numpy())) if on_cpu else values.sort().values
    distinct, counts = torch.unique_consecutive(ordered, return_counts=True)
    ranks = counts.cumsum(0) - (counts - 1) / 2 - (len(values) + 1) / 2
    return distinct, ranks.to(values.dtype), counts
