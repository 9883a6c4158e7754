"""An embedding that was interrupted goes on where it stopped: what was seen so far, kept beside the file to come.

In: a task embedding of the first of many images. Out: the same again, exactly, and how many images it stands for.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fennec.errors import ArtifactError, InputError
from fennec.files import read_file, write_whole
from fennec.images.datasets import ImageDataset, ReadReport, sample
from fennec.progress import progress_bar
from fennec.typed import Table, check_between, check_tensors, read_json, read_tensors, typed

from .embedding import TaskEmbedding, embed_chosen, finished
from .proxy import Proxy

STEP = 4096  # images between two writes of about five megabytes
LIMIT = 4 * 10**9  # bytes of the file
_NEEDED = ("mean", "scatter", "class_counts")
_TABLES = {
    "mean": Table(("features",)),
    "scatter": Table(("features", "features"), low=-1e30, high=1e30),
    "class_counts": Table(("classes",), low=0.0),
    "class_means": Table(("classes", "features")),
    "samples": Table(("samples", "features")),
}


@dataclass(frozen=True)
class Facts:
    """What the file says beside its tensors."""

    key: str
    name: str
    proxy: str
    fingerprint: str
    n_images: int
    class_names: tuple[str, ...]
    n_done: int
    skipped: tuple[tuple[str, ...], ...]
    n_flat: int
    seconds: float

    def __post_init__(self) -> None:
        check_between(1, 2**53, n_images=self.n_images)
        check_between(self.n_images, 2**53, n_done=self.n_done)
        check_between(0, 2**53, n_flat=self.n_flat)
        if any(len(pair) != 2 for pair in self.skipped):
            raise ValueError("'skipped' holds no pairs")


@dataclass(frozen=True, eq=False)
class Unfinished:
    """What was seen of the images so far.

    Attributes:
        embedding: of the images that could be read, None where there were none.
        n_done: images looked at, in the order in which they were drawn.
        skipped: pairs (image, reason) among them.
        n_flat: pictures without contrast among them.
        seconds: spent on them.
    """

    embedding: TaskEmbedding | None
    n_done: int
    skipped: tuple[tuple[str, str], ...]
    n_flat: int
    seconds: float

    def with_more(self, part: TaskEmbedding | None, n_done: int, report: ReadReport, seconds: float) -> Unfinished:
        """What was seen so far and of the next images."""
        both = part if self.embedding is None else self.embedding if part is None else self.embedding.merge(part)
        skipped, n_flat = (*self.skipped, *report.skipped), self.n_flat + report.n_flat
        return Unfinished(both, self.n_done + n_done, skipped, n_flat, self.seconds + seconds)


def embed_large(
    dataset: ImageDataset,
    proxy: Proxy,
    path: Path,
    *,
    max_images: int = 500,
    random_state: int = 0,
    progress: bool = False,
) -> TaskEmbedding:
    """Embed an open dataset of any size in constant memory; a second call goes on where a first was interrupted.

    Args:
        dataset: where the images are.
        proxy: what looks at them.
        path: file for what was seen so far; written every `STEP` images, removed at the end.
        max_images: images used at most, balanced over classes when there are labels.
        random_state: seed of the draw.
        progress: show a bar on standard error.

    Raises:
        InputError: none of the images can be read.
        OSError: the file cannot be written.
    """
    chosen = sample(dataset, max_images=max_images, random_state=random_state)
    key = key_of(dataset, chosen, proxy)
    seen = load_unfinished(path, key) or Unfinished(None, 0, (), 0, 0.0)
    with progress_bar("embedding", len(chosen), shown=progress) as advance:
        advance(seen.n_done)
        while seen.n_done < len(chosen):
            some, report, start = chosen[seen.n_done : seen.n_done + STEP], ReadReport(), time.perf_counter()
            part = embed_chosen(dataset, some, proxy, report, advance)
            del report.skipped[: len(dataset.skipped)]  # every pass over a dataset lists those first
            seen = seen.with_more(part, len(some), report, time.perf_counter() - start)
            if seen.n_done < len(chosen):
                save_unfinished(path, key, seen)
    path.unlink(missing_ok=True)
    n_read = 0 if seen.embedding is None else seen.embedding.n_images
    report = ReadReport(n_read, [*dataset.skipped, *seen.skipped], seen.n_flat)
    return finished(seen.embedding, dataset, report, seen.seconds)


def key_of(dataset: ImageDataset, chosen: NDArray[np.intp], proxy: Proxy) -> str:
    """Hash of what is being embedded: images by name, their labels, the proxy."""
    digest = hashlib.sha256(f"{dataset.name}\0{proxy.fingerprint}\0{len(chosen)}".encode("utf-8", "surrogateescape"))
    labels: Iterable[object] = dataset.labels if dataset.labels is not None else np.zeros(len(dataset.items))
    names = list(labels)
    for index in chosen.tolist():
        digest.update(f"{dataset.items[index]}\0{names[index]}\0".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def save_unfinished(path: Path, key: str, found: Unfinished) -> None:
    """Write it whole, in double precision; nothing where no image could be read yet.

    Raises:
        OSError: there is no room or no right to write.
    """
    from safetensors.numpy import save

    task = found.embedding
    if task is None:
        return
    arrays = {name: getattr(task, name) for name in _TABLES if getattr(task, name) is not None}
    facts = {
        "key": key,
        "name": task.name,
        "proxy": task.proxy,
        "fingerprint": task.fingerprint,
        "n_images": task.n_images,
        "class_names": task.class_names,
        "n_done": found.n_done,
        "skipped": found.skipped,
        "n_flat": found.n_flat,
        "seconds": found.seconds,
    }
    write_whole(path, save(arrays, metadata={"fennec": json.dumps(facts)}))


def load_unfinished(path: Path, key: str) -> Unfinished | None:
    """What `save_unfinished` wrote; None where nothing usable of the same images and proxy is there."""
    try:
        arrays, texts = read_tensors(read_file(path, limit=LIMIT))
        facts = typed(Facts, read_json(texts.get("fennec", "").encode()), where="its header")
        if facts.key != key:
            return None
        expected = {name: table for name, table in _TABLES.items() if name in arrays or name in _NEEDED}
        check_tensors(arrays, expected, {"classes": len(facts.class_names)})
        embedding = TaskEmbedding(
            facts.name,
            facts.proxy,
            facts.fingerprint,
            facts.n_images,
            arrays["mean"],
            arrays["scatter"],
            facts.class_names,
            arrays["class_counts"],
            arrays.get("class_means"),
            arrays.get("samples"),
        )
    except (OSError, ArtifactError, InputError):
        return None
    skipped = tuple((item, reason) for item, reason in facts.skipped)
    return Unfinished(embedding, facts.n_done, skipped, facts.n_flat, facts.seconds)
