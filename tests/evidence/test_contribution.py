"""A new study made ready: a patch that git takes, a card like the others, and rows that say the same as the file."""

from __future__ import annotations

import io
import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from fennec.checkpoints.catalog import load_catalog
from fennec.errors import InputError
from fennec.evidence.check import check_results
from fennec.evidence.contribution import Contribution, contribute, read_task_facts
from fennec.evidence.studies import Study
from fennec.settings import data_dir

STUDY = Study("our_study", "three networks on textures", "A. Person, 2026", "", "CC-BY-4.0", (), True)
ROWS = '''model,task,value
resnet50.a1_in1k,dtd,70.5
timm:resnet18.a1_in1k,dtd,61.5
"nets:own, ""wide""",dtd,55
resnet50.a1_in1k,sun397,0.1 %
resnet18.a1_in1k,sun397,50.5
nets:other,sun397,40.5
nets:lost,sun397,41.5
resnet50.a1_in1k,svhn,91.5
'''


def made(folder: Path, rows: str = ROWS, study: Study = STUDY, **options: object) -> Contribution:
    path = folder / "ours.csv"
    path.write_text(rows)
    return contribute(check_results(path), study, **options)


def test_contribute__patch__git_takes_it_and_the_files_are_those(tmp_path: Path) -> None:
    contribution = made(tmp_path, caveats="one run per cell")
    patch = contribution.write(tmp_path / "out")
    repository = tmp_path / "repository"
    repository.mkdir()
    alone = {"GIT_CEILING_DIRECTORIES": str(tmp_path)}
    subprocess.run(["git", "apply", str(patch)], cwd=repository, check=True, env=alone)
    files = [path for path in repository.rglob("*") if path.is_file()]
    assert {str(path.relative_to(repository)): path.read_text() for path in files} == contribution.files
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "our_study.csv", "our_study.json", "our_study.md", "our_study.patch",
    ]  # fmt: skip


def test_contribute__rows__fractions_known_weights_and_no_failed_run(tmp_path: Path) -> None:
    contribution = made(tmp_path)
    rows = pd.read_csv(io.StringIO(contribution.files["data/contributed/our_study.csv"]), keep_default_na=False)
    found = {(row.model, row.task): (row.weights, row.value) for row in rows.itertuples()}
    assert found == {
        ("resnet50.a1_in1k", "dtd"): ("timm:resnet50.a1_in1k", 0.705),
        ("timm:resnet18.a1_in1k", "dtd"): ("timm:resnet18.a1_in1k", 0.615),  # under one of its names
        ('nets:own, "wide"', "dtd"): ("", 0.55),
        ("timm:resnet18.a1_in1k", "sun397"): ("timm:resnet18.a1_in1k", 0.505),
        ("nets:other", "sun397"): ("", 0.405),
        ("nets:lost", "sun397"): ("", 0.415),
    }
    assert (contribution.n_cells, contribution.n_left_out) == (6, 2)  # below chance, and a column of one model
    assert contribution.unknown == ("nets:lost", "nets:other", 'nets:own, "wide"')
    about = json.loads(contribution.files["data/contributed/our_study.json"])
    assert (about["failed"], about["licence"], about["tasks"]) == (1, "CC-BY-4.0", {})


def test_contribute__card__the_lines_of_every_other_card(tmp_path: Path) -> None:
    card = made(tmp_path).files["data/cards/our_study.md"]
    other = (data_dir() / "cards" / "lab24.md").read_text(encoding="utf-8")
    assert [line.split("|")[1] for line in card.splitlines() if line.startswith("|")] == [
        line.split("|")[1] for line in other.splitlines() if line.startswith("|")
    ]
    assert "fraction in [0, 1] (published in percent)" in card
    assert "5 models, 2 tasks, 2 columns, 6 cells" in card


def test_contribute__read_by_the_script_that_builds_the_evidence__models_that_the_catalog_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmark" / "data")
    from build_studies import read_contributed

    rows = ROWS.replace('nets:own, ""wide""', "vit_tiny_patch16_224.augreg_in21k_ft_in1k")
    made(tmp_path, rows).write(tmp_path / "contributed")
    ((name, about, frame, left_out),) = read_contributed(tmp_path / "contributed", load_catalog())
    assert (name, about["licence"]) == ("our_study", "CC-BY-4.0")
    assert set(frame["task"]) == {"dtd"}  # of sun397 one model is left, which is no order
    assert dict(zip(frame["weights"], frame["value"], strict=True)) == {
        "timm:resnet50.a1_in1k": 0.705,
        "timm:resnet18.a1_in1k": 0.615,
        "timm:vit_tiny_patch16_224.augreg_in21k_ft_in1k": 0.55,
    }
    assert left_out == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "lab24"}, "hub 'lab24' is there already; give another --name"),
        ({"name": "vit13"}, "hub 'vit13' is there already"),
        ({"name": "all"}, "'all' is there already"),
        ({"name": "s1"}, "expected 3 to 61 small letters"),
        ({"name": "../evil"}, "is no name of a study"),
        ({"title": " "}, "--title is empty"),
        ({"paper": "a | b"}, "--paper is 'a | b'; expected one line"),
        ({"licence": "CC-BY-NC-4.0"}, "cannot travel"),
        ({"licence": "for non-commercial use"}, "cannot travel"),
    ],
)
def test_contribute__a_study_that_cannot_be__one_line(tmp_path: Path, changes: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        made(tmp_path, study=replace(STUDY, **changes))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("resnet50.a1_in1k,dtd,0.7\nresnet50.a1_in1k,dtd,0.6\n", "another value than before"),
        ("m:a,dtd,0.7\nm:b,dtd,0.6\n", "no column is left with 3 models and a known metric"),
        ("m:a,dtd,0.7\nm:b,dtd,0.7\nm:c,dtd,0.7\n", "no column is left"),
        ("m:a,pets,0.7\nm:b,pets,0.6\nm:c,pets,0.5\n", "nothing is known of 1 tasks, first 'pets'.*'oxford_pets'"),
    ],
)
def test_contribute__results_that_cannot_be__one_line(tmp_path: Path, rows: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        made(tmp_path, "model,task,value\n" + rows)


def test_contribute__new_task__with_its_facts(tmp_path: Path) -> None:
    facts = tmp_path / "tasks.csv"
    facts.write_text("task,title,n_classes\npets,Pets of our street,7\n")
    rows = "model,task,value\nm:a,pets,0.7\nm:b,pets,0.6\nm:c,pets,0.5\n"
    contribution = made(tmp_path, rows, tasks=read_task_facts(facts))
    about = json.loads(contribution.files["data/contributed/our_study.json"])
    assert about["tasks"]["pets"]["title"] == "Pets of our street"
    assert about["tasks"]["pets"]["n_classes"] == "7"
    assert about["tasks"]["pets"]["domain"] == ""
