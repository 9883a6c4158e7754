"""Which names mean the same weights: of the libraries, of the Hub, and of every published source.

In: timm, torchvision and open_clip as installed, `same_weights.csv`, the tables of `../shared/transfer`. Out: groups of
names. A name is `library:NAME`, as `timm:resnet50.a1_in1k`, or `source/model`, as a source of results writes it.

Most of it is derived: timm and open_clip say from which address or repository of the Hub they take weights. What no
library says stands in `same_weights.csv`, one line a name with the reason, and is used only where both are known.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from pathlib import Path

import pandas as pd

HERE = Path(__file__).parent
LIBRARIES = ("timm", "torchvision", "open_clip", "hf", "hub", "other")  # the first one loads most easily
QUICK = "natively QuickGELU"

# The same weights in a network with another activation, pooling, connector or form of a layer: variant, main name.
VARIANTS = (
    (r"timm:(.*_siglip)_gap(_(?!.*_ft_).*)", r"timm:\1\2"),  # without the attention pooling
    (r"timm:(resnet\w+_clip)_gap(\..*)", r"timm:\1\2"),
    (r"timm:((?:qwen3|gemma4|deepseek)_vit_\d+m)_(?:enc|merge|align)(\..*)", r"timm:\1\2"),  # without the connector
    (r"timm:(.*_dinov3)_qkvb(\..*)", r"timm:\1\2"),  # with the bias that is zero written out
    (r"timm:levit_conv(_.*)", r"timm:levit\1"),  # linear layers as convolutions
    (r"timm:naflex(vit_.*_radio_v\d\.c_radio)", r"timm:\1"),
)  # fmt: skip
# torchvision's networks in timm under another name.
TORCHVISION = {"regnet_x_": "regnetx_", "regnet_y_": "regnety_"}
WRONG = {"open_clip:ViT-B-16-plus-240.laion400m_e32"}  # the registry names the repository of epoch 31
EFFICIENTNET = {"b0": "ra_in1k", "b1": "ft_in1k", "b2": "ra_in1k", "b3": "ra2_in1k", "b4": "ra2_in1k"}


class Groups:
    """Names joined into groups (union-find)."""

    def __init__(self) -> None:
        self._up: dict[str, str] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._up

    def top(self, name: str) -> str:
        """The name that stands for the group of a name, which is added where it is new."""
        self._up.setdefault(name, name)
        while self._up[name] != name:
            self._up[name] = self._up[self._up[name]]
            name = self._up[name]
        return name

    def join(self, one: str, other: str) -> None:
        """Both mean the same weights."""
        first, second = sorted((self.top(one), self.top(other)))
        self._up[second] = first

    def groups(self) -> list[list[str]]:
        """All groups, names sorted."""
        found: dict[str, list[str]] = defaultdict(list)
        for name in sorted(self._up):
            found[self.top(name)].append(name)
        return list(found.values())


def read_rules() -> list[tuple[str, str]]:
    """Name and the name that it equals, as written in `same_weights.csv`."""
    table = pd.read_csv(HERE / "same_weights.csv", dtype=str)
    return list(zip(table["name"], table["same_as"], strict=True))


def variants(names: list[str], configs: dict[str, object]) -> dict[str, str]:
    """Timm names of weights that stand under another timm name already: variant -> main name."""
    known, found = set(names), {}
    for name in names:
        for pattern, main in VARIANTS:
            match = re.fullmatch(pattern, name)
            if match and match.expand(main) in known:
                found[name] = match.expand(main)
        notes = getattr(configs[name], "notes", None) or ()
        quick = re.sub(r"_clip_(\d+)", r"_clip_quickgelu_\1", name)
        if quick != name and quick in known and any(QUICK in note for note in notes):
            found[name] = quick
    return found


def join_timm(groups: Groups) -> tuple[list[str], dict[str, str]]:
    """Add every pre-trained timm checkpoint; its names, and those that are variants of others."""
    import timm

    names = [f"timm:{name}" for name in timm.list_models(pretrained=True)]
    configs = {name: timm.get_pretrained_cfg(name.removeprefix("timm:")) for name in names}
    for name, config in configs.items():
        groups.top(name)
        if config.hf_hub_id:
            groups.join(name, f"hf:{config.hf_hub_id}")
        elif config.url:
            groups.join(name, f"url:{config.url}")
    main = variants(names, configs)
    for name, other in main.items():
        groups.join(name, other)
    return names, main


def join_torchvision(groups: Groups) -> None:
    """Add every classification checkpoint of torchvision."""
    from torchvision import models

    for architecture in models.list_models(models):
        for weights in models.get_model_weights(architecture):
            name = f"torchvision:{architecture}.{weights.name}"
            groups.top(name)
            for twin in torchvision_twins(architecture, weights.name):
                if twin in groups:
                    groups.join(name, twin)


def torchvision_twins(architecture: str, version: str) -> list[str]:
    """What timm calls weights of torchvision, whether timm has them or not."""
    tag = {
        "IMAGENET1K_V1": "tv_in1k",
        "IMAGENET1K_V2": "tv2_in1k",
        "IMAGENET1K_SWAG_E2E_V1": "swag_ft_in1k",
        "IMAGENET1K_SWAG_LINEAR_V1": "swag_lc_in1k",
    }.get(version, "")
    plain = architecture
    for start, other in TORCHVISION.items():
        if plain.startswith(start):
            size = re.fullmatch(r"([\d_]+)([mg])f", plain.removeprefix(start))
            value = float(size.group(1).replace("_", ".")) * (10 if size.group(2) == "g" else 0.01)
            plain = f"{other}{round(value):03d}"
    twins = [f"timm:{plain}.{tag}", f"timm:{plain}_tv.{tag}"] if tag else []
    if architecture.startswith("efficientnet_b") and version == "IMAGENET1K_V1":  # converted from timm's
        twins += [f"timm:{architecture}.{EFFICIENTNET.get(architecture[-2:], '')}"]
    return twins


def join_open_clip(groups: Groups) -> list[str]:
    """Add every registered open_clip checkpoint by its address, repository and file."""
    from open_clip.pretrained import _PRETRAINED

    names = []
    for architecture, tags in _PRETRAINED.items():
        for tag, config in tags.items():
            name = f"open_clip:{architecture}.{tag}"
            names.append(name)
            groups.top(name)
            if config.get("url"):
                groups.join(name, f"url:{config['url']}")
            repository = str(config.get("hf_hub") or "").removesuffix("pytorch_model.bin").rstrip("/")
            if repository and name not in WRONG:
                groups.join(name, f"hf:{repository}")
                if repository.startswith("timm/") and f"timm:{repository.removeprefix('timm/')}" in groups:
                    groups.join(name, f"timm:{repository.removeprefix('timm/')}")
    return names


def choose_id(names: list[str], secondary: dict[str, str]) -> str:
    """The name of a group that loads most easily: timm's main name, else the first by library."""

    def order(name: str) -> tuple[int, bool, bool, int, str]:
        library = name.partition(":")[0]
        return LIBRARIES.index(library), name in secondary, "@" in name, len(name), name

    return min((name for name in names if name.partition(":")[0] in LIBRARIES and "/" not in name.partition(":")[0]),
               key=order)  # fmt: skip


def names_json(names: list[str]) -> str:
    """Names of a group by library or source, for the column `names`."""
    found: dict[str, list[str]] = defaultdict(list)
    for name in names:
        library, _, rest = name.partition(":")
        if library in LIBRARIES and rest:
            found[library].append(rest)
        elif library != "url":
            source, _, model = name.partition("/")
            found[source].append(model)
    place = {library: index for index, library in enumerate(LIBRARIES)}
    keys = sorted(found, key=lambda key: (place.get(key, len(place)), key))
    return json.dumps({key: sorted(found[key]) for key in keys}, ensure_ascii=False)
