"""The proxy: one vision model that looks at every dataset, so that no candidate has to.

In: pictures. Out: features, shape (n_images, n_features). Any open_clip image tower, any timm model, or the
bundled `fennec-mini`, which needs no download and no other library's preprocessing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from PIL import Image

from fennec.checkpoints.loaders import build_open_clip, load_timm
from fennec.checkpoints.names import plain_name
from fennec.checkpoints.weights import download, fingerprint, values_of
from fennec.errors import ArtifactError, InputError, did_you_mean, said
from fennec.files import damaged, read_as, read_file
from fennec.settings import chosen_device, data_dir
from fennec.typed import Table, check_between, check_values, read_tensors

from .networks import Features, Network, onnx_network, torch_network

if TYPE_CHECKING:
    import torch

BUNDLED = "fennec-mini"
BATCH_SIZE = 64
LIMIT = 10**9  # bytes of weights
MAX_SIDE = 4096
EXPECTED = (
    f"{BUNDLED}, ARCHITECTURE/TAG of open_clip, hf-hub:ORG/NAME, timm:NAME, or a folder with open_clip_config.json"
)
ADVICE = f"use --proxy {BUNDLED}, which needs no download"


class Proxy:
    """A vision model with its own preprocessing.

    Args:
        name: what it was loaded as.
        network: maps a batch, one item of `transform` a picture, to features, shape (n, n_features).
        transform: prepares an RGB picture, shape (3, side, side).
        input_size: side in pixels.
        fingerprint: of weights and preprocessing, as `fennec.checkpoints.weights.fingerprint` computes it.
        preprocessing: what `transform` does, in plain values.
    """

    def __init__(
        self,
        name: str,
        network: Network,
        transform: Callable[[Image.Image], Any],
        *,
        input_size: int,
        fingerprint: str,
        preprocessing: dict[str, Any],
    ) -> None:
        self.name = name
        self.network = network
        self.transform = transform
        self.input_size = input_size
        self.fingerprint = fingerprint
        self.preprocessing = preprocessing

    @classmethod
    def load(cls, spec: str = BUNDLED, *, device: str | None = None, weights: str | Path | None = None) -> Proxy:
        """Load a proxy.

        Args:
            spec: `fennec-mini`; an open_clip tower `ViT-L-14/openai`, `hf-hub:ORG/NAME`, or a folder with
                `open_clip_config.json` and weights (also as `local-dir:FOLDER`); a timm model `timm:NAME.tag` or
                `hf-hub:timm/NAME.tag`; or the address of the page of one of these.
            device: `cpu`, `cuda`, ...; the default device when None.
            weights: local file for a timm model or an open_clip tower, instead of a download.

        Raises:
            InputError: nothing has this name; the nearest are offered.
            UnknownModelError: a name that means several sets of weights.
            OfflineError: the weights must be downloaded and the hub cannot be reached.
            ArtifactError: local weights are damaged or do not fit.

        Example:
            >>> Proxy.load("fennec-mini").n_features
            368
        """
        if spec == BUNDLED:
            return load_bundled(data_dir() / "proxies" / BUNDLED, device or chosen_device() or "cpu")
        if Path(spec.removeprefix("local-dir:")).is_dir():
            return _load_open_clip(spec, device, weights)
        library, _, rest = plain_name(spec).rpartition(":")
        if not rest:
            raise InputError(f"proxy '{spec}' has no name; {ADVICE}")
        if library == "timm":
            return _load_timm(rest, device, weights)
        if library == "open_clip":
            rest = "/".join(rest.split(".", 1))
        return _load_open_clip(f"hf-hub:{rest}" if library == "hf" else rest, device, weights)

    @property
    def n_features(self) -> int:
        """Width of the features."""
        return len(self.check_vector())

    def embed(self, images: Iterable[Image.Image]) -> Features:
        """Features of pictures, shape (n_images, n_features)."""
        parts = [features for _, features in self.embed_batches(enumerate(images))]
        return np.concatenate(parts) if parts else np.zeros((0, self.n_features), dtype=np.float32)

    def embed_batches(
        self, images: Iterable[tuple[int, Image.Image]], *, batch_size: int = BATCH_SIZE
    ) -> Iterator[tuple[list[int], Features]]:
        """Features in batches, in constant memory.

        Args:
            images: pairs of a position and an RGB picture.
            batch_size: pictures per forward pass.

        Yields:
            Positions, and their features, shape (n, n_features).
        """
        positions: list[int] = []
        batch: list[Any] = []
        for position, image in images:
            positions.append(position)
            batch.append(self.transform(image))
            if len(batch) == batch_size:
                yield positions, self.network(batch)
                positions, batch = [], []
        if batch:
            yield positions, self.network(batch)

    def check_vector(self) -> Features:
        """Features of a fixed synthetic picture: equal on two machines when weights and preprocessing are."""
        rows, columns = np.mgrid[0:120, 0:160]
        channels = np.stack([rows * 2, columns, (rows * columns) % 256], axis=-1)
        picture = Image.fromarray(channels.astype(np.uint8))
        return np.asarray(self.network([self.transform(picture)])[0])


@dataclass(frozen=True)
class BundledConfig:
    """What `config.json` of a proxy of our own layout must say."""

    format_version: Literal[1]
    name: str
    architecture: str
    input_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        check_between(1, MAX_SIDE, input_size=self.input_size)
        if not len(self.mean) == len(self.std) == 3:
            raise ValueError("'mean' and 'std' have no three values, of red, green and blue")
        for value in self.std:
            check_between(1e-6, 1e6, std=value)


def load_bundled(folder: Path, device: str = "cpu") -> Proxy:
    """The proxy in a folder of our own layout, in ONNX Runtime on the processor and in torch elsewhere.

    Args:
        folder: `config.json`, `model.onnx` (operators) and `model.safetensors` (weights, half precision).
        device: where to compute.

    Raises:
        ArtifactError: a file is missing or damaged.
    """
    with damaged(f"the proxy in {folder}", "install fennec-recommender again"):
        config = read_as(BundledConfig, folder / "config.json", limit=10**6, more=True)
        stored, _ = read_tensors(read_file(folder / "model.safetensors", limit=LIMIT))
        for name, values in stored.items():
            check_values(name, values, Table(values.shape))
        weights = {name: np.ascontiguousarray(values, dtype=np.float32) for name, values in stored.items()}
        preprocessing: dict[str, Any] = {
            "input_size": config.input_size,
            "mean": list(config.mean),
            "std": list(config.std),
        }
        try:
            if device == "cpu":
                network = onnx_network(folder / "model.onnx", weights)
                network([np.zeros((3, config.input_size, config.input_size), dtype=np.float32)])  # it may take no other
            else:
                network = torch_network(_timm_of(config.architecture, weights), device)
        except Exception as error:  # of a foreign reader on what may be anything
            raise ArtifactError(said(error) or type(error).__name__) from error
    # torch counts batches beside every running mean, and the fingerprints of known tasks contain the counters
    means = [name for name in weights if name.endswith("running_mean")]
    counters = {name.replace("running_mean", "num_batches_tracked"): np.zeros(1, np.float32) for name in means}
    return Proxy(
        config.name,
        network,
        partial(_square, **preprocessing),
        input_size=config.input_size,
        fingerprint=fingerprint(weights | counters, preprocessing),
        preprocessing=preprocessing,
    )


def _timm_of(architecture: str, weights: Mapping[str, Features]) -> torch.nn.Module:
    import timm
    import torch

    model: torch.nn.Module = timm.create_model(architecture, num_classes=0)
    model.load_state_dict({name: torch.from_numpy(values) for name, values in weights.items()}, strict=False)
    return model


def _square(image: Image.Image, *, input_size: int, mean: Sequence[float], std: Sequence[float]) -> Features:
    """Shorter side to `input_size` (bicubic), centre crop, normalised; as in training. Shape (3, side, side)."""
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    square = image.resize((input_size, input_size), Image.Resampling.BICUBIC, box=(left, top, left + side, top + side))
    pixels = np.asarray(square, dtype=np.float32) / 255 - np.asarray(mean, dtype=np.float32)
    return np.ascontiguousarray((pixels / np.asarray(std, dtype=np.float32)).transpose(2, 0, 1))


def _load_timm(name: str, device: str | None, weights: str | Path | None) -> Proxy:
    found = load_timm(name, weights, n_classes=0, advice=ADVICE)
    model = found.model.float()
    return Proxy(
        f"timm:{name}",
        torch_network(model, device),
        found.transform,
        input_size=found.preprocessing["input_size"][-1],
        fingerprint=fingerprint(values_of(model), found.preprocessing),
        preprocessing=found.preprocessing,
    )


def _load_open_clip(spec: str, device: str | None, weights: str | Path | None) -> Proxy:
    folder = Path(spec.removeprefix("local-dir:"))
    if "/" not in spec and not folder.is_dir():  # told before a library of seconds is loaded
        raise InputError(f"unknown proxy '{spec}'{did_you_mean(spec, [BUNDLED])} (expected {EXPECTED})")
    import open_clip

    if spec.startswith("hf-hub:") or (folder / "open_clip_config.json").is_file():
        source = spec if spec.startswith("hf-hub:") else f"local-dir:{folder}"
        clip, _, transform = download(
            lambda: open_clip.create_model_and_transforms(source, precision="fp32"), spec, ADVICE
        )
    else:
        architecture, _, tag = spec.rpartition("/")
        known = ["/".join(pair) for pair in open_clip.list_pretrained()]
        if spec not in known:
            hint = did_you_mean(spec, [BUNDLED, *known])
            raise InputError(f"unknown proxy '{spec}'{hint} (expected {EXPECTED})")
        clip, transform, _ = build_open_clip(architecture, tag, weights, advice=ADVICE)
    config = open_clip.get_model_preprocess_cfg(clip)
    size, model = config["size"], clip.visual.float()
    preprocessing = {key: config[key] for key in sorted(config)}
    return Proxy(
        spec if spec.startswith("hf-hub:") or not folder.is_dir() else folder.name,
        torch_network(model, device),
        transform,
        input_size=size if isinstance(size, int) else min(size),
        fingerprint=fingerprint(values_of(model), preprocessing),
        preprocessing=preprocessing,
    )
