"""The proxy: one vision model that looks at every dataset, so that no candidate has to.

In: pictures. Out: features, shape (n_images, n_features). Any open_clip image tower, any timm model, or the
bundled `fennec-mini`, which needs no download and no other library's preprocessing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fennec.checkpoints.loaders import build_open_clip, load_timm
from fennec.checkpoints.names import plain_name
from fennec.checkpoints.weights import download, fingerprint
from fennec.errors import ArtifactError, InputError, did_you_mean
from fennec.settings import data_dir, default_device

if TYPE_CHECKING:
    import torch

Features = NDArray[np.float32]
BUNDLED = "fennec-mini"
BATCH_SIZE = 64
ADVICE = f"use --proxy {BUNDLED}, which needs no download"


class Proxy:
    """A vision model in evaluation mode with its own preprocessing.

    Args:
        name: what it was loaded as.
        model: maps a batch (n, 3, side, side) to features (n, n_features).
        transform: maps an RGB picture to a tensor (3, side, side).
        input_size: side in pixels.
        preprocessing: what `transform` does, in plain values; part of the identity.
        device: where to compute.
    """

    def __init__(
        self,
        name: str,
        model: torch.nn.Module,
        transform: Callable[[Image.Image], torch.Tensor],
        *,
        input_size: int,
        preprocessing: dict[str, Any],
        device: str | None = None,
    ) -> None:
        self.name = name
        self.device = device or default_device()
        self.model = model.eval().to(self.device)
        self.transform = transform
        self.input_size = input_size
        self.preprocessing = preprocessing
        self.fingerprint = fingerprint(model, preprocessing)

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
            return load_bundled(data_dir() / "proxies" / BUNDLED, device)
        if Path(spec.removeprefix("local-dir:")).is_dir():
            return _load_open_clip(spec, device, weights)
        library, _, rest = plain_name(spec).rpartition(":")
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
        tensors: list[torch.Tensor] = []
        for position, image in images:
            positions.append(position)
            tensors.append(self.transform(image))
            if len(tensors) == batch_size:
                yield positions, self._forward(tensors)
                positions, tensors = [], []
        if tensors:
            yield positions, self._forward(tensors)

    def check_vector(self) -> Features:
        """Features of a fixed synthetic picture: equal on two machines when weights and preprocessing are."""
        rows, columns = np.mgrid[0:120, 0:160]
        channels = np.stack([rows * 2, columns, (rows * columns) % 256], axis=-1)
        picture = Image.fromarray(channels.astype(np.uint8))
        return np.asarray(self._forward([self.transform(picture)])[0])

    def _forward(self, tensors: list[torch.Tensor]) -> Features:
        import torch

        with torch.inference_mode():
            features = self.model(torch.stack(tensors).to(self.device))
        return np.asarray(features.float().cpu().numpy(), dtype=np.float32)


def load_bundled(folder: Path, device: str | None = None) -> Proxy:
    """The proxy in a folder of our own layout: `config.json` and half-precision `model.safetensors`.

    Raises:
        ArtifactError: a file is missing or damaged.
    """
    import timm
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        state = load_file(folder / "model.safetensors")
        model = timm.create_model(config["architecture"], num_classes=0)
        model.load_state_dict({name: tensor.float() for name, tensor in state.items()}, strict=False)
    except (OSError, ValueError, KeyError, SafetensorError, RuntimeError) as error:
        raise ArtifactError(f"the proxy in {folder} is damaged ({error}); install fennec-recommender again") from error
    preprocessing = {key: config[key] for key in ("input_size", "mean", "std")}
    return Proxy(
        config["name"],
        model,
        _square_transform(**preprocessing),
        input_size=config["input_size"],
        preprocessing=preprocessing,
        device=device,
    )


def _square_transform(input_size: int, mean: list[float], std: list[float]) -> Callable[[Image.Image], torch.Tensor]:
    """Shorter side to `input_size` (bicubic), centre crop, normalised; as in training."""
    import torch

    shift = np.asarray(mean, dtype=np.float32)
    scale = np.asarray(std, dtype=np.float32)

    def transform(image: Image.Image) -> torch.Tensor:
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        square = image.resize(
            (input_size, input_size), Image.Resampling.BICUBIC, box=(left, top, left + side, top + side)
        )
        pixels = (np.asarray(square, dtype=np.float32) / 255 - shift) / scale
        return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))

    return transform


def _load_timm(name: str, device: str | None, weights: str | Path | None) -> Proxy:
    found = load_timm(name, weights, n_classes=0, advice=ADVICE)
    return Proxy(
        f"timm:{name}",
        found.model.float(),
        found.transform,
        input_size=found.preprocessing["input_size"][-1],
        preprocessing=found.preprocessing,
        device=device,
    )


def _load_open_clip(spec: str, device: str | None, weights: str | Path | None) -> Proxy:
    import open_clip

    folder = Path(spec.removeprefix("local-dir:"))
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
            raise InputError(
                f"unknown proxy '{spec}'{hint} (expected {BUNDLED}, ARCHITECTURE/TAG of open_clip, hf-hub:ORG/NAME, "
                "timm:NAME, or a folder with open_clip_config.json)"
            )
        clip, transform, _ = build_open_clip(architecture, tag, weights, advice=ADVICE)
    config = open_clip.get_model_preprocess_cfg(clip)
    size = config["size"]
    return Proxy(
        spec if spec.startswith("hf-hub:") or not folder.is_dir() else folder.name,
        clip.visual.float(),
        transform,
        input_size=size if isinstance(size, int) else min(size),
        preprocessing={key: config[key] for key in sorted(config)},
        device=device,
    )
