"""bench and evaluate: from cells to a space of one's own."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
from typer.testing import CliRunner

from fennec.cli.main import app
from fennec.errors import InputError
from tests.cli.conftest import Run
from tests.conftest import coloured


def test_evaluate__one_hub__table_and_file(run: Run, tmp_path: Path) -> None:
    code, out, _ = run(
        "evaluate",
        "--hub",
        "cnn11",
        "--method",
        "static",
        "--method",
        "oracle",
        "--csv",
        "--output",
        tmp_path / "r.csv",
    )
    assert code == 0
    assert out.splitlines()[0] == "hub,method,n_tasks,mean,low,high,win,tie,loss,gap_closure"
    assert set(pd.read_csv(tmp_path / "r.csv").columns) == {"hub", "task", "method", "measure", "value"}


def test_cli__bench_then_fit_then_recommend__ones_own_history(bench: dict[str, str], tmp_path: Path) -> None:
    third = coloured(tmp_path / "sky", {"dawn": (240, 180, 120), "night": (20, 20, 60)}, 20, seed=2)
    runner = CliRunner()
    tasks = [option for name, source in {**bench, "sky": third}.items() for option in ("--task", f"{name}={source}")]
    options = ["--protocol", "linear_probe", "--n-train", "40", "--engine", "serial", "--device", "cpu"]
    done = runner.invoke(app, ["bench", "own", "--models", "benchnets:small,benchnets:wide", *tasks, *options])
    assert done.exit_code == 0, done.output
    assert "6 cells: 6 measured now" in done.output
    again = runner.invoke(app, ["bench", "own", "--models", "benchnets:small", *tasks, *options, "-q"])
    assert again.output == "3 cells: 0 measured now, 3 there before, 0 held by another run, 0 failed\n"
    fitted = runner.invoke(app, ["fit", "space", "--results", "own", "--no-catalog"])
    assert fitted.exit_code == 0, fitted.output
    ranked = runner.invoke(app, ["recommend", bench["sea"], "--space", "space", "--json"])
    assert ranked.exit_code == 0, ranked.output
    found = json.loads(ranked.stdout)
    assert {model["model"] for model in found["models"]} == {"benchnets:small", "benchnets:wide"}
    assert found["nearest_tasks"][0]["task"] == "sea"
    wrong = runner.invoke(app, ["bench", "own", "--models", "a", "--task", "nothing", *options])
    assert isinstance(wrong.exception, InputError)
    assert "expects NAME=DATASET" in str(wrong.exception)


def test_bench__a_cell_that_failed__said_with_its_reason_now_and_when_run_again(run: Run, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.png").write_text("no picture")
    arguments = ("bench", tmp_path / "own", "--models", "timm:test_vit.r160_in1k", "--task", f"a={tmp_path}/photos")
    for cells in ("1 measured now, 0 there before", "0 measured now, 1 there before"):
        code, out, error = run(*arguments, "--engine", "serial", "--device", "cpu")
        assert code == 1
        assert f"1 cells: {cells}, 0 held by another run, 1 failed" in out
        assert "a model cannot be trained on" in error
        assert error.splitlines()[-1].startswith("fennec: 1 of 1 cells failed (")
