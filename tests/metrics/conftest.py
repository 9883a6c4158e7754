"""Features, labels and source probabilities for the tests of metrics."""

from __future__ import annotations

import numpy as np
from scipy.special import softmax


def blobs(n: int = 60, d: int = 8, c: int = 3, *, apart: float = 1.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Gaussian classes around random centres, every class present."""
    generator = np.random.default_rng(seed)
    labels = generator.permutation(np.arange(n) % c)
    return apart * generator.standard_normal((c, d))[labels] + generator.standard_normal((n, d)), labels


def source_probs(features: np.ndarray, *, n_source: int = 6, seed: int = 1) -> np.ndarray:
    """Probabilities of a made-up source head."""
    weights = np.random.default_rng(seed).standard_normal((features.shape[1], n_source))
    return np.asarray(softmax(features @ weights, axis=1))
