"""Facts of every task of every study, and which tasks look at the same images."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd

FACTS = ("n_classes", "n_train", "n_test", "domain", "granularity", "image_size")

# The same images under several task names: one of them held out, all are. None: the name without its last part.
SAME_IMAGES = (
    (r"^kitti", "kitti"), (r"^dsprites", "dsprites"), (r"^smallnorb", "smallnorb"), (r"^clevr", "clevr"),
    (r"bigearthnet|^geobench2_benv2$", "bigearthnet"), (r"eurosat", "eurosat"), (r"so2sat", "so2sat"),
    (r"treesatai$", "treesatai"), (r"_forestnet$", "forestnet"), (r"^geobench_m_pv4ger", "pv4ger"),
    (r"^uc_merced", "uc_merced"), (r"^aid", "aid"), (r"^planet_amazon", "planet_amazon"),
    (r"^dermamnist", "ham10000"), (r"^pathmnist", "nct_crc_he"), (r"^organ[acs]mnist", "organmnist"),
    (r"^pneumonia", "pneumonia"), (r"mnist(3d)?_(28|64|128)$", None), (r"^panda_small(_val|_test)$", None),
    (r"^(pcam|camelyon16)", "pcam"),  # patches and slides of one collection
    # ImageNet's own photographs, whole or in part, corrupted or attacked; new ones (-A, -R, V2, sketches) not
    (r"^imagenet(10|100)?(_real|_[ar]_clean|_c(_.*)?|_pgd_.*|_x_.*|_greyscale|_dog15|_.*_classes)?$", "imagenet"),
    (r"^(stylized_imagenet|tiny_imagenet)$", "imagenet"),
    (r"^imagenet_v2", "imagenet_v2"), (r"^imagenet_vid_robust_pm", "imagenet_vid"), (r"^ytbb_robust", "ytbb"),
    (r"^(coco_|mscoco|multilingual_mscoco|sugarcrepe_)", "mscoco"), (r"^flickr", "flickr30k"),
    (r"^(voc|pascal_voc)", "voc2007"), (r"^ade20k", "ade20k"), (r"^cityscapes", "cityscapes"),
    (r"^taskonomy", "taskonomy"), (r"^roxford", "roxford"), (r"^rparis", "rparis"), (r"^sharegpt4v", "sharegpt4v"),
    (r"^(rsicd)", "rsicd"),
)  # fmt: skip

# Facts of tasks that the index of tasks lacks (general knowledge): title, classes, training images, domain,
# granularity, image size.
NEW_TASKS = {
    "imagenet_c": ("ImageNet-C, mean over corruptions", 1000, "", "natural (corruption)", "generic objects", "224x224"),
    "imagenet_c_bar": ("ImageNet-C-bar, other corruptions", 1000, "", "natural (corruption)", "generic objects",
                       "224x224"),
    "imagenet10": ("ImageNet-10, ten classes to cluster", 10, "", "natural", "generic objects", "variable"),
    "imagenet_dog15": ("ImageNet-Dog-15, fifteen breeds to cluster", 15, "", "animals", "fine-grained", "variable"),
    "tiny_imagenet": ("Tiny-ImageNet", 200, 100000, "natural", "generic objects", "64x64"),
    "ucf101": ("UCF101 actions, single frames", 101, 9537, "video frames", "actions", "320x240"),
    "forb": ("FORB, flat objects in the wild", "", "", "flat objects", "instance retrieval", "variable"),
    "gldv2": ("Google Landmarks v2", "", "", "landmarks", "instance retrieval", "variable"),
    "met": ("The Met, works of art", "", "", "art", "instance retrieval", "variable"),
    "nights": ("NIGHTS, images that people find alike", "", "", "natural", "perceptual likeness", "variable"),
    "roxford_easy": ("Revisited Oxford buildings, easy", "", "", "landmarks", "instance retrieval", "variable"),
    "roxford_medium": ("Revisited Oxford buildings, medium", "", "", "landmarks", "instance retrieval", "variable"),
    "rparis_easy": ("Revisited Paris buildings, easy", "", "", "landmarks", "instance retrieval", "variable"),
    "rparis_medium": ("Revisited Paris buildings, medium", "", "", "landmarks", "instance retrieval", "variable"),
    "rparis_hard": ("Revisited Paris buildings, hard", "", "", "landmarks", "instance retrieval", "variable"),
    "rp2k": ("RP2K, products on shelves", 2388, "", "retail products", "instance retrieval", "variable"),
    "sketchy": ("Sketchy, photographs by sketches", 125, "", "sketches and photographs", "category retrieval",
                "256x256"),
    "sop": ("Stanford Online Products", 22634, 59551, "retail products", "instance retrieval", "variable"),
    "scimmir": ("SciMMIR, figures and tables of papers", "", "", "scientific figures", "figure types", "variable"),
    "eurosat_spatial": ("EuroSAT, split by place", 10, 16200, "satellite", "land use", "64x64"),
    "geobench2_benv2": ("GEO-Bench-2 BigEarthNet v2", 19, "", "satellite", "multi-label", "120x120"),
    "geobench2_forestnet": ("GEO-Bench-2 ForestNet", 12, "", "satellite", "drivers of deforestation", "332x332"),
    "geobench2_so2sat": ("GEO-Bench-2 So2Sat", 17, "", "satellite", "local climate zones", "32x32"),
    "geobench2_treesatai": ("GEO-Bench-2 TreeSatAI", 13, "", "satellite", "multi-label (tree species)", "304x304"),
    "pascal_voc_2007_test_faster_r_cnn": ("PASCAL VOC 2007 detection with Faster R-CNN", 20, 16551, "natural",
                                          "detection", "~500x375"),
    **{
        f"coco_val_{head}": (f"COCO 2017 detection with {title}", 80, 118287, "natural", "detection", "~640x480")
        for head, title in (
            ("mask_r_cnn", "Mask R-CNN"), ("cascade_mask_r_cnn", "Cascade Mask R-CNN"), ("retinanet", "RetinaNet"),
            ("dino", "DINO"), ("htc", "HTC"), ("fcos", "FCOS"),
        )
    },
    **{
        f"ade20k_val_{head}": (f"ADE20K segmentation with {title}", 150, 20210, "scenes", "segmentation", "variable")
        for head, title in (("upernet", "UPerNet"), ("mask2former", "Mask2Former"), ("panoptic_fpn", "Semantic FPN"))
    },
    "cityscapes_val_setr": ("Cityscapes segmentation with SETR", 19, 2975, "street scenes", "segmentation",
                            "2048x1024"),
    "cityscapes_val_upernet": ("Cityscapes segmentation with UPerNet", 19, 2975, "street scenes", "segmentation",
                               "2048x1024"),
}  # fmt: skip

# What the classes of our own packs of images are.
GRANULARITY = {
    "apple_leaf": "disease", "blood_cells": "cell types", "cats_dogs": "binary", "eth80": "generic objects",
    "flowers5": "generic objects", "monkeys10": "fine-grained", "pacs_art": "generic objects",
    "pacs_cartoon": "generic objects", "pneumonia": "binary", "scene15": "scene categories", "sign_digits": "digits",
    "trashnet": "materials",
}  # fmt: skip


def image_set(task: str) -> str:
    """Name of the images that a task uses.

    Example:
        >>> image_set("imagenet_c_fog"), image_set("pathbench_lung_tnm_external_h5"), image_set("dtd")
        ('imagenet', 'pathbench_lung_h5', 'dtd')
    """
    slides = re.match(r"^(pathbench_[a-z]+)_.*_(internal|h\d+)$", task)
    if slides:  # several questions to the slides of one organ in one cohort
        return f"{slides[1]}_{slides[2]}"
    for pattern, name in SAME_IMAGES:
        if re.search(pattern, task):
            return name if name else task.rsplit("_", 1)[0]
    return task


def build_tasks(shared: Path, used: set[str], contributed: dict[str, dict[str, str]]) -> pd.DataFrame:
    """Facts of the tasks of all studies and of those with images, sorted by name.

    Args:
        shared: folder of published tables.
        used: tasks of the studies.
        contributed: facts that came with studies.

    Raises:
        KeyError: a task of which nothing is known.
    """
    index = pd.read_csv(shared / "transfer" / "tasks.csv", dtype=str, keep_default_na=False).set_index("task")
    with_images = json.loads((shared / "task_images" / "tasks.json").read_text(encoding="utf-8"))
    rows = []
    for task in sorted(used | set(with_images)):
        if task in index.index:
            facts = {**index.loc[task], "title": index.loc[task, "full_name"]}
        elif task in NEW_TASKS:
            title, n_classes, n_train, domain, granularity, size = NEW_TASKS[task]
            facts = dict(title=title, n_classes=n_classes, n_train=n_train, domain=domain, granularity=granularity,
                         image_size=size)  # fmt: skip
        elif task in contributed:
            facts = contributed[task]
        elif task in with_images:
            facts = {"title": with_images[task]["title"]}
        elif (pack := shared / "images" / task / "dataset.json").exists():
            found = json.loads(pack.read_text(encoding="utf-8"))
            facts = {**found, "title": found["name"], "granularity": GRANULARITY[task]}
            facts["image_size"] = "x".join(map(str, found["native_size"]["median"]))
        else:
            raise KeyError(f"nothing is known of task '{task}'; add it to NEW_TASKS")
        rows.append({
            "task": task, "title": facts["title"], **{column: facts.get(column, "") for column in FACTS},
            "image_set": image_set(task),
        })  # fmt: skip
    return pd.DataFrame(rows)
