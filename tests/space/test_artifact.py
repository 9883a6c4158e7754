"""Spaces on disk: what older versions saved is read, what was changed is told from what is of another version."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from fennec.errors import ArtifactError
from fennec.files import MANIFEST, NEXT
from fennec.settings import data_dir
from fennec.space.recommender import Recommender
from tests.fuzz.saved import SPACE


@pytest.fixture
def space(tmp_path: Path) -> Path:
    """A space as the first version with format 4 wrote it, before there were manifests."""
    shutil.copytree(SPACE, tmp_path / "space")
    return tmp_path / "space"


def test_load__golden_file_without_a_manifest__the_ranking_of_then(space: Path) -> None:
    assert not (space / MANIFEST).exists()
    recommender = Recommender.load(space)
    assert recommender.recommend(None, n=3).ids == ("model07", "model02", "model11")
    assert recommender.image_sets_ == tuple(f"task{index}" for index in range(5))
    assert np.isfinite(recommender.predict(None).scores).all()


def test_load__changed_after_it_was_saved__said_so_and_newer_said_first(tmp_path: Path) -> None:
    shutil.copytree(data_dir() / "spaces" / "zero_shot", tmp_path / "space")
    path = tmp_path / "space" / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config))  # the same in other spaces
    with pytest.raises(ArtifactError, match=r"'config\.json' was changed after it was saved: its hash"):
        Recommender.load(tmp_path / "space")
    path.write_text(json.dumps({**config, "format_version": 5}))
    with pytest.raises(ArtifactError, match="has format version 5, this Fennec reads version 4; upgrade with"):
        Recommender.load(tmp_path / "space")
    path.write_text(json.dumps(config))
    (tmp_path / "space" / MANIFEST).unlink()
    assert Recommender.load(tmp_path / "space").protocol_ == "zero_shot"


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (
            ("parameters", "length_scale"),
            "0.3",
            r"'length_scale' of 'parameters' of config.json is '0\.3'",
        ),
        (("parameters", "n_components"), True, "'n_components' of .* is True; expected a whole number"),
        (("space", "models"), ["a", "a"], "'models' names one twice"),
        (("space", "models"), ["a", "b"], r"tensor 'model_vectors_' has shape \(12, .*\); expected \(2, "),
        (("deviation", "noise"), -1.0, "'noise' is -1.0; expected 1e-09 to 1e"),
        (("proxy", "name"), None, "'name' of 'proxy' of config.json is None; expected a text"),
        (("more",), 1, "'more' in config.json is unknown; expected format_version, "),
    ],
)
def test_load__value_that_cannot_be__place_what_was_seen_and_expected(
    space: Path, place: tuple[str, ...], value: object, message: str
) -> None:
    config = json.loads((space / "config.json").read_text())
    inner = config
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    (space / "config.json").write_text(json.dumps(config))
    with pytest.raises(ArtifactError, match=message):
        Recommender.load(space)


def test_load__writing_was_interrupted_before_all_files_were_moved__the_new_space(space: Path, tmp_path: Path) -> None:
    shutil.copytree(data_dir() / "spaces" / "zero_shot", space / NEXT)
    (space / NEXT / "config.json").replace(space / "config.json")  # one was
    assert Recommender.load(space).protocol_ == "zero_shot"


def test_load__links_to_elsewhere__refused(space: Path, tmp_path: Path) -> None:
    (space / "tensors.safetensors").rename(tmp_path / "elsewhere")
    (space / "tensors.safetensors").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ArtifactError, match=r"'tensors\.safetensors' is a link out of its folder"):
        Recommender.load(space)
