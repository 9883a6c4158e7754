"""The checkpoints of every published source: under which canonical name, and what the source says of them.

In: the tables of `../shared/transfer`. Out: one row per source and model with a canonical name `library:NAME`.
"""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

# Files that are no results of checkpoints: lists of facts, and rates of architectures without weights.
NO_STUDY = {"models", "tasks", "flags", "flags_new", "timm_throughput"}
COLUMNS = ["source", "model", "name", "family", "params", "gmacs", "input_size", "data", "method"]
# One checkpoint tested on other bands, sizes or layers is still one checkpoint.
TESTED = re.compile(r"(/(rgb|msi|allbands))?(@\d+)?$")
EXTRACTED = re.compile(r"_(extract(s|b|pred|predcls)|last)$")
POOLED = re.compile(r"_cls$")


def canonical(raw: str, default_tag: dict[str, str]) -> str:
    """`library:NAME` of an id in the published table of models."""
    start, _, rest = raw.partition("/")
    if start == "timm":
        bare = rest if "." in rest or rest not in default_tag else f"{rest}.{default_tag[rest]}"
        return f"timm:{bare}"
    if start == "torchvision":
        return f"torchvision:{rest}"
    if start == "open_clip":
        architecture, _, tag = rest.partition("/")
        if tag.endswith(".pt"):  # a file of laion/scaling-laws-openclip, which open_clip has no name for
            return f"other:laion/scaling-laws-openclip/{tag}"
        return f"open_clip:{architecture}.{tag}" if tag else f"open_clip:{architecture}"
    if start == "hf":
        return f"hf:{rest.removeprefix('hf-hub:')}"
    return f"other:{raw.removeprefix('other/').replace(' ', '/')}"


def tested_name(name: str, model: str) -> str:
    """The canonical name with the input size that a source puts behind its own."""
    size = re.search(r"@\d+$", model)
    return name + size.group() if size and not name.endswith(size.group()) else name


def read_models(shared: Path, default_tag: dict[str, str]) -> pd.DataFrame:
    """Every checkpoint of every source."""
    folder = shared / "transfer"
    table = pd.read_csv(folder / "models.csv", dtype=str, keep_default_na=False)
    known = pd.DataFrame({
        "source": table["source"], "model": table["model"], "family": table["architecture"],
        "name": [tested_name(canonical(raw, default_tag), model)
                 for raw, model in zip(table["canonical_id"], table["model"], strict=True)],
        "params": pd.to_numeric(table["params_millions"]) * 1e6, "gmacs": pd.to_numeric(table["gmacs"]),
        "input_size": pd.to_numeric(table["input_size"]), "data": table["pretraining_data"],
        "method": table["pretraining_method"],
    })[COLUMNS]  # fmt: skip
    parts = [known]
    for path in sorted(folder.glob("*.csv")):
        if path.stem not in NO_STUDY and not path.stem.endswith("_models") and path.stem not in set(table["source"]):
            parts.append(_new_source(path, folder))
    return pd.concat(parts, ignore_index=True)


def _new_source(path: Path, folder: Path) -> pd.DataFrame:
    """Checkpoints of a source that the published table of models does not have; facts from its own `_models` file."""
    models = sorted(pd.read_csv(path, usecols=["model"], dtype=str, keep_default_na=False)["model"].unique())
    own = folder / f"{path.stem.removesuffix('_imagenet_fewshot')}_models.csv"
    table = pd.read_csv(own, dtype=str, keep_default_na=False).set_index("model") if own.exists() else pd.DataFrame()
    facts = table.reindex(models).fillna("")

    def column(*names: str) -> pd.Series:
        for name in names:
            if name in facts:
                return facts[name].reset_index(drop=True)
        return pd.Series([""] * len(models))

    scale = 1e6 if "params_millions" in facts else 1.0
    prefix = "hf" if path.stem == "mieb_image" else f"other:{path.stem.replace('_', '-')}"
    names = [
        identifier or (f"hf:{model}" if prefix == "hf" else f"{prefix}/{model.replace(' ', '_')}")
        for model, identifier in zip(models, column("id"), strict=True)
    ]
    return pd.DataFrame({
        "source": path.stem, "model": models, "name": names,
        "family": column("family", "architecture_exact"),
        "params": pd.to_numeric(column("params_millions", "n_parameters"), errors="coerce") * scale,
        "gmacs": float("nan"), "input_size": pd.to_numeric(column("resolution", "img_size"), errors="coerce"),
        "data": column("pretraining_data"), "method": column("pretraining_method", "objective"),
    })[COLUMNS]  # fmt: skip


def plain_name(name: str) -> str:
    """The canonical name without what was changed only for a test: bands, input size, layers."""
    library, _, rest = name.partition(":")
    if library != "other":
        return re.sub(r"@\d+$", "", name)
    rest = TESTED.sub("", rest)
    if rest.startswith("ssl-risk"):
        rest = EXTRACTED.sub("", rest)
    if rest.startswith("torchgeo-bench"):
        rest = POOLED.sub("", rest)
    return f"other:{rest}"
