"""From a dataset's name to what a recommendation needs: images, their task embedding, a fitted recommender."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from fennec.checkpoints.catalog import Catalog, load_catalog
from fennec.evidence.hubs import load_matrix
from fennec.evidence.matrix import TransferMatrix
from fennec.images.datasets import ImageDataset
from fennec.images.open import open_dataset
from fennec.space.recommender import Recommender
from fennec.tasks.embedding import TaskEmbedding, embed_dataset
from fennec.tasks.embedding_files import load_known_embeddings
from fennec.tasks.proxy import BUNDLED, Proxy


@dataclass(frozen=True)
class Prepared:
    """What a recommendation needs.

    Attributes:
        images: of the new task.
        task: their embedding.
        recommender: fitted, with the models of the catalog placed.
        seconds: wall-clock time per stage.
    """

    images: ImageDataset
    task: TaskEmbedding
    recommender: Recommender
    seconds: dict[str, float] = field(default_factory=dict)


def prepare(
    dataset: str | ImageDataset,
    *,
    hub: str = "default",
    protocol: str | None = None,
    proxy: str = "fennec-mini",
    space: Path | None = None,
    split: str | None = None,
    max_images: int = 500,
    random_state: int = 0,
    progress: bool = False,
    report: Callable[[str], None] = lambda stage: None,
) -> Prepared:
    """Open a dataset, embed it, and fit a recommender or load one.

    Args:
        dataset: as `open_dataset` takes it.
        hub: results to learn from.
        protocol: chooses the default hub.
        proxy: to look at the images with.
        space: folder made by `fennec fit`, instead of a hub.
        split: part of the dataset.
        max_images: images to look at.
        random_state: seed of the draw of images.
        progress: show a bar on standard error.
        report: told what comes next.

    Raises:
        FennecError: as `open_dataset`, `load_matrix`, `Proxy.load` and `Recommender.load` do.
    """
    report("opening the images")
    matrix = load_matrix(hub, protocol=protocol) if space is None else None
    images = open_dataset(dataset, split=split)
    report("loading the proxy")
    start = time.perf_counter()
    encoder = Proxy.load(proxy)
    loaded = time.perf_counter()
    report("fitting the transfer space")
    if matrix is None:
        recommender = Recommender.load(space or "", proxy=encoder)
    elif encoder.name == BUNDLED:
        recommender = _fitted_once(matrix.name, matrix.protocol, load_catalog())
    else:
        recommender = _fitted(matrix, load_known_embeddings(encoder.name), load_catalog())
    fitted = time.perf_counter()
    report("looking at the images")
    task = embed_dataset(images, encoder, max_images=max_images, random_state=random_state, progress=progress)
    seconds = {"proxy": loaded - start, "space": fitted - loaded, "embedding": task.seconds}
    return Prepared(images, task, recommender, seconds)


def _fitted(matrix: TransferMatrix, embeddings: Mapping[str, TaskEmbedding], catalog: Catalog) -> Recommender:
    return Recommender().fit(matrix, embeddings, catalog=catalog, cold=catalog.candidates(matrix.protocol))


@lru_cache(maxsize=4)
def _fitted_once(hub: str, protocol: str, catalog: Catalog) -> Recommender:
    """A hub under the bundled proxy, whose embeddings never change: a process that answers often fits it once."""
    return _fitted(load_matrix(hub, protocol=protocol), load_known_embeddings(BUNDLED), catalog)
