"""What is scored on the samples that it is fitted to ranks noise above a signal, and the registry says so."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.neighbors import KNeighborsClassifier

from fennec.metrics import METRICS, find_metric
from fennec.metrics.contract import SOME

N, C, SEEDS = 200, 5, range(3)
VARIANTS = ["fda(pca_dim=None)", "gbc(pca_dim=None)", "sfda(pca_dim=32)", "ncc(cosine=True)", "ped(logme)", "ped(knn)"]
NAMES = sorted([*METRICS, *VARIANTS])


def features_of(seed: int, *, sharp: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """A signal in 32 features, noise in 5 times as many as samples, labels, and what kNN makes of fresh signal."""
    generator = np.random.default_rng(seed)
    centres = generator.normal(size=(C, SOME))

    def draw(n: int) -> tuple[np.ndarray, np.ndarray]:
        labels = generator.permutation(np.arange(n) % C)
        x = 0.3 * centres[labels] + generator.normal(size=(n, SOME))
        return (softmax(10 * x, axis=1) if sharp else x), labels

    (x, y), (fresh, truth) = draw(N), draw(1000)
    noise = generator.normal(size=(N, 5 * N))
    accuracy = KNeighborsClassifier(10).fit(x, y).score(fresh, truth)
    return x, softmax(10 * noise, axis=1) if sharp else noise, y, accuracy


def n_flattered(name: str) -> int:
    """In how many draws noise is ranked above a signal."""
    metric, found = find_metric(name), 0
    for seed in SEEDS:
        x, noise, y, accuracy = features_of(seed, sharp=metric.takes == "probs")
        assert accuracy > 1.25 / C  # of fresh samples: there is something to find
        target = np.eye(C)[y] if metric.target == "targets" else y
        if metric.takes == "set":
            signal, other = metric.function([x, noise], target)
        else:
            signal, other = metric.function(x, target), metric.function(noise, target)
        found += not signal > other
    return found


@pytest.mark.parametrize("name", NAMES)
def test_metric__noise_in_many_features__below_a_signal_unless_the_registry_says_otherwise(name: str) -> None:
    assert (n_flattered(name) > 0) == find_metric(name).flatters(N, 5 * N)


def test_flatters__few_features_or_components__no() -> None:
    assert METRICS["ncc"].flatters(200, 200)
    assert not METRICS["ncc"].flatters(200, 199)
    assert not METRICS["fda"].flatters(200, 5000)
    assert METRICS["gbc"].flatters(64, 5000)  # 64 components by default
    assert find_metric("sfda(pca_dim=256)").flatters(200, 1000)
    assert find_metric("lead(out_of_fold=False)").flatters(200, 1000)
    assert not find_metric("lead").flatters(200, 1000)
    assert find_metric("ped(sfda(pca_dim=32))").flatters(200, 1000)  # PED itself looks at the labels of all features
