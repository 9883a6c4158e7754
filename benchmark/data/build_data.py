"""Rebuild the model catalog (`data/models.csv`) from the published tables and timm.

    python benchmark/data/build_data.py --shared ../shared

The same input gives the same bytes.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
from study_weights import published_models

from fennec.architectures.build import family_of
from fennec.architectures.graph import load_known_graphs

MEASURED = Path(__file__).parents[1] / "results"

# The studies whose models the catalog lists.
SOURCES = (
    "sfda_supervised_cnn", "sfda_selfsup_resnet50", "emms_vit", "transfergraph_hf", "shift_vtab_hf", "parc_all",
    "openclip_zeroshot", "lovm_zeroshot", "aitlas_arena", "medmnistplus_benchmark", "biobench_leaderboard",
    "timm_imagenet", "torchvision_weights",
)  # fmt: skip

TIMM_DATA = (
    ("in22k_ft_in1k", "imagenet-22k+imagenet-1k"), ("in21k_ft_in1k", "imagenet-21k+imagenet-1k"),
    ("in12k_ft_in1k", "imagenet-12k+imagenet-1k"), ("in12k", "imagenet-12k"), ("in21k", "imagenet-21k"),
    ("in22k", "imagenet-22k"), ("laion2b", "laion-2b"), ("laion400m", "laion-400m"), ("datacomp", "datacomp-1b"),
    ("merged2b", "merged-2b"), ("webli", "webli"), ("openai", "wit-400m"), ("dfn", "dfn"), ("metaclip", "metaclip"),
    ("lvd142m", "lvd-142m"), ("lvd1689m", "lvd-1689m"), ("sat493m", "sat-493m"), ("sa1b", "sa-1b"),
    ("yfcc", "yfcc"), ("in1k", "imagenet-1k"),
)  # fmt: skip


def split_id(model: str) -> tuple[str, str, str]:
    """Library, architecture and tag of a canonical id; Hugging Face names have no tag."""
    library, _, name = model.partition(":")
    if library in ("hf", "other"):
        return library, name, ""
    architecture, _, tag = name.partition(".")
    return library, architecture, tag


def timm_checkpoints(known_params: dict[str, float]) -> pd.DataFrame:
    """Every pre-trained timm checkpoint with timm's own metadata; parameters by building it without memory."""
    import timm
    import torch

    built: dict[str, float] = {}
    rows = []
    names = timm.list_models(pretrained=True)
    for index, name in enumerate(names):
        config = timm.get_pretrained_cfg(name)
        architecture, _, tag = name.partition(".")
        if architecture not in built:
            built[architecture] = known_params.get(architecture, np.nan)
            if np.isnan(built[architecture]):
                with contextlib.suppress(Exception), torch.device("meta"):  # a few need real tensors: unknown
                    model = timm.create_model(architecture, num_classes=config.num_classes)
                    built[architecture] = float(sum(p.numel() for p in model.parameters()))
        data = next((data for part, data in TIMM_DATA if part in tag), "")
        rows.append({
            "id": f"timm:{name}", "params": built[architecture], "input_size": config.input_size[-1],
            "pretraining_data": data, "license": str(config.license or "").lower(),
        })  # fmt: skip
        if index % 200 == 0:
            print(f"timm checkpoint {index + 1}/{len(names)}", flush=True)
    return pd.DataFrame(rows).set_index("id")


def backbone_of(catalog: pd.DataFrame) -> pd.Series:
    """The architecture in `architectures.npz` that a checkpoint's network is, empty where none is known.

    Its own name, a part of its name, or for names that say nothing the timm network of the same family, input size
    and patch size whose parameters are nearest and within 3 %, as a head of any size counts towards parameters.
    """
    graphs = load_known_graphs()
    facts = catalog.assign(patch=catalog["architecture"].str.extract(r"patch(\d+)", expand=False))
    drawn = facts[("timm:" + facts["architecture"]).isin(graphs) & facts["library"].eq("timm")]
    groups = dict(list(drawn.groupby(["family", "input_size"])))
    found = {}
    for model, row in facts.iterrows():
        parts = re.split(r"[/.]", row["architecture"]) if row["library"] == "other" else [row["architecture"]]
        named = [f"{library}:{part}" for part in parts for library in (row["library"], "torchvision", "timm")]
        known = [name for name in named if name in graphs]
        alike = groups.get((row["family"], row["input_size"]))
        if known:
            found[model] = known[0]
        elif alike is not None and pd.notna(row["params"]):
            if isinstance(row["patch"], str):
                alike = alike[alike["patch"].eq(row["patch"])]
            distance = (alike["params"] / row["params"] - 1).abs()
            if len(distance) and distance.min() < 0.03:
                found[model] = "timm:" + alike.loc[distance.idxmin(), "architecture"]
    return pd.Series(found, dtype=object).reindex(catalog.index)


def cost_of(catalog: pd.DataFrame) -> pd.Series:
    """GMACs of models that no source counted: of their operator graph, in proportion to the pixels of the input."""
    import timm

    graphs = load_known_graphs()
    cost = {}
    for model, row in catalog[catalog["backbone"].notna()].iterrows():
        library, _, architecture = row["backbone"].partition(":")
        config = timm.get_pretrained_cfg(architecture) if library == "timm" else None
        scaled = config and pd.notna(row["input_size"])
        pixels = (row["input_size"] / config.input_size[-1]) ** 2 if scaled else 1.0
        cost[model] = round(graphs[row["backbone"]].gmacs * pixels, 3)
    return pd.Series(cost, dtype=float).reindex(catalog.index)


def build_catalog(shared: Path) -> pd.DataFrame:
    """One row per canonical id: published facts first, timm's own where there are none."""
    published = published_models(shared)
    published = published[published["source"].isin(SOURCES)]
    facts = pd.DataFrame({
        "id": published["id"],
        "params": (pd.to_numeric(published["params_millions"]) * 1e6).round(),
        "gmacs": pd.to_numeric(published["gmacs"]),
        "input_size": pd.to_numeric(published["input_size"]),
        "pretraining_data": published["pretraining_data"],
        "pretraining_method": published["pretraining_method"],
        "family": published["architecture"],
    }).replace("", np.nan)  # fmt: skip
    facts = facts.groupby("id").first()
    names = published.groupby("id").apply(
        lambda rows: json.dumps(dict(sorted(zip(rows["source"], rows["model"], strict=True)))),
        include_groups=False,
    )
    known = {split_id(model)[1]: value for model, value in facts["params"].dropna().items() if "timm:" in model}
    timm = timm_checkpoints(known)
    catalog = facts.reindex(facts.index.union(timm.index))
    for column in ("params", "input_size", "pretraining_data"):
        catalog[column] = catalog[column].fillna(timm[column].reindex(catalog.index))
    catalog["license"] = timm["license"].reindex(catalog.index)
    parts = [split_id(model) for model in catalog.index]
    catalog["library"], catalog["architecture"], catalog["tag"] = zip(*parts, strict=True)
    own = catalog["library"].isin(["timm", "torchvision"])
    catalog["family"] = [
        family_of(f":{architecture if named or not isinstance(published_name, str) else published_name}")
        for architecture, named, published_name in zip(catalog["architecture"], own, catalog["family"], strict=True)
    ]
    catalog.loc[catalog["library"].eq("torchvision") & catalog["license"].isna(), "license"] = "bsd-3-clause"
    catalog["names"] = names.reindex(catalog.index)
    catalog["backbone"] = backbone_of(catalog)
    catalog["gmacs"] = catalog["gmacs"].fillna(cost_of(catalog))
    counted = {name: graph.params for name, graph in load_known_graphs().items()}  # without a head
    catalog["params"] = catalog["params"].fillna(catalog["backbone"].map(counted))
    for column in ("params", "input_size"):
        catalog[column] = catalog[column].astype("Int64")
    catalog = pd.concat([catalog, lab24_models()])
    columns = ["library", "architecture", "tag", "family", "params", "gmacs", "input_size",
               "pretraining_data", "pretraining_method", "license", "backbone", "names"]  # fmt: skip
    return catalog[columns].sort_index()


def lab24_models() -> pd.DataFrame:
    """Rows of the catalog for the networks of lab24."""
    facts = pd.read_csv(MEASURED / "lab24_models.csv", keep_default_na=False).set_index("id")
    names = [json.dumps({"lab24": model}) for model in facts.index]
    return facts.assign(library="other", license="", names=names)


def main() -> None:
    """Write the catalog."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--output", type=Path, default=Path("data"))
    arguments = parser.parse_args()
    build_catalog(arguments.shared).to_csv(arguments.output / "models.csv", lineterminator="\n")


if __name__ == "__main__":
    main()
