"""Tasks that were left out, each with what all other results make believe of it: for simulations of a search.

With `study`, everything of the study and of what repeats it is gone from every fitted part. With `task`, so are all
results on the task's images; image sets that share no study are left out together, in folds, so that a study's own
history lacks one image set only. What is fitted is kept in `benchmark/cache/search`, so a run that was interrupted goes
on. In: the evidence. Out: `Case`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from fennec.checkpoints.catalog import load_catalog
from fennec.checkpoints.cost import load_cost_model
from fennec.checkpoints.facts import Facts, facts_of
from fennec.evaluation.leave_one_study_out import Judged, judged_studies
from fennec.evidence.hubs import imagenet_accuracy
from fennec.evidence.scores import gaussian_scores, load_scores, study_name, without
from fennec.space.deviation import Deviation, Expected
from fennec.space.kernel import TaskKernel
from fennec.space.process import AFFINITY, QUALITY, Affinity, GeneralQuality
from fennec.space.recommender import Recommender
from fennec.tasks.embedding_files import load_known_embeddings
from fennec.trials.belief import SCATTER, Prior, Scatter, relatives

CACHE = Path(__file__).parents[1] / "cache" / "search"
CHOSEN = Path(__file__).parents[1] / "results" / "search_choice.csv"
MIN_MODELS, MIN_SETS = 6, 3  # results of a task, and image sets of a study of which one is left out
FLAT_LEVEL = 2.0  # variance of a level of which nothing is known

Column = tuple[str, str]  # name, image set


@dataclass(frozen=True, eq=False)
class Case:
    """One task that was left out, with its candidates that have a result.

    Attributes:
        left: `study` or `task`.
        study: its name.
        protocol: how it was measured.
        task: the column.
        models: ids.
        truth: results.
        prior: what is believed beforehand.
        flat: the same without any result.
        scores: orders to compare with, higher is tried first, NaN where nothing is known.
        cost: of a trial, in mean trials; NaN where rates are known of less than half of the models.
    """

    left: str
    study: str
    protocol: str
    task: str
    models: list[str]
    truth: np.ndarray
    prior: Prior
    flat: Prior
    scores: dict[str, np.ndarray]
    cost: np.ndarray


def left_out(left: str) -> Iterator[Path]:
    """Fitted spaces without a study each, or without some tasks; what is missing is fitted."""
    yield from fit_studies() if left == "study" else fit_tasks()


def fit_studies() -> Iterator[Path]:
    """A fitted space without each study."""
    for case in judged_studies():
        path = CACHE / f"study-{case.study}-{case.protocol}.npz"
        rest = without(load_scores(), studies=[study_name(case.study)])
        placed = [model for model in case.models if model in load_catalog()]
        if not placed or not rest["protocol"].eq(case.protocol).any():
            continue
        if not path.exists():
            space = Recommender().fit(rest, protocol=case.protocol, candidates=placed)
            mean = rest[rest["protocol"].eq(case.protocol)].groupby("weights")["score"].mean()
            keep(path, space, case, list(zip(case.table, case.image_sets, strict=True)), lambda _, mean=mean: mean)
        yield path


def fit_tasks() -> Iterator[Path]:
    """A fitted space for each study and each fold of image sets."""
    used = [case for case in judged_studies() if len(set(case.image_sets)) >= MIN_SETS]
    fold = folds(used)
    for number in range(max(fold.values()) + 1):
        gone = [name for name, which in fold.items() if which == number]
        held = {case: [pair for pair in zip(case.table, case.image_sets, strict=True) if pair[1] in gone]
                for case in used}  # fmt: skip
        paths = {
            case: CACHE / f"task-{number}-{case.study}-{case.protocol}.npz" for case, pairs in held.items() if pairs
        }
        if not all(path.exists() for path in paths.values()):
            fit_fold(gone, {case: held[case] for case in paths}, paths)
        yield from (path for path in paths.values() if path.exists())


def folds(used: Sequence[Judged]) -> dict[str, int]:
    """Number of the fold of every image set: two that share a study are never in one."""
    names = sorted({name for case in used for name in case.image_sets},
                   key=lambda name: (-sum(name in case.image_sets for case in used), name))  # fmt: skip
    found: dict[str, int] = {}
    for name in names:
        near = {other for case in used if name in case.image_sets for other in case.image_sets}
        taken = {found[other] for other in near if other in found}
        found[name] = next(number for number in range(len(names)) if number not in taken)
    return found


def fit_fold(gone: Sequence[str], held: dict[Judged, list[Column]], paths: dict[Judged, Path]) -> None:
    """As `Recommender.fit` does without some image sets, what the studies of a protocol share fitted once."""
    rest = without(load_scores(), image_sets=gone)
    general = GeneralQuality().fit(rest, load_catalog())
    known = {name: each for name, each in load_known_embeddings().items() if name not in gone}
    affinities: dict[str, Affinity] = {}
    calibrated: dict[str, Recommender] = {}
    for case, columns in held.items():
        own = rest[rest["protocol"].eq(case.protocol)]
        if own.empty:
            continue
        space = Recommender()
        space.protocol_, space.study_, space.name_ = case.protocol, study_name(case.study), "all studies"
        space.kernel_ = TaskKernel.fit(known, length_scale=space.length_scale)
        if case.protocol not in affinities:
            affinities[case.protocol] = Affinity().fit(own, space.kernel_, load_catalog())
        space.general_, space.affinity_ = general, affinities[case.protocol]
        space.image_sets_, space.models_ = space.affinity_.image_sets_, tuple(case.models)
        space._place()
        if case.protocol not in calibrated:
            space._calibrate(rest)
            calibrated[case.protocol] = space
        space.levels_ = calibrated[case.protocol].levels_
        space.deviation_ = calibrated[case.protocol].deviation_
        keep(paths[case], space, case, columns, own_history(case))


def own_history(case: Judged) -> Callable[[str], pd.Series]:
    """Static history: mean score over the study's columns on other images."""

    def mean(image_set: str) -> pd.Series:
        others = [name for name, images in zip(case.table, case.image_sets, strict=True) if images != image_set]
        scores = np.column_stack([gaussian_scores(case.table[name]) for name in others])
        return pd.Series(np.nanmean(scores, axis=1), index=case.models)

    return mean


def keep(
    path: Path, space: Recommender, case: Judged, columns: Sequence[Column], history: Callable[[str], pd.Series]
) -> None:
    """Write all that simulations need of a space and the tasks that it lacks."""
    embeddings, models, deviation = load_known_embeddings(), list(space.models_), space.deviation_
    expected = [space.expected(embeddings.get(images)) for _, images in columns]
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"part of {path.name}")
    np.savez(
        partial,
        study=case.study, protocol=case.protocol, models=models, names=[name for name, _ in columns],
        truth=[case.table[name].reindex(models).to_numpy(dtype=float) for name, _ in columns],
        static=[history(images).reindex(models).to_numpy(dtype=float) for _, images in columns],
        task_vectors=[each.task_vector for each in expected], levels=[each.level for each in expected],
        vectors=space.model_vectors_, doubt=space.doubt_, cov=space.task_covariance_,
        level_variance=deviation.level_variance, noise=deviation.noise, spreads=deviation.spreads,
        width=deviation.width, n_affinities=len(space.mapper_) - 1,
    )  # fmt: skip
    partial.replace(path)


def cases(left: str, path: Path, scatter: Scatter | None = None) -> Iterator[Case]:
    """The tasks of a fitted space, with the scatter that was chosen without the study when None."""
    kept = np.load(path)
    scatter = scatter or chosen(str(kept["study"]))
    everything = kept["models"].tolist()
    numbers = {name: float(kept[name]) for name in ("level_variance", "noise", "width")}
    deviation = Deviation(**numbers, spreads=kept["spreads"])
    seconds = 1 / load_cost_model().rates(everything, "training")["images_per_second"].to_numpy(dtype=float)
    params = load_catalog().frame["params"].reindex(everything).to_numpy(dtype=float)
    accuracy = np.array([imagenet_accuracy().get(model, np.nan) for model in everything])
    for column, task in enumerate(kept["names"].tolist()):
        truth = kept["truth"][column]
        rows = np.flatnonzero(np.isfinite(truth))
        if len(rows) < MIN_MODELS:
            continue
        facts = facts_of([everything[row] for row in rows], load_catalog())
        vectors, vector = kept["vectors"][rows], kept["task_vectors"][column]
        nothing = np.full(len(rows), np.nan)
        expected = Expected(vectors, kept["cov"], vector, float(kept["levels"][column]), nothing, kept["doubt"][rows],
                            int(kept["n_affinities"]))  # fmt: skip
        cost = np.where(np.isfinite(seconds[rows]), seconds[rows], np.nanmedian(seconds[rows]))
        yield Case(
            left, str(kept["study"]), str(kept["protocol"]), task, list(facts.models), truth[rows],
            Prior.of(expected, deviation, facts, AFFINITY, scatter), flat(facts, deviation),
            {"ranking": vectors @ vector, "static": kept["static"][column][rows], "imagenet": accuracy[rows],
             "largest": params[rows], "cheapest": -cost if np.isfinite(seconds[rows]).mean() > 0.5 else nothing},
            cost / cost.mean() if np.isfinite(seconds[rows]).mean() > 0.5 else nothing,
        )  # fmt: skip


@cache
def chosen(study: str) -> Scatter:
    """What `search_choice.py` chose for a study by all others; what is shipped where it chose nothing."""
    if not CHOSEN.exists() or study not in (table := pd.read_csv(CHOSEN, index_col="study")).index:
        return SCATTER
    return Scatter(*(float(table.at[study, field.name]) for field in fields(Scatter)))


def flat(facts: Facts, deviation: Deviation) -> Prior:
    """The same process without any result: models are alike by their facts, none is expected to be better."""
    factors = np.column_stack([relatives(facts, QUALITY), relatives(facts, AFFINITY)])
    own = np.full(len(facts), QUALITY.same + deviation.noise)
    first = 1e-6 * np.random.default_rng(0).standard_normal(len(facts))  # nobody knows where to begin
    return Prior(first, factors, own, 0.0, FLAT_LEVEL, deviation.spreads)
