"""A new study made ready for everyone: its card, its rows, and a patch with both for a pull request.

In: a checked file of results, and who published it under which licence. Out: `Contribution`, texts by their place in
the repository. Nothing is written into the installed package; `benchmark/data/build_studies.py` takes it in.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fennec.errors import DataError, InputError, did_you_mean
from fennec.files import as_json, write_together

from .columns import COLUMN, FEWEST_MODELS, main_metrics
from .hubs import load_hubs
from .results import cut, read_cells
from .studies import Study, image_sets, load_studies

if TYPE_CHECKING:
    import pandas as pd

    from .check import CheckedResults

ROWS = ["model", "weights", *COLUMN, "head", "value"]
TASK_FACTS = ("title", "n_classes", "n_train", "domain", "granularity", "image_size")
CLOSED = re.compile(r"\bN[CD]\b|non-?commercial|no-?derivatives", re.IGNORECASE)


@dataclass(frozen=True)
class Contribution:
    """Files of a new study.

    Attributes:
        name: of the study.
        files: text by path in the repository: card, rows, and what it is.
        n_cells: rows that are given.
        n_left_out: cells that are not: failed, of another metric than the main one, or of columns too short.
        unknown: models that the catalog does not know; their rows travel and count once it does.
    """

    name: str
    files: Mapping[str, str]
    n_cells: int
    n_left_out: int
    unknown: tuple[str, ...]

    @property
    def patch(self) -> str:
        """All files as new ones, for `git apply`."""
        parts = []
        for path, text in sorted(self.files.items()):
            lines = text.removesuffix("\n").split("\n")
            body = "".join(f"+{line}\n" for line in lines)
            parts.append(
                f"diff --git a/{path} b/{path}\nnew file mode 100644\n--- /dev/null\n+++ b/{path}\n"
                f"@@ -0,0 +1,{len(lines)} @@\n{body}"
            )
        return "".join(parts)

    def write(self, folder: Path) -> Path:
        """Write every file and the patch, all or none; those of an earlier time that nobody changed are replaced.

        Returns:
            The patch.

        Raises:
            DataError: the folder holds other files, or what it holds was changed since it was written.
            UnwritableError: there is no room or no right to write.
        """
        patch = folder / f"{self.name}.patch"
        places = {path: folder / Path(path).name for path in self.files}
        if folder.is_dir():
            other = sorted(
                {path.name for path in folder.iterdir()} - {patch.name, *(at.name for at in places.values())}
            )
            if other:
                raise DataError(f"'{folder}' holds '{other[0]}'; give a folder with --output that is empty or new")
            if any(folder.iterdir()) and not self._is_untouched(patch, places):
                raise DataError(
                    f"'{folder}' holds files of this study that were changed by hand; keep them, and give another "
                    "folder with --output"
                )
        write_together(
            folder, {**{places[path].name: text for path, text in self.files.items()}, patch.name: self.patch}
        )
        return patch

    def _is_untouched(self, patch: Path, places: Mapping[str, Path]) -> bool:
        """Whether files are those of the patch beside them."""
        try:
            before = {path: place.read_text(encoding="utf-8") for path, place in places.items()}
            return patch.read_text(encoding="utf-8") == replace(self, files=before).patch
        except (OSError, UnicodeDecodeError):
            return False


def contribute(
    checked: CheckedResults, study: Study, *, caveats: str = "", tasks: Mapping[str, Mapping[str, Any]] | None = None
) -> Contribution:
    """Make the files of a new study.

    Args:
        checked: its results.
        study: who published them, where and under which licence; `repeats` is found when the evidence is built.
        caveats: protocol and pitfalls in one's own words.
        tasks: facts (`TASK_FACTS`) of tasks that nobody knows yet, as of `read_task_facts`.

    Raises:
        InputError: the name is taken or no word, title, paper or licence is empty, or the licence does not let the
            values travel.
        DataError: something is wrong with the results, nothing is left of them, or nothing is said of a new task.
    """
    wrong = [finding for finding in checked.findings if finding.level == "wrong"]
    if wrong:
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        raise DataError(f"{checked.path}: {wrong[0].text}{more}; 'fennec evidence check' lists all")
    _check_study(study)
    cells = checked.cells
    cells = cells.assign(model=cells.groupby("weights")["model"].transform("first"))  # one name for the same weights
    good = cells[~cells["failed"]]
    rows = main_metrics(good[ROWS])
    if rows.empty:
        raise DataError(
            f"{checked.path}: no column is left with {FEWEST_MODELS} models and a known metric; "
            "'fennec evidence check' says why"
        )
    new = sorted(set(rows["task"]) - set(image_sets()))
    facts = {task: dict((tasks or {})[task]) for task in new if task in (tasks or {})}
    lacking = [task for task in new if not facts.get(task, {}).get("title")]
    if lacking:
        raise DataError(
            f"nothing is known of {len(lacking)} tasks, first '{cut(lacking[0])}'; mend its name, or give --tasks, a "
            f"CSV with the columns task, {', '.join(TASK_FACTS)}{did_you_mean(lacking[0], image_sets())}"
        )
    name = study.name
    n_failed = int(cells["failed"].sum())
    shown = {
        "repository and commit": study.repository or "-",
        "licence of the repository": study.licence,
        **facts_of(rows, len(good) - len(rows), n_failed, percent=_was_percent(checked)),
        "repeats": "found when the evidence is built",
        "values in the package": "yes",
    }
    about = {
        "title": study.title,
        "paper": study.paper,
        "repository": study.repository,
        "licence": study.licence,
        "caveats": caveats,
        "failed": n_failed,
        "tasks": facts,
    }
    known = cells.loc[cells["known"], "model"]
    unknown = tuple(sorted(set(rows["model"]) - set(known)))
    rows = rows.assign(weights=rows["weights"].mask(rows["model"].isin(unknown), ""))
    files = {
        f"data/cards/{name}.md": card(name, study.title, study.paper, shown, caveats or "-"),
        f"data/contributed/{name}.json": as_json(about, ensure_ascii=False) + "\n",
        f"data/contributed/{name}.csv": rows[ROWS].to_csv(index=False, lineterminator="\n"),
    }
    return Contribution(name, files, len(rows), len(cells) - len(rows), unknown)


def _was_percent(checked: CheckedResults) -> bool:
    return any(finding.kind == "unit" for finding in checked.findings)


def _check_study(study: Study) -> None:
    if not re.fullmatch(r"[a-z][a-z0-9_]{2,60}", study.name):
        raise InputError(
            f"'{cut(study.name)}' is no name of a study; expected 3 to 61 small letters, digits and _, the first a "
            "letter, as in lab24: choose one with --name"
        )
    taken = {**dict.fromkeys(load_studies(), "study"), **dict.fromkeys(load_hubs(), "hub"),
             **dict.fromkeys(("all", "default"), "--study")}  # fmt: skip
    if study.name in taken:
        raise InputError(f"{taken[study.name]} '{study.name}' is there already; give another --name")
    for word, text in (("title", study.title), ("paper", study.paper), ("licence", study.licence)):
        if not text.strip():
            raise InputError(f"--{word} is empty; a study says its title, who published it where, and its licence")
        if "\n" in text or "|" in text:
            raise InputError(f"--{word} is '{cut(text)}'; expected one line without |")
    if CLOSED.search(study.licence):
        raise InputError(
            f"values under '{cut(study.licence)}' cannot travel in a package that anybody may use for anything; "
            "expected a licence such as CC0-1.0, CC-BY-4.0, MIT or Apache-2.0"
        )


def read_task_facts(path: str | Path) -> dict[str, dict[str, str]]:
    """Facts of new tasks.

    Args:
        path: CSV with the columns task, title and what else is known of `TASK_FACTS`.

    Raises:
        InputError: as `read_cells`.
    """
    frame = read_cells(path, ("task", "title")).frame
    frame = frame[frame["task"].notna()].reindex(columns=["task", *TASK_FACTS]).astype(object).fillna("")
    return {str(row.pop("task")): {str(k): str(v) for k, v in row.items()} for row in frame.to_dict("records")}


def card(name: str, title: str, paper: str, facts: Mapping[str, str], caveats: str) -> str:
    """Data card of one study."""
    rows = {"paper": paper, **facts, "caveats": caveats}
    return f"# {name}\n\n{title}\n\n| | |\n| --- | --- |\n" + "".join(f"| {key} | {rows[key]} |\n" for key in rows)


def facts_of(frame: pd.DataFrame, left_out: int, failed: int, *, percent: bool) -> dict[str, str]:
    """What a card counts.

    Args:
        frame: cells of the study: model, task, protocol, metric, budget, head.
        left_out: how many cells are not among them.
        failed: how many runs failed.
        percent: whether it was published so.
    """
    protocols = frame.groupby("protocol")["budget"].unique()
    n_columns = len(frame.drop_duplicates(COLUMN))
    return {
        "protocol and budget": "; ".join(f"{key} ({' / '.join(sorted(some))})" for key, some in protocols.items()),
        "head on frozen features": ", ".join(sorted(set(frame["head"]) - {""})) or "-",
        "metric": ", ".join(sorted(frame["metric"].unique())),
        "unit": "fraction in [0, 1]" + (" (published in percent)" if percent else ""),
        "size": f"{frame['model'].nunique()} models, {frame['task'].nunique()} tasks, {n_columns} columns, "
        f"{len(frame)} cells",
        "failed cells left out": f"{failed} (at or below chance, or one constant value)",
        "other cells left out": f"{left_out} (not the main metric of a column, or too few models)",
    }
