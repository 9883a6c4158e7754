"""Image models as timm, torchvision, open_clip and transformers build them, with the preprocessing of their weights.

In: a name of the library, and a local file or None for the library's own download. Out: `Loaded`. A local file goes the
way of the library's own weights, so that the network gets everything that the name says of them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fennec.errors import ArtifactError, InputError, MissingExtraError, UnsupportedModelError, did_you_mean

from .names import as_spelt, ask_back, current_timm_name
from .weights import WeightFile, download, fetch, filling, fitted, read_weights, refusing, resized, write_weights

if TYPE_CHECKING:
    import torch
    from PIL import Image
    from torch import Tensor

    Split = Callable[[Tensor], tuple[Tensor, Tensor | None]]

ADVICE = "give local weights with --weights MODEL=FILE"
NO_HEAD = "no source head: the file has none, or one of another size"


@dataclass(frozen=True, eq=False)
class Loaded:
    """A network with weights and its preprocessing.

    Attributes:
        name: what it is, with the tag of its weights.
        model: the network.
        transform: maps an RGB picture to a tensor (3, side, side).
        preprocessing: what `transform` does, in plain values.
        split: maps a batch to features and logits; None where the last linear layer is to be watched.
        has_head: whether its head was trained.
        notes: what the user should know of the weights.
    """

    name: str
    model: torch.nn.Module
    transform: Callable[[Image.Image], Tensor]
    preprocessing: dict[str, Any]
    split: Split | None = None
    has_head: bool = True
    notes: tuple[str, ...] = ()


def load_timm(rest: str, weights: str | Path | None, *, n_classes: int | None = None, advice: str = ADVICE) -> Loaded:
    """A model of timm.

    Args:
        rest: `architecture.tag`, also by a name that timm gave up.
        weights: local file, or None for a download.
        n_classes: width of the head, 0 for none; that of the weights when None.
        advice: what to do where there is no network.

    Raises:
        InputError: no such network or weights.
        UnknownModelError: a name that means several sets of weights.
        OfflineError: the hub cannot be reached.
        ArtifactError: the file cannot be read or does not fit.
    """
    import timm
    from timm.data.config import resolve_data_config
    from timm.data.transforms_factory import create_transform

    full = current_timm_name(rest)
    architecture, dot, tag = full.partition(".")
    architecture = as_spelt(architecture, timm.list_models())
    full = f"{architecture}{dot}{tag}"
    if not timm.is_model(architecture):
        raise InputError(f"unknown timm model '{full}'{did_you_mean(architecture, timm.list_models())}")
    options: dict[str, Any] = {} if n_classes is None else {"num_classes": n_classes}
    notes: tuple[str, ...] = ()
    has_head = True
    if weights is None:
        known = timm.list_models(f"{architecture}.*", pretrained=True)
        full = as_spelt(full, known)
        if not known:
            raise InputError(f"timm has no weights of '{architecture}'; {advice}")
        if tag and full not in known:
            raise InputError(f"no weights '{full}' in timm{did_you_mean(full, known)}")
        if not tag and len(known) > 1:
            raise ask_back(f"timm:{full}", [f"timm:{name}" for name in known])
        full = full if tag else known[0]
        if place := getattr(timm.get_pretrained_cfg(full), "hf_hub_id", None):
            download(lambda: fetch(place, ("model.safetensors", "pytorch_model.bin")), f"timm:{full}", advice)
        model = download(lambda: timm.create_model(full, pretrained=True, **options), f"timm:{full}", advice)
    else:
        file = read_weights(weights)
        stated = full if full in timm.models.get_arch_pretrained_cfgs(architecture) else architecture
        overlay = {"state_dict": file.state, "label_offset": _label_offset(stated, file)}
        with filling(f"timm:{full}", weights, _timm_heads) as found, refusing(f"timm:{full}", weights):
            model = timm.create_model(stated, pretrained=True, pretrained_cfg_overlay=overlay, **options)
        vars(model)["pretrained_cfg"].pop("state_dict")  # a second copy of the weights
        has_head = found["head"]
        default = vars(model)["pretrained_cfg"].get("tag", "")
        taken = f"preprocessing is that of timm's weights '{architecture}{default and f'.{default}'}'"
        notes = (
            file.note,
            "" if has_head or model.num_classes == 0 else NO_HEAD,
            "" if stated == full and tag else taken,
            resized(model, file.state, _timm_heads),
        )

    def split(batch: Tensor) -> tuple[Tensor, Tensor | None]:
        maps = model.forward_features(batch)
        features = model.forward_head(maps, pre_logits=True)
        return features, model.forward_head(maps) if model.num_classes and has_head else None

    config: dict[str, Any] = resolve_data_config({}, model=model)  # type: ignore[no-untyped-call]
    preprocessing = {key: config[key] for key in ("input_size", "interpolation", "mean", "std", "crop_pct")}
    return Loaded(f"timm:{full}", model, create_transform(**config), preprocessing, split, has_head, notes)


def _timm_heads(model: torch.nn.Module) -> tuple[str, ...]:
    names = vars(model)["pretrained_cfg"].get("classifier")
    return (names,) if isinstance(names, str) else tuple(names or ())


def _label_offset(full: str, file: WeightFile) -> int:
    """Classes before the first that counts: weights of TensorFlow have one, files written by timm no longer do."""
    import timm

    config = timm.get_pretrained_cfg(full)
    if config is None or not config.label_offset:
        return 0
    weight = file.state.get(f"{config.classifier}.weight")
    return config.label_offset if weight is not None and len(weight) == config.num_classes + config.label_offset else 0


def load_torchvision(rest: str, weights: str | Path | None) -> Loaded:
    """A model of torchvision, `architecture.tag`.

    Raises:
        InputError: no such network or weights.
        UnknownModelError: a name that means several sets of weights.
        OfflineError: the weights cannot be downloaded.
        ArtifactError: the file cannot be read or does not fit.
    """
    from torchvision import models

    architecture, _, tag = rest.partition(".")
    architecture = as_spelt(architecture, known := models.list_models(models))
    if architecture not in known:
        raise InputError(f"unknown torchvision model '{architecture}'{did_you_mean(architecture, known)}")
    versions = models.get_model_weights(architecture)
    by_tag = {version.name: version for version in versions}
    tag = as_spelt(tag, by_tag)
    if tag and tag not in by_tag:
        raise InputError(f"no weights '{tag}' of torchvision's {architecture}{did_you_mean(tag, by_tag)}")
    if not tag and weights is None and len(by_tag) > 1:
        raise ask_back(f"torchvision:{architecture}", [f"torchvision:{architecture}.{name}" for name in by_tag])
    version = by_tag[tag] if tag else versions.DEFAULT
    name = f"torchvision:{architecture}.{version.name}"
    transform = version.transforms()
    preprocessing = {"transform": repr(transform)}
    if weights is None:
        state = download(lambda: version.get_state_dict(progress=True, check_hash=True), name, ADVICE)
        with _served(version, state):
            return Loaded(name, models.get_model(architecture, weights=version), transform, preprocessing)
    file = read_weights(weights)
    with filling(name, weights, _torchvision_heads) as found, _served(version, file.state):
        model = models.get_model(architecture, weights=version)
    notes = (file.note, "" if found["head"] else NO_HEAD)
    return Loaded(name, model, transform, preprocessing, None, found["head"], notes)


@contextmanager
def _served(version: Any, state: Mapping[str, Tensor]) -> Iterator[None]:
    """Weights of torchvision that give tensors which are there already where they would download theirs."""
    version.get_state_dict = lambda *arguments, **options: copy(state)
    try:
        yield
    finally:
        del version.get_state_dict


def _torchvision_heads(model: torch.nn.Module) -> tuple[str, ...]:
    """The last layer, and the classifiers that only training looks at."""
    from torch import nn

    layers = [name for name, layer in model.named_modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
    return (layers[-1], "aux1", "aux2", "AuxLogits")


def open_clip_of(repository: str) -> str:
    """`architecture.tag` of open_clip whose weights lie in a Hugging Face repository, empty where none do."""
    import open_clip

    for architecture, tag in open_clip.list_pretrained():
        if open_clip.get_pretrained_cfg(architecture, tag).get("hf_hub", "").strip("/") == repository:
            return f"{architecture}.{tag}"
    return ""


def build_open_clip(architecture: str, tag: str, weights: str | Path | None, *, advice: str = ADVICE) -> Any:
    """A network of open_clip with the activation and the preprocessing of its weights, and its transform.

    Args:
        architecture: of open_clip.
        tag: of its weights.
        weights: local file, or None for a download.
        advice: what to do where there is no network.

    Returns:
        The network with both towers, the transform of its image tower, and notes.

    Raises:
        InputError: no such weights.
        OfflineError: the hub cannot be reached.
        ArtifactError: the file cannot be read or does not fit.
    """
    import open_clip
    from open_clip.transform import PreprocessCfg, image_transform_v2

    known = ["/".join(pair) for pair in open_clip.list_pretrained()]
    asked = f"{architecture}/{tag}"
    if architecture not in open_clip.list_models() or (weights is None and asked not in known):
        raise InputError(f"unknown open_clip model '{architecture}.{tag}'{did_you_mean(asked, known)}")
    config = open_clip.get_pretrained_cfg(architecture, tag) or {}
    quick = bool(config.get("quick_gelu"))  # a network of the plain name would use another activation than its weights
    options: dict[str, Any] = {"precision": "fp32", "force_quick_gelu": quick}
    if weights is None:
        download(lambda: open_clip.download_pretrained(config), asked, advice)
        made = download(
            lambda: open_clip.create_model_and_transforms(architecture, pretrained=tag, **options), asked, advice
        )
        return made[0], made[2], ()
    stated = {key: value for key, value in config.items() if key != "size"}  # that is the network's own
    options |= {"force_preprocess_cfg": stated, "pretrained_text": False}
    file = read_weights(weights)
    name = f"open_clip:{architecture}.{tag}" if tag else f"open_clip:{architecture}"
    with tempfile.TemporaryDirectory() as folder:
        path = file.path if file.is_plain else write_weights(file, Path(folder) / "weights.safetensors")
        try:
            with filling(name, weights, lambda model: ()):
                clip = open_clip.create_model(architecture, pretrained=str(path), **options)
        except Exception as error:  # open_clip works on what it reads before anything is checked
            clip = open_clip.create_model(architecture, load_weights=False, **options)
            try:
                ready, _ = fitted(clip.visual, file.state, name, weights, lambda model: ())
            except ArtifactError as other:
                raise (error if isinstance(error, ArtifactError) else other) from error
            clip.visual.load_state_dict(ready, strict=False)
    transform = image_transform_v2(PreprocessCfg(**clip.visual.preprocess_cfg), is_train=False)
    unknown = "" if asked in known else f"preprocessing and activation are open_clip's for any '{architecture}'"
    return clip, transform, (file.note, unknown)


def load_open_clip(rest: str, weights: str | Path | None) -> Loaded:
    """The image tower of a model of open_clip, `architecture.tag` or `architecture/tag`; errors as `build_open_clip`.

    Raises:
        UnknownModelError: a name that means several sets of weights.
    """
    import open_clip

    architecture, _, tag = (rest if "." in rest else rest.replace("/", ".", 1)).partition(".")  # open_clip writes both
    architecture = as_spelt(architecture, open_clip.list_models())
    tags = [one for other, one in open_clip.list_pretrained() if other == architecture]
    tag = as_spelt(tag, tags)
    if not tag and weights is None and len(tags) > 1:
        raise ask_back(f"open_clip:{architecture}", [f"open_clip:{architecture}.{one}" for one in tags])
    if not tag and weights is None and tags:
        tag = tags[0]
    clip, transform, notes = build_open_clip(architecture, tag, weights)
    config = open_clip.get_model_preprocess_cfg(clip)
    preprocessing = {key: config[key] for key in sorted(config)}
    visual = clip.visual
    name = f"open_clip:{architecture}.{tag}" if tag else f"open_clip:{architecture}"
    return Loaded(name, visual, transform, preprocessing, lambda batch: (visual(batch), None), False, notes)


def load_hugging_face(repository: str, weights: str | Path | None) -> Loaded:
    """A classifier of transformers.

    Args:
        repository: `ORG/NAME`.
        weights: a folder as `save_pretrained` writes it, a file of weights (beside its `config.json`, or with that of
            the repository), or None for a download. Preprocessing that a folder lacks is the repository's.

    Raises:
        MissingExtraError: transformers is not installed.
        UnsupportedModelError: a model that transformers does not classify images with.
        OfflineError: the hub cannot be reached.
        ArtifactError: the weights cannot be read or do not fit.
    """
    name = f"hf:{repository}"
    try:
        from transformers import AutoConfig, AutoImageProcessor, AutoModelForImageClassification
    except ImportError as error:
        raise MissingExtraError(f"'{name}' needs transformers; pip install 'fennec-recommender[hf]'") from error

    def at(file: str) -> str:
        """The folder of the weights where it holds a file, else the repository."""
        if weights is None:
            return repository
        folder = Path(weights) if Path(weights).is_dir() else Path(weights).parent
        return str(folder) if (folder / file).is_file() else repository

    file = read_weights(weights) if weights is not None and Path(weights).is_file() else None
    config = download(lambda: AutoConfig.from_pretrained(at("config.json")), name, ADVICE)
    if type(config) not in AutoModelForImageClassification._model_mapping:
        raise UnsupportedModelError(
            f"'{name}' is a {config.model_type} model, which transformers classifies no images with; "
            "wrap it in fennec.Encoder"
        )
    processor = download(
        lambda: AutoImageProcessor.from_pretrained(at("preprocessor_config.json")),  # type: ignore[no-untyped-call]
        name,
        ADVICE,
    )
    with tempfile.TemporaryDirectory() as folder:
        source = repository if weights is None else str(weights)
        if file is not None:
            source = folder
            write_weights(file, Path(folder) / "model.safetensors")
        model, info = download(
            lambda: AutoModelForImageClassification.from_pretrained(
                source, config=config, output_loading_info=True, ignore_mismatched_sizes=True
            ),
            name,
            ADVICE,
        )
    has_head = _check_loading(model, info, name, repository if weights is None else weights)

    def transform(image: Image.Image) -> Tensor:
        pixels: Tensor = processor(images=image, return_tensors="pt")["pixel_values"][0]
        return pixels

    notes = (file.note if file else "", "" if has_head else NO_HEAD)
    return Loaded(name, _answering(model), transform, processor.to_dict(), None, has_head, notes)


def _answering(model: torch.nn.Module) -> torch.nn.Module:
    """A classifier of transformers that answers with a tensor."""
    from torch import nn

    class Logits(nn.Module):
        """The model, answering with a tensor."""

        def __init__(self, model: nn.Module) -> None:
            super().__init__()
            self.model = model

        def forward(self, batch: Tensor) -> Tensor:
            logits: Tensor = self.model(pixel_values=batch).logits
            return logits

    return Logits(model)


def _check_loading(model: torch.nn.Module, info: Mapping[str, Any], name: str, source: str | Path) -> bool:
    """Whether the head was in the weights; what transformers drew by chance instead becomes zeros.

    Raises:
        ArtifactError: something else is lacking, or layers of the file have no place.
    """
    import torch

    base = str(getattr(model, "base_model_prefix", ""))
    linear = [path for path, layer in model.named_modules() if isinstance(layer, torch.nn.Linear)]
    has_base = isinstance(getattr(model, base, None), torch.nn.Module) if base else False
    lost = {*info["missing_keys"], *(key for key, *_ in info["mismatched_keys"])}
    beyond = sorted(
        key for key in lost if (key.startswith(f"{base}.") if has_base else not key.startswith(f"{linear[-1]}."))
    )
    homeless = sorted(key for key in info["unexpected_keys"] if _is_inside(key, base if has_base else "", model))
    if beyond or homeless:
        problems = [f"{len(homeless)} tensors have no place, first '{homeless[0]}'"] if homeless else []
        problems += [f"it lacks {len(beyond)} tensors in their shape, first '{beyond[0]}'"] if beyond else []
        raise ArtifactError(f"'{source}' does not hold weights of '{name}': {'; '.join(problems)}")
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if key in lost:
                parameter.zero_()
    return not lost


def _is_inside(key: str, base: str, model: torch.nn.Module) -> bool:
    """Whether a tensor belongs into a part that the network has, and not to another part, such as a decoder."""
    parts = {path for path, _ in model.named_modules()}
    if key.endswith("mask_token"):  # stands for hidden pixels in pre-training
        return False
    return any(
        name.rsplit(".", depth)[0] in parts - {"", base}
        for name in (key, f"{base}.{key}")
        for depth in range(1, name.count(".") + 1)
    )
