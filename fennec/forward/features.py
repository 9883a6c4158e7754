"""One pass of a model over a dataset: the features and probabilities that all metrics share.

In: `Encoder`, `ImageDataset`. Out: `FeatureSet`. Every batch is kept in the cache under what it depends on
(weights, structure and code, preprocessing, precision, pixels), so that an interrupted run goes on and a repeated one
is free.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fennec.checkpoints.encoders import Encoder
from fennec.files import write_whole
from fennec.images.datasets import ImageDataset, ReadReport, iter_images, sample
from fennec.progress import progress_bar
from fennec.settings import cache_dir

BATCH_SIZE = 32
Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class FeatureSet:
    """What one model sees in one dataset.

    Attributes:
        model: id.
        features: penultimate activations, shape (n_samples, n_features).
        probs: of the source head, shape (n_samples, n_source_classes), None without one.
        labels: shape (n_samples,), None when the dataset has none.
        skipped: pairs (item, reason) of images that could not be read.
        seconds: time of the pass, decoding included.
    """

    model: str
    features: Floats
    probs: Floats | None
    labels: NDArray[np.int64] | None
    skipped: tuple[tuple[str, str], ...] = ()
    seconds: float = 0.0


def extract_features(
    encoder: Encoder,
    dataset: ImageDataset,
    *,
    max_images: int = 500,
    random_state: int = 0,
    batch_size: int = BATCH_SIZE,
    progress: bool = False,
    cached: bool = True,
) -> FeatureSet:
    """Run a model over a dataset once.

    Args:
        encoder: the model.
        dataset: the images.
        max_images: images used at most, balanced over classes when there are labels.
        random_state: seed of the draw.
        batch_size: pictures per forward pass; halved where memory does not suffice.
        progress: show a bar on standard error.
        cached: keep batches and take those that were kept; False where the time of the pass is the question.

    Raises:
        InputError: none of the images can be read.
    """
    chosen = sample(dataset, max_images=max_images, random_state=random_state)
    start = time.perf_counter()
    report = ReadReport()
    positions: list[int] = []
    parts: list[dict[str, Floats]] = []
    folder = cache_dir() / "features" / encoder.fingerprint if cached else None
    with progress_bar(encoder.name, len(chosen), shown=progress) as advance:
        for batch in _batches(iter_images(dataset, chosen, report), batch_size):
            parts.append(_encode(encoder, [image for _, image in batch], folder))
            positions += [position for position, _ in batch]
            advance(len(batch))
    report.check_enough(dataset.name)
    return FeatureSet(
        model=encoder.name,
        features=np.concatenate([part["features"] for part in parts]),
        probs=np.concatenate([part["probs"] for part in parts]) if "probs" in parts[0] else None,
        labels=None if dataset.labels is None else dataset.labels[positions],
        skipped=tuple(report.skipped),
        seconds=time.perf_counter() - start,
    )


def _batches(images: Iterator[tuple[int, Image.Image]], size: int) -> Iterator[list[tuple[int, Image.Image]]]:
    batch: list[tuple[int, Image.Image]] = []
    for pair in images:
        batch.append(pair)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _encode(encoder: Encoder, images: list[Image.Image], folder: Path | None) -> dict[str, Floats]:
    """Features and probabilities of pictures, from the cache where it has them."""
    import torch
    from safetensors import SafetensorError
    from safetensors.numpy import load_file, save

    path = None if folder is None else folder / f"{_pixels(images)}.safetensors"
    if path is not None:
        with contextlib.suppress(OSError, SafetensorError):  # not there yet, or damaged: compute it
            return load_file(path)
    features, probs = encoder(torch.stack([encoder.transform(image) for image in images]))
    part = {"features": features.numpy()}
    if probs is not None:
        part["probs"] = probs.numpy()
    if path is not None:
        write_whole(path, save(part))
    return part


def _pixels(images: list[Image.Image]) -> str:
    digest = hashlib.sha256()
    for image in images:
        digest.update(repr(image.size).encode())
        digest.update(image.tobytes())
    return digest.hexdigest()[:32]
