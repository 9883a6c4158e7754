"""The files in `data/`: complete, in range, without duplicates, and the same as the script makes them."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import timm

from fennec.checkpoints.catalog import load_catalog
from fennec.errors import InputError, UnknownTaskError
from fennec.evidence.hubs import find_hub, load_hubs, load_matrix, load_tasks
from fennec.settings import data_dir
from fennec.tasks.embedding_files import load_known_embeddings

RESULTS = sorted((data_dir() / "results").glob("*.csv"))

# Sets of weights, fewer than published names: hf180, vtab291, lovm35, clip121 and timm1557 list some under two names or
# at two resolutions. vtab291: five models lost all results to the failure flags.
SIZES = {
    "cnn11": (11, 11),
    "ssl12": (12, 11),
    "vit13": (13, 11),
    "hf180": (178, 12),
    "vtab291": (283, 19),
    "parc70": (70, 7),
    "clip121": (113, 38),
    "lovm35": (34, 23),
    "aitlas10": (10, 22),
    "medmnist10": (10, 12),
    "bio85": (85, 13),
    "timm1557": (1262, 8),
    "lab24": (30, 16),
}


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_results__ranges_duplicates_card(path: Path) -> None:
    frame = pd.read_csv(path, keep_default_na=False)
    assert list(frame.columns) == ["model", "task", "metric", "protocol", "value"]
    assert frame["value"].between(0, 1).all()
    assert not frame.duplicated(["model", "task", "metric", "protocol"]).any()
    assert frame["protocol"].isin(["finetune", "linear_probe", "zero_shot", "eval"]).all()
    card = (data_dir() / "cards" / f"{path.stem}.md").read_text(encoding="utf-8")
    for field in ("paper", "repository and commit", "licence", "protocol", "metric", "unit", "caveats"):
        assert f"| {field}" in card


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_results__every_model_in_the_catalog_every_task_in_the_tasks(path: Path) -> None:
    frame = pd.read_csv(path, keep_default_na=False)
    names = {
        name
        for text in load_catalog().frame["names"]
        for source, spellings in json.loads(text or "{}").items()
        if source == path.stem
        for name in spellings
    }
    assert set(frame["model"]) <= names
    assert set(frame["task"]) <= set(load_tasks().index)


@pytest.mark.parametrize("name", load_hubs())
def test_hub__size_and_columns(name: str) -> None:
    matrix = load_matrix(name)
    assert matrix.performance.shape == SIZES[name]
    assert set(matrix.models) <= set(load_catalog().ids)
    for one, two in combinations(range(matrix.n_tasks), 2):
        a, b = matrix.performance[:, one], matrix.performance[:, two]
        assert not np.array_equal(a, b, equal_nan=True), (matrix.tasks[one], matrix.tasks[two])


def test_catalog__every_timm_checkpoint_with_its_metadata() -> None:
    catalog = load_catalog()
    for name in timm.list_models(pretrained=True):
        record = catalog[catalog.find(f"timm:{name}")]
        assert record.library == "timm"
        stated = str(timm.get_pretrained_cfg(record.id.removeprefix("timm:")).license or "").lower()
        assert record.license == stated or stated in ("", "unknown")
        assert record.params is not None
        assert record.counted


def test_tasks__same_images_under_several_names__one_image_set() -> None:
    sets = load_tasks()["image_set"]
    groups = (
        "kitti_distance kitti",
        "dsprites_location dsprites_orientation",
        "smallnorb_azimuth smallnorb_elevation",
        "clevr_count clevr_distance",
        "bloodmnist bloodmnist_28",
        "imagenet imagenet_real",
        "dermamnist ham10000",
    )
    for same in groups:
        assert sets[same.split()].nunique() == 1, same


def test_data__size() -> None:
    files = [path for path in data_dir().rglob("*") if path.is_file()]
    facts = [path for path in files if "proxies" not in path.parts and "embeddings" not in path.parts]
    assert sum(path.stat().st_size for path in facts) < 12e6
    assert (data_dir() / "proxies" / "fennec-mini" / "model.safetensors").stat().st_size < 12e6


@pytest.mark.parametrize("proxy", ["fennec-mini", "dav2-ViT-S-14"])
def test_embeddings__known_tasks__all_23(proxy: str) -> None:
    embeddings = load_known_embeddings(proxy)
    assert len(embeddings) == 23
    assert len({embedding.fingerprint for embedding in embeddings.values()}) == 1
    assert set(embeddings) <= set(load_tasks()["image_set"])


@pytest.mark.shared
def test_build_data__from_the_published_tables__same_bytes(shared: Path, tmp_path: Path) -> None:
    script = Path(__file__).parents[2] / "benchmark" / "build_data.py"
    subprocess.run(
        [sys.executable, str(script), "--shared", str(shared), "--output", str(tmp_path)],
        check=True,
        capture_output=True,
    )
    made = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(made) > 2 * len(RESULTS)
    for path in made:
        assert path.read_bytes() == (data_dir() / path.relative_to(tmp_path)).read_bytes(), path.name


@pytest.mark.shared
def test_results__flagged_cells__absent(shared: Path) -> None:
    flags = pd.read_csv(shared / "transfer" / "flags.csv", keep_default_na=False)
    key = ["model", "task", "metric", "protocol"]
    for source, rows in flags.groupby("source"):
        path = data_dir() / "results" / f"{source}.csv"
        if path.exists():
            frame = pd.read_csv(path, keep_default_na=False)
            assert not pd.MultiIndex.from_frame(frame[key]).isin(pd.MultiIndex.from_frame(rows[key])).any()


def test_find_hub__default_and_errors() -> None:
    assert find_hub("default").name == "hf180"
    assert find_hub("default", protocol="zero_shot").name == "clip121"
    with pytest.raises(UnknownTaskError, match="unknown hub 'hf18'; did you mean 'hf180'"):
        find_hub("hf18")
    with pytest.raises(UnknownTaskError, match="unknown protocol 'tune'; there are finetune"):
        find_hub("default", protocol="tune")
    with pytest.raises(InputError, match="zero_shot, not by finetune"):
        find_hub("clip121", protocol="finetune")
