"""Every published study: what it is, and all results of all studies in one table.

In: `data/studies.json`, `data/evidence.parquet`, `data/costs.csv`, `data/tasks.csv`. Out: `Study`, and long tables with
one row per weights and column. A column is one study, task, protocol, metric and budget.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from fennec.errors import UnknownTaskError, did_you_mean
from fennec.files import damaged, read_as
from fennec.settings import data_dir
from fennec.typed import typed

if TYPE_CHECKING:
    import pandas as pd

Entry = TypeVar("Entry")
PROTOCOLS = (
    "finetune",
    "linear_probe",
    "zero_shot",
    "detection",
    "segmentation",
    "clustering",
    "retrieval",
    "eval",
)

EVIDENCE = ("weights", "study", "task", "protocol", "metric", "budget", "head", "value", "image_set")


@dataclass(frozen=True)
class Study:
    """One published source of results; `data/cards/NAME.md` says more.

    Attributes:
        name: of the study.
        title: one line for people.
        paper: who published it, and where.
        repository: where the numbers were read, with the commit.
        licence: of that repository.
        repeats: other studies with the same results in whole or in part; leaving one out means leaving all out.
        shipped: whether the licence lets the values travel with Fennec.
    """

    name: str
    title: str
    paper: str
    repository: str
    licence: str
    repeats: tuple[str, ...]
    shipped: bool


@cache
def load_studies() -> dict[str, Study]:
    """All studies by name."""
    return read_data(Study, "studies.json")


def read_data(kind: type[Entry], file: str) -> dict[str, Entry]:
    """Entries of a JSON file of `data/` by name, which is also their field `name`.

    Raises:
        ArtifactError: the file is damaged.
    """
    with damaged(f"'{data_dir() / file}'", "install fennec-recommender again"):
        stored = read_as(dict[str, dict[str, Any]], data_dir() / file, limit=10**7)
        return {name: typed(kind, {"name": name, **entry}, where=name) for name, entry in stored.items()}


def find_study(name: str) -> Study:
    """A study by its name.

    Raises:
        UnknownTaskError: no such study; the nearest name is offered.
    """
    studies = load_studies()
    if name not in studies:
        raise UnknownTaskError(f"unknown study '{name}'{did_you_mean(name, studies)}; 'fennec studies' lists them")
    return studies[name]


@cache
def load_evidence() -> pd.DataFrame:
    """All results of all studies, long; read once and shared, so copy before you change it.

    Returns:
        One row per weights and column: weights (canonical id), study, task, protocol (one of `PROTOCOLS`), metric,
        budget (`full`, `16 per class`, `1000 images`, `1 %`; `none` where nothing is learned from labels; then the
        schedule, resolution or bands where a study varies them: `full, 36 epochs`), head (what is trained on frozen
        features, else empty), value (fraction in [0, 1], higher is better), image_set. All but value are categories.
        Where a study measured the same weights under several names (another input size, layer or activation), the
        best value counts.

    Example:
        >>> evidence = load_evidence()
        >>> evidence[evidence["study"] == "sfda_supervised_cnn"]["weights"].nunique()
        11
    """
    import pandas as pd

    frame = pd.read_parquet(data_dir() / "evidence.parquet")
    column = [name for name in EVIDENCE if name not in ("head", "value", "image_set")]
    if frame.duplicated(column).any():
        best = frame.groupby(column, observed=True, sort=False)["value"].transform("max")
        frame = frame.assign(value=best).drop_duplicates(column, ignore_index=True)
    sets = load_tasks()["image_set"]
    frame["image_set"] = frame["task"].cat.rename_categories(str).map(sets.to_dict()).astype("category")
    return frame[list(EVIDENCE)]


def describe_studies() -> pd.DataFrame:
    """One row per study: numbers of models, tasks, columns and cells, protocols, licence, what repeats it."""
    import pandas as pd

    evidence = load_evidence()
    column = ["task", "protocol", "metric", "budget"]
    found = dict(list(evidence.groupby("study", observed=True)))
    rows = []
    for name, study in load_studies().items():
        cells = found.get(name, evidence.iloc[:0])
        protocols = [protocol for protocol in PROTOCOLS if (cells["protocol"] == protocol).any()]
        rows.append(
            {
                "study": name,
                "title": study.title,
                "models": cells["weights"].nunique(),
                "tasks": cells["task"].nunique(),
                "columns": len(cells.drop_duplicates(column)),
                "cells": len(cells),
                "protocols": ", ".join(protocols),
                "licence": study.licence if study.shipped else f"{study.licence}; values not in the package",
                "repeats": ", ".join(study.repeats),
            }
        )
    return pd.DataFrame(rows)


@cache
def load_costs() -> pd.DataFrame:
    """What fine-tuning runs took, where a study says so.

    Returns:
        One row per weights and task: study, weights, task, runs (number), fit_seconds (median wall time of one run),
        gpu_mem_gb (peak), sd (standard deviation of the performance over the runs, a fraction).
    """
    import pandas as pd

    return pd.read_csv(data_dir() / "costs.csv").drop(columns="model")


@cache
def load_tasks() -> pd.DataFrame:
    """Facts of every task (`data/tasks.csv`), indexed by task."""
    import pandas as pd

    return pd.read_csv(data_dir() / "tasks.csv", index_col="task")


def image_sets() -> dict[str, str]:
    """Image set of every known task."""
    return {str(task): str(name) for task, name in load_tasks()["image_set"].items()}
