"""Rebuild `data/` (results, cards, hubs, task catalog) from the published tables; the models: `data/build_models.py`.

    python benchmark/build_data.py --shared ../shared

Facts only: values become fractions, cells that the flags list as failed are left out. The same input gives the same
bytes.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

import pandas as pd

MEASURED = Path(__file__).parent / "results"

# What a source is, in our own words; repository, commit and licence are read from the index of sources.
CARDS = {
    "sfda_supervised_cnn": ("Shao et al., ECCV 2022 (SFDA), arXiv:2207.03036",
        "Full fine-tuning with a hyper-parameter search, one run per cell, two decimals. Mean per-class accuracy "
        "on aircraft, caltech101, flowers and pets, mAP on voc2007, top-1 elsewhere."),
    "sfda_selfsup_resnet50": ("Shao et al., ECCV 2022 (SFDA), arXiv:2207.03036",
        "Twelve self-supervised ResNet-50 checkpoints, protocol as for the supervised CNNs of the same paper."),
    "emms_vit": ("Meng et al., NeurIPS 2023 (EMMS), arXiv:2308.06262",
        "Thirteen vision transformers, protocol as in SFDA. The paper gives short names; the checkpoints behind "
        "them are inferred."),
    "transfergraph_hf": ("Li et al., ICDE 2024 (TransferGraph), arXiv:2404.03988",
        "Hugging Face checkpoints on one fixed schedule (SGD, 30 epochs, learning rate 0.01), not tuned, so some "
        "pairs failed. Test images overlap the validation part of the training split. No food101 column."),
    "shift_vtab_hf": ("Renggli et al., VLDB 2022 (SHiFT), arXiv:2204.01457",
        "Hugging Face checkpoints on the VTAB tasks, SGD for 25 epochs, not tuned: many failed runs and much noise. "
        "Metric top1_1k is the regime of 1,000 examples, top1 the full training split. The hub keeps top1_1k."),
    "parc_all": ("Bolya et al., NeurIPS 2021 (PARC), arXiv:2111.06977",
        "A controlled set of 32 models and checkpoints collected from public zoos. The self-supervised rows look "
        "under-trained on cifar10."),
    "openclip_zeroshot": ("Ilharco et al., OpenCLIP; Gadre et al. 2023 (DataComp), arXiv:2304.14108",
        "Zero-shot evaluation on the 38 DataComp tasks with one prompt set; the metric differs by task. Parameters "
        "count both towers."),
    "lovm_zeroshot": ("Zohar et al., NeurIPS 2023 (LOVM), arXiv:2306.08893",
        "Zero-shot top-1 of open_clip models. Nearly the same numbers as openclip_zeroshot on shared pairs: not "
        "independent evidence."),
    "aitlas_arena": ("Dimitrovski et al., ISPRS 2023 (AiTLAS arena), arXiv:2207.07189",
        "Full fine-tuning on Earth-observation sets with splits of its own; mAP on the multi-label sets."),
    "medmnistplus_benchmark": ("Doerrich et al., Scientific Reports 2025, arXiv:2404.15786",
        "Read from published table images by character recognition, column averages checked. Mean of three seeds. "
        "Task names without a suffix are the 224 px inputs that the hub keeps."),
    "biobench_leaderboard": ("Stevens 2025 (BioBench), arXiv:2511.16315",
        "Simple probes on frozen features; the score of each task is its own (macro F1, top-1, mean binary "
        "accuracy). Low numbers on beluga and plankton are genuine."),
    "timm_imagenet": ("Wightman, PyTorch Image Models, doi:10.5281/zenodo.4414861",
        "Evaluation of ImageNet classifiers on ImageNet and its variants, no transfer. A model listed at two "
        "resolutions keeps its plain id for the smaller one."),
    "torchvision_weights": ("torchvision model documentation",
        "ImageNet top-1 of the published torchvision weights, as documented; serves the ImageNet baseline."),
}  # fmt: skip

HUBS = {
    "cnn11": dict(source="sfda_supervised_cnn", protocol="finetune", title="supervised CNNs, tuned fine-tuning"),
    "ssl12": dict(source="sfda_selfsup_resnet50", protocol="finetune", title="self-supervised ResNet-50"),
    "vit13": dict(source="emms_vit", protocol="finetune", title="vision transformers, tuned fine-tuning"),
    "hf180": dict(source="transfergraph_hf", protocol="finetune", title="Hugging Face checkpoints"),
    "vtab291": dict(source="shift_vtab_hf", protocol="finetune", metric="top1_1k",
                    title="Hugging Face checkpoints, 1,000 examples"),
    "parc70": dict(source="parc_all", protocol="finetune", title="small CNNs from many sources"),
    "clip121": dict(source="openclip_zeroshot", protocol="zero_shot", title="open_clip models"),
    "lovm35": dict(source="lovm_zeroshot", protocol="zero_shot", metric="top1", title="open_clip models, LOVM"),
    "aitlas10": dict(source="aitlas_arena", protocol="finetune", title="Earth observation"),
    "medmnist10": dict(source="medmnistplus_benchmark", protocol="finetune", metric="top1",
                       title="medical images"),
    "bio85": dict(source="biobench_leaderboard", protocol="linear_probe", title="biology, frozen features"),
    "timm1557": dict(source="timm_imagenet", protocol="eval", metric="top1", title="ImageNet and variants"),
    "lab24": dict(source="lab24", protocol="finetune", title="small networks, measured by us with images and metrics"),
}  # fmt: skip

# The same images under several task names: one of them held out, all are.
SAME_IMAGES = (
    (r"^kitti", "kitti"), (r"^dsprites", "dsprites"), (r"^smallnorb", "smallnorb"), (r"^clevr", "clevr"),
    (r"^bigearthnet", "bigearthnet"), (r"^geobench_m_bigearthnet$", "bigearthnet"),
    (r"^geobench_m_eurosat$", "eurosat"), (r"^so2sat|^geobench_m_so2sat$", "so2sat"),
    (r"^uc_merced", "uc_merced"), (r"^aid", "aid"), (r"^dermamnist", "ham10000"), (r"^pathmnist", "nct_crc_he"),
    (r"^organ[acs]mnist", "organmnist"), (r"mnist(3d)?_(28|64|128)$", None),
    (r"^imagenet(_real|_a_clean|_r_clean)?$", "imagenet"), (r"^(pcam|camelyon16_small|panda_small)(_val|_test)$", None),
)  # fmt: skip


def read_source(shared: Path, source: str) -> tuple[pd.DataFrame, int]:
    """Long table of a source as fractions without its failed cells, and how many those were."""
    frame = pd.read_csv(shared / "transfer" / f"{source}.csv", keep_default_na=False, dtype=str)
    flags = pd.read_csv(shared / "transfer" / "flags.csv", keep_default_na=False, dtype=str)
    key = ["model", "task", "metric", "protocol"]
    failed = pd.MultiIndex.from_frame(flags.loc[flags["source"] == source, key])
    masked = pd.MultiIndex.from_frame(frame[key]).isin(failed)
    kept = frame[~masked].copy()
    kept["value"] = (kept["value"].astype(float) / 100).round(6)
    return kept[[*key, "value"]].sort_values(key, ignore_index=True), int(masked.sum())


def image_set(task: str) -> str:
    """Name of the images that a task uses."""
    for pattern, name in SAME_IMAGES:
        if re.search(pattern, task):
            return name if name else task.rsplit("_", 1)[0]
    return task


def build_tasks(shared: Path, used: set[str]) -> pd.DataFrame:
    """Facts of the tasks that the hubs use and of those with images."""
    tasks = pd.read_csv(shared / "transfer" / "tasks.csv", dtype=str, keep_default_na=False).set_index("task")
    with_images = json.loads((shared / "task_images" / "tasks.json").read_text())
    rows = []
    for task in sorted(used | set(with_images)):
        if task in tasks.index:
            facts = {**tasks.loc[task], "title": tasks.loc[task, "full_name"]}
        elif task in with_images:
            facts = {"title": with_images[task]["title"]}
        else:
            pack = json.loads((shared / "images" / task / "dataset.json").read_text(encoding="utf-8"))
            facts = {"title": pack["name"], "n_classes": pack["n_classes"], "domain": pack["domain"]}
        columns = ("n_classes", "n_train", "n_test", "domain", "granularity", "image_size")
        rows.append({
            "task": task, "title": facts["title"], **{column: facts.get(column, "") for column in columns},
            "image_set": image_set(task),
        })  # fmt: skip
    return pd.DataFrame(rows)


def card(shared: Path, source: str, frame: pd.DataFrame, masked: int) -> str:
    """Data card of one source."""
    index = (shared / "transfer" / "SOURCES.md").read_text(encoding="utf-8")
    section = index.split(f"\n## {source}.csv")[1].split("\n## ")[0]
    field = {key: re.search(rf"- {key}: (.*)", section).group(1) for key in ("repository", "licence")}
    paper, caveats = CARDS[source]
    return (
        f"# {source}\n\n"
        f"| | |\n| --- | --- |\n"
        f"| paper | {paper} |\n"
        f"| repository and commit | {field['repository']} |\n"
        f"| licence of the repository | {field['licence']} |\n"
        f"| protocol | {', '.join(sorted(frame['protocol'].unique()))} |\n"
        f"| metric | {', '.join(sorted(frame['metric'].unique()))} |\n"
        f"| unit | fraction in [0, 1] (published in percent) |\n"
        f"| size | {frame['model'].nunique()} models, {frame['task'].nunique()} tasks, {len(frame)} cells |\n"
        f"| failed cells left out | {masked} (at or below chance, or one constant value) |\n"
        f"| caveats | {caveats} |\n"
    )


def write_lab24(output: Path) -> set[str]:
    """Results, metric scores and card of the hub that we measured ourselves; its tasks."""
    cells = pd.read_csv(MEASURED / "lab24_cells.csv")
    first = cells[(cells["seed"] == 0) & (cells["status"] == "done")]
    frame = first.assign(metric="top1", protocol="finetune")[["model", "task", "metric", "protocol", "value"]]
    frame = frame.sort_values(["model", "task"], ignore_index=True)
    frame.to_csv(output / "results" / "lab24.csv", index=False, lineterminator="\n")
    (output / "scores").mkdir(exist_ok=True)
    scores = pd.read_csv(MEASURED / "lab24_scores.csv", keep_default_na=False)
    scores.sort_values(["task", "model", "metric"], ignore_index=True).to_csv(
        output / "scores" / "lab24.csv", index=False, lineterminator="\n"
    )
    (output / "cards" / "lab24.md").write_text(
        "# lab24\n\n| | |\n| --- | --- |\n"
        "| paper | none: measured by us with `benchmark/measure_lab24.py` |\n"
        "| repository and commit | this one |\n"
        "| licence of the repository | Apache-2.0; the images stay with their sources |\n"
        "| protocol | finetune (at most 200 training and 400 test images of 64 x 64 pixels, 6 epochs of AdamW, "
        "learning rate of two chosen on a fifth of the training images, one weight decay) |\n"
        "| metric | top1 |\n| unit | fraction in [0, 1] |\n"
        f"| size | {frame['model'].nunique()} models, {frame['task'].nunique()} tasks, {len(frame)} cells |\n"
        f"| failed cells left out | {int((cells['status'] != 'done').sum())} |\n"
        "| caveats | Measured on two CPU cores without a GPU, therefore small networks, few images and a short "
        "schedule. Twelve public checkpoints (ImageNet, iNaturalist, segmentation, pose, wake words), the others "
        "pre-trained by us on a subset of Tiny-ImageNet, on characters, on textures or a mixture, supervised, by "
        "SimCLR or by rotation, some cut short, and one random initialisation per family. Checkpoints trained on "
        "ImageNet have seen the photos of imagenette. No task's images served in our own pre-training. |\n",
        encoding="utf-8",
    )
    return set(frame["task"])


def main() -> None:
    """Write every file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--output", type=Path, default=Path("data"))
    arguments = parser.parse_args()
    shared, output = arguments.shared, arguments.output
    for folder in ("results", "cards"):
        (output / folder).mkdir(parents=True, exist_ok=True)
    used: set[str] = set()
    for source in CARDS:
        frame, masked = read_source(shared, source)
        used |= set(frame["task"])
        frame.to_csv(output / "results" / f"{source}.csv", index=False, lineterminator="\n")
        (output / "cards" / f"{source}.md").write_text(card(shared, source, frame, masked), encoding="utf-8")
    used |= write_lab24(output)
    hubs = {name: dict(hub) for name, hub in HUBS.items()}
    variants = ("_28", "_64", "_128")
    for name, keep in (
        ("lovm35", lambda task: not task.startswith("imagenet_")),
        ("medmnist10", lambda task: not task.endswith(variants)),
    ):
        frame = pd.read_csv(output / "results" / f"{hubs[name]['source']}.csv")
        hubs[name]["tasks"] = sorted(task for task in frame["task"].unique() if keep(task))
    (output / "hubs.json").write_text(json.dumps(hubs, indent=1) + "\n", encoding="utf-8")
    build_tasks(shared, used).to_csv(output / "tasks.csv", index=False, lineterminator="\n")
    classes = json.loads((shared / "transfer" / "class_names.json").read_text(encoding="utf-8"))
    chosen = {task: classes[task] for task in sorted(used & set(classes))}
    text = json.dumps(chosen, indent=0, ensure_ascii=False) + "\n"
    (output / "class_names.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
