from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.special import logit
from scipy.stats import spearmanr
from sklearn.base import clone

import fennec.space.recommender
from fennec.errors import ArtifactError, InputError, NothingToRecommendError, UnknownModelError, UnwritableError
from fennec.evidence.hubs import load_matrix
from fennec.evidence.matrix import TransferMatrix
from fennec.evidence.scores import gaussian_scores
from fennec.space.kernel import TaskKernel
from fennec.space.recommender import Recommender
from fennec.tasks.embedding import TaskEmbedding, embed_task
from fennec.tasks.embedding_files import load_known_embeddings
from fennec.tasks.proxy import Proxy
from tests.conftest import planted


def split(matrix: TransferMatrix, task: str) -> tuple[TransferMatrix, np.ndarray]:
    rest = matrix.select(tasks=[name for name in matrix.tasks if name != task])
    return rest, matrix.performance[:, matrix.tasks.index(task)]


@pytest.mark.parametrize("missing", [0.0, 0.2])
def test_recommender__planted_truth__beats_static_history(missing: float) -> None:
    matrix, embeddings = planted(n_models=60, n_tasks=30)
    hidden = np.random.default_rng(3).random(matrix.performance.shape) < missing
    seen = replace(matrix, performance=np.where(hidden, np.nan, matrix.performance))
    gains = []
    for task in matrix.tasks[:8]:
        rest, _ = split(seen, task)
        _, truth = split(matrix, task)
        known = {name: value for name, value in embeddings.items() if name != task}
        recommender = Recommender(length_scale=0.9).fit(rest, known)
        static = spearmanr(recommender.predict(None).scores, truth).statistic
        gains.append(spearmanr(recommender.predict(embeddings[task]).scores, truth).statistic - static)
    assert np.mean(gains) > 0.1


def test_recommender__known_results__better_the_more_there_are() -> None:
    matrix, embeddings = planted(n_models=60, n_tasks=20, noise=0.2)
    quality = {0: [], 3: [], 10: []}
    for task in matrix.tasks[:6]:
        rest, truth = split(matrix, task)
        recommender = Recommender().fit(rest, {name: e for name, e in embeddings.items() if name != task})
        for n_known, values in quality.items():
            known = dict(zip(matrix.models[:n_known], truth[:n_known], strict=True))
            scores = recommender.predict(None, known=known).scores
            values.append(spearmanr(scores[10:], truth[10:]).statistic)
    means = [np.mean(values) for values in quality.values()]
    assert means[0] < means[1] < means[2]


def test_predict__no_embedding__order_of_the_mean_scores() -> None:
    matrix, _ = planted()
    recommender = Recommender().fit(matrix, {})
    static = np.mean([gaussian_scores(column) for column in matrix.performance.T], axis=0)
    found = recommender.predict(None).scores
    assert (np.argsort(found) == np.argsort(static)).all()  # strangers that nothing is known of: each for itself
    assert np.abs(found).mean() < np.abs(static).mean()  # and moved towards the middle


def test_predict__task_like_nothing_known__static_history() -> None:
    matrix, embeddings = planted()
    recommender = Recommender().fit(matrix, embeddings)
    strange = TaskEmbedding.from_features(1e4 + np.eye(12), proxy="planted", fingerprint="planted")
    np.testing.assert_allclose(recommender.predict(strange).scores, recommender.predict(None).scores, atol=1e-9)
    assert any("resemble no known task" in note for note in recommender.recommend(strange).notes)


def test_predict__intervals__hold_about_80_percent_of_left_out_cells() -> None:
    matrix, embeddings = planted(n_models=80, n_tasks=16, noise=0.5)
    inside = []
    for task in matrix.tasks:
        rest, truth = split(matrix, task)
        recommender = Recommender().fit(rest, {name: e for name, e in embeddings.items() if name != task})
        prediction = recommender.predict(embeddings[task])
        inside.append(((prediction.low <= truth) & (truth <= prediction.high)).mean())
        assert (prediction.low < prediction.performance).all()
        assert (prediction.performance < prediction.high).all()
    assert 0.65 < np.mean(inside) < 0.95


def test_fit__tasks_or_models_in_another_order__same_scores() -> None:
    matrix, embeddings = planted()
    order = np.random.default_rng(0).permutation(matrix.n_tasks)
    rows = np.random.default_rng(1).permutation(matrix.n_models)
    shuffled = matrix.select(models=[matrix.models[r] for r in rows], tasks=[matrix.tasks[o] for o in order])
    embedding = next(iter(embeddings.values()))
    recommenders = [Recommender().fit(each, embeddings) for each in (matrix, shuffled)]
    assert recommenders[0].models_ == recommenders[1].models_
    one, two = (recommender.predict(embedding) for recommender in recommenders)
    np.testing.assert_allclose(one.scores, two.scores, atol=1e-8)
    np.testing.assert_allclose(one.low, two.low, atol=1e-5)  # an optimum found to a tolerance


def test_recommender__scikit_learn_rules__clone_and_parameters() -> None:
    recommender = Recommender(n_components=4, length_scale=0.5, random_state=1)
    assert clone(recommender).get_params() == recommender.get_params()
    matrix, embeddings = planted()
    assert recommender.fit(matrix, embeddings) is recommender
    assert recommender.model_vectors_.shape == (40, 1 + 4 + 4)  # quality, affinities, shared doubt


def test_recommend__condition_and_known__respected() -> None:
    recommender = Recommender().fit(load_matrix("vit13"))
    ranking = recommender.recommend(n=20, where="params < 30e6")
    assert 0 < len(ranking) < 13
    assert all(model.record is not None and model.record.params < 30e6 for model in ranking.models)
    assert [model.rank for model in ranking.models] == list(range(1, len(ranking) + 1))
    known = recommender.recommend(n=13, known={ranking.ids[0]: 0.2})
    assert next(model.method for model in known.models if model.id == ranking.ids[0]) == "measured"
    assert any("1 known results folded in" in note for note in known.notes)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"n": 0}, InputError, "n is 0"),
        ({"where": "params < 5"}, NothingToRecommendError, "none of the 13 models"),
        ({"known": {"timm:nothing": 0.5}}, UnknownModelError, "is none of the 13 of this space"),
        ({"known": {"timm:vit_base_patch16_224.dino": 50}}, InputError, "expected a fraction"),
    ],
)
def test_recommend__bad_request__one_line(arguments: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Recommender().fit(load_matrix("vit13")).recommend(**arguments)


def test_fit__one_task__input_error() -> None:
    matrix, embeddings = planted(n_tasks=1)
    with pytest.raises(InputError, match="at least 2 tasks"):
        Recommender().fit(matrix, embeddings)


def test_predict__embedding_of_another_proxy__input_error() -> None:
    matrix, embeddings = planted()
    other = TaskEmbedding.from_features(np.eye(12), proxy="other", fingerprint="other")
    with pytest.raises(InputError, match="proxy 'other'"):
        Recommender().fit(matrix, embeddings).predict(other)
    with pytest.raises(InputError, match="different proxies"):
        TaskKernel.fit({**embeddings, "x": other})


def test_explain__parts__add_up_to_the_score() -> None:
    matrix, embeddings = planted()
    recommender = Recommender().fit(matrix, embeddings)
    embedding = embeddings["task3"]
    for model in ("model00", "model17"):
        explanation = recommender.explain(embedding, model)
        total = explanation.static + sum(part.value for part in explanation.contributions)
        assert total == pytest.approx(explanation.score, abs=1e-6)
        shown = [float(line.split()[0]) for line in str(explanation).splitlines()[2:8]]
        assert explanation.static + sum(shown) == pytest.approx(explanation.score, abs=0.005)
    assert explanation.contributions[0].task == "task3"
    with pytest.raises(UnknownModelError, match="did you mean 'model"):
        recommender.explain(embedding, "model0")


def test_kernel__between__positive_and_equal_on_the_same_images() -> None:
    _, embeddings = planted()
    kernel = TaskKernel.fit(embeddings, specific=0.3, length_scale=0.5)
    covariance = kernel.between(["task0", "task0", "task1", "unseen", "unseen"])
    assert np.linalg.eigvalsh(covariance).min() > -1e-12
    assert covariance[0, 1] == covariance[3, 4] == pytest.approx(0.3)
    assert covariance[0, 3] == 0
    np.testing.assert_allclose(kernel.to_new(["task0", "task1"], embeddings["task0"]), covariance[0, [0, 2]])


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Recommender, Path]:
    recommender = Recommender().fit(load_matrix("cnn11"))
    recommender.save(tmp_path / "space")
    return recommender, tmp_path / "space"


def test_save__load__same_ranking_and_explanation(saved: tuple[Recommender, Path]) -> None:
    recommender, folder = saved
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md",
        "config.json",
        "manifest.json",
        "tensors.safetensors",
    ]
    again = Recommender.load(folder, proxy=Proxy.load())
    task = embed_task("sklearn:digits", max_images=20)
    close = {"rtol": 1e-6, "atol": 1e-6}  # embeddings are kept in single precision
    one, two = again.recommend(task, n=11), recommender.recommend(task, n=11)
    assert one.ids == two.ids
    assert [(model.method, model.n_tasks, model.n_studies) for model in one.models] == [
        (model.method, model.n_tasks, model.n_studies) for model in two.models
    ]
    np.testing.assert_allclose([m.score for m in one.models], [m.score for m in two.models], **close)
    told, known = again.explain(task, again.models_[0]), {again.models_[0]: 0.9}
    parts, whole = told.contributions, recommender.explain(task, again.models_[0]).contributions
    assert [part.task for part in parts] == [part.task for part in whole]
    np.testing.assert_allclose([part.value for part in parts], [part.value for part in whole], **close)
    for known_results in (None, known):
        one, two = (each.predict(task, known=known_results) for each in (again, recommender))
        np.testing.assert_allclose(one.low, two.low, **close)
    config = json.loads((folder / "config.json").read_text())
    assert config["proxy"]["preprocessing"]["input_size"] == Proxy.load().input_size


def test_load__truncated_newer_missing_other_proxy__artifact_error(
    saved: tuple[Recommender, Path], plain_proxy: Proxy, tmp_path: Path
) -> None:
    _, folder = saved
    with pytest.raises(ArtifactError, match="made with proxy 'fennec-mini'"):
        Recommender.load(folder, proxy=plain_proxy)
    with pytest.raises(ArtifactError, match=r"config\.json is missing"):
        Recommender.load(tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "format_version": 99}))
    with pytest.raises(ArtifactError, match="format version 99, .*upgrade"):
        Recommender.load(folder)
    (folder / "config.json").write_text(json.dumps(config)[:200])
    with pytest.raises(ArtifactError, match="damaged"):
        Recommender.load(folder)
    (folder / "config.json").write_text(json.dumps(config))
    tensors = folder / "tensors.safetensors"
    tensors.write_bytes(tensors.read_bytes()[:500])
    with pytest.raises(ArtifactError, match="damaged"):
        Recommender.load(folder)


def test_load__same_weights_other_features__artifact_error(
    saved: tuple[Recommender, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = Proxy.load()
    monkeypatch.setattr(proxy, "check_vector", lambda: np.zeros(368, dtype=np.float32))
    with pytest.raises(ArtifactError, match="computes other features here"):
        Recommender.load(saved[1], proxy=proxy)


def test_save__interrupted_or_unwritable__nothing_half_written(
    saved: tuple[Recommender, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    recommender, folder = saved
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("safetensors.numpy.save", interrupt)
    with pytest.raises(KeyboardInterrupt):
        recommender.save(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    blocked = tmp_path / "file"
    blocked.write_text("x")
    with pytest.raises(UnwritableError, match="cannot write"):
        recommender.save(blocked / "space")


def test_save__other_proxy__must_be_given() -> None:
    matrix, embeddings = planted()
    recommender = fennec.space.recommender.Recommender().fit(matrix, embeddings)
    with pytest.raises(InputError, match="give the proxy 'planted'"):
        recommender.save("unused")


def test_fit__candidates__ranked_beside_the_measured_with_wider_intervals(tmp_path: Path) -> None:
    matrix = load_matrix("hf180")
    placed = ("timm:convnext_tiny.fb_in22k_ft_in1k", "timm:resnet18.a1_in1k", *matrix.models[:1])
    recommender = Recommender().fit(matrix, candidates=placed)
    assert set(recommender.models_) == {*matrix.models, *placed}
    one, two = (recommender.row_of(model) for model in placed[:2])
    prediction = recommender.predict(None)
    width = logit(prediction.high) - logit(prediction.low)  # as odds: fractions are narrow near 1
    measured = recommender.known_[:, 0] > 0
    assert width[[one, two]].min() > np.median(width[measured])
    assert prediction.scores[one] > prediction.scores[two]  # a ConvNeXt with more data over a small ResNet
    ranking = recommender.recommend(None, n=300)
    assert len(ranking) == ranking.n_candidates == matrix.n_models + 2
    known_of = {model.id: model.known for model in ranking.models}
    assert known_of[placed[0]] == "relatives only"
    assert known_of[matrix.models[0]].startswith("measured on 1")
    assert recommender.recommend(None, n=300, measured_only=True).n_candidates == matrix.n_models
    assert "relatives only" in str(recommender.explain(None, placed[0]))
    known = recommender.predict(None, known={placed[1]: 0.99})
    assert known.scores[two] > prediction.scores[two]
    recommender.save(tmp_path)
    again = Recommender.load(tmp_path)
    assert again.recommend(None, n=300).ids == ranking.ids
    np.testing.assert_allclose(again.predict(None).low, prediction.low, atol=1e-5)


def test_predict__result_of_one_model__moves_its_relatives_more_than_strangers() -> None:
    recommender = Recommender.from_published("finetune")
    told, relative, stranger = (
        recommender.row_of(name)
        for name in ("timm:convnext_tiny.in12k_ft_in1k", "timm:convnext_tiny.fb_in22k_ft_in1k", "timm:vgg16.tv_in1k")
    )
    before = recommender.predict(None)
    better = min(0.999, float(before.high[told]))
    moved = recommender.predict(None, known={recommender.models_[told]: better}).scores - before.scores
    assert moved[relative] > moved[stranger] + 0.02


def test_fit__candidate_that_nothing_is_known_of__one_line() -> None:
    with pytest.raises(UnknownModelError, match="add-model"):
        Recommender().fit(load_matrix("vit13"), {}, candidates=["timm:no_such_model"])


def test_fit__protocol_without_results__input_error() -> None:
    with pytest.raises(InputError, match="no result by detection"):
        Recommender().fit(load_matrix("vit13"), {}, protocol="detection")


def test_recommend__eight_threads_one_recommender__as_one_after_the_other() -> None:
    recommender = Recommender.from_published()
    tasks = list(load_known_embeddings().values())[:8]
    alone = [recommender.recommend(task, n=5).to_dict() for task in tasks]
    again = Recommender.from_published()
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda task: again.recommend(task, n=5).to_dict(), tasks * 3))
    assert together == alone * 3
