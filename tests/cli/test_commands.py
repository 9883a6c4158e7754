"""The command as a person meets it: results on stdout, one line on stderr, exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import timm
import torch
from PIL import Image
from typer.main import get_command

from fennec.architectures.vectors import load_known_vectors
from fennec.checkpoints.catalog import load_catalog
from fennec.cli import main as cli
from fennec.evidence.hubs import load_hubs, load_matrix

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs the command in this process: exit code, stdout, stderr."""

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["fennec", *map(str, arguments)])
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capfd.readouterr()
        return code, captured.out, captured.err

    return call


def one_line(error: str) -> str:
    *taken, last = error.strip().splitlines()
    assert all(" pictures, " in line for line in taken), error  # what was taken is said before all else
    assert len(taken) <= 1, error
    assert last.startswith("fennec: ")
    return last


def test_recommend__digits__table_with_everything(run: Run) -> None:
    code, out, error = run("recommend", "sklearn:digits", "-n", 3, "--max-images", 30)
    assert code == 0
    for word in ("rank", "expected", "80 %", "top 5", "params", "GMACs", "license", "method", "cold",
                 "nearest known tasks", "embedding", "ranking"):  # fmt: skip
        assert word in out
    assert error == "sklearn:digits: 1,797 pictures, 10 classes (3 183, 1 182, 5 182, ...)\n"


def test_recommend__portfolio__said_and_not_mixed_with_reranking(run: Run) -> None:
    code, out, _ = run("recommend", "sklearn:digits", "-n", 3, "--max-images", 30, "--portfolio", "--json")
    document = json.loads(out)
    assert code == 0
    assert len(document["models"]) == 3
    assert any("tried together" in note for note in document["notes"])
    assert 0 <= document["resemblance"] <= 1
    code, _, error = run("recommend", "sklearn:digits", "--portfolio", "--rerank", 3)
    assert code == 1
    assert "take one of them" in one_line(error)


@pytest.mark.parametrize("name", sorted(get_command(cli.app).commands))
def test_commands__for_programs__json_everywhere_and_quiet_where_there_is_work(name: str) -> None:
    options = {option for parameter in get_command(cli.app).commands[name].params for option in parameter.opts}
    if name != "ui":  # which is for people
        assert "--json" in options
    if name not in ("ui", "add-model", "push", "pull"):  # whose output is one line anyway
        assert "--quiet" in options


def test_completion__bash__offers_the_command() -> None:
    words = {"_FENNEC_COMPLETE": "complete_bash", "COMP_WORDS": "fennec rec", "COMP_CWORD": "1"}
    script = Path(sys.executable).with_name("fennec")
    done = subprocess.run([script], env={**os.environ, **words}, capture_output=True, text=True)
    assert done.stdout.split() == ["recommend"]


def test_recommend__json_csv_quiet__same_ids(run: Run) -> None:
    arguments = ("recommend", "sklearn:digits", "-n", 4, "--max-images", 20, "--hub", "vit13")
    document = json.loads(run(*arguments, "--json")[1])
    ids = [model["model"] for model in document["models"]]
    assert run(*arguments, "-q")[1].split() == ids
    csv = run(*arguments, "--csv")[1].splitlines()
    assert csv[0].startswith("rank,model,score,performance,low,high,top5,method,params")
    assert [line.split(",")[1] for line in csv[1:]] == ids
    assert document["n_images"] == 20
    assert {"task", "hub", "protocol", "n_candidates", "nearest_tasks", "notes", "seconds"} <= set(document)
    assert document["models"][0]["low"] < document["models"][0]["performance"] < document["models"][0]["high"]


def test_recommend__protocol_and_where__respected(run: Run) -> None:
    document = json.loads(
        run("recommend", "sklearn:digits", "--protocol", "zero_shot", "--where", "params < 200e6", "--json")[1]
    )
    assert document["hub"] == "clip121"
    assert all(model["params"] < 200e6 for model in document["models"])


def test_recommend__known_results__folded_in(run: Run, tmp_path: Path) -> None:
    models = load_matrix("vit13").models
    (tmp_path / "tried.csv").write_text(f"model,value\n{models[0]},0.99\n{models[1].split(':')[1]},0.2\n")
    document = json.loads(
        run(
            "recommend",
            "sklearn:digits",
            "--hub",
            "vit13",
            "-n",
            13,
            "--warm-only",
            "--known",
            tmp_path / "tried.csv",
            "--json",
        )[1]
    )
    methods = {model["model"]: model["method"] for model in document["models"]}
    assert methods[models[0]] == methods[models[1]] == "measured"
    assert list(methods.values()).count("warm") == 11


def test_recommend__skipped_images__counted_and_listed(run: Run, image_folder: Path) -> None:
    (image_folder / "cat" / "0.png").write_bytes(b"broken")
    code, out, error = run("recommend", image_folder, "-n", 1)
    assert code == 0
    assert "1 images could not be read" in out
    assert "skipped cat/0.png: not an image" in error


@pytest.mark.parametrize(("count", "size"), [(1, (1, 1)), (1, (20_000, 40)), (2, (5, 5))])
def test_recommend__tiny_or_odd_datasets__ranked(run: Run, tmp_path: Path, count: int, size: tuple[int, int]) -> None:
    folder = tmp_path / "set" / "only class"
    folder.mkdir(parents=True)
    for index in range(count):
        Image.new("CMYK", size, (index, 20, 30, 0)).save(folder / f"{index}.tif")
    assert run("recommend", tmp_path / "set", "-n", 1, "-q")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("recommend", "nowhere"), 1, "no dataset at 'nowhere'"),
        (("recommend", ""), 1, "empty string"),
        (("recommend", "sklearn:digits", "--hub", "hf18"), 1, "did you mean 'hf180'"),
        (("recommend", "sklearn:digits", "--protocol", "tune"), 1, "unknown protocol"),
        (("recommend", "sklearn:digits", "--proxy", "fenec"), 1, "unknown proxy"),
        (("recommend", "sklearn:digits", "--where", "size < 3"), 1, "unknown column 'size'"),
        (("recommend", "sklearn:digits", "--where", "params < 3"), 3, "loosen the condition"),
        (("recommend", "sklearn:digits", "--space", "nowhere"), 1, "no recommender in 'nowhere'"),
        (("recommend", "sklearn:digits", "--known", "nowhere.csv"), 1, "no file nowhere.csv"),
        (("explain", "sklearn:digits", "timm:resnet5O"), 1, "did you mean"),
        (("models", "--where", "params < 3"), 3, "loosen"),
        (("tasks", "--hub", "hf18"), 1, "did you mean 'hf180'"),
        (("embed",), 1, "either a dataset or --known"),
        (("fit", "x", "--results", "nowhere.csv"), 1, "no file nowhere.csv"),
        (("evaluate", "--hub", "cnn11", "--method", "fenec"), 1, "did you mean 'fennec'"),
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
    assert "Usage" in error
    assert out == ""


def test_recommend__bad_known_results__line_and_reason(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "tried.csv"
    path.write_text("model,value\nresnet50,nan\n")
    assert "line 2: value is 'nan'" in one_line(run("recommend", "sklearn:digits", "--known", path)[2])
    path.write_text("model,value\nhf:apple/aimv2-1B-patch14-224,0.5\n")
    assert "has no place in 'hf180'" in one_line(run("recommend", "sklearn:digits", "--known", path)[2])


def test_fit__hub_then_recommend_from_the_space__same_as_from_the_hub(run: Run, tmp_path: Path) -> None:
    assert run("fit", tmp_path / "space", "--hub", "vit13")[0] == 0
    from_space = run("recommend", "sklearn:digits", "--max-images", 20, "--space", tmp_path / "space", "-q")
    assert from_space == run("recommend", "sklearn:digits", "--max-images", 20, "--hub", "vit13", "-q")
    (tmp_path / "space" / "tensors.safetensors").write_bytes(b"cut")
    code, _, error = run("recommend", "sklearn:digits", "--space", tmp_path / "space")
    assert code == 1
    assert "damaged" in one_line(error)


def test_fit__own_results_and_images__recommends_own_models(run: Run, tmp_path: Path, image_folder: Path) -> None:
    rows = [
        (model, task, 0.5 + 0.1 * index)
        for index, model in enumerate(("mine", "yours"))
        for task in ("pets", "cifar10", "svhn")
    ]
    pd.DataFrame(rows, columns=["model", "task", "value"]).to_csv(tmp_path / "ours.csv", index=False)
    code, out, error = run(
        "fit", tmp_path / "s", "--results", tmp_path / "ours.csv", "--images", f"pets={image_folder}", "--json"
    )
    assert (code, error) == (0, "pets: 6 pictures, 2 classes (cat 3, dog 3)\n")
    facts = {"hub": "ours", "n_models": 2, "n_tasks": 3, "n_cold": 0}
    assert json.loads(out) == {"folder": str(tmp_path / "s"), **facts}
    code, out, _ = run("recommend", image_folder, "--space", tmp_path / "s", "--json")
    document = json.loads(out)
    assert [model["model"] for model in document["models"]] == ["yours", "mine"]
    assert document["nearest_tasks"][0]["task"] == "pets"
    assert "has no results" in run("fit", tmp_path / "s", "--results", tmp_path / "ours.csv", "--images", "x=y")[2]


def test_explain__model__parts(run: Run) -> None:
    code, out, _ = run("explain", "sklearn:digits", "facebook/convnext-base-224", "--max-images", 20)
    assert code == 0
    assert "static history" in out
    document = json.loads(
        run("explain", "sklearn:digits", "facebook/convnext-base-224", "--max-images", 20, "--json")[1]
    )
    assert document["contributions"][0]["task"]


def test_lists__models_tasks_hubs__every_form(run: Run) -> None:
    assert run("models", "--hub", "cnn11", "-q")[1].split() == sorted(load_matrix("cnn11").models)
    assert len(json.loads(run("models", "--where", "family == 'levit'", "--json")[1])) > 4
    assert run("tasks", "--hub", "cnn11", "--csv")[1].splitlines()[0].startswith("task,title,n_classes")
    assert run("hubs", "-q")[1].split() == list(load_hubs())
    assert "fine-tuning" in run("hubs")[1]


def test_embed__dataset__file(run: Run, tmp_path: Path) -> None:
    code, out, _ = run("embed", "sklearn:digits", "--max-images", 10, "-o", tmp_path / "digits.safetensors")
    assert code == 0
    assert Path(out.strip()).stat().st_size > 1000
    document = json.loads(run("embed", "sklearn:digits", "--max-images", 10, "-o", tmp_path / "again", "--json")[1])
    assert document["n_images"] == {"sklearn:digits": 10}
    assert document["proxy"] == "fennec-mini"


def test_embed__known_tasks_then_recommend__with_that_proxy(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("Forest", "River"):
        folder = tmp_path / "eurosat" / "2750" / name
        folder.mkdir(parents=True)
        Image.new("RGB", (8, 8), "green").save(folder / "1.jpg")
    code, out, error = run("embed", "--known", "--root", tmp_path)
    assert code == 0
    assert "eurosat: 2 images" in error
    assert "mnist: left out" in error
    assert Path(out.strip()).parent.parent == Path(os.environ["FENNEC_CACHE_DIR"])
    assert run("embed", "--known", "--root", tmp_path, "-q") == (0, out, "")


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
    assert "unexpected ZeroDivisionError: boom; FENNEC_DEBUG=1" in one_line(error)
    monkeypatch.setenv("FENNEC_DEBUG", "1")
    with pytest.raises(Exception, match="boom"):
        run("hubs")


@pytest.fixture
def two_models(tmp_path: Path) -> tuple[str, list[str]]:
    """Two of timm's miniature models with random weights in files: ids and options."""
    names, options = [], []
    for architecture in ("test_resnet", "test_vit"):
        file = tmp_path / f"{architecture}.pth"
        torch.save(timm.create_model(architecture).state_dict(), file)
        names.append(f"timm:{architecture}.r160_in1k")
        options += ["--weights", f"{names[-1]}={file}"]
    return ",".join(names), options


def test_score__two_models__every_form(run: Run, two_models: tuple[str, list[str]], image_folder: Path) -> None:
    names, options = two_models
    arguments = ("score", image_folder, "--models", names, "--metric", "ncc,ped(logme)", "--device", "cpu", *options)
    code, out, error = run(*arguments)
    assert (code, error) == (0, "")
    for word in ("score", "ncc", "ped(logme)", "scored", "params", "forward passes"):
        assert word in out
    assert "expected" not in out
    document = json.loads(run(*arguments, "--json")[1])
    ids = [model["model"] for model in document["models"]]
    assert sorted(ids) == sorted(names.split(","))
    assert document["models"][0]["performance"] is None
    assert run(*arguments, "-q", "-n", 1)[1].split() == ids[:1]


def test_recommend__rerank__best_scored_and_merged(
    run: Run, two_models: tuple[str, list[str]], image_folder: Path, tmp_path: Path
) -> None:
    names, options = two_models
    rows = [f"{model},{task},0.{5 + i}" for i, model in enumerate([*names.split(","), "ours"]) for task in "ab"]
    (tmp_path / "r.csv").write_text("model,task,value\n" + "\n".join(rows) + "\n")
    assert run("fit", tmp_path / "space", "--results", tmp_path / "r.csv")[0] == 0
    arguments = ("recommend", image_folder, "--space", tmp_path / "space", "--metric", "ncc", *options)
    document = json.loads(run(*arguments, "--rerank", 3, "--json")[1])
    methods = {model["model"]: model["method"] for model in document["models"]}
    assert methods == {**dict.fromkeys(names.split(","), "warm+scored"), "ours": "warm"}
    assert any("2 of the 3 best were scored by forward passes (ncc)" in note for note in document["notes"])
    assert any("ours: " in note for note in document["notes"])
    code, _, error = run(*arguments, "--rerank", 1)
    assert code == 1
    assert "'ours' cannot be run here" in one_line(error) or "unknown model 'ours'" in one_line(error)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--models", "timm:test_resnet.r160_in1k", "--metric", "logm"), "unknown metric 'logm'; did you mean 'logme'"),
        (("--models", ","), "at least one model"),
        (("--models", "timm:test_resnet.r160_in1k", "--weights", "x"), "--weights expects MODEL=FILE, got 'x'"),
        (("--models", "timm:test_resnet.r160_in1k", "--weights", "timm:test_resnet.r160_in1k=no"), "no weights of"),
        (("--models", "timm:test_resnet.r160_in1k", "--device", "cuda:8"), "device 'cuda:8' cannot be used here"),
        (("--models", "timm:test_resnet.r160_in1k"), "cannot download"),
    ],
)
def test_score__unusable_request__one_line(run: Run, image_folder: Path, arguments: tuple, message: str) -> None:
    code, out, error = run("score", image_folder, *arguments)
    assert (code, out) == (1, "")
    assert message in one_line(error)


INTERRUPTED = """
import os, signal
from fennec.cli import main as cli
from fennec.tasks import proxy
signal.signal(signal.SIGINT, signal.default_int_handler)  # a test run in the background inherits that it is ignored
load, seen = proxy.Proxy.load, []
def loaded(*arguments, **options):
    found = load(*arguments, **options)
    transform = found.transform
    def interrupted(image):
        seen.append(image)
        if len(seen) == 100:
            os.kill(os.getpid(), signal.SIGINT)  # what Ctrl-C does, in the middle of the pictures
        return transform(image)
    found.transform = interrupted
    return found
proxy.Proxy.load = loaded
cli.main()
"""


def test_interrupt__in_the_middle_of_a_fit__code_130_and_nothing_written(tmp_path: Path) -> None:
    pictures = tmp_path / "many"
    pictures.mkdir()
    for index in range(150):
        Image.effect_noise((32, 32), 50).save(pictures / f"{index}.png")
    (tmp_path / "r.csv").write_text("model,task,value\na,t,0.5\nb,t,0.6\na,u,0.5\n")
    arguments = ["fit", tmp_path / "space", "--results", tmp_path / "r.csv", "--images", f"t={pictures}"]
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 130, done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "space").exists()


def test_similar__known_and_unknown_names__list_or_one_line(run: Run) -> None:
    code, out, _ = run("similar", "timm:resnet50", "-n", 3, "--json")
    found = json.loads(out)
    assert code == 0
    assert len(found) == 3
    assert all(-1 <= row["similarity"] <= 1 for row in found)
    assert run("similar", "timm:resnet50.a1_in1k", "-n", 3, "--json")[1] == out
    code, out, error = run("similar", "timm:resnet5000")
    assert code == 1
    assert out == ""
    assert "did you mean" in one_line(error)
    code, _, error = run("similar", "hf:Ahmed9275/ALL-2")
    assert code == 1
    assert "its network is not known" in one_line(error)


def test_add_model__then_recommend__placed_as_cold(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FENNEC_HOME", str(tmp_path))
    code, out, _ = run("add-model", "timm:test_vit.mine", "--pretraining-data", "imagenet-1k")
    try:
        assert (code, out.strip()) == (0, "timm:test_vit.mine")
        assert json.loads(run("add-model", "timm:test_vit2.other", "--json")[1]) == {"id": "timm:test_vit2.other"}
        arguments = ("recommend", "sklearn:digits", "--max-images", 20, "-n", 3000, "--json")
        document = json.loads(run(*arguments, "--where", "tag == 'mine'")[1])
        assert [(model["model"], model["method"]) for model in document["models"]] == [("timm:test_vit.mine", "cold")]
        warm = json.loads(run(*arguments, "--warm-only")[1])
        assert {model["method"] for model in warm["models"]} == {"warm"}
        everything = json.loads(run(*arguments)[1])
        assert len(everything["models"]) == everything["n_candidates"] > 2000
    finally:
        load_catalog.cache_clear()
        load_known_vectors.cache_clear()
    code, _, error = run("add-model", "nothing_like_this")
    assert code == 1
    assert "expected timm:NAME" in one_line(error)
