"""Pictures that are in another part or class as well, in datasets of other libraries."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from fennec.images.listing import PARTLY
from fennec.images.open import open_dataset, open_pictures

from .made import as_folder, coded, many


def told(source: str | Path, split: str | None = None) -> tuple[int, int]:
    taken = open_dataset(source, split=split).taken
    assert PARTLY not in taken.notes
    return taken.across_parts, taken.across_classes


def _idx(path: Path, values: np.ndarray) -> None:
    """As MNIST keeps numbers."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sizes = struct.pack(f">{values.ndim}I", *values.shape)
    path.write_bytes(bytes([0, 0, 8, values.ndim]) + sizes + values.astype(np.uint8).tobytes())


def test_torchvision__arrays__compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FENNEC_CACHE_DIR", str(tmp_path))
    pictures = np.random.default_rng(0).integers(0, 256, (3000, 28, 28), dtype=np.uint8)
    pictures[1], pictures[2900], pictures[2901] = pictures[0], pictures[7], pictures[7]
    for name, rows in (("train", slice(2500)), ("t10k", slice(2500, 3000))):
        _idx(tmp_path / f"torchvision/MNIST/raw/{name}-images-idx3-ubyte", pictures[rows])
        _idx(tmp_path / f"torchvision/MNIST/raw/{name}-labels-idx1-ubyte", np.arange(3000)[rows] % 10)
    assert told("torchvision:MNIST") == (1, 2)
    assert told("torchvision:MNIST", "test") == (2, 2)


def test_torchvision__files__compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FENNEC_CACHE_DIR", str(tmp_path))
    content = {k: v for part in ("train", "valid", "test") for c in ("negative", "positive")
               for k, v in many(f"{part}/{c}", 3).items()}  # fmt: skip
    content["train/negative/0.png"] = content["train/positive/1.png"]
    content["valid/negative/2.png"] = content["train/negative/2.png"]
    as_folder(tmp_path / "torchvision/rendered-sst2", content)
    assert told("torchvision:RenderedSST2") == (1, 2)
    assert told("torchvision:RenderedSST2", "test") == (0, 0)


def test_scikit_learn__digits__compared(monkeypatch: pytest.MonkeyPatch) -> None:
    assert told("sklearn:digits") == (0, 0)
    digits = load_digits()
    digits.images[1] = digits.images[0]
    monkeypatch.setattr("sklearn.datasets.load_digits", lambda: digits)
    assert told("sklearn:digits") == (0, 2)


@pytest.mark.parametrize("saved", [True, False])
@pytest.mark.parametrize("embedded", [True, False])
def test_hugging_face__other_splits__compared(tmp_path: Path, saved: bool, embedded: bool) -> None:
    library = pytest.importorskip("datasets")
    folder = as_folder(tmp_path / "pictures", {f"{index}.png": coded(index) for index in range(6)})
    kinds = library.Features({"image": library.Image(), "label": library.ClassLabel(names=["a", "b"])})

    def rows(numbers: list[int]) -> object:
        paths = [folder / f"{number}.png" for number in numbers]
        cells = [{"bytes": path.read_bytes() if embedded else None, "path": str(path)} for path in paths]
        return library.Dataset.from_dict(
            {"image": cells, "label": [n % 2 for n, _ in enumerate(numbers)]}, features=kinds
        )

    made = library.DatasetDict(train=rows([0, 1, 2, 0, 4]), test=rows([5, 2]))
    if saved:
        made.save_to_disk(str(tmp_path / "set"))
    else:
        (tmp_path / "set").mkdir()
        for part, table in made.items():
            table.to_parquet(tmp_path / f"set/{part}.parquet")
    assert told(f"hf:{tmp_path / 'set'}") == (1, 2)
    assert told(f"hf:{tmp_path / 'set'}", "test") == (1, 0)


def test_open_pictures__at_hand__compared() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    other = Image.fromarray(255 - picture)
    taken = open_pictures([picture, picture.copy(), other, other.copy(), coded(1)], list("ababa")).taken
    assert taken.across_classes == 4
