"""Networks without weights, by the name a library gives them.

In: `timm:resnet50`, `torchvision:resnet50`, `open_clip:ViT-B-32`. Out: a module on the meta device and the size of the
picture it takes, ready for `graph_of`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fennec.errors import InputError, UnknownModelError, did_you_mean

if TYPE_CHECKING:
    import torch

    Size = tuple[int, int, int]


def list_architectures(library: str) -> list[str]:
    """Every architecture of timm, torchvision (classification) or open_clip (image towers), as `library:name`.

    Raises:
        InputError: another library.
    """
    if library not in _LISTS:
        raise InputError(f"unknown library '{library}'; expected one of {', '.join(_LISTS)}")
    return [f"{library}:{name}" for name in _LISTS[library]()]


def build_architecture(name: str) -> tuple[torch.nn.Module, Size]:
    """A network without weights, on the meta device where its construction allows that.

    Args:
        name: `library:architecture`; a tag behind a dot does not matter.

    Returns:
        The network and channels, height and width of its input.

    Raises:
        InputError: a library whose networks cannot be built here.
        UnknownModelError: the library has no such architecture; the nearest are offered.
    """
    import torch

    library, _, rest = name.partition(":")
    if library not in _BUILDERS or not rest:
        raise InputError(f"cannot build '{name}'; expected timm:, torchvision: or open_clip: and an architecture")
    known = _LISTS[library]()
    architecture = rest if rest in known else rest.partition(".")[0]
    if architecture not in known:
        raise UnknownModelError(f"{library} has no architecture '{architecture}'{did_you_mean(architecture, known)}")
    try:
        with torch.device("meta"):
            return _BUILDERS[library](architecture)
    except (RuntimeError, NotImplementedError):  # a few look at values while they are built
        return _BUILDERS[library](architecture)


def family_of(name: str) -> str:
    """Name of an architecture without its size; variants of a kind stay together.

    Args:
        name: `library:architecture`. For open_clip the image tower counts.

    Example:
        >>> family_of("timm:convnextv2_tiny"), family_of("torchvision:resnet50")
        ('convnextv2', 'resnet')
    """
    library, _, architecture = name.partition(":")
    if library == "open_clip":
        import open_clip

        vision = (open_clip.get_model_config(architecture) or {}).get("vision_cfg", {})
        layers = vision.get("layers")
        architecture = vision.get("timm_model_name") or ("resnet" if isinstance(layers, list) else "vit")
    plain = architecture.lower().replace("-", "_").removeprefix("tf_").removeprefix("test_")
    head = re.match(r"(convnextv2|efficientnetv2|mobilenetv\d|swinv2|eva02|dinov\d|inception|[a-z]+)", plain)
    return head.group(1) if head else plain


def _timm_names() -> list[str]:
    import timm

    return list(timm.list_models())


def _torchvision_names() -> list[str]:
    from torchvision import models

    return list(models.list_models(models))


def _open_clip_names() -> list[str]:
    import open_clip

    return list(open_clip.list_models())


def _build_timm(architecture: str) -> tuple[torch.nn.Module, Size]:
    import timm

    model = timm.create_model(architecture, pretrained=False, num_classes=0)
    config: dict[str, Any] = model.default_cfg  # type: ignore[assignment]
    channels, height, width = config["input_size"]
    return model, (channels, height, width)


def _build_torchvision(architecture: str) -> tuple[torch.nn.Module, Size]:
    from torchvision import models

    options = {"init_weights": False} if architecture in ("googlenet", "inception_v3") else {}
    model = models.get_model(architecture, weights=None, **options)
    side = (
        getattr(model, "image_size", None)
        or next(iter(models.get_model_weights(architecture))).transforms().crop_size[0]
    )
    return model, (3, side, side)


def _build_open_clip(architecture: str) -> tuple[torch.nn.Module, Size]:
    import open_clip
    from open_clip.model import _build_vision_tower  # the text tower may need a download

    config = open_clip.get_model_config(architecture)
    vision = {**config["vision_cfg"], "timm_model_pretrained": False}
    tower = _build_vision_tower(config["embed_dim"], vision, config.get("quick_gelu", False))
    side = vision.get("image_size", 224)
    height, width = side if isinstance(side, list | tuple) else (side, side)
    return tower, (3, height, width)


_LISTS: dict[str, Callable[[], list[str]]] = {
    "timm": _timm_names,
    "torchvision": _torchvision_names,
    "open_clip": _open_clip_names,
}
_BUILDERS: dict[str, Callable[[str], tuple[torch.nn.Module, Size]]] = {
    "timm": _build_timm,
    "torchvision": _build_torchvision,
    "open_clip": _build_open_clip,
}
