"""What all commands share: results on stdout, one line on stderr, exit codes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.core import TyperCommand as Command
from typer.main import get_command

from fennec.cli import main as cli
from tests.cli.conftest import Run, one_line


def commands() -> dict[str, Command]:
    """Every command by what is typed, those of groups as `evidence export`."""
    found: dict[str, Command] = {}
    for name, command in get_command(cli.app).commands.items():
        inner = getattr(command, "commands", None)
        found |= {name: command} if inner is None else {f"{name} {part}": one for part, one in inner.items()}
    return found


@pytest.mark.parametrize("name", sorted(commands()))
def test_commands__for_programs__json_everywhere_and_quiet_where_there_is_work(name: str) -> None:
    options = {option for parameter in commands()[name].params for option in parameter.opts}
    if name != "ui":  # which is for people
        assert "--json" in options
    if name not in ("ui", "add-model", "push", "pull"):  # whose output is one line anyway
        assert "--quiet" in options
    assert f"fennec {name} " in (commands()[name].epilog or "")


def test_completion__bash__offers_the_command() -> None:
    words = {"_FENNEC_COMPLETE": "complete_bash", "COMP_WORDS": "fennec rec", "COMP_CWORD": "1"}
    script = Path(sys.executable).with_name("fennec")
    done = subprocess.run([script], env={**os.environ, **words}, capture_output=True, text=True)
    assert done.stdout.split() == ["recommend"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("recommend", "nowhere"), 2, "no dataset at 'nowhere'"),
        (("recommend", ""), 2, "empty string"),
        (("recommend", "sklearn:digits", "--hub", "hf18"), 2, "did you mean 'hf180'"),
        (("recommend", "sklearn:digits", "--protocol", "tune"), 2, "did you mean 'finetune'"),
        (("recommend", "sklearn:digits", "--proxy", "fenec"), 2, "unknown proxy"),
        (("recommend", "sklearn:digits", "--where", "size < 3"), 2, "unknown column 'size'"),
        (("recommend", "sklearn:digits", "--where", "params < 3"), 3, "loosen the condition"),
        (("recommend", "sklearn:digits", "--space", "nowhere"), 2, "no recommender in 'nowhere'"),
        (("recommend", "sklearn:digits", "--known", "nowhere.csv"), 2, "no file nowhere.csv"),
        (("explain", "sklearn:digits", "timm:resnet5O"), 2, "did you mean"),
        (("models", "--where", "params < 3"), 3, "loosen"),
        (("tasks", "--hub", "hf18"), 2, "did you mean 'hf180'"),
        (("embed",), 2, "either a dataset or --known"),
        (("fit", "x", "--results", "nowhere.csv"), 2, "no file nowhere.csv"),
        (("evaluate", "--hub", "cnn11", "--method", "fenec"), 2, "did you mean 'fennec'"),
    ],
)
def test_command__bad_input__one_line_and_code(run: Run, arguments: tuple, code: int, message: str) -> None:
    seen, out, error = run(*arguments)
    assert seen == code
    assert out == ""
    assert message in one_line(error)


@pytest.mark.parametrize(
    "arguments",
    [("recommend",), ("recommend", "x", "-n", "0"), ("recommend", "x", "--nonsense"), ("nonsense",)],
)
def test_command__wrong_usage__code_2(run: Run, arguments: tuple) -> None:
    code, out, error = run(*arguments)
    assert code == 2
    assert "Usage: fennec" in one_line(error)
    assert out == ""


def test_version_and_help__no_heavy_import() -> None:
    probe = (
        "import sys, typer.testing; from fennec.cli.main import app;"
        "result = typer.testing.CliRunner().invoke(app, ['--help']);"
        "assert result.exit_code == 0, result.output;"
        "heavy = {'torch', 'timm', 'open_clip', 'faiss', 'sklearn', 'pandas', 'scipy'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", probe], check=True)


def test_unexpected_error__one_line_traceback_on_request(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("boom")

    monkeypatch.setattr("fennec.evidence.hubs.load_hubs", broken)
    code, _, error = run("hubs")
    assert code == 1
    line = one_line(error)
    assert "unexpected ZeroDivisionError: boom; this is a fault of Fennec, please report it" in line
    traceback = Path(line.rpartition("the traceback in ")[2]).read_text(encoding="utf-8")
    assert traceback.startswith("Traceback")
    assert "load_hubs" in traceback
    monkeypatch.setenv("FENNEC_DEBUG", "1")
    with pytest.raises(Exception, match="boom"):
        run("hubs")


def test_foreign_code__ends_the_process__status_is_ours(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def leaving(*_: object, **__: object) -> None:
        sys.exit(0)

    monkeypatch.setattr("fennec.evidence.hubs.load_hubs", leaving)
    code, _, error = run("hubs")
    assert code == 1
    assert "foreign code asked to end the process with status 0" in one_line(error)


def test_names__markup_formulas_and_odd_bytes__shown_as_they_are(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = pd.DataFrame({"id": ["[/x]", "=1+1", "[bold]", ":smile:", "\x1b[2J"], "value": [-0.5, 1, 2, 3, 4]})
    monkeypatch.setattr("fennec.evidence.studies.describe_studies", lambda: frame)
    code, table, _ = run("studies")
    assert code == 0
    assert all(name in table for name in ("[/x]", "=1+1", "[bold]", ":smile:", "\\x1b[2J"))
    code, text, _ = run("studies", "--csv")
    assert code == 0
    assert text.splitlines()[1:3] == ["[/x],-0.5", "'=1+1,1.0"]
    assert run("studies", "--json")[0] == 0


@pytest.mark.parametrize("option", ["--html", "--where", "--space", "--known", "--split", "--weights", "--protocol"])
def test_option__empty_string__refused(run: Run, option: str) -> None:
    code, _, error = run("recommend", "photos", option, "")
    assert code == 2
    assert f"{option} is an empty string" in one_line(error)


def test_recommend__bundled_proxy__starts_without_the_heavy_libraries(tmp_path: Path) -> None:
    """What `import timm` takes is more than a recommendation takes, so none of it may come in by the way."""
    code = "import sys; sys.argv = ['fennec', 'recommend', 'photos']; from fennec.cli.main import main; main()"
    heavy = "torch", "timm", "torchvision", "open_clip", "plotly", "matplotlib", "transformers"
    (tmp_path / "photos").mkdir()
    for index in range(3):
        noise = np.random.default_rng(index).integers(0, 255, (40, 50, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / "photos" / f"{index}.png")
    code += f"; found = {{*{heavy}}} & sys.modules.keys(); sys.exit(str(found) if found else 0)"
    environment = {name: value for name, value in os.environ.items() if name != "FENNEC_DEVICE"}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "models (all studies)" in done.stdout
