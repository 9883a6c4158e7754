"""Results of all studies on one scale: what is in the table, what is left out of it, and a user's own beside it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm, spearmanr

from fennec.evidence.hubs import load_hubs, load_matrix
from fennec.evidence.scores import (
    GENERAL,
    KEY,
    MIN_COLUMN,
    MINIATURES,
    gaussian_scores,
    load_scores,
    matrix_scores,
    own_study,
    study_name,
    with_own,
    without,
)
from fennec.evidence.studies import load_evidence, load_studies
from tests.conftest import planted


@given(st.lists(st.integers(0, 50), min_size=2, max_size=30))
def test_gaussian_scores__any_column__monotone_centred_unit(values: list[int]) -> None:
    column = np.array([*values, np.nan]) / 50
    scores = gaussian_scores(column)
    assert np.isnan(scores[-1])
    if len(set(values)) > 1:
        assert spearmanr(scores[:-1], column[:-1]).statistic == pytest.approx(1)
        assert scores[:-1].std() == pytest.approx(1)
    else:
        assert (scores[:-1] == 0).all()


def test_load_scores__all_studies__finite_and_every_key_once() -> None:
    scores = load_scores()
    assert list(scores) == [*KEY, "score", "value", "n"]
    assert not scores.duplicated(KEY).any()
    assert np.isfinite(scores[["score", "value"]]).all(axis=None)
    assert scores["value"].between(0, 1).all()
    assert (scores["n"] >= 1).all()
    assert not scores["weights"].str.startswith(MINIATURES).any()
    assert load_evidence()["weights"].astype(str).str.startswith(MINIATURES).any()  # or nothing was left out
    assert (scores["image_set"].eq(GENERAL) == scores["protocol"].eq("eval")).all()


def test_load_scores__every_study_with_a_column_that_says_something() -> None:
    column = ["study", "protocol", "task", "metric", "budget", "head"]
    evidence = load_evidence()
    evidence = evidence[~evidence["weights"].astype(str).str.startswith(MINIATURES)].astype(dict.fromkeys(column, str))
    sizes = evidence.groupby(column).size()
    large = set(sizes[sizes >= MIN_COLUMN].index.get_level_values("study"))
    assert set(load_scores()["study"]) == {study_name(study) for study in large}
    assert len(large) > 0.95 * evidence["study"].nunique()
    assert load_scores()["n"].sum() == sizes[sizes >= MIN_COLUMN].sum()


def test_load_scores__one_published_column__quantiles_of_its_ranks() -> None:
    scores = load_scores()
    study = scores[scores["study"].eq("sfda_supervised_cnn")]
    matrix = load_matrix("cnn11")
    for image_set in ("cifar10", "stanford_cars"):
        column = matrix.performance[:, matrix.image_sets.index(image_set)]
        ranks = [1 + sum(other < value for other in column) for value in column]  # no ties in these
        quantiles = np.array([norm.ppf((rank - 0.5) / len(column)) for rank in ranks])
        found = study[study["image_set"].eq(image_set)].set_index("weights").loc[list(matrix.models)]
        np.testing.assert_allclose(found["score"], quantiles / quantiles.std())
        np.testing.assert_allclose(found["value"], column)


@pytest.mark.parametrize("hub", ["cnn11", "vit13", "parc70"])
def test_matrix_scores__matrix_of_a_whole_study__as_among_all(hub: str) -> None:
    study = study_name(load_hubs()[hub].source)
    own = matrix_scores(load_matrix(hub)).drop(columns="study")
    published = load_scores()
    published = published[published["study"].eq(study) & published["protocol"].eq(load_matrix(hub).protocol)]
    published = published[published["image_set"].isin(own["image_set"])].drop(columns="study")
    if published["n"].eq(1).all() and own["n"].eq(1).all():
        pd.testing.assert_frame_equal(own.reset_index(drop=True), published.reset_index(drop=True))
    else:  # several columns on the same images, or a study that a repeat adds to: the order is the same
        both = own.merge(published, on=["weights", "image_set"])
        assert len(both) == len(own)
        assert spearmanr(both["score_x"], both["score_y"]).statistic > 0.9


def test_study_name__studies_that_repeat_each_other__one_name_of_them() -> None:
    studies = load_studies()
    for name, study in studies.items():
        assert study_name(name) in {name, *study.repeats}
        assert {study_name(other) for other in study.repeats} <= {study_name(name)}
    assert any(study_name(name) != name for name in studies)
    assert study_name("nobody's") == "nobody's"


def test_without__studies_or_images__nothing_of_them_is_left() -> None:
    scores = load_scores()
    repeats = "parc_controlled"
    assert study_name(repeats) != repeats or load_studies()[repeats].repeats
    group = {repeats, *load_studies()[repeats].repeats}
    rest = without(scores, studies=[repeats])
    assert not rest["study"].isin({study_name(study) for study in group}).any()
    assert len(rest) == len(scores) - scores["study"].eq(study_name(repeats)).sum() < len(scores)
    rest = without(scores, image_sets=["cifar10", "pets"])
    assert set(rest["image_set"]) == set(scores["image_set"]) - {"cifar10", "pets"}
    assert len(rest) < len(scores)
    assert list(rest.index) == list(range(len(rest)))
    pd.testing.assert_frame_equal(without(scores), scores)


def test_load_scores__without_weights__the_others_ranked_among_themselves() -> None:
    matrix = load_matrix("cnn11")
    left = frozenset(matrix.models[:3])
    rest = load_scores(without_weights=left)
    assert set(rest["weights"]) == set(load_scores()["weights"]) - left
    image_set = matrix.image_sets[0]
    found = rest[rest["study"].eq(study_name(load_hubs()["cnn11"].source)) & rest["image_set"].eq(image_set)].set_index(
        "weights"
    )["score"]
    values = matrix.performance[3:, 0]
    np.testing.assert_allclose(found.loc[list(matrix.models[3:])], gaussian_scores(values), atol=1e-12)


def test_with_own__named_like_a_published_study__a_study_of_its_own() -> None:
    matrix, _ = planted(n_models=8, n_tasks=3)
    published = load_matrix("cnn11")
    for own in (matrix, published):
        together = with_own(own)
        mine = together["study"].eq(own_study(own.name))
        assert not load_scores()["study"].eq(own_study(own.name)).any()
        pd.testing.assert_frame_equal(together[~mine].reset_index(drop=True), load_scores())
        assert mine.sum() == np.isfinite(own.performance).sum()
        assert set(together.loc[mine, "weights"]) == set(own.models)
