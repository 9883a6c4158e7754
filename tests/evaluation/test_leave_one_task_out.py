from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fennec.checkpoints.catalog import load_catalog
from fennec.errors import InputError
from fennec.evaluation.baselines import BASELINES, best_on_imagenet, static_history
from fennec.evaluation.leave_one_task_out import METHODS, leave_one_task_out, splits, summarise
from fennec.evaluation.paper import published_fennec
from fennec.evidence.hubs import load_matrix
from fennec.evidence.matrix import TransferMatrix
from fennec.tasks.embedding import TaskEmbedding
from tests.conftest import planted

pytestmark = pytest.mark.usefixtures("no_published_results")


def with_ids(matrix: TransferMatrix) -> TransferMatrix:
    """The planted hub under real ids, so that facts of models exist."""
    return replace(matrix, models=load_catalog().ids[: matrix.n_models])


@pytest.fixture(scope="module")
def hub() -> tuple[TransferMatrix, dict[str, TaskEmbedding]]:
    matrix, embeddings = planted(n_models=25, n_tasks=8)
    return with_ids(matrix), embeddings


def test_splits__held_out_images__absent_from_every_part(hub: tuple[TransferMatrix, dict]) -> None:
    matrix, embeddings = hub
    twin = replace(matrix, image_sets=("task0", "task0", *matrix.image_sets[2:]))
    for split in splits(twin, embeddings):
        assert split.image_set not in split.matrix.image_sets
        assert split.task not in split.matrix.tasks
        assert split.image_set not in split.embeddings
    names = [split.task for split in splits(twin, {"task0": embeddings["task0"]})]
    assert names == ["task0", "task1"]


@pytest.mark.parametrize("name", [name for name in METHODS if name != "oracle"])
def test_method__held_out_truth_changed__same_scores(name: str, hub: tuple[TransferMatrix, dict]) -> None:
    matrix, embeddings = hub
    changed = matrix.performance.copy()
    changed[:, 0] = changed[::-1, 0]
    for one, two in zip(
        splits(matrix, embeddings), splits(replace(matrix, performance=changed), embeddings), strict=True
    ):
        if one.task == "task0":
            np.testing.assert_array_equal(METHODS[name](one), METHODS[name](two))


@pytest.mark.parametrize("name", METHODS)
def test_method__any__one_score_per_model_and_input_unchanged(name: str, hub: tuple[TransferMatrix, dict]) -> None:
    split = next(splits(*hub))
    before = split.matrix.performance.copy()
    scores = METHODS[name](split)
    assert scores.shape == (split.matrix.n_models,)
    np.testing.assert_array_equal(split.matrix.performance, before)
    np.testing.assert_array_equal(METHODS[name](split), scores)


def test_leave_one_task_out__planted__fennec_over_static_under_nothing(
    hub: tuple[TransferMatrix, dict],
) -> None:
    matrix, embeddings = planted(n_models=40, n_tasks=14)
    results = leave_one_task_out([with_ids(matrix)], embeddings)
    assert list(results.columns) == ["hub", "task", "method", "measure", "value"]
    assert set(results["method"]) >= {"static", "random", "oracle", "fennec-paper", "fennec"}
    table = summarise(results).set_index("method")
    assert table.loc["fennec", "mean"] > table.loc["static", "mean"] > table.loc["random", "mean"]
    assert table.loc["static", "gap_closure"] == 0
    assert (table["low"] <= table["mean"]).all()
    assert (table["mean"] <= table["high"]).all()
    assert table.loc["fennec", ["win", "tie", "loss"]].sum() == 14


def test_leave_one_task_out__unknown_method__input_error(hub: tuple[TransferMatrix, dict]) -> None:
    with pytest.raises(InputError, match="unknown method 'fenec'; did you mean 'fennec'"):
        leave_one_task_out([hub[0]], hub[1], methods=["fenec"])


def test_static_history__by_hand() -> None:
    matrix = load_matrix("cnn11")
    split = next(splits(matrix, {"cifar10": _embedding("cifar10")}))
    ranks = split.matrix.performance.argsort(axis=0).argsort(axis=0).mean(axis=1)
    assert np.corrcoef(static_history(split), ranks)[0, 1] > 0.95


def test_best_on_imagenet__torchvision_cnns__all_known_and_hidden_when_held_out() -> None:
    matrix = load_matrix("cnn11")
    split = next(splits(matrix, {"cifar10": _embedding("cifar10")}))
    assert np.isfinite(best_on_imagenet(split)).all()
    assert np.isnan(best_on_imagenet(replace(split, image_set="imagenet"))).all()
    assert set(BASELINES) == {"static", "random", "largest", "imagenet", "oracle"}


def test_published_fennec__planted__better_than_chance(hub: tuple[TransferMatrix, dict]) -> None:
    matrix, embeddings = planted(n_models=40, n_tasks=20)
    correlations = []
    for index, split in enumerate(splits(with_ids(matrix), embeddings)):
        if index < 5:
            correlations.append(np.corrcoef(published_fennec(split), split.truth)[0, 1])
    assert np.mean(correlations) > 0.3


def _embedding(name: str) -> TaskEmbedding:
    return TaskEmbedding.from_features(np.eye(4), name=name, proxy="x", fingerprint="x")
