from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fennec.errors import ArtifactError, InputError
from fennec.tasks.embedding import TaskEmbedding, embed_task
from fennec.tasks.embedding_files import load_embeddings, load_known_embeddings, save_embeddings
from fennec.tasks.proxy import Proxy


def features(n: int = 30, d: int = 5, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, d)) * [1, 2, 3, 4, 5][:d] + 10


def assert_same(one: TaskEmbedding, two: TaskEmbedding, tolerance: float = 1e-9) -> None:
    assert one.n_images == two.n_images
    np.testing.assert_allclose(one.mean, two.mean, atol=tolerance)
    np.testing.assert_allclose(one.scatter, two.scatter, atol=1e-6)
    assert one.class_names == two.class_names
    np.testing.assert_allclose(one.class_counts, two.class_counts)
    np.testing.assert_allclose(one.class_means, two.class_means, atol=tolerance)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 29), max_size=4, unique=True), st.integers(0, 100), st.booleans())
def test_merge__any_partition_in_any_order__same_as_one_pass(cuts: list[int], seed: int, labelled: bool) -> None:
    rows = features(seed=seed)
    names = np.array([f"class {value}" for value in np.random.default_rng(seed).integers(0, 4, 30)])
    whole = TaskEmbedding.from_features(rows, list(names) if labelled else None)
    order = np.random.default_rng(seed + 1).permutation(30)
    parts = [
        TaskEmbedding.from_features(rows[index], list(names[index]) if labelled else None)
        for index in np.split(order, sorted(cuts))
    ]
    merged = parts[0]
    for part in parts[1:]:
        merged = merged.merge(part)
    assert_same(merged, whole)


def test_statistics__against_numpy() -> None:
    rows, names = features(), ["a", "b", "c"] * 10
    embedding = TaskEmbedding.from_features(rows, names)
    np.testing.assert_allclose(embedding.covariance, np.cov(rows.T, ddof=0))
    np.testing.assert_allclose(embedding.std, rows.std(axis=0))
    within = sum(np.cov(rows[index::3].T, ddof=0) / 3 for index in range(3))
    np.testing.assert_allclose(embedding.covariance - embedding.between_covariance, within)
    assert embedding.n_classes == 3
    with pytest.raises(InputError, match="no labels"):
        _ = TaskEmbedding.from_features(rows).between_covariance


def test_merge__other_proxy__input_error() -> None:
    one = TaskEmbedding.from_features(features(), proxy="a", fingerprint="1")
    with pytest.raises(InputError, match="proxies 'a' and 'b'"):
        one.merge(TaskEmbedding.from_features(features(), proxy="b", fingerprint="2"))


@pytest.mark.parametrize("rows", [np.zeros((0, 3)), np.zeros(3), np.full((2, 2), np.nan)])
def test_from_features__unusable__input_error(rows: np.ndarray) -> None:
    with pytest.raises(InputError):
        TaskEmbedding.from_features(rows)


def test_embed_task__folder__matches_features_by_hand(image_folder: Path, plain_proxy: Proxy) -> None:
    embedding = embed_task(image_folder, proxy=plain_proxy)
    pictures = [Image.open(path).convert("RGB") for path in sorted(image_folder.rglob("*.png"))]
    expected = plain_proxy.embed(pictures)
    np.testing.assert_allclose(embedding.mean, expected.mean(axis=0), atol=1e-6)
    assert embedding.class_names == ("cat", "dog")
    assert embedding.class_counts.tolist() == [3, 3]
    assert embedding.name == "pets"
    assert embedding.seconds > 0


def test_embed_task__batches__do_not_matter(
    image_folder: Path, plain_proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = embed_task(image_folder, proxy=plain_proxy)
    original = plain_proxy.embed_batches
    monkeypatch.setattr(plain_proxy, "embed_batches", lambda images: original(images, batch_size=2))
    assert_same(embed_task(image_folder, proxy=plain_proxy), whole, tolerance=1e-6)


def test_embed_task__one_image__works(tmp_path: Path, plain_proxy: Proxy, picture: Callable[..., Image.Image]) -> None:
    picture().save(tmp_path / "only.png")
    embedding = embed_task(tmp_path, proxy=plain_proxy)
    assert embedding.n_images == 1
    assert (embedding.std == 0).all()


def test_embed_task__some_unreadable__counted(image_folder: Path, plain_proxy: Proxy) -> None:
    (image_folder / "cat" / "0.png").write_bytes(b"broken")
    embedding = embed_task(image_folder, proxy=plain_proxy)
    assert embedding.n_images == 5
    assert embedding.skipped[0][0] == "cat/0.png"


def test_save_embeddings__load__same_up_to_half_precision(tmp_path: Path) -> None:
    rows = features()
    known = {
        "labelled": TaskEmbedding.from_features(rows, ["a", "b"] * 15, name="x", proxy="p", fingerprint="f"),
        "plain": TaskEmbedding.from_features(rows[:7], name="y", proxy="p", fingerprint="f"),
    }
    save_embeddings(tmp_path / "e.safetensors", known)
    again = load_embeddings(tmp_path / "e.safetensors")
    assert list(again) == ["labelled", "plain"] or set(again) == set(known)
    for name, embedding in known.items():
        assert (again[name].name, again[name].proxy, again[name].fingerprint) == (embedding.name, "p", "f")
        np.testing.assert_allclose(again[name].mean, embedding.mean, rtol=1e-6)
        np.testing.assert_allclose(again[name].covariance, embedding.covariance, rtol=2e-3, atol=1e-2)
        assert again[name].class_names == embedding.class_names


def test_load_embeddings__damaged_newer_missing__artifact_error(tmp_path: Path) -> None:
    path = tmp_path / "e.safetensors"
    save_embeddings(path, {"a": TaskEmbedding.from_features(features(), proxy="p", fingerprint="f")})
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ArtifactError, match="damaged"):
        load_embeddings(path)
    with pytest.raises(ArtifactError, match="no task embeddings"):
        load_embeddings(tmp_path / "none.safetensors")
    assert not list(tmp_path.glob("*.part"))


def test_load_known_embeddings__unknown_proxy__says_how_to_make_them() -> None:
    with pytest.raises(InputError, match="fennec embed --known --proxy ViT-L-14/openai"):
        load_known_embeddings("ViT-L-14/openai")
