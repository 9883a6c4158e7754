"""models, tasks, studies, hubs, similar, add-model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fennec.architectures.vectors import load_known_vectors
from fennec.checkpoints.catalog import load_catalog
from fennec.evidence.hubs import load_hubs, load_matrix
from fennec.evidence.studies import load_studies
from tests.cli.conftest import Run, one_line


def test_lists__models_tasks_hubs__every_form(run: Run) -> None:
    assert run("models", "--hub", "cnn11", "-q")[1].split() == sorted(load_matrix("cnn11").models)
    assert len(json.loads(run("models", "--where", "family == 'levit'", "--json")[1])) > 4
    assert run("tasks", "--hub", "cnn11", "--csv")[1].splitlines()[0].startswith("task,title,n_classes")
    assert run("hubs", "-q")[1].split() == list(load_hubs())
    assert "fine-tuning" in run("hubs")[1]


def test_studies__every_form__all_of_them(run: Run) -> None:
    assert run("studies", "-q")[1].split() == list(load_studies())
    found = {row["study"]: row for row in json.loads(run("studies", "--json")[1])}
    assert found["mieb_image"]["licence"] == "CC0-1.0"
    assert found["imagenet_x"]["cells"] == 0
    header = run("studies", "--csv")[1].splitlines()[0]
    assert header == "study,title,models,tasks,columns,cells,protocols,licence,repeats"


def test_study__and_its_old_name_hub__same_answer(run: Run) -> None:
    assert run("models", "--study", "cnn11", "-q") == run("models", "--hub", "cnn11", "-q")
    assert run("models", "--study", "sfda_supervised_cnn", "-q") == run("models", "--study", "cnn11", "-q")
    assert run("tasks", "--study", "cnn11", "-q") == run("tasks", "--hub", "cnn11", "-q")


def test_similar__known_and_unknown_names__list_or_one_line(run: Run) -> None:
    code, out, _ = run("similar", "timm:resnet50", "-n", 3, "--json")
    found = json.loads(out)
    assert code == 0
    assert len(found) == 3
    assert all(-1 <= row["similarity"] <= 1 for row in found)
    assert run("similar", "timm:resnet50.a1_in1k", "-n", 3, "--json")[1] == out
    code, out, error = run("similar", "timm:resnet5000")
    assert code == 2
    assert out == ""
    assert "did you mean" in one_line(error)
    code, _, error = run("similar", "hf:Ahmed9275/ALL-2")
    assert code == 2
    assert "its network is not known" in one_line(error)


def test_add_model__then_recommend__placed_by_relatives(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FENNEC_HOME", str(tmp_path))
    code, out, _ = run("add-model", "timm:test_vit.mine", "--pretraining-data", "imagenet-1k")
    try:
        assert (code, out.strip()) == (0, "timm:test_vit.mine")
        assert json.loads(run("add-model", "timm:test_vit2.other", "--json")[1]) == {"id": "timm:test_vit2.other"}
        arguments = ("recommend", "sklearn:digits", "--max-images", 20, "-n", 3000, "--json")
        document = json.loads(run(*arguments, "--where", "tag == 'mine'")[1])
        assert [(model["model"], model["method"]) for model in document["models"]] == [
            ("timm:test_vit.mine", "relatives")
        ]
        measured = json.loads(run(*arguments, "--measured-only")[1])
        assert {model["method"] for model in measured["models"]} == {"evidence"}
        everything = json.loads(run(*arguments)[1])
        assert len(everything["models"]) == everything["n_candidates"] > 1800
    finally:
        load_catalog.cache_clear()
        load_known_vectors.cache_clear()
    code, _, error = run("add-model", "nothing_like_this")
    assert code == 2
    assert "expected timm:NAME" in one_line(error)
