"""A user's own results as one more study.

In: a CSV that `read_results` checks. Out: `TransferMatrix`, models under the ids of the catalog where it knows them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fennec.checkpoints.catalog import load_catalog
from fennec.checkpoints.names import ask_back
from fennec.errors import DataError, InputError, UnknownModelError, printable, shown

from .matrix import TransferMatrix, read_results
from .studies import image_sets

if TYPE_CHECKING:
    import pandas as pd

N_TOLD = 3  # names told of each kind


def own_matrix(
    path: Path, *, protocol: str | None = None, report: Callable[[str], None] = lambda line: None
) -> TransferMatrix:
    """Matrix of a file of results, one column per task.

    Args:
        path: CSV with the columns model, task, value, and perhaps metric, protocol and budget.
        protocol: how all of it was measured; what the file says when None, finetune when it says nothing.
        report: is told when not every model is a known checkpoint, and when results tell no model from another, a line
            each.

    Raises:
        InputError: as `read_results`; the file has another protocol than the one asked for; two names of the same
            weights disagree.
    """
    frame = read_results(path)
    said = str(frame["protocol"].iloc[0]).strip() if "protocol" in frame else None
    if protocol is not None and said is not None and protocol != said:
        raise InputError(f"{path} says protocol '{said}', not {protocol}; leave out --protocol or mend the file")
    names = resolve_names(frame["model"].drop_duplicates())
    for name, reason in names.unclear.items():
        line = frame["model"].eq(name).idxmax()
        raise DataError(f"{path} line {line}: {reason}")
    if names.unknown:
        n_models, n_unknown = frame["model"].nunique(), len(names.unknown)
        count = "none" if n_unknown == n_models else f"{n_models - n_unknown}"
        report(f"{path}: {count} of its {n_models} models is known; the others keep their names: {names.first_unknown}")
    frame["weights"] = frame["model"].map(names.ids)
    cell = [name for name in ("weights", "task", "metric") if name in frame]
    _check_same_weights(path, frame, cell)
    frame = frame.drop_duplicates(cell).drop(columns="model").rename(columns={"weights": "model"})
    for line in _little_said(frame):
        report(f"{path}: {line}")
    return TransferMatrix.from_frame(
        frame, protocol=protocol or said or "finetune", name=printable(path.stem), image_sets=image_sets()
    )


def _little_said(frame: pd.DataFrame) -> list[str]:
    """What results cannot tell: of one model, or of a task on which all models have the same."""
    sizes = frame.groupby("task")["value"].agg(["size", "nunique"])
    alone = list(sizes.index[sizes["size"] == 1])
    equal = list(sizes.index[(sizes["size"] > 1) & (sizes["nunique"] == 1)])
    return [
        f"{what} of {_first([shown(task, 60) for task in tasks])}, which tells no model from another"
        for tasks, what in ((alone, "one result only"), (equal, "the same result of all models"))
        if tasks
    ]


def _first(texts: list[str]) -> str:
    """Some of several, and how many more there are."""
    rest = len(texts) - N_TOLD
    return "; ".join(texts[:N_TOLD]) + (f" and {rest} more" if rest > 0 else "")


@dataclass(frozen=True)
class ResolvedNames:
    """What a person's names of models mean.

    Attributes:
        ids: id of the catalog for every name, the name itself where there is none.
        unknown: names that the catalog does not have; `module:NAME`, a network of one's own, is none of them.
        unclear: names that mean several sets of weights, and addresses of no model: what is wrong with each.
    """

    ids: dict[str, str]
    unknown: tuple[str, ...]
    unclear: dict[str, str]

    @property
    def first_unknown(self) -> str:
        """What the catalog says to the first of them, with the nearest names."""
        try:
            return load_catalog().find(self.unknown[0])
        except UnknownModelError as error:
            return str(error)


def resolve_names(names: Iterable[str]) -> ResolvedNames:
    """Names of models, each looked up once."""
    catalog = load_catalog()
    libraries = set(catalog.frame["library"])
    ids: dict[str, str] = {}
    unknown, unclear = [], {}
    for name in names:
        ids[name] = name
        prefix, colon, _ = name.partition(":")
        try:
            meanings = catalog.meanings(name)
        except UnknownModelError:  # timm gave it up
            meanings = ()
        except InputError as error:
            unclear[name] = str(error)
            continue
        if len(meanings) == 1:
            ids[name] = meanings[0]
        elif meanings:
            unclear[name] = str(ask_back(name, meanings))
        elif not colon or prefix in libraries:
            unknown.append(name)
    return ResolvedNames(ids, tuple(unknown), unclear)


def _check_same_weights(path: Path, frame: pd.DataFrame, cell: list[str]) -> None:
    other = frame["value"] != frame.groupby(cell)["value"].transform("first")
    if other.any():
        place = frame[other].iloc[0]
        same = frame[(frame["weights"] == place["weights"]) & (frame["task"] == place["task"])].iloc[0]
        raise DataError(
            f"{path}: '{same['model']}' and '{place['model']}' are the same weights, {place['weights']}, and disagree "
            f"on task '{place['task']}'; keep one"
        )
