"""Pictures and archives that are not what they seem: skipped, counted and named, in bounded memory."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import zipfile
from pathlib import Path

import pytest

from fennec.errors import InputError
from fennec.images import decode as decoding
from fennec.images.archives import MAX_MEMBER
from fennec.images.datasets import ReadReport, iter_images, sample
from fennec.images.open import open_dataset
from fennec.memory import forget_peak, peak_megabytes
from tests.fuzz.pictures import encoded, good_folder


def read(source: Path) -> tuple[list[str], dict[str, str]]:
    """Names of the pictures that are read, and why the others are not."""
    images = open_dataset(source)
    report = ReadReport()
    names = [images.items[index] for index, _ in iter_images(images, sample(images), report)]
    return names, dict(report.skipped)


@pytest.mark.parametrize("error", [RuntimeError, MemoryError, TypeError, KeyError, AssertionError, RecursionError])
def test_decoder__raises_anything__picture_is_skipped_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    good_folder(tmp_path)
    before = decoding._to_rgb
    calls: list[object] = []

    def failing(*arguments: object) -> object:
        calls.append(arguments)
        if len(calls) == 1:
            raise error("of a decoder")
        return before(*arguments)

    monkeypatch.setattr(decoding, "_to_rgb", failing)
    names, skipped = read(tmp_path)
    assert (len(names), len(skipped)) == (3, 1)
    assert all(reason in ("larger than the memory", "of a decoder", "'of a decoder'") for reason in skipped.values())


def test_folder__links_to_themselves_pipes_and_odd_bytes__the_rest_is_read(tmp_path: Path) -> None:
    root = good_folder(tmp_path / "photos")
    (root / "cat" / "loop.png").symlink_to("loop.png")
    os.mkfifo(root / "cat" / "pipe.png")
    os.mkfifo(root / "cat" / "notes")
    with open(os.fsencode(root) + b"/dog/\xe9t\xe9.png", "wb") as file:  # noqa: PTH123 - a name that is no text
        file.write(encoded("PNG", 3))
    names, skipped = read(root)
    assert "dog/\\udce9t\\udce9.png" in names
    assert len(names) == 5
    assert "symbolic links" in skipped["cat/loop.png"]
    assert skipped["cat/pipe.png"] == "no regular file"


def test_folder__two_files_of_gigabytes__not_compared(tmp_path: Path) -> None:
    root = good_folder(tmp_path)
    for name in ("cat", "dog"):
        with (root / name / "huge.png").open("wb") as file:
            file.truncate(3 * 2**30)
    forget_peak("cpu")
    before = peak_megabytes("cpu")
    assert len(read(root)[0]) == 4
    assert peak_megabytes("cpu") - before < 300


def packed(folder: Path, odd: str, content: bytes, method: int = zipfile.ZIP_DEFLATED) -> Path:
    path = folder / "data.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        for label in ("cat", "dog"):
            archive.writestr(f"{label}/good.png", encoded("PNG", len(label)) + label.encode())
        archive.writestr(odd, content)
    return path


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_zip__member_of_nothing_but_zeros__skipped_without_unpacking(tmp_path: Path, method: int) -> None:
    names, skipped = read(packed(tmp_path, "cat/bomb.png", bytes(20 * 2**20), method))
    assert len(names) == 2
    assert skipped == {"cat/bomb.png": "unpacks to more than 200 times its size"}


def test_zip__member_that_claims_a_terabyte__skipped(tmp_path: Path) -> None:
    path = packed(tmp_path, "cat/huge.png", b"no picture")
    data = bytearray(path.read_bytes())
    entry = data.rindex(b"PK\x01\x02")
    data[entry + 24 : entry + 28] = (2**32 - 2).to_bytes(4, "little")
    path.write_bytes(data)
    names, skipped = read(path)
    assert len(names) == 2
    assert f"at most {MAX_MEMBER // 2**20} MB are read" in skipped["cat/huge.png"]


def test_zip__packed_by_bzip2_to_more_than_it_claims__memory_is_bounded(tmp_path: Path) -> None:
    path = packed(tmp_path, "cat/liar.png", bytes(60 * 2**20), zipfile.ZIP_BZIP2)
    data = bytearray(path.read_bytes())
    entry = data.rindex(b"PK\x01\x02")
    data[entry + 24 : entry + 28] = (10_000).to_bytes(4, "little")
    path.write_bytes(data)
    forget_peak("cpu")
    before = peak_megabytes("cpu")
    names, skipped = read(path)
    assert len(names) == 2
    assert skipped == {"cat/liar.png": "damaged or encrypted in the archive"}
    assert peak_megabytes("cpu") - before < 30


def test_zip__names_that_no_system_holds__left_out_and_said(tmp_path: Path) -> None:
    taken = str(open_dataset(packed(tmp_path, "d/" * 20_000 + "deep.png", encoded("PNG", 5))).taken)
    assert "2 pictures" in taken
    assert "1 members with names of more than 1,000 characters or 60 folders left out" in taken


def tar_of(*names: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for index, name in enumerate(names):
            info = tarfile.TarInfo(name)
            info.size = len(encoded("PNG", index))
            archive.addfile(info, io.BytesIO(encoded("PNG", index)))
    return buffer.getvalue()


@pytest.mark.parametrize("how", ["cut", "header", "cut when packed", "backwards"])
def test_tar__damaged_behind_some_members__those_are_read_and_it_is_said(tmp_path: Path, how: str) -> None:
    data = bytearray(tar_of("cat/0.png", "dog/0.png", "dog/1.png"))
    third = data.index(b"dog/1.png")
    path = tmp_path / ("data.tar.gz" if how == "cut when packed" else "data.tar")
    if how == "header":
        data[third : third + 512] = b"x" * 512
    elif how == "backwards":
        second = data.index(b"dog/0.png")
        data[second + 124 : second + 136] = b"-0000002000\0"
        head = bytes(data[second : second + 512])
        total = sum(head[:148]) + 8 * 32 + sum(head[156:])
        data[second + 148 : second + 156] = f"{total:06o}\0 ".encode()
    content = bytes(data[: third + 200]) if how == "cut" else bytes(data)
    if how == "cut when packed":
        packed_content = gzip.compress(content)
        content = packed_content[: 3 * len(packed_content) // 4]
    path.write_bytes(content)
    names, _ = read(path)
    assert names[0] == "cat/0.png"
    assert "the archive is damaged and only its beginning was read" in str(open_dataset(path).taken)


def test_tar__packed_zeros__refused_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fennec.images.archives.LEAST_UNPACKED", 2**20)
    path = tmp_path / "data.tar.gz"
    path.write_bytes(gzip.compress(bytes(2**25)))
    with pytest.raises(InputError, match="unpacks to more than 200 times its size"):
        open_dataset(path)


@pytest.mark.parametrize("name", ["pipe.csv", "pipe.zip", "pipe.tar", "pipe"])
def test_source__a_pipe__refused_at_once(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(InputError, match="neither a folder nor a regular file"):
        open_dataset(tmp_path / name)


def test_zip__names_that_are_no_utf8_although_it_says_so__all_pictures_read_under_names_that_print(
    tmp_path: Path,
) -> None:
    path = packed(tmp_path, "cat/\xe9t\xe9 one.png", encoded("PNG", 3))
    whole = path.read_bytes()
    name = "cat/\xe9t\xe9 one.png".encode()
    assert whole.count(name) == 2
    path.write_bytes(whole.replace(name, b"cat/\xff\xfet\xff\xfe one.png"))
    names, skipped = read(path)
    assert skipped == {}
    assert sorted(names) == ["cat/\\udcff\\udcfet\\udcff\\udcfe one.png", "cat/good.png", "dog/good.png"]


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_archive__one_name_twice__said_and_the_last_taken(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"data.{kind}"
    members = [("cat/a.png", 1), ("dog/b.png", 2), ("cat/a.png", 3)]
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, seed in members[:2]:
                archive.writestr(name, encoded("PNG", seed))
            with pytest.warns(UserWarning, match="Duplicate name"):
                archive.writestr(members[2][0], encoded("PNG", members[2][1]))
    else:
        with tarfile.open(path, "w") as tar:
            for name, seed in members:
                info = tarfile.TarInfo(name)
                info.size = len(encoded("PNG", seed))
                tar.addfile(info, io.BytesIO(encoded("PNG", seed)))
    images = open_dataset(path)
    assert len(images) == 2
    assert "'cat/a.png' is in the archive several times: the last was taken" in str(images.taken)
