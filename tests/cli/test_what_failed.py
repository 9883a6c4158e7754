"""What the commands say of images, models, metrics and results that are of no use."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import timm
import torch

from tests.cli.conftest import Run, one_line

NETWORKS = """
import ctypes
import os

import torch
from torch import nn

def good():
    return nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten())

class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))

    def forward(self, batch):
        return batch, batch

def pair():
    return Pair()

class Chatty(nn.Sequential):
    def forward(self, batch):
        print("hello")
        return super().forward(batch)

def chatty():
    print("making it")
    return Chatty(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, 4))

def written_in_c():
    os.system("echo from a program")
    if os.name == "posix":
        ctypes.CDLL(None).puts(b"from C, and written when the process ends")
    return chatty()
"""


@pytest.fixture(autouse=True)
def _networks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The command runs beside a module of networks."""
    (tmp_path / "testnets.py").write_text(NETWORKS)
    monkeypatch.chdir(tmp_path)


def test_score__unreadable_images_and_a_bad_model__said_in_every_form(run: Run, image_folder: Path) -> None:
    (image_folder / "cat" / "0.png").write_bytes(b"broken")
    arguments = ("score", image_folder, "--models", "testnets:pair,testnets:good", "--metric", "ncc")
    code, out, error = run(*arguments)
    assert code == 0
    assert "1 images could not be read and were skipped" in out
    assert "testnets:pair: the network gives a tuple" in out
    assert error.splitlines()[1:] == ["skipped cat/0.png: not an image, or of an unknown format"]
    document = json.loads(run(*arguments, "--json")[1])
    assert document["n_images"] == 5
    assert document["skipped"] == [["cat/0.png", "not an image, or of an unknown format"]]
    assert [model["method"] for model in document["models"]] == ["scored", "failed"]
    assert run(*arguments, "-q")[1].split() == ["testnets:good", "testnets:pair"]


def test_score__saturated_metric_and_options__said_and_applied(run: Run, image_folder: Path) -> None:
    options = ("score", image_folder, "--models", "testnets:good", "--metric")
    out = run(*options, "sfda,logme")[1]
    assert "it saturates, 48 features for 6 samples" in " ".join(out.split())
    document = json.loads(run(*options, "sfda(pca_dim=1), ped(sfda(pca_dim=1), n_sigma=0.3),knn", "--json")[1])
    assert {"sfda(pca_dim=1)", "ped(sfda(pca_dim=1), n_sigma=0.3)", "knn"} <= set(document["models"][0])
    # six samples and 48 features: only what is fitted to fewer directions is free of it
    assert [note.partition("(")[0] for note in document["notes"]] == ["ped"]


def test_commands__model_that_prints__results_alone_on_standard_output(run: Run, image_folder: Path) -> None:
    code, out, error = run("score", image_folder, "--models", "testnets:chatty", "--metric", "ncc", "--json")
    assert (code, json.loads(out)["models"][0]["model"]) == (0, "testnets:chatty")
    assert "making it\nhello\n" in error
    assert run("score", image_folder, "--models", "testnets:chatty", "-q", "--metric", "ncc")[1] == "testnets:chatty\n"
    table = run("score", image_folder, "--models", "testnets:chatty", "--metric", "ncc")[1]
    assert table.startswith("pets: best 1 of 1 models")
    assert "hello" not in table


def test_score__model_and_program_that_write_to_descriptor_1__results_alone_on_standard_output(
    image_folder: Path,
) -> None:
    command = [sys.executable, "-m", "fennec.cli.main", "score", str(image_folder), "--models", "testnets:written_in_c"]
    done = subprocess.run([*command, "--metric", "ncc", "--json"], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["models"][0]["model"] == "testnets:written_in_c"
    assert "from a program\n" in done.stderr
    assert sys.platform == "win32" or "from C, and written when the process ends\n" in done.stderr


@pytest.mark.parametrize("engine", ["serial", "process"])
def test_bench__model_that_prints__results_alone_on_standard_output(
    run: Run, image_folder: Path, engine: str, tmp_path: Path
) -> None:
    arguments = ("--models", "testnets:chatty", "--task", f"pets={image_folder}", "--protocol", "linear_probe")
    _, out, _ = run("bench", tmp_path / "measured", *arguments, "--engine", engine, "--workers", 1, "--json")
    assert json.loads(out)["cells"] == 1


@pytest.mark.parametrize("form", ["-q", "--json", "--csv", "-n1"])
def test_score__every_score_undefined__one_line_and_nothing_to_recommend(
    run: Run, image_folder: Path, form: str
) -> None:
    code, out, error = run("score", image_folder, "--models", "testnets:good", "--metric", "leep", form)
    assert (code, out) == (3, "")
    assert "no model has a score: leep of testnets:good is undefined: the model has no source head" in one_line(error)
    shutil.rmtree(image_folder / "cat")
    code, out, error = run("score", image_folder, "--models", "testnets:good", form)
    assert (code, out) == (3, "")
    assert "all samples are of one class" in one_line(error)


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        ("sfda(pca=3)", "'sfda' has no option 'pca'; did you mean 'pca_dim'"),
        ("sfda(pca_dim=3", "brackets do not match"),
        ("sfda(pca_dim=x)", "cannot read the metric"),
        ("ped(leep)", "PED composes"),
    ],
)
def test_score__unusable_metric__one_line(run: Run, image_folder: Path, metric: str, message: str) -> None:
    code, out, error = run("score", image_folder, "--models", "testnets:good", "--metric", metric)
    assert (code, out) == (2, "")
    assert message in one_line(error)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("hf:microsoft/resnet-50,0.2\nmicrosoft/resnet-50,0.99\n",
         "'timm:resnet50.a1_in1k' has two results, 0.2 and 0.99 (as 'hf:microsoft/resnet-50' and "
         "'microsoft/resnet-50'); keep one"),
        ("microsoft/resnet-50,0.5\nmicrosoft/resnet-50,0.6\n", "has two results, 0.5 and 0.6; keep one"),
        ("microsoft/resnet-50,0.5\nmicrosoft/resnet-50,0.5\n", "has two results, 0.5 and 0.5; keep one"),
    ],
)  # fmt: skip
def test_recommend__two_known_results_of_one_model__refused(
    run: Run, tmp_path: Path, image_folder: Path, rows: str, message: str
) -> None:
    (tmp_path / "tried.csv").write_text("model,value\n" + rows)
    code, out, error = run("recommend", image_folder, "--known", tmp_path / "tried.csv")
    assert (code, out, error.count("\n")) == (1, "", 1)
    assert message in error


def test_score__weights_of_another_model__one_line(run: Run, image_folder: Path) -> None:
    arguments = ("--models", "timm:resnet18.a1_in1k", "--weights", "timm:resnet34.a1_in1k=w.pth")
    code, out, error = run("score", image_folder, *arguments)
    assert (code, out) == (2, "")
    assert "names 'timm:resnet34.a1_in1k', which is not among --models" in one_line(error)


def test_score__file_without_its_head__said_in_the_notes(run: Run, image_folder: Path, tmp_path: Path) -> None:
    state = timm.create_model("test_resnet", num_classes=0).state_dict()
    torch.save(state, tmp_path / "body.pth")
    model = "timm:test_resnet.r160_in1k"
    weights = f"timm/test_resnet.r160_in1k={tmp_path / 'body.pth'}"
    code, out, _ = run("score", image_folder, "--models", model, "--weights", weights, "--metric", "ncc", "--json")
    assert code == 0
    assert any("no source head" in note for note in json.loads(out)["notes"])
