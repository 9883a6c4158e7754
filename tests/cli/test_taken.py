"""What was taken of a dataset is said by every command that opens one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from fennec.cli.main import app

LINE = 'pets: 6 pictures, 2 classes (cat 3, dog 3), part "Train"; not read: 1 .psd'


def call(*arguments: object, code: int = 0) -> Result:
    done = CliRunner().invoke(app, list(map(str, arguments)))
    assert done.exit_code == code, done.output
    return done


@pytest.fixture
def pets(image_folder: Path) -> Path:
    """Two parts, and a file that is not read."""
    root = image_folder.parent / "parts" / "pets"
    shutil.copytree(image_folder, root / "Train")
    (root / "Test").mkdir()
    (root / "Train" / "cat" / "layers.psd").write_bytes(b"x")
    shutil.copy(image_folder / "cat" / "0.png", root / "Test" / "0.png")
    return root


def test_recommend_and_embed__line_on_standard_error_and_in_json(pets: Path, tmp_path: Path) -> None:
    line = f"{LINE}; 1 picture also in another part"
    done = call("recommend", pets, "-n", 1, "--json")
    assert done.stderr == f"{line}\n"
    assert json.loads(done.stdout)["data"]["line"] == line
    assert call("recommend", pets, "-n", 1, "-q").stderr == ""
    made = call("embed", pets, "-o", tmp_path / "t.safetensors", "--json", "-q")
    assert made.stderr == ""
    assert json.loads(made.stdout)["data"][str(pets)]["not_read"] == {".psd": 1}


def test_bench__test_part_without_labels__said_before_and_recorded(pets: Path, tmp_path: Path) -> None:
    task = f"pets={pets}"
    done = call(
        "bench", tmp_path / "out", "--models", "timm:resnet18.a1_in1k", "--task", task, "--engine", "serial", "--json",
        code=1,
    )  # fmt: skip
    reason = json.loads(done.stdout)["data"]["pets"]["error"]
    assert "the test part 'Test' of" in reason
    assert reason in done.stderr
