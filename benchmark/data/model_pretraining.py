"""What checkpoints were trained on and how, in one vocabulary; who published them, under which licence.

In: the catalog with names and what sources say, `pretraining_rules.csv`, `publishers.csv`, `data/vocabulary.csv`. Out:
`pretraining_data`, `pretraining_images`, `pretraining_method`, `finetuned_on`, `publisher`, `official`, `parent`,
`license`, `license_source`.

A rule that names the weights comes first, then what a source says, put into the words of the vocabulary; what neither
says is `unknown`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd

HERE = Path(__file__).parent
LINKED_LICENSES = {"https://github.com/facebookresearch/SWAG/blob/main/LICENSE": "cc-by-nc-4.0"}
VOCABULARY = Path(__file__).parents[2] / "data" / "vocabulary.csv"

# Spellings of the sources -> words of the vocabulary.
DATA = {
    "imagenet": "imagenet-1k", "in1k": "imagenet-1k", "public-instagram-images-imagenet": "ig-1b+imagenet-1k",
    "imagenet-22k": "imagenet-21k", "yfcc100m": "yfcc-100m", "yfcc100m-imagenet": "yfcc-100m+imagenet-1k",
    "yfcc15m": "yfcc-15m", "instagram": "ig-1b", "instagram-1b": "ig-1b", "instagram-3.6b": "ig-3.6b",
    "instagram-hashtag": "ig-1b", "yfcc": "yfcc-100m", "datacomp": "datacomp-1b", "commonpool": "commonpool-xl",
    "metaclip": "metaclip-2.5b", "laion-aesthetic": "laion-a", "dfn": "dfn-2b", "dfndr-2b": "dfndr-2b",
    "datacompdr": "datacompdr-1b", "meta": "pe-5.4b", "openai": "wit-400m", "clip": "wit-400m",
    "clip-wit 13b samples": "wit-400m", "none (scratch)": "same-task", "same dataset": "same-task",
    "sentinel2": "sentinel-2", "ssl4eo-s12": "sentinel-2", "fmow-rgb": "fmow", "multi-sensor": "earth-observation",
    "ct": "radiology", "places205": "places-205", "cifar10": "cifar-10", "cifar100": "cifar-100", "cub200": "cub-200",
    "nabird": "nabirds", "oxford_pets": "oxford-pets", "stanford_dogs": "stanford-dogs", "voc2007": "voc-2007",
    "caltech101": "caltech-101", "voc": "voc-2007", "pascal voc 2007": "voc-2007", "bamboo-cls": "bamboo-69m",
    "ig-1b-public-images-non-eu": "ig-1b-uncurated", "megdata-73m": "megdata-73m", "megdata73m": "megdata-73m",
    "laion-5b+wukong+visualgenome+mscoco": "chinese-clip-200m", "merged-30m": "merged-30m", "jft300m": "jft-300m",
    "jft3b": "jft-3b", "imagenet-1k": "imagenet-1k", "10% imagenet-1k": "imagenet-1k-part",
    "30% imagenet-1k": "imagenet-1k-part", "tiny-imagenet-12k": "tiny-imagenet", "lab-mixture": "generated",
    "characters": "generated", "textures": "generated", "voc2012": "voc-2007", "coco-keypoints": "coco",
    "visual-wake-words": "coco", "inaturalist-birds": "inaturalist", "inaturalist-insects": "inaturalist",
    "": "unknown", "-": "unknown", "1% imagenet-1k": "imagenet-1k-part",
}  # fmt: skip
METHOD = {
    "supervised (distilled)": "supervised+distilled", "supervised (pre-trained then fine-tuned)": "supervised",
    "sup. + tl": "supervised+distilled", "supervised learning": "supervised", "": "unknown", "clip+finetune": "clip",
    "eva-clip": "clip-from-mim", "clip (multi-modal reinforced)": "clip+distilled", "perception_encoder":
    "perception-encoder", "weakly supervised": "weakly-supervised", "semi-supervised (noisy student)":
    "semi-supervised", "image captioning": "captioning", "supervised/other": "supervised", "dummy (random)": "none",
    "barlow_twins": "barlow-twins", "barlowtwins": "barlow-twins", "moco-v2": "moco", "moco-v3": "moco",
    "moco_v2": "moco", "moco_v3": "moco", "moco_v2plus": "moco", "mocov2": "moco", "mocov3": "moco",
    "deepclusterv2": "deepcluster", "deepcluster-v2": "deepcluster", "deepcluster_v2": "deepcluster",
    "sela-v2": "sela", "simclr-v2": "simclr", "simclrv2": "simclr", "insdis": "instance-discrimination",
    "npid": "instance-discrimination", "npidplusplus": "instance-discrimination", "npid++": "instance-discrimination",
    "pcl-v2": "pcl", "rotnet": "rotation", "rotation_pred": "rotation", "relative_loc": "relative-location",
    "locnet": "relative-location", "fastsiam": "simsiam", "sam": "segmentation", "satdino": "dino",
    "scale-mae": "satmae", "clip+eb": "clip", "vicregl": "vicreg", "dclw": "dcl", "map": "mae", "swag": "swav",
    "mim": "beit", "v-jepa": "vjepa", "mocov2plus": "moco", "all4one": "nnclr", "w_mse": "vicreg",
    "detection/segmentation (detectron2)": "supervised+detection", "ssl": "mixed-ssl", "cv4ecology": "clip",
}  # fmt: skip
PARENTS = (  # of fine-tunes on the Hub: pattern on the id, weights that they start from
    (r"vit-(base|large)-patch(16|32)-224-in21k", r"hf:google/vit-\1-patch\2-224-in21k"),
    (r"vit-(base)-patch16-(224|384)", r"hf:google/vit-\1-patch16-\2"),
    (r"swin-(\w+)-patch4-(window\d+)-(\d+)", r"hf:microsoft/swin-\1-patch4-\2-\3"),
    (r"convnext-tiny|convnext_tiny", "hf:facebook/convnext-tiny-224"),
    (r"(?:beit-finetuned|beit-facemask)", "hf:microsoft/beit-base-patch16-224-pt22k-ft22k"),
    (r"deit-facemask", "hf:facebook/deit-base-patch16-224"),
    (r"data2vec-base-finetuned", "hf:facebook/data2vec-vision-base"),
    (r"van-base", "hf:Visual-Attention-Network/van-base"),
    (r"nateraw/vit-|vit-base-(?:beans|cats)", "hf:google/vit-base-patch16-224-in21k"),
    (r"clip-vit-(base|large)-patch(\d+)_", r"hf:openai/clip-vit-\1-patch\2"),
)  # fmt: skip
HUB_DATA = (  # what names on the Hub say of the data that was tuned on
    (r"tanganke/clip-vit-[^_]+_(.*)", r"\1"), (r"imagenet1k", "imagenet-1k"), (r"rvlcdip", "rvl-cdip"),
    (r"cats[-_]vs[-_]dogs", "cats_vs_dogs"), (r"(eurosat|cifar100|cifar10|beans|food101|flyswot|kvasirv2)", r"\1"),
    (r"tiny-random|tiny-vit-random", ""),
)  # fmt: skip
MAKERS = {  # networks whose stranger's fine-tunes start from one set of weights: network, weights
    "timm:swin_tiny_patch4_window7_224": "timm:swin_tiny_patch4_window7_224.ms_in1k",
    "timm:convnext_tiny": "timm:convnext_tiny.fb_in1k",
}
HUGGINGPICS = "hf:google/vit-base-patch16-224-in21k"  # what this notebook fine-tunes
TUNED = {"in1k": "imagenet-1k", "in12k": "imagenet-12k", "in22k": "imagenet-21k", "in21k": "imagenet-21k"}


def vocabulary() -> pd.DataFrame:
    """Words by kind and word, with the number of images."""
    return pd.read_csv(VOCABULARY, dtype={"images": float}).set_index(["kind", "word"])


def words(text: str, spellings: dict[str, str], kind: str, known: set[str]) -> str:
    """A source's text in the words of the vocabulary, joined by `+`; what has no word is `other`."""
    plain = re.sub(r" \d+B samples$| \(ssl.*", "", text).strip().lower()
    if plain in spellings:
        return spellings[plain]
    found: list[str] = []
    for part in plain.split("+"):
        bare = part.removeprefix("ssl:")
        word = spellings.get(bare, bare if bare in known else "other" if kind == "data" else "mixed-ssl")
        found += [one for one in word.split("+") if one not in found]
    return "+".join(found)


def tuned_on(tag: str) -> str:
    """Data sets that a timm tag says the weights were fine-tuned on, in order."""
    _, marker, rest = tag.partition("_ft_")
    named = [TUNED[part] for part in rest.split("_") if part in TUNED] if marker else []
    return "+".join(named)


def add_pretraining(catalog: pd.DataFrame) -> pd.DataFrame:
    """The catalog with pre-training, publisher, parent and licence."""
    rules = pd.read_csv(HERE / "pretraining_rules.csv", dtype=str, keep_default_na=False).to_dict("records")
    publishers = pd.read_csv(HERE / "publishers.csv", dtype=str, keep_default_na=False).to_dict("records")
    known = vocabulary()
    ids = {name: str(model) for model, names in catalog["all_names"].items() for name in names}
    rows: dict[str, dict[str, Any]] = {}
    for model, row in catalog.iterrows():
        names = [str(model), *(name for name in row["all_names"] if name != model and ":" in name)]
        facts = by_rule(names, rules) | publisher_of(str(model), names, publishers)
        if row["library"] == "timm":
            facts["finetuned_on"] = tuned_on(row["tag"]) or facts["finetuned_on"]
        if facts["official"]:
            facts = by_sources(facts, row["said"], known)
        else:
            facts["finetuned_on"] = facts["finetuned_on"] or hub_data(str(model), row["said"])
            facts["parent"] = parent_of(str(model), facts["finetuned_on"], row["backbone"], ids)
        facts["license"], facts["license_source"] = license_of(str(model), names, publishers)
        rows[str(model)] = facts
    for facts in rows.values():
        if facts["parent"] in rows:  # a stranger's fine-tune was pre-trained as its parent was
            inherit(facts, rows[facts["parent"]])
        facts["pretraining_data"] = facts["pretraining_data"] or "unknown"
        facts["pretraining_method"] = facts["pretraining_method"] or "unknown"
    images = known.loc["data", "images"].dropna().to_dict()
    for facts in rows.values():
        seen = f"{facts['pretraining_data']}+{facts['finetuned_on']}".split("+")
        facts["pretraining_images"] = max((images[one] for one in seen if one in images), default=float("nan"))
    return catalog.join(pd.DataFrame.from_dict(rows, orient="index"))


def by_rule(names: list[str], rules: list[dict[str, str]]) -> dict[str, Any]:
    """What `pretraining_rules.csv` says: every column from the first line that fits and fills it; `-` is nothing."""
    facts: dict[str, Any] = dict(pretraining_data="", pretraining_method="", finetuned_on="", parent="")
    columns = {"data": "pretraining_data", "method": "pretraining_method", "finetuned_on": "finetuned_on"}
    for name in names:
        for rule in rules:
            if re.match(rule["name"], name):
                for key, column in columns.items():
                    facts[column] = facts[column] or rule[key]
        if facts["pretraining_data"] and facts["pretraining_method"]:
            break
    return {column: "" if value == "-" else value for column, value in facts.items()}


def by_sources(facts: dict[str, Any], said: list[Any], known: pd.DataFrame) -> dict[str, Any]:
    """The facts with what no rule says taken from the first source that says it."""
    facts = dict(facts)
    for one in said:
        data = words(one.data, DATA, "data", set(known.loc["data"].index))
        method = words(one.method, METHOD, "method", set(known.loc["method"].index))
        if not facts["pretraining_data"] and data != "unknown":
            first, *then = data.split("+imagenet-")  # `jft-300m+imagenet-1k`: then tuned on ImageNet
            facts["pretraining_data"] = first
            facts["finetuned_on"] = facts["finetuned_on"] or "+".join(f"imagenet-{size}" for size in then)
        if not facts["pretraining_method"] and method != "unknown":
            facts["pretraining_method"] = method
    return facts


def inherit(facts: dict[str, Any], parent: dict[str, Any]) -> None:
    """Put the pre-training of the parent into the facts of a fine-tune."""
    facts["pretraining_data"], facts["pretraining_method"] = parent["pretraining_data"], parent["pretraining_method"]
    tuned = "+".join(word for word in (parent["finetuned_on"], facts["finetuned_on"]) if word)
    facts["finetuned_on"] = "+".join(dict.fromkeys(tuned.split("+")))


def hub_data(model: str, said: list[Any]) -> str:
    """The data set that a checkpoint of the Hub was tuned on, as its source or its name says; empty if nobody does."""
    stated = next((one.data for one in said if one.data and "fine-tune" in one.method), "")
    if stated:
        return "imagenet-1k" if stated == "imagenet" else str(stated).lower()
    for pattern, data in HUB_DATA:
        match = re.search(pattern, model.lower())
        if match:
            return match.expand(data)
    return ""


def parent_of(model: str, tuned: str, backbone: str, ids: dict[str, str]) -> str:
    """The id of the weights that a fine-tune of the Hub starts from, empty where nothing tells."""
    for pattern, parent in PARENTS:
        match = re.search(pattern, model.lower())
        if match and match.expand(parent) in ids:
            return ids[match.expand(parent)]
    if backbone in MAKERS:
        return MAKERS[backbone]
    if tuned == "hfpics" and backbone == "timm:vit_base_patch16_224":
        return ids[HUGGINGPICS]
    return ""


def publisher_of(model: str, names: list[str], publishers: list[dict[str, str]]) -> dict[str, object]:
    """Who put the weights on line, and whether that is who trained them before any fine-tuning."""
    library, _, rest = model.partition(":")
    for name in names:
        for entry in publishers:
            if re.match(entry["pattern"], name):
                return {"publisher": entry["publisher"], "official": entry["official"] != "no"}
        if library != "hf":  # the other names of such weights are copies
            break
    if library == "hf":
        return {"publisher": rest.partition("/")[0], "official": False}
    return {"publisher": {"other": ""}.get(library, library), "official": True}


def _torchvision_license(name: str) -> tuple[str, str]:
    """The library's licence, unless its facts of the weights link to another."""
    import torchvision.models

    architecture, _, tag = name.removeprefix("torchvision:").partition(".")
    weights = torchvision.models.get_model_weights(architecture) if tag else {}
    linked = weights[tag].meta.get("license", "") if tag in getattr(weights, "__members__", {}) else ""
    if not linked:
        return "bsd-3-clause", "torchvision"
    return LINKED_LICENSES[linked], "torchvision, by a link"


def license_of(model: str, names: list[str], publishers: list[dict[str, str]]) -> tuple[str, str]:
    """Licence of the weights and who says so; empty where nobody does."""
    import timm

    library, _, rest = model.partition(":")
    if library == "timm":
        stated = str(timm.get_pretrained_cfg(rest).license or "").lower()
        if stated and stated != "unknown":
            return stated, "timm"
    for name in names:
        if name.startswith("torchvision:"):
            return _torchvision_license(name)
    for entry in publishers:
        if entry["license"] and any(re.match(entry["pattern"], name) for name in names):
            return entry["license"], entry["license_source"]
    return "", ""
