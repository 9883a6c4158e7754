"""Budgets at the command line: sizes, time and memory, this machine, and licences."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run, one_line

DIGITS = ("recommend", "sklearn:digits", "--max-images", 20)


def test_recommend__without_n__four_sizes_with_minutes_and_memory(run: Run) -> None:
    code, out, _ = run(*DIGITS)
    assert code == 0
    for words in ("under 10 M", "under 30 M", "under 100 M", "any size", "train min", "GB", "to the first", "rtx3090"):
        assert words in out
    document = json.loads(run(*DIGITS, "--json")[1])
    assert document["schema_version"] == 2
    assert document["device"] == "rtx3090"
    assert len(document["models"]) == 12
    assert {model["cost_from"] for model in document["models"]} <= {"measured", "scaled", "estimated"}
    assert sum(model["behind"] == 0 for model in document["models"]) == 1


def test_recommend__time_memory_and_terms__respected(run: Run) -> None:
    condition = "train_minutes < 1 and memory_gb < 4 and terms == 'open'"
    models = json.loads(run(*DIGITS, "--where", condition, "--json")[1])["models"]
    assert len(models) == 10
    assert all(m["train_minutes"] < 1 and m["memory_gb"] < 4 and m["terms"] == "open" for m in models)
    code, _, error = run(*DIGITS, "--where", "train_minute < 30")
    assert code == 2
    assert "did you mean 'train_minutes'" in one_line(error)
    code, _, error = run(*DIGITS, "--where", "train_minutes < 0.0001")
    assert code == 3
    assert "the smallest model has" in one_line(error)


def test_recommend__device_class_that_is_not__nearest_offered(run: Run) -> None:
    code, _, error = run(*DIGITS, "--device-class", "rtx390")
    assert code == 2
    assert "unknown device class 'rtx390'; did you mean 'rtx3090'" in one_line(error)
    code, _, error = run(*DIGITS, "--device-class", "here")
    assert code == 2
    assert "calibrate" in one_line(error)


def test_recommend__siblings__more_of_one_network(run: Run) -> None:
    def networks(*options: str) -> int:
        models = json.loads(run(*DIGITS, "-n", 30, *options, "--json")[1])["models"]
        return len({(model["params"]) for model in models})

    assert networks("--siblings") < networks()


def test_calibrate__then_here__scaled_minutes(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FENNEC_HOME", str(tmp_path))
    code, out, _ = run("calibrate", "--seconds", 0.05, "--device", "cpu", "--json")
    found = json.loads(out)
    assert code == 0
    assert found["training"] > 0
    here, there = (
        json.loads(run(*DIGITS, "-n", 3, "--device-class", name, "--json")[1])["models"]
        for name in ("here", found["device"])
    )
    for one, other in zip(here, there, strict=True):
        assert one["train_minutes"] == pytest.approx(found["training"] * other["train_minutes"])
    code, _, error = run("calibrate", "--like", "rtx")
    assert code == 2
    assert "unknown device class 'rtx'" in one_line(error)
