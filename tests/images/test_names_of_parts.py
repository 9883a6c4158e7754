"""Parts by other names: columns that say so by their values, folders above the classes, one shard of several."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
import pytest

from fennec.errors import InputError
from fennec.images.open import open_dataset
from fennec.images.task_images import open_task

from .made import Files, as_folder, as_tar, counts, many, rows_of, table

FRAME = pd.DataFrame({"image": [f"{index}.png" for index in range(6)], "label": list("ababab")})


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("data set", ["train", "train", "train", "train", "test", "valid"]),
        ("Dataset_type", ["TRAIN"] * 4 + ["TEST"] * 2),
        ("data_split", ["training"] * 4 + ["validation"] * 2),
        ("origin", ["trainset"] * 4 + ["testset"] * 2),
        ("train_or_test", ["Train"] * 4 + ["Test"] * 2),
        ("isTrain", [1] * 4 + [0] * 2),
        ("training", [True] * 4 + [False] * 2),
        ("is test", [False] * 4 + [True] * 2),
    ],
)
def test_part_column__by_its_values__training_rows_alone(tmp_path: Path, column: str, values: Sequence[object]) -> None:
    dataset = open_dataset(table(tmp_path, FRAME.assign(**{column: values})))
    assert (len(dataset), counts(dataset)) == (4, {"a": 2, "b": 2})
    assert dataset.taken.columns["part"] == column
    assert column not in dataset.taken.columns_not_used


def test_part_columns__one_for_each_part__read_together(tmp_path: Path) -> None:
    frame = FRAME.assign(train=[1, 1, 1, 0, 0, 0], val=[0, 0, 0, 1, 0, 0], test=[0, 0, 0, 0, 1, 1])
    source = table(tmp_path, frame)
    assert [len(open_dataset(source, split=name)) for name in ("train", "val", "test")] == [3, 1, 2]


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("valid", [1, 1, 1, 1, 0, 0]),
        ("kind", ["train", "bus", "train", "car", "bus", "car"]),
        ("mask", ["train/0.png", "train/1.png", "train/2.png", "test/0.png", "test/1.png", "test/2.png"]),
        ("fit", ["test", "tube", "test", "tube", "test", "tube"]),
    ],
)
def test_part_column__only_sounds_like_one__all_rows(tmp_path: Path, column: str, values: Sequence[object]) -> None:
    dataset = open_dataset(table(tmp_path, FRAME.assign(**{column: values})))
    assert (len(dataset), dataset.taken.part) == (6, None)
    assert column in dataset.taken.columns_not_used


@pytest.mark.parametrize(("column", "values"), [("split", "000011"), ("data_split", "AAAABB"), ("traintest", "111100")])
def test_part_column__values_that_say_nothing__refused(tmp_path: Path, column: str, values: str) -> None:
    source = table(tmp_path, FRAME.assign(**{column: list(values)}))
    one, two = sorted(set(values))
    with pytest.raises(InputError, match=f"column '{column}' of .* has the parts {one}, {two} and .*--split {one}"):
        open_dataset(source)
    assert len(open_dataset(source, split=values[0])) == 4


FOLDERS_THAT_ARE_PARTS = [
    (("trainval", "test"), "trainval"),
    (("train", "val", "trainval"), "train"),
    (("A. Training Set", "B. Testing Set"), "A. Training Set"),
    (("Trainingsdaten", "Testdaten"), "Trainingsdaten"),
    (("training_set", "test_set"), "training_set"),
    (("trainset", "testset"), "trainset"),
    (("train", "public_test", "private_test"), "train"),
]


@pytest.mark.parametrize(("names", "taken"), FOLDERS_THAT_ARE_PARTS)
def test_parts__other_words_for_them__training_part(
    tree: Callable[[Files], Path], names: Sequence[str], taken: str
) -> None:
    dataset = open_dataset(tree({k: v for name in names for c in "ab" for k, v in many(f"{name}/{c}", 2).items()}))
    assert (dataset.taken.part, counts(dataset)) == (taken, {"a": 2, "b": 2})
    assert set(dataset.taken.other_parts) == set(names) - {taken}


def test_parts__folders_of_other_names_beside_them__counted(tree: Callable[[Files], Path]) -> None:
    content = {
        k: v for part in ("Training", "Test") for c in ("Fig", "Kiwi") for k, v in many(f"{part}/{c}", 2).items()
    }
    dataset = open_dataset(tree({**content, **many("test-multiple_fruits", 3), **many("papers", 1)}))
    assert (dataset.taken.part, counts(dataset)) == ("Training", {"Fig": 2, "Kiwi": 2})
    assert dataset.taken.not_read == {"beside the parts": 1}
    assert dataset.taken.other_parts == ("Test", "test-multiple_fruits")


@pytest.mark.parametrize("names", [("trainA", "trainB", "testA", "testB"), ("A_train", "B_train", "A_test", "B_test")])
def test_parts__named_with_the_class__both_read(tree: Callable[[Files], Path], names: Sequence[str]) -> None:
    dataset = open_dataset(tree({k: v for name in names for k, v in many(name, 3).items()}))
    assert (dataset.taken.part, counts(dataset)) == ("train", {"A": 3, "B": 3})
    assert dataset.taken.other_parts == ("test",)


@pytest.mark.parametrize(
    "names",
    [
        ("fold_1", "fold_2", "fold_3"),
        ("color", "grayscale", "segmented"),
        ("40X", "100X"),
        ("amazon/images", "dslr/images"),
        ("real/train", "sketch/train", "real/test", "sketch/test"),
        ("train/art", "train/clipart", "test/art", "test/clipart"),
    ],
)
def test_classes__below_folders_taken_as_classes__said(tree: Callable[[Files], Path], names: Sequence[str]) -> None:
    dataset = open_dataset(tree({k: v for name in names for c in "ab" for k, v in many(f"{name}/{c}", 2).items()}))
    assert "are taken as classes, and hold folders of the same names (a, b)" in str(dataset.taken)
    assert str(dataset.taken).count("alone") == 1


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("Train", "Test", "Masks"), "Test, Train are taken as classes, as 'Masks' beside them is no part"),
        (("train", "other"), "train is taken as a class, as 'other' beside it is no part"),
        (("train/a", "other"), "train is taken as a class, as 'other' beside it is no part"),
        (
            ("train/images", "train/masks", "test/images", "test/masks"),
            "images is taken as a class, as 'masks'",
        ),
        (("train/train/a", "train/test/a", "test/a"), "test, train are taken as classes, as this is within a part"),
        (
            ("data/train/a", "data/test/a", "other"),
            "(test, train): are these parts of a dataset? Then give 'data'",
        ),
    ],
)
def test_classes__called_like_parts__said(tree: Callable[[Files], Path], names: Sequence[str], said: str) -> None:
    dataset = open_dataset(tree({k: v for name in names for k, v in many(name, 2).items()}))
    assert said in str(dataset.taken)


@pytest.mark.parametrize("inside", [("train/a", "train/b", "val/a", "val/b"), ("train/a", "train/b", "val"),
                                    ("train/images/a", "train/images/b", "val/images/a")])  # fmt: skip
def test_parts__plain_pictures_in_a_folder_beside_them__counted(
    tree: Callable[[Files], Path], inside: Sequence[str]
) -> None:
    taken = open_dataset(tree({k: v for name in (*inside, "other") for k, v in many(name, 2).items()})).taken
    assert (taken.part, taken.class_counts) == ("train", {"a": 2, "b": 2})
    assert taken.not_read == {"beside the parts": 2}


def test_parts__below_some_of_the_classes__said(tree: Callable[[Files], Path]) -> None:
    content = {k: v for c in "ab" for part in ("train", "test") for k, v in many(f"{c}/{part}", 2).items()}
    dataset = open_dataset(tree({**content, **many("c", 3)}))
    assert counts(dataset) == {"a": 4, "b": 4, "c": 3}
    assert dataset.taken.notes == ("folders test, train are taken together, as not every class has them alone",)


def test_classes__own_folders_of_pictures__nothing_said(tree: Callable[[Files], Path]) -> None:
    dataset = open_dataset(tree({k: v for c in "ab" for k, v in many(f"{c}/images", 2).items()}))
    assert (counts(dataset), dataset.taken.notes) == ({"a": 2, "b": 2}, ())


def test_open_task__counts__those_of_the_part_used(tmp_path: Path) -> None:
    task = open_task(str(as_folder(tmp_path / "set", {**many("a", 10), **many("b", 5)})), n_train=9)
    assert (task.train.taken.n_images, task.test.taken.n_images) == (len(task.train), len(task.test)) == (9, 3)
    assert (task.train.taken.class_counts, task.test.taken.class_counts) == ({"a": 5, "b": 4}, {"a": 2, "b": 1})


@pytest.mark.parametrize(
    "names",
    [
        ("part-0.parquet", "part-1.parquet"),
        ("0000.parquet", "0001.parquet"),
        ("train-00000-of-00002.parquet", "train-00001-of-00002.parquet"),
    ],
)
def test_shards__one_table_of_several__said(tmp_path: Path, names: Sequence[str]) -> None:
    for index, name in enumerate(names):
        rows_of("wxyz", list("fgfg"), 10 * index).to_parquet(tmp_path / name)
    assert "this is one of 2 files; give the folder" in str(open_dataset(tmp_path / names[0]).taken)
    whole = open_dataset(tmp_path)
    assert (len(whole), whole.taken.notes) == (8, ())


@pytest.mark.parametrize("name", ["train-{:06d}", "{:05d}", "train-{:05d}-of-00003"])
def test_shards__one_archive_of_several__said(tmp_path: Path, name: str) -> None:
    for index in range(3):
        as_tar(tmp_path / name.format(index), {**many("a", 2), **many("b", 2)})
    assert "this is one of 3 files; give the folder" in str(open_dataset(tmp_path / f"{name.format(1)}.tar").taken)
    (tmp_path / f"{name.format(1)}.tar").unlink()
    with pytest.raises(InputError, match="has 2 of 3 files of .* .number 1 is missing.; complete the download"):
        open_dataset(tmp_path)


def test_shards__gap_between_tables__refused(tmp_path: Path) -> None:
    for index in (0, 2):
        rows_of("wx", list("fg"), 10 * index).to_parquet(tmp_path / f"data-{index:04d}.parquet")
    with pytest.raises(InputError, match="has 2 of 3 files of 'data' .number 1 is missing"):
        open_dataset(tmp_path)
    (tmp_path / "data-0000.parquet").rename(tmp_path / "data-0003.parquet")
    assert len(open_dataset(tmp_path)) == 4
