"""A candidate model with its own preprocessing, cut before its head: features and source probabilities.

In: a model id, or any `nn.Module`. Out: `Encoder`. Weights come from local files or through the libraries' own
caches and downloads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fennec.errors import AbsentError, DataError, ModelFailedError, UnsupportedModelError
from fennec.settings import default_device

from .catalog import load_catalog
from .computation import Reader, combine, look
from .loaders import NO_HEAD, Loaded, load_hugging_face, load_open_clip, load_timm, load_torchvision, open_clip_of
from .names import plain_name
from .own import has_module, make_own
from .weights import fitted, read_weights

if TYPE_CHECKING:
    import torch
    from PIL import Image
    from torch import Tensor

    Split = Callable[[Tensor], tuple[Tensor, Tensor | None]]

OWN_SPLIT = "give fennec.Encoder a `split` that takes the features out"


class Encoder:
    """A model in evaluation mode that gives penultimate features and source-head probabilities.

    Args:
        name: id of the model.
        model: any network that maps a batch (n, 3, side, side) to something.
        transform: maps an RGB picture to a tensor (3, side, side).
        preprocessing: what `transform` does, in plain values; part of the identity.
        split: maps a batch to features and logits; found by watching the last linear layer when None.
        has_head: whether the network's head was trained; one that was not gives no probabilities.
        notes: what the user should know of the weights.
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
        has_head: bool = True,
        notes: Iterable[str] = (),
        device: str | None = None,
    ) -> None:
        import torch

        from fennec.metrics.contract import find_device

        self.name = name
        self.device = find_device(device or default_device())
        self.preprocessing = preprocessing or {}
        self.has_head = has_head
        self.notes = tuple(note for note in notes if note)
        self.model = model.eval().to(self.device)
        self.model.to(memory_format=torch.channels_last)
        self.transform = transform
        self._split = split or _watch_last_linear(self.model)
        self._at_first = self._reader().read_attributes(self.model)
        self._split_code = self._reader().read(self._split)
        self._changes_in_use: frozenset[tuple[str, str]] | None = None

    @property
    def fingerprint(self) -> str:
        """Hash of what features depend on beside pictures: weights, structure, code, preprocessing and precision.

        Read anew each time: a network that was changed after it was wrapped is another one. What the network itself
        writes down while it runs (counters, caches) does not count.
        """
        import torch

        reader = self._reader()
        attributes = reader.read_attributes(self.model)
        for place in self._changes_in_use or ():
            attributes[place] = self._at_first.get(place, "")
        modules = self.model.named_modules(remove_duplicate=False)
        return combine(
            *(f"{path} {reader.read_module(module)}" for path, module in modules),
            *(f"{path} {name} {digest}" for (path, name), digest in sorted(attributes.items())),
            *(reader.read(part) for part in (self.transform, self.preprocessing, self.has_head)),
            *(reader.read(part) for part in (type(self).__call__, type(self)._forward)),
            self._split_code,
            look(self.transform),
            self.device.type,
            torch.get_float32_matmul_precision(),
            str(torch.backends.cudnn.allow_tf32),
            reader.libraries,
        )

    def _reader(self) -> Reader:
        """One that takes the network for granted where other things lead to it."""
        modules = self.model.named_modules(remove_duplicate=False)
        return Reader([(self, "encoder"), *((module, f"network {path}") for path, module in modules)])

    @classmethod
    def load(cls, model: str, *, weights: str | Path | None = None, device: str | None = None) -> Encoder:
        """Load a model of timm, torchvision, open_clip or Hugging Face, or one of the user's own.

        Args:
            model: canonical id, another name that the catalog knows, `hf-hub:ORG/NAME`, the address of a model's
                page, or `module:NAME` of a function that makes an `Encoder` or a network (which is then given
                224 x 224 pixels, ImageNet's mean and deviation).
            weights: local file, or for a Hugging Face model its folder or a file, instead of a download. A head that
                the file lacks, or has in another size, gives no probabilities.
            device: where to compute; the default device when None.

        Raises:
            UnknownModelError: nothing has this name (the nearest are offered), or it means several sets of weights.
            InputError: no such device, an address that is no model's page, or the user's function makes no network.
            UnsupportedModelError: a model of a library that Fennec cannot run.
            MissingExtraError: a Hugging Face model, and `transformers` is not installed.
            OfflineError: the weights must be downloaded and the hub cannot be reached.
            ArtifactError: local weights are missing, damaged or do not fit.
        """
        if weights is not None and not (Path(weights).is_file() or Path(weights).is_dir()):
            raise AbsentError(f"no weights of '{model}' at '{weights}'")
        name = plain_name(model)
        library, _, rest = name.partition(":")
        if library not in _LOADERS and has_module(name):
            return _load_own(name, weights, device)
        if library not in _LOADERS or not rest:
            name = load_catalog().find(name)
        library, _, rest = name.partition(":")
        if library == "hf" and name not in load_catalog() and (tower := open_clip_of(rest)):
            library, rest = "open_clip", tower
        if library not in _LOADERS:
            raise UnsupportedModelError(
                f"'{name}' cannot be run here: forward passes are for {', '.join(_LOADERS)} models; "
                "wrap any other network in fennec.Encoder"
            )
        return _wrap(_LOADERS[library](rest, weights), device)

    def __call__(self, batch: Tensor) -> tuple[Tensor, Tensor | None]:
        """Features and source probabilities of a batch, in half precision on a GPU.

        Args:
            batch: shape (n, 3, side, side).

        Returns:
            Features (n, n_features) and probabilities (n, n_source_classes) or None, in single precision on
            the CPU. A batch that does not fit into memory is halved.
        """
        import torch

        if self._changes_in_use is None:
            self._changes_in_use = frozenset()  # while the first batch is halved
            before = self._reader().read_attributes(self.model)
            try:
                return self(batch)
            finally:
                after = self._reader().read_attributes(self.model)
                changed = (place for place in before.keys() | after.keys() if before.get(place) != after.get(place))
                self._changes_in_use = frozenset(changed)
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
        probs = None
        if logits is not None and logits.ndim == 2 and self.has_head:
            probs = torch.softmax(logits.float(), dim=1).cpu()
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

    def split(batch: Tensor) -> tuple[Tensor, Tensor | None]:
        features, logits, _ = _run(model, batch)
        return features, logits

    return split


def _run(model: torch.nn.Module, batch: Tensor) -> tuple[Tensor, Tensor | None, torch.nn.Module | None]:
    """Features, logits and the layer that gives them; the output and twice None where no linear layer gives it."""
    from torch import nn

    seen: list[tuple[Tensor, Tensor, nn.Module]] = []
    hooks = [
        layer.register_forward_hook(lambda layer, inputs, output: seen.append((inputs[0], output, layer)))
        for layer in model.modules()
        if isinstance(layer, nn.Linear)
    ]
    try:
        output = model(batch)
    finally:
        for hook in hooks:
            hook.remove()
    if seen and seen[-1][1] is output:
        return seen[-1]
    return output, None, None


def _load_own(name: str, weights: str | Path | None, device: str | None) -> Encoder:
    from timm.data.config import resolve_data_config
    from timm.data.transforms_factory import create_transform
    from torch import nn

    made = make_own(name)
    if isinstance(made, Encoder):
        own = Loaded(name, made.model, made.transform, made.preprocessing, made._split, made.has_head, made.notes)
    elif isinstance(made, nn.Module):
        config: dict[str, Any] = resolve_data_config({}, model=made)  # type: ignore[no-untyped-call]
        own = Loaded(name, made, create_transform(**config), config)
    else:
        raise DataError(f"'{name}' makes a {type(made).__name__}; expected a torch.nn.Module or fennec.Encoder")
    if weights is not None:
        file = read_weights(weights)
        ready, has_head = fitted(own.model, file.state, name, weights, lambda model: _head_of(model, own.transform))
        own.model.load_state_dict(ready, strict=False)
        own = replace(own, has_head=has_head, notes=(file.note, "" if has_head else NO_HEAD))
    return _wrap(own, device)


def _wrap(found: Loaded, device: str | None) -> Encoder:
    return Encoder(
        found.name,
        found.model,
        found.transform,
        preprocessing=found.preprocessing,
        split=found.split,
        has_head=found.has_head,
        notes=found.notes,
        device=device,
    )


def _head_of(model: torch.nn.Module, transform: Callable[[Image.Image], Tensor]) -> tuple[str, ...]:
    """Name of the linear layer that gives what a network returns, found by one run; empty where there is none."""
    import torch
    from PIL import Image

    place = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    with torch.inference_mode():
        _, _, layer = _run(model.eval(), transform(Image.new("RGB", (224, 224), "grey"))[None].to(place))
    return tuple(name for name, module in model.named_modules() if module is layer)


_LOADERS: dict[str, Callable[[str, str | Path | None], Loaded]] = {
    "hf": load_hugging_face,
    "timm": load_timm,
    "torchvision": load_torchvision,
    "open_clip": load_open_clip,
}
