"""Embed the known tasks again under another proxy, from torchvision's copies of their datasets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from fennec.errors import FennecError, InputError, UnknownTaskError, did_you_mean
from fennec.images.datasets import ImageDataset
from fennec.images.libraries import list_pairs, make_torchvision
from fennec.images.listing import take

from .embedding import TaskEmbedding, embed_dataset
from .proxy import Proxy

# Image set -> class of torchvision.datasets; the sets that torchvision lacks keep no embedding.
TORCHVISION = {
    "caltech101": "Caltech101",
    "cifar10": "CIFAR10",
    "cifar100": "CIFAR100",
    "clevr": "CLEVRClassification",
    "country211": "Country211",
    "dtd": "DTD",
    "eurosat": "EuroSAT",
    "fer2013": "FER2013",
    "fgvc_aircraft": "FGVCAircraft",
    "food101": "Food101",
    "gtsrb": "GTSRB",
    "kitti": "Kitti",
    "mnist": "MNIST",
    "oxford_flowers102": "Flowers102",
    "oxford_pets": "OxfordIIITPet",
    "pcam": "PCAM",
    "rendered_sst2": "RenderedSST2",
    "stanford_cars": "StanfordCars",
    "stl10": "STL10",
    "sun397": "SUN397",
    "svhn": "SVHN",
}


def embed_known_tasks(
    proxy: Proxy,
    root: str | Path,
    *,
    tasks: Sequence[str] | None = None,
    download: bool = False,
    max_images: int = 500,
    report: Callable[[str], None] = lambda message: None,
) -> dict[str, TaskEmbedding]:
    """Embeddings of the known tasks whose datasets torchvision can open.

    Args:
        proxy: what to embed with.
        root: folder with the datasets in torchvision's layout.
        tasks: image sets to embed; all that torchvision has when None.
        download: fetch what is not there.
        max_images: per task, balanced over classes.
        report: told of every task, and why one was left out.

    Raises:
        UnknownTaskError: a task that torchvision does not have.
        InputError: none of them could be opened.
    """
    import torchvision.datasets as library

    wanted = list(TORCHVISION) if tasks is None else list(tasks)
    for name in wanted:
        if name not in TORCHVISION:
            raise UnknownTaskError(f"torchvision has no '{name}'{did_you_mean(name, TORCHVISION)}")
    embeddings: dict[str, TaskEmbedding] = {}
    for name in wanted:
        try:
            dataset = _open(getattr(library, TORCHVISION[name]), name, str(root), download=download)
            embeddings[name] = embed_dataset(dataset, proxy, max_images=max_images)
            report(f"{name}: {embeddings[name].n_images} images")
        except FennecError as error:
            report(f"{name}: left out, {error}")
    if not embeddings:
        raise InputError(f"none of {len(wanted)} known tasks could be opened in '{root}'; add --download or fill it")
    return embeddings


def _open(kind: type, name: str, root: str, *, download: bool) -> ImageDataset:
    return take(list_pairs(name, make_torchvision(kind, root, None, download=download)), None)
