"""A file of results is checked as a new study is: every kind of fault is found, and nothing odd is refused."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fennec.errors import InputError
from fennec.evidence.check import CheckedResults, check_results
from fennec.evidence.columns import chance_level
from fennec.evidence.studies import load_evidence

STUDY, TASKS = "transfergraph_hf", ("cifar100", "dtd", "oxford_pets", "stanford_cars")


@pytest.fixture(scope="module")
def known() -> pd.DataFrame:
    """Forty models of a real study on four tasks, with a point of noise: a study that agrees and repeats nothing."""
    evidence = load_evidence()
    frame = evidence[(evidence["study"] == STUDY) & evidence["task"].isin(TASKS)]
    wide = frame.astype({"weights": str, "task": str}).pivot(index="weights", columns="task", values="value").dropna()
    long = wide.iloc[::4][:40].stack().rename("value").reset_index().rename(columns={"weights": "model"})
    noise = np.random.default_rng(0).normal(0, 0.01, len(long))
    return long.assign(value=(long["value"] + noise).clip(0.02, 1).round(4))


def check(folder: Path, frame: pd.DataFrame, **options: object) -> CheckedResults:
    path = folder / "ours.csv"
    frame.to_csv(path, index=False)
    return check_results(path, **options)


def kinds(checked: CheckedResults, level: str) -> list[str]:
    return [finding.kind for finding in checked.findings if finding.level == level]


def text_of(checked: CheckedResults, level: str, kind: str) -> str:
    return " // ".join(found.text for found in checked.findings if (found.level, found.kind) == (level, kind))


def test_check__agrees_with_what_is_known__nothing_odd(tmp_path: Path, known: pd.DataFrame) -> None:
    checked = check(tmp_path, known)
    assert checked.is_usable
    assert kinds(checked, "odd") == []
    assert "median rank correlation" in text_of(checked, "note", "agreement")
    assert (checked.columns["order"] > 0.4).all()
    assert (checked.columns["n_common"] == 40).all()
    assert checked.studies.loc[checked.studies["study"] == STUDY, "same_tasks"].item() > 0.7
    json.dumps(checked.to_dict(), allow_nan=False)


def test_check__contradicts_all__reported_and_not_refused(tmp_path: Path, known: pd.DataFrame) -> None:
    checked = check(tmp_path, known.assign(value=1.02 - known["value"]))
    assert checked.is_usable
    assert text_of(checked, "odd", "agreement").startswith("contradicts")
    assert kinds(checked, "odd").count("order") == len(TASKS)
    assert "points from known results" in text_of(checked, "odd", "shift")


def test_check__same_results_again__repeat_named(tmp_path: Path, known: pd.DataFrame) -> None:
    evidence = load_evidence()
    again = evidence[evidence["study"] == STUDY].rename(columns={"weights": "model"})
    text = text_of(check(tmp_path, again[["model", "task", "value"]]), "odd", "repeat")
    assert f"repeats study '{STUDY}' (finetune): 100%" in text


def test_check__units__percent_read_and_mixed_refused(tmp_path: Path, known: pd.DataFrame) -> None:
    percent = known.assign(value=(100 * known["value"]).round(2))
    read = check(tmp_path, percent)
    assert "160 values read as percent" in text_of(read, "note", "unit")
    np.testing.assert_allclose(read.cells["value"], known["value"], atol=1e-4)
    np.testing.assert_allclose(check(tmp_path, percent.astype(str).assign(value=percent["value"].map("{} %".format)))
                               .cells["value"], known["value"], atol=1e-4)  # fmt: skip
    mixed = percent.assign(value=percent["value"].mask(percent["task"] == "dtd", known["value"]))
    found = check(tmp_path, mixed)
    assert not found.is_usable
    assert "as in task 'cifar100' against 'dtd'" in text_of(found, "wrong", "unit")
    assert found.columns is None
    one = next(finding for finding in found.findings if finding.kind == "unit")
    assert len(one.lines) == 40  # those of the rarer unit
    assert check(tmp_path, mixed, unit="percent").is_usable
    assert kinds(check(tmp_path, percent, unit="fraction"), "wrong") == ["value"]


@pytest.mark.parametrize(
    ("rows", "level", "kind", "message"),
    [
        ("resnet50,dtd,0.7\n", "wrong", "name", "'resnet50' means 19 sets of weights: timm:resnet50.a1_in1k, .*line 2"),
        ("nosuch9,dtd,0.7\nm:own,dtd,0.7\n", "odd", "name", "not known: 1 of 2 models, .*unknown model 'nosuch9'"),
        ("https://huggingface.co/a/b/tree/dev,dtd,0.7\n", "wrong", "name", "revision 'dev'.*line 2"),
        (
            "resnet50.a1_in1k,dtd,0.7\ntimm:resnet50.a1_in1k,dtd,0.7\n",
            "note",
            "name",
            "'resnet50.a1_in1k', 'timm:resnet50.a1_in1k' are the same weights",
        ),
        ("m:a,dtd,0.7\nm:a,dtd,0.7\n", "note", "duplicate", "line 3"),
        (
            "m:a,dtd,0.7\nm:a,dtd,0.6\n",
            "wrong",
            "duplicate",
            "line 3: another value .*line 2 on 'm:a'.*0.7 and 0.6",
        ),
        (
            "resnet50.a1_in1k,dtd,0.7\ntimm:resnet50.a1_in1k,dtd,0.6\n",
            "wrong",
            "duplicate",
            "first line 2 on 'timm:resnet50.a1_in1k'",
        ),
        ("m:a,dtd,\n", "wrong", "value", "no number on line 2, first nothing"),
        ("m:a,dtd,{LINES}\n", "wrong", "value", r"no number on line 2, first \{LINES\}"),
        ("m:a,dtd,1e999\nm:b,dtd,nan\n", "wrong", "value", "no number on lines 2, 3"),
        ("m:a,dtd,-0.5\n", "wrong", "value", "-0.5 is outside 0 to 1, on line 2"),
        ("m:a,dtd,101 %\n", "wrong", "value", "101 is outside 0 to 100, on line 2"),
        ("m:a,,0.5\n", "wrong", "name", "no task on line 2"),
        ("m:a,pets,0.5\n", "odd", "task", "task 'pets' is not known; did you mean .*'oxford_pets'"),
        ("m:a,dtd,0.5\n", "odd", "size", "1 model: nothing can be put in order"),
        ("m:a,dtd,0.01\n", "odd", "chance", "at or below chance, as of a run that failed, on line 2"),
        ("m:a,dtd,0.5\nm:b,dtd,0.5\nm:c,dtd,0.5\n", "odd", "constant", "all 3 models have 0.5 on task 'dtd'"),
        (
            "m:a,dtd,0.5\nm:b,dtd,0.6\nm:c,dtd,0.7\nm:a,sun397,0.5\nm:b,sun397,0.6\nm:c,sun397,0.7\n",
            "odd",
            "constant",
            "tasks 'dtd', 'sun397' have the same values for all models",
        ),
    ],
)
def test_check__a_fault__found_with_its_line(tmp_path: Path, rows: str, level: str, kind: str, message: str) -> None:
    path = tmp_path / "ours.csv"
    path.write_text("model,task,value\n" + rows)
    checked = check_results(path)
    assert pd.Series([text_of(checked, level, kind)]).str.contains(message).item(), checked.findings
    assert checked.is_usable == (level != "wrong")
    json.dumps(checked.to_dict(), allow_nan=False)


@pytest.mark.parametrize(
    ("column", "word", "level", "message"),
    [
        ("protocol", "fine-tune", "wrong", "no protocol 'fine-tune'; did you mean 'finetune'"),
        ("metric", "val_loss", "wrong", "less is better"),
        ("metric", "acc@1", "odd", "metric 'acc@1' is not known"),
        ("budget", "everything", "odd", "no word of the evidence"),
        ("budget", "none", "odd", "a trained model has the budget none on line 2"),
    ],
)
def test_check__a_word_that_is_none__found(tmp_path: Path, column: str, word: str, level: str, message: str) -> None:
    path = tmp_path / "ours.csv"
    path.write_text(f"model,task,value,{column}\nm:a,dtd,0.5,{word}\n")
    assert message in text_of(check_results(path), level, column)


def test_check__several_protocols_and_metrics__a_study_may_have_them(tmp_path: Path) -> None:
    path = tmp_path / "ours.csv"
    path.write_text("model,task,value,protocol,metric\nm:a,dtd,0.5,finetune,top1\nm:a,dtd,0.7,linear_probe,knn_top1\n")
    checked = check_results(path)
    assert checked.is_usable
    assert checked.cells["budget"].tolist() == ["full", "full"]
    assert checked.cells["head"].tolist() == ["", "linear"]


def test_check__fifty_thousand_lines__a_few_seconds_and_few_findings(tmp_path: Path) -> None:
    values = np.random.default_rng(0).random(50_000).round(4)
    models = [f"net{index % 500}" for index in range(50_000)]
    frame = pd.DataFrame({"model": models, "task": np.arange(50_000) // 500, "value": values})
    start = time.perf_counter()
    checked = check(tmp_path, frame)
    assert time.perf_counter() - start < 15
    assert len(checked.cells) == 50_000
    assert len(checked.findings) < 20


def test_check__no_such_unit_or_protocol__refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no unit 'per cent'; did you mean 'percent'"):
        check_results(tmp_path / "ours.csv", unit="per cent")
    with pytest.raises(InputError, match="no protocol 'tune'"):
        check_results(tmp_path / "ours.csv", protocol="tune")


def test_chance_level__by_metric() -> None:
    assert chance_level("balanced_accuracy", 4) == 0.25
    assert chance_level("c_index", float("nan")) == 0.5
    assert np.isnan(chance_level("mAP", 4))
    assert np.isnan(chance_level("top1", float("nan")))
