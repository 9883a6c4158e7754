"""How good architectures are, freed from how their checkpoints were trained.

In: ImageNet results of checkpoints. Out: one number per network, what archi2vec is tuned on.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fennec.checkpoints.catalog import Catalog
from fennec.checkpoints.facts import SCALES, pretraining_words
from fennec.evidence.matrix import TransferMatrix
from fennec.evidence.scores import gaussian_scores

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
    facts = catalog.frame.reindex(list(matrix.models))
    words, backbones = pretraining_words(facts), facts["backbone"].fillna("").astype(str)
    scores = np.column_stack([gaussian_scores(column) for column in matrix.performance.T])
    static = np.nanmean(scores, axis=1)
    networks = sorted(set(backbones) - {""})
    centre, spread = SCALES["input_size"]
    pixels = (np.log2(facts["input_size"].astype(float)) - centre) / spread
    blocks = [
        _indicators([frozenset([name]) for name in backbones], networks),
        _indicators(words, sorted(frozenset().union(*words))) * np.sqrt(WORD),
        np.nan_to_num(np.asarray(pixels)[:, None]),
    ]
    design = np.column_stack(blocks)
    total = design @ design.T + RESULT_NOISE * np.eye(len(static))
    effects = blocks[0].T @ np.linalg.solve(total, static - static.mean())
    return dict(zip(networks, effects.tolist(), strict=True))


def _indicators(words: Sequence[frozenset[str]], vocabulary: Sequence[str]) -> Floats:
    """1 where a model has a word, else 0, shape (n_models, n_words); words outside the vocabulary do not count."""
    column = {word: index for index, word in enumerate(vocabulary)}
    rows = np.zeros((len(words), len(vocabulary)))
    for row, own in enumerate(words):
        rows[row, [column[word] for word in own if word in column]] = 1.0
    return rows
