"""How good architectures are, freed from how their checkpoints were trained.

In: ImageNet results of checkpoints. Out: one number per network, what archi2vec is tuned on.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fennec.checkpoints.catalog import Catalog
from fennec.checkpoints.facts import ModelFacts, facts_of
from fennec.evidence.matrix import TransferMatrix
from fennec.space.history import gaussian_scores
from fennec.space.model_prior import indicators

Floats = NDArray[np.float64]
RESULT_NOISE = 0.05  # variance of a checkpoint's mean score around the sum of effects
WORD = 0.05  # variance of the effect of a word of the pre-training


def architecture_quality(matrix: TransferMatrix, catalog: Catalog) -> dict[str, float]:
    """Effect of every network on its checkpoints' mean Gaussian score, words of the pre-training taken out.

    Args:
        matrix: results that depend on nothing but the checkpoint, such as ImageNet and its variants.
        catalog: says which network a checkpoint is, and how it was trained.

    Returns:
        By `library:architecture`, in standard deviations of checkpoints. The effects of networks have unit variance
        before any result.

    Source:
        Best linear unbiased prediction (Henderson 1975) with effects of network, words and input size.
    """
    facts: ModelFacts = facts_of(matrix.models, catalog, quality={})
    scores = np.column_stack([gaussian_scores(column) for column in matrix.performance.T])
    static = np.nanmean(scores, axis=1)
    networks = sorted(set(facts.backbones) - {""})
    blocks = [
        indicators([frozenset([name]) for name in facts.backbones], networks),
        indicators(facts.words, sorted(frozenset().union(*facts.words))) * np.sqrt(WORD),
        facts.size[:, 2:],
    ]
    design = np.column_stack(blocks)
    total = design @ design.T + RESULT_NOISE * np.eye(len(static))
    effects = blocks[0].T @ np.linalg.solve(total, static - static.mean())
    return dict(zip(networks, effects.tolist(), strict=True))
