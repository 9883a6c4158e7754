"""embed and fit: files and spaces of one's own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from tests.cli.conftest import Run, one_line


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
        "fit",
        tmp_path / "s",
        "--results",
        tmp_path / "ours.csv",
        "--images",
        f"pets={image_folder}",
        "--no-catalog",
        "--json",
    )
    assert code == 0
    said = error.splitlines()
    assert "none of its 2 models is known" in said[0]
    assert said[1:] == ["pets: 6 pictures, 2 classes (cat 3, dog 3)"]
    made = json.loads(out)
    assert made.pop("data")["pets"]["class_counts"] == {"cat": 3, "dog": 3}
    assert made.pop("n_tasks") > 50  # those of all studies, and pets
    assert made.pop("unknown_models") == ["mine", "yours"]
    study = "all studies and own results: ours"
    assert made == {"folder": str(tmp_path / "s"), "study": study, "protocol": "finetune", "n_models": 2}
    code, out, _ = run("recommend", image_folder, "--space", tmp_path / "s", "--json")
    document = json.loads(out)
    assert [model["model"] for model in document["models"]] == ["yours", "mine"]
    assert document["nearest_tasks"][0]["task"] == "pets"
    assert "has no results" in run("fit", tmp_path / "s", "--results", tmp_path / "ours.csv", "--images", "x=y")[2]


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
