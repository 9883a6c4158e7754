"""Joint draws, probabilities and portfolios: planted truth, brute force, and what near-copies do."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import logit

from fennec.checkpoints.catalog import ModelRecord, load_catalog
from fennec.checkpoints.vocabulary import only_for
from fennec.errors import InputError
from fennec.evidence.hubs import load_matrix
from fennec.space.deviation import Deviation, Expected, LeftOut
from fennec.space.portfolio import best_together, in_top
from fennec.space.recommender import Recommender
from fennec.tasks.embedding_files import load_known_embeddings
from tests.conftest import planted


@given(st.integers(0, 10_000), st.integers(1, 8), st.integers(1, 9))
def test_in_top__any_draws__counts_of_a_full_sort(seed: int, k: int, n_models: int) -> None:
    draws = np.random.default_rng(seed).random((20, n_models))
    chances = in_top(draws, k)
    assert chances.sum() == pytest.approx(min(k, n_models))
    counts = np.zeros(n_models)
    for draw in draws:
        counts[np.argsort(-draw)[:k]] += 1
    np.testing.assert_allclose(chances, counts / 20)


@given(st.integers(0, 10_000), st.integers(1, 4), st.integers(1, 7))
def test_best_together__any_draws__close_to_the_best_set_of_all(seed: int, n: int, n_models: int) -> None:
    draws = np.random.default_rng(seed).random((15, n_models)) * np.random.default_rng(seed + 1).random(n_models)
    chosen = best_together(draws, n)
    assert len(set(chosen.tolist())) == len(chosen) == min(n, n_models)
    assert chosen[0] == draws.mean(axis=0).argmax()
    best = max(draws[:, list(some)].max(axis=1).mean() for some in combinations(range(n_models), len(chosen)))
    assert draws[:, chosen].max(axis=1).mean() >= (1 - np.exp(-1)) * best - 1e-12


def test_best_together__near_copies_that_fail_together__one_of_them() -> None:
    shared = np.random.default_rng(0).standard_normal((400, 2))
    draws = np.column_stack([0.1 + shared[:, 0], 0.09 + shared[:, 0], 0.08 + shared[:, 0], shared[:, 1]])
    assert best_together(draws, 2).tolist() == [0, 3]
    with pytest.raises(InputError, match="n is 0"):
        best_together(draws, 0)


def test_draws__new_task__agree_with_the_prediction() -> None:
    matrix, embeddings = planted(n_models=30, n_tasks=12, noise=0.3)
    recommender = Recommender().fit(matrix, embeddings)
    embedding = next(iter(embeddings.values()))
    prediction = recommender.predict(embedding)
    draws = recommender.draws(embedding, n_draws=20_000)
    assert draws.shape == (20_000, 30)
    odds, spread = logit(draws), logit(prediction.high) - logit(prediction.low)
    np.testing.assert_allclose(odds.mean(axis=0), logit(prediction.performance), atol=0.05 * spread.mean())
    deviation = spread / 2 / recommender.deviation_.width
    np.testing.assert_allclose(odds.std(axis=0), deviation, rtol=0.05)
    np.testing.assert_array_equal(recommender.draws(embedding), recommender.draws(embedding))


def test_draws__known_results__the_same_in_every_draw_and_the_others_as_predicted() -> None:
    matrix, embeddings = planted(n_models=30, n_tasks=12, noise=0.3)
    recommender = Recommender().fit(matrix, embeddings)
    known = {matrix.models[3]: 0.99, matrix.models[7]: 0.6}
    draws = recommender.draws(None, known=known, n_draws=20_000)
    np.testing.assert_allclose(draws[:, [3, 7]], [[0.99, 0.6]] * 20_000)
    prediction = recommender.predict(None, known=known)
    others = np.delete(np.arange(30), [3, 7])
    width = (logit(prediction.high) - logit(prediction.low))[others]
    error = logit(draws).mean(axis=0)[others] - logit(prediction.performance)[others]
    assert np.abs(error).max() < 0.05 * width.mean()


def test_draws__models_without_results__near_copies_are_wrong_together() -> None:
    placed = ("timm:convnext_tiny.fb_in22k", "timm:convnext_tiny.fb_in22k_ft_in1k", "timm:resnet18.a1_in1k")
    recommender = Recommender().fit(load_matrix("vit13"), candidates=placed)
    rows = [recommender.models_.index(model) for model in placed]
    odds = logit(recommender.draws(None, n_draws=4000))[:, rows]
    correlation = np.corrcoef((odds - odds.mean(axis=1, keepdims=True)).T)
    assert correlation[0, 1] > correlation[0, 2] + 0.3
    assert correlation[0, 1] < 0.99  # what further training on ImageNet does is not known: they are not one model


def test_recommend__portfolio__expected_best_at_least_that_of_the_list() -> None:
    recommender = Recommender().fit(load_matrix("hf180"))
    plain = recommender.recommend(None, n=5)
    chosen = recommender.recommend(None, n=5, portfolio=True)
    assert len(set(chosen.ids)) == 5
    position = [recommender.models_.index(model) for model in (*chosen.ids, *plain.ids)]
    draws = recommender.draws(None, n_draws=5000)[:, position]
    assert draws[:, :5].max(axis=1).mean() >= draws[:, 5:].max(axis=1).mean() - 1e-3
    assert any("tried together" in note for note in chosen.notes)
    small = recommender.recommend(None, n=3, portfolio=True, where="params < 30e6")
    assert all(model.record is not None and model.record.params < 30e6 for model in small.models)


def trained_on(record: ModelRecord | None) -> tuple[str, str, str]:
    assert record is not None
    return record.pretraining_data, record.pretraining_method, record.finetuned_on


@pytest.mark.parametrize("portfolio", [False, True])
def test_recommend__any_data__only_what_was_trained_for_things_of_all_kinds(portfolio: bool) -> None:
    recommender = Recommender.from_published()
    chosen = recommender.recommend(None, n=100, portfolio=portfolio)
    assert not any(only_for(*trained_on(model.record)) for model in chosen.models)
    note = next(note for note in chosen.notes if "trained only for" in note)
    everything = [load_catalog().get(model) for model in recommender.models_]
    assert int(note.split()[0]) == sum(bool(record and only_for(*trained_on(record))) for record in everything) > 0
    satellites = recommender.recommend(None, n=2, portfolio=portfolio, where="pretraining_data == 'sat-493m'")
    assert len(satellites.models) == 2  # where the condition leaves nothing else


def test_recommend__known_satellite_images__from_models_of_these_too() -> None:
    recommender = Recommender.from_published()
    plain = {note.split()[0] for note in recommender.recommend(None, n=2).notes if "trained only" in note}
    eurosat = load_known_embeddings()["eurosat"]
    near = {note.split()[0] for note in recommender.recommend(eurosat, n=2).notes if "trained only" in note}
    assert int(near.pop()) < int(plain.pop())


def test_recommend__top5__a_probability_for_every_model() -> None:
    ranking = Recommender().fit(load_matrix("vit13")).recommend(None, n=13)
    chances = [model.top5 for model in ranking.models]
    assert sum(chances) == pytest.approx(5)
    assert chances[0] > chances[-1]
    assert ranking.to_dict()["models"][0]["top5"] == chances[0]


def test_resemblance__own_images_and_none__much_and_nothing() -> None:
    matrix, embeddings = planted(n_tasks=12)
    recommender = Recommender().fit(matrix, embeddings)
    assert recommender.resemblance(None) == 0
    for name in list(embeddings)[:3]:
        assert 0.75 < recommender.resemblance(embeddings[name]) <= 1
    assert recommender.recommend(embeddings[name]).resemblance == recommender.resemblance(embeddings[name])


def test_deviation__few_columns_that_are_off_as_a_whole__intervals_hold_for_new_ones() -> None:
    """Ten known columns, each off by one number; a plain quantile of them would hold 80 % of a new one too rarely."""
    generator = np.random.default_rng(0)
    inside = []

    def column() -> LeftOut:
        scores = generator.standard_normal(20)
        return LeftOut("images", np.zeros(20), np.ones(20), scores, generator.standard_normal() + 0.1 * scores)

    for _ in range(150):
        known = [column() for _ in range(10)]
        found = Deviation.fit(known, [0.0] * 10)
        nothing = np.full(20, np.nan)
        expected = Expected(np.zeros((20, 2)), np.eye(2), np.zeros(2), 0.0, nothing, np.ones(20))
        _, mean, deviation = found.update(expected)
        inside.append((np.abs(column().odds - mean) <= found.width * deviation).mean())
    assert 0.78 < np.mean(inside) < 0.93
