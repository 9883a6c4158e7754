"""The contract that every metric keeps, and what the metrics over sets of models say besides."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fennec import metrics
from fennec.errors import InputError
from fennec.metrics import METRICS, Score, find_metric
from tests.metrics.conftest import blobs, source_probs

ONE_MODEL = sorted(name for name, metric in METRICS.items() if metric.takes != "set" and metric.target == "labels")
NAMES = [*ONE_MODEL, "ped(sfda)", "ped(logme)"]
SETS = sorted(name for name, metric in METRICS.items() if metric.takes == "set")
SLOW = {"lead": {"n_heads": 1}, "linear_probe": {"n_folds": 3, "strength": 0.1}}
# What leaves a metric unchanged, besides the order of samples and the names of classes.
SCALE_FREE = {"h_score", "regularised_h_score", "parc", "lead", "linear_probe", "knn", "emms", "transrate", "nleep"}
ROTATION_FREE = {"disco", "fda", "gbc", "h_score", "regularised_h_score", "knn", "logme", "ncc", "sfda", "transrate"}


def run(name: str, features: np.ndarray, labels: Any, **options: Any) -> Score:
    """A metric by name, with its source probabilities made from the features where it takes those."""
    metric = find_metric(name)
    first = source_probs(features) if metric.takes == "probs" else features
    score = metric.function(first, labels, **SLOW.get(name, {}), **options)
    assert isinstance(score, Score)
    return score


@pytest.mark.parametrize("name", NAMES)
def test_metric__any_data__finite_float_inputs_and_global_state_untouched(name: str) -> None:
    features, labels = blobs()
    before, names = features.copy(), labels.copy()
    state, torch_state = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    score = run(name, features, labels)
    assert np.isfinite(score)
    assert score.reason == ""
    assert score == run(name, features, labels)
    np.testing.assert_array_equal(features, before)
    np.testing.assert_array_equal(labels, names)
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), torch_state)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(60, 8, 3), (24, 40, 3), (40, 6, 2)])
def test_metric__separable_classes__above_random_labels(name: str, shape: tuple[int, int, int]) -> None:
    features, labels = blobs(*shape, apart=3.0)
    if name in ("h_score", "fda", "sfda", "ped(sfda)") and shape[0] <= shape[1]:
        pytest.skip("saturates for fewer samples than features")
    if name == "transrate" and shape[2] == 2:
        pytest.skip("its classes are not centred again, so each of two has the coding rate of both")
    shuffled = np.random.default_rng(5).permutation(labels)
    assert run(name, features, labels) > run(name, features, shuffled)


@pytest.mark.parametrize("name", NAMES)
def test_metric__other_names_of_classes__same_score(name: str) -> None:
    features, labels = blobs(c=4)
    expected = run(name, features, labels)
    for names in (
        np.array(["a", "b", "c", "d"])[labels],
        labels.astype(np.float32),
        list(labels * 10 - 7),
        torch.as_tensor(labels),
        np.array(["a", "b", "c", "d"], dtype=object)[labels],
    ):
        assert run(name, features, names) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"lead", "linear_probe", "nleep"}))  # these draw from the order
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000), n=st.integers(12, 40), d=st.integers(2, 30), c=st.integers(2, 4))
@example(seed=5, n=12, d=28, c=2)  # as many components as samples: a scatter that is singular but for rounding
def test_metric__samples_in_another_order__same_score(name: str, seed: int, n: int, d: int, c: int) -> None:
    features, labels = blobs(n, d, c, seed=seed)
    order = np.random.default_rng(seed).permutation(n)
    one, two = run(name, features, labels), run(name, features[order], labels[order])
    assert one == pytest.approx(two, rel=1e-6, abs=1e-9, nan_ok=True)
    assert one.reason == two.reason


@pytest.mark.parametrize("name", sorted(SCALE_FREE))
def test_metric__features_scaled__same_score(name: str) -> None:
    features, labels = blobs(n=90)
    assert run(name, 7.0 * features, labels) == pytest.approx(run(name, features, labels), rel=1e-3)


@pytest.mark.parametrize("name", sorted(ROTATION_FREE))
def test_metric__features_rotated__same_score(name: str) -> None:
    features, labels = blobs(n=90)
    rotation = np.linalg.qr(np.random.default_rng(3).standard_normal((8, 8)))[0]
    # The shrinkage of SFDA starts from a fixed vector and is an estimate, so it moves a little.
    tolerance = 0.02 if name == "sfda" else 1e-8
    assert run(name, features @ rotation, labels) == pytest.approx(run(name, features, labels), rel=tolerance)


@pytest.mark.parametrize("name", ["fda", "gbc", "ncc", "sfda", "disco", "nce", "leep"])
def test_metric__every_sample_twice__same_score(name: str) -> None:
    features, labels = blobs(n=60)
    twice = run(name, np.concatenate([features, features]), np.concatenate([labels, labels]))
    assert twice == pytest.approx(run(name, features, labels), rel=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_metric__one_class__nan_with_reason(name: str) -> None:
    features, _ = blobs()
    score = run(name, features, np.zeros(60))
    assert np.isnan(score)
    assert score.reason == "all samples are of one class"


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"leep", "nce"}))
def test_metric__constant_features__nan_with_reason(name: str) -> None:
    score = run(name, np.ones((20, 4)), np.arange(20) % 2)
    assert np.isnan(score)
    assert "varies" in score.reason or "vary" in score.reason


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("case", ["some constant", "every class once", "more classes than features", "duplicates"])
def test_metric__awkward_data__number_or_reason(name: str, case: str) -> None:
    features, labels = blobs(30, 6, 3)
    if case == "some constant":
        features[:, :3] = 1.0
    elif case == "every class once":
        labels = np.arange(30)
    elif case == "more classes than features":
        labels = np.arange(30) % 12
    else:
        features[10:] = features[:10].repeat(2, axis=0)
    score = run(name, features, labels)
    assert np.isfinite(score) or score.reason


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda x, y: (x[:0], y[:0]), "have shape"),
        (lambda x, y: (x[:, 0], y), "have shape"),
        (lambda x, y: (x, y[:-1]), "labels have shape"),
        (lambda x, y: (x, np.arange(len(y)) % 3 - 1), "labels are -1, which means missing beside 0, 1"),
        (lambda x, y: (np.where(np.arange(x.size).reshape(x.shape) == 3, np.nan, x), y), "NaN or infinite"),
        (lambda x, y: (np.where(np.arange(x.size).reshape(x.shape) == 3, np.inf, x), y), "NaN or infinite"),
        (lambda x, y: (x, y + 0.5), "not whole numbers"),
        (lambda x, y: (x.astype(str), y), "not numbers"),
    ],
)
def test_metric__unusable_input__one_line(name: str, spoil: Callable[..., Any], message: str) -> None:
    features, labels = blobs()
    metric = find_metric(name)
    first = source_probs(features) if metric.takes == "probs" else features
    with pytest.raises(InputError, match=message) as caught:
        metric.function(*spoil(first, labels))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", NAMES)
def test_metric__no_such_device__one_line(name: str) -> None:
    features, labels = blobs()
    with pytest.raises(InputError, match="device 'cuda:9' cannot be used here"):
        run(name, features, labels, device="cuda:9")


def test_probs__rows_that_are_no_distribution__input_error() -> None:
    features, labels = blobs()
    with pytest.raises(InputError, match="no probabilities .* apply softmax"):
        metrics.leep(features, labels)


def test_find_metric__unknown__nearest_offered() -> None:
    with pytest.raises(InputError, match="unknown metric 'sfd'; did you mean 'sfda'"):
        find_metric("sfd")
    with pytest.raises(InputError, match="PED composes"):
        find_metric("ped(leep)")


@pytest.mark.parametrize("name", SETS)
def test_set_metric__good_and_bad_model__in_this_order(name: str) -> None:
    _, labels = blobs(90)
    models = [blobs(90, apart=apart)[0] for apart in (2.0, 0.1)]
    good, bad = METRICS[name].function(models, labels)
    assert good > bad
    assert all(np.isnan(score) and score.reason for score in METRICS[name].function(models, np.zeros(90)))
    constant = METRICS[name].function([*models, np.ones((90, 8))], labels)[-1]
    assert constant <= good or constant.reason


def test_ens_sfda__one_model_with_fewer_directions__defined() -> None:
    features, labels = blobs(90, 12, 9)
    scores = metrics.ens_sfda([features, features[:, :3], np.tile(features[:, :2], 5)], labels)
    assert all(np.isfinite(scores))


def test_ens_sfda__a_copy_and_another_model__the_other_adds_more() -> None:
    features, labels = blobs(90, apart=1.0)
    other = blobs(90, apart=1.0, seed=7)[0]
    other = other - np.stack([other[labels == c].mean(0) for c in range(3)])[labels]
    other += np.stack([features[labels == c].mean(0) for c in range(3)])[labels]
    one, copy, different = metrics.ens_sfda([features, features, other], labels, ratio=0.0)
    assert one == pytest.approx(copy, abs=1e-9)
    assert different > one


def test_disco_detection__boxes_that_features_predict__best() -> None:
    features, labels = blobs(80, 6, 2, apart=2.0)
    boxes = features[:, :4] @ np.random.default_rng(0).standard_normal((4, 4))
    noise = np.random.default_rng(1).standard_normal((80, 6))
    good, bad = metrics.disco_detection([features, noise], labels, boxes)
    assert (good, bad) == (2.0, 0.0)
