"""What every study says of tasks that nobody has seen: the ground on which likenesses of tasks are compared.

    python benchmark/space/new_tasks.py --folder FOLDER [--n 10]

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
from numpy.typing import NDArray

from fennec.checkpoints.catalog import load_catalog
from fennec.evaluation.leave_one_study_out import Judged, judged_studies
from fennec.evidence.scores import load_scores, study_name, without
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
    fitted: dict[tuple[str, str], Affinity | None] = {}
    for case in cases:
        study = study_name(case.study) if left == "task" else ""
        level = general.expect(case.models, case.protocol, study)
        for image_set in [name] if left == "task" else dict.fromkeys(case.image_sets):
            key = (case.protocol, image_set)
            if key not in fitted:
                own = without(rest[rest["protocol"].eq(case.protocol)], image_sets=[image_set])
                fitted[key] = None if own.empty else Affinity().fit(own, kernel, catalog)
            affinity = fitted[key]
            parts = np.zeros((len(level), 0)) if affinity is None else affinity.expect(case.models, study)
            known = () if affinity is None else affinity.image_sets_
            columns = [column for column, other in zip(case.table, case.image_sets, strict=True) if other == image_set]
            truth = case.table[columns].to_numpy(dtype=np.float64)
            yield NewTask(
                left, case.study, case.protocol, image_set, level, parts, known, truth, tuple(map(str, columns))
            )


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
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    cases = judged_studies()
    wanted = [(left, name, some) for left in LEFT for name, some in groups(cases, left).items()]
    missing = [item for item in wanted if not (arguments.folder / f"{item[0]}-{item[1]}.npz").is_file()]
    for at, (left, name, some) in enumerate(missing[: arguments.n]):
        print(f"{at + 1} of {len(missing)}: {left} {name}", file=sys.stderr, flush=True)
        save(arguments.folder / f"{left}-{name}.npz", list(foretold(left, name, some)))


if __name__ == "__main__":
    main()
