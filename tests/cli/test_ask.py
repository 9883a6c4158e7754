"""recommend, explain and score: results in every form, bad requests in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import timm
import torch
from PIL import Image

from fennec.evidence.hubs import load_matrix
from fennec.evidence.scores import load_scores
from tests.cli.conftest import Run, one_line


def test_recommend__digits__table_with_everything(run: Run) -> None:
    code, out, error = run("recommend", "sklearn:digits", "-n", 100, "--max-images", 30)
    assert code == 0
    for word in ("rank", "expected", "80 %", "top 5", "params", "train min", "license", "known of it",
                 "measured on", "relatives only", "nearest known tasks", "embedding", "ranking"):  # fmt: skip
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
    assert code == 2
    assert "take one of them" in one_line(error)


def test_recommend__json_csv_quiet__same_ids(run: Run) -> None:
    arguments = ("recommend", "sklearn:digits", "-n", 4, "--max-images", 20, "--hub", "vit13")
    document = json.loads(run(*arguments, "--json")[1])
    ids = [model["model"] for model in document["models"]]
    assert run(*arguments, "-q")[1].split() == ids
    csv = run(*arguments, "--csv")[1].splitlines()
    assert csv[0].startswith("rank,model,score,performance,low,high,behind,behind_low,behind_high,top5,method,known,")
    assert [line.split(",")[1] for line in csv[1:]] == ids
    assert document["n_images"] == 20
    assert {"task", "hub", "protocol", "n_candidates", "nearest_tasks", "notes", "seconds"} <= set(document)
    assert document["models"][0]["low"] < document["models"][0]["performance"] < document["models"][0]["high"]


def test_recommend__protocol_and_where__respected(run: Run) -> None:
    document = json.loads(
        run("recommend", "sklearn:digits", "--protocol", "zero_shot", "--where", "params < 200e6", "--json")[1]
    )
    assert (document["hub"], document["protocol"]) == ("all studies", "zero_shot")
    assert all(model["params"] < 200e6 for model in document["models"])


def test_recommend__whole_study_under_one_protocol__its_models(run: Run) -> None:
    arguments = ("recommend", "sklearn:digits", "--max-images", 20, "--study", "mieb_image")
    code, _, error = run(*arguments)
    assert code == 2
    assert "give --protocol, one of linear_probe, zero_shot, retrieval, clustering" in one_line(error)
    document = json.loads(run(*arguments, "--protocol", "linear_probe", "--measured-only", "--json")[1])
    assert document["hub"] == "mieb_image"
    assert {model["model"] for model in document["models"]} <= set(
        load_matrix("mieb_image", protocol="linear_probe").models
    )


def test_recommend__where_nothing_is_said__shipped_space_of_all_studies(run: Run) -> None:
    arguments = ("recommend", "sklearn:digits", "--max-images", 20, "-n", 3000, "--json")
    document = json.loads(run(*arguments)[1])
    assert (document["hub"], document["protocol"]) == ("all studies", "finetune")
    known = {model["model"]: model for model in document["models"]}
    assert len(known) == document["n_candidates"] > 1500
    scores = load_scores()
    for model in ("timm:convnext_base.fb_in1k", "timm:resnet50.a1_in1k"):
        own = scores[scores["weights"] == model]
        assert known[model]["n_tasks"] == own["image_set"].nunique()
        assert known[model]["n_studies"] == own["study"].nunique()
        assert known[model]["known"] == (
            f"measured on {known[model]['n_tasks']} tasks in {known[model]['n_studies']} studies"
        )
    never = {model for model, row in known.items() if row["method"] == "relatives"}
    assert never == set(known) - set(scores["weights"])
    measured = json.loads(run(*arguments, "--measured-only")[1])
    assert {model["model"] for model in measured["models"]} == set(known) - never


@pytest.mark.parametrize("old", ["--warm-only", "--measured-only"])
def test_recommend__models_of_one_study__only_with_its_results(run: Run, old: str) -> None:
    arguments = ("recommend", "sklearn:digits", "--max-images", 20, "--hub", "vit13", "-n", 3000, "--json", old)
    document = json.loads(run(*arguments)[1])
    assert {model["model"] for model in document["models"]} == set(load_matrix("vit13").models)
    assert {model["known"] for model in document["models"]} == {"measured on 11 tasks in 1 study"}


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
            "--measured-only",
            "--known",
            tmp_path / "tried.csv",
            "--json",
        )[1]
    )
    methods = {model["model"]: model["method"] for model in document["models"]}
    assert methods[models[0]] == methods[models[1]] == "measured"
    assert list(methods.values()).count("evidence") == 11


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


def test_recommend__bad_known_results__line_and_reason(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "tried.csv"
    path.write_text("model,value\nresnet50,nan\n")
    assert "line 2: value is 'nan'" in one_line(run("recommend", "sklearn:digits", "--known", path)[2])
    path.write_text("model,value\nother:imgclsmob/resnet_18,0.5\n")
    assert "is none of the" in one_line(run("recommend", "sklearn:digits", "--known", path)[2])


def test_explain__model__parts(run: Run) -> None:
    code, out, _ = run("explain", "sklearn:digits", "facebook/convnext-base-224", "--max-images", 20)
    assert code == 0
    assert "general quality (measured on " in out
    assert "\nto fine-tune: AdamW, learning rate 5e-5" in out
    document = json.loads(
        run("explain", "sklearn:digits", "facebook/convnext-base-224", "--max-images", 20, "--json")[1]
    )
    assert document["contributions"][0]["task"]
    assert document["recipe"].endswith("[facebookresearch/ConvNeXt TRAINING.md (ImageNet-1K Fine-tuning) and main.py]")


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
    assert (code, error) == (0, "pets: 6 pictures, 2 classes (cat 3, dog 3)\n")
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
    assert run("fit", tmp_path / "space", "--results", tmp_path / "r.csv", "--no-catalog")[0] == 0
    arguments = ("recommend", image_folder, "--space", tmp_path / "space", "--metric", "ncc", *options)
    document = json.loads(run(*arguments, "--rerank", 3, "--json")[1])
    methods = {model["model"]: model["method"] for model in document["models"]}
    assert methods == {**dict.fromkeys(names.split(","), "evidence+scored"), "ours": "evidence"}
    words = {model["model"]: model["known"] for model in document["models"]}
    assert words["ours"] == "measured on 2 tasks in 1 study"
    assert words[names.split(",")[0]] == "measured on 2 tasks in 1 study, scored"
    assert any("2 of the 3 best were scored by forward passes (ncc)" in note for note in document["notes"])
    assert any("ours: " in note for note in document["notes"])
    code, _, error = run(*arguments, "--rerank", 1)
    assert code == 2
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
    assert (code, out) == (1 if message == "cannot download" else 2, "")
    assert message in one_line(error)
