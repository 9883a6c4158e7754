"""Images that a cell cannot read: a lost class is a failure, a few lost images are counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from fennec.bench import metric_scores
from fennec.bench.cells import Cell, iter_records, write_record
from fennec.bench.metric_scores import FORWARD, score_results
from fennec.bench.protocols import Protocol, measure
from fennec.bench.run import make_jobs, run_bench
from fennec.checkpoints.encoders import Encoder
from fennec.errors import InputError, ModelFailedError
from fennec.images.task_images import open_task

PROBE = Protocol("linear_probe", n_train=60, n_test=60)
QUICK = Protocol(n_train=60, n_test=60, epochs=1, batch_size=8, learning_rates=(1e-2,), weight_decays=(0.0,))
NOT_FETCHED = b"version https://example.org/spec/v1\noid sha256:00\nsize 1\n"


def pixels(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.asarray(image.resize((4, 4)), dtype=np.float32).transpose(2, 0, 1).copy() / 255)


def encoder(transform: Any = pixels) -> Encoder:
    return Encoder("net", nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()), transform)


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """Ten training and five test images of each of two classes."""
    generator = np.random.default_rng(0)
    for part, n in (("train", 10), ("test", 5)):
        for level, name in ((60, "cats"), (180, "dogs")):
            (tmp_path / "pets" / part / name).mkdir(parents=True)
            for index in range(n):
                noise = generator.integers(-50, 50, (8, 8, 3)) + level
                Image.fromarray(noise.astype(np.uint8)).save(tmp_path / "pets" / part / name / f"{index}.png")
    return tmp_path / "pets"


def spoil(folder: Path, n: int) -> None:
    for index in range(n):
        (folder / f"{index}.png").write_bytes(NOT_FETCHED)


@pytest.mark.parametrize("protocol", [PROBE, QUICK], ids=lambda protocol: protocol.kind)
@pytest.mark.parametrize(("part", "n"), [("train", 10), ("test", 5)])
def test_measure__a_class_that_cannot_be_read__failed(pets: Path, protocol: Protocol, part: str, n: int) -> None:
    spoil(pets / part / "dogs", n)
    message = rf"class 'dogs' of .*pets.* has no image in the {part} part that can be read \(.*dogs/0.png: not an image"
    with pytest.raises(InputError, match=message):
        measure(encoder(), open_task(str(pets)), protocol)


@pytest.mark.parametrize("protocol", [PROBE, QUICK], ids=lambda protocol: protocol.kind)
def test_measure__some_of_a_class_cannot_be_read__counted(pets: Path, protocol: Protocol) -> None:
    spoil(pets / "train" / "dogs", 4)
    spoil(pets / "test" / "cats", 1)
    found = measure(encoder(), open_task(str(pets)), protocol)
    assert (found["n_train"], found["n_test"], found["n_classes"], found["n_left_out"]) == (16, 9, 2, 5)


@pytest.mark.parametrize("protocol", [PROBE, QUICK], ids=lambda protocol: protocol.kind)
def test_measure__transform_fails_on_one_image__left_out_and_on_all__failed(pets: Path, protocol: Protocol) -> None:
    odd = Image.new("RGB", (8, 8), (1, 2, 3))
    odd.save(pets / "train" / "cats" / "0.png")

    def picky(image: Image.Image) -> Tensor:
        if image.getpixel((0, 0)) == (1, 2, 3):
            raise ZeroDivisionError("no contrast")
        return pixels(image)

    assert measure(encoder(picky), open_task(str(pets)), protocol)["n_left_out"] == 1
    with pytest.raises(ModelFailedError, match="it fails on .* its transform failed .ZeroDivisionError"):
        measure(encoder(lambda image: 1 / 0), open_task(str(pets)), protocol)


NETWORKS = """
import sys
from torch import nn

def good():
    return nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten())

class Pair(nn.Module):
    def forward(self, batch):
        return batch, batch

def pair():
    return Pair()

def leaves():
    sys.exit("usage: oddnets")

class Torn(nn.Module):
    def forward(self, batch):
        raise KeyError("pixel_values")

def torn():
    return Torn()
"""


@pytest.fixture
def odd_networks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    (tmp_path / "oddnets.py").write_text(NETWORKS)
    monkeypatch.chdir(tmp_path)
    return [f"oddnets:{name}" for name in ("pair", "leaves", "torn", "good")]


def test_run_bench__odd_networks_and_a_lost_class__failed_cells_and_the_others_measured(
    pets: Path, odd_networks: list[str], tmp_path: Path
) -> None:
    said: list[str] = []
    spoil(pets / "train" / "cats", 2)
    summary = run_bench(tmp_path / "r", make_jobs(odd_networks, {"pets": str(pets)}, [PROBE]), report=said.append)
    assert summary.measured == 4
    assert summary.failed == {"ModelFailedError": 1, "DataError": 1, "KeyError": 1}
    messages = {record["model"]: record.get("message", "") for record in iter_records(tmp_path / "r")}
    assert "gives a tuple, not a tensor" in messages["oddnets:pair"]
    assert messages["oddnets:leaves"] == "'oddnets:leaves' makes no network (SystemExit: usage: oddnets)"
    assert "the forward pass failed (KeyError: 'pixel_values')" in messages["oddnets:torn"]
    assert "(2 images could not be read and were left out)" in said[-1]
    spoil(pets / "train" / "cats", 10)
    jobs = make_jobs(["oddnets:good"], {"lost": str(pets)}, [PROBE])
    assert run_bench(tmp_path / "r", jobs, report=said.append).failed == {"DataError": 1}
    assert "class 'cats' of" in said[-1]


def test_score_results__odd_networks__a_row_with_the_reason_and_the_others_scored(
    pets: Path, odd_networks: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for model in odd_networks:
        record = {
            "model": model, "task": "pets", "protocol_name": PROBE.name, "protocol": {"kind": "linear_probe",
            "n_train": 60, "threads": 1}, "seed": 0, "status": "done", "metric": "top1", "value": 0.5, "seconds": 1.0,
            "peak_mb": 1.0,
        }  # fmt: skip
        write_record(tmp_path / "r", Cell(model, "pets", PROBE.name), record)
    monkeypatch.setattr(metric_scores, "NAMES", ("logme", "leep", "etran"))
    frame = score_results(tmp_path / "r", {"pets": str(pets)})
    reasons = frame[frame["metric"] == FORWARD].set_index("model")["reason"]
    assert reasons["oddnets:good"] == ""
    assert "gives a tuple" in reasons["oddnets:pair"]
    assert "SystemExit: usage: oddnets" in reasons["oddnets:leaves"]
    assert "KeyError" in reasons["oddnets:torn"]
    scored = frame[(frame["model"] == "oddnets:good") & (frame["metric"] != FORWARD)].set_index("metric")
    assert np.isfinite(float(scored.loc["logme", "score"]))
    assert scored.loc["leep", "reason"] == "the model has no source head"
