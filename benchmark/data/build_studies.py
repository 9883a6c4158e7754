"""Rebuild the evidence in `data/` from the published tables: results, cards, studies, hubs, tasks, class names.

    python benchmark/data/build_studies.py --shared ../shared

Facts only: values become fractions, cells that the flags list as failed are left out, every column has one main
metric. The same input gives the same tables. What each source is stands in `study_list.py`, the vocabulary in
`study_columns.py`, tasks in `study_tasks.py`, repeats in `study_repeats.py`, what people gave in `data/contributed`;
ids of weights come from the catalog, so run `build_models.py` first.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from study_columns import columns_of, costs_of, read_cells
from study_list import SOURCES, Source
from study_repeats import repeats_of
from study_tasks import build_tasks
from study_weights import weights_ids, weights_of

from fennec.checkpoints.catalog import Catalog, load_catalog
from fennec.evidence.agreement import value_agreement
from fennec.evidence.columns import COLUMN, main_metrics
from fennec.evidence.contribution import card, facts_of

RESULTS = Path(__file__).parents[1] / "results"
EVIDENCE = ["study", "model", "weights", *COLUMN, "head", "value"]

# Matrices of one study, one protocol and one budget that have a name; medmnist10 keeps the plain input size.
HUBS = {
    "cnn11": dict(source="sfda_supervised_cnn", protocol="finetune", budget="full"),
    "ssl12": dict(source="sfda_selfsup_resnet50", protocol="finetune", budget="full"),
    "vit13": dict(source="emms_vit", protocol="finetune", budget="full"),
    "hf180": dict(source="transfergraph_hf", protocol="finetune", budget="full"),
    "vtab291": dict(source="shift_vtab_hf", protocol="finetune", budget="1000 images",
                    title="Hugging Face checkpoints, 1,000 examples"),
    "parc70": dict(source="parc_all", protocol="finetune", budget="full"),
    "clip121": dict(source="openclip_zeroshot", protocol="zero_shot", budget="none"),
    "lovm35": dict(source="lovm_zeroshot", protocol="zero_shot", budget="none"),
    "aitlas10": dict(source="aitlas_arena", protocol="finetune", budget="full"),
    "medmnist10": dict(source="medmnistplus_benchmark", protocol="finetune", budget="full"),
    "bio85": dict(source="biobench_leaderboard", protocol="linear_probe", budget="full"),
    "timm1557": dict(source="timm_imagenet", protocol="eval", budget="none"),
    "lab24": dict(source="lab24", protocol="finetune", budget="200 images"),
}  # fmt: skip
NOT_IN_HUB = {"lovm35": r"^imagenet_", "medmnist10": r"_(?:28|64|128)$"}

LAB24 = Source(
    "small networks, measured by us with images and metrics",
    "none: measured by us with `benchmark/lab24/measure_lab24.py`",
    "Measured on two CPU cores without a GPU, therefore small networks, few images and a short schedule (at most 200 "
    "training and 400 test images of 64 x 64 pixels, 6 epochs of AdamW, learning rate of two chosen on a fifth of the "
    "training images, one weight decay). Twelve public checkpoints (ImageNet, iNaturalist, segmentation, pose, wake "
    "words), the others pre-trained by us on a subset of Tiny-ImageNet, on characters, on textures or a mixture, "
    "supervised, by SimCLR or by rotation, some cut short, and one random initialisation per family. Checkpoints "
    "trained on ImageNet have seen the photos of imagenette. No task's images served in our own pre-training.",
)


def origin(shared: Path, source: str) -> tuple[str, str]:
    """Repository with commit, and licence, from the index of sources."""
    index = (shared / "transfer" / "SOURCES.md").read_text(encoding="utf-8")
    section = index.split(f"\n## {source}.csv")[1].split("\n## ")[0]
    whole = re.search(r"^- repository: (.*)$", section, re.M)
    if whole:
        return whole[1], re.search(r"^- licence: (.*)$", section, re.M)[1]
    repository = re.search(r"Source: (https://\S+ @ [0-9a-f]+(?: \([\d-]+\))?)", section)[1]
    licence = re.search(r"(?<!No )Licence:? (\S+?)\.?(?:\s|$)", section)
    return repository, licence[1] if licence else "none stated"


def read_lab24() -> tuple[pd.DataFrame, int]:
    """Cells of the study that we measured ourselves, in our vocabulary, and how many runs failed."""
    cells = pd.read_csv(RESULTS / "lab24_cells.csv")
    frame = cells[(cells["seed"] == 0) & (cells["status"] == "done")]
    frame = frame.assign(metric="top1", protocol="finetune", budget="200 images", head="")
    frame = frame[["model", *COLUMN, "head", "value"]].sort_values([*COLUMN, "model"], ignore_index=True)
    return frame, int((cells["status"] != "done").sum())


def read_contributed(folder: Path, catalog: Catalog) -> Iterator[tuple[str, dict, pd.DataFrame, int]]:
    """Studies that people gave: name, what they are, cells of known models with their weights, and how many others."""
    for path in sorted(folder.glob("*.json")):
        about = json.loads(path.read_text(encoding="utf-8"))
        cells = pd.read_csv(path.with_suffix(".csv"), keep_default_na=False)
        cells["weights"] = [
            catalog.id_of(weights or model) for weights, model in zip(cells["weights"], cells["model"], strict=True)
        ]
        known = cells[cells["weights"].notna()]
        frame = main_metrics(known)
        yield path.stem, about, frame, len(cells) - len(frame)


def main() -> None:
    """Write every file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--output", type=Path, default=Path("data"))
    parser.add_argument("--catalog", type=Path, default=Path("data/models.csv"))
    parser.add_argument("--contributed", type=Path, default=Path("data/contributed"), help="studies that people gave")
    parser.add_argument("--repeats", type=Path, default=RESULTS / "repeats.csv", help="table of what agrees")
    arguments = parser.parse_args()
    shared, output = arguments.shared, arguments.output
    (output / "cards").mkdir(parents=True, exist_ok=True)

    frames, costs, described = {}, [], {}
    for name, spec in sorted(SOURCES.items()):
        cells, masked = read_cells(shared, name)
        frames[name] = main_metrics(columns_of(cells, spec))
        cost = costs_of(cells)
        costs.append(cost.assign(study=name))
        n_costs = int(cost.drop(columns=["model", "task"]).notna().sum().sum())
        repository, licence = origin(shared, name)
        described[name] = (spec, repository, licence, len(cells) - len(frames[name]) - n_costs, masked)
    frames["lab24"], failed = read_lab24()
    described["lab24"] = (LAB24, "this one", "Apache-2.0; the images stay with their sources", 0, failed)

    ids = weights_ids(arguments.catalog)
    new_tasks = {}
    for name, about, frame, left_out in read_contributed(arguments.contributed, load_catalog()):
        frames[name] = frame.drop(columns="weights")
        ids |= {(name, model): weights for model, weights in zip(frame["model"], frame["weights"], strict=True)}
        spec = Source(about["title"], about["paper"], about["caveats"] or "-")
        described[name] = (spec, about["repository"] or "-", about["licence"], left_out, about["failed"])
        new_tasks |= about["tasks"]

    evidence = pd.concat(frame.assign(study=name) for name, frame in sorted(frames.items()))
    evidence["weights"] = [weights_of(ids, *row) for row in zip(evidence["study"], evidence["model"], strict=True)]
    table = value_agreement(evidence)
    table.to_csv(arguments.repeats, index=False, lineterminator="\n")
    repeats = repeats_of(sorted(frames), table)

    studies = {}
    for name, (spec, repository, licence, left_out, masked) in sorted(described.items()):
        facts = {
            "repository and commit": repository,
            "licence of the repository": licence,
            **facts_of(frames[name], left_out, masked, percent=name in SOURCES),
            "repeats": ", ".join(repeats[name]) or "-",
            "values in the package": "yes" if spec.shipped else "no",
        }
        (output / "cards" / f"{name}.md").write_text(
            card(name, spec.title, spec.paper, facts, spec.caveats), encoding="utf-8"
        )
        studies[name] = dict(title=spec.title, paper=spec.paper, repository=repository, licence=licence,
                             repeats=repeats[name], shipped=spec.shipped)  # fmt: skip
    write_json(output / "studies.json", studies)
    shipped = evidence[evidence["study"].map(lambda name: described[name][0].shipped)]
    words = {column: "category" for column in EVIDENCE if column != "value"}  # read back as such, and fast
    shipped[EVIDENCE].astype(words).to_parquet(output / "evidence.parquet", index=False, compression="brotli")
    spent = pd.concat(costs)
    spent["weights"] = [weights_of(ids, *row) for row in zip(spent["study"], spent["model"], strict=True)]
    spent[["study", "model", "weights", "task", "runs", "fit_seconds", "gpu_mem_gb", "sd"]].to_csv(
        output / "costs.csv", index=False, lineterminator="\n"
    )
    write_json(output / "hubs.json", hubs_of(frames, studies))
    tasks = build_tasks(shared, set(shipped["task"]), new_tasks)
    tasks.to_csv(output / "tasks.csv", index=False, lineterminator="\n")
    classes = json.loads((shared / "transfer" / "class_names.json").read_text(encoding="utf-8"))
    write_json(output / "class_names.json", {task: classes[task] for task in tasks["task"] if task in classes})
    (output / "scores").mkdir(exist_ok=True)
    scores = pd.read_parquet(RESULTS / "lab24_scores.parquet")
    scores.sort_values(["task", "model", "metric"], ignore_index=True).to_csv(
        output / "scores" / "lab24.csv", index=False, lineterminator="\n"
    )


def hubs_of(frames: dict[str, pd.DataFrame], studies: dict[str, dict]) -> dict[str, dict]:
    """`hubs.json`: HUBS with titles, and tasks where a hub leaves some out."""
    hubs = {}
    for name, hub in HUBS.items():
        hubs[name] = {"title": studies[hub["source"]]["title"], **hub}
        if name in NOT_IN_HUB:
            tasks = frames[hub["source"]]["task"].drop_duplicates()
            hubs[name]["tasks"] = sorted(tasks[~tasks.str.contains(NOT_IN_HUB[name])])
    return hubs


def write_json(path: Path, content: dict) -> None:
    """A dictionary as readable JSON."""
    path.write_text(json.dumps(content, indent=0, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
