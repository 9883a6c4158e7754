"""What is known: performances of models on tasks, one protocol per matrix.

In: long tables of results (ours in `data/results`, or a user's own CSV). Out: `TransferMatrix`, validated
once and then trusted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fennec.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]


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
            raise InputError(f"performance has shape {values.shape}; models and tasks ask for {shape}")
        for kind, names in (("model", self.models), ("task", self.tasks)):
            if len(set(names)) != len(names):
                twice = next(name for name in names if names.count(name) > 1)
                raise InputError(f"{kind} '{twice}' stands twice in matrix '{self.name}'")
        known = ~np.isnan(values)
        if ((values[known] < 0) | (values[known] > 1)).any():
            raise InputError("performances must be fractions in [0, 1]; divide percentages by 100")
        if values.size == 0 or not known.any(axis=1).all() or not known.any(axis=0).all():
            raise InputError(f"matrix '{self.name}' has a model or a task without any result")

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
                raise InputError(f"task '{mixed.idxmax()}' mixes metrics; give each its own task name")
        twice = frame[frame.duplicated(["model", "task"])]
        if len(twice):
            model, task = twice.iloc[0][["model", "task"]]
            raise InputError(f"model '{model}' has more than one result on task '{task}'; keep one")
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
    """A user's own results, checked line by line.

    Args:
        path: CSV with a header that has at least `columns`; `value` is a fraction in [0, 1].
        columns: what must be there.

    Raises:
        InputError: the file is missing or empty, a column is missing, or a value is not a number, not
            finite or outside [0, 1]; the message gives the first bad line.
    """
    import pandas as pd

    try:
        frame = pd.read_csv(path, skipinitialspace=True, dtype={"model": str, "task": str})
    except FileNotFoundError as error:
        raise InputError(f"no file {path}; expected a CSV with the columns {', '.join(columns)}") from error
    except (pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError, OSError) as error:
        raise InputError(f"{path} is not a readable CSV ({error}); expected columns {', '.join(columns)}") from error
    missing = [column for column in columns if column not in frame]
    if missing:
        raise InputError(
            f"{path} has no column '{missing[0]}' (it has {', '.join(map(str, frame.columns))}); "
            f"expected {', '.join(columns)}"
        )
    if frame.empty:
        raise InputError(f"{path} has a header but no results")
    for column in columns:
        if column != "value" and frame[column].isna().any():
            raise InputError(f"{path} line {_line(frame[column].isna())}: no {column}")
    value = pd.to_numeric(frame["value"], errors="coerce")
    bad = ~np.isfinite(value)
    if bad.any():
        seen = frame["value"][bad].iloc[0]
        raise InputError(
            f"{path} line {_line(bad)}: value is '{seen}'; expected a fraction in [0, 1], leave out runs that failed"
        )
    outside = (value < 0) | (value > 1)
    if outside.any():
        raise InputError(
            f"{path} line {_line(outside)}: value is {value[outside].iloc[0]:g}; expected a fraction in [0, 1], "
            "divide percentages by 100"
        )
    return frame.assign(value=value)


def _line(bad: pd.Series[bool]) -> int:
    """Line of the file, counted from 1 and with the header, of the first bad row."""
    return int(np.flatnonzero(bad.to_numpy())[0]) + 2
