"""Two Gaussian processes over all results: textbook references, left-out studies, and what a study says once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from fennec.checkpoints.catalog import Catalog, load_catalog
from fennec.checkpoints.facts import facts_of
from fennec.evidence.scores import GENERAL, load_scores, without
from fennec.evidence.studies import PROTOCOLS
from fennec.settings import data_dir
from fennec.space.alike import between_studies, between_weights
from fennec.space.kernel import TaskKernel
from fennec.space.process import AFFINITY, AFFINITY_NOISE, LEVEL, QUALITY, Affinity, GeneralQuality, study_means
from fennec.space.recommender import Recommender
from tests.conftest import planted

MODELS = ["timm:resnet50.a1_in1k", "timm:resnet50.a2_in1k", "timm:convnext_tiny.fb_in22k", "timm:vgg16.tv_in1k"]


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return load_catalog()


def few(n_studies: int = 3, models: list[str] = MODELS, protocol: str = "finetune") -> pd.DataFrame:
    """Random results of some models in some studies on two image sets."""
    generator = np.random.default_rng(0)
    rows = [
        (model, f"study{study}", protocol, f"images{image}", generator.standard_normal(), generator.random(), 1)
        for study in range(n_studies)
        for model in models
        for image in range(2)
    ]
    return pd.DataFrame(rows, columns=["weights", "study", "protocol", "image_set", "score", "value", "n"])


def test_between_weights__real_models__alike_as_their_facts_say(catalog: Catalog) -> None:
    facts = facts_of(MODELS, catalog)
    covariance = between_weights(facts, facts, QUALITY)
    assert np.linalg.eigvalsh(covariance).min() > -1e-5
    np.testing.assert_allclose(np.diag(covariance), QUALITY.total(facts), rtol=1e-5)
    expected = QUALITY.facts * facts.numbers[0] @ facts.numbers[1] + QUALITY.network + QUALITY.family
    assert covariance[0, 1] == pytest.approx(expected, rel=1e-5)
    alone = replace(QUALITY, facts=0.0)
    assert between_weights(facts, facts, alone)[0, 2] == 0


def test_between_studies__same_study_protocol_or_neither__own_share_added() -> None:
    rows = pd.DataFrame({"study": ["a", "a", "b"], "protocol": ["finetune", "linear_probe", "finetune"]})
    share = between_studies(rows, rows, QUALITY)
    own = 1 - QUALITY.common - QUALITY.protocol
    expected = QUALITY.common + np.array(
        [[own + QUALITY.protocol, own, QUALITY.protocol], [own, own + QUALITY.protocol, 0], [QUALITY.protocol, 0, 1]]
    )
    expected[2, 2] = 1
    np.testing.assert_allclose(share, np.where(np.eye(3), 1, expected), rtol=1e-5)


def test_general_quality__small__textbook_posterior(catalog: Catalog) -> None:
    scores = few()
    general = GeneralQuality().fit(scores, catalog)
    rows = study_means(scores)
    facts = facts_of(rows["weights"].tolist(), catalog)
    kernel = between_weights(facts, facts, QUALITY) * between_studies(rows, rows, QUALITY)
    same = (rows["study"].to_numpy()[:, None] == rows["study"].to_numpy()[None]).astype(float)
    total = kernel + LEVEL * same + np.diag(rows["noise"])
    asked = facts_of(MODELS, catalog)
    new = pd.DataFrame({"study": [""], "protocol": ["finetune"]})
    cross = between_weights(asked, facts, QUALITY) * between_studies(new, rows, QUALITY)
    mean = cross @ np.linalg.solve(total, rows["score"].to_numpy())
    np.testing.assert_allclose(general.expect(MODELS, "finetune"), mean, atol=1e-5)
    left = between_weights(asked, asked, QUALITY) - cross @ np.linalg.solve(total, cross.T)
    np.testing.assert_allclose(general.covariance(MODELS, "finetune"), left, atol=1e-5)


def test_left_out__real_study__as_if_it_had_never_been(catalog: Catalog) -> None:
    scores = load_scores()
    some = scores[scores["study"].isin(["emms_vit", "sfda_supervised_cnn", "fastai_timm_full", "parc_all"])]
    some = some.reset_index(drop=True)
    found = GeneralQuality().fit(some, catalog).left_out(["emms_vit"])
    again = GeneralQuality().fit(without(some, studies=["emms_vit"]), catalog)
    expected = again.expect(found["weights"].tolist(), "finetune")
    np.testing.assert_allclose(found["expected"] - found["expected"].mean(), expected - expected.mean(), atol=1e-4)


def test_general_quality__many_siblings_in_one_study__say_once_how_good_their_family_is(catalog: Catalog) -> None:
    """A family that is best in one study: with thirty of its members or with five, others of it gain about as much."""
    frame = catalog.frame
    family = frame.index[frame["family"].eq("convnext")].tolist()
    others = frame.index[frame["family"].eq("resnet") & frame["library"].eq("timm")].tolist()[:30]
    gains = []
    for count in (5, 30):
        models = [*family[:count], *others]
        value = np.r_[np.ones(count), -np.ones(30)]
        scores = pd.DataFrame(
            {"weights": models, "study": "one", "protocol": "finetune", "image_set": "x", "score": value, "n": 1}
        )
        general = GeneralQuality(replace(QUALITY, facts=0.0)).fit(scores, catalog)
        gains.append(float(general.expect([family[-1]], "finetune")[0] - general.expect(MODELS[3:], "finetune")[0]))
    assert 0 < gains[0] < gains[1] < 1.6 * gains[0]


def test_affinity__one_model_that_likes_one_task__on_alike_tasks_and_its_relatives_only(catalog: Catalog) -> None:
    _, embeddings = planted(n_tasks=6)
    kernel = TaskKernel.fit(embeddings, length_scale=0.3)
    sets = [f"task{index}" for index in range(6)]
    scores = pd.DataFrame(
        [
            (model, "one", "finetune", name, float(model == MODELS[0] and name == "task0"), 1)
            for model in MODELS
            for name in sets
        ],
        columns=["weights", "study", "protocol", "image_set", "score", "n"],
    )
    affinity = Affinity().fit(scores, kernel, catalog)
    assert affinity.image_sets_ == tuple(sets)
    found = affinity.expect(MODELS, "one") @ kernel.between(sets)
    assert found[0].argmax() == 0
    assert found[0, 0] > found[1, 0] > found[3, 0]  # itself, its network, another one
    facts = facts_of(scores["weights"].tolist(), catalog)
    column = scores["image_set"].map(sets.index).to_numpy()
    total = between_weights(facts, facts, AFFINITY) * kernel.between(sets)[np.ix_(column, column)]
    left = scores["score"] - scores.groupby("weights")["score"].transform("mean")
    pull = np.linalg.solve(total + AFFINITY_NOISE * np.eye(len(total)), left)
    np.testing.assert_allclose(found, (total @ pull).reshape(4, 6), atol=1e-4)
    assert affinity.expect(MODELS) == pytest.approx(affinity.expect(MODELS, "one") * AFFINITY.common, rel=1e-4)


def test_affinity__results_on_no_images__nothing(catalog: Catalog) -> None:
    scores = few(protocol="eval").assign(image_set=GENERAL)
    assert Affinity().fit(scores, TaskKernel.fit({}), catalog).expect(MODELS).shape == (4, 0)


@pytest.mark.parametrize("protocol", [name for name in PROTOCOLS if name != "eval"])
def test_shipped_space__every_protocol__finite_and_all_candidates(protocol: str, catalog: Catalog) -> None:
    recommender = Recommender.from_published(protocol)
    assert recommender.models_ == catalog.candidates(protocol)
    prediction = recommender.predict(None)
    for values in (prediction.scores, prediction.low, prediction.performance, prediction.high):
        assert np.isfinite(values).all()
    assert (prediction.low < prediction.high).all()


def test_shipped_spaces__all__small() -> None:
    size = sum(path.stat().st_size for path in (data_dir() / "spaces").rglob("*") if path.is_file())
    assert size < 15e6


def test_shipped_space__fitted_again_from_the_data__the_same(catalog: Catalog) -> None:
    """A stale artefact fails: run benchmark/space/build_spaces.py."""
    shipped = Recommender.from_published("linear_probe")
    general = GeneralQuality().fit(load_scores(), catalog)
    np.testing.assert_allclose(general.expect(shipped.models_, "linear_probe"), shipped.model_vectors_[:, 0], atol=1e-3)
