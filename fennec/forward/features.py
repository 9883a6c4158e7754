"""One pass of a model over a dataset: the features and probabilities that all metrics share.

In: `Encoder`, `ImageDataset`. Out: `FeatureSet`. Every batch is kept in the cache under what it depends on
(weights, structure and code, preprocessing, precision, pixels), so that an interrupted run goes on and a repeated one
is free.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fennec.checkpoints.encoders import Encoder
from fennec.errors import ArtifactError, ModelFailedError, UnwritableError
from fennec.files import read_file, write_whole
from fennec.images.datasets import ImageDataset, ReadReport, iter_images, sample
from fennec.progress import progress_bar
from fennec.settings import cache_dir
from fennec.typed import Table, check_tensors, read_tensors

from .foreign import check_tolerable, not_finite, run_batch, stack, transform_all

logger = logging.getLogger(__name__)

BATCH_SIZE = 32
LIMIT = 4 * 10**9  # bytes of a file of the cache
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
        positions: of the rows in the dataset, shape (n_samples,).
        refused: pairs (item, reason) of images that were read, but that the model fails on.
        n_flat: images without contrast among those read.
    """

    model: str
    features: Floats
    probs: Floats | None
    labels: NDArray[np.int64] | None
    skipped: tuple[tuple[str, str], ...] = ()
    seconds: float = 0.0
    positions: NDArray[np.intp] = field(default_factory=lambda: np.zeros(0, dtype=np.intp))
    refused: tuple[tuple[str, str], ...] = ()
    n_flat: int = 0


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
        ModelFailedError: the model's own code fails, or gives no numbers, on more than a few of the images.
    """
    chosen = sample(dataset, max_images=max_images, random_state=random_state)
    start = time.perf_counter()
    report = ReadReport()
    positions: list[int] = []
    refused: list[tuple[str, str]] = []
    parts: list[dict[str, Floats]] = []
    folder = cache_dir() / "features" / encoder.fingerprint if cached else None
    with progress_bar(encoder.name, len(chosen), shown=progress) as advance:
        for batch in _batches(iter_images(dataset, chosen, report), batch_size):
            part, reasons = _encode(encoder, [image for _, image in batch], folder)
            refused += [(dataset.items[batch[row][0]], reason) for row, reason in sorted(reasons.items())]
            if len(refused) > 1:  # a model that fails on everything need not see everything
                check_tolerable(refused, len(chosen))
            if part:
                parts.append(part)
                positions += [position for row, (position, _) in enumerate(batch) if row not in reasons]
            advance(len(batch))
    report.check_enough(dataset.name)
    check_tolerable(refused, report.n_read)
    return FeatureSet(
        model=encoder.name,
        features=_joined([part["features"] for part in parts]),
        probs=_joined([part["probs"] for part in parts]) if all("probs" in part for part in parts) else None,
        labels=None if dataset.labels is None else dataset.labels[positions],
        skipped=tuple(report.skipped),
        seconds=time.perf_counter() - start,
        positions=np.array(positions, dtype=np.intp),
        refused=tuple(refused),
        n_flat=report.n_flat,
    )


def _joined(parts: list[Floats]) -> Floats:
    """All batches in one table.

    Raises:
        ModelFailedError: they have different widths.
    """
    widths = list(dict.fromkeys(part.shape[1] for part in parts))
    if len(widths) > 1:
        raise ModelFailedError(f"the network gives {widths[0]} values for some pictures and {widths[1]} for others")
    return np.concatenate(parts)


def _batches(images: Iterator[tuple[int, Image.Image]], size: int) -> Iterator[list[tuple[int, Image.Image]]]:
    batch: list[tuple[int, Image.Image]] = []
    for pair in images:
        batch.append(pair)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _encode(
    encoder: Encoder, images: list[Image.Image], folder: Path | None
) -> tuple[dict[str, Floats], dict[int, str]]:
    """Features and probabilities of pictures, from the cache where it has them, and of which there are none and why."""
    from safetensors.numpy import save

    path = None if folder is None else folder / f"{_pixels(images)}.safetensors"
    part: dict[str, Floats] = {}
    failed: dict[int, str] = {}
    if path is not None:
        with contextlib.suppress(OSError, ArtifactError):  # not there yet, or damaged: compute it
            part = _cached(path, len(images))
    if not part:
        pixels, failed = transform_all(encoder, images)
        if not pixels:
            return {}, failed
        part = run_batch(encoder, stack(pixels))
        if path is not None and not failed and not not_finite(part):  # a file has a row for every picture
            try:
                write_whole(path, save(part, metadata={"sha256": _digest(part)}))
            except UnwritableError as error:  # the cache saves time, and is no reason to stop
                _say_once(folder, str(error.__cause__))
    rows = [row for row in range(len(images)) if row not in failed]
    failed |= {rows[at]: reason for at, reason in not_finite(part).items()}
    good = [at for at, row in enumerate(rows) if row not in failed]
    return {name: values[good] for name, values in part.items()} if good else {}, failed


@cache
def _say_once(folder: Path | None, reason: str) -> None:
    logger.warning("features are not kept in '%s' (%s); the work goes on without", folder, reason)


def _cached(path: Path, n_images: int) -> dict[str, Floats]:
    """Features that were kept, a row for each of the images.

    Raises:
        ArtifactError: they are damaged.
        OSError: there are none.
    """
    part, texts = read_tensors(read_file(path, limit=LIMIT))
    most = float(np.finfo(np.float32).max)
    known = {name: Table((n_images, name), low=-most, high=most) for name in ("features", "probs")}
    check_tensors(part, {name: table for name, table in known.items() if name == "features" or name in part}, {})
    if texts.get("sha256", _digest(part)) != _digest(part) or any(each.dtype != np.float32 for each in part.values()):
        raise ArtifactError(f"'{path.name}' was changed")
    return part


def _digest(part: dict[str, Floats]) -> str:
    digest = hashlib.sha256()
    for name in sorted(part):
        digest.update(name.encode() + np.ascontiguousarray(part[name]).tobytes())
    return digest.hexdigest()


def _pixels(images: list[Image.Image]) -> str:
    digest = hashlib.sha256()
    for image in images:
        digest.update(repr(image.size).encode())
        digest.update(image.tobytes())
    return digest.hexdigest()[:32]
