"""Task embeddings on disk: one safetensors file holds those of many tasks under one proxy.

Means are kept in single precision, covariances as the upper triangle in half precision. Nothing is a
pickle; the file says which proxy made it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from fennec.errors import ArtifactError, InputError, did_you_mean
from fennec.files import write_whole
from fennec.settings import cache_dir, data_dir

from .embedding import TaskEmbedding, evenly

FORMAT_VERSION = 1
N_STORED = 100  # single features kept per task: the number of images that the published pipeline uses


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
    for key, embedding in embeddings.items():
        upper = np.triu_indices(embedding.n_features)
        tensors[f"{key}/mean"] = embedding.mean.astype(np.float32)
        tensors[f"{key}/covariance"] = embedding.covariance[upper].astype(np.float16)
        tensors[f"{key}/class_counts"] = embedding.class_counts.astype(np.int32)
        if embedding.class_means is not None:
            tensors[f"{key}/class_means"] = embedding.class_means.astype(np.float16)
        if embedding.samples is not None:
            tensors[f"{key}/samples"] = evenly(embedding.samples, N_STORED).astype(np.float16)
        tasks[key] = {
            "name": embedding.name,
            "n_images": embedding.n_images,
            "class_names": list(embedding.class_names),
            "seconds": round(embedding.seconds, 3),
        }
    proxy, fingerprint = made_by.pop()
    header = {"format_version": FORMAT_VERSION, "proxy": proxy, "fingerprint": fingerprint, "tasks": tasks}
    write_whole(Path(path), save(tensors, metadata={"fennec": json.dumps(header)}))


def load_embeddings(path: str | Path) -> dict[str, TaskEmbedding]:
    """Read what `save_embeddings` wrote.

    Raises:
        ArtifactError: the file is missing, damaged, or of a newer format.
    """
    from safetensors import SafetensorError, safe_open

    if not Path(path).is_file():
        raise ArtifactError(f"no task embeddings at {path}; make them with 'fennec embed --known'")
    try:
        with safe_open(path, framework="numpy") as file:
            header = json.loads((file.metadata() or {}).get("fennec", "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, json.JSONDecodeError) as error:
        raise ArtifactError(f"{path} is damaged ({error}); make it again or fetch it again") from error
    if header.get("format_version") != FORMAT_VERSION:
        raise ArtifactError(
            f"{path} has format version {header.get('format_version')}, this Fennec reads {FORMAT_VERSION}; "
            "upgrade with 'pip install -U fennec-recommender'"
        )
    embeddings = {}
    for key, facts in header["tasks"].items():
        mean = tensors[f"{key}/mean"].astype(np.float64)
        upper = np.triu_indices(len(mean))
        covariance = np.zeros((len(mean), len(mean)))
        covariance[upper] = tensors[f"{key}/covariance"]
        covariance = covariance + covariance.T - np.diag(np.diag(covariance))
        means, samples = tensors.get(f"{key}/class_means"), tensors.get(f"{key}/samples")
        embeddings[key] = TaskEmbedding(
            name=facts["name"],
            proxy=header["proxy"],
            fingerprint=header["fingerprint"],
            n_images=facts["n_images"],
            mean=mean,
            scatter=covariance * facts["n_images"],
            class_names=tuple(facts["class_names"]),
            class_counts=tensors[f"{key}/class_counts"].astype(np.float64),
            class_means=None if means is None else means.astype(np.float64),
            samples=None if samples is None else samples.astype(np.float64),
            seconds=float(facts.get("seconds", 0.0)),
        )
    return embeddings


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
