"""Which files are pictures, which pictures are the same, and what is said of a dataset."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fennec.errors import InputError
from fennec.images.datasets import ImageDataset, Taken
from fennec.images.open import open_dataset, open_pictures

from .made import Files, as_folder, coded, counts, files, many, rows_of, table


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


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("docs/a.pdf", "docs/in/b.pdf", "docs/c.txt"), "'docs' (2 .pdf, 1 .txt)"),
        (("owls/a.txt",), "'owls' (1 .txt)"),
        (("Docs/a.pdf", "owls/README"), "'Docs' (1 .pdf), 'owls' (1 of unknown kind)"),
    ],
)
def test_files__folder_beside_the_classes_without_a_picture__said(
    tree: Callable[[Files], Path], names: Sequence[str], said: str
) -> None:
    taken = open_dataset(tree({**many("cats", 3), **many("dogs", 3), **dict.fromkeys(names, b"text")})).taken
    assert (taken.class_counts, sum(taken.not_read.values())) == ({"cats": 3, "dogs": 3}, len(names))
    assert str(taken).endswith(f"no picture and so no class in {said}")


def test_files__link_to_a_class_folder__said(tmp_path: Path) -> None:
    root = as_folder(tmp_path / "set", {**many("cats", 3), **many("dogs", 3)})
    for link, target in (("kitties", root / "cats"), ("dogs/loop", root)):
        (root / link).symlink_to(target, target_is_directory=True)
    taken = open_dataset(root).taken
    assert taken.class_counts == {"cats": 3, "dogs": 3}
    assert taken.notes == ("no picture and so no class in 'kitties' (no files of its own)",)


@pytest.mark.parametrize(
    ("endings", "said"),
    [
        (
            ("", "_mask", "_mask_1"),
            ("12 pictures called like another with '_mask' behind: are they pictures of their own?",),
        ),
        (("_left", "_right", "_1"), ()),
    ],
)
def test_files__masks_beside_their_pictures__said(
    tree: Callable[[Files], Path], endings: Sequence[str], said: tuple[str, ...]
) -> None:
    names = [f"{c}/scan ({n}){ending}.png" for c in "ab" for n in range(3) for ending in endings]
    assert open_dataset(tree(files(*names))).taken.notes == said


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("Cat", "cat", "dog"), "'Cat' and 'cat'"),
        (("red_oak", "red oak", "elm"), "'red oak' and 'red_oak'"),
        (("na\u00efve", "nai\u0308ve"), "'nai\u0308ve' and 'na\u00efve'"),
        (("-1", "1", "C", "C++", "+", "-"), None),
    ],
)
def test_classes__written_almost_alike__said(names: Sequence[str], said: str | None) -> None:
    pictures = [coded(index) for index in range(2 * len(names))]
    taken = open_pictures(pictures, [*names, *names]).taken
    assert taken.notes == (() if said is None else (f"written almost alike and taken as different classes: {said}",))


@pytest.mark.parametrize("kind", [None, "zip", "tar"])
def test_files__empty_folder_beside_the_classes__said(tmp_path: Path, kind: str | None) -> None:
    root = as_folder(tmp_path / "set", {**many("train/cats", 3), **many("train/dogs", 3), **many("val/cats", 3)})
    for name in ("train/owls/deep", "train/emus", ".cache", "runs"):
        (root / name).mkdir(parents=True)
    (root / "train/emus/.gitkeep").touch()
    source = root if kind is None else shutil.make_archive(str(root), kind, root)
    assert open_dataset(source).taken.notes == (
        "no picture and so no class in 'train/emus' (no files of its own), 'train/owls' (no files of its own)",
    )


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
