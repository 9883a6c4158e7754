"""Ranking models by forward passes, and merging that with a recommendation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from fennec.checkpoints.encoders import Encoder
from fennec.errors import InputError, NothingToRecommendError, OfflineError
from fennec.forward.scoring import AUTO, mean_rank, rerank, score_models
from fennec.images.datasets import ImageDataset
from fennec.images.open import open_dataset
from fennec.space.ranking import RankedModel, Ranking


def colour(image: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.asarray(image.resize((2, 2)), dtype=np.float32).transpose(2, 0, 1).copy() / 255)


def encoder(name: str, channels: tuple[int, ...], *, head: bool = True) -> Encoder:
    """Sees some of the colours only, under noise that stays the same."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 4, bias=False), nn.Linear(4, 3) if head else nn.ReLU())
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        weights = torch.randn(4, 3, 4, generator=generator)
        hidden = [channel for channel in range(3) if channel not in channels]
        weights[:, hidden] *= 1e-3
        model[1].weight.copy_(weights.flatten(1))
    return Encoder(name, model, colour)


@pytest.fixture
def reds_and_not(tmp_path: Path) -> ImageDataset:
    """Two classes that differ in red alone."""
    generator = np.random.default_rng(0)
    for label, name in enumerate(("dark", "red")):
        (tmp_path / "set" / name).mkdir(parents=True)
        for index in range(20):
            pixels = generator.integers(0, 256, (2, 2, 3), dtype=np.uint8)
            pixels[..., 0] = generator.integers(0, 40) + 200 * label
            Image.fromarray(pixels).save(tmp_path / "set" / name / f"{index}.png")
    return open_dataset(tmp_path / "set")


@pytest.mark.parametrize("metrics", [("logme",), ("sfda", "knn"), AUTO, ("ped(logme)", "ncc"), ("etran",)])
def test_score_models__one_sees_what_matters__first(reds_and_not: ImageDataset, metrics: tuple[str, ...]) -> None:
    ranking = score_models(reds_and_not, [encoder("blind", (1, 2)), encoder("sighted", (0,))], metrics=metrics)
    assert ranking.ids == ("sighted", "blind")
    assert set(ranking.models[0].scores) == set(metrics)
    assert ranking.models[0].method == "scored"
    assert set(ranking.seconds) == {"forward passes", "metrics"}
    assert "sighted" in str(ranking)
    assert ranking.to_dict()["models"][0]["model"] == "sighted"


def test_score_models__no_source_head__reason_in_the_notes_and_no_nan_in_json(reds_and_not: ImageDataset) -> None:
    models = [encoder("headless", (0,), head=False), encoder("sighted", (0,))]
    ranking = score_models(reds_and_not, models, metrics=["leep"])
    assert ranking.ids == ("sighted", "headless")
    assert "leep of headless is undefined: the model has no source head" in ranking.notes
    assert ranking.to_dict()["models"][1]["leep"] is None
    assert [model.method for model in ranking.models] == ["scored", "undefined"]
    with pytest.raises(NothingToRecommendError, match="no model has a score: leep of headless is undefined"):
        score_models(reds_and_not, models[:1], metrics=["leep"])


def test_score_models__one_cannot_be_loaded__last_with_the_reason(reds_and_not: ImageDataset) -> None:
    offline = "timm:test_resnet.r160_in1k"
    ranking = score_models(reds_and_not, [offline, encoder("sighted", (0,))], metrics=["logme"])
    assert ranking.ids == ("sighted", offline)
    assert ranking.models[1].method == "failed"
    assert any("cannot download" in note for note in ranking.notes)
    with pytest.raises(OfflineError, match="cannot download"):
        score_models(reds_and_not, [offline], metrics=["logme"])


def test_score_models__unusable_request__one_line(
    reds_and_not: ImageDataset, tmp_path: Path, picture: Callable[..., Image.Image]
) -> None:
    model = encoder("sighted", (0,))
    with pytest.raises(InputError, match="unknown metric 'logm'; did you mean 'logme'"):
        score_models(reds_and_not, [model], metrics=["logm"])
    with pytest.raises(InputError, match="for regression"):
        score_models(reds_and_not, [model], metrics=["logme_regression"])
    with pytest.raises(InputError, match="at least one model"):
        score_models(reds_and_not, [], metrics=["logme"])
    (tmp_path / "flat").mkdir()
    picture().save(tmp_path / "flat" / "a.png")
    with pytest.raises(InputError, match="has no labels"):
        score_models(open_dataset(tmp_path / "flat"), [model])


def test_mean_rank__ties_and_unknown__shared_and_last() -> None:
    table = np.array([[1.0, np.nan], [1.0, 2.0], [np.nan, np.nan]])
    result = mean_rank(table)
    assert result[1] > result[0]
    assert np.isnan(result[2])


def recommended(n: int) -> Ranking:
    models = tuple(
        RankedModel(rank=i + 1, id=f"m{i}", score=-float(i), method="evidence", performance=0.5, low=0.4, high=0.6)
        for i in range(n)
    )
    return Ranking(task="t", hub="h", protocol="finetune", models=models, n_candidates=n)


def test_rerank__both_positions_count_failed_ones_stay() -> None:
    scored = Ranking(
        task="t", hub="logme", protocol="forward pass", n_candidates=3,
        models=(
            RankedModel(rank=1, id="m2", score=2.0, method="scored", scores={"logme": 2.0}),
            RankedModel(rank=2, id="m0", score=1.0, method="scored", scores={"logme": 1.0}),
            RankedModel(rank=3, id="m1", score=float("nan"), method="failed"),
        ),
    )  # fmt: skip
    merged = rerank(recommended(4), scored)
    assert merged.ids == ("m0", "m1", "m2", "m3")
    assert [model.rank for model in merged.models] == [1, 2, 3, 4]
    assert [model.method for model in merged.models] == ["evidence+scored", "evidence", "evidence+scored", "evidence"]
    assert merged.models[2].scores == {"logme": 2.0}
    assert merged.models[0].performance == 0.5
    assert any("2 of the 4 best were scored" in note for note in merged.notes)
    assert "logme" in str(merged)
