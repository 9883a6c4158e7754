"""Datasets of other libraries: torchvision, Hugging Face `datasets`, scikit-learn."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
from PIL import Image

from fennec.errors import InputError, MissingExtraError, OfflineError, did_you_mean
from fennec.settings import cache_dir

from .datasets import ImageDataset, Labels, choose_split, encode_labels


def open_scikit_learn(name: str, split: str | None) -> ImageDataset:
    """`digits`, the 1,797 real 8 x 8 pictures that ship with scikit-learn.

    Raises:
        InputError: another name, or a split.
    """
    from sklearn.datasets import load_digits

    if name != "digits":
        raise InputError(f"unknown dataset 'sklearn:{name}'; there is sklearn:digits")
    if split is not None:
        choose_split([], split, "sklearn:digits")
    digits = load_digits()
    pictures = (255 - digits.images * (255 / 16)).astype(np.uint8)  # ink on paper, 0 to 16 in the source
    items = [f"digit {index}" for index in range(len(pictures))]
    labels, names = encode_labels([str(label) for label in digits.target])
    return ImageDataset("sklearn:digits", items, lambda index: Image.fromarray(pictures[index]), labels, names)


def open_torchvision(name: str, split: str | None) -> ImageDataset:
    """A classification dataset of torchvision, downloaded to the cache folder if need be.

    Raises:
        InputError: unknown name, one that cannot be opened without more arguments, or no such split.
        OfflineError: it must be downloaded and the server cannot be reached.
    """
    import torchvision.datasets as library

    kind = getattr(library, name, None)
    if name not in library.__all__ or kind is None:
        raise InputError(f"unknown dataset 'torchvision:{name}'{did_you_mean(name, library.__all__)}")
    dataset = make_torchvision(kind, str(cache_dir() / "torchvision"), split, download=True)
    return wrap_pairs(f"torchvision:{name}", dataset)


def make_torchvision(kind: Any, root: str, split: str | None, *, download: bool) -> Any:
    """Construct a torchvision dataset, whichever way its class spells root, split and download.

    Raises:
        InputError: it needs other arguments, has no such split, or is not below `root`.
        OfflineError: the download failed.
    """
    accepted = inspect.signature(kind).parameters
    arguments: dict[str, Any] = {"root": root} if "root" in accepted else {}
    if "train" in accepted:
        arguments["train"] = choose_split(["train", "test"], split, kind.__name__) == "train"
    elif "split" in accepted and (split or accepted["split"].default is inspect.Parameter.empty):
        arguments["split"] = split or "train"
    elif split is not None and "split" not in accepted:
        choose_split([], split, kind.__name__)
    if "download" in accepted:
        arguments["download"] = download
    try:
        return kind(**arguments)
    except (TypeError, ValueError) as error:
        raise InputError(f"cannot open torchvision's {kind.__name__}: {error}") from error
    except (OSError, RuntimeError) as error:  # URLError is an OSError; a failed check is a RuntimeError
        if download:
            raise OfflineError(
                f"cannot download {kind.__name__} ({error}); put it into {root} on a machine with a network"
            ) from error
        raise InputError(f"no {kind.__name__} in {root} ({error})") from error


def wrap_pairs(name: str, dataset: Any) -> ImageDataset:
    """Dataset of a list of pairs (picture, class number), as torchvision's are."""
    targets = next(
        (
            value
            for field in ("targets", "_labels", "labels", "y")
            if (value := getattr(dataset, field, None)) is not None
        ),
        None,
    )
    if targets is None:
        samples = getattr(dataset, "samples", None) or getattr(dataset, "_samples", None)
        pairs = samples if samples is not None else [dataset[index] for index in range(len(dataset))]
        targets = [label for _, label in pairs]
    classes = getattr(dataset, "classes", None)
    numbers = [int(target) for target in targets]
    texts = [str(classes[number]) if classes else str(number) for number in numbers]
    labels, names = encode_labels(texts)
    items = [f"image {index}" for index in range(len(dataset))]
    return ImageDataset(name, items, lambda index: dataset[index][0], labels, names)


def open_hugging_face(name: str, split: str | None) -> ImageDataset:
    """`ORG/NAME[:CONFIG]` through the `datasets` library, or a folder that it wrote with `save_to_disk`.

    Raises:
        MissingExtraError: `datasets` is not installed.
        OfflineError: the hub cannot be reached.
        InputError: no such dataset, split, or column of images.
    """
    try:
        import datasets as library
    except ImportError as error:
        raise MissingExtraError("'hf:' needs the datasets library; pip install 'fennec-recommender[hf]'") from error
    repository, _, config = name.partition(":")
    try:
        splits = library.get_dataset_split_names(repository, config or None)
        table = library.load_dataset(repository, config or None, split=choose_split(splits, split, f"hf:{name}"))
    except (ConnectionError, library.exceptions.DatasetNotFoundError, OSError) as error:
        raise OfflineError(
            f"cannot get 'hf:{name}' ({str(error).splitlines()[0]}); check the name and the network, "
            "or give a local folder"
        ) from error
    except ValueError as error:
        raise InputError(f"cannot open 'hf:{name}': {error}") from error
    pictures = next((c for c, kind in table.features.items() if isinstance(kind, library.Image)), None)
    if pictures is None:
        raise InputError(f"'hf:{name}' has no column of images (it has {', '.join(table.column_names)})")
    labels: Labels | None = None
    names: tuple[str, ...] = ()
    for column, kind in table.features.items():
        if isinstance(kind, library.ClassLabel):
            labels, names = encode_labels([kind.names[number] for number in table[column]])
            break
    raw = table.cast_column(pictures, library.Image(decode=False))

    def load(index: int) -> Any:
        value = raw[index][pictures]
        return value["bytes"] or value["path"]

    return ImageDataset(f"hf:{name}", [f"row {index}" for index in range(len(raw))], load, labels, names)
