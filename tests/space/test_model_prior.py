"""The model side: planted effects are found, history overrules the prior by its weight, doubt widens."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fennec.checkpoints.catalog import load_catalog
from fennec.checkpoints.facts import ModelFacts, facts_of
from fennec.evaluation.architecture_quality import architecture_quality
from fennec.evidence.hubs import load_matrix
from fennec.space.history import static_history
from fennec.space.model_prior import DEFAULT_EFFECTS, START, Effects, ModelPrior, learn_effects, parts


def facts(n: int, seed: int = 0) -> ModelFacts:
    rng = np.random.default_rng(seed)
    return ModelFacts(
        rng.standard_normal(n),
        rng.standard_normal((n, 3)),
        np.zeros(n),
        tuple(frozenset({f"data {value}"}) for value in rng.integers(0, 4, n)),
        tuple(f"family{value}" for value in rng.integers(0, 8, n)),
        tuple(f"net{value}" for value in rng.integers(0, 20, n)),
    )


PLANTED = Effects(0.8, 0.01, 0.01, 0.01, 0.5, 0.3, 0.01, 0.01, 0.05)


def drawn(own: ModelFacts, seed: int) -> np.ndarray:
    """Static history under the planted effects."""
    rng = np.random.default_rng(seed)
    covariance = sum(getattr(PLANTED, name) * part for name, part in parts(own, own).items())
    covariance = covariance + PLANTED.checkpoint * np.eye(len(own))
    return PLANTED.slope * own.quality + rng.multivariate_normal(np.zeros(len(own)), covariance)


def test_learn_effects__planted__found_and_more_likely_than_the_start() -> None:
    hubs = [(own, drawn(own, seed), np.full(80, 0.02)) for seed in range(8) for own in [facts(80, seed)]]
    found = learn_effects(hubs)
    assert found.slope == pytest.approx(0.8, abs=0.2)
    assert found.words > 3 * found.size
    assert found.family > 3 * found.backbone


def test_predict__models_of_a_known_family__better_than_the_mean() -> None:
    own = facts(200)
    truth = drawn(own, 1)
    rest, new = np.arange(100), np.arange(100, 200)
    prior = ModelPrior(PLANTED).fit(own.select(rest), truth[rest], np.full(100, 1e-3))
    mean, variance = prior.predict(own.select(new))
    error = truth[new] - mean
    assert np.square(error).mean() < 0.4 * truth[new].var()
    assert 0.5 < np.square(error).mean() / variance.mean() < 2


@settings(deadline=None, max_examples=20)
@given(st.integers(5, 30), st.integers(0, 1000))
def test_posterior__noise__from_own_history_to_the_prior(n: int, seed: int) -> None:
    own, truth = facts(n, seed), np.random.default_rng(seed).standard_normal(n)
    exact, left = ModelPrior(PLANTED).fit(own, truth, np.full(n, 1e-9), factors=(1.0, 1.0)).posterior()
    np.testing.assert_allclose(exact, truth, atol=1e-4)
    assert (left < 1e-6).all()
    vague, doubt = ModelPrior(PLANTED).fit(own, truth, np.full(n, 1e9), factors=(1.0, 1.0)).posterior()
    np.testing.assert_allclose(vague, PLANTED.slope * own.quality, atol=1e-4)
    assert (doubt > left).all()


def test_predict__against_the_posterior_of_a_model_with_endless_noise__equal() -> None:
    own, truth = facts(30), drawn(facts(30), 2)
    own = replace(own, size=np.clip(own.size, -0.5, 0.5))  # several at every end: leaving one out changes no range
    noise = np.where(np.arange(30) == 7, 1e12, 0.05)
    whole = ModelPrior(PLANTED).fit(own, truth, noise, factors=(1.3, 0.7)).posterior()
    rest, seven = np.delete(np.arange(30), 7), own.select(np.array([7]))
    prior = ModelPrior(PLANTED).fit(own.select(rest), truth[rest], noise[rest], factors=(1.3, 0.7))
    mean, variance = prior.predict(seven)
    assert mean[0] == pytest.approx(whole[0][7], abs=1e-6)
    assert variance[0] == pytest.approx(whole[1][7], rel=1e-5)


def test_predict__far_larger_than_any__no_better_than_the_largest_and_less_sure() -> None:
    own, truth = facts(60), drawn(facts(60), 3) + facts(60).size[:, 0]
    prior = ModelPrior(START).fit(own, truth, np.full(60, 0.02))
    edge = own.select(np.array([int(own.size[:, 0].argmax())]))
    beyond = replace(edge, size=edge.size + np.array([[5.0, 0.0, 0.0]]))
    one, two = prior.predict(edge), prior.predict(beyond)
    assert two[0][0] == pytest.approx(one[0][0])
    assert two[1][0] > one[1][0]


def test_static_history__unknown_cells__means_and_pooled_noise() -> None:
    scores = np.array([[1.0, 3.0, np.nan], [0.0, 0.0, 0.0], [np.nan, np.nan, np.nan]])
    static, noise = static_history(scores)
    np.testing.assert_allclose(static[:2], [2.0, 0.0])
    assert np.isnan(static[2])
    np.testing.assert_allclose(noise[:2], [2 / 3 / 2, 2 / 3 / 3])


def test_facts_of__bundled_catalog__finite_and_as_published() -> None:
    catalog = load_catalog()
    chosen = ("timm:resnet50.a1_in1k", "timm:convnext_tiny.fb_in22k_ft_in1k", "no:such")
    own = facts_of(chosen, catalog, imagenet={"timm:resnet50.a1_in1k": 0.8})
    assert own.families[:2] == ("resnet", "convnext")
    assert own.backbones == ("timm:resnet50", "timm:convnext_tiny", "")
    assert {"data imagenet-21k", "data imagenet-1k"} <= own.words[1]
    assert not any("288" in word for words in own.words for word in words)
    assert own.families[2] == "no:such"
    assert (own.quality[2], *own.size[2]) == (0, 0, 0, 0)
    everything = facts_of(catalog.ids, catalog)
    assert np.isfinite(everything.size).all()
    assert np.isfinite(everything.quality).all()
    assert (own.without_graph().quality == 0).all()


def test_architecture_quality__imagenet_results__modern_networks_above_old_ones() -> None:
    quality = architecture_quality(load_matrix("timm1557"), load_catalog())
    assert quality["timm:convnext_base"] > quality["timm:resnet50"] > quality["timm:resnet18"]
    assert abs(np.mean(list(quality.values()))) < 0.5


def test_default_effects__as_learned_from_all_hubs() -> None:
    learned = pd.read_csv(Path(__file__).parents[2] / "benchmark" / "results" / "effects.csv", index_col="effect")
    for name, value in asdict(DEFAULT_EFFECTS).items():
        assert value == pytest.approx(learned.loc[name, "value"], abs=2e-3), name
