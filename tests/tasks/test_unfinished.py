"""An embedding that is interrupted at any step ends as one that is not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fennec.images.open import open_dataset
from fennec.tasks import unfinished
from fennec.tasks.embedding import TaskEmbedding, embed_dataset
from fennec.tasks.proxy import Proxy
from fennec.tasks.unfinished import embed_large


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twenty pictures of two classes, two of them damaged."""
    for index in range(20):
        path = tmp_path / "photos" / "ab"[index % 2] / f"{index:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(index).integers(0, 255, (12, 12, 3), dtype=np.uint8)
        Image.fromarray(noise).save(path)
        if index in (3, 10):
            path.write_bytes(path.read_bytes()[:40])
    return tmp_path / "photos"


class Stopped(Exception):
    """Stands for a kill."""


def equal(one: TaskEmbedding, two: TaskEmbedding) -> bool:
    arrays = ("mean", "scatter", "class_counts", "class_means", "samples")
    same = all(np.array_equal(getattr(one, name), getattr(two, name)) for name in arrays)
    return same and (one.n_images, one.skipped, one.taken) == (two.n_images, two.skipped, two.taken)


@pytest.mark.parametrize("stop", range(1, 7))
def test_embed_large__stopped_at_any_step__goes_on_and_ends_the_same(
    folder: Path, plain_proxy: Proxy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stop: int
) -> None:
    monkeypatch.setattr(unfinished, "STEP", 3)
    path, dataset = tmp_path / "x.unfinished", open_dataset(folder)
    whole = embed_large(dataset, plain_proxy, path)
    assert not path.exists()
    network, calls = plain_proxy.network, []

    def dies(pictures: list) -> np.ndarray:
        calls.append(len(pictures))
        if len(calls) == stop:
            raise Stopped
        return network(pictures)

    plain_proxy.network = dies
    with pytest.raises(Stopped):
        embed_large(dataset, plain_proxy, path)
    plain_proxy.network = network
    seen: list[int] = []

    def counts(pictures: list) -> np.ndarray:
        seen.append(len(pictures))
        return network(pictures)

    plain_proxy.network = counts
    assert equal(embed_large(dataset, plain_proxy, path), whole)
    assert sum(seen) == 18 - sum(calls[:-1])  # nothing is looked at twice but what was being looked at
    assert not path.exists()


def test_embed_large__any_steps__as_in_one_piece(
    folder: Path, plain_proxy: Proxy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(unfinished, "STEP", 4)
    dataset = open_dataset(folder)
    found, expected = embed_large(dataset, plain_proxy, tmp_path / "x"), embed_dataset(dataset, plain_proxy)
    np.testing.assert_allclose(found.scatter, expected.scatter)
    np.testing.assert_allclose(found.class_means, expected.class_means)
    assert (found.skipped, found.taken, found.n_images) == (expected.skipped, expected.taken, expected.n_images)


def damaged(path: Path) -> Iterator[bytes]:
    content = path.read_bytes()
    yield from (b"", content[:100], content[:-5], content.replace(b"n_images", b"n_image5"))


def test_embed_large__unfinished_of_other_images_or_damaged__begins_anew(
    folder: Path, plain_proxy: Proxy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(unfinished, "STEP", 5)
    path, dataset = tmp_path / "x.unfinished", open_dataset(folder)
    whole = embed_large(dataset, plain_proxy, path)
    network = plain_proxy.network
    batches = iter([network, network])
    plain_proxy.network = lambda pictures: next(batches)(pictures)
    with pytest.raises(RuntimeError, match="StopIteration"):
        embed_large(dataset, plain_proxy, path)
    plain_proxy.network = network
    for content in damaged(path):
        path.write_bytes(content)
        assert equal(embed_large(dataset, plain_proxy, path), whole)
    batches = iter([network, network])
    plain_proxy.network = lambda pictures: next(batches)(pictures)
    with pytest.raises(RuntimeError, match="StopIteration"):
        embed_large(dataset, plain_proxy, path)
    plain_proxy.network = network
    other = embed_large(dataset, plain_proxy, path, max_images=10)
    assert other.n_images + len(other.skipped) == 10
