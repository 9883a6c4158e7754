"""A fitted recommender on disk: `config.json`, `tensors.safetensors`, `README.md`, `manifest.json`; never a pickle.

The configuration names the proxy with its preprocessing, and the tensors hold a check vector, so that a space is never
used with another proxy than it was made with. Both are typed before use, and the manifest has their hashes: it tells a
file that was changed from one of another version. A space without a manifest was saved before there were any.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from fennec import __version__
from fennec.errors import (
    AbsentError,
    ArtifactError,
    InputError,
    UnknownTaskError,
    UnreadableError,
    did_you_mean,
)
from fennec.files import MANIFEST, as_json, find_file, make_folder, read_together, with_manifest, write_together
from fennec.settings import data_dir
from fennec.typed import (
    LARGE,
    Table,
    check_between,
    check_covariance,
    check_different,
    check_tensors,
    read_json,
    read_tensors,
    typed,
)

from .alike import Effects
from .deviation import QUANTILES, Deviation
from .index import ModelIndex
from .kernel import TaskKernel
from .transfer_space import TransferSpace

if TYPE_CHECKING:
    from fennec.tasks.proxy import Proxy

Space = TypeVar("Space", bound=TransferSpace)
Contents = Mapping[str, bytes]
Arrays = dict[str, np.ndarray[Any, Any]]

FORMAT_VERSION = 4  # 4: results of all studies
TENSORS = ("model_vectors_", "doubt_", "mapper_", "levels_", "task_covariance_", "performance_", "known_")
FACTS = ("name_", "protocol_", "study_", "models_", "image_sets_")
NUMBERS = ("level_variance", "noise", "width")
READ = {"config.json": 10**8, "tensors.safetensors": 4 * 10**9}  # files that a space is read from, bytes at most
FILES = ("README.md", *READ, MANIFEST)
SMALL = 1e-9  # what is divided by is larger

# One name is one size. An affinity is a row of the mapper; descriptors are means and deviations of features.
SCHEMA = {
    "check_vector": Table(("features",)),
    "descriptors": Table(("known", "descriptors")),
    "scales": Table((2,), low=SMALL),
    "spreads": Table((len(QUANTILES),), low=SMALL),
    "model_vectors_": Table(("models", "components")),
    "doubt_": Table(("models",), low=0.0),
    "mapper_": Table(("placed", "image sets and 1")),
    "levels_": Table(("image sets",), gaps=True),
    "task_covariance_": Table(("components", "components")),
    "performance_": Table(("models", "image sets"), low=0.0, high=1.0, gaps=True),
    "known_": Table(("models", 2), low=0, whole=True),
}


@dataclass(frozen=True)
class Parameters:
    """Those of `TransferSpace`, in the order of their names."""

    affinity: Effects
    length_scale: float
    n_components: int
    quality: Effects
    random_state: int | None

    def __post_init__(self) -> None:
        for effects in (self.affinity, self.quality):
            check_between(0.0, LARGE, **asdict(effects))
            check_between(0.0, 1.0, shared_by_studies=effects.common + effects.protocol)
        check_between(1e-6, 1e6, length_scale=self.length_scale)
        check_between(0, 2**31, n_components=self.n_components)
        check_between(0, 2**32 - 1, random_state=self.random_state)


@dataclass(frozen=True)
class StoredFacts:
    """Names of what the space is about."""

    name: str
    protocol: str
    study: str
    models: tuple[str, ...]
    image_sets: tuple[str, ...]

    def __post_init__(self) -> None:
        check_different(models=self.models, image_sets=self.image_sets)
        if not self.models:
            raise ValueError("'models' is empty; expected at least one")


@dataclass(frozen=True)
class StoredNumbers:
    """Those of `Deviation`."""

    level_variance: float
    noise: float
    width: float

    def __post_init__(self) -> None:
        check_between(0.0, LARGE, level_variance=self.level_variance)
        check_between(SMALL, LARGE, noise=self.noise, width=self.width)


@dataclass(frozen=True)
class StoredProxy:
    """The proxy that it was made with."""

    name: str
    fingerprint: str
    preprocessing: dict[str, Any]


@dataclass(frozen=True)
class Configuration:
    """What `config.json` holds."""

    format_version: int
    fennec_version: str
    parameters: Parameters
    space: StoredFacts
    known_tasks: tuple[str, ...]
    deviation: StoredNumbers
    proxy: StoredProxy

    def __post_init__(self) -> None:
        check_different(known_tasks=self.known_tasks)


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
        folder: made if need be; files of the same names are replaced, all of them or, interrupted, none.
        proxy: the proxy it was fitted with, to store preprocessing and check vector; the bundled one is
            loaded when the recommender uses it, any other must be given.

    Raises:
        InputError: the proxy is not the one that the recommender was fitted with, or must be given.
        ArtifactError: the space could not be read again.
        UnwritableError: the folder cannot be written.
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
    make_folder(Path(folder))  # what cannot be written need not be made
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
    contents = {
        "README.md": _card(config).encode(),
        "config.json": (as_json(config) + "\n").encode(),
        "tensors.safetensors": save({key: np.ascontiguousarray(value) for key, value in tensors.items()}),
    }
    try:
        _read(contents)
    except ArtifactError as error:
        raise ArtifactError(f"this recommender cannot be saved: {error}") from error
    write_together(Path(folder), with_manifest(contents, READ))


def load_space(folder: str | Path, kind: type[Space], *, proxy: Proxy | None = None) -> Space:
    """Read what `save_space` wrote.

    Args:
        folder: where it is.
        kind: class of what is made.
        proxy: checked against the stored fingerprint and check vector when given.

    Raises:
        AbsentError: there is no such folder.
        ArtifactError: it holds none, or one that is damaged, changed, of another format, or made with another proxy.
        UnreadableError: there is no right to read it.
    """
    source = Path(folder)
    if not os.path.lexists(source):
        raise AbsentError(f"no recommender in '{folder}' (there is no such folder); make one with 'fennec fit'")
    if not find_file(source, "config.json").is_file():
        raise ArtifactError(f"no recommender in '{folder}' (config.json is missing); make one with 'fennec fit'")
    try:
        inside = None if source.is_relative_to(data_dir()) else source  # installers may make links of what is shipped
        contents, changed = read_together(source, READ, inside=inside)
        if changed:
            _check_version(contents)
            raise ArtifactError(
                f"'{changed}' was changed after it was saved: its hash is not that of {MANIFEST}, which may be deleted "
                "if that was on purpose"
            )
        config, tensors = _read(contents)
        space = _build(config, tensors, kind)
    except _OtherFormatError as error:
        raise ArtifactError(f"'{folder}' {error}") from error
    except UnreadableError:
        raise
    except (OSError, ArtifactError) as error:
        raise ArtifactError(
            f"the recommender in '{folder}' is damaged ({error}); make it again with 'fennec fit'"
        ) from error
    if proxy is not None:
        check_proxy(config.proxy, tensors["check_vector"], proxy)
    return space


class _OtherFormatError(ArtifactError):
    """Of another version of Fennec."""


def _check_version(contents: Contents) -> None:
    """Say of a file that was changed first that it is of another version, and nothing of what else is wrong."""
    try:
        _configuration(contents)
    except _OtherFormatError:
        raise
    except ArtifactError:
        return


def check_proxy(stored: StoredProxy, check_vector: np.ndarray[Any, Any], proxy: Proxy) -> None:
    """Make sure that a proxy is the one a recommender was made with.

    Raises:
        ArtifactError: name, weights or preprocessing differ, or its features do on the check picture.
    """
    if proxy.fingerprint != stored.fingerprint:
        raise ArtifactError(
            f"made with proxy '{stored.name}' ({stored.fingerprint[:8]}), not with "
            f"'{proxy.name}' ({proxy.fingerprint[:8]}); use --proxy {stored.name} or fit again"
        )
    now = proxy.check_vector()
    if now.shape != check_vector.shape:
        raise ArtifactError(f"made with a proxy of {len(check_vector)} features, '{proxy.name}' gives {len(now)}")
    scale = max(float(np.linalg.norm(check_vector)), 1e-12)
    error = float(np.linalg.norm(now - check_vector)) / scale
    if error > 0.02:
        raise ArtifactError(
            f"proxy '{proxy.name}' computes other features here than where the recommender was made "
            f"(relative error {error:.1%} on the check picture); reinstall torch or fit again"
        )


def check_contents(contents: Contents) -> None:
    """Make sure that files hold a space.

    Args:
        contents: of `config.json` and `tensors.safetensors`.

    Raises:
        ArtifactError: something in them is not what a space holds, or of another format.
    """
    _read(contents)


def _read(contents: Contents) -> tuple[Configuration, Arrays]:
    """Configuration and tensors, each of its type and range and all of them agreed."""
    config = _configuration(contents)
    tensors = read_tensors(contents["tensors.safetensors"])[0]
    n_sets = len(config.space.image_sets)
    sizes = {"models": len(config.space.models), "image sets": n_sets, "image sets and 1": n_sets + 1,
             "known": len(config.known_tasks)}  # fmt: skip
    found = check_tensors(tensors, SCHEMA, sizes)
    if not 1 <= found["placed"] <= found["components"]:
        raise ArtifactError(f"'mapper_' gives {found['placed']} of {found['components']} latent dimensions")
    if config.known_tasks and found["descriptors"] != 2 * found["features"]:
        raise ArtifactError(
            f"tasks have {found['descriptors']} descriptors; expected {2 * found['features']}, two of every feature"
        )
    check_covariance("task_covariance_", tensors["task_covariance_"])
    return config, tensors


def _build(config: Configuration, tensors: Arrays, kind: type[Space]) -> Space:
    parameters = {name: getattr(config.parameters, name) for name in Parameters.__dataclass_fields__}
    space = kind(**parameters)
    for name in FACTS:
        setattr(space, name, getattr(config.space, name.rstrip("_")))
    for key in TENSORS:
        setattr(space, key, tensors[key].astype(np.float64))
    space.known_ = space.known_.astype(np.int64)
    space.kernel_ = TaskKernel(
        config.known_tasks,
        tensors["descriptors"].astype(np.float64),
        tensors["scales"].astype(np.float64),
        config.proxy.name,
        config.proxy.fingerprint,
        1.0,
        space.length_scale,
    )
    space.deviation_ = Deviation(**asdict(config.deviation), spreads=tensors["spreads"].astype(np.float64))
    space.index_ = ModelIndex(space.model_vectors_)
    return space


def _configuration(contents: Contents) -> Configuration:
    stored = read_json(contents["config.json"])
    version = stored.get("format_version") if isinstance(stored, dict) else None
    if type(version) is int and version != FORMAT_VERSION:
        remedy = "make it again with 'fennec fit'"
        if version > FORMAT_VERSION:
            remedy = "upgrade with 'pip install -U fennec-recommender'"
        raise _OtherFormatError(f"has format version {version}, this Fennec reads version {FORMAT_VERSION}; {remedy}")
    return typed(Configuration, stored, where="config.json")


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
