"""What is read from tables whose rows, headers and names are not as they should be, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from fennec.errors import InputError
from fennec.images.open import open_dataset

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
