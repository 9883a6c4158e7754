"""What a metric cannot tell, it says; LogME finds its maximum in every unit; missing labels are no class."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize_scalar

from fennec import metrics
from fennec.errors import InputError
from fennec.metrics import METRICS, find_metric

UNITS = (1e-12, 1e-6, 1e-3, 30.0, 1e3, 1e6, 1e12)
AT_ANY_LABELS = ("sfda", "fda(pca_dim=None)", "h_score")  # reach their maximum where features are as many as samples


def classes(n: int, d: int, c: int, *, apart: float = 0.5, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    y = np.arange(n) % c
    return apart * generator.normal(size=(c, d))[y] + generator.normal(size=(n, d)), y


def profile_maximum(x: np.ndarray, t: np.ndarray) -> float:
    """Largest log evidence per sample of y ~ N(0, v (X X' / r + I)), by a grid and a search over the ratio r."""
    values, vectors = np.linalg.eigh(x @ x.T)
    values = values.clip(0)
    own = (vectors.T @ t) ** 2

    def loss(log_ratio: float) -> float:
        spread = 1 + values / np.exp(log_ratio)
        return 0.5 * float(np.log(2 * np.pi * (own / spread).mean()) + 1 + np.log(spread).mean())

    grid = np.linspace(np.log(values.max()) - 30, np.log(values.max()) + 15, 400)
    start = grid[np.argmin([loss(point) for point in grid])]
    return -float(minimize_scalar(loss, bounds=(start - 0.2, start + 0.2), method="bounded").fun)


@pytest.mark.parametrize(("n", "d", "c"), [(300, 64, 5), (40, 100, 3), (60, 60, 2), (120, 8, 10)])
@pytest.mark.parametrize("apart", [0.0, 0.5, 3.0])
def test_logme__any_shape__the_maximum_of_the_evidence(n: int, d: int, c: int, apart: float) -> None:
    x, y = classes(n, d, c, apart=apart)
    expected = np.mean([profile_maximum(x, (y == label).astype(float)) for label in range(c)])
    assert metrics.logme(x, y) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("d", [8, 64, 400])
def test_logme__features_in_another_unit__same_score(unit: float, d: int) -> None:
    x, y = classes(120, d, 3)
    assert metrics.logme(unit * x, y) == pytest.approx(metrics.logme(x, y), rel=1e-7)
    targets = x[:, :2] + 0.1 * np.random.default_rng(1).normal(size=(120, 2))
    expected = metrics.logme_regression(x, targets)
    assert metrics.logme_regression(unit * x, targets) == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_logme__models_in_different_units__order_by_what_they_know() -> None:
    models = [(unit * classes(200, 32, 4, apart=apart)[0], apart) for apart in (0.1, 0.3, 1.0) for unit in UNITS]
    _, y = classes(200, 32, 4)
    scores = [metrics.logme(x, y) for x, _ in models]
    assert [apart for _, (_, apart) in sorted(zip(scores, models, strict=True), key=lambda pair: pair[0])] == sorted(
        apart for _, apart in models
    )


def test_logme_regression__targets_of_zeros__not_counted() -> None:
    x, y = classes(60, 8, 2)
    columns = np.stack([y, np.zeros(60)], axis=1)
    assert metrics.logme_regression(x, columns) == metrics.logme_regression(x, y.astype(float))
    assert "all zero" in metrics.logme_regression(x, np.zeros(60)).reason
    assert "all zero" in metrics.logme_regression(0 * x, y).reason


@pytest.mark.parametrize("name", ["h_score", "regularised_h_score", "parc", "knn", "linear_probe", "logme"])
@pytest.mark.parametrize("unit", [1e-10, 1e10])
def test_metric__features_in_a_very_small_or_large_unit__same_score(name: str, unit: float) -> None:
    x, y = classes(90, 8, 3)
    function = find_metric(name).function
    assert function(unit * x, y) == pytest.approx(function(x, y), rel=1e-3)


@pytest.mark.parametrize("name", [*AT_ANY_LABELS, "ped(sfda)", "ped(h_score)"])
@pytest.mark.parametrize(("n", "d", "c"), [(100, 200, 10), (100, 100, 5), (30, 500, 2)])
def test_metric__as_many_features_as_samples__says_that_it_saturates(name: str, n: int, d: int, c: int) -> None:
    x, y = classes(n, d, c, apart=0.0)  # nothing to find
    score = find_metric(name).function(x, y)
    assert np.isfinite(score)
    assert f"it saturates, {d} features for {n} samples" in score.reason
    ranked = metrics.ens_sfda([x, 2 * x], y)
    assert all("saturates" in score.reason for score in ranked)


@pytest.mark.parametrize("name", AT_ANY_LABELS)
def test_metric__few_features__no_word_even_where_classes_are_apart(name: str) -> None:
    for apart in (0.0, 0.5, 30.0):
        x, y = classes(200, 16, 4, apart=apart)
        assert find_metric(name).function(x, y).reason == ""


def test_sfda__few_components_of_many_features__does_not_saturate() -> None:
    x, y = classes(200, 1000, 4, apart=0.0)
    assert metrics.sfda(x, y).reason
    for name in ("sfda(pca_dim=32)", "fda"):
        score = find_metric(name).function(x, y)
        assert (score.reason, score < 0.9) == ("", True), name


@pytest.mark.parametrize(
    ("x", "y", "reason"),
    [
        (np.eye(5), np.arange(5), "do not vary within any class"),
        (np.ones((6, 3)), np.arange(6) % 2, "no feature varies"),
        (np.eye(6), np.zeros(6), "all samples are of one class"),
    ],
)
def test_ped__metric_is_undefined__its_reason(x: np.ndarray, y: np.ndarray, reason: str) -> None:
    assert reason in metrics.ped(metrics.sfda)(x, y).reason
    assert reason in metrics.ped(metrics.ped(metrics.sfda))(x, y).reason


MISSING: list[Any] = [None, np.nan, float("nan"), pd.NA, pd.NaT, ""]


@pytest.mark.parametrize("missing", MISSING, ids=repr)
@pytest.mark.parametrize("name", ["logme", "sfda", "knn", "ped(logme)"])
def test_metric__labels_missing__refused_and_counted(name: str, missing: Any) -> None:
    x, _ = classes(60, 8, 3)
    labels = np.array(["a", "b", missing] * 20, dtype=object)
    with pytest.raises(InputError, match="20 of 60 labels are missing"):
        find_metric(name).function(x, labels)
    with pytest.raises(InputError, match="20 of 60 labels are missing"):
        find_metric(name).function(x, labels.tolist())


def test_metric__missing_among_numbers__refused_and_names_that_look_missing__names() -> None:
    x, y = classes(60, 8, 3)
    with pytest.raises(InputError, match="1 of 60 labels are missing"):
        metrics.knn(x, np.where(np.arange(60) == 7, np.nan, y))
    expected = metrics.knn(x, y)
    assert metrics.knn(x, np.array(["None", "NA", "nan"])[y]) == expected
    assert metrics.knn(x, np.array(["None", "NA", "nan"], dtype=object)[y]) == expected
    assert metrics.knn(x, y - 2) == expected  # numbers that start below -1 are names as well
    with pytest.raises(InputError, match="20 of 60 labels are -1, which means missing"):
        metrics.knn(x, y - 1)


def test_metric__every_one__a_reason_is_text() -> None:
    x, y = classes(40, 80, 2)
    for name, metric in METRICS.items():
        if metric.takes == "features" and metric.target == "labels":
            assert isinstance(metric.function(x, y).reason, str), name
