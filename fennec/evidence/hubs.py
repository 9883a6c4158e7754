"""Hubs: one source of published results under one protocol each, as transfer matrices.

In: `data/hubs.json`, `data/results`, `data/tasks.csv`. Out: `TransferMatrix` with canonical model ids.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from fennec.checkpoints.catalog import load_catalog, read_names
from fennec.errors import InputError, UnknownTaskError, did_you_mean
from fennec.settings import data_dir

from .matrix import TransferMatrix

if TYPE_CHECKING:
    import pandas as pd

DEFAULT_HUBS = {"finetune": "hf180", "linear_probe": "bio85", "zero_shot": "clip121"}


@dataclass(frozen=True)
class Hub:
    """Where a transfer matrix comes from.

    Attributes:
        name: short name, family and number of models.
        source: the file in `data/results` and its card in `data/cards`.
        protocol: finetune, linear_probe, zero_shot or eval.
        title: one line for people.
        metric: the metric to take where the source has several, else empty.
        tasks: the tasks to take where the source has more, else empty.
    """

    name: str
    source: str
    protocol: str
    title: str
    metric: str = ""
    tasks: tuple[str, ...] = ()


@cache
def load_hubs() -> dict[str, Hub]:
    """All hubs by name."""
    entries = json.loads((data_dir() / "hubs.json").read_text(encoding="utf-8"))
    return {
        name: Hub(name=name, **{**entry, "tasks": tuple(entry.get("tasks", ()))}) for name, entry in entries.items()
    }


def describe_hubs() -> pd.DataFrame:
    """One row per hub: title, protocol, numbers of models and tasks, and the share of known cells."""
    import pandas as pd

    rows = []
    for name, hub in load_hubs().items():
        matrix = load_matrix(name)
        rows.append((name, hub.title, hub.protocol, matrix.n_models, matrix.n_tasks, matrix.density))
    return pd.DataFrame(rows, columns=["hub", "title", "protocol", "models", "tasks", "known"])


def image_sets() -> dict[str, str]:
    """Image set of every known task."""
    return {str(task): str(name) for task, name in load_tasks()["image_set"].items()}


@cache
def load_tasks() -> pd.DataFrame:
    """Facts of every task (`data/tasks.csv`), indexed by task."""
    import pandas as pd

    return pd.read_csv(data_dir() / "tasks.csv", index_col="task")


def find_hub(name: str, *, protocol: str | None = None) -> Hub:
    """A hub by its name; `default` is the hub that a protocol starts from.

    Raises:
        UnknownTaskError: no such hub or protocol; the nearest names are offered.
        InputError: the hub has another protocol than the one asked for.
    """
    hubs = load_hubs()
    if name == "default":
        wanted = protocol or "finetune"
        if wanted not in DEFAULT_HUBS:
            raise UnknownTaskError(f"unknown protocol '{wanted}'; there are {', '.join(DEFAULT_HUBS)}")
        return hubs[DEFAULT_HUBS[wanted]]
    if name not in hubs:
        raise UnknownTaskError(f"unknown hub '{name}'{did_you_mean(name, hubs)}; there are {', '.join(hubs)}")
    if protocol is not None and hubs[name].protocol != protocol:
        raise InputError(f"hub '{name}' was measured by {hubs[name].protocol}, not by {protocol}")
    return hubs[name]


def load_matrix(name: str = "default", *, protocol: str | None = None) -> TransferMatrix:
    """Transfer matrix of a hub, rows under their canonical ids.

    Args:
        name: a hub, or `default`.
        protocol: finetune, linear_probe or zero_shot; chooses the default hub, checks any other.

    Raises:
        UnknownTaskError: no such hub or protocol.

    Example:
        >>> load_matrix("cnn11").performance.shape
        (11, 11)
    """
    import pandas as pd

    hub = find_hub(name, protocol=protocol)
    frame = pd.read_csv(data_dir() / "results" / f"{hub.source}.csv", keep_default_na=False)
    frame = frame[frame["protocol"] == hub.protocol]
    if hub.metric:
        frame = frame[frame["metric"] == hub.metric]
    if hub.tasks:
        frame = frame[frame["task"].isin(hub.tasks)]
    frame = frame.assign(model=frame["model"].map(_canonical_ids()[hub.source]))
    # a source that lists one set of weights under two names, or at two input sizes, has measured it twice
    frame = frame.groupby(["model", "task", "metric"], as_index=False, sort=False)[["value"]].mean()
    return TransferMatrix.from_frame(
        frame,
        protocol=hub.protocol,
        name=hub.name,
        image_sets=image_sets(),
    )


@cache
def imagenet_accuracy() -> Mapping[str, float]:
    """ImageNet-1k top-1 as published by timm and torchvision, canonical id -> fraction."""
    import pandas as pd

    known = load_matrix("timm1557")
    column = known.performance[:, known.tasks.index("imagenet")]
    accuracy = {model: float(value) for model, value in zip(known.models, column, strict=True) if value == value}
    weights = pd.read_csv(data_dir() / "results" / "torchvision_weights.csv")
    weights = weights[(weights["task"] == "imagenet") & (weights["metric"] == "top1")]
    ids = _canonical_ids()["torchvision_weights"]
    for model, value in zip(weights["model"], weights["value"], strict=True):
        accuracy.setdefault(ids[model], float(value))
    return accuracy


@cache
def _canonical_ids() -> dict[str, dict[str, str]]:
    """Per source, its name of a model -> canonical id."""
    ids: dict[str, dict[str, str]] = {}
    frame = load_catalog().frame
    for model, text in zip(frame.index, frame["names"], strict=True):
        for source, names in read_names(text).items():
            ids.setdefault(source, {}).update(dict.fromkeys(names, model))
    return ids
