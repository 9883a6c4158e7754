"""Datasets as other programs write them: Spark's files, Hive's folders, archives that are called by numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from fennec.images.open import open_dataset

from .made import Files, as_tar, as_zip, coded, counts, many, rows_of, table

HASH = "5fd6c5b9-9fa5-4d0b-8f3b-7a2d3b1c8f7e"
SPARK = [
    f"part-{{:05d}}-{HASH}-c000.snappy",
    f"part-{{:05d}}-{HASH}.c000",
    "part-{:05d}-1f2e3d.gz",
    f"part-r-{{:05d}}-{HASH}",
    "part-{:05d}.snappy",
    f"photos-{{:03d}}-{HASH.replace('-', '')}",
    "train-{:05d}-of-00002-0123456789abcdef",
]


@pytest.mark.parametrize("name", SPARK)
def test_shards__one_of_those_that_spark_writes__said(tmp_path: Path, name: str) -> None:
    for index in range(2):
        rows_of("wxyz", list("fgfg"), 10 * index).to_parquet(tmp_path / f"{name.format(index)}.parquet")
    (tmp_path / "_SUCCESS").touch()
    assert "this is one of 2 files; give the folder" in str(open_dataset(tmp_path / f"{name.format(1)}.parquet").taken)
    whole = open_dataset(tmp_path)
    assert (len(whole), whole.taken.notes) == (8, ())


def test_shards__csv_of_spark__said_and_joined(tmp_path: Path) -> None:
    frame = pd.DataFrame({"image": [f"{index}.png" for index in range(4)], "label": list("abab")})
    first = table(tmp_path, frame, f"part-00000-{HASH}-c000.csv")
    frame.iloc[::-1].to_csv(tmp_path / f"part-00004-{HASH}-c000.csv", index=False)  # those between had no rows
    assert "this is one of 2 files" in str(open_dataset(first).taken)
    assert counts(open_dataset(tmp_path)) == {"a": 2, "b": 2}


@pytest.mark.parametrize("folders", ["split={part}/label={label}", "label={label}/split={part}", "{part}/dx={label}"])
def test_hive__folders_of_parquet_files__columns(tmp_path: Path, folders: str) -> None:
    for number, (part, label) in enumerate([("train", "red%20oak"), ("train", "elm"), ("test", "elm")]):
        folder = tmp_path / "set" / folders.format(part=part, label=label)
        folder.mkdir(parents=True, exist_ok=True)
        for index in (0, 3):
            frame = pd.DataFrame({"image": [coded(10 * number + index), coded(10 * number + index + 1)]})
            frame.to_parquet(folder / f"part-{index:05d}-{HASH}.snappy.parquet")
    dataset = open_dataset(tmp_path / "set")
    assert (dataset.taken.part, counts(dataset)) == ("train", {"elm": 4, "red oak": 4})
    assert counts(open_dataset(tmp_path / "set", split="test")) == {"elm": 4}


def test_hive__folders_of_pictures__parts_and_classes_by_their_values(tree: Callable[[Files], Path]) -> None:
    content = {**many("split=train/label=cat", 3), **many("split=train/label=dog", 2)}
    content |= {**many("split=test/label=cat", 1), **many("split=train/label=__HIVE_DEFAULT_PARTITION__", 2)}
    content |= {"split=train/label=dog/x.txt": b"x"}
    dataset = open_dataset(tree(content))
    assert (dataset.taken.part, counts(dataset)) == ("train", {"cat": 3, "dog": 2})
    assert (dataset.taken.n_unlabelled, dataset.taken.not_read) == (2, {".txt": 1})


def test_hive__classes_with_names_of_parts__classes(tree: Callable[[Files], Path]) -> None:
    dataset = open_dataset(tree({**many("label=train", 3), **many("label=test", 2), **many("label=bus", 1)}))
    assert (dataset.taken.part, counts(dataset)) == (None, {"bus": 1, "test": 2, "train": 3})


def test_hive__a_sign_in_the_names_of_classes__names(tree: Callable[[Files], Path]) -> None:
    assert counts(open_dataset(tree({**many("n=3", 3), **many("n=5", 2)}))) == {"n=3": 3, "n=5": 2}


@pytest.mark.parametrize("folder", ["", "train/"])
def test_archives__called_by_long_numbers__one_dataset_and_said(tmp_path: Path, folder: str) -> None:
    for index in range(3):
        as_tar(tmp_path / f"set/{folder}{index:05d}", {f"{n:05d}.png": coded(10 * index + n) for n in range(2)})
    dataset = open_dataset(tmp_path / "set")
    assert (len(dataset), dataset.labels) == (6, None)
    assert dataset.taken.notes == (
        "00000.tar, 00001.tar, ... are taken as pieces of one dataset; unpack them where each is a class",
    )


def test_archives__called_by_long_numbers_with_labels_inside__those(tmp_path: Path) -> None:
    for index in range(3):
        files = {f"{n}.png": coded(10 * index + n) for n in range(2)}
        as_tar(tmp_path / f"set/{index:05d}", files | {f"{n}.cls": str(n).encode() for n in range(2)})
        as_tar(tmp_path / f"folders/{index:05d}", {**many("oak", 1, start=index), **many("elm", 2, start=5 * index)})
    dataset = open_dataset(tmp_path / "set")
    assert (counts(dataset), dataset.taken.notes) == ({"0": 3, "1": 3}, ())
    assert counts(open_dataset(tmp_path / "folders")) == {"elm": 6, "oak": 3}


def test_archives__called_by_short_numbers__classes_and_said(tmp_path: Path) -> None:
    for index in range(3):
        as_zip(tmp_path / f"set/{index}", {f"{n}.png": coded(10 * index + n) for n in range(2)})
    dataset = open_dataset(tmp_path / "set")
    assert counts(dataset) == {"0": 2, "1": 2, "2": 2}
    assert dataset.taken.notes == ("0.zip, 1.zip, ... are taken as classes of these names",)
