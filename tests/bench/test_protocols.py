"""What is measured: every protocol solves an easy task and leaves the model as it was."""

from __future__ import annotations

import json

import pytest
import torch

from fennec.bench.protocols import Protocol
from fennec.bench.run import measure_cell
from fennec.errors import InputError
from fennec.images.task_images import open_task
from tests.bench.conftest import PROBE, QUICK, jobs_of


@pytest.mark.parametrize("protocol", [QUICK, PROBE], ids=lambda protocol: protocol.kind)
def test_measure_cell__easy_task__solved_and_recorded(bench: dict[str, str], protocol: Protocol) -> None:
    (job,) = jobs_of({"fruit": bench["fruit"]}, "small", protocol=protocol)
    record = measure_cell(job, "cpu")
    assert record["status"] == "done", record
    assert record["value"] >= 0.9
    assert record["metric"] == "top1"
    assert (record["n_train"], record["n_test"], record["n_classes"]) == (40, 10, 2)
    assert len(record["grid"]) == 4
    best = max(point["accuracy"] for point in record["grid"])
    assert next(point for point in record["grid"] if record["chosen"].items() <= point.items())["accuracy"] == best
    assert len(record["curve"]) == (4 if protocol is QUICK else 0)
    assert record["seconds"] > 0
    assert record["peak_mb"] > 10
    assert len(record["weights"]) == 32
    assert {"python", "torch", "timm"} <= set(record["versions"])
    json.dumps(record)


def test_measure__finetune__training_helps_and_weights_are_put_back(bench: dict[str, str]) -> None:
    from fennec.bench.protocols import measure
    from fennec.checkpoints.encoders import Encoder

    encoder = Encoder.load("benchnets:small", device="cpu")
    before = encoder.fingerprint
    images = open_task(bench["sea"], n_train=40)
    first = measure(encoder, images, QUICK)
    assert first["curve"][-1] < first["curve"][0]
    assert encoder.fingerprint == before
    state = torch.random.get_rng_state()
    assert measure(encoder, images, QUICK) == first
    assert torch.equal(torch.random.get_rng_state(), state)
    assert not encoder.model.training


def test_load__plain_module_of_ones_own__default_preprocessing(bench: dict[str, str]) -> None:
    record = measure_cell(jobs_of({"fruit": bench["fruit"]}, "plain")[0], "cpu")
    assert record["status"] == "done", record
    assert record["value"] >= 0.9


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "tune"}, "unknown protocol 'tune'; there are finetune, linear_probe"),
        ({"epochs": 0}, "epochs is 0; expected at least 1"),
        ({"learning_rates": ()}, "no learning_rates"),
    ],
)
def test_protocol__bad_values__one_clear_line(change: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Protocol(**change)  # type: ignore[arg-type]
