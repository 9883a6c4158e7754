"""Which network a checkpoint is, and what it costs: counted on the graph, never copied where there is one.

In: the catalog with names and what sources say. Out: `backbone`, `input_size`, `params`, `gmacs`, `counted`. Parameters
and multiply-adds are those of the image tower without a head. Where no graph is known, the figures of the source stand
and `counted` is False.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from fennec.architectures.graph import load_known_graphs

COSTS = Path(__file__).parents[1] / "results" / "costs_at_size.csv"
HEAD = 4.1e6  # parameters of the largest head of a thousand classes
HEAD_21K = 34e6
# How sources spell networks: pattern on the id, network.
SPELLED = (
    (r"other:ssl-transfer/|other:virtex/.*_R_50_|other:(mmselfsup|vissl)/.*(rn50|resnet50)_(?!w)", "timm:resnet50"),
    (r"other:virtex/.*_R_50$|other:taskonomy/|other:torchgeo/ResNet50", "timm:resnet50"),
    (r"other:virtex/.*_R_101|other:vissl/.*rn101", "timm:resnet101"),
    (r"other:torchgeo/ResNet18|other:torchgeo-bench-geofm/tgeo_resnet18", "timm:resnet18"),
    (r"other:torchgeo-bench-geofm/tgeo_\w*resnet50", "timm:resnet50"),
    (r"other:torchgeo/ViTSmall16", "timm:vit_small_patch16_224"),
    (r"other:pathology/resnet50", "timm:resnet50"),
    (r"other:vissl/.*(alexnet)", "torchvision:alexnet"),
    (r"other:imagenet-testbed/.*(resnet18|resnet50|resnet101|resnet152)(?![a-z\d])(?!_3x)", r"torchvision:\1"),
    (r"other:imagenet-testbed/(alexnet|vgg16|vgg16_bn|densenet121|mobilenet_v2|resnet34)_lpf", r"torchvision:\1"),
    (r"other:imagenet-testbed/FixResNet50", "torchvision:resnet50"),
    (r"other:imagenet-testbed/(?:FixResNeXt|instagram-resnext)101_32x48d", ""),
    (r"other:imagenet-testbed/efficientnet-b(\d)", r"timm:tf_efficientnet_b\1"),
    (r"other:imagenet-testbed/(vit_\w+?_(?:224|384))", r"timm:\1"),
    (r"other:modelvshuman/(vit_\w+_224)", r"timm:\1"),
    (r"other:(?:base|modelvshuman)/.*(?:resnet50(?!x)|DINO|ResNet50|SimCLR|InfoMin|InsDis|MoCo|PIRL)", "timm:resnet50"),
    (r"other:facebookresearch/moco-v3/vit_small|other:ssl-risk.*_vits16", "timm:vit_small_patch16_224"),
    (r"other:ssl-risk\S*_rn50(?!w)|other:ssl-risk\S*_resnet50_dnone", "timm:resnet50"),
    (r"other:ssl-risk\S*_rn101", "timm:resnet101"),
    (r"other:ssl-risk\S*(ibot|msn|mugs|dino)_vitb16|hf:nyu-visionx/moco-v3-vit-b", "timm:vit_base_patch16_224"),
    (r"other:ssl-risk\S*(ibot|msn|mugs)_vitl16|hf:nyu-visionx/moco-v3-vit-l", "timm:vit_large_patch16_224"),
    (r"other:ssl-risk\S*beitv2_vitb16", "timm:beitv2_base_patch16_224"),
    (r"other:ssl-risk\S*beitv2_vitl16", "timm:beitv2_large_patch16_224"),
    (r"hf:(?:imageomics/(?:bioclip|biocap)|BGLab/BioTrove-CLIP)$", "open_clip:ViT-B-16"),
    (r"hf:tanganke/clip-vit-base-patch16_", "open_clip:ViT-B-16"),
    (r"hf:tanganke/clip-vit-base-patch32_", "open_clip:ViT-B-32"),
    (r"hf:tanganke/clip-vit-large-patch14_|hf:imageomics/bioclip-2$", "open_clip:ViT-L-14"),
    (r"hf:imageomics/bioclip-2\.5-vith14", "open_clip:ViT-H-14"),
    (r"hf:BVRA/MegaDescriptor-L-384", "timm:swin_large_patch4_window12_384"),
    (r"hf:UCSC-VLAA/openvision-vit-base-patch16-224", "open_clip:ViT-B-16"),
    (r"hf:UCSC-VLAA/openvision-vit-large-patch14-224", "open_clip:ViT-L-14"),
    (r"hf:UCSC-VLAA/openvision-vit-huge-patch14-224", "open_clip:ViT-H-14"),
    (r"hf:nates-test-org/(convit_\w+)", r"timm:\1"),
    (r"other:laion/scaling-laws-openclip/Model-(\w+-\d+)_", r"open_clip:ViT-\1"),
    (r"open_clip:(?:roberta-|xlm-roberta-\w+-)(ViT-\w-\d+)\.", r"open_clip:\1"),
    # the Hub: a network named in the id
    (r"hf:.*convnext[-_](tiny|small|base|large|xlarge)", r"timm:convnext_\1"),
    (r"hf:.*swin-(tiny|small|base|large)-patch4-window7-224", r"timm:swin_\1_patch4_window7_224"),
    (r"hf:.*swin-(base|large)-patch4-window12-384", r"timm:swin_\1_patch4_window12_384"),
    (r"hf:.*(?:beit|data2vec-vision|dit)-(base|large)-patch16-384", r"timm:beit_\1_patch16_384"),
    (r"hf:.*(?:beit-|data2vec-vision-|data2vec-|dit-)(base|large)", r"timm:beit_\1_patch16_224"),
    (r"hf:.*vit-(base|large)-patch(16|32)-(224|384)", r"timm:vit_\1_patch\2_\3"),
    (r"hf:.*[/_-]vit-base(?![a-z])", "timm:vit_base_patch16_224"),
)  # fmt: skip
# Families of the Hub by the parameters that a source counted: parameters of the tower, network.
HUB_FAMILIES = {
    "vit": ("vit_base_patch16_224", "vit_tiny_patch16_224", "vit_small_patch16_224", "vit_large_patch16_224"),
    "deit": ("deit_base_patch16_224", "deit_small_patch16_224", "deit_tiny_patch16_224"),
    "beit": ("beit_base_patch16_224", "beit_large_patch16_224"),
    "data2vec-vision": ("beit_base_patch16_224", "beit_large_patch16_224"),
    "swin": ("swin_tiny_patch4_window7_224", "swin_small_patch4_window7_224", "swin_base_patch4_window7_224"),
    "convnext": ("convnext_tiny", "convnext_small", "convnext_base", "convnext_large"),
}


# Networks that only transformers has: checkpoint, widths and depths of SegFormer's encoder. They have no graph in
# `architectures.npz`; `count_costs.py` counts them at 224 pixels under the name of the checkpoint.
SEGFORMERS = {
    "hf:nvidia/mit-b0": ((32, 64, 160, 256), (2, 2, 2, 2)),
    "hf:nvidia/mit-b1": ((64, 128, 320, 512), (2, 2, 2, 2)),
    "hf:nvidia/mit-b2": ((64, 128, 320, 512), (3, 4, 6, 3)),
    "hf:nvidia/mit-b3": ((64, 128, 320, 512), (3, 4, 18, 3)),
    "hf:nvidia/mit-b4": ((64, 128, 320, 512), (3, 8, 27, 3)),
    "hf:nvidia/mit-b5": ((64, 128, 320, 512), (3, 6, 40, 3)),
}


@cache
def native_size(backbone: str) -> int:
    """Side of the picture that the graph of a network was traced with."""
    library, _, architecture = backbone.partition(":")
    if library == "timm":
        import timm

        return int(timm.get_pretrained_cfg(architecture).input_size[-1]) if timm.is_model(architecture) else 224
    if library == "torchvision":
        from torchvision import models

        if architecture.startswith("vit_"):
            return 224
        return int(next(iter(models.get_model_weights(architecture))).transforms().crop_size[0])
    import open_clip

    side = open_clip.get_model_config(architecture)["vision_cfg"].get("image_size", 224)
    return int(side[0] if isinstance(side, list | tuple) else side)


def find_backbone(model: str, row: pd.Series, params: float, many_classes: bool, family: str) -> str:
    """The network of a checkpoint among those with a graph, empty where none is sure."""
    graphs = load_known_graphs()
    own = f"{row['library']}:{row['architecture']}"
    if own in graphs:
        return own
    for pattern, network in SPELLED:
        match = re.match(pattern, model)
        if match:
            named = match.expand(network)
            return named if fits(named, params, many_classes) else ""
    if row["library"] == "open_clip" or row["library"] == "torchvision":
        return ""
    if row["library"] == "hf":
        near = [f"timm:{name}" for name in HUB_FAMILIES.get(family, ()) if params == params]
        return next(
            (name for name in near if fits(name, params, many_classes) and params < 1.05 * graphs[name].params), ""
        )
    for part in re.split(r"[/.]", row["architecture"]):
        for name in (f"torchvision:{part}", f"timm:{part}"):
            if name in graphs and fits(name, params, many_classes):
                return name
    return ""


def fits(backbone: str, params: float, many_classes: bool) -> bool:
    """Whether counted parameters, a head included or not, agree with those of a graph; unknown ones always do."""
    graph = load_known_graphs().get(backbone)
    if graph is None:
        return False
    if params != params:
        return True
    return 0.97 * graph.params <= params <= 1.03 * graph.params + (HEAD_21K if many_classes else HEAD)


def add_costs(catalog: pd.DataFrame) -> pd.DataFrame:
    """The catalog with backbone, input size, parameters and GMACs."""
    import timm

    graphs = load_known_graphs()
    table = pd.read_csv(COSTS).set_index(["backbone", "input_size"]) if COSTS.exists() else None
    rows = []
    for model, row in catalog.iterrows():
        said = row["said"]
        towers = [one for one in said if one.source not in TWO_TOWERS]
        params = first(one.params for one in towers)
        gmacs = first(one.gmacs for one in towers)
        many = any(word in one.data for one in said for word in ("21k", "22k", "12k"))
        family = next((one.family for one in said if one.family), "")
        backbone = find_backbone(str(model), row, params, many, family)
        if row["library"] == "timm":
            side = float(timm.get_pretrained_cfg(str(model).removeprefix("timm:")).input_size[-1])
        elif backbone.partition(":")[0] == row["library"] and not SWAG.search(str(model)):
            side = float(native_size(backbone))
        else:
            stated = [one.input_size for one in said if not re.search(r"@\d+$", one.model)]
            side = first(stated)
            named = re.search(r"[-_](192|224|256|336|384|448|512)(?!\d)", row["architecture"])
            if row["library"] == "hf" and named:
                side = float(named.group(1))
            if side != side and backbone:
                side = float(native_size(backbone))
        counted = bool(backbone)
        if table is not None and (str(model), 224) in table.index:
            side, counted = 224.0, True
            params, gmacs = table.loc[(str(model), 224)]
        if backbone:
            if side == native_size(backbone):
                params, gmacs = graphs[backbone].params, graphs[backbone].gmacs
            elif table is not None and (backbone, side) in table.index:
                params, gmacs = table.loc[(backbone, int(side))]
            else:
                params, gmacs = graphs[backbone].params, graphs[backbone].gmacs * (side / native_size(backbone)) ** 2
        rows.append((backbone, side, params, round(gmacs, 4), counted))
    columns = ["backbone", "input_size", "params", "gmacs", "counted"]
    costs = pd.DataFrame(rows, index=catalog.index, columns=columns)
    costs["params"] = costs["params"].round()
    return catalog.assign(**{column: costs[column] for column in columns})


# Sources that count the text tower too, and torchvision's weights at another size than their network's first ones.
TWO_TOWERS = {"openclip_zeroshot", "openclip_retrieval", "openclip_multilingual_retrieval", "clip_benchmark_zeroshot",
              "scaling_laws_openclip_zeroshot", "lovm_zeroshot", "swab_zeroshot", "evaclip_zeroshot",
              "mobileclip_zeroshot", "bamboo_linear_probe"}  # fmt: skip
SWAG = re.compile(r"torchvision:vit_.*SWAG|torchvision:regnet_y_.*SWAG_E2E")


def first(values: object) -> float:
    """The first value that is a number."""
    return next((float(value) for value in values if value == value), np.nan)  # type: ignore[attr-defined]
