"""Which folders, columns and files are parts, and which files belong together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
import pytest

from fennec.errors import InputError
from fennec.images.open import open_dataset
from fennec.images.task_images import open_task

from .made import Files, as_folder, as_tar, as_zip, coded, counts, files, many, rows_of, table


@pytest.mark.parametrize(
    ("names", "taken"),
    [
        (("Train", "Test"), "Train"),
        (("TRAINING", "TESTING"), "TRAINING"),
        (("train2017", "val2017"), "train2017"),
        (("seg_train", "seg_test", "seg_pred"), "seg_train"),
        (("train_images", "test_images"), "train_images"),
        (("imagesTr", "imagesTs"), "imagesTr"),
        (("Training Set", "Validation Set"), "Training Set"),
        (("dev", "eval", "trn"), "trn"),
        (("valid", "test"), "valid"),
    ],
)
def test_parts__whatever_people_call_them__training_part_by_default(
    tree: Callable[[Files], Path], names: Sequence[str], taken: str
) -> None:
    content = {k: v for name in names for c in ("oak", "elm") for k, v in many(f"{name}/{c}", len(name)).items()}
    dataset = open_dataset(tree(content))
    assert dataset.taken.part == taken
    assert counts(dataset) == {"elm": len(taken), "oak": len(taken)}
    assert set(dataset.taken.other_parts) == set(names) - {taken}


def test_parts__asked_for_by_meaning__found(tree: Callable[[Files], Path]) -> None:
    source = tree(
        {**many("Training/a", 3), **many("Training/b", 3), **many("holdout_set/a", 2), **many("Testing/a", 1)}
    )
    assert open_dataset(source, split="train").taken.part == "Training"
    assert open_dataset(source, split="VAL").taken.part == "holdout_set"
    assert open_dataset(source, split="testing").taken.part == "Testing"
    with pytest.raises(InputError, match="no split 'night'; there are Testing, Training, holdout_set"):
        open_dataset(source, split="night")


@pytest.mark.parametrize(
    "names",
    [
        ("train", "tram", "boat"),
        ("valid", "invalid"),
        ("test_tube", "train_station"),
        ("valid", "test tube"),
        ("dev", "ops"),
    ],
)
def test_parts__among_class_folders__are_classes(tree: Callable[[Files], Path], names: Sequence[str]) -> None:
    dataset = open_dataset(tree({key: value for name in names for key, value in many(name, 3).items()}))
    assert counts(dataset) == dict.fromkeys(sorted(names), 3)
    assert dataset.taken.part is None


def test_parts__another_folder_beside_them__counted(tree: Callable[[Files], Path]) -> None:
    content = {**many("train/a", 4), **many("train/b", 4), **many("test/a", 2), **many("test/b", 2), **many("docs", 1)}
    dataset = open_dataset(tree(content))
    assert (dataset.taken.part, len(dataset)) == ("train", 8)
    assert dataset.taken.not_read == {"beside the parts": 1}


def test_parts__below_the_classes__found(tree: Callable[[Files], Path]) -> None:
    content = {
        k: v for c in ("a", "b") for part, n in (("train", 4), ("test", 2)) for k, v in many(f"{c}/{part}", n).items()
    }
    dataset = open_dataset(tree(content))
    assert (dataset.taken.part, counts(dataset)) == ("train", {"a": 4, "b": 4})


def test_parts__column_in_capitals_or_yes_and_no__found(tmp_path: Path) -> None:
    frame = pd.DataFrame({"image": [f"{index}.png" for index in range(6)], "label": list("ababab")})
    source = table(tmp_path, frame.assign(Usage=["Training"] * 4 + ["PublicTest"] * 2))
    assert (len(open_dataset(source)), open_dataset(source, split="test").taken.part) == (4, "PublicTest")
    source = table(tmp_path, frame.assign(is_valid=[False, True, True, False, False, False]))
    assert (len(open_dataset(source)), len(open_dataset(source, split="val"))) == (4, 2)
    source = table(tmp_path, frame.assign(split=["train", "train", "train", "val", "", "train"]))
    assert open_dataset(source).taken.not_read == {"without a part": 1}


def test_open_task__test_part_without_labels__one_clear_line(tmp_path: Path) -> None:
    source = as_folder(tmp_path / "set", {**many("Train/a", 6), **many("Train/b", 6), **many("Test", 3)})
    with pytest.raises(InputError, match="the test part 'Test' of .* has no labels, so no model can be tested on it"):
        open_task(str(source))
    as_folder(source, {**many("Valid/a", 2), **many("Valid/b", 2)})
    task = open_task(str(source))
    assert (task.train.taken.part, task.test.taken.part, len(task.test)) == ("Train", "Valid", 4)
    assert 'part "Test" has no labels' in str(task.test.taken)


def test_open_task__parts_by_other_names__train_and_test(tmp_path: Path) -> None:
    content = {k: v for part, n in (("TRAIN", 5), ("TEST", 2)) for c in "ab" for k, v in many(f"{part}/{c}", n).items()}
    task = open_task(str(as_folder(tmp_path / "set", content)))
    assert (len(task.train), len(task.test)) == (10, 4)
    alone = open_task(str(as_folder(tmp_path / "alone", {**many("a", 10), **many("b", 10)})))
    assert (len(alone.train), len(alone.test)) == (16, 4)
    assert "no test part: a fifth of each class is held out for the test" in str(alone.test.taken)


def test_shards__parquet__one_dataset_or_refused(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for shard in range(3):
        frame = rows_of("wxyz", ["fgh"[shard]] * 4, 10 * shard)
        frame.to_parquet(tmp_path / f"data/train-{shard:05d}-of-00003.parquet")
    rows_of("vw", ["f", "g"], 90).to_parquet(tmp_path / "data/test-00000-of-00001-0123abcd.parquet")
    dataset = open_dataset(tmp_path)
    assert (dataset.taken.part, counts(dataset)) == ("train", {"f": 4, "g": 4, "h": 4})
    assert dataset.load(5) == coded(11)
    assert len(open_dataset(tmp_path, split="test")) == 2
    one = tmp_path / "data/train-00001-of-00003.parquet"
    assert "one of 3 files; give the folder" in str(open_dataset(one).taken)
    one.unlink()
    with pytest.raises(InputError, match="2 of 3 files of .*train.* is missing.*complete the download"):
        open_dataset(tmp_path)


def test_shards__several_configurations__refused(tmp_path: Path) -> None:
    for name in ("large", "small"):
        (tmp_path / name).mkdir()
        rows_of("ab", ["f", "g"]).to_parquet(tmp_path / name / "train-00000-of-00001.parquet")
    with pytest.raises(InputError, match="holds several datasets .large, small.; give the folder or file of one"):
        open_dataset(tmp_path)


def test_shards__tars_with_classes_beside_the_pictures__one_dataset(tmp_path: Path) -> None:
    for shard in range(2):
        content = {}
        for index in range(4):
            content[f"{index:03d}.jpg"] = coded(100 * shard + index, "JPEG")
            content[f"{index:03d}.cls"] = str((index + shard) % 3).encode()
        as_tar(tmp_path / "train" / f"train-{shard:06d}", content)
    dataset = open_dataset(tmp_path / "train")
    assert counts(dataset) == {"0": 3, "1": 3, "2": 2}
    assert not dataset.taken.not_read
    single = as_tar(
        tmp_path / "x",
        {"a.png": coded(1), "a.json": b'{"label": "fox"}', "b.png": coded(2), "b.json": b'{"label": "owl"}'},
    )
    assert counts(open_dataset(single)) == {"fox": 1, "owl": 1}


def test_shards__archives_that_are_parts_or_classes__joined(tmp_path: Path) -> None:
    as_zip(tmp_path / "parts/train", {**many("cat", 3), **many("dog", 3)})
    as_zip(tmp_path / "parts/test", {**many("cat", 1, start=9), **many("dog", 1, start=9)})
    dataset = open_dataset(tmp_path / "parts")
    assert (dataset.taken.part, counts(dataset)) == ("train", {"cat": 3, "dog": 3})
    as_tar(tmp_path / "classes/cat", files("1.png", "2.png"))
    as_tar(tmp_path / "classes/dog", files("1.png", start=5))
    assert counts(open_dataset(tmp_path / "classes")) == {"cat": 2, "dog": 1}


def test_several_tables__parts_by_their_names__one_dataset(tree: Callable[[Files], Path]) -> None:
    content = many("pictures", 6)
    content["train.csv"] = b"id,diagnosis\n0,good\n1,bad\n2,good\n3,bad\n"
    content["test.csv"] = b"id\n4\n5\n"
    content["sample_submission.csv"] = b"id,diagnosis\n4,good\n5,good\n"
    dataset = open_dataset(tree(content))
    assert (dataset.taken.part, counts(dataset)) == ("train", {"bad": 2, "good": 2})
    assert dataset.taken.columns == {"image": "id", "label": "diagnosis"}
    assert dataset.taken.not_read == {".csv": 1}
