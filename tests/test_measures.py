from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from fennec.errors import InputError
from fennec.measures import (
    MEASURES,
    bootstrap_interval,
    recall_at_k,
    regret_at_k,
    relative_at_k,
    weighted_tau,
)

distinct = st.lists(st.integers(0, 10_000), min_size=3, max_size=30, unique=True)


@pytest.mark.parametrize("name", MEASURES)
@given(values=distinct)
def test_measure__perfect_order__best_value(name: str, values: list[int]) -> None:
    performance = np.array(values) / 10_000 + 0.01
    value = MEASURES[name](performance * 3 + 1, performance)
    assert value == pytest.approx(0.0 if name.startswith("regret") else 1.0)


@pytest.mark.parametrize("name", MEASURES)
@given(values=distinct, seed=st.integers(0, 100))
def test_measure__models_shuffled__same_value(name: str, values: list[int], seed: int) -> None:
    generator = np.random.default_rng(seed)
    performance = np.array(values) / 10_000
    scores = generator.permutation(len(values)).astype(float)
    order = generator.permutation(len(values))
    assert MEASURES[name](scores[order], performance[order]) == pytest.approx(MEASURES[name](scores, performance))


@pytest.mark.parametrize("name", MEASURES)
def test_measure__unknown_performance__left_out(name: str) -> None:
    scores, performance = np.array([3.0, 2.0, 9.0, 1.0]), np.array([0.7, 0.8, np.nan, 0.2])
    assert MEASURES[name](scores, performance) == MEASURES[name](scores[[0, 1, 3]], performance[[0, 1, 3]])


@pytest.mark.parametrize("name", MEASURES)
def test_measure__no_score__ranked_last(name: str) -> None:
    scores, performance = np.array([3.0, 2.0, np.nan]), np.array([0.7, 0.8, 0.9])
    assert MEASURES[name](scores, performance) == pytest.approx(MEASURES[name]([3.0, 2.0, 1.0], performance))


@pytest.mark.parametrize("name", MEASURES)
@pytest.mark.parametrize(
    ("scores", "performance"),
    [([1.0], [0.5]), ([1.0, 2.0], [0.5]), ([1.0, np.inf], [0.5, 0.6]), ([[1.0]], [[0.5]])],
)
def test_measure__bad_input__input_error(name: str, scores: list[float], performance: list[float]) -> None:
    with pytest.raises(InputError):
        MEASURES[name](scores, performance)


@given(
    arrays(float, 12, elements=st.floats(0, 1, width=16)),
    arrays(float, 12, elements=st.floats(0, 1, width=16)),
)
def test_weighted_tau__against_scipy(scores: np.ndarray, performance: np.ndarray) -> None:
    expected = stats.weightedtau(scores, performance).statistic
    assert weighted_tau(scores, performance) == pytest.approx(0.0 if np.isnan(expected) else expected)


def test_at_k__by_hand() -> None:
    scores, performance = [0.9, 0.8, 0.1, 0.2], [0.5, 0.7, 0.9, 0.6]
    assert regret_at_k(scores, performance, k=2) == pytest.approx(0.2)
    assert relative_at_k(scores, performance, k=1) == pytest.approx(0.5 / 0.9)
    assert recall_at_k(scores, performance, k=2) == pytest.approx(0.5)


def test_at_k__k_zero__input_error() -> None:
    with pytest.raises(InputError, match="k is 0"):
        regret_at_k([1.0, 2.0], [0.1, 0.2], k=0)


def test_bootstrap_interval__normal_sample__covers_mean_and_is_seeded() -> None:
    sample = np.random.default_rng(0).normal(0.5, 0.1, 30)
    low, high = bootstrap_interval(sample)
    assert low < sample.mean() < high
    assert high - low == pytest.approx(2 * 1.96 * sample.std() / np.sqrt(30), rel=0.1)
    assert bootstrap_interval(sample) == (low, high)
    with pytest.raises(InputError):
        bootstrap_interval([])
