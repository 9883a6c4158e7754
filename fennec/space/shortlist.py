"""From expected results to what people read: the list of models to try, and where a score comes from.

In: a fitted `TransferSpace` and a task. Out: `Ranking`, `Explanation`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from fennec.checkpoints.catalog import Catalog, load_catalog
from fennec.errors import InputError, NothingToRecommendError
from fennec.tasks.embedding import TaskEmbedding

from .index import top_k
from .portfolio import best_together, in_top
from .ranking import Contribution, Explanation, RankedModel, Ranking, unread
from .transfer_space import TransferSpace

ABSTAIN = 0.02  # resemblance below which the images change nothing that can be measured (benchmark/space/certainty.py)
N_DRAWS = 500  # enough for probabilities to a few hundredths
N_PORTFOLIO_DRAWS = 5000  # sets of models are nearer to each other than single ones


def shortlist(
    space: TransferSpace,
    task: TaskEmbedding | None,
    *,
    n: int,
    where: str | None,
    known: Mapping[str, float] | None,
    measured_only: bool,
    portfolio: bool,
    catalog: Catalog | None,
) -> Ranking:
    """What `Recommender.recommend` returns; arguments and errors stand there."""
    if n < 1:
        raise InputError(f"n is {n}; ask for at least one model")
    facts = load_catalog() if catalog is None else catalog
    models = space.models_
    allowed = np.flatnonzero(space.known_[:, 0] > 0) if measured_only else np.arange(len(models))
    n_models = len(allowed)
    if where is not None:
        chosen = set(facts.where(where))
        allowed = np.array([row for row in allowed if facts.id_of(models[row]) in chosen], dtype=np.intp)
    if not len(allowed):
        raise NothingToRecommendError(
            f"none of the {n_models} models of '{space.name_}' satisfies {where!r}; "
            "loosen the condition or take another study"
        )
    known = {models[space.row_of(model)]: value for model, value in (known or {}).items()}
    prediction = space.predict(task, known=known)
    if len(allowed) == len(models):
        best = space.index_.search(prediction.task_vector, n)
    else:
        best = allowed[top_k(prediction.scores[allowed], n)]
    nearest, alike = space.nearest_tasks(task), space.resemblance(task)
    notes = _notes(space.name_, task, known, nearest, alike)
    draws = space.draws(task, known=known, n_draws=N_PORTFOLIO_DRAWS if portfolio else N_DRAWS)
    top5 = np.zeros(len(models))
    top5[allowed] = in_top(draws[:, allowed])
    if portfolio:
        plain = draws[:, best].max(axis=1).mean()
        best = allowed[best_together(draws[:, allowed], n)]
        together = draws[:, best].max(axis=1).mean()
        notes.append(
            f"chosen to be tried together: the best of these {len(best)} is expected at {100 * together:.1f} %, "
            f"the best of the {len(best)} first of the ranking at {100 * plain:.1f} %"
        )
    rows = tuple(
        RankedModel(
            rank=rank,
            id=models[row],
            score=float(prediction.scores[row]),
            performance=float(prediction.performance[row]),
            low=float(prediction.low[row]),
            high=float(prediction.high[row]),
            top5=float(top5[row]),
            method=_method(space, row, known),
            n_tasks=int(space.known_[row, 0]),
            n_studies=int(space.known_[row, 1]),
            record=facts.get(models[row]),
        )
        for rank, row in enumerate(best.tolist(), start=1)
    )
    return Ranking(
        task=task.name if task is not None else "",
        hub=space.name_,
        protocol=space.protocol_,
        models=rows,
        n_candidates=len(allowed),
        nearest_tasks=nearest,
        resemblance=alike,
        notes=tuple(notes),
        n_images=None if task is None else task.n_images,
        skipped=() if task is None else task.skipped,
        data=None if task is None else task.taken,
    )


def explain(space: TransferSpace, task: TaskEmbedding | None, model: str) -> Explanation:
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


def _notes(
    hub: str,
    task: TaskEmbedding | None,
    known: Mapping[str, float],
    nearest: tuple[tuple[str, float], ...],
    alike: float,
) -> list[str]:
    notes = []
    if task is None:
        notes.append("no images given: ranked by general quality")
    elif not nearest:
        notes.append(f"no task of '{hub}' has an embedding: ranked by general quality")
    elif alike < ABSTAIN:
        notes.append(
            f"the images resemble no known task (resemblance {alike:.2f} of 1): this is the order for any dataset, "
            "general quality"
        )
    if known:
        notes.append(f"{len(known)} known results folded in")
    if task is not None and task.skipped:
        notes.append(unread(task.skipped))
    return notes
