"""Task embeddings on disk: one safetensors file holds those of many tasks under one proxy.

Means are kept in single precision, covariances as the upper triangle in half precision where their values allow it.
Nothing is a pickle; the file says which proxy made it, and what it says is typed before use.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fennec.errors import AbsentError, ArtifactError, InputError, did_you_mean
from fennec.files import as_json, as_text, damaged, read_file, write_whole
from fennec.settings import cache_dir, data_dir
from fennec.typed import Table, check_between, check_tensors, read_json, read_tensors, typed

from .embedding import TaskEmbedding, evenly

FORMAT_VERSION = 1
N_STORED = 100  # single features kept per task: the number of images that the published pipeline uses


LIMIT = 4 * 10**9  # bytes of a file
OPTIONAL = {"class_means": Table(("classes", "features")), "samples": Table(("samples", "features"))}
SCHEMA = {
    "mean": Table(("features",)),
    "covariance": Table(("pairs",)),
    "class_counts": Table(("classes",), low=0.0),
}


@dataclass(frozen=True)
class StoredTask:
    """What the header says of one task."""

    name: str
    n_images: int
    class_names: tuple[str, ...]
    seconds: float = 0.0

    def __post_init__(self) -> None:
        check_between(1, 2**53, n_images=self.n_images)


@dataclass(frozen=True)
class Header:
    """What the file says beside its tensors."""

    format_version: int
    proxy: str
    fingerprint: str
    tasks: dict[str, StoredTask]


def save_embeddings(path: str | Path, embeddings: Mapping[str, TaskEmbedding]) -> None:
    """Write embeddings, keyed by image set, to a safetensors file (to a temporary name, then renamed).

    Raises:
        InputError: there are none, or they come from different proxies.
    """
    from safetensors.numpy import save

    made_by = {(embedding.proxy, embedding.fingerprint) for embedding in embeddings.values()}
    if len(made_by) != 1:
        raise InputError(f"expected embeddings of one proxy, got {sorted(made_by) or 'none'}")
    tensors, tasks = {}, {}
    for name, embedding in embeddings.items():
        key = as_text(name)
        upper = np.triu_indices(embedding.n_features)
        tensors[f"{key}/mean"] = embedding.mean.astype(np.float32)
        tensors[f"{key}/covariance"] = _half(embedding.covariance[upper])
        tensors[f"{key}/class_counts"] = embedding.class_counts.astype(np.int32)
        if embedding.class_means is not None:
            tensors[f"{key}/class_means"] = _half(embedding.class_means)
        if embedding.samples is not None:
            tensors[f"{key}/samples"] = _half(evenly(embedding.samples, N_STORED))
        tasks[key] = {
            "name": embedding.name,
            "n_images": embedding.n_images,
            "class_names": list(embedding.class_names),
            "seconds": round(embedding.seconds, 3),
        }
    proxy, fingerprint = made_by.pop()
    header = {"format_version": FORMAT_VERSION, "proxy": proxy, "fingerprint": fingerprint, "tasks": tasks}
    write_whole(Path(path), save(tensors, metadata={"fennec": as_json(header, indent=None)}))


def load_embeddings(path: str | Path) -> dict[str, TaskEmbedding]:
    """Read what `save_embeddings` wrote.

    Raises:
        AbsentError: there is no such file.
        ArtifactError: it is damaged, or of a newer format.
    """
    if not Path(path).exists():
        raise AbsentError(f"no task embeddings at {path}; make them with 'fennec embed --known'")
    with damaged(str(path), "make it again or fetch it again"):
        tensors, texts = read_tensors(read_file(Path(path), limit=LIMIT))
        stored = read_json(texts.get("fennec", "{}").encode())
        version = stored.get("format_version") if isinstance(stored, dict) else None
        if version == FORMAT_VERSION:
            return _embeddings(typed(Header, stored, where="its header"), tensors)
    raise ArtifactError(
        f"{path} has format version {str(version)[:20]}, this Fennec reads {FORMAT_VERSION}; "
        "upgrade with 'pip install -U fennec-recommender'"
    )


def _embeddings(header: Header, tensors: Mapping[str, NDArray[Any]]) -> dict[str, TaskEmbedding]:
    embeddings = {}
    rest = set(tensors)
    for key, facts in header.tasks.items():
        own = {name: tensors[f"{key}/{name}"] for name in (*SCHEMA, *OPTIONAL) if f"{key}/{name}" in tensors}
        rest -= {f"{key}/{name}" for name in own}
        try:
            embeddings[key] = _embedding(header, facts, own)
        except ArtifactError as error:
            raise ArtifactError(f"task '{key[:80]}': {error}") from error
    if rest:
        raise ArtifactError(f"tensor '{min(rest)[:80]}' belongs to no task")
    return embeddings


def _embedding(header: Header, facts: StoredTask, own: Mapping[str, NDArray[Any]]) -> TaskEmbedding:
    expected = {**SCHEMA, **{name: table for name, table in OPTIONAL.items() if name in own}}
    found = check_tensors(own, expected, {"classes": len(facts.class_names)})
    width = found["features"]
    if found["pairs"] != width * (width + 1) // 2:
        raise ArtifactError(f"{found['pairs']} covariances of {width} features; expected {width * (width + 1) // 2}")
    tables = {name: array.astype(np.float64) for name, array in own.items()}
    covariance = np.zeros((width, width))
    covariance[np.triu_indices(width)] = tables["covariance"]
    if np.diag(covariance).min(initial=0.0) < 0:
        raise ArtifactError("a variance is below 0")
    covariance = covariance + covariance.T - np.diag(np.diag(covariance))
    return TaskEmbedding(
        name=facts.name,
        proxy=header.proxy,
        fingerprint=header.fingerprint,
        n_images=facts.n_images,
        mean=tables["mean"],
        scatter=covariance * facts.n_images,
        class_names=facts.class_names,
        class_counts=tables["class_counts"],
        class_means=tables.get("class_means"),
        samples=tables.get("samples"),
        seconds=facts.seconds,
    )


def _half(values: NDArray[np.float64]) -> NDArray[Any]:
    """Half precision, single where a value is too large for it."""
    small = np.abs(values).max(initial=0.0) < np.finfo(np.float16).max
    return values.astype(np.float16 if small else np.float32)


def embeddings_file(proxy: str) -> Path:
    """Where the known tasks' embeddings under a proxy belong when they do not come with Fennec."""
    return cache_dir() / "embeddings" / file_name(proxy)


def load_known_embeddings(proxy: str = "fennec-mini") -> Mapping[str, TaskEmbedding]:
    """Embeddings of the known tasks under a proxy, keyed by image set.

    Args:
        proxy: name of a proxy whose embeddings come with Fennec or were made with `fennec embed --known`.

    Raises:
        InputError: there are none for this proxy; the message names those there are.
    """
    bundled = data_dir() / "embeddings"
    for path in (bundled / file_name(proxy), embeddings_file(proxy)):
        if path.is_file():
            return load_embeddings(path)
    known = sorted(path.stem for path in bundled.glob("*.safetensors"))
    raise InputError(
        f"no embeddings of the known tasks under proxy '{proxy}'{did_you_mean(proxy, known)} (at hand: "
        f"{', '.join(known)}); make them with 'fennec embed --known --proxy {proxy} --root DIR --download'"
    )


def file_name(proxy: str) -> str:
    """Name of the file with the embeddings of a proxy.

    Example:
        >>> file_name("ViT-L-14/openai")
        'ViT-L-14--openai.safetensors'
    """
    return proxy.replace("/", "--").replace(":", "--") + ".safetensors"
