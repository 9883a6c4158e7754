"""The list that people read: different models, worth their size, by sizes, with differences that can be trusted."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fennec.checkpoints.catalog import OPEN_LICENSES, load_catalog, terms_of
from fennec.errors import InputError, NothingToRecommendError
from fennec.evidence.hubs import load_matrix
from fennec.space.portfolio import CHEAPER, SAME_NETWORK, SIBLINGS, WORTH, different, worth_their_size
from fennec.space.recommender import Recommender
from fennec.space.shortlist import N_OF_A_SIZE, SIZES
from tests.conftest import planted


@pytest.fixture(scope="module")
def everything() -> Recommender:
    return Recommender.from_published("finetune")


@given(st.lists(st.tuples(st.floats(0, 1), st.one_of(st.just(np.nan), st.floats(1, 1e10))), min_size=1, max_size=20))
def test_worth_their_size__any_models__as_every_pair_says(models: list[tuple[float, float]]) -> None:
    expected, params = np.array(models).T
    for row, kept in enumerate(worth_their_size(expected, params)):
        rivals = [e for e, p in models if p <= params[row] / CHEAPER]
        assert kept == all(expected[row] - rival > WORTH for rival in rivals)


@given(st.integers(0, 10_000), st.integers(1, 12), st.integers(1, 12))
def test_different__any_models__two_of_a_network_in_order_and_full(seed: int, n_models: int, n: int) -> None:
    generator = np.random.default_rng(seed)
    families = generator.choice(["", "vit", "resnet"], n_models).tolist()
    params = generator.choice([1e6, 1.01e6, 5e6, np.nan], n_models)
    worth = generator.random(n_models) < 0.7
    ranked = generator.permutation(n_models)
    rows = different(ranked, families, params, worth, n).tolist()
    assert len(rows) == len(set(rows)) == min(n, n_models)
    places = [ranked.tolist().index(row) for row in rows]
    assert places == sorted(places)

    def alike(one: int, other: int) -> bool:
        sizes = params[[one, other]]
        return families[one] == families[other] != "" and max(sizes) < SAME_NETWORK * min(sizes)

    def too_many(listed: list[int]) -> bool:
        return any(sum(alike(row, other) for other in listed) > SIBLINGS for row in listed)

    left = [row for row in ranked.tolist() if row not in rows]
    if not all(worth[row] for row in rows) or too_many(rows):  # only where nothing else could be listed
        fitting = [row for row in rows if worth[row]]
        assert all(not worth[row] or too_many([*fitting, row]) for row in left)


def test_recommend__all_models__few_siblings_and_no_giant_for_nothing(everything: Recommender) -> None:
    ranking = everything.recommend(n=30)
    records = [model.record for model in ranking.models]
    assert (
        max(Counter((record.family, round(np.log(record.params) / 0.2)) for record in records).values()) <= 2 * SIBLINGS
    )
    plain = everything.recommend(n=30, siblings=True)
    assert plain.models[0].id == everything.models_[everything.predict().scores.argmax()]
    assert len(set(plain.ids) - set(ranking.ids)) > 3
    prediction = dict(zip(everything.models_, everything.predict().performance, strict=True))
    params = load_catalog().frame["params"]
    for model in ranking.models:
        smaller = [value for name, value in prediction.items() if params[name] <= model.record.params / CHEAPER]
        assert model.performance - max(smaller) > WORTH


def test_recommend__without_n__the_best_of_every_size(everything: Recommender) -> None:
    ranking = everything.recommend(n=None)
    assert Counter(model.size for model in ranking.models) == dict.fromkeys(SIZES, N_OF_A_SIZE)
    assert len(set(ranking.ids)) == len(ranking)
    prediction = everything.predict()
    best = everything.models_[prediction.scores.argmax()]
    assert ranking.first.id == best
    params = load_catalog().frame["params"].reindex(list(everything.models_)).to_numpy()
    for size, limit in SIZES.items():
        listed = [model for model in ranking.models if model.size == size]
        assert all(model.record.params < limit for model in listed)
        assert [model.rank for model in listed] == sorted(model.rank for model in listed)
    tiny = prediction.scores[params < 10e6].max()
    assert ranking.models[0].score == tiny
    assert any("from under 10 M to under 30 M" in note for note in ranking.notes)
    for row in ranking.to_dict()["models"]:
        assert row["rank"] == 1 + (prediction.scores > row["score"]).sum()


def test_recommend__small_space__nothing_is_hidden() -> None:
    matrix = load_matrix("vit13")
    ranking = Recommender().fit(matrix).recommend(n=13)
    assert set(ranking.ids) == set(matrix.models)
    assert [model.rank for model in ranking.models] == list(range(1, 14))


def test_recommend__differences__hold_about_80_percent_of_left_out_ones() -> None:
    matrix, embeddings = planted(n_models=60, n_tasks=16, noise=0.5)
    inside = []
    for task in matrix.tasks:
        rest = matrix.select(tasks=[name for name in matrix.tasks if name != task])
        recommender = Recommender().fit(rest, {name: e for name, e in embeddings.items() if name != task})
        truth = dict(zip(matrix.models, matrix.performance[:, matrix.tasks.index(task)], strict=True))
        ranking = recommender.recommend(embeddings[task], n=20)
        for model in ranking.models[1:]:
            assert model.behind_low <= model.behind <= model.behind_high
            inside.append(model.behind_low <= truth[model.id] - truth[ranking.ids[0]] <= model.behind_high)
        assert (ranking.models[0].behind, ranking.first) == (0, ranking.models[0])
    assert 0.65 < np.mean(inside) < 0.95


def test_recommend__images_that_resemble_known_ones__says_how_much_they_changed(everything: Recommender) -> None:
    matrix, embeddings = planted()
    alike = Recommender().fit(matrix, embeddings).recommend(embeddings["task3"])
    assert any(note.startswith("the images changed the order") for note in alike.notes)
    assert not any(note.startswith("the images changed") for note in everything.recommend().notes)


def test_recommend__bad_requests__one_line(everything: Recommender) -> None:
    with pytest.raises(InputError, match="say how many with n"):
        everything.recommend(n=None, portfolio=True)
    with pytest.raises(NothingToRecommendError, match=r"'params < 10' \(the smallest model has 0\.\d M") as caught:
        everything.recommend(where="params < 10")
    assert "\n" not in str(caught.value)


def test_terms__every_licence_of_the_catalog__open_restricted_or_unknown() -> None:
    catalog = load_catalog()
    for license_id in catalog.frame["license"].unique():
        assert (terms_of(license_id) == "unknown") == (not license_id)
        assert (terms_of(license_id) == "open") == (license_id in OPEN_LICENSES)
    chosen = catalog.where("terms == 'restricted'")
    assert all("nc" in catalog[model].license or catalog[model].license not in OPEN_LICENSES for model in chosen)
    assert {"cc-by-nc-4.0", "dinov3-license"} <= {catalog[model].license for model in chosen}


def test_table__restricted_and_unknown_licences__marked(everything: Recommender) -> None:
    text = str(everything.recommend(n=None))
    assert "cc-by-nc-4.0 !" in text
    assert "!: a licence that restricts the use" in text
    assert " first " in text
