"""What is known: performances of models on tasks, one protocol per matrix.

In: long tables of results (ours in `data/results`, or a user's own CSV). Out: `TransferMatrix`, validated
once and then trusted.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fennec.errors import DataError, InputError, shown

from .columns import LOWER_IS_BETTER
from .results import read_cells
from .studies import PROTOCOLS

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


@dataclass(frozen=True, eq=False)
class TransferMatrix:
    """Performances of models on tasks.

    Attributes:
        performance: fractions in [0, 1], NaN for unknown, shape (n_models, n_tasks).
        models: one id per row.
        tasks: one name per column.
        image_sets: which images each task uses; tasks of one image set leak into each other.
        metrics: how each column was measured, for example `top1`.
        protocol: how the models were adapted, for example `finetune`.
        name: the hub, for messages.
    """

    performance: Floats
    models: tuple[str, ...]
    tasks: tuple[str, ...]
    image_sets: tuple[str, ...]
    metrics: tuple[str, ...]
    protocol: str
    name: str = ""

    def __post_init__(self) -> None:
        shape = (len(self.models), len(self.tasks))
        values = self.performance
        if values.shape != shape or len(self.image_sets) != shape[1] or len(self.metrics) != shape[1]:
            raise DataError(f"performance has shape {values.shape}; models and tasks ask for {shape}")
        for kind, names in (("model", self.models), ("task", self.tasks)):
            if len(set(names)) != len(names):
                twice = next(name for name in names if names.count(name) > 1)
                raise DataError(f"{kind} '{twice}' stands twice in matrix '{self.name}'")
        known = ~np.isnan(values)
        if ((values[known] < 0) | (values[known] > 1)).any():
            raise DataError("performances must be fractions in [0, 1]; divide percentages by 100")
        if values.size == 0 or not known.any(axis=1).all() or not known.any(axis=0).all():
            raise DataError(f"matrix '{self.name}' has a model or a task without any result")

    @property
    def n_models(self) -> int:
        """Number of rows."""
        return len(self.models)

    @property
    def n_tasks(self) -> int:
        """Number of columns."""
        return len(self.tasks)

    @property
    def density(self) -> float:
        """Share of known cells."""
        return float(np.isfinite(self.performance).mean())

    def select(self, *, models: Sequence[str] | None = None, tasks: Sequence[str] | None = None) -> TransferMatrix:
        """The matrix of some models and some tasks, in the order given; rows left empty are dropped.

        Raises:
            InputError: a name is not in the matrix, or nothing is left.
        """
        rows = _positions(self.models, models, "model")
        columns = _positions(self.tasks, tasks, "task")
        values = self.performance[np.ix_(rows, columns)]
        filled = [row for row, known in zip(rows, np.isfinite(values), strict=True) if known.any()]
        return replace(
            self,
            performance=self.performance[np.ix_(filled, columns)],
            models=tuple(self.models[row] for row in filled),
            tasks=tuple(self.tasks[column] for column in columns),
            image_sets=tuple(self.image_sets[column] for column in columns),
            metrics=tuple(self.metrics[column] for column in columns),
        )

    def to_frame(self) -> pd.DataFrame:
        """Long table of the known cells: model, task, metric, protocol, value."""
        import pandas as pd

        rows, columns = np.nonzero(np.isfinite(self.performance))
        return pd.DataFrame(
            {
                "model": [self.models[row] for row in rows],
                "task": [self.tasks[column] for column in columns],
                "metric": [self.metrics[column] for column in columns],
                "protocol": self.protocol,
                "value": self.performance[rows, columns],
            }
        )

    @classmethod
    def from_frame(
        cls,
        frame: pd.DataFrame,
        *,
        protocol: str = "finetune",
        name: str = "",
        image_sets: Mapping[str, str] | None = None,
    ) -> TransferMatrix:
        """Matrix of a long table with the columns model, task, value and, if there, metric.

        Args:
            frame: one row per cell.
            protocol: how the cells were measured.
            name: for messages.
            image_sets: image set of a task; a task not named is its own.

        Raises:
            InputError: a cell stands twice, or a task mixes metrics.
        """
        if "metric" in frame:
            mixed = frame.groupby("task")["metric"].nunique()
            if (mixed > 1).any():
                raise DataError(f"task '{mixed.idxmax()}' mixes metrics; give each its own task name")
        twice = frame[frame.duplicated(["model", "task"])]
        if len(twice):
            model, task = twice.iloc[0][["model", "task"]]
            raise DataError(f"model '{model}' has more than one result on task '{task}'; keep one")
        wide = frame.pivot(index="model", columns="task", values="value")
        metric = frame.groupby("task")["metric"].first().to_dict() if "metric" in frame else {}
        tasks = tuple(str(task) for task in wide.columns)
        return cls(
            wide.to_numpy(dtype=np.float64),
            tuple(str(model) for model in wide.index),
            tasks,
            tuple((image_sets or {}).get(task, task) for task in tasks),
            tuple(str(metric.get(task, "top1")) for task in tasks),
            protocol,
            name,
        )


def _positions(names: Sequence[str], wanted: Sequence[str] | None, kind: str) -> list[int]:
    if wanted is None:
        return list(range(len(names)))
    position = {name: index for index, name in enumerate(names)}
    for name in wanted:
        if name not in position:
            raise InputError(f"{kind} '{name}' is not in the matrix")
    return [position[name] for name in wanted]


def read_results(path: str | Path, *, columns: Sequence[str] = ("model", "task", "value")) -> pd.DataFrame:
    """A user's own results, checked line by line; cells that stand there twice with one value are kept once.

    Args:
        path: CSV with a header that has at least `columns`; `value` is a fraction in [0, 1]. Columns `protocol` and
            `budget` may say how all of it was measured.
        columns: what must be there; without `task` every line is kept.

    Returns:
        The lines, indexed by their number in the file.

    Raises:
        InputError: the file is missing or empty, a column is missing, a value is not a number, not finite or outside
            [0, 1], percentages and fractions or several protocols or budgets are mixed, or a cell has two values; the
            message gives the first bad line.
    """
    frame = read_cells(path, columns).frame
    for column in columns:
        if column != "value" and frame[column].isna().any():
            raise DataError(f"{path} line {_line(frame[column].isna())}: no {column}")
    value = frame["value"].map(_number).astype(float)
    bad = ~value.map(math.isfinite)
    if bad.any():
        seen = frame["value"][bad].fillna("").iloc[0]
        raise DataError(
            f"{path} line {_line(bad)}: value is '{shown(seen, 60)}'; expected a fraction in [0, 1], leave out "
            "runs that failed"
        )
    outside, inside = (value < 0) | (value > 1), (value > 0) & (value < 1)
    if outside.any():
        seen = f"{path} line {_line(outside)}: value is {value[outside].iloc[0]:g}"
        if inside.any():
            also = f"line {_line(inside)} has {value[inside].iloc[0]:g}"
            raise DataError(f"{seen}, but {also}; percentages and fractions are mixed, give fractions in [0, 1]")
        raise DataError(f"{seen}; expected a fraction in [0, 1], divide percentages by 100")
    _check_one_way(path, frame)
    frame["value"] = value
    return _without_repeats(path, frame) if "task" in columns else frame


def _number(text: str | None) -> float:
    """A number as people write it, NaN for anything else."""
    return float(text) if text is not None and NUMBER.fullmatch(text) else float("nan")


def _check_one_way(path: str | Path, frame: pd.DataFrame) -> None:
    """Results of one file were all measured one way, higher being better, as far as it says how."""
    if "metric" in frame:
        lower = frame["metric"].str.contains(LOWER_IS_BETTER, case=False, na=False)
        if lower.any():
            raise DataError(
                f"{path} line {_line(lower)}: metric is '{frame['metric'][lower].iloc[0]}', where lower is better; "
                "give one where higher is better, such as accuracy"
            )
    for column in ("protocol", "budget"):
        if column not in frame:
            continue
        said = frame[column].fillna("")
        first = said.iloc[0]
        other = said != first
        if other.any():
            raise DataError(
                f"{path} mixes {column}s: line {said.index[0]} has '{first}', line {_line(other)} has "
                f"'{said[other].iloc[0]}'; one file, one {column}"
            )
        if column == "protocol" and first not in PROTOCOLS:
            raise DataError(f"{path} line {said.index[0]}: protocol is '{first}'; there are {', '.join(PROTOCOLS)}")


def _without_repeats(path: str | Path, frame: pd.DataFrame) -> pd.DataFrame:
    """Every cell once; the metric belongs to it where there is one."""
    cell = [name for name in ("model", "task", "metric") if name in frame]
    first = frame.groupby(cell, dropna=False)["value"].transform("first")
    other = frame["value"] != first
    if other.any():
        place = frame.loc[other].iloc[0]
        same = (frame[cell].fillna("") == place[cell].fillna("")).all(axis=1)
        what = ", ".join(f"{name} '{place[name]}'" for name in cell)
        raise DataError(
            f"{path} lines {_line(same)} and {_line(other)} disagree on {what}: {first[other].iloc[0]:g} and "
            f"{place['value']:g}; keep one"
        )
    if "metric" in frame:
        first = frame.groupby("task")["metric"].transform("first")
        other = first.notna() & (frame["metric"].fillna("") != first)
        if other.any():
            task, metric = frame.loc[other, ["task", "metric"]].fillna("").iloc[0]
            same = frame["task"] == task
            raise DataError(
                f"{path}: task '{task}' mixes metrics, '{frame['metric'][same].iloc[0]}' in line {_line(same)} and "
                f"'{metric}' in line {_line(other)}; give each its own task name"
            )
    return frame.drop_duplicates(cell)


def _line(bad: pd.Series[bool]) -> int:
    """Line of the file, counted from 1 and with the header, in which the first bad row begins."""
    return int(bad.index[bad.to_numpy(dtype=bool)][0])
