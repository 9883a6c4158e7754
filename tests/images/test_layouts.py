"""Any tree of parts, classes, strays and kinds of files: the same dataset from a folder, zip, tar, CSV or parquet."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fennec.images.datasets import ImageDataset
from fennec.images.open import open_dataset

from .made import as_folder, as_tar, as_zip, coded

PARTS = [
    (),
    ("train", "test"),
    ("TRAIN", "VAL", "TEST"),
    ("Training", "Testing"),
    ("seg_train", "seg_test"),
    ("train2017", "val2017"),
    ("train_images", "valid_images"),
]
CLASSES = ["ant", "bee", "train car", "None", "NA", "valid", "кот", "a.b", "7", "test-tube", "C D", "null"]
PICTURE_SUFFIXES = [".png", ".PNG", ".jpg", ".jfif", ""]
KINDS = {".jpg": "JPEG", ".jfif": "JPEG"}
OTHER_SUFFIXES = [".heic", ".psd", ".txt", ".json", ".xml"]
HIDDEN = [".ipynb_checkpoints/0.png", "@eaDir/0.png", ".hidden.png", "__MACOSX/0.png", "Thumbs.db"]


@dataclass(frozen=True)
class Layout:
    """Files by path, the pictures among them as (part, class), and what is expected to be counted."""

    files: Mapping[str, bytes]
    pictures: Mapping[str, tuple[str | None, str]]
    not_read: Mapping[str, int]
    chosen: str | None


@st.composite
def layouts(draw: st.DrawFn) -> Layout:
    parts = draw(st.sampled_from(PARTS))
    classes = draw(st.lists(st.sampled_from(CLASSES), min_size=2, max_size=4, unique=True))
    wrapper = draw(st.sampled_from(["", "set/", "data/photos/"]))
    files: dict[str, bytes] = {}
    pictures: dict[str, tuple[str | None, str]] = {}
    not_read: Counter[str] = Counter()
    seed = draw(st.integers(0, 10**6))
    chosen = parts[0] if parts else None
    for part in parts or (None,):
        above = wrapper + (f"{part}/" if part is not None else "")
        for label in classes:
            for index in range(draw(st.integers(1, 3))):
                suffix = draw(st.sampled_from(PICTURE_SUFFIXES))
                deeper = draw(st.sampled_from(["", "", "deeper/"]))
                path = f"{above}{label}/{deeper}{index}{suffix}"
                seed += 1
                files[path] = coded(seed, KINDS.get(suffix, "PNG"))
                pictures[path] = (part, label)
            for index, suffix in enumerate(draw(st.lists(st.sampled_from(OTHER_SUFFIXES), max_size=2))):
                files[f"{above}{label}/other{index}{suffix}"] = b"no picture"
                not_read[suffix] += part == chosen
            for name in draw(st.lists(st.sampled_from(HIDDEN), max_size=2)):
                files[f"{above}{label}/{name}"] = coded(0)
        if draw(st.booleans()):  # one picture beside the class folders
            seed += 1
            files[f"{above}loose.png"] = coded(seed)
            not_read["beside the class folders"] += part == chosen
    return Layout(files, pictures, {kind: n for kind, n in not_read.items() if n}, chosen)


def summary(dataset: ImageDataset) -> list[tuple[bytes, str]]:
    """Content and class of every picture, in any order."""
    assert dataset.labels is not None
    found = []
    for index, label in enumerate(dataset.labels):
        content = dataset.load(index)
        assert isinstance(content, (bytes, Path))
        found.append((content if isinstance(content, bytes) else content.read_bytes(), dataset.class_names[label]))
    return sorted(found)


def check(dataset: ImageDataset, layout: Layout, not_read: Mapping[str, int]) -> None:
    pairs = [(layout.files[path], label) for path, (part, label) in layout.pictures.items() if part == layout.chosen]
    assert summary(dataset) == sorted(pairs)
    assert dataset.taken.part == layout.chosen
    assert dict(dataset.taken.not_read) == dict(not_read)
    assert dataset.taken.n_unlabelled == 0
    assert dataset.taken.class_counts == Counter(label for _, label in pairs)
    assert set(dataset.taken.other_parts) == {part for part, _ in layout.pictures.values()} - {layout.chosen}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(layouts())
def test_open_dataset__any_tree__the_same_from_folder_zip_and_tar(layout: Layout) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for make in (as_folder, as_zip, as_tar):
            check(open_dataset(make(Path(folder) / make.__name__, layout.files)), layout, layout.not_read)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(layouts(), st.integers(0, 3), st.integers(0, 3))
def test_open_dataset__any_table__the_same_from_csv_and_parquet(layout: Layout, n_missing: int, n_bare: int) -> None:
    rows = [(path, label, part) for path, (part, label) in layout.pictures.items()]
    kept = next(label for _, label, part in rows if part == layout.chosen)
    rows += [(f"gone{index}.png", kept, layout.chosen) for index in range(n_missing)]
    rows += [(f"bare{index}.png", None, layout.chosen) for index in range(n_bare)]
    frame = pd.DataFrame(rows, columns=["image", "label", "split"])
    if layout.chosen is None:
        frame = frame.drop(columns="split")
    bare = {f"bare{index}.png": coded(10**7 + index) for index in range(n_bare)}
    files = {**layout.files, **bare}
    with tempfile.TemporaryDirectory() as folder:
        root = as_folder(Path(folder) / "set", files)
        frame.to_csv(root / "list.csv", index=False)
        held = frame.assign(image=[files.get(path) for path in frame["image"]])
        held.to_parquet(root / "list.parquet", row_group_size=3)
        for name, kind in (("list.csv", "missing"), ("list.parquet", "without a picture")):
            dataset = open_dataset(root / name)
            assert dataset.taken.n_unlabelled == n_bare
            object.__setattr__(dataset.taken, "n_unlabelled", 0)
            check(dataset, layout, {kind: n_missing} if n_missing else {})
