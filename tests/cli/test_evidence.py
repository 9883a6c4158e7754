"""`fennec evidence ...`: results on stdout, one line where something is wrong, exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run, one_line

GOOD = "model,task,value\nresnet50.a1_in1k,dtd,0.7\nresnet18.a1_in1k,dtd,0.6\nnets:own,dtd,0.5\n"
SAID = ("--title", "networks on textures", "--paper", "A. Person, 2026", "--licence", "CC-BY-4.0")


@pytest.fixture
def ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "Our Results.csv"
    path.write_text(GOOD)
    return path


def test_export__folder_named_and_written(run: Run, tmp_path: Path) -> None:
    code, out, error = run("evidence", "export", tmp_path / "all", "--json")
    assert (code, error) == (0, "")
    made = json.loads(out)
    assert made == {"folder": str(tmp_path / "all"), "files": ["README.md", "croissant.json", "evidence.parquet"]}
    assert sorted(path.name for path in (tmp_path / "all").iterdir()) == made["files"]


def test_html__file_named_and_written(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fennec.reports.leaderboard.leaderboard_html", lambda command: f"<p>{command}")
    code, out, _ = run("evidence", "html", tmp_path / "all.html")
    assert (code, out) == (0, f"{tmp_path / 'all.html'}\n")
    assert (tmp_path / "all.html").read_text().startswith("<p>fennec evidence html")


def test_check__good_and_wrong__tables_json_and_codes(run: Run, ours: Path) -> None:
    code, out, error = run("evidence", "check", ours)
    assert (code, error) == (0, "")
    assert f"{ours}: cells 3, models 3 (known weights 2), tasks 1, columns 1; finetune" in out
    assert out.endswith("nothing is wrong\n")
    ours.write_text(GOOD + "resnet50,dtd,0.4\n[/red]\x1b[2J,dtd,50\n")
    code, out, error = run("evidence", "check", ours)
    assert (code, error) == (1, "")
    assert "wrong  name       'resnet50' means 19 sets of weights: timm:resnet50.a1_in1k, " in out
    assert "\x1b" not in out
    assert out.endswith("mend what is wrong first\n")
    code, out, _ = run("evidence", "check", ours, "--json")
    assert code == 1
    found = json.loads(out)
    assert found["usable"] is False
    assert {(finding["level"], finding["kind"]) for finding in found["findings"]} >= {
        ("wrong", "name"),
        ("wrong", "unit"),
    }


def test_add__name_of_the_file__patch_and_files(run: Run, ours: Path) -> None:
    code, out, error = run("evidence", "add", ours, *SAID, "--json")
    assert code == 0
    made = json.loads(out)
    assert (made["study"], made["n_cells"], made["patch"]) == ("our_results", 3, "our_results/our_results.patch")
    assert Path(made["patch"]).read_text().count("diff --git") == 3
    assert "models that the catalog lacks: 1" in error
    assert "models that the catalog lacks" in run("evidence", "add", ours, *SAID, "-q", "-o", "elsewhere")[2]
    assert Path("elsewhere/our_results.patch").exists()


def test_add__again__replaced_and_said_unless_somebody_changed_it(run: Run, ours: Path) -> None:
    assert run("evidence", "add", ours, *SAID)[0] == 0
    ours.write_text(GOOD.replace("0.7", "0.8"))
    code, _, error = run("evidence", "add", ours, *SAID)
    assert code == 0
    assert "replaced what was made of 'our_results'" in error
    assert "0.8" in Path("our_results/our_results.csv").read_text()
    card = Path("our_results/our_results.md")
    card.write_text(card.read_text() + "by hand\n")
    code, _, error = run("evidence", "add", ours, *SAID)
    assert code == 1
    assert "changed by hand" in one_line(error.splitlines()[-1])
    assert card.read_text().endswith("by hand\n")
    (ours.parent / "photos").mkdir()
    (ours.parent / "photos" / "cat.png").write_text("")
    code, _, error = run("evidence", "add", ours, *SAID, "-o", "photos")
    assert code == 1
    assert "'photos' holds 'cat.png'" in error
    assert [path.name for path in (ours.parent / "photos").iterdir()] == ["cat.png"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("check", "nowhere.csv"), 2, "no file nowhere.csv; expected a CSV with the columns model, task, value"),
        (("check", "."), 1, "is no regular file"),
        (("check", "Our Results.csv", "--unit", "percents"), 2, "did you mean 'percent'"),
        (("add", "Our Results.csv", *SAID[:4], "--licence", "CC-BY-NC-4.0"), 2, "cannot travel"),
        (("add", "Our Results.csv", *SAID, "--tasks", "nowhere.csv"), 2, "no file nowhere.csv"),
        (("export", "Our Results.csv"), 1, "is a file"),
        (("html", "nowhere/all.html"), 2, "no folder 'nowhere'"),
    ],
)
def test_evidence__bad_input__one_line(
    run: Run, ours: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    seen, out, error = run("evidence", *arguments)
    assert (seen, out) == (code, "")
    assert message in one_line(error)
    assert [path.name for path in Path().iterdir()] == ["Our Results.csv"]  # nothing half-written
