"""All results of all studies as one page: models, tasks, studies, how complete, how far studies agree.

In: the evidence and the catalog. Out: text of an HTML file that searches and sorts by itself. Numbers travel as JSON
and names are put into the page as text; the only script that may run is the one whose hash the page states.
"""

from __future__ import annotations

import base64
import hashlib
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup

from fennec.checkpoints.catalog import load_catalog
from fennec.evidence.agreement import published_agreement
from fennec.evidence.export import evidence_table
from fennec.evidence.scores import MIN_COLUMN
from fennec.evidence.studies import PROTOCOLS, describe_studies, load_studies, load_tasks

from .pages import environment, render

if TYPE_CHECKING:
    import pandas as pd

COLUMN = ["study", "task", "protocol", "metric", "budget"]
SCRIPT = "leaderboard.js"


def leaderboard_html(*, command: str = "") -> str:
    """The page.

    Args:
        command: what was typed, shown as it is.
    """
    frame = evidence_table()
    source, _, _ = environment().loader.get_source(environment(), SCRIPT)  # type: ignore[union-attr]  # it has a loader
    digest = base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()
    return render(
        "leaderboard.html",
        "Fennec: all results",
        command,
        data=leaderboard_data(frame),
        script=Markup(source),
        digest=digest,
        n_results=len(frame),
        n_models=frame["weights"].nunique(),
        n_tasks=frame["task"].nunique(),
        n_studies=frame["study"].nunique(),
        protocols=_protocols(frame),
        fewest=MIN_COLUMN,
    )


def leaderboard_data(frame: pd.DataFrame) -> dict[str, Any]:
    """What the script of the page reads.

    Args:
        frame: results as `evidence_table` gives them.

    Returns:
        models (id, parameters, licence), tasks (name, title, domain, classes), studies (a dictionary each), columns
        (study and task as positions, protocol, metric, budget, positions of models, values in hundredths of a point,
        best first), and pairs of studies (positions, common weights, rank agreement over all, common cells, rank
        agreement on the same tasks, whether they repeat each other).
    """
    models = sorted(frame["weights"].unique())
    tasks = sorted(frame["task"].unique())
    studies = sorted(frame["study"].unique())
    study_place = {name: position for position, name in enumerate(studies)}
    task_place = {name: position for position, name in enumerate(tasks)}
    ordered = frame.sort_values([*COLUMN, "value", "weights"], ascending=[True] * len(COLUMN) + [False, True])
    positions = np.searchsorted(models, ordered["weights"].to_numpy(dtype=object))
    values = (10_000 * ordered["value"]).round().astype(int)
    rows = zip(*(ordered[name] for name in COLUMN), positions.tolist(), values.tolist(), strict=True)
    columns = []
    for (study, task, *words), cells in groupby(rows, key=lambda row: row[: len(COLUMN)]):
        found, hundredths = zip(*(cell[len(COLUMN) :] for cell in cells), strict=True)
        columns.append([study_place[study], task_place[task], *words, found, hundredths])
    pairs = [
        [study_place[row["study"]], study_place[row["other"]], int(row["n_weights"]), _rounded(row["overall"]),
         int(row["n_cells"]), _rounded(row["same_tasks"]), int(row["repeats"])]
        for row in published_agreement().to_dict("records")
    ]  # fmt: skip
    return {
        "models": _models(models),
        "tasks": _tasks(tasks),
        "studies": _studies(frame, studies),
        "columns": columns,
        "pairs": pairs,
        "fewest": MIN_COLUMN,
    }


def _models(names: list[str]) -> list[list[Any]]:
    facts = load_catalog().frame.reindex([name.partition("@")[0] for name in names])
    params = facts["params"].astype(object).where(facts["params"].notna(), None)
    licences = facts["license"].fillna("")
    return [
        [name, None if count is None else int(count), licence]
        for name, count, licence in zip(names, params, licences, strict=True)
    ]


def _tasks(names: list[str]) -> list[list[Any]]:
    facts = load_tasks().reindex(names)
    facts = facts.astype(object).where(facts.notna(), None)
    columns = (facts[name] for name in ("title", "domain", "n_classes"))
    return [
        [name, title or "", domain or "", None if classes is None else int(classes)]
        for name, title, domain, classes in zip(names, *columns, strict=True)
    ]


def _studies(frame: pd.DataFrame, names: list[str]) -> list[dict[str, Any]]:
    said = describe_studies().set_index("study")
    known = load_studies()
    rows = []
    for name in names:
        cells = frame[frame["study"] == name]
        n_models, n_columns = cells["weights"].nunique(), len(cells.drop_duplicates(COLUMN))
        rows.append(
            {
                "name": name,
                "title": known[name].title,
                "paper": known[name].paper,
                "protocols": said.loc[name, "protocols"],
                "models": n_models,
                "tasks": cells["task"].nunique(),
                "columns": n_columns,
                "results": len(cells),
                "complete": round(100 * len(cells) / (n_models * n_columns), 1),
                "licence": known[name].licence,
                "repeats": said.loc[name, "repeats"],
            }
        )
    return rows


def _protocols(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """How complete the evidence is under each protocol."""
    rows = []
    for protocol in PROTOCOLS:
        cells = frame[frame["protocol"] == protocol]
        if len(cells):
            n_models, n_tasks = cells["weights"].nunique(), cells["task"].nunique()
            n_pairs = len(cells.drop_duplicates(["weights", "task"]))
            rows.append(
                {
                    "name": protocol,
                    "studies": cells["study"].nunique(),
                    "models": n_models,
                    "tasks": n_tasks,
                    "results": len(cells),
                    "known": 100 * n_pairs / (n_models * n_tasks),
                }
            )
    return rows


def _rounded(value: float) -> float | None:
    return None if value != value else round(value, 3)
