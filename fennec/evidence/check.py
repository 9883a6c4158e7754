"""A person's file of results, checked as a new study is.

In: a CSV of results. Out: `CheckedResults`: its cells in the words of the evidence, and findings. What is wrong must be
mended before anything can be learned from the file; what is odd is reported, never refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fennec.checkpoints.catalog import load_catalog
from fennec.errors import InputError, did_you_mean

from .columns import BUDGET, COLUMN, LOWER_IS_BETTER, MAIN_METRICS, OTHER_METRICS, TRAINED, usual_budget
from .compared import compare_columns, compare_studies, with_failures
from .own import resolve_names
from .results import N_SHOWN, Finding, Findings, cut, first_of, lines_text, read_cells
from .studies import PROTOCOLS, image_sets

if TYPE_CHECKING:
    import pandas as pd

UNITS = ("fraction", "percent")


@dataclass(frozen=True, eq=False)
class CheckedResults:
    """A file of results and what was found.

    Attributes:
        path: of the file.
        cells: one row a cell, indexed by the line: model (as the file says), weights (id where it is known), task,
            protocol, metric, budget, head, value (fraction), image_set, `known` (whether the catalog has the model),
            `failed` (a trained model at or below chance, or a column of one value).
        findings: what is wrong first, then what is odd.
        columns: what `compare_columns` says; None where the unit is not clear.
        studies: what `compare_studies` says; None as well.
    """

    path: Path
    cells: pd.DataFrame
    findings: tuple[Finding, ...]
    columns: pd.DataFrame | None = None
    studies: pd.DataFrame | None = None

    @property
    def is_usable(self) -> bool:
        """Whether nothing is wrong."""
        return all(finding.level != "wrong" for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """For JSON: sizes, findings, and what the columns and studies were compared with; None for what is unknown."""
        frame = self.cells
        return {
            "file": str(self.path),
            "usable": self.is_usable,
            "n_cells": len(frame),
            "n_models": int(frame["model"].nunique()),
            "n_weights_known": int(frame.loc[frame["known"], "weights"].nunique()),
            "n_tasks": int(frame["task"].nunique()),
            "n_columns": len(frame.drop_duplicates(COLUMN)),
            "protocols": sorted(frame["protocol"].unique()),
            "findings": [{**vars(finding), "lines": list(finding.lines)} for finding in self.findings],
            "columns": _records(self.columns),
            "studies": _records(self.studies),
        }


def check_results(path: str | Path, *, protocol: str | None = None, unit: str | None = None) -> CheckedResults:
    r"""Check a file of results.

    Args:
        path: CSV with the columns model, task, value, and perhaps metric, protocol, budget and head.
        protocol: how it was measured where the file does not say; finetune when neither does.
        unit: `fraction` or `percent` of all values without a percent sign; found when None, and mixed units are wrong.

    Raises:
        InputError: the file cannot be read as a table with these columns, or protocol or unit are none.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "ours.csv"
        >>> _ = path.write_text("model,task,value\nresnet50.a1_in1k,pets,91.2\nresnet18.a1_in1k,pets,0.88\n")
        >>> checked = check_results(path)
        >>> checked.is_usable, checked.findings[0].kind
        (False, 'unit')
    """
    for word, text, words in (("protocol", protocol, PROTOCOLS), ("unit", unit, UNITS)):
        if text is not None and text not in words:
            raise InputError(f"no {word} '{text}'{did_you_mean(text, words)}; there are {', '.join(words)}")
    file = read_cells(path, ("model", "task", "value"))
    found = Findings([Finding("note", "reading", note) for note in file.notes])
    frame = _filled(file.frame, protocol, found)
    frame = _with_values(frame, unit, found)
    _check_words(frame, found)
    frame = _with_names(frame, found)
    frame = _without_duplicates(frame, found)
    if found.has_wrong("unit") or frame.empty:  # orders and levels would be those of two units
        return CheckedResults(file.path, frame.assign(failed=False), found.sorted())
    frame = with_failures(frame, found)
    studies, columns = compare_studies(frame, found), compare_columns(frame, found)
    return CheckedResults(file.path, frame, found.sorted(), columns, studies)


def _filled(cells: pd.DataFrame, protocol: str | None, found: Findings) -> pd.DataFrame:
    """Only the columns that count, each of them filled, without lines that name no model or task."""
    frame = cells.reindex(columns=["model", "task", "value", "metric", "protocol", "budget", "head"]).astype(object)
    for column in ("model", "task"):
        found.add_lines("wrong", "name", f"no {column} on LINES", frame[column].isna())
    frame = frame[frame["model"].notna() & frame["task"].notna()]
    for column, usual in (("metric", "top1"), ("protocol", protocol or "finetune")):
        empty = frame[column].isna()
        if empty.any() and (column != "protocol" or protocol is None):
            count = "no" if empty.all() else "not every"
            found.add("note", column, f"{count} line says the {column}: taken as {usual}")
        frame = frame.assign(**{column: frame[column].fillna(usual)})
    budget = frame["budget"].fillna(frame["protocol"].map(usual_budget))
    head = frame["head"].fillna(frame["protocol"].map({"linear_probe": "linear"})).fillna("")
    return frame.assign(budget=budget, head=head)


def _with_values(frame: pd.DataFrame, unit: str | None, found: Findings) -> pd.DataFrame:
    """The lines with a number, as fractions as far as their unit is clear."""
    import pandas as pd

    text = frame["value"].fillna("").astype(str)
    marked = text.str.endswith("%")
    value = pd.to_numeric(text.str.removesuffix("%").str.strip(), errors="coerce").astype(np.float64)
    value = value.mask(~np.isfinite(value))
    bad = value.isna()
    if bad.any():
        seen = cut(text[bad].iloc[0]) or "nothing"
        found.add_lines("wrong", "value", f"no number on LINES, first {seen}; leave out runs that failed", bad)
    open_ = value[~marked & ~bad]
    over, inside = open_ > 1, (open_ > 0) & (open_ < 1)
    percent = marked.copy()
    if unit is not None:
        percent |= unit == "percent"
    elif over.any() and inside.any():
        found.add(
            "wrong", "unit",
            f"percentages and fractions are mixed: {over.sum()} values above 1 ({first_of(open_, over)}), "
            f"{inside.sum()} below ({first_of(open_, inside)}){_by_task(frame, over, inside)}; give one unit, or say "
            "--unit",
            open_.index[over if over.sum() <= inside.sum() else inside],
        )  # fmt: skip
        return frame.assign(value=value)[~bad]
    elif over.any():
        percent[:] = True
    if percent.any():
        found.add("note", "unit", f"{percent.sum()} values read as percent, up to {value[percent].max():g}")
    value = value.where(~percent, value / 100)
    outside = (value < 0) | (value > 1)
    if outside.any():
        first = value[outside].iloc[0]
        limits = f"{100 * first:g} is outside 0 to 100" if percent[outside].iloc[0] else f"{first:g} is outside 0 to 1"
        found.add_lines("wrong", "value", f"{limits}, on LINES", outside)
    return frame.assign(value=value)[~(bad | outside)]


def _by_task(frame: pd.DataFrame, over: pd.Series[bool], inside: pd.Series[bool]) -> str:
    """Which tasks have which unit, where each has but one."""
    task = frame["task"]
    one, two = set(task[over.index[over]]), set(task[inside.index[inside]])
    if one & two:
        return f", on one task as in '{cut(min(one & two))}'"
    return f", as in task '{cut(min(one))}' against '{cut(min(two))}'"


def _check_words(frame: pd.DataFrame, found: Findings) -> None:
    """Protocols, metrics, budgets and tasks are words of the evidence."""
    for word, lines in _lines_of(frame, "protocol", set(PROTOCOLS)):
        near = did_you_mean(word, PROTOCOLS)
        found.add("wrong", "protocol", f"no protocol '{cut(word)}'{near}; there are {', '.join(PROTOCOLS)}", lines)
    known = {*MAIN_METRICS, *OTHER_METRICS}
    for word, lines in _lines_of(frame, "metric", {*known, *(f"knn_{name}" for name in known)}):
        if re.search(LOWER_IS_BETTER, word, re.IGNORECASE):
            text = f"of metric '{cut(word)}' less is better; give one of which more is, such as top1"
            found.add("wrong", "metric", text, lines)
        else:
            found.add("odd", "metric", f"metric '{cut(word)}' is not known{did_you_mean(word, MAIN_METRICS)}", lines)
    for word, lines in _lines_of(frame, "budget", set()):
        if not re.fullmatch(BUDGET, word):
            advice = "expected full, none, '16 per class', '1000 images' or '1 %', then perhaps epochs or px"
            found.add("odd", "budget", f"budget '{cut(word)}' is no word of the evidence; {advice}", lines)
    untrained = frame["protocol"].isin(set(PROTOCOLS) - set(TRAINED))
    none = frame["budget"].str.startswith("none")
    found.add_lines("odd", "budget", "a protocol without labels has a budget on LINES", untrained & ~none)
    found.add_lines("odd", "budget", "a trained model has the budget none on LINES", ~untrained & none)
    tasks = image_sets()
    new = list(_lines_of(frame, "task", set(tasks)))
    for word, lines in new[:N_SHOWN]:
        found.add("odd", "task", f"task '{cut(word)}' is not known{did_you_mean(word, tasks)}", lines)
    if len(new) > N_SHOWN:
        found.add("odd", "task", f"{len(new) - N_SHOWN} more tasks are not known", new[N_SHOWN][1])


def _with_names(frame: pd.DataFrame, found: Findings) -> pd.DataFrame:
    """The cells with weights and image sets, without models whose name is unclear."""
    names = resolve_names(frame["model"].drop_duplicates())
    for name, reason in names.unclear.items():
        lines = frame.index[frame["model"] == name]
        found.add("wrong", "name", f"{reason}: on {lines_text(lines)}", lines)
    if names.unknown:
        lines = frame.index[frame["model"].isin(names.unknown)]
        n_models = frame["model"].nunique()
        text = f"not known: {len(names.unknown)} of {n_models} models, which keep their names; {names.first_unknown}"
        found.add("odd", "name", text, lines)
    frame = frame[~frame["model"].isin(names.unclear)]
    weights = frame["model"].map(names.ids).astype(object)
    sets = image_sets()
    image_set = frame["task"].map(lambda task: sets.get(task, task))
    called = frame.groupby(weights)["model"].unique()
    for several in called[called.map(len) > 1]:
        text = f"{', '.join(repr(cut(name)) for name in sorted(several))} are the same weights"
        found.add("note", "name", text, frame.index[frame["model"].isin(several)])
    return frame.assign(weights=weights, image_set=image_set, known=weights.isin(set(load_catalog().ids)))


def _without_duplicates(frame: pd.DataFrame, found: Findings) -> pd.DataFrame:
    """Every cell once; cells of two values are wrong."""
    cell = ["weights", *COLUMN]
    first = frame.groupby(cell)["value"].transform("first")
    again, other = frame.duplicated(cell), frame["value"] != first
    found.add_lines("note", "duplicate", "cells that stand there before, with this value, on LINES", again & ~other)
    if other.any():
        place = frame[other].iloc[0]
        same = frame[(frame[cell] == place[cell]).all(axis=1)]
        what = (
            f"'{cut(place['model'])}' on task '{cut(place['task'])}': {same['value'].iloc[0]:g} and {place['value']:g}"
        )
        text = f"LINES: another value than before, first line {same.index[0]} on {what}; keep one, or their mean"
        found.add_lines("wrong", "duplicate", text, other)
    return frame[~again]


def _lines_of(frame: pd.DataFrame, column: str, known: set[str]) -> Iterable[tuple[str, list[int]]]:
    """Words of a column that are not known, with their lines."""
    new = frame[~frame[column].isin(known)]
    for word, rows in new.groupby(column, sort=True):
        yield str(word), list(rows.index)


def _records(frame: pd.DataFrame | None) -> list[dict[str, Any]]:
    if frame is None:
        return []
    rows = frame.astype(object).where(frame.notna(), None).to_dict("records")
    return [{str(name): value for name, value in row.items()} for row in rows]
