"""One vocabulary for all sources: from a source's own words to protocol, metric, budget and head of a column.

In: the long table of one source, percent. Out: the table that the package ships, fractions, one main metric a column.
A column is (study, task, protocol, metric, budget); the head is a fact of it.
"""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
from study_list import Source

from fennec.evidence.columns import COLUMN, MAIN_METRICS, OTHER_METRICS, usual_budget

KEY = ["model", "task", "metric", "protocol"]  # of a cell, as the sources write it
# What a run cost or how much runs differ: facts beside the performances.
COSTS = ("fit_seconds", "gpu_mem_gb", "runs", "top1_sd", "multilabel_accuracy_sd")

# How a metric is had decides the protocol where the source's own word is too wide.
PROTOCOL_OF = {
    "box_mAP": "detection", "mask_mAP": "detection", "ap50": "detection",
    "ss_miou": "segmentation", "ms_miou": "segmentation", "miou": "segmentation", "dice": "segmentation",
    "pixel_accuracy": "segmentation",
    "i2i_main": "retrieval", "retrieval_mAP": "retrieval", "j_f": "retrieval", "recall": "retrieval",
    "clustering_nmi": "clustering",
}  # fmt: skip
# Budgets as the sources attach them to a metric.
BUDGETS = (
    (r"_(\d+)shot$", "{} per class"),
    (r"_0\.0*(\d+)x$", "{} %"),
    (r"_(\d+)k$", "{}000 images"),
    (r"_(\d+)ep$", "{} epochs"),
    (r"_(\d{3,4})$", "{} px"),
)
TASK_NAMES = {  # one slug for one data set
    "imagenet_1k": "imagenet", "stanfordcars": "stanford_cars", "roxfordhard": "roxford_hard",
    "roxfordmedium": "roxford_medium", "roxfordeasy": "roxford_easy", "rparishard": "rparis_hard",
    "rparismedium": "rparis_medium", "rpariseasy": "rparis_easy",
}  # fmt: skip


def read_cells(shared: Path, source: str) -> tuple[pd.DataFrame, int]:
    """Cells of a source as published, without those that the flags name, and how many those were."""
    folder = shared / "transfer"
    frame = pd.read_csv(folder / f"{source}.csv", keep_default_na=False, dtype=str)
    flags = pd.concat(
        pd.read_csv(folder / name, keep_default_na=False, dtype=str) for name in ("flags.csv", "flags_new.csv")
    )
    failed = pd.MultiIndex.from_frame(flags.loc[flags["source"] == source, KEY])
    masked = pd.MultiIndex.from_frame(frame[KEY]).isin(failed)
    kept = frame.loc[~masked, [*KEY, "value"]].copy()
    names = folder / f"{source}_models.csv"
    if names.exists() and "kind" in (models := pd.read_csv(names)):
        kept = kept[kept["model"].isin(models.loc[models["kind"] == "vision encoder", "model"])]
    kept["value"] = (kept["value"].astype(float) / 100).round(6)
    return kept, int(masked.sum())


def split_metric(text: str) -> tuple[str, str]:
    """A source's metric without its budget, and the budget in our words.

    Example:
        >>> split_metric("top1_16shot"), split_metric("knn_top1")
        (('top1', '16 per class'), ('knn_top1', ''))
    """
    text = text.removesuffix("_scratch")
    for pattern, words in BUDGETS:
        found = re.search(pattern, text)
        if found:
            return text[: found.start()], words.format(found[1])
    return text, ""


def columns_of(cells: pd.DataFrame, source: Source) -> pd.DataFrame:
    """Cells in our vocabulary: model, task, protocol, metric, budget, head, value; every metric, not only the main."""
    frame = cells[~cells["model"].isin(source.left_out)].copy()
    own = (frame["task"] + " " + frame["metric"]).str.contains(source.scratch) if source.scratch else None
    if own is not None:
        frame.loc[own, "model"] += "@" + frame.loc[own, "task"]
    frame["task"] = frame["task"].replace(TASK_NAMES)
    metric, attached = zip(*(split_metric(text) for text in frame["metric"]), strict=True)
    frame["metric"] = metric
    plain = frame["metric"].str.removeprefix("knn_")
    unknown = set(plain) - set(MAIN_METRICS) - OTHER_METRICS - set(COSTS)
    if unknown:
        raise ValueError(f"metrics without a place in the rule: {', '.join(sorted(unknown))}")
    frame["protocol"] = plain.map(PROTOCOL_OF).fillna(frame["protocol"].replace("fewshot", "linear_probe"))
    variant = [""] * len(frame)
    if source.variant:
        found = frame["model"].str.extract(source.variant)
        parts = [(found["px"] + " px").fillna("")] if "px" in found else []
        if "bands" in found:
            bands = found["bands"].map({"rgb": "", "msi": "all bands", "allbands": "all bands"}).fillna("")
            parts.append(bands)
        variant = [", ".join(filter(None, row)) for row in zip(*parts, strict=True)]
        frame["model"] = frame["model"].str.replace(source.variant, "", regex=True)
    usual = frame["protocol"].map(usual_budget)
    labels = usual.replace("full", source.budget or "full")
    says_labels = pd.Series(attached, frame.index).str.contains("per class|%|images")
    frame["budget"] = [
        ", ".join(filter(None, (own_words if labelled else usual, "" if labelled else own_words, extra)))
        for usual, own_words, labelled, extra in zip(labels, attached, says_labels, variant, strict=True)
    ]
    frame["head"] = ""
    frame.loc[frame["protocol"].eq("linear_probe"), "head"] = source.head
    for pattern, head in source.heads.items():
        here = frame["metric"].str.contains(pattern) | frame["task"].str.contains(pattern)
        frame.loc[here & frame["protocol"].isin(["linear_probe", "segmentation"]), "head"] = head
    return frame[["model", *COLUMN, "head", "value"]]


def costs_of(cells: pd.DataFrame) -> pd.DataFrame:
    """What runs cost, wide: model, task, runs, fit_seconds, gpu_mem_gb, sd of the performance; empty where not said."""
    frame = cells[cells["metric"].isin(COSTS)].copy()
    frame["value"] = frame["value"].mask(~frame["metric"].str.endswith("_sd"), frame["value"] * 100)  # no percentages
    frame["metric"] = frame["metric"].str.replace(r".*_sd$", "sd", regex=True)
    wide = frame.pivot(index=["model", "task"], columns="metric", values="value").round(6)
    return wide.reindex(columns=["runs", "fit_seconds", "gpu_mem_gb", "sd"]).reset_index()
