"""Adding models: a twin of a known network, a network of one's own, and requests that cannot be met."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from fennec.architectures.vectors import load_known_vectors
from fennec.checkpoints.add import add_model
from fennec.checkpoints.catalog import load_catalog
from fennec.errors import ArtifactError, DataError, InputError, UnknownModelError
from fennec.evidence.hubs import load_matrix
from fennec.space.recommender import Recommender

NETWORK = """
import torch
from torch import nn

def small_net():
    return nn.Sequential(nn.Conv2d(3, 24, 7, stride=4), nn.ReLU(), nn.Conv2d(24, 48, 3, stride=2), nn.GELU(),
                         nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(48, 10))

def no_net():
    return 3

def only_a_head():
    return nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, 10))

def broken():
    raise OSError("no weights here")
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FENNEC_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mynets.py").write_text(NETWORK)
    caches = (load_catalog, load_known_vectors)
    for cached in caches:
        cached.cache_clear()
    yield tmp_path / "home"
    for cached in caches:
        cached.cache_clear()


def test_add_model__own_network__placed_and_ranked(home: Path) -> None:
    n_known = len(load_known_vectors().names)
    assert add_model("mynets:small_net", pretraining_data="imagenet-1k", license="MIT") == "mynets:small_net"
    record = load_catalog()["mynets:small_net"]
    assert (record.library, record.license, record.pretraining_data) == ("other", "mit", "imagenet-1k")
    assert record.params == 3 * 24 * 49 + 24 + 24 * 48 * 9 + 48  # without the head
    vectors = load_known_vectors()
    assert len(vectors.names) == n_known + 1
    assert np.isfinite(vectors.vectors[vectors.find("mynets:small_net")]).all()
    assert "mynets:small_net" in load_catalog().candidates("finetune")
    recommender = Recommender().fit(load_matrix("vit13"), {}, candidates=["mynets:small_net"])
    ranking = recommender.recommend(None, n=20)
    assert "mynets:small_net" in ranking.ids[-3:]
    add_model("mynets:small_net")  # again, without a word on its weights
    assert load_catalog()["mynets:small_net"].pretraining_images is None


def test_add_model__timm_name_of_a_known_network__shares_its_vector(home: Path) -> None:
    n_known = len(load_known_vectors().names)
    model = add_model("hf-hub:timm/resnet18.my_weights", pretraining_data="laion-2b")
    assert model == "timm:resnet18.my_weights"
    record = load_catalog()[model]
    assert (record.backbone, record.family, record.input_size) == ("timm:resnet18", "resnet", 224)
    assert len(load_known_vectors().names) == n_known
    add_model("timm:resnet18.my_weights", license="mit")
    assert list(json.loads((home / "added_models.json").read_text())) == [model]


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("timm:resnet1800", UnknownModelError, "did you mean"),
        ("nothing", InputError, "expected timm:NAME"),
        ("mynets:absent", InputError, "'mynets' has no 'absent'"),
        ("no_such_module:net", InputError, "makes no network"),
        ("mynets:broken", InputError, "no weights here"),
        ("mynets:no_net", InputError, "makes a int"),
        ("mynets:only_a_head", DataError, "'params' is 0; expected 1 to .*; give a network with parameters"),
    ],
)
def test_add_model__bad_request__one_line_and_nothing_written(
    home: Path, name: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        add_model(name)
    assert not home.exists()


def test_read_added__damaged_file__says_what_to_do(home: Path) -> None:
    home.mkdir()
    (home / "added_models.json").write_text("[1, 2")
    with pytest.raises(ArtifactError, match="remove it"):
        load_catalog()
