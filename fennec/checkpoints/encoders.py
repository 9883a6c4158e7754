"""A candidate model with its own preprocessing, cut before its head: features and source probabilities.

In: a model id, or any `nn.Module`. Out: `Encoder`. Weights come from local files or through the libraries' own
caches and downloads.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fennec.errors import (
    ArtifactError,
    InputError,
    MissingExtraError,
    ModelFailedError,
    UnsupportedModelError,
    did_you_mean,
)
from fennec.settings import default_device

from .catalog import load_catalog
from .own import has_module, make_own
from .weights import download, fill, fingerprint, read_weights

if TYPE_CHECKING:
    import torch
    from PIL import Image
    from torch import Tensor

    Split = Callable[[Tensor], tuple[Tensor, Tensor | None]]

OWN_SPLIT = "give fennec.Encoder a `split` that takes the features out"
ADVICE = "give local weights with --weights MODEL=FILE"


class Encoder:
    """A model in evaluation mode that gives penultimate features and source-head probabilities.

    Args:
        name: id of the model.
        model: any network that maps a batch (n, 3, side, side) to something.
        transform: maps an RGB picture to a tensor (3, side, side).
        preprocessing: what `transform` does, in plain values; part of the identity.
        split: maps a batch to features and logits; found by watching the last linear layer when None.
        device: where to compute; the default device when None.

    Raises:
        InputError: no such device.
    """

    def __init__(
        self,
        name: str,
        model: torch.nn.Module,
        transform: Callable[[Image.Image], Tensor],
        *,
        preprocessing: dict[str, Any] | None = None,
        split: Split | None = None,
        device: str | None = None,
    ) -> None:
        import torch

        from fennec.metrics.contract import find_device

        self.name = name
        self.device = find_device(device or default_device())
        self.preprocessing = preprocessing or {}
        self.fingerprint = fingerprint(model, self.preprocessing)
        self.model = model.eval().to(self.device)
        self.model.to(memory_format=torch.channels_last)
        self.transform = transform
        self._split = split or _watch_last_linear(self.model)

    @classmethod
    def load(cls, model: str, *, weights: str | Path | None = None, device: str | None = None) -> Encoder:
        """Load a model of timm, torchvision, open_clip or Hugging Face, or one of the user's own.

        Args:
            model: canonical id, another name that the catalog knows, or `module:NAME` of a function that makes an
                `Encoder` or a network (which is then given 224 x 224 pixels, ImageNet's mean and deviation).
            weights: local file, or for a Hugging Face model its folder, instead of a download.
            device: where to compute; the default device when None.

        Raises:
            UnknownModelError: nothing has this name; the nearest are offered.
            InputError: no such device, or the user's function makes no network.
            UnsupportedModelError: a model of a library that Fennec cannot run.
            MissingExtraError: a Hugging Face model, and `transformers` is not installed.
            OfflineError: the weights must be downloaded and the hub cannot be reached.
            ArtifactError: local weights are missing, damaged or do not fit.
        """
        if weights is not None and not Path(weights).exists():
            raise ArtifactError(f"no weights of '{model}' at '{weights}'")
        library, _, rest = model.partition(":")
        if library not in _LOADERS and has_module(model):
            return _load_own(model, weights, device)
        name = model if library in _LOADERS and rest else load_catalog().find(model)
        library, _, rest = name.partition(":")
        if library not in _LOADERS:
            raise UnsupportedModelError(
                f"'{name}' cannot be run here: forward passes are for {', '.join(_LOADERS)} models; "
                "wrap any other network in fennec.Encoder"
            )
        architecture, _, tag = rest.partition(".")
        return _LOADERS[library](name, architecture, tag, weights, device)

    def __call__(self, batch: Tensor) -> tuple[Tensor, Tensor | None]:
        """Features and source probabilities of a batch, in half precision on a GPU.

        Args:
            batch: shape (n, 3, side, side).

        Returns:
            Features (n, n_features) and probabilities (n, n_source_classes) or None, in single precision on
            the CPU. A batch that does not fit into memory is halved.
        """
        import torch

        try:
            return self._forward(batch)
        except torch.OutOfMemoryError:
            if len(batch) == 1:
                raise
            torch.cuda.empty_cache()
        halves = [self(half) for half in batch.chunk(2)]
        probs = [part for _, part in halves if part is not None]
        return torch.cat([features for features, _ in halves]), torch.cat(probs) if probs else None

    def _forward(self, batch: Tensor) -> tuple[Tensor, Tensor | None]:
        import torch

        place = batch.to(self.device, memory_format=torch.channels_last)
        half = torch.autocast(self.device.type, dtype=torch.float16, enabled=self.device.type == "cuda")
        with torch.inference_mode(), half:
            features, logits = self._split(place)
        probs = None if logits is None or logits.ndim != 2 else torch.softmax(logits.float(), dim=1).cpu()
        return _flat(features, len(batch)).float().cpu(), probs

    def embed(self, batch: Tensor) -> Tensor:
        """Features of a batch on its own device, (n, n_features), with gradients: what fine-tuning works on."""
        return _flat(self._split(batch)[0], len(batch))


def _flat(features: Tensor, n: int) -> Tensor:
    """One vector for each of n pictures: mean over positions (n, channels, h, w) or tokens (n, tokens, channels).

    Raises:
        ModelFailedError: the network gives something else.
    """
    import torch

    if not isinstance(features, torch.Tensor):
        raise ModelFailedError(f"the network gives a {type(features).__name__}, not a tensor; {OWN_SPLIT}")
    shape = tuple(features.shape)
    if features.ndim not in (2, 3, 4) or shape[0] != n or 0 in shape or features.is_complex():
        kind = "complex numbers" if features.is_complex() else "features"
        raise ModelFailedError(
            f"the network gives {kind} of shape {shape} for {n} pictures; expected real ones of shape "
            f"({n}, n_features), with positions or tokens at most; {OWN_SPLIT}"
        )
    if not features.is_floating_point():
        features = features.float()
    if features.ndim == 4:
        return features.mean(dim=(2, 3))
    return features.mean(dim=1) if features.ndim == 3 else features


def _watch_last_linear(model: torch.nn.Module) -> Split:
    """Features are what the last linear layer takes where the model returns what that layer gives."""
    from torch import nn

    def split(batch: Tensor) -> tuple[Tensor, Tensor | None]:
        seen: list[tuple[Tensor, Tensor]] = []
        hooks = [
            layer.register_forward_hook(lambda _, inputs, output: seen.append((inputs[0], output)))
            for layer in model.modules()
            if isinstance(layer, nn.Linear)
        ]
        try:
            output = model(batch)
        finally:
            for hook in hooks:
                hook.remove()
        if seen and seen[-1][1] is output:
            return seen[-1][0], output
        return output, None

    return split


def _load_timm(name: str, architecture: str, tag: str, weights: str | Path | None, device: str | None) -> Encoder:
    import timm
    from timm.data.config import resolve_data_config
    from timm.data.transforms_factory import create_transform

    full = f"{architecture}.{tag}" if tag else architecture
    if not timm.is_model(architecture):
        raise InputError(f"unknown timm model '{full}'{did_you_mean(architecture, timm.list_models())}")
    if weights is None:
        known = timm.list_models(f"{architecture}.*", pretrained=True)
        if tag and full not in known:
            raise InputError(f"no weights '{full}' in timm{did_you_mean(full, known)}")
        model = download(lambda: timm.create_model(full, pretrained=True), name, ADVICE)
    else:
        state = read_weights(weights)
        classifier = getattr(timm.get_pretrained_cfg(full), "classifier", None)
        head = f"{classifier}.weight" if isinstance(classifier, str) else ""
        n_classes = len(state[head]) if head in state else 0
        model = fill(timm.create_model(full if tag else architecture, num_classes=n_classes), state, name, weights)

    def split(batch: Tensor) -> tuple[Tensor, Tensor | None]:
        maps = model.forward_features(batch)
        features = model.forward_head(maps, pre_logits=True)
        return features, model.forward_head(maps) if model.num_classes else None

    config: dict[str, Any] = resolve_data_config({}, model=model)  # type: ignore[no-untyped-call]
    preprocessing = {key: config[key] for key in ("input_size", "interpolation", "mean", "std", "crop_pct")}
    transform = create_transform(**config)
    return Encoder(name, model, transform, preprocessing=preprocessing, split=split, device=device)


def _load_torchvision(
    name: str, architecture: str, tag: str, weights: str | Path | None, device: str | None
) -> Encoder:
    from torchvision import models

    if architecture not in (known := models.list_models(models)):
        raise InputError(f"unknown torchvision model '{architecture}'{did_you_mean(architecture, known)}")
    versions = models.get_model_weights(architecture)
    by_tag = {version.name.lower(): version for version in versions}
    if tag and tag.lower() not in by_tag:
        raise InputError(f"no weights '{tag}' of torchvision's {architecture}{did_you_mean(tag.lower(), by_tag)}")
    version = by_tag[tag.lower()] if tag else versions.DEFAULT
    if weights is None:
        model = download(lambda: models.get_model(architecture, weights=version), name, ADVICE)
    else:
        model = fill(models.get_model(architecture, weights=None), read_weights(weights), name, weights)
    transform = version.transforms()
    return Encoder(name, model, transform, preprocessing={"transform": repr(transform)}, device=device)


def _load_open_clip(name: str, architecture: str, tag: str, weights: str | Path | None, device: str | None) -> Encoder:
    import open_clip

    known = ["/".join(pair) for pair in open_clip.list_pretrained()]
    if weights is None and f"{architecture}/{tag}" not in known:
        raise InputError(
            f"unknown open_clip model '{architecture}.{tag}'{did_you_mean(f'{architecture}/{tag}', known)}"
        )
    source = str(weights) if weights is not None else tag
    clip, _, transform = download(
        lambda: open_clip.create_model_and_transforms(architecture, pretrained=source, precision="fp32"), name, ADVICE
    )
    config = open_clip.get_model_preprocess_cfg(clip)
    preprocessing = {key: config[key] for key in sorted(config)}
    visual = clip.visual
    return Encoder(
        name, visual, transform, preprocessing=preprocessing, split=lambda batch: (visual(batch), None), device=device
    )


def _load_hugging_face(
    name: str, architecture: str, tag: str, weights: str | Path | None, device: str | None
) -> Encoder:
    try:
        from transformers import AutoImageProcessor, AutoModelForImageClassification
    except ImportError as error:
        raise MissingExtraError(f"'{name}' needs transformers; pip install 'fennec-recommender[hf]'") from error
    from torch import nn

    class Logits(nn.Module):
        """The model, answering with a tensor."""

        def __init__(self, model: nn.Module) -> None:
            super().__init__()
            self.model = model

        def forward(self, batch: Tensor) -> Tensor:
            logits: Tensor = self.model(pixel_values=batch).logits
            return logits

    source = str(weights) if weights is not None else name.removeprefix("hf:")
    processor = download(lambda: AutoImageProcessor.from_pretrained(source), name, ADVICE)  # type: ignore[no-untyped-call]
    model = download(lambda: AutoModelForImageClassification.from_pretrained(source), name, ADVICE)

    def transform(image: Image.Image) -> Tensor:
        pixels: Tensor = processor(images=image, return_tensors="pt")["pixel_values"][0]
        return pixels

    return Encoder(name, Logits(model), transform, preprocessing=processor.to_dict(), device=device)


def _load_own(name: str, weights: str | Path | None, device: str | None) -> Encoder:
    from timm.data.config import resolve_data_config
    from timm.data.transforms_factory import create_transform
    from torch import nn

    made = make_own(name)
    if not isinstance(made, Encoder | nn.Module):
        raise InputError(f"'{name}' makes a {type(made).__name__}; expected a torch.nn.Module or fennec.Encoder")
    network = made.model if isinstance(made, Encoder) else made
    if weights is not None:
        fill(network, read_weights(weights), name, weights)
    if isinstance(made, Encoder):
        return Encoder(
            name, network, made.transform, preprocessing=made.preprocessing, split=made._split, device=device
        )
    config: dict[str, Any] = resolve_data_config({}, model=network)  # type: ignore[no-untyped-call]
    return Encoder(name, network, create_transform(**config), preprocessing=config, device=device)


_LOADERS: dict[str, Callable[..., Encoder]] = {
    "hf": _load_hugging_face,
    "timm": _load_timm,
    "torchvision": _load_torchvision,
    "open_clip": _load_open_clip,
}
