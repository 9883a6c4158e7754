"""Rebuild `data/` (results, cards, hubs, model catalog, task catalog) from the published tables.

    python benchmark/data/build_data.py --shared ../shared

Facts only: values become fractions, cells that the flags list as failed are left out, ids become
canonical. The same input gives the same bytes.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd

from fennec.architectures.build import family_of
from fennec.architectures.graph import load_known_graphs

MEASURED = Path(__file__).parents[1] / "results"

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

TIMM_DATA = (
    ("in22k_ft_in1k", "imagenet-22k+imagenet-1k"), ("in21k_ft_in1k", "imagenet-21k+imagenet-1k"),
    ("in12k_ft_in1k", "imagenet-12k+imagenet-1k"), ("in12k", "imagenet-12k"), ("in21k", "imagenet-21k"),
    ("in22k", "imagenet-22k"), ("laion2b", "laion-2b"), ("laion400m", "laion-400m"), ("datacomp", "datacomp-1b"),
    ("merged2b", "merged-2b"), ("webli", "webli"), ("openai", "wit-400m"), ("dfn", "dfn"), ("metaclip", "metaclip"),
    ("lvd142m", "lvd-142m"), ("lvd1689m", "lvd-1689m"), ("sat493m", "sat-493m"), ("sa1b", "sa-1b"),
    ("yfcc", "yfcc"), ("in1k", "imagenet-1k"),
)  # fmt: skip


def canonical_id(row: pd.Series) -> str:
    """`library:architecture.tag` of one row of the published model table."""
    raw, library = str(row["canonical_id"]), str(row["library"])
    if raw.startswith("timm/"):
        return "timm:" + raw.removeprefix("timm/")
    if raw.startswith("torchvision/"):
        return "torchvision:" + raw.removeprefix("torchvision/")
    if raw.startswith("open_clip/"):
        architecture, _, tag = raw.removeprefix("open_clip/").partition("/")
        return f"open_clip:{architecture}.{tag}" if tag else f"open_clip:{architecture}"
    if raw.startswith("hf/"):
        return "hf:" + raw.removeprefix("hf/")
    prefix = "hf" if library == "hf" else "other"
    return f"{prefix}:{raw.replace(' ', '/')}"


def split_id(model: str) -> tuple[str, str, str]:
    """Library, architecture and tag of a canonical id; Hugging Face names have no tag."""
    library, _, name = model.partition(":")
    if library in ("hf", "other"):
        return library, name, ""
    architecture, _, tag = name.partition(".")
    return library, architecture, tag


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


def published_models(shared: Path) -> pd.DataFrame:
    """Rows of the sources that the hubs use, under canonical ids that are unique within a source."""
    models = pd.read_csv(shared / "transfer" / "models.csv", dtype=str, keep_default_na=False)
    models = models[models["source"].isin(CARDS)].copy()
    models["id"] = models.apply(canonical_id, axis=1)
    twin = models.duplicated(["source", "id"], keep=False)
    models.loc[twin, "id"] = [
        row["id"] if row["model"] in row["id"] else f"{row['id']}@{row['model'].rpartition('@')[2]}"
        for _, row in models[twin].iterrows()
    ]
    return models


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
    scores = pd.read_parquet(MEASURED / "lab24_scores.parquet")
    scores.sort_values(["task", "model", "metric"], ignore_index=True).to_csv(
        output / "scores" / "lab24.csv", index=False, lineterminator="\n"
    )
    (output / "cards" / "lab24.md").write_text(
        "# lab24\n\n| | |\n| --- | --- |\n"
        "| paper | none: measured by us with `benchmark/lab24/measure_lab24.py` |\n"
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


def lab24_models() -> pd.DataFrame:
    """Rows of the catalog for the networks of lab24."""
    facts = pd.read_csv(MEASURED / "lab24_models.csv", keep_default_na=False).set_index("id")
    names = [json.dumps({"lab24": model}) for model in facts.index]
    return facts.assign(library="other", license="", names=names)


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
    build_catalog(shared).to_csv(output / "models.csv", lineterminator="\n")


if __name__ == "__main__":
    main()
