"""How alike two sets of weights are, and two studies: the covariances that the transfer space is made from.

In: `Facts` of weights, names of studies and protocols. Out: matrices of covariances.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fennec.checkpoints.facts import SHARED, Facts

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Effects:
    """Variance of every effect of weights, in squared Gaussian scores, and how much of it studies have in common.

    Attributes:
        facts: of a fact one unit from the centre.
        same: of what is the weights' own, wherever they are measured.
        parent: of what weights tuned from the same ones share.
        network: of what those of one network share.
        family: of what those of one family share.
        pretraining: of what those of one method on the same data share.
        common: share of every effect that all studies have in common.
        protocol: share that studies by one protocol have in common beyond that. The rest is a study's own: so sixty
            siblings in one study say once, and not sixty times, how good their family is elsewhere.
    """

    facts: float
    same: float
    parent: float
    network: float
    family: float
    pretraining: float
    common: float
    protocol: float

    def total(self, facts: Facts) -> NDArray[np.float64]:
        """Variance of every set of weights in a study, shape (n_models,)."""
        shared = sum(getattr(self, name) for name in SHARED)
        return np.asarray(self.facts * np.square(facts.numbers).sum(axis=1) + shared)


def between_weights(one: Facts, two: Facts, effects: Effects) -> Floats:
    """Covariance of the effects of weights within one study, shape (n_one, n_two)."""
    covariance = np.float32(effects.facts) * (one.numbers.astype(np.float32) @ two.numbers.T.astype(np.float32))
    for name in SHARED:
        if variance := getattr(effects, name):
            first, second = _numbered(one.shared[name], two.shared[name])
            covariance += np.float32(variance) * (first[:, None] == second[None])
    return covariance


def between_studies(one: pd.DataFrame, two: pd.DataFrame, effects: Effects) -> Floats:
    """Share of the effects of weights that results have in common, shape (n_one, n_two).

    Args:
        one: `study` and `protocol` of every result.
        two: of the others.
        effects: how much.
    """
    studies, others = _numbered(one["study"], two["study"])
    protocols, rest = _numbered(one["protocol"], two["protocol"])
    share = np.float32(effects.protocol) * (protocols[:, None] == rest[None])
    share += np.float32(1 - effects.common - effects.protocol) * (studies[:, None] == others[None])
    return np.asarray(share + np.float32(effects.common))


def _numbered(one: Iterable[str], two: Iterable[str]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Names as numbers, equal ones alike: a hundred times faster to compare."""
    first, second = list(one), list(two)
    numbers = np.unique(np.array([*first, *second], dtype=str), return_inverse=True)[1].astype(np.int32)
    return numbers[: len(first)], numbers[len(first) :]
