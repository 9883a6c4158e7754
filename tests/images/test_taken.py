"""What is taken of a dataset as people really have it, and what is said about the rest."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fennec.errors import InputError
from fennec.images.datasets import ImageDataset, Taken
from fennec.images.open import open_dataset, open_pictures, with_columns
from fennec.images.task_images import open_task

Files = Mapping[str, bytes]


def coded(seed: int, kind: str = "PNG") -> bytes:
    """A small picture of noise; every seed another."""
    buffer = io.BytesIO()
    noise = np.random.default_rng(seed).integers(0, 256, (9, 11, 3), dtype=np.uint8)
    Image.fromarray(noise).save(buffer, kind)
    return buffer.getvalue()


def files(*names: str, start: int = 0) -> dict[str, bytes]:
    """A picture for every name, none like another."""
    return {name: coded(start + index) for index, name in enumerate(names)}


def many(folder: str, n: int, *, suffix: str = ".png", start: int = 0) -> dict[str, bytes]:
    return files(*[f"{folder}/{index}{suffix}" for index in range(n)], start=start + hash_of(folder))


def hash_of(text: str) -> int:
    return sum(ord(letter) * 131**place for place, letter in enumerate(text)) % 1_000_003


def as_folder(root: Path, content: Files) -> Path:
    for name, data in content.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def as_zip(root: Path, content: Files) -> Path:
    root.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(f"{root}.zip", "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return Path(f"{root}.zip")


def as_tar(root: Path, content: Files) -> Path:
    root.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(f"{root}.tar", "w") as archive:
        for name, data in content.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return Path(f"{root}.tar")


TREES: dict[str, Callable[[Path, Files], Path]] = {"folder": as_folder, "zip": as_zip, "tar": as_tar}


@pytest.fixture(params=TREES)
def tree(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Files], Path]:
    """Makes a folder, a zip or a tar of the same files."""
    return lambda content: TREES[request.param](tmp_path / "set", content)


def table(root: Path, frame: pd.DataFrame, name: str = "list.csv") -> Path:
    """A table beside pictures `0.png`, `1.png`, ..., one for each row."""
    as_folder(root, files(*[f"{index}.png" for index in range(len(frame))]))
    frame.to_csv(root / name, index=False)
    return root / name


def counts(dataset: ImageDataset) -> dict[str, int]:
    assert dataset.labels is not None
    found = {name: int((dataset.labels == label).sum()) for label, name in enumerate(dataset.class_names)}
    assert {name: n for name, n in found.items() if n} == dict(dataset.taken.class_counts)
    return found


# ---- parts


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


# ---- several files, one part


def rows_of(names: Sequence[str], labels: Sequence[object], start: int = 0) -> pd.DataFrame:
    return pd.DataFrame({"image": [coded(start + index) for index in range(len(names))], "label": labels})


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


# ---- labels


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
    assert "several labels for 1 pictures" in str(several.taken)


def test_labels__column_of_an_unknown_name__named_and_chosen(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "photo": [f"{index}.png" for index in range(6)],
            "outcome": list("abab") + [None, "a"],
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
    assert "several labels for 1 pictures" in str(open_dataset(tmp_path / "p.parquet").taken)


# ---- files


def test_files__of_other_kinds__counted(tree: Callable[[Files], Path]) -> None:
    content = {**many("a", 3), **many("b", 3), "a/x.HEIC": b"x", "a/y.heic": b"x", "b/z.psd": b"x", "b/raw.NEF": b"x"}
    content |= {"notes.txt": b"x", "LICENSE": b"x", "top.png": coded(5)}
    dataset = open_dataset(tree(content))
    expected = {".heic": 2, ".nef": 1, ".psd": 1, ".txt": 1, "beside the class folders": 1, "of unknown kind": 1}
    assert dataset.taken.not_read == expected
    line = str(dataset.taken)
    assert "not read: 2 .heic, 1 .nef, 1 .psd" in line
    assert "pip install 'fennec-recommender[heic]' reads HEIC" in line


def test_files__a_class_of_them_alone__refused(tree: Callable[[Files], Path]) -> None:
    source = tree({**many("a", 3), **many("b", 3), "c/1.cr2": b"x", "c/2.cr2": b"x", "code/x.py": b"x"})
    with pytest.raises(InputError, match="class 'c' of .* has no picture that is read: 2 .cr2"):
        open_dataset(source)


def test_files__a_class_whose_files_are_missing__refused(tmp_path: Path) -> None:
    frame = pd.DataFrame({"image": ["0.png", "1.png", "x.png", "y.png"], "label": ["a", "b", "c", "c"]})
    with pytest.raises(InputError, match="class 'c' of .* has no picture that is read: 2 missing"):
        open_dataset(table(tmp_path, frame))


@pytest.mark.parametrize("suffix", [".jfif", ".jpe", ".pjpeg", ".JPG", ".Jpeg"])
def test_files__other_names_of_jpeg__read(tree: Callable[[Files], Path], suffix: str) -> None:
    dataset = open_dataset(tree({f"{c}/1{suffix}": coded(index, "JPEG") for index, c in enumerate("ab")}))
    assert counts(dataset) == {"a": 1, "b": 1}


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"])
def test_files__without_a_suffix__known_by_their_first_bytes(tree: Callable[[Files], Path], kind: str) -> None:
    content = {
        "a/0001": coded(1, kind),
        "b/photo 12.03.2020": coded(2, kind),
        "b/Makefile": b"all: x",
        "b/BMAP": b"BM letters",
    }
    dataset = open_dataset(tree(content))
    assert counts(dataset) == {"a": 1, "b": 1}
    assert dataset.taken.not_read == {"of unknown kind": 2}


@pytest.mark.parametrize("name", [".ipynb_checkpoints", "@eaDir", "__MACOSX", ".thumbnails", "$RECYCLE.BIN", ".git"])
def test_files__of_tools__skipped_alike_in_folders_and_archives(tree: Callable[[Files], Path], name: str) -> None:
    content = {**many("pets/a", 2), **many("pets/b", 2), **many(f"pets/{name}", 2), **many(f"{name}/a", 1)}
    content |= {"pets/a/._0.png": b"x", "pets/Thumbs.db": b"x", ".DS_Store": b"x"}
    dataset = open_dataset(tree(content))
    assert (counts(dataset), dataset.taken.not_read) == ({"a": 2, "b": 2}, {})


def test_files__zip_made_on_windows__read(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "w.zip", "w") as archive:
        for folder in ("hot", "cold"):
            for index in range(2):
                member = zipfile.ZipInfo("x")
                member.filename = f"set\\{folder}\\{index}.png"
                archive.writestr(member, coded(index + len(folder)))
    dataset = open_dataset(tmp_path / "w.zip")
    assert counts(dataset) == {"cold": 2, "hot": 2}
    assert dataset.load(0) == coded(4)
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        member = zipfile.ZipInfo("x")
        member.filename = "..\\..\\1.png"
        archive.writestr(member, b"x")
    with pytest.raises(InputError, match="member outside itself"):
        open_dataset(tmp_path / "bad.zip")


def test_files__more_beside_the_folders_than_in_them__no_classes(tree: Callable[[Files], Path]) -> None:
    dataset = open_dataset(tree({**files(*[f"{index}.png" for index in range(9)]), **many("old", 2), **many("new", 2)}))
    assert (dataset.labels, len(dataset)) == (None, 13)
    assert "no classes, as 9 of its pictures lie beside the folders (new, old)" in str(dataset.taken)


def test_files__folders_within_one_class__a_word(tree: Callable[[Files], Path]) -> None:
    dataset = open_dataset(tree({**many("photos/x", 3), **many("photos/y", 3), **many("paper", 1)}))
    assert "class 'photos' has folders of its own (x, y): are these the classes?" in str(dataset.taken)


# ---- duplicates


def test_duplicates__across_parts_and_classes__counted(tree: Callable[[Files], Path]) -> None:
    content = {**many("train/a", 4), **many("train/b", 4), **many("test/a", 2), **many("test/b", 2)}
    content["test/a/0.png"] = content["train/a/1.png"]
    content["train/b/0.png"] = content["train/a/2.png"]
    taken = open_dataset(tree(content)).taken
    assert (taken.across_parts, taken.across_classes) == (1, 2)
    assert "1 picture also in another part; 2 pictures also in another class" in str(taken)


def test_duplicates__rows_of_a_parquet_file__counted(tmp_path: Path) -> None:
    frame = rows_of("abcdef", list("xyxyxy"))
    frame.loc[3, "image"] = frame.loc[0, "image"]
    frame.assign(split=["train"] * 5 + ["test"]).to_parquet(tmp_path / "p.parquet")
    assert open_dataset(tmp_path / "p.parquet").taken.across_classes == 2


# ---- what is said


def test_taken__line_and_plain_values__say_the_same() -> None:
    taken = Taken(
        "photos",
        1240,
        {"ants": 310, "bees": 280, "cats": 200, "dogs": 450},
        "train",
        not_read={".heic": 40, "beside the class folders": 3},
        columns_not_used=("age", "sex"),
    )
    assert str(taken) == (
        'photos: 1,240 pictures, 4 classes (ants 310, bees 280, cats 200, ...), part "train"; '
        "not read: 40 .heic, 3 files beside the class folders; columns not used: age, sex"
    )
    plain = taken.to_dict()
    assert plain["line"] == str(taken)
    assert json.loads(json.dumps(plain)) == plain


def test_image_dataset__labels_that_are_no_classes__refused() -> None:
    for labels in (np.array([0, 1, -1]), np.array([0.0, 1.0, np.nan]), np.array([0, 1, 2]), np.array([0, 1])):
        with pytest.raises(InputError, match="labels of 'x' are not 3 numbers from 0 to 1"):
            ImageDataset("x", list("abc"), lambda index: b"", labels, ("a", "b"))
    with pytest.raises(InputError, match="2 pictures and 1 labels of 'pictures'"):
        open_pictures([b"", b""], ["a"])


def test_open_pictures__arrays__read() -> None:
    dataset = open_pictures([np.full((4, 5), 7, dtype=np.uint8), np.zeros((4, 5, 3), dtype=np.uint8)], np.array([1, 0]))
    assert counts(dataset) == {"0": 1, "1": 1}
