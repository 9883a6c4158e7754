"""From a dataset's name, or words, to what a recommendation needs: images, the task, a fitted recommender."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from fennec.architectures.added import read_added
from fennec.checkpoints.catalog import Catalog, load_catalog
from fennec.errors import InputError
from fennec.evidence.hubs import load_matrix
from fennec.evidence.scores import load_scores
from fennec.images.datasets import ImageDataset
from fennec.images.open import open_dataset
from fennec.space.recommender import Recommender
from fennec.tasks.embedding import TaskEmbedding, embed_dataset
from fennec.tasks.embedding_files import load_known_embeddings
from fennec.tasks.proxy import BUNDLED, Proxy
from fennec.tasks.words import Task, describe_task


@dataclass(frozen=True)
class Prepared:
    """What a recommendation needs.

    Attributes:
        images: of the new task, None where it is only described.
        task: their embedding, or the description that they join.
        recommender: fitted, with the models of the catalog placed.
        seconds: wall-clock time per stage.
    """

    images: ImageDataset | None
    task: Task
    recommender: Recommender
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Said:
    """What a person says of a task, as `describe_task` takes it.

    Attributes:
        about: what the pictures show.
        classes: their names.
        n_images: how many there will be.
        encoder: of texts; the one that comes with Fennec when None.
    """

    about: str
    classes: tuple[str, ...] = ()
    n_images: int | None = None
    encoder: str | None = None


def prepare(
    dataset: str | ImageDataset | None,
    *,
    said: Said | None = None,
    study: str = "all",
    protocol: str | None = None,
    proxy: str = "fennec-mini",
    space: Path | None = None,
    split: str | None = None,
    max_images: int = 500,
    random_state: int = 0,
    progress: bool = False,
    report: Callable[[str], None] = lambda stage: None,
) -> Prepared:
    """Open a dataset, embed it, and load a recommender, or fit one where none is at hand.

    Args:
        dataset: as `open_dataset` takes it; None where the task is only described.
        said: of the task.
        study: results to learn from: `all` published ones, or those of one study or hub.
        protocol: how models are to be adapted; finetune, or that of the study, when None.
        proxy: to look at the images with.
        space: folder made by `fennec fit`, instead of published results.
        split: part of the dataset.
        max_images: images to look at.
        random_state: seed of the draw of images.
        progress: show a bar on standard error.
        report: told what comes next.

    Raises:
        FennecError: as `open_dataset`, `published`, `Proxy.load`, `Recommender.load` and `describe_task` do.
    """
    seconds = {}
    images = encoder = looked = None
    if dataset is not None:
        report("opening the images")
        images = open_dataset(dataset, split=split)
        report("loading the proxy")
        start = time.perf_counter()
        encoder = Proxy.load(proxy)
        seconds["proxy"] = time.perf_counter() - start
    report("loading the transfer space")
    start = time.perf_counter()
    if space is not None:
        recommender = Recommender.load(space, proxy=encoder)
    else:
        recommender = published(study, protocol, proxy if encoder is None else encoder.name)
    seconds["space"] = time.perf_counter() - start
    if images is not None and encoder is not None:
        report("looking at the images")
        looked = embed_dataset(images, encoder, max_images=max_images, random_state=random_state, progress=progress)
        seconds["embedding"] = looked.seconds
    start = time.perf_counter()
    task = _described(said, looked)
    if said is not None:
        seconds["words"] = time.perf_counter() - start
    return Prepared(images, task, recommender, seconds)


def _described(said: Said | None, looked: TaskEmbedding | None) -> Task:
    """The task from what was said of it and what was seen.

    Raises:
        InputError: neither, or what was said is not usable.
    """
    if said is not None:
        return describe_task(
            said.about, classes=said.classes, n_images=said.n_images, images=looked, encoder=said.encoder
        )
    if looked is None:
        raise InputError("nothing is known of the task: give images, or say what they will show with --about")
    return looked


def published(study: str = "all", protocol: str | None = None, proxy: str = BUNDLED) -> Recommender:
    """A recommender of published results; the shipped one where it says what is asked.

    Args:
        study: as for `prepare`.
        protocol: as for `prepare`.
        proxy: name of the proxy whose task embeddings to use.

    Raises:
        FennecError: as `load_matrix` and `Recommender.from_published` do.
    """
    return _published_once(study, protocol, proxy, load_catalog())


@lru_cache(maxsize=4)
def _published_once(study: str, protocol: str | None, proxy: str, catalog: Catalog) -> Recommender:
    """A process that answers often loads or fits it once."""
    if study in ("all", "default"):
        asked = protocol or "finetune"
        shipped = Recommender.from_published(asked)
        if proxy == BUNDLED and not read_added():
            return shipped
        return Recommender().fit(
            load_scores(), load_known_embeddings(proxy), protocol=asked, candidates=catalog.candidates(asked)
        )
    matrix = load_matrix(study, protocol=protocol)
    return Recommender().fit(matrix, load_known_embeddings(proxy), candidates=catalog.candidates(matrix.protocol))
