"""Leave one task out: how well does each method rank models for a task that it has never seen?

The held-out task is absent from every fitted part: its column and all columns on the same images, in every study, and
its embedding. In: hubs and embeddings. Out: a tidy table (hub, task, method, measure, value).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fennec.checkpoints.catalog import load_catalog
from fennec.errors import InputError, did_you_mean
from fennec.evidence.hubs import imagenet_accuracy, load_hubs
from fennec.evidence.matrix import TransferMatrix
from fennec.evidence.scores import load_scores, matrix_scores, own_study, study_name, with_own, without
from fennec.evidence.studies import load_studies
from fennec.measures import MEASURES, bootstrap_interval
from fennec.space.kernel import TaskKernel
from fennec.space.process import Affinity, GeneralQuality
from fennec.space.recommender import Recommender
from fennec.space.transfer_space import TransferSpace
from fennec.tasks.embedding import TaskEmbedding

from .baselines import BASELINES, Method, Split
from .paper import published_fennec

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]

EVALUATED_HUBS = ("cnn11", "ssl12", "vit13", "hf180", "vtab291", "parc70", "clip121", "lovm35")


def results_of(matrix: TransferMatrix) -> tuple[pd.DataFrame, str]:
    """All results that are known where a matrix is, and the study that it belongs to."""
    hubs = load_hubs()
    source = hubs[matrix.name].source if matrix.name in hubs else matrix.name
    if source in load_studies():
        return load_scores(), study_name(source)
    return with_own(matrix), own_study(matrix.name)


def fitted(split: Split) -> Recommender:
    """The default recommender without the held-out task: no result on its images in any study counts."""
    results, study = results_of(split.matrix)
    return Recommender().fit(
        without(results, image_sets=[split.image_set]),
        split.embeddings,
        protocol=split.matrix.protocol,
        study=study,
        candidates=[model for model in split.matrix.models if model in split.catalog],
        catalog=split.catalog,
    )


def default_fennec(split: Split) -> Floats:
    """Its expectation of every model on the held-out task."""
    results, study = results_of(split.matrix)
    if results is load_scores():
        rest, general = _published_without(split.image_set)
    else:
        rest = without(results, image_sets=[split.image_set])
        general = GeneralQuality().fit(rest, split.catalog)
    return _expected(split, rest, general, study)


@lru_cache(maxsize=1)
def _published_without(image_set: str) -> tuple[pd.DataFrame, GeneralQuality]:
    """Published results on other images; kept for the next hub, since many hubs have the same images."""
    rest = without(load_scores(), image_sets=[image_set])
    return rest, GeneralQuality().fit(rest, load_catalog())


def fennec_of_one_study(split: Split) -> Floats:
    """The same from the results of the split alone, as if there were no other study."""
    own = matrix_scores(split.matrix)
    return _expected(split, own, GeneralQuality().fit(own, split.catalog), split.matrix.name)


def fennec_without_images(split: Split) -> Floats:
    """The same without a look at the images of the held-out task: general quality."""
    return default_fennec(replace(split, embedding=None))


def _expected(split: Split, results: pd.DataFrame, general: GeneralQuality, study: str) -> Floats:
    """As `TransferSpace` does, without what only intervals need."""
    models, protocol = split.matrix.models, split.matrix.protocol
    level = general.expect(models, protocol, study)
    if split.embedding is None:
        return level
    kernel = TaskKernel.fit(split.embeddings, length_scale=TransferSpace().length_scale)
    affinity = Affinity().fit(results[results["protocol"].eq(protocol)], kernel, split.catalog)
    return np.asarray(level + affinity.expect(models, study) @ kernel.to_new(affinity.image_sets_, split.embedding))


METHODS: dict[str, Method] = {
    **BASELINES,
    "fennec-paper": published_fennec,
    "fennec-one-study": fennec_of_one_study,
    "fennec-no-images": fennec_without_images,
    "fennec": default_fennec,
}


def splits(
    matrix: TransferMatrix,
    embeddings: Mapping[str, TaskEmbedding],
) -> Iterator[Split]:
    """Every task of a hub that has an embedding, held out in turn.

    Args:
        matrix: the hub.
        embeddings: by image set.
    """
    for column, (task, image_set) in enumerate(zip(matrix.tasks, matrix.image_sets, strict=True)):
        if image_set not in embeddings:
            continue
        others = [name for name, images in zip(matrix.tasks, matrix.image_sets, strict=True) if images != image_set]
        if len(others) < 2:
            continue
        rest = matrix.select(tasks=others)
        position = {model: row for row, model in enumerate(matrix.models)}
        truth = matrix.performance[[position[model] for model in rest.models], column]
        yield Split(
            rest,
            task,
            image_set,
            truth,
            embeddings[image_set],
            {name: embedding for name, embedding in embeddings.items() if name != image_set},
            load_catalog(),
            imagenet_accuracy(),
        )


def leave_one_task_out(
    matrices: Sequence[TransferMatrix],
    embeddings: Mapping[str, TaskEmbedding],
    *,
    methods: Sequence[str] = tuple(METHODS),
    report: Callable[[str], None] = lambda message: None,
) -> pd.DataFrame:
    """Every method on every held-out task.

    Args:
        matrices: the hubs.
        embeddings: task embeddings of one proxy, by image set.
        methods: names in `METHODS`.
        report: told what is being done, one short line at a time.

    Returns:
        Tidy table with the columns hub, task, method, measure, value. A method that scores fewer than half
        of a hub's models is left out there.

    Raises:
        InputError: an unknown method.
    """
    import pandas as pd

    for name in methods:
        if name not in METHODS:
            raise InputError(f"unknown method '{name}'{did_you_mean(name, METHODS)}; there are {', '.join(METHODS)}")
    rows = []
    held = [(split.image_set, matrix.name, split) for matrix in matrices for split in splits(matrix, embeddings)]
    for image_set, hub, split in sorted(held, key=lambda item: item[0]):
        report(f"leaving out {image_set}: {hub}")
        for name in methods:
            scores = METHODS[name](split)
            if np.isfinite(scores).mean() < 0.5:
                continue
            rows += [
                (hub, split.task, name, measure, function(scores, split.truth))
                for measure, function in MEASURES.items()
            ]
    return pd.DataFrame(rows, columns=["hub", "task", "method", "measure", "value"])


def summarise(results: pd.DataFrame, *, measure: str = "tau_w") -> pd.DataFrame:
    """Mean of a measure per hub and method, its bootstrap interval over tasks, and wins over static history.

    Returns:
        Columns hub, method, n_tasks, mean, low, high, win, tie, loss, gap_closure.
    """
    import pandas as pd

    chosen = results[results["measure"] == measure]
    rows = []
    for hub, table in chosen.groupby("hub", sort=False):
        wide = table.pivot(index="task", columns="method", values="value")
        for method in wide:
            values = wide[method].dropna()
            low, high = bootstrap_interval(values.to_numpy())
            difference = (values - wide["static"]).round(9) if "static" in wide else values * np.nan
            closure = np.nan
            if {"static", "oracle"} <= set(wide):
                gap = wide["oracle"].mean() - wide["static"].mean()
                closure = (values.mean() - wide["static"].mean()) / gap if gap else np.nan
            rows.append(
                (hub, method, len(values), values.mean(), low, high, int((difference > 0).sum()),
                 int((difference == 0).sum()), int((difference < 0).sum()), closure)
            )  # fmt: skip
    columns = ["hub", "method", "n_tasks", "mean", "low", "high", "win", "tie", "loss", "gap_closure"]
    return pd.DataFrame(rows, columns=columns)
