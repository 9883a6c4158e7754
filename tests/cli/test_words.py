"""recommend --about: a task in words, alone and beside images; bad requests in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run, one_line

ABOUT = ("recommend", "--about", "aerial photographs of crops")


def test_recommend__words_alone__table_json_and_page_say_so(run: Run, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    arguments = (*ABOUT, "--classes", "wheat,maize,barley", "--n-images", 3000, "-n", 3)
    code, out, error = run(*arguments, "--html", page)
    assert code == 0
    assert error == f"wrote {page}\n"
    assert "aerial photographs of crops: best 3 of" in out
    assert "words: nearest tasks" in out
    assert "on 3,000 images" in out
    text = page.read_text(encoding="utf-8")
    assert "<q>aerial photographs of crops</q>" in text
    assert "task by its words" in text
    assert "What the proxy saw" not in text
    document = json.loads(run(*arguments, "--json")[1])
    assert document["about"] == "aerial photographs of crops"
    assert document["nearest_in_words"][0]["task"] == "brazilian_coffee_scenes"
    assert document["data"] is None
    assert document["n_images"] is None
    assert document["n_to_train"] == 3000
    assert set(document["seconds"]) == {"space", "words", "ranking"}


def test_recommend__words_beside_images__both_are_said(run: Run) -> None:
    document = json.loads(run("recommend", "sklearn:digits", "--max-images", 20, "--about", "digits", "--json")[1])
    assert document["nearest_tasks"]
    assert document["nearest_in_words"]
    assert document["n_images"] == 20
    assert document["data"]["n_images"] == document["n_to_train"] == 1797


def test_recommend__ten_thousand_classes_in_a_file__answered(run: Run, tmp_path: Path) -> None:
    names = tmp_path / "names.txt"
    names.write_text("\n".join(str(number) for number in range(10_000)))
    code, out, _ = run(*ABOUT, "--classes", names, "-n", 1)
    assert code == 0
    assert "numbers, which say nothing" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("recommend", "--about", ""), "--about is an empty string"),
        (("recommend", "--classes", "wheat"), "--classes belongs to a description"),
        (("recommend", "--n-images", 3), "--n-images belongs to a description"),
        ((*ABOUT, "--n-images", -1), "-1 images; expected at least 1"),
        ((*ABOUT, "--classes", ""), "--classes is an empty string"),
        ((*ABOUT, "--classes", "wheat,wheat"), "class 'wheat' is named twice"),
        ((*ABOUT, "--rerank", 2), "--rerank needs images: give a dataset"),
        ((*ABOUT, "--split", "train"), "--split needs images: give a dataset"),
        ((*ABOUT, "--text-encoder", "ViT-B-33/openai"), "unknown open_clip model"),
        ((*ABOUT, "sklearn:digits", "--n-images", 5), "--n-images beside a dataset, which has its own number"),
        (
            (*ABOUT, "sklearn:digits", "--classes", "zero,one", "--max-images", 20),
            "the images have labels of 10 classes; leave the names of classes out",
        ),
    ],
)
def test_recommend__not_usable__one_line(run: Run, arguments: tuple[object, ...], message: str) -> None:
    code, out, error = run(*arguments)
    assert code == 2
    assert not out
    assert message in one_line(error)


def test_recommend__neither_images_nor_words__usage_names_both(run: Run) -> None:
    code, out, error = run("recommend")
    assert code == 2
    assert not out
    assert "give a DATASET" in error
    assert "--about" in error
