"""Leave one task out: how well does each method rank models for a task that it has never seen?

The held-out task is absent from every fitted part: its column and all columns on the same images, its
embedding, and the choice of hyper-parameters, which is made again for every image set over the remaining
tasks of all hubs. In: hubs and embeddings. Out: a tidy table (hub, task, method, measure, value).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fennec.checkpoints.catalog import load_catalog
from fennec.checkpoints.facts import facts_of
from fennec.errors import InputError, did_you_mean
from fennec.evidence.hubs import imagenet_accuracy
from fennec.evidence.matrix import TransferMatrix
from fennec.measures import MEASURES, bootstrap_interval, weighted_tau
from fennec.space.factorize import ProbabilisticFactorizer
from fennec.space.history import gaussian_scores, static_history
from fennec.space.kernel import TaskKernel
from fennec.space.model_prior import Effects, learn_effects
from fennec.space.recommender import Recommender
from fennec.tasks.embedding import TaskEmbedding

from .baselines import BASELINES, Method, Split
from .paper import published_fennec

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]

EVALUATED_HUBS = ("cnn11", "ssl12", "vit13", "hf180", "vtab291", "parc70", "clip121", "lovm35")

# One rule for all hubs; `choose` picks a row of this grid inside the training tasks. The last row never looks
# at images.
GRID: tuple[dict[str, float], ...] = (
    *(
        {"length_scale": length_scale, "specific": specific, "noise": noise}
        for length_scale in (0.2, 0.3, 0.45, 0.6, 0.9)
        for specific, noise in ((0.15, 0.4), (0.3, 0.2), (0.6, 0.1), (1.0, 0.1))
    ),
    {"length_scale": 0.3, "specific": 0.0, "noise": 0.2},
)


def fitted(split: Split) -> Recommender:
    """The default recommender with the hyper-parameters chosen without the held-out task."""
    return Recommender(**split.choices).fit(split.matrix, split.embeddings)


def default_fennec(split: Split) -> Floats:
    """Its expectation of every model on the held-out task."""
    return fitted(split).predict(split.embedding).scores


METHODS: dict[str, Method] = {**BASELINES, "fennec-paper": published_fennec, "fennec": default_fennec}


def splits(
    matrix: TransferMatrix,
    embeddings: Mapping[str, TaskEmbedding],
    *,
    choices: Mapping[str, Mapping[str, Any]] | None = None,
) -> Iterator[Split]:
    """Every task of a hub that has an embedding, held out in turn.

    Args:
        matrix: the hub.
        embeddings: by image set.
        choices: hyper-parameters per held-out image set.
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
            (choices or {}).get(image_set, {}),
        )


def choose(
    matrices: Sequence[TransferMatrix], embeddings: Mapping[str, TaskEmbedding], *, without: str | None = None
) -> dict[str, Any]:
    """Hyper-parameters by leave-one-task-out over all hubs, none of it touching one image set.

    The row of `GRID` with the highest mean over hubs of the gain in `tau_w` over static history; a hub
    that loses counts twice, since never losing to static history comes first. And the effects of architecture and
    pre-training that are most likely over all hubs (`learn_effects`).

    Args:
        matrices: the hubs.
        embeddings: by image set.
        without: image set that must not be seen, None for the final choice.
    """
    table = gains(matrices, embeddings, without=without)
    return {**GRID[best_option(table)], "effects": _effects(matrices, without)}


def best_option(gains: Floats) -> int:
    """The one rule for all hubs: highest mean gain over static history, a hub that loses counting twice.

    Args:
        gains: shape (n_options, n_hubs).
    """
    return int(np.where(gains < 0, 2 * gains, gains).mean(axis=1).argmax())


def _effects(matrices: Sequence[TransferMatrix], without: str | None) -> Effects:
    histories = []
    for matrix in matrices:
        tasks = [name for name, images in zip(matrix.tasks, matrix.image_sets, strict=True) if images != without]
        if tasks:
            rest = matrix.select(tasks=tasks)
            scores = np.column_stack([gaussian_scores(column) for column in rest.performance.T])
            facts = facts_of(rest.models, load_catalog(), imagenet=imagenet_accuracy())
            histories.append((facts, *static_history(scores)))
    return learn_effects(histories)


def gains(
    matrices: Sequence[TransferMatrix], embeddings: Mapping[str, TaskEmbedding], *, without: str | None
) -> Floats:
    """Mean gain in `tau_w` over static history, one row per point of `GRID`, one column per hub."""
    known = {name: embedding for name, embedding in embeddings.items() if name != without}
    kernels = [TaskKernel.fit(known, **_kernel_arguments(point)) for point in GRID]
    table = []
    for matrix in matrices:
        tasks = [name for name, images in zip(matrix.tasks, matrix.image_sets, strict=True) if images != without]
        if len(tasks) < 3:
            continue
        reduced = matrix.select(tasks=tasks)
        scores = np.column_stack([gaussian_scores(column) for column in reduced.performance.T])
        sets = np.array(reduced.image_sets)
        per_task = []
        for column, image_set in enumerate(sets):
            rest = np.flatnonzero(sets != image_set)
            if image_set not in known or len(rest) < 2:
                continue
            rows = np.isfinite(scores[:, rest]).any(axis=1)
            history, truth = scores[np.ix_(rows, rest)], reduced.performance[rows, column]
            if np.isfinite(truth).sum() < 2:
                continue
            baseline = weighted_tau(np.nanmean(history, axis=1), truth)
            per_task.append(
                [
                    weighted_tau(_expected(history, kernel, sets[rest], image_set, point["noise"]), truth) - baseline
                    for kernel, point in zip(kernels, GRID, strict=True)
                ]
            )
        if per_task:
            table.append(np.mean(per_task, axis=0))
    return np.array(table).T


def _expected(
    history: Floats, kernel: TaskKernel, image_sets: Sequence[str] | NDArray[np.str_], image_set: str, noise: float
) -> Floats:
    """Expected scores on a known image set as if it were new, without building latent vectors."""
    covariance = kernel.between([*image_sets, image_set])
    factorizer = ProbabilisticFactorizer(noise=noise)
    factorizer.covariance_ = covariance[:-1, :-1]
    factorizer.n_features_in_ = history.shape[1]
    static, weights = factorizer.weights(history)
    return np.asarray(static + weights @ covariance[:-1, -1])


def _kernel_arguments(point: Mapping[str, float]) -> dict[str, float]:
    return {"length_scale": point["length_scale"], "specific": point["specific"]}


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
    choices: dict[str, dict[str, Any]] = {}
    if "fennec" in methods:
        held = sorted({images for matrix in matrices for images in matrix.image_sets if images in embeddings})
        for index, image_set in enumerate(held):
            report(f"choosing hyper-parameters without {image_set} ({index + 1} of {len(held)})")
            choices[image_set] = choose(matrices, embeddings, without=image_set)
    rows = []
    for matrix in matrices:
        report(f"evaluating {matrix.name}")
        for split in splits(matrix, embeddings, choices=choices):
            for name in methods:
                scores = METHODS[name](split)
                if np.isfinite(scores).mean() < 0.5:
                    continue
                rows += [
                    (matrix.name, split.task, name, measure, function(scores, split.truth))
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
