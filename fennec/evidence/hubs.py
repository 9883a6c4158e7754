"""Hubs: transfer matrices of one study under one protocol and one budget.

In: the evidence; `data/hubs.json` names the matrices that are used most, and any study makes one. Out:
`TransferMatrix` with canonical model ids.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from fennec.errors import InputError, UnknownTaskError, did_you_mean

from .matrix import TransferMatrix
from .studies import PROTOCOLS, image_sets, load_evidence, load_studies, read_data

if TYPE_CHECKING:
    import pandas as pd

MINIATURES = "timm:test_"  # networks for unit tests: their results are facts, but nobody should be told to take one
DEFAULT_HUBS = {"finetune": "hf180", "linear_probe": "bio85", "zero_shot": "clip121"}


@dataclass(frozen=True)
class Hub:
    """Where a transfer matrix comes from.

    Attributes:
        name: short name, family and number of models.
        source: the study, with its card in `data/cards`.
        protocol: one of `fennec.evidence.studies.PROTOCOLS`.
        title: one line for people.
        budget: the columns of this budget; empty takes the one with most models, task by task.
        tasks: the tasks to take where the study has more, else empty.
    """

    name: str
    source: str
    protocol: str
    title: str
    budget: str = ""
    tasks: tuple[str, ...] = ()


@cache
def load_hubs() -> dict[str, Hub]:
    """All hubs by name."""
    return read_data(Hub, "hubs.json")


def describe_hubs() -> pd.DataFrame:
    """One row per hub: title, protocol, numbers of models and tasks, and the share of known cells."""
    import pandas as pd

    rows = []
    for name, hub in load_hubs().items():
        matrix = load_matrix(name)
        rows.append((name, hub.title, hub.protocol, matrix.n_models, matrix.n_tasks, matrix.density))
    return pd.DataFrame(rows, columns=["hub", "title", "protocol", "models", "tasks", "known"])


def find_hub(name: str, *, protocol: str | None = None) -> Hub:
    """A hub by its name, or a whole study; `default` is the hub that a protocol starts from.

    Raises:
        UnknownTaskError: no such hub, study or protocol; the nearest names are offered.
        InputError: the hub has another protocol than the one asked for, or a study has several and none is asked for.
    """
    hubs, studies = load_hubs(), load_studies()
    if name == "default":
        return hubs[_default_hub(protocol or "finetune")]
    if name in studies and name not in hubs:
        return _whole_study(name, protocol)
    if name not in hubs:
        near = did_you_mean(name, [*hubs, *studies])
        raise UnknownTaskError(f"unknown study '{name}'{near}; 'fennec studies' and 'fennec hubs' list them")
    if protocol is not None and hubs[name].protocol != protocol:
        raise InputError(f"hub '{name}' was measured by {hubs[name].protocol}, not by {protocol}")
    return hubs[name]


def _default_hub(protocol: str) -> str:
    if protocol not in PROTOCOLS:
        raise UnknownTaskError(f"unknown protocol '{protocol}'; there are {', '.join(PROTOCOLS)}")
    if protocol not in DEFAULT_HUBS:
        evidence = load_evidence()
        sizes = evidence.loc[evidence["protocol"] == protocol, "study"].astype(str).value_counts()
        raise UnknownTaskError(
            f"protocol '{protocol}' has no default study; give --study, one of {', '.join(sizes.index)}"
        )
    return DEFAULT_HUBS[protocol]


def _whole_study(name: str, protocol: str | None) -> Hub:
    cells = load_evidence()
    known = cells.loc[cells["study"] == name, "protocol"].value_counts()
    known = known[known > 0]
    study = load_studies()[name]
    if known.empty:
        raise InputError(f"the values of study '{name}' are not in the package: its licence is {study.licence}")
    if protocol is None and len(known) > 1:
        raise InputError(f"study '{name}' has several protocols; give --protocol, one of {', '.join(known.index)}")
    wanted = protocol or str(known.index[0])
    if wanted not in known.index:
        raise InputError(f"study '{name}' was measured by {', '.join(known.index)}, not by {wanted}")
    return Hub(name=name, source=name, protocol=wanted, title=study.title)


def load_matrix(name: str = "default", *, protocol: str | None = None) -> TransferMatrix:
    """Transfer matrix of a hub, rows under their canonical ids.

    Args:
        name: a hub, a study, or `default`.
        protocol: chooses the default hub and the part of a study that has several, checks any other.

    Raises:
        UnknownTaskError: no such hub, study or protocol.
        InputError: as in `find_hub`.

    Example:
        >>> load_matrix("cnn11").performance.shape
        (11, 11)
    """
    hub = find_hub(name, protocol=protocol)
    frame = load_evidence()
    frame = frame[(frame["study"] == hub.source) & (frame["protocol"] == hub.protocol)]
    frame = frame[~frame["weights"].astype(str).str.startswith(MINIATURES)]
    if hub.tasks:
        frame = frame[frame["task"].isin(hub.tasks)]
    words = ["weights", "task", "metric", "budget"]
    frame = frame[[*words, "value"]].astype(dict.fromkeys(words, str)).rename(columns={"weights": "model"})
    frame = frame[frame["budget"] == hub.budget] if hub.budget else _fullest_columns(frame)
    return TransferMatrix.from_frame(frame, protocol=hub.protocol, name=hub.name, image_sets=image_sets())


def _fullest_columns(frame: pd.DataFrame) -> pd.DataFrame:
    """Of every task the column with most models; of equals the first by metric and budget."""
    column = ["task", "metric", "budget"]
    sizes = frame.groupby(column)["model"].size().sort_values(ascending=False, kind="stable").reset_index()
    chosen = sizes.drop_duplicates("task")[column]
    return frame.merge(chosen, on=column)


@cache
def imagenet_accuracy() -> Mapping[str, float]:
    """ImageNet-1k top-1 as published by timm and torchvision, canonical id -> fraction."""
    evidence = load_evidence()
    top1 = evidence[
        (evidence["task"] == "imagenet") & (evidence["metric"] == "top1") & (evidence["protocol"] == "eval")
    ]
    accuracy: dict[str, float] = {}
    for study in ("timm_imagenet", "torchvision_weights"):
        rows = top1[top1["study"] == study]
        accuracy = {**dict(zip(rows["weights"].astype(str), map(float, rows["value"]), strict=True)), **accuracy}
    return accuracy
