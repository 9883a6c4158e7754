"""From expected results to what people read: the list of models to try, and where a score comes from.

In: a fitted `TransferSpace` and a task. Out: `Ranking`, `Explanation`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from fennec.checkpoints.catalog import Catalog, load_catalog
from fennec.checkpoints.cost import load_cost_model
from fennec.errors import InputError, NothingToRecommendError
from fennec.measures import weighted_tau
from fennec.tasks.embedding import TaskEmbedding
from fennec.tasks.words import Task, TaskDescription, images_of

from .index import top_k
from .portfolio import best_together, different, in_top, of_subject, worth_their_size
from .ranking import RankedModel, Ranking, rests_on, unread
from .transfer_space import TransferSpace

ABSTAIN = 0.02  # resemblance below which the images change nothing that can be measured (benchmark/space/certainty.py)
N_DRAWS = 500  # enough for probabilities to a few hundredths
SIZES = {"under 10 M": 10e6, "under 30 M": 30e6, "under 100 M": 100e6, "any size": np.inf}  # parameters
N_OF_A_SIZE = 3
N_IMAGES = 1000  # that times stand for where there are none
COSTS = ("train_minutes", "memory_gb", "images_per_second", "cost_from")
LITTLE, MUCH = 0.9, 0.7  # agreement with the order for any data, beyond which the images changed it little, or much
N_PORTFOLIO_DRAWS = 5000  # sets of models are nearer to each other than single ones


@dataclass(frozen=True)
class Contribution:
    """What one known task adds to a score.

    Attributes:
        task: the known task.
        value: part of the score.
        performance: the model's result there, a fraction; None where it comes from models like it.
    """

    task: str
    value: float
    performance: float | None

    @property
    def there(self) -> str:
        """What the value comes from, in words."""
        return "models like it" if self.performance is None else f"result there {100 * self.performance:.1f} %"


@dataclass(frozen=True)
class Explanation:
    """Where the score of one model on one task comes from.

    Attributes:
        model: canonical id.
        score: predicted score.
        rank: position among all models, 1 is best.
        n_candidates: how many models were compared.
        performance: expected result, a fraction.
        low: lower end of its 80 % interval.
        high: upper end.
        static: the part that holds for any task: general quality.
        method: `evidence` or `relatives`, as for `RankedModel`.
        n_tasks: as for `RankedModel`.
        n_studies: as for `RankedModel`.
        contributions: the parts of the known tasks, largest first.
    """

    model: str
    score: float
    rank: int
    n_candidates: int
    performance: float
    low: float
    high: float
    static: float
    method: str
    n_tasks: int
    n_studies: int
    contributions: tuple[Contribution, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {**vars(self), "contributions": [vars(part) for part in self.contributions]}

    def __str__(self) -> str:
        lines = [
            f"{self.model}: rank {self.rank} of {self.n_candidates}, expected {100 * self.performance:.1f} % "
            f"({100 * self.low:.1f}-{100 * self.high:.1f})",
            f"score {self.score:+.3f} = {self.static:+.3f} general quality ("
            f"{rests_on(self.method, self.n_tasks, self.n_studies)}){', and of tasks:' * bool(self.contributions)}",
        ]
        lines += [f"  {part.value:+.3f} {part.task} ({part.there})" for part in self.contributions[:5]]
        if rest := self.contributions[5:]:
            lines.append(f"  {sum(part.value for part in rest):+.3f} {len(rest)} other tasks")
        return "\n".join(lines)


def shortlist(
    space: TransferSpace,
    task: Task | None,
    *,
    n: int | None,
    where: str | None,
    known: Mapping[str, float] | None,
    measured_only: bool,
    portfolio: bool,
    siblings: bool,
    device: str,
    catalog: Catalog | None,
) -> Ranking:
    """What `Recommender.recommend` returns; arguments and errors stand there."""
    if n is not None and n < 1:
        raise InputError(f"n is {n}; ask for at least one model")
    if n is None and portfolio:
        raise InputError("a portfolio is a number of models to try together; say how many with n")
    facts = load_catalog() if catalog is None else catalog
    models = space.models_
    ids, params, families, only = _looked_up(facts, tuple(models))
    allowed = np.flatnonzero(space.known_[:, 0] > 0) if measured_only else np.arange(len(models))
    n_models = len(allowed)
    images, described = images_of(task), task if isinstance(task, TaskDescription) else None
    n_images = _n_images(images, described)
    costs = load_cost_model().costs(models, n_images=n_images, device=device)
    if where is not None:
        chosen = set(facts.where(where, costs))
        allowed = np.array([row for row in allowed if ids[row] in chosen], dtype=np.intp)
    if not len(allowed):
        raise NothingToRecommendError(
            f"none of the {n_models} models of '{space.name_}' satisfies {where!r}{_smallest(models, facts)}; "
            "loosen the condition or take another study"
        )
    known = {models[space.row_of(model)]: value for model, value in (known or {}).items()}
    expected = space.expected(task, known)
    prediction = space.predicted(expected)
    if len(allowed) == len(models):
        ranked = space.index_.search(prediction.task_vector, len(models))
    else:
        ranked = allowed[top_k(prediction.scores[allowed], len(allowed))]
    nearest, said, alike = space.nearest_tasks(task), space.nearest_in_words(task), space.resemblance(task)
    notes = _notes(space, task, known, alike)
    here = (*(nearest if alike >= ABSTAIN else ()), *said)  # a subject that was named is asked for
    start = allowed if siblings else allowed[of_subject([only[row] for row in allowed], here)]
    if len(start) < len(allowed):
        notes.append(
            f"{len(allowed) - len(start)} models trained only for a subject that is not among the nearest known tasks "
            "(people, satellites, masks, ...) are left out; --siblings lists them"
        )
    worth = np.full(len(models), siblings)
    if not siblings:
        worth[start] = worth_their_size(prediction.performance[start], params[start])
    logits = space.drawn_logits(expected, n_draws=N_PORTFOLIO_DRAWS if portfolio else N_DRAWS)
    top5 = np.zeros(len(models))
    top5[allowed] = in_top(logits if len(allowed) == len(models) else logits[:, allowed])
    sizes = [""] * len(ranked)
    if n is None:
        best, sizes = _by_size(ranked, families, params, worth)
        notes += _in_words(prediction.performance[best], sizes)
    elif portfolio:
        draws = expit(logits.astype(np.float64))
        plain = draws[:, ranked[:n]].max(axis=1).mean()
        best = start[best_together(draws[:, start], n)]
        together = draws[:, best].max(axis=1).mean()
        notes.append(
            f"chosen to be tried together: the best of these {len(best)} is expected "
            f"{100 * (together - plain):+.2f} points from the best of the {len(best)} first of the ranking"
        )
    elif siblings:
        best = ranked[:n]
    else:
        best = different(ranked, families, params, worth, n)
    if alike >= ABSTAIN:
        what = "words" if images is None else "images" if described is None else "images and the words"
        general = space.model_vectors_[ranked] @ space.task_vector(None)
        agreement = weighted_tau(prediction.scores[ranked], general)
        notes.append(f"the {what} changed the order {_moved(agreement)}")
    first = best[prediction.performance[best].argmax()]
    drawn = expit(logits[:, [first, *best]].astype(np.float64))
    low, high = np.quantile(drawn[:, 1:] - drawn[:, :1], (0.1, 0.9), axis=0)
    cost = {name: costs[name].array[best].tolist() for name in COSTS}
    ranks = {row: rank for rank, row in enumerate(ranked.tolist(), start=1)} if n is None else {}
    rows = tuple(
        RankedModel(
            rank=ranks.get(row, position + 1),
            id=models[row],
            score=float(prediction.scores[row]),
            performance=float(prediction.performance[row]),
            low=float(prediction.low[row]),
            high=float(prediction.high[row]),
            behind=float(prediction.performance[row] - prediction.performance[first]),
            behind_low=float(low[position]),
            behind_high=float(high[position]),
            top5=float(top5[row]),
            method=_method(space, row, known),
            n_tasks=int(space.known_[row, 0]),
            n_studies=int(space.known_[row, 1]),
            **{name: values[position] for name, values in cost.items()},
            size=sizes[position],
            record=facts.get(ids[row]),
        )
        for position, row in enumerate(best.tolist())
    )
    return Ranking(
        task=task.name if task is not None else "",
        hub=space.name_,
        protocol=space.protocol_,
        models=rows,
        n_candidates=len(allowed),
        nearest_tasks=nearest,
        nearest_in_words=said,
        about="" if described is None else described.text.about,
        resemblance=alike,
        notes=tuple(notes),
        n_images=None if images is None else images.n_images,
        n_to_train=n_images,
        skipped=() if images is None else images.skipped,
        data=None if images is None else images.taken,
        device=device,
    )


@lru_cache(maxsize=8)
def _looked_up(
    facts: Catalog, models: tuple[str, ...]
) -> tuple[list[str], NDArray[np.float64], list[str], list[frozenset[str]]]:
    """Ids of models in the catalog, their parameters (NaN for unknown), families and subjects, once for every space."""
    ids = [facts.id_of(model) or model for model in models]
    frame = facts.frame.reindex(ids)
    params = frame["params"].replace(0, np.nan).to_numpy(dtype=np.float64)
    return ids, params, frame["family"].fillna("").tolist(), facts.subjects(ids)


def _by_size(
    ranked: NDArray[np.intp], families: Sequence[str], params: NDArray[np.float64], worth: NDArray[np.bool_]
) -> tuple[NDArray[np.intp], list[str]]:
    """The best of every size, and the sizes; every model once, under the smallest that it fits."""
    best: list[int] = []
    sizes: list[str] = []
    for size, limit in SIZES.items():
        open_to = np.isfinite(params[ranked]) & (params[ranked] < limit) | np.isinf(limit)
        found = different(ranked[open_to & ~np.isin(ranked, best)], families, params, worth, N_OF_A_SIZE)
        best += found.tolist()
        sizes += [size] * len(found)
    return np.array(best, dtype=np.intp), sizes


def _smallest(models: Sequence[str], facts: Catalog) -> str:
    """What a budget has to allow at least."""
    params = facts.frame["params"].reindex(list(models))
    if params.isna().all():
        return ""
    return f" (the smallest model has {params.min() / 1e6:.1f} M parameters, '{params.idxmin()}')"


def _in_words(expected: NDArray[np.float64], sizes: Sequence[str]) -> list[str]:
    """What the next size is expected to gain."""
    best: dict[str, float] = {}
    for size, value in zip(sizes, expected.tolist(), strict=True):
        best[size] = max(best.get(size, 0.0), value)
    gains = [
        f"{100 * (best[larger] - best[smaller]):.1f} points from {smaller} to {larger}"
        for smaller, larger in pairwise(best)
    ]
    return [f"the best is expected to gain {', '.join(gains)}"] if gains else []


def _moved(agreement: float) -> str:
    words = "little" if agreement > LITTLE else "much" if agreement < MUCH else "somewhat"
    return f"{words}: agreement with the order for any data {agreement:.2f} (weighted tau)"


def _n_images(images: TaskEmbedding | None, described: TaskDescription | None) -> int:
    """How many there are, or will be."""
    if images is not None:
        return images.n_in_all
    return N_IMAGES if described is None else described.n_images or N_IMAGES


def explain(space: TransferSpace, task: Task | None, model: str) -> Explanation:
    """What `Recommender.explain` returns; arguments and errors stand there."""
    row = space.row_of(model)
    prediction = space.predict(task)
    parts = space.affinities_of(row) * space.covariance(task)
    results = space.performance_[row]
    contributions = [
        Contribution(name, float(part), None if np.isnan(result) else float(result))
        for name, part, result in zip(space.image_sets_, parts, results, strict=True)
        if part
    ]
    return Explanation(
        model=space.models_[row],
        score=float(prediction.scores[row]),
        rank=int((prediction.scores > prediction.scores[row]).sum()) + 1,
        n_candidates=len(space.models_),
        performance=float(prediction.performance[row]),
        low=float(prediction.low[row]),
        high=float(prediction.high[row]),
        static=float(space.model_vectors_[row, 0]),
        method=_method(space, row, {}),
        n_tasks=int(space.known_[row, 0]),
        n_studies=int(space.known_[row, 1]),
        contributions=tuple(sorted(contributions, key=lambda part: -abs(part.value))),
    )


def _method(space: TransferSpace, row: int, known: Mapping[str, float]) -> str:
    if space.models_[row] in known:
        return "measured"
    return "evidence" if space.known_[row, 0] else "relatives"


def _notes(space: TransferSpace, task: Task | None, known: Mapping[str, float], alike: float) -> list[str]:
    """What the order rests on, where that is not the images alone."""
    notes = []
    images, described = images_of(task), task if isinstance(task, TaskDescription) else None
    if task is None:
        notes.append("no images given: ranked by general quality")
    elif described is not None and not described.shares:
        notes.append(
            "no word of the description is known of any task (they are described in English): "
            + ("numbers alone place no task; " if described.n_images or described.text.class_names else "")
            + ("only the images count" if images is not None else "this is the order for any dataset, general quality")
        )
    elif described is None and not space.nearest_tasks(task, n=1):
        notes.append(f"no task of '{space.name_}' has an embedding: ranked by general quality")
    elif alike < ABSTAIN:
        what = "words" if images is None else "images" if described is None else "images and the words"
        notes.append(
            f"the {what} resemble no known task (resemblance {alike:.2f} of 1): this is the order for any dataset, "
            "general quality"
        )
    if described is not None and described.text.class_names and not described.said_of_classes:
        notes.append("the names of the classes are numbers, which say nothing")
    if known:
        notes.append(f"{len(known)} known results folded in")
    if images is not None and images.skipped:
        notes.append(unread(images.skipped))
    return notes
