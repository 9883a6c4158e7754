"""A fitted recommender on disk: `config.json`, `tensors.safetensors`, `README.md`; never a pickle.

The configuration names the proxy with its preprocessing, and the tensors hold a check vector, so that a
space is never used with another proxy than it was made with.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from fennec import __version__
from fennec.errors import ArtifactError, InputError, UnknownTaskError, did_you_mean
from fennec.settings import data_dir

from .alike import Effects
from .deviation import Deviation
from .index import ModelIndex
from .kernel import TaskKernel
from .transfer_space import TransferSpace

if TYPE_CHECKING:
    from fennec.tasks.proxy import Proxy

Space = TypeVar("Space", bound=TransferSpace)

FORMAT_VERSION = 4  # 4: results of all studies
TENSORS = ("model_vectors_", "doubt_", "mapper_", "levels_", "task_covariance_", "performance_", "known_")
FACTS = ("name_", "protocol_", "study_", "models_", "image_sets_")
NUMBERS = ("level_variance", "noise", "width")


def shipped_space(protocol: str) -> Path:
    """Folder of the space fitted to all published results for one protocol.

    Raises:
        UnknownTaskError: there is none.
    """
    spaces = data_dir() / "spaces"
    known = sorted(folder.name for folder in spaces.iterdir() if folder.is_dir())
    if protocol not in known:
        near = did_you_mean(protocol, known)
        raise UnknownTaskError(f"no results to foretell protocol '{protocol}'{near}; there are {', '.join(known)}")
    return spaces / protocol


def save_space(space: TransferSpace, folder: str | Path, *, proxy: Proxy | None = None) -> None:
    """Write a fitted space.

    Args:
        space: fitted.
        folder: made if need be; files of the same names are replaced, each only when it is complete.
        proxy: the proxy it was fitted with, to store preprocessing and check vector; the bundled one is
            loaded when the recommender uses it, any other must be given.

    Raises:
        InputError: the proxy is not the one that the recommender was fitted with, or must be given.
        ArtifactError: the folder cannot be written.
    """
    from safetensors.numpy import save

    from fennec.tasks.proxy import BUNDLED, Proxy

    kernel = space.kernel_
    if proxy is None:
        if kernel.proxy != BUNDLED:
            raise InputError(f"give the proxy '{kernel.proxy}' to save its preprocessing with the recommender")
        proxy = Proxy.load(BUNDLED)
    if proxy.fingerprint != kernel.fingerprint:
        raise InputError(f"the recommender was fitted with proxy '{kernel.proxy}', not with '{proxy.name}'")
    config = {
        "format_version": FORMAT_VERSION,
        "fennec_version": __version__,
        "parameters": {name: _plain(value) for name, value in space.get_params(deep=False).items()},
        "space": {name.rstrip("_"): getattr(space, name) for name in FACTS},
        "known_tasks": kernel.image_sets,
        "deviation": {key: getattr(space.deviation_, key) for key in NUMBERS},
        "proxy": {
            "name": proxy.name,
            "fingerprint": proxy.fingerprint,
            "preprocessing": proxy.preprocessing,
        },
    }
    tensors = {key: np.asarray(getattr(space, key)) for key in TENSORS}
    tensors |= {
        "descriptors": kernel.descriptors,
        "scales": kernel.scales,
        "spreads": space.deviation_.spreads,
        "check_vector": proxy.check_vector(),
    }
    # half the size, and a hundredth of a thousandth of a score is nothing
    tensors = {key: value.astype(np.float32) if value.size > 1000 else value for key, value in tensors.items()}
    target = Path(folder)
    try:
        target.mkdir(parents=True, exist_ok=True)
        partial = target / "tensors.safetensors.part"
        partial.write_bytes(save({key: np.ascontiguousarray(value) for key, value in tensors.items()}))
        _replace(target / "README.md", _card(config))
        partial.replace(target / "tensors.safetensors")
        _replace(target / "config.json", json.dumps(config, indent=1, default=list) + "\n")
    except OSError as error:
        raise ArtifactError(f"cannot write to '{folder}': {error}") from error


def load_space(folder: str | Path, kind: type[Space], *, proxy: Proxy | None = None) -> Space:
    """Read what `save_space` wrote.

    Args:
        folder: where it is.
        kind: class of what is made.
        proxy: checked against the stored fingerprint and check vector when given.

    Raises:
        ArtifactError: missing, damaged, of a newer format, or made with another proxy.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    source = Path(folder)
    if not (source / "config.json").is_file():
        raise ArtifactError(f"no recommender in '{folder}' (config.json is missing); make one with 'fennec fit'")
    try:
        config = json.loads((source / "config.json").read_text(encoding="utf-8"))
        version = config["format_version"]
        if version != FORMAT_VERSION:
            remedy = "make it again with 'fennec fit'"
            if version > FORMAT_VERSION:
                remedy = "upgrade with 'pip install -U fennec-recommender'"
            raise ArtifactError(
                f"'{folder}' has format version {version}, this Fennec reads version {FORMAT_VERSION}; {remedy}"
            )
        tensors = load_file(source / "tensors.safetensors")
        space = _rebuild(config, tensors, kind)
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise ArtifactError(
            f"the recommender in '{folder}' is damaged ({error}); make it again with 'fennec fit'"
        ) from error
    if proxy is not None:
        check_proxy(config["proxy"], tensors["check_vector"], proxy)
    return space


def check_proxy(stored: dict[str, Any], check_vector: np.ndarray[Any, Any], proxy: Proxy) -> None:
    """Make sure that a proxy is the one a recommender was made with.

    Raises:
        ArtifactError: name, weights or preprocessing differ, or its features do on the check picture.
    """
    if proxy.fingerprint != stored["fingerprint"]:
        raise ArtifactError(
            f"made with proxy '{stored['name']}' ({stored['fingerprint'][:8]}), not with "
            f"'{proxy.name}' ({proxy.fingerprint[:8]}); use --proxy {stored['name']} or fit again"
        )
    now = proxy.check_vector()
    scale = max(float(np.linalg.norm(check_vector)), 1e-12)
    error = float(np.linalg.norm(now - check_vector)) / scale
    if error > 0.02:
        raise ArtifactError(
            f"proxy '{proxy.name}' computes other features here than where the recommender was made "
            f"(relative error {error:.1%} on the check picture); reinstall torch or fit again"
        )


def _rebuild(config: dict[str, Any], tensors: dict[str, Any], kind: type[Space]) -> Space:
    parameters = config["parameters"]
    effects = {name: Effects(**parameters[name]) for name in ("quality", "affinity")}
    space = kind(**{**parameters, **effects})
    for name in FACTS:
        value = config["space"][name.rstrip("_")]
        setattr(space, name, tuple(value) if isinstance(value, list) else value)
    for key in TENSORS:
        setattr(space, key, tensors[key].astype(np.float64))
    space.known_ = space.known_.astype(np.int64)
    space.kernel_ = TaskKernel(
        tuple(config["known_tasks"]),
        tensors["descriptors"].astype(np.float64),
        tensors["scales"],
        config["proxy"]["name"],
        config["proxy"]["fingerprint"],
        1.0,
        space.length_scale,
    )
    numbers = {key: float(config["deviation"][key]) for key in NUMBERS}
    space.deviation_ = Deviation(**numbers, spreads=tensors["spreads"])
    space.index_ = ModelIndex(space.model_vectors_)
    return space


def _plain(value: Any) -> Any:
    return asdict(value) if isinstance(value, Effects) else value


def _card(config: dict[str, Any]) -> str:
    facts = config["space"]
    return (
        "---\nlibrary_name: fennec-recommender\npipeline_tag: image-classification\ntags:\n- fennec\n"
        "- model-selection\n- transferability\n---\n\n"
        f"# Fennec recommender\n\n"
        f"{len(facts['models'])} models, {len(facts['image_sets'])} known image sets, protocol {facts['protocol']}, "
        f"learned from {facts['name']}, proxy {config['proxy']['name']}.\n\n"
        f"It ranks pre-trained vision models for a new image dataset: which to fine-tune first. It holds published "
        f"or measured results and what was learned from them, no images and no weights of the ranked models.\n\n"
        f"| | |\n| --- | --- |\n"
        f"| tasks with images | {', '.join(config['known_tasks']) or 'none'} |\n"
        f"| proxy weights and preprocessing | {config['proxy']['fingerprint']} |\n"
        f"| format version | {config['format_version']} |\n\n"
        f"Made with fennec-recommender {config['fennec_version']}. Load it with "
        f"`fennec.Recommender.load(folder)` or `fennec recommend DATASET --space FOLDER`; from the Hugging Face Hub "
        f"with `fennec pull ORG/NAME FOLDER`.\n"
    )


def _replace(path: Path, text: str) -> None:
    partial = path.with_name(path.name + ".part")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
