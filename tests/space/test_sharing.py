"""Spaces on the Hugging Face Hub, against a stand-in of its file layout; and what the doctor finds."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import constants
from typer.testing import CliRunner

from fennec.cli import doctor
from fennec.cli.main import app
from fennec.errors import ArtifactError, InputError, OfflineError
from fennec.evidence.hubs import load_matrix
from fennec.space.artifact import FILES
from fennec.space.recommender import Recommender
from fennec.space.sharing import pull, push

COMMIT = "c0ffee" + 34 * "0"


class StandIn:
    """The calls of `HfApi` that write, into the folder layout in which the Hub's files are cached."""

    def __init__(self, **_: Any) -> None:
        pass

    def create_repo(self, repository: str, *, private: bool, exist_ok: bool) -> None:
        huggingface_hub.utils.validate_repo_id(repository)
        folder = Path(constants.HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}"
        (folder / "refs").mkdir(parents=True, exist_ok=exist_ok)
        (folder / "refs" / "main").write_text(COMMIT)

    def upload_folder(self, *, repo_id: str, folder_path: str, allow_patterns: list[str], commit_message: str) -> str:
        target = Path(constants.HF_HUB_CACHE) / f"models--{repo_id.replace('/', '--')}" / "snapshots" / COMMIT
        target.mkdir(parents=True, exist_ok=True)
        for path in Path(folder_path).iterdir():
            if path.name in allow_patterns:
                shutil.copyfile(path, target / path.name)
        return f"https://hub/{repo_id}/commit/{COMMIT}"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub, "HfApi", StandIn)
    return tmp_path / "hub"


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sharing") / "space"
    Recommender().fit(load_matrix("vit13")).save(folder)
    (folder / "notes.txt").write_text("not for others")
    return folder


def test_push_pull__round_trip__same_space_and_nothing_else(hub: Path, space: Path, tmp_path: Path) -> None:
    assert push(space, "team/vit13").endswith(COMMIT)
    target = pull("team/vit13", tmp_path / "copy")
    assert sorted(path.name for path in target.iterdir()) == sorted(FILES)
    for name in FILES:
        assert (target / name).read_bytes() == (space / name).read_bytes()
    assert Recommender.load(target).recommend(None, n=3).ids == Recommender.load(space).recommend(None, n=3).ids


def test_card__front_matter_and_contents(space: Path) -> None:
    card = huggingface_hub.ModelCard.load(space / "README.md")
    assert card.data.library_name == "fennec-recommender"
    assert "13 models, 11 known image sets, protocol finetune, learned from vit13" in card.text
    assert "cifar10" in card.text


def test_push_pull__what_cannot_be__one_clear_line(hub: Path, space: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="no recommender in"):
        push(tmp_path / "nothing", "team/x")
    with pytest.raises(InputError, match="'a/b/c' is no name of a repository; expected ORG/NAME"):
        push(space, "a/b/c")
    with pytest.raises(OfflineError, match="cannot reach the Hub for 'team/unknown'"):
        pull("team/unknown", tmp_path / "copy")
    push(space, "team/broken")
    (hub / "models--team--broken" / "snapshots" / COMMIT / "tensors.safetensors").write_bytes(b"no tensors")
    with pytest.raises(ArtifactError, match="'team/broken' holds no recommender that can be used here"):
        pull("team/broken", tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_cli__push_pull_recommend(hub: Path, space: Path, tmp_path: Path) -> None:
    runner = CliRunner()
    assert COMMIT in runner.invoke(app, ["push", str(space), "team/vit13"]).output
    target = str(tmp_path / "copy")
    assert target in runner.invoke(app, ["pull", "team/vit13", target]).output
    again = runner.invoke(app, ["push", str(space), "team/vit13", "--json"])
    assert json.loads(again.stdout)["repository"] == "team/vit13"
    done = runner.invoke(app, ["recommend", "sklearn:digits", "--space", target, "-q", "-n", "2"])
    assert done.exit_code == 0, done.output
    assert len(done.stdout.split()) == 2


def test_doctor__this_machine__no_problem_and_json() -> None:
    done = CliRunner().invoke(app, ["doctor", "--json"])
    assert done.exit_code == 0, done.output
    findings = {row["what"]: row for row in json.loads(done.stdout)}
    assert findings["torch"]["status"] == "ok"
    assert findings["data"]["detail"].startswith(f"{len(doctor.load_hubs())} hubs, 23 embedded tasks")
    assert findings["hub"]["status"] == "missing"
    assert "HF_HUB_OFFLINE is set" in findings["hub"]["detail"]
    assert findings["device"]["detail"].startswith("cpu")


def test_doctor__what_is_missing__says_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "CORE", ("no-such-library",))
    monkeypatch.setattr(doctor, "EXTRAS", {"no-such-extra": "ray"})
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("FENNEC_DEVICE", "cuda:99")
    findings = {finding.what: finding for finding in doctor.examine()}
    assert findings["no-such-library"].status == "problem"
    assert findings["no-such-extra"].detail == "optional; pip install 'fennec-recommender[ray]'"
    assert findings["device"].status == "problem"
    assert "http://127.0.0.1:9 cannot be reached" in findings["hub"].detail
    assert CliRunner().invoke(app, ["doctor"]).exit_code == 1
