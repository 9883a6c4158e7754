from __future__ import annotations

import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fennec.errors import InputError, OfflineError
from fennec.images.datasets import ImageDataset, ReadReport, iter_images, sample
from fennec.images.open import open_dataset


def read_all(dataset: ImageDataset) -> tuple[list[np.ndarray], ReadReport]:
    report = ReadReport()
    images = [np.asarray(image) for _, image in iter_images(dataset, np.arange(len(dataset)), report)]
    return images, report


def as_csv(folder: Path, target: Path) -> Path:
    rows = [(os.path.relpath(path, target), path.parent.name) for path in sorted(folder.rglob("*.png"))]
    pd.DataFrame(rows, columns=["path", "label"]).to_csv(target / "m.csv", index=False)
    return target / "m.csv"


def as_parquet(folder: Path, target: Path) -> Path:
    paths = sorted(folder.rglob("*.png"))
    table = {"image": [path.read_bytes() for path in paths], "label": [path.parent.name for path in paths]}
    pd.DataFrame(table).to_parquet(target / "m.parquet", row_group_size=4)
    return target / "m.parquet"


def as_hugging_face_parquet(folder: Path, target: Path) -> Path:
    paths = sorted(folder.rglob("*.png"))
    images = [{"bytes": path.read_bytes(), "path": path.name} for path in paths]
    (target / "hf").mkdir()
    frame = pd.DataFrame({"image": images, "label": [path.parent.name for path in paths]})
    frame.to_parquet(target / "hf" / "train-00000-of-00001.parquet")
    return target / "hf"


def as_zip(folder: Path, target: Path) -> Path:
    with zipfile.ZipFile(target / "m.zip", "w") as archive:
        for path in sorted(folder.rglob("*.png")):
            archive.write(path, f"data/{path.relative_to(folder)}")
        archive.writestr("__MACOSX/cat/._0.png", b"")
    return target / "m.zip"


def as_tar(folder: Path, target: Path, mode: str = "w") -> Path:
    name = target / ("m.tar" + (".gz" if mode == "w:gz" else ""))
    with tarfile.open(name, mode) as archive:
        archive.add(folder, "data")
    return name


def as_split_folder(folder: Path, target: Path) -> Path:
    for path in sorted(folder.rglob("*.png")):
        for split in ("train", "test"):
            copy = target / "splits" / split / path.parent.name / path.name
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    return target / "splits"


SOURCES: dict[str, Callable[[Path, Path], Path]] = {
    "folder": lambda folder, target: folder,
    "split folder": as_split_folder,
    "csv": as_csv,
    "parquet": as_parquet,
    "hugging face parquet": as_hugging_face_parquet,
    "zip": as_zip,
    "tar": as_tar,
    "tar.gz": lambda folder, target: as_tar(folder, target, "w:gz"),
}


@pytest.mark.parametrize("kind", SOURCES)
def test_open_dataset__every_kind_of_source__same_pixels_and_labels(
    kind: str, image_folder: Path, tmp_path: Path
) -> None:
    dataset = open_dataset(SOURCES[kind](image_folder, tmp_path))
    assert dataset.class_names == ("cat", "dog")
    assert dataset.labels is not None
    assert dataset.labels.tolist() == [0, 0, 0, 1, 1, 1]
    images, report = read_all(dataset)
    expected = [np.asarray(Image.open(path)) for path in sorted(image_folder.rglob("*.png"))]
    assert report.n_read == 6
    assert not report.skipped
    for image, truth in zip(images, expected, strict=True):
        np.testing.assert_array_equal(image, truth)


def test_open_dataset__split__train_by_default_any_by_name(image_folder: Path, tmp_path: Path) -> None:
    root = as_split_folder(image_folder, tmp_path)
    (root / "test" / "cat" / "0.png").unlink()
    assert len(open_dataset(root)) == 6
    assert len(open_dataset(root, split="test")) == 5
    with pytest.raises(InputError, match="no split 'val'; there are test, train"):
        open_dataset(root, split="val")
    with pytest.raises(InputError, match="no split 'train'; there are none"):
        open_dataset(image_folder, split="train")


def test_open_dataset__flat_folder__unlabelled(tmp_path: Path, picture: Callable[..., Image.Image]) -> None:
    picture().save(tmp_path / "a.PNG")
    picture(1).save(tmp_path / "b.jpeg")
    dataset = open_dataset(tmp_path)
    assert len(dataset) == 2
    assert dataset.labels is None


def test_open_dataset__digits__real_pictures() -> None:
    dataset = open_dataset("sklearn:digits")
    assert len(dataset) == 1797
    assert len(dataset.class_names) == 10
    image = np.asarray(dataset.load(0))
    assert image.shape == (8, 8)
    assert image.max() == 255


def test_open_dataset__torchvision__local_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FENNEC_CACHE_DIR", str(tmp_path))
    folder = tmp_path / "torchvision" / "eurosat" / "2750"
    for name in ("Forest", "River"):
        (folder / name).mkdir(parents=True)
        Image.new("RGB", (8, 8), "green").save(folder / name / "1.jpg")
    dataset = open_dataset("torchvision:EuroSAT")
    assert dataset.class_names == ("Forest", "River")
    assert read_all(dataset)[1].n_read == 2


def test_open_dataset__hugging_face__local_folder(image_folder: Path) -> None:
    pytest.importorskip("datasets")
    dataset = open_dataset(f"hf:{image_folder}")
    assert dataset.class_names == ("cat", "dog")
    assert read_all(dataset)[1].n_read == 6


def test_open_dataset__hub_out_of_reach__offline_error() -> None:
    pytest.importorskip("datasets")
    with pytest.raises(OfflineError, match="cannot get 'hf:nobody/nothing'"):
        open_dataset("hf:nobody/nothing")


def test_open_dataset__wrong_path__nearest_offered(image_folder: Path) -> None:
    with pytest.raises(InputError, match="no dataset at .*did you mean 'pets'"):
        open_dataset(image_folder.with_name("pest"))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("", "empty string"),
        ("  ", "empty string"),
        ("kaggle:cats", "unknown kind of dataset 'kaggle:'"),
        ("torchvison:CIFAR10", "did you mean 'torchvision'"),
        ("torchvision:CIFAR", "unknown dataset 'torchvision:CIFAR'; did you mean .*CIFAR10"),
        ("torchvision:VisionDataset", "unknown dataset 'torchvision:VisionDataset'"),
        ("torchvision:ImageFolder", "torchvision downloads no ImageFolder, .* give the folder"),
        ("torchvision:FER2013", "torchvision downloads no FER2013"),
        ("torchvision:DatasetFolder", "cannot open torchvision's DatasetFolder: .*'loader'"),
        ("hf:", "'hf:' names no dataset; expected hf:ORG/NAME"),
        ("hf::config", "names no dataset; expected hf:ORG/NAME"),
        ("sklearn:iris", "there is sklearn:digits"),
    ],
)
def test_open_dataset__unknown_source__one_line(source: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        open_dataset(source)


def test_open_dataset__no_images__says_what_is_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds nothing"):
        open_dataset(tmp_path)
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(InputError, match=r"holds 1 \.txt"):
        open_dataset(tmp_path)
    with pytest.raises(InputError, match="cannot tell what"):
        open_dataset(tmp_path / "notes.txt")


def test_open_dataset__one_image_file__asks_for_its_folder(image_folder: Path) -> None:
    with pytest.raises(InputError, match="is one image; give the folder"):
        open_dataset(image_folder / "cat" / "0.png")


def test_iter_images__corrupt_and_truncated__skipped_counted_listed(image_folder: Path) -> None:
    good = (image_folder / "cat" / "0.png").read_bytes()
    (image_folder / "cat" / "1.png").write_bytes(good[: len(good) // 2])
    (image_folder / "dog" / "1.png").write_bytes(b"not an image")
    (image_folder / "dog" / "2.png").write_bytes(b"")
    images, report = read_all(open_dataset(image_folder))
    assert len(images) == report.n_read == 3
    assert [name for name, _ in report.skipped] == ["cat/1.png", "dog/1.png", "dog/2.png"]
    report.check_enough("pets")


def test_iter_images__nothing_readable__input_error(tmp_path: Path) -> None:
    for name in "abcd":
        (tmp_path / f"{name}.jpg").write_bytes(b"x")
    _, report = read_all(open_dataset(tmp_path))
    with pytest.raises(InputError, match=r"none of the 4 images .* could be read \(a\.jpg: not an image"):
        report.check_enough("x")


def test_open_dataset__symlink_loop__each_folder_once(image_folder: Path) -> None:
    (image_folder / "cat" / "again").symlink_to(image_folder, target_is_directory=True)
    assert len(open_dataset(image_folder)) == 6


def test_open_dataset__names_in_any_script__read(tmp_path: Path, picture: Callable[..., Image.Image]) -> None:
    folders = ["кошка", "狗", "emoji 🦊", "a:b", "x=y&z"]
    for name in folders:
        (tmp_path / name).mkdir()
        picture().save(tmp_path / name / "фото 写真.png")
    raw = os.fsencode(tmp_path) + b"/\xff\xfe"
    Path(os.fsdecode(raw)).mkdir()
    picture().save(os.fsdecode(raw + b"/1.png"))
    dataset = open_dataset(tmp_path)
    assert len(dataset.class_names) == 6
    assert read_all(dataset)[1].n_read == 6


def test_open_dataset__manifest_with_missing_files__skipped_and_listed(image_folder: Path, tmp_path: Path) -> None:
    manifest = as_csv(image_folder, tmp_path)
    (image_folder / "dog" / "0.png").unlink()
    dataset = open_dataset(manifest)
    _, report = read_all(dataset)
    assert report.n_read == 5
    assert len(report.skipped) == 1
    assert report.skipped[0][1] == "no such file"
    for path in image_folder.rglob("*.png"):
        path.unlink()
    with pytest.raises(InputError, match="none of the 6 files named"):
        open_dataset(manifest)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "no column of image paths"),
        ("", "not a readable table"),
        ("path,label\n", "none of the 0 files"),
    ],
)
def test_open_dataset__bad_manifest__one_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "m.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        open_dataset(tmp_path / "m.csv")


@pytest.mark.parametrize("name", ["m.zip", "m.tar", "m.tar.gz", "m.parquet"])
def test_open_dataset__corrupt_archive__one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\x1f\x8b this is no archive" * 50)
    with pytest.raises(InputError, match="not a readable"):
        open_dataset(tmp_path / name)


@pytest.mark.parametrize("member", ["../evil.png", "/etc/evil.png", "a/../../evil.png"])
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_open_dataset__member_outside_the_archive__refused(tmp_path: Path, member: str, kind: str) -> None:
    path = tmp_path / f"m.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(member, b"x")
    else:
        with tarfile.open(path, "w") as archive:
            info = tarfile.TarInfo(member)
            archive.addfile(info)
    with pytest.raises(InputError, match="member outside itself"):
        open_dataset(path)
    assert not (tmp_path.parent / "evil.png").exists()


def test_open_dataset__archive_without_images__one_line(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "m.zip", "w") as archive:
        archive.writestr("notes.txt", "x")
    with pytest.raises(InputError, match="no images in"):
        open_dataset(tmp_path / "m.zip")


def test_sample__ten_thousand_classes__as_many_as_asked() -> None:
    labels = np.arange(20_000) % 10_000
    names = tuple(map(str, range(10_000)))
    dataset = ImageDataset("many", range(20_000), lambda index: b"", labels, names)  # type: ignore[arg-type]
    chosen = sample(dataset, max_images=500)
    assert len(chosen) == len(set(labels[chosen])) == 500


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=80), st.integers(1, 60), st.integers(0, 9))
def test_sample__any_labels__balanced_sorted_seeded(labels: list[int], n: int, seed: int) -> None:
    dataset = ImageDataset("x", labels, lambda index: b"", np.array(labels), tuple("012345"))  # type: ignore[arg-type]
    state = np.random.get_state()[1].copy()  # noqa: NPY002 - the global state must not move
    chosen = sample(dataset, max_images=n, random_state=seed)
    assert len(chosen) == len(set(chosen)) == min(n, len(labels))
    assert (np.diff(chosen) > 0).all()
    np.testing.assert_array_equal(chosen, sample(dataset, max_images=n, random_state=seed))
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002
    drawn = np.bincount(np.array(labels)[chosen], minlength=6)
    there = np.bincount(labels, minlength=6)
    exhausted = drawn == there
    if (~exhausted).any():
        assert drawn[~exhausted].max() - drawn[~exhausted].min() <= 1
        assert drawn.max() <= drawn[~exhausted].min() + 1


def test_sample__no_images_asked__input_error(image_folder: Path) -> None:
    with pytest.raises(InputError, match="max_images is 0"):
        sample(open_dataset(image_folder), max_images=0)


@pytest.mark.shared
def test_open_dataset__real_pack__train_and_test(shared: Path) -> None:
    pack = shared / "images" / "flowers5"
    assert len(open_dataset(pack)) == 1000
    assert len(open_dataset(pack, split="test")) == 400
