"""What is read from tables whose rows, headers and names are not as they should be, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fennec.errors import InputError
from fennec.images.open import open_dataset, open_pictures

from .made import Files, as_folder, coded, counts, files, many


def csv_file(root: Path, text: str, *, n: int = 4, folder: str = "") -> Path:
    """A CSV beside, or above, pictures `0.png`, `1.png`, ..."""
    as_folder(root, files(*[f"{folder}{index}.png" for index in range(n)]))
    (root / "m.csv").write_text(text)
    return root / "m.csv"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,label\n0.png,owl\n1.png,crane, bird\n", "line 3 of 'm.csv' has 3 cells and the header .* has 2"),
        ('image,label\n0.png,"a\nb"\n\n1.png,crane, bird\n', "line 5 of 'm.csv' has 3 cells"),
        ("Birds of 2020\nimage,label\n0.png,owl\n", "line 2 of 'm.csv' has 2 cells and the header .* has 1"),
        ("0.png,owl\n1.png,crane\n", "line 1 of 'm.csv' names a picture and no columns"),
        ("0,owl\n1,crane\n2,owl\n", "line 1 of 'm.csv' names a picture and no columns"),
    ],
)
def test_csv__cells_or_a_row_would_be_lost__refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        open_dataset(csv_file(tmp_path, text))
    with pytest.raises(InputError, match=message):
        open_dataset(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "sep=;\nimage;label\n0.png;owl\n1.png;crane, bird\n",
        "image,label\n1,0.png,owl\n2,1.png,'crane'\n",
        ",image,label\n0,0.png,owl\n1,1.png,crane\n",
        "# made in 2020, by x\n#\nimage,label\n0.png,owl\n1.png,crane\n",
        "#image,label\r\n0.png,owl\r\n1.png,crane\r\n",
        "image,label\r0.png,owl\r1.png,crane\r",
        "image,label\n0.png,owl,\n1.png,crane,\n",
    ],
)
def test_csv__lines_and_cells_beside_the_data__read(tmp_path: Path, text: str) -> None:
    found = counts(open_dataset(csv_file(tmp_path, text)))
    assert found.pop("owl") == 1
    assert sum(found.values()) == 1


@pytest.mark.parametrize("folder", ["", "Images/train/"])
def test_image_column__labels_are_names_of_pictures_too__names_taken(tmp_path: Path, folder: str) -> None:
    rows = "".join(f"{index}.png,{index % 2}\n" for index in range(4))
    for source in (csv_file(tmp_path, f"filename,label\n{rows}", folder=folder), tmp_path):
        dataset = open_dataset(source)
        assert dataset.taken.columns == {"image": "filename", "label": "label"}
        assert counts(dataset) == {"0": 2, "1": 2}


def test_image_column__outcome_is_a_name_of_pictures_too__not_taken(tmp_path: Path) -> None:
    source = csv_file(tmp_path, "outcome,photograph\n" + "".join(f"{index % 2},{index}.png\n" for index in range(4)))
    assert open_dataset(source).taken.columns["image"] == "photograph"


def test_image_column__file_of_another_folder__missing(tmp_path: Path) -> None:
    as_folder(tmp_path, {**many("cat", 2), **many("dog", 1)})
    text = "image,label\ncat/0.png,cat\ncat/1.png,cat\ndog/0.png,dog\ndog/1.png,dog\n"
    (tmp_path / "m.csv").write_text(text)
    assert counts(open_dataset(tmp_path / "m.csv")) == {"cat": 2, "dog": 1}


def test_parquet__bytes_that_are_no_pictures__ids_and_labels(tmp_path: Path) -> None:
    rows = {"id": [b"a1", b"a2"], "jpg_data": [coded(1, "JPEG"), coded(2, "JPEG")], "label": [b"cat", b"dog"]}
    pd.DataFrame(rows).to_parquet(tmp_path / "p.parquet")
    dataset = open_dataset(tmp_path / "p.parquet")
    assert (dataset.load(1), counts(dataset)) == (coded(2, "JPEG"), {"cat": 1, "dog": 1})
    assert dataset.taken.columns_not_used == ("id",)


def test_names__in_two_parts__those_of_the_part_of_the_table(tree: Callable[[Files], Path]) -> None:
    text = "id,label\n" + "".join(f"{index},{index % 2}\n" for index in range(4))
    content = {**many("train", 4), **many("test", 4), "train.csv": text.encode()}
    dataset = open_dataset(tree(content), label_column="label")
    assert (dataset.taken.part, counts(dataset)) == ("train", {"0": 2, "1": 2})


def test_names__in_two_parts_and_a_table_of_neither__refused(tree: Callable[[Files], Path]) -> None:
    content = {**many("train", 2), **many("test", 2), "list.csv": b"id,label\n0,a\n1,b\n"}
    with pytest.raises(InputError, match=r"names pictures that are there several times \('\d' is test/"):
        open_dataset(tree(content))


BOXES = "filename,class,xmin\n" + "".join(f"{index % 4}.png,{'ab'[index % 2]},{index}\n" for index in range(12))


def test_rows__several_of_one_picture_and_class__taken_once(tmp_path: Path) -> None:
    for source in (csv_file(tmp_path, BOXES), tmp_path):
        dataset = open_dataset(source)
        assert (len(dataset), counts(dataset)) == (4, {"a": 2, "b": 2})
        assert dataset.load(3) == tmp_path / "3.png"
        assert "12 rows for 4 pictures, each of which is taken once" in str(dataset.taken)


def test_rows__several_of_one_number_without_suffix__taken_once(tree: Callable[[Files], Path]) -> None:
    content = {**many("all", 4), "list.csv": BOXES.replace(".png", "").replace("filename", "image_id").encode()}
    assert counts(open_dataset(tree(content))) == {"a": 2, "b": 2}


def test_rows__several_of_one_picture_and_other_classes__a_word(tmp_path: Path) -> None:
    source = csv_file(tmp_path, f"{BOXES}0.png,b,3\n")
    dataset = open_dataset(source)
    assert (len(dataset), dataset.labels) == (4, None)
    assert "column 'class' has several labels for 1 picture (13 rows for 4 pictures)" in str(dataset.taken)
    with pytest.raises(InputError, match="column 'class' has several labels for 1 picture"):
        open_dataset(source, label_column="class")


def test_tables__two_names_of_the_label_column__both_read(tree: Callable[[Files], Path]) -> None:
    content = {**many("all", 6), "a.csv": b"image,label\n0.png,x\n1.png,y\n2.png,x\n"}
    content["b.csv"] = b"image,class\n2.png,z\n3.png,z\n4.png,y\n5.png,z\n"
    dataset = open_dataset(tree(content))
    assert counts(dataset) == {"x": 2, "y": 2, "z": 2}
    assert "labels come from column 'label' of a.csv and 'class' of b.csv" in str(dataset.taken)


@pytest.mark.parametrize(
    ("labels", "found"),
    [
        ([1, 2, 3, -1], {"1": 1, "2": 1, "3": 1}),
        ([1.0, 2.0, -1.0, None], {"1": 1, "2": 1}),
        ([-1, 0, 0, -1], {"-1": 2, "0": 2}),
    ],
)
def test_labels__minus_one_beside_two_numbers__missing(labels: list[object], found: dict[str, int]) -> None:
    assert counts(open_pictures([coded(index) for index in range(4)], labels)) == found


HEIC = b"\0\0\0\x18ftypheic" + bytes(40)


@pytest.mark.parametrize(
    ("names", "head", "holds"),
    [
        (["1.npy", "2.npy"], b"x", "2 .npy"),
        (["deep/1.svg", "2.mp4"], b"x", "1 .mp4, 1 .svg"),
        (["1", "2"], bytes(128) + b"DICM", "2 .dcm"),
        (["1", "2"], HEIC, "2 .heic"),
    ],
)
def test_files__a_class_folder_without_a_picture__refused(
    tree: Callable[[Files], Path], names: list[str], head: bytes, holds: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fennec.images.kinds.can_read_heic", lambda: False)
    content = {**many("a", 2), "docs/readme.txt": b"x", "paper.pdf": b"x", "code/Makefile": b"x"}
    source = tree({**content, **{f"lost/{name}": head for name in names}})
    with pytest.raises(InputError, match=f"class 'lost' of .* has no picture that is read: {holds}"):
        open_dataset(source)


def test_labels__several_in_one_text__a_word(tmp_path: Path) -> None:
    rows = [["['a', 'b']", "['a']"], ["scab rust", "scab"], ["a b", "b c", "a c", "c b a"], ["a|b", "b|c", "a|c"]]
    words = [
        "column 'tags' has several labels for 2 pictures",
        *[f"labels such as '{t}'" for t in ("scab rust", "a b")],
    ]
    for index, (labels, word) in enumerate(zip(rows, [*words, "labels such as 'a|b'"], strict=True)):
        text = "image,tags\n" + "".join(f'{row}.png,"{labels[row % len(labels)]}"\n' for row in range(4))
        assert word in str(open_dataset(csv_file(tmp_path / str(index), text)).taken)


def test_labels__lists_of_one_as_text__their_entry(tmp_path: Path) -> None:
    text = 'image,label\n0.png,[\'a\']\n1.png,"[""b""]"\n2.png,[a]\n3.png,[]\n'
    dataset = open_dataset(csv_file(tmp_path, text))
    assert (counts(dataset), dataset.taken.n_unlabelled) == ({"a": 2, "b": 1}, 1)


def test_labels__objects__no_classes(tmp_path: Path) -> None:
    as_folder(tmp_path, files("0.png", "1.png"))
    (tmp_path / "m.jsonl").write_text(
        "\n".join(f'{{"image": "{index}.png", "label": {{"id": {index}}}}}' for index in "01")
    )
    dataset = open_dataset(tmp_path / "m.jsonl")
    assert dataset.labels is None
    assert "column 'label' holds objects ({'id': 0}) and no classes" in str(dataset.taken)


def test_labels__two_columns_that_could_be__the_one_taken_is_named(tmp_path: Path) -> None:
    text = "image,species,breed\n" + "".join(
        f"{index}.png,{'ab'[index % 2]},{'cd'[index // 2]}\n" for index in range(4)
    )
    assert "labels are those of column 'species', not of breed" in str(open_dataset(csv_file(tmp_path, text)).taken)


def test_taken__end_of_line_in_a_class__one_line(tmp_path: Path) -> None:
    dataset = open_dataset(csv_file(tmp_path, 'image,label\n0.png,"a\nb"\n1.png,"a\nb"\n2.png,c\n'))
    assert "(a\\nb 2, c 1)" in str(dataset.taken)
    assert "\n" not in str(dataset.taken)


def test_parquet__arrays_for_pictures__refused_in_one_line(tmp_path: Path) -> None:
    pd.DataFrame({"image": [list(range(2000))] * 2, "label": ["a", "b"]}).to_parquet(tmp_path / "p.parquet")
    with pytest.raises(InputError, match="column 'image' of .* holds arrays or objects") as refused:
        open_dataset(tmp_path / "p.parquet")
    assert len(str(refused.value)) < 400 + len(str(tmp_path))


@pytest.mark.parametrize("labels", [[[1, 0], [0, 1]], [{"a"}, {"b"}], np.eye(2), [{"id": 1}, {"id": 2}]])
def test_open_pictures__labels_that_are_lists_or_objects__refused(labels: Any) -> None:
    with pytest.raises(InputError, match="a label of 'pictures' is a .*; give one name or number for each picture"):
        open_pictures([coded(1), coded(2)], labels)
