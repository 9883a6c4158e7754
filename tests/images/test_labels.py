"""Which labels there are, which are missing, and which column has them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fennec.errors import InputError
from fennec.images.open import open_dataset, open_pictures, with_columns

from .made import Files, as_folder, coded, counts, files, many, rows_of, table


@pytest.mark.parametrize("missing", [None, float("nan"), "", "  "])
def test_labels__missing__left_out_and_counted(tmp_path: Path, missing: object) -> None:
    labels = ["fox", "owl", missing, "fox"]
    for name, write in (("p.parquet", pd.DataFrame.to_parquet), ("j.jsonl", None)):
        if write is not None:
            write(rows_of("abcd", [None if label != label else label for label in labels]), tmp_path / name)
        else:
            as_folder(tmp_path, files(*[f"{index}.png" for index in range(4)]))
            lines = [
                json.dumps({"image": f"{index}.png", "label": None if label != label else label})
                for index, label in enumerate(labels)
            ]
            (tmp_path / name).write_text("\n".join(lines))
        dataset = open_dataset(tmp_path / name)
        assert (counts(dataset), dataset.taken.n_unlabelled) == ({"fox": 2, "owl": 1}, 1)
        assert "without a label and left out: 1" in str(dataset.taken)
    made = open_pictures([coded(index) for index in range(4)], labels)
    assert (counts(made), made.taken.n_unlabelled) == ({"fox": 2, "owl": 1}, 1)
    assert made.load(2) == coded(3)


@pytest.mark.parametrize(
    ("labels", "found"),
    [
        ([0, 1, -1, 1], {"0": 1, "1": 2}),
        ([0.0, 1.0, np.nan, 1.0], {"0": 1, "1": 2}),
        ([-1, 1, 1, -1], {"-1": 2, "1": 2}),
        (["None", "NA", "null", "nan"], {"NA": 1, "None": 1, "nan": 1, "null": 1}),
        ([True, False, True, True], {"False": 1, "True": 3}),
    ],
)
def test_labels__minus_one_is_missing_and_odd_names_are_names(
    tmp_path: Path, labels: Sequence[object], found: dict[str, int]
) -> None:
    frame = pd.DataFrame({"image": [f"{index}.png" for index in range(4)], "label": labels})
    assert counts(open_dataset(table(tmp_path, frame))) == found
    assert counts(open_pictures([coded(index) for index in range(4)], labels)) == found
    rows_of("abcd", labels).to_parquet(tmp_path / "p.parquet")
    assert counts(open_dataset(tmp_path / "p.parquet")) == found


def test_labels__all_missing__unlabelled(tmp_path: Path) -> None:
    rows_of("abc", [-1, -1, -1]).to_parquet(tmp_path / "p.parquet")
    dataset = open_dataset(tmp_path / "p.parquet")
    assert dataset.labels is None
    assert str(dataset.taken) == "p: 3 pictures, no labels"


def test_labels__numbers_with_names_of_the_library_datasets__names(tmp_path: Path) -> None:
    library = pytest.importorskip("datasets")
    features = library.Features(
        {
            "image": library.Image(),
            "label": library.ClassLabel(names=["ash", "elm", "oak"]),
            "age": library.Value("int64"),
        }
    )
    rows = {
        "image": [{"bytes": coded(index), "path": None} for index in range(6)],
        "label": [0, 1, -1, None, 1, 0],
        "age": [3] * 6,
    }
    made = library.Dataset.from_dict(rows, features=features)
    (tmp_path / "data").mkdir()
    made.to_parquet(tmp_path / "data/train-00000-of-00001.parquet")
    made.save_to_disk(str(tmp_path / "saved"))
    for source in (tmp_path / "data", f"hf:{tmp_path}", tmp_path / "saved"):
        dataset = open_dataset(source)
        assert counts(dataset) == {"ash": 2, "elm": 2}
        assert dataset.taken.n_unlabelled == 2
        assert dataset.taken.columns_not_used == ("age",)


def test_labels__plain_column_of_the_library_datasets__read(tmp_path: Path) -> None:
    library = pytest.importorskip("datasets")
    features = library.Features({"image": library.Image(), "species": library.Value("string")})
    rows = {"image": [{"bytes": coded(index), "path": None} for index in range(3)], "species": ["fox", None, "owl"]}
    (tmp_path / "data").mkdir()
    library.Dataset.from_dict(rows, features=features).to_parquet(tmp_path / "data/train-00000-of-00001.parquet")
    dataset = open_dataset(f"hf:{tmp_path}")
    assert (counts(dataset), dataset.taken.n_unlabelled) == ({"fox": 1, "owl": 1}, 1)


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffimage, label\n0.png, red\n1.png, blue\n2.png, red\n",
        'image;label\n0.png;"red"\n1.png;"blue"\n2.png; red\n',
        "image\tlabel\n0.png\tred\n1.png\tblue \n2.png\tred\n",
        "label,image\r\nred,.\\0.png\r\nblue,1.png\r\nred,./2.png\r\n",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_labels__spaces_quotes_marks_and_separators__the_same_classes(tmp_path: Path, text: str, encoding: str) -> None:
    as_folder(tmp_path, files("0.png", "1.png", "2.png"))
    (tmp_path / "m.csv").write_bytes(
        text.removeprefix("\ufeff").encode(encoding) if encoding != "utf-8" else text.encode()
    )
    assert counts(open_dataset(tmp_path / "m.csv")) == {"blue": 1, "red": 2}


def test_labels__metadata_of_an_image_folder__read(tree: Callable[[Files], Path]) -> None:
    content = {**many("train", 4), **many("test", 2)}
    content["train/metadata.csv"] = b"file_name,category,height\n0.png,up,3\n1.png,down,4\n2.png,up,3\n3.png,down,9\n"
    content["test/metadata.jsonl"] = (
        b'{"file_name": "0.png", "category": "up"}\n{"file_name": "1.png", "category": "up"}\n'
    )
    source = tree(content)
    dataset = open_dataset(source)
    assert (dataset.taken.part, counts(dataset)) == ("train", {"down": 2, "up": 2})
    assert dataset.taken.columns_not_used == ("height",)
    assert counts(open_dataset(source, split="test")) == {"up": 2}


def test_labels__one_column_for_each_class__read(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "image": [f"{index}.png" for index in range(4)],
            "MEL": [1.0, 0.0, 0.0, 0.0],
            "NV": [0.0, 1.0, 1.0, 0.0],
            "site": list("aabb"),
        }
    )
    dataset = open_dataset(table(tmp_path, frame))
    assert (counts(dataset), dataset.taken.n_unlabelled) == ({"MEL": 1, "NV": 2}, 1)
    assert dataset.taken.columns["label"] == "MEL, NV"
    several = open_dataset(table(tmp_path, frame.assign(NV=[1, 1, 1, 0])))
    assert several.labels is None
    assert "several labels for 1 picture," in str(several.taken)


def test_labels__column_of_an_unknown_name__named_and_chosen(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "photo": [f"{index}.png" for index in range(6)],
            "outcome": [*list("abab"), None, "a"],
            "weight": np.arange(6) * 1.7,
        }
    )
    source = table(tmp_path, frame)
    dataset = open_dataset(source)
    assert dataset.labels is None
    assert "could be labels: outcome (choose with --label-column)" in str(dataset.taken)
    for chosen in (
        open_dataset(source, label_column="outcome"),
        open_dataset(with_columns(str(source), None, "outcome")),
    ):
        assert (counts(chosen), chosen.taken.n_unlabelled) == ({"a": 3, "b": 2}, 1)
    with pytest.raises(InputError, match="no column 'outcom' for --label-column; did you mean 'outcome'"):
        open_dataset(source, label_column="outcom")
    with pytest.raises(InputError, match="holds numbers .*no classes"):
        open_dataset(source, label_column="weight")
    with pytest.raises(InputError, match="asks for 'labl'"):
        open_dataset(f"{source}?labl=outcome")
    with pytest.raises(InputError, match="for tables|for CSV"):
        open_dataset("sklearn:digits", label_column="x")


def test_image_column__of_several__chosen(tmp_path: Path) -> None:
    as_folder(tmp_path, files("0.png", "1.png", "m0.png", "m1.png"))
    frame = pd.DataFrame({"image": ["0.png", "1.png"], "mask": ["m0.png", "m1.png"], "label": ["a", "b"]})
    frame.to_csv(tmp_path / "m.csv", index=False)
    assert open_dataset(tmp_path / "m.csv").items[0].endswith("/0.png")
    assert open_dataset(tmp_path / "m.csv", image_column="mask").items[0].endswith("/m0.png")
    held = pd.DataFrame({"image": [coded(0), coded(1)], "mask": [coded(2), coded(3)], "label": ["a", "b"]})
    held.to_parquet(tmp_path / "m.parquet")
    assert open_dataset(tmp_path / "m.parquet").load(0) == coded(0)
    assert open_dataset(tmp_path / "m.parquet", image_column="mask").load(1) == coded(3)
    assert open_dataset(tmp_path / "m.parquet").taken.columns_not_used == ("mask",)


def test_labels__no_classes_at_all__a_word(tmp_path: Path) -> None:
    names = [f"{index}.png" for index in range(8)]
    real = open_dataset(table(tmp_path, pd.DataFrame({"image": names, "target": np.linspace(0.1, 3, 8)})))
    assert real.labels is None
    assert "column 'target' holds numbers" in str(real.taken)
    own = open_dataset(table(tmp_path, pd.DataFrame({"image": names, "label": [f"bird{index}" for index in range(8)]})))
    assert "8 classes for 8 pictures: are these labels?" in str(own.taken)
    mixed = open_dataset(table(tmp_path, pd.DataFrame({"image": names, "label": ["a", "b", "a|b", "a"] * 2})))
    assert "labels such as 'a|b' are taken as one class each" in str(mixed.taken)
    lists = rows_of("abcd", [["x"], ["x", "y"], ["y"], ["x"]])
    lists.to_parquet(tmp_path / "p.parquet")
    assert "several labels for 1 picture," in str(open_dataset(tmp_path / "p.parquet").taken)
