"""What every study says of tasks that nobody has seen: the ground on which likenesses of tasks are compared.

    python benchmark/space/new_tasks.py --folder FOLDER [--left study --n 10]

Once every image set is left out of all studies (`task`), once every study with all that repeat it, and of the others
the image set beside it (`study`). Writes to the folder, one file for each left-out thing, what is expected of the
weights of every study: general quality, and what every known image set would add. A file that is there is not made
again; `--n` stops after so many. `words.py` reads them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from fennec.checkpoints.catalog import Catalog, load_catalog
from fennec.checkpoints.facts import facts_of
from fennec.evaluation.leave_one_study_out import Judged, judged_studies
from fennec.evidence.scores import GENERAL, load_scores, study_name, without
from fennec.files import write_whole
from fennec.space.kernel import TaskKernel
from fennec.space.process import Affinity, GeneralQuality
from fennec.space.transfer_space import TransferSpace
from fennec.tasks.embedding_files import load_known_embeddings

Floats = NDArray[np.float64]
LEFT = ("task", "study")


@dataclass(frozen=True, eq=False)
class NewTask:
    """A task of a study, of which nothing is known, nor of its images in other studies.

    Attributes:
        left: what was left out: its image set (`task`), or its study and the image set (`study`).
        study: that measured it.
        protocol: how.
        image_set: its images.
        level: expected general quality of the study's weights, shape (n_models,).
        parts: what every known image set adds per unit of covariance, shape (n_models, n_known).
        known: those image sets.
        truth: results by column, NaN for unknown, shape (n_models, n_columns).
        columns: their names.
    """

    left: str
    study: str
    protocol: str
    image_set: str
    level: Floats
    parts: Floats
    known: tuple[str, ...]
    truth: Floats
    columns: tuple[str, ...]


class LeftOut(Affinity):
    """Affinities without one image set after the other: exact, from one factor of the covariance of all results."""

    def fit(self, scores: pd.DataFrame, kernel: TaskKernel, catalog: Catalog) -> LeftOut:
        """Learn from results, as `Affinity` does."""
        self.catalog_, self.scores_ = catalog, scores
        self.image_sets_ = tuple(sorted(set(scores["image_set"]) - {GENERAL}))
        self.rows_ = scores[scores["image_set"].ne(GENERAL)].reset_index(drop=True)
        self.facts_ = facts_of(self.rows_["weights"].tolist(), catalog)
        self.factor_ = cho_factor(self._covariance(kernel), lower=True, overwrite_a=True)
        return self

    def leave(self, image_set: str) -> tuple[str, ...]:
        """Forget an image set; the others, which are known now, shape (n_known,)."""
        out = self.rows_["image_set"].eq(image_set).to_numpy()
        rest = without(self.scores_, image_sets=[image_set])
        mean = rest.groupby(["study", "protocol", "weights"])["score"].transform("mean")
        left = np.zeros(len(self.rows_), dtype=np.float32)
        left[~out] = (rest["score"] - mean)[rest["image_set"].ne(GENERAL)]
        self.pull_ = cho_solve(self.factor_, left)
        if out.any():  # what the inverse of a block is in the inverse of all
            indicator = np.zeros((len(left), out.sum()), dtype=np.float32)
            indicator[np.flatnonzero(out), np.arange(out.sum())] = 1
            columns = cho_solve(self.factor_, indicator)
            self.pull_ = self.pull_ - columns @ np.linalg.solve(columns[out], self.pull_[out])
            self.pull_[out] = 0
        return self.image_sets_


def groups(cases: list[Judged], left: str) -> dict[str, list[Judged]]:
    """Studies by what is left out for them."""
    found: dict[str, list[Judged]] = {}
    for case in cases:
        for name in dict.fromkeys(case.image_sets if left == "task" else [study_name(case.study)]):
            found.setdefault(name, []).append(case)
    return dict(sorted(found.items()))


def foretold(left: str, name: str, cases: list[Judged]) -> Iterator[NewTask]:
    """Every new task of some studies, without what is left out."""
    catalog, kernel = load_catalog(), TaskKernel.fit(load_known_embeddings(), length_scale=TransferSpace().length_scale)
    rest = without(load_scores(), **({"image_sets": [name]} if left == "task" else {"studies": [name]}))
    general = GeneralQuality().fit(rest, catalog)
    fitted: dict[str, LeftOut | None] = {}
    for case in cases:
        study = study_name(case.study) if left == "task" else ""
        level = general.expect(case.models, case.protocol, study)
        for image_set in [name] if left == "task" else dict.fromkeys(case.image_sets):
            if case.protocol not in fitted:
                own = rest[rest["protocol"].eq(case.protocol)].reset_index(drop=True)
                fitted[case.protocol] = None if own.empty else LeftOut().fit(own, kernel, catalog)
            affinity = fitted[case.protocol]
            parts, known = np.zeros((len(level), 0)), np.array([], dtype=str)
            if affinity is not None:
                known = np.array(affinity.leave(image_set), dtype=str)
                parts = affinity.expect(case.models, study)[:, known != image_set]
                known = known[known != image_set]
            columns = [column for column, other in zip(case.table, case.image_sets, strict=True) if other == image_set]
            truth = case.table[columns].to_numpy(dtype=np.float64)
            names, others = tuple(map(str, columns)), tuple(known.tolist())
            yield NewTask(left, case.study, case.protocol, image_set, level, parts, others, truth, names)


def save(path: Path, tasks: list[NewTask]) -> None:
    """Write them to a file of arrays."""
    import io

    arrays = {f"{at}/{name}": np.asarray(value) for at, task in enumerate(tasks) for name, value in vars(task).items()}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    write_whole(path, buffer.getvalue())


def load(folder: Path) -> list[NewTask]:
    """All new tasks of a folder."""
    tasks = []
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as file:
            for at in range(len({name.partition("/")[0] for name in file.files})):
                values = {name: file[f"{at}/{name}"] for name in NewTask.__dataclass_fields__}
                texts = {name: str(values[name]) for name in ("left", "study", "protocol", "image_set")}
                lists = {name: tuple(values[name].tolist()) for name in ("known", "columns")}
                tasks.append(NewTask(**{**values, **texts, **lists}))
    return tasks


def main() -> None:
    """Leave out one thing after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--n", type=int)
    parser.add_argument("--left", choices=LEFT, action="append")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    cases = judged_studies()
    wanted = [(left, name, some) for left in arguments.left or LEFT for name, some in groups(cases, left).items()]
    missing = [item for item in wanted if not (arguments.folder / f"{item[0]}-{item[1]}.npz").is_file()]
    for at, (left, name, some) in enumerate(missing[: arguments.n]):
        print(f"{at + 1} of {len(missing)}: {left} {name}", file=sys.stderr, flush=True)
        save(arguments.folder / f"{left}-{name}.npz", list(foretold(left, name, some)))


if __name__ == "__main__":
    main()
