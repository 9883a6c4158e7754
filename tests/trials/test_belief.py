"""Beliefs against dense formulas and plain sampling; choices against what a person would say."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import block_diag
from scipy.special import logit

from fennec.checkpoints.catalog import load_catalog
from fennec.checkpoints.facts import facts_of
from fennec.errors import InputError
from fennec.space.deviation import Deviation, Expected
from fennec.space.process import AFFINITY
from fennec.trials.belief import Belief, Prior, Scatter, relatives
from fennec.trials.budget import Budget
from fennec.trials.choice import choose, something_better
from fennec.trials.pace import expected_seconds


def prior(mean: list[float], factors: list[list[float]], *, own: float = 0.2, spread: float = 0.8) -> Prior:
    return Prior(
        np.array(mean), np.array(factors), np.full(len(mean), own), 0.3, 0.5, np.full(9, spread)
    )  # one spread, nine times


TWINS = prior([1.0, 0.98, 0.9], [[2.0, 0.0], [2.0, 0.0], [0.0, 2.0]], own=0.01)
APART = prior([0.5, 0.2, 0.0, -0.3], [[1.0, 0.0], [0.7, 0.2], [0.0, 1.0], [0.3, 0.3]])


def test_belief__two_results__mean_and_variance_of_the_dense_formula() -> None:
    results = {1: 0.7, 3: 0.4}
    covariance = 0.5 + 0.8**2 * (APART.factors @ APART.factors.T + np.diag(APART.own))
    mean = 0.3 + 0.8 * APART.mean
    gain = covariance[:, [1, 3]] @ np.linalg.inv(covariance[np.ix_([1, 3], [1, 3])])
    expected = mean + gain @ (logit([0.7, 0.4]) - mean[[1, 3]])
    left = np.diag(covariance - gain @ covariance[[1, 3]])
    found, deviation = Belief(APART, results).moments()
    assert found == pytest.approx(expected, abs=1e-6)
    assert deviation**2 == pytest.approx(left, abs=1e-6)


def test_gains__against_many_draws__agree() -> None:
    belief = Belief(APART, {1: 0.7})
    draws = belief.draws(np.arange(4), n_draws=200_000)
    sampled = np.maximum(draws - 0.7, 0.0).mean(axis=0)
    assert belief.gains() == pytest.approx(sampled, abs=2e-3)
    assert belief.expected()[[0, 2, 3]] == pytest.approx(draws.mean(axis=0)[[0, 2, 3]], abs=3e-3)
    assert (draws[:, 1] == 0.7).all()
    chance, ahead = something_better(belief, np.array([0, 2, 3]), above=0.05, reliability=(0.0, 1.0))
    best = belief.draws(np.array([0, 2, 3]), n_draws=200_000).max(axis=1) - 0.7
    assert chance == pytest.approx((best > 0.05).mean(), abs=0.05)
    assert ahead == pytest.approx(best[best > 0.05].mean(), abs=0.02)


def test_belief__one_spread_in_many__follows_the_one_that_fits() -> None:
    wide = Prior(APART.mean, APART.factors, APART.own, 0.0, 0.01, np.geomspace(0.05, 3.0, 9))
    belief = Belief(wide, {0: 0.95, 3: 0.05})
    assert belief.weights @ wide.spreads > 1.0
    assert Belief(wide, {0: 0.51, 3: 0.49}).weights @ wide.spreads < 0.5


def test_relatives__product__is_what_models_have_in_common() -> None:
    catalog = load_catalog()
    names = ["timm:resnet50.a1_in1k", "timm:resnet50.a2_in1k", "timm:vit_base_patch16_224.augreg_in21k"]
    facts = facts_of(names, catalog)
    factors = relatives(facts, AFFINITY)
    shared = factors @ factors.T - AFFINITY.facts * facts.numbers @ facts.numbers.T
    assert shared[0, 1] == pytest.approx(AFFINITY.network + AFFINITY.family + AFFINITY.pretraining)
    assert shared[0, 2] == pytest.approx(0.0)


@pytest.mark.parametrize(("affinity", "shared"), [(1.0, 0.0), (4.0, 0.0), (4.0, 1.0)])
def test_prior__scatter__widens_what_known_tasks_favour_and_nothing_else(affinity: float, shared: float) -> None:
    names = ["timm:resnet50.a1_in1k", "timm:resnet50.a2_in1k", "timm:vit_base_patch16_224.augreg_in21k"]
    facts = facts_of(names, load_catalog())
    vectors = np.array([[1.0, 0.3, -0.2, 0.5], [0.9, 0.1, 0.4, 0.2], [0.2, -0.6, 0.1, 0.3]])
    known = np.array([[0.5, 0.2], [0.2, 0.3]])
    covariance = block_diag(np.array([[1e-6]]), known, np.eye(1))
    task = Expected(vectors, covariance, np.zeros(4), 0.0, np.full(3, np.nan), np.array([0.1, 0.2, 0.3]), 2)
    found = Prior.of(task, Deviation(1.0, 0.3, np.ones(9), 1.0), facts, AFFINITY, Scatter(affinity, shared, 0.4))
    alike = relatives(facts, AFFINITY)
    wide = block_diag(np.array([[1e-6]]), affinity * known, np.eye(1))
    assert found.factors @ found.factors.T == pytest.approx(
        vectors @ wide @ vectors.T + shared * alike @ alike.T, abs=1e-6
    )
    single = np.maximum(0.4 - shared * np.square(alike).sum(axis=1), 0.1)
    assert found.own == pytest.approx(task.doubt + single)


def test_something_better__share_of_draws__is_brought_to_what_was_learned() -> None:
    belief, rows = Belief(APART, {1: 0.7}), np.array([0, 2, 3])
    plain, ahead = something_better(belief, rows, reliability=(0.0, 1.0))
    humble, same = something_better(belief, rows, reliability=(-0.5, 0.5))
    assert logit(humble) == pytest.approx(-0.5 + 0.5 * logit(plain))
    assert ahead == same
    certain, _ = something_better(Belief(APART, {1: 0.999}), rows, above=0.5, reliability=(0.0, 1.0))
    assert 0 < certain < 0.001  # so many draws cannot say never


def test_choose__first__is_the_one_expected_to_be_best_and_has_no_gain() -> None:
    choice = choose(Belief(APART, {}), np.arange(4), np.array([9.0, 1.0, 1.0, 1.0]), per_second=True)
    assert choice is not None
    assert (choice.row, choice.gain, choice.seconds) == (0, None, 9.0)


def test_choose__second_worker__does_not_take_the_twin() -> None:
    rows = np.arange(3)
    alone = choose(Belief(TWINS, {}), rows, np.ones(3))
    assert alone is not None
    assert alone.row == 0
    beside = choose(Belief(TWINS, {}), rows[1:], np.ones(3), pending=[0])
    assert beside is not None
    assert beside.row == 2


def test_choose__by_time__prefers_the_quick_of_equals_and_takes_open_ones_only() -> None:
    same = prior([0.5, 0.5, 0.0], np.eye(3).tolist())
    belief = Belief(same, {2: 0.5})
    assert choose(belief, np.array([]).astype(int), np.ones(3)) is None
    for seconds, row in (([9.0, 1.0, 1.0], 1), ([1.0, 9.0, 1.0], 0)):
        choice = choose(belief, np.array([0, 1]), np.array(seconds), per_second=True)
        assert choice is not None
        assert choice.row == row
        assert choice.gain == pytest.approx(belief.gains()[row])


def test_something_better__nothing_untried__no_chance() -> None:
    assert something_better(Belief(APART, {0: 0.5}), np.array([], dtype=int)) == (0.0, 0.0)


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("30m", 1800), ("1h30m", 5400), ("0.5h", 1800)])
def test_budget__times__are_read(text: str, seconds: float) -> None:
    assert Budget.parse(text) == Budget(seconds, "seconds")


@pytest.mark.parametrize("text", ["", "30", "m", "-5m", "5 model x", "ten models", "1.5 models", "30m 5"])
def test_budget__anything_else__refused(text: str) -> None:
    with pytest.raises(InputError, match="expected a time such as 30m"):
        Budget.parse(text)


def test_expected_seconds__after_trials__a_line_in_logarithms() -> None:
    rated = np.geomspace(1.0, 100.0, 9)
    assert expected_seconds(rated, {}) == pytest.approx(rated)
    slow = expected_seconds(rated, {0: 10.0, 4: 100.0, 8: 1000.0})
    assert slow == pytest.approx(10 * rated, rel=0.1)
    flat = expected_seconds(rated, dict.fromkeys(range(9), 20.0))
    assert flat.max() / flat.min() < 2  # loading takes longer than these networks do
