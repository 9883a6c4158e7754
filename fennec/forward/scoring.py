"""Score models by forward passes on the real data, and re-rank a recommendation with them.

In: a dataset, models, names of metrics. Out: `Ranking`, the same form as a recommendation.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from fennec.checkpoints.catalog import load_catalog
from fennec.checkpoints.encoders import Encoder
from fennec.errors import FennecError, InputError
from fennec.images.datasets import ImageDataset
from fennec.metrics import Score, find_metric
from fennec.metrics.contract import find_device
from fennec.space.ranking import RankedModel, Ranking

from .features import FeatureSet, extract_features

AUTO = ("logme", "knn", "regularised_h_score")  # three families: evidence, neighbours, scatter


def score_models(
    dataset: ImageDataset,
    models: Sequence[str | Encoder],
    *,
    metrics: Sequence[str] = AUTO,
    weights: Mapping[str, str | Path] | None = None,
    device: str | None = None,
    max_images: int = 500,
    random_state: int = 0,
    progress: bool = False,
) -> Ranking:
    """Rank models by metrics on their features, one forward pass over the images for each model.

    Args:
        dataset: labelled images.
        models: ids, or encoders already loaded.
        metrics: names in `fennec.metrics.METRICS`, or `ped(METRIC)`; several are merged by their mean rank.
        weights: local files by model id, instead of downloads.
        device: where to compute; the default device when None.
        max_images: images used at most, balanced over classes.
        random_state: seed of the draw.
        progress: show a bar on standard error.

    Returns:
        Best first. A model that could not be loaded or scored stands last, with the reason in the notes.

    Raises:
        InputError: no labels, no models, an unknown metric, no such device, or none of the images can be read.
        FennecError: no model could be loaded; the first reason is given.
    """
    if dataset.labels is None:
        raise InputError(f"'{dataset.name}' has no labels; metrics compare features with labels")
    if not models or not metrics:
        raise InputError("give at least one model and one metric")
    for name in metrics:
        if find_metric(name).target != "labels":
            raise InputError(f"metric '{name}' is for regression; here the images have classes")
    find_device(device)
    sets: dict[str, FeatureSet] = {}
    failures: dict[str, FennecError] = {}
    start = time.perf_counter()
    for model in models:
        try:
            encoder = _load(model, weights or {}, device)
        except FennecError as error:
            failures[str(model)] = error
            continue
        sets[encoder.name] = extract_features(
            encoder, dataset, max_images=max_images, random_state=random_state, progress=progress
        )
    if not sets:
        raise next(iter(failures.values()))
    passed = time.perf_counter()
    scores = {name: _score_all(name, list(sets.values()), device) for name in metrics}
    table = np.array([[float(score) for score in column] for column in scores.values()]).T
    total = table[:, 0] if len(scores) == 1 else mean_rank(table)
    catalog = load_catalog()
    order = [int(row) for row in np.lexsort((np.arange(len(total)), -np.nan_to_num(total, nan=-np.inf)))]
    names = [*(list(sets)[row] for row in order), *failures]
    rows = tuple(
        RankedModel(
            rank=rank,
            id=name,
            score=float(total[list(sets).index(name)]) if name in sets else float("nan"),
            method="scored" if name in sets else "failed",
            scores={metric: float(column[list(sets).index(name)]) for metric, column in scores.items()}
            if name in sets
            else {},
            record=catalog.get(name),
        )
        for rank, name in enumerate(names, start=1)
    )
    reasons = {
        f"{metric} of {model} is undefined: {score.reason}"
        for metric, column in scores.items()
        for model, score in zip(sets, column, strict=True)
        if score.reason
    }
    return Ranking(
        task=dataset.name,
        hub=", ".join(metrics),
        protocol="forward pass",
        models=rows,
        n_candidates=len(models),
        notes=(*sorted(reasons), *(f"{name}: {error}" for name, error in failures.items())),
        seconds={"forward passes": passed - start, "metrics": time.perf_counter() - passed},
        data=replace(dataset.taken, n_flat=max(each.n_flat for each in sets.values())),
    )


def _load(model: str | Encoder, weights: Mapping[str, str | Path], device: str | None) -> Encoder:
    return model if isinstance(model, Encoder) else Encoder.load(model, weights=weights.get(model), device=device)


def _score_all(name: str, sets: Sequence[FeatureSet], device: str | None) -> list[Score]:
    """One metric on all models."""
    metric = find_metric(name)
    if metric.takes == "set":
        return list(metric.function([each.features for each in sets], sets[0].labels, device=device))
    take: Callable[[FeatureSet], object] = (lambda s: s.probs) if metric.takes == "probs" else (lambda s: s.features)
    return [
        Score(float("nan"), "the model has no source head")
        if take(each) is None
        else metric.function(take(each), each.labels, device=device)
        for each in sets
    ]


def mean_rank(table: np.ndarray) -> np.ndarray:
    """Mean over metrics of how many models each one beats, as a share; NaN counts as beaten by all.

    Args:
        table: scores, shape (n_models, n_metrics).

    Returns:
        Shape (n_models,), in [0, 1]; NaN for a model without any score.

    Example:
        >>> mean_rank(np.array([[0.9, 5.0], [0.1, 9.0], [0.5, 1.0]])).tolist()
        [0.75, 0.5, 0.25]
    """
    filled = np.where(np.isnan(table), -np.inf, table)
    ranks = np.column_stack([rankdata(column) for column in filled.T])
    shares = (ranks - 1).mean(axis=1) / max(len(table) - 1, 1)
    return np.asarray(np.where(np.isnan(table).all(axis=1), np.nan, shares))


def merged_order(own: ArrayLike, scored: ArrayLike) -> NDArray[np.intp]:
    """Order of models by the mean of two positions; the first decides between equals.

    Args:
        own: positions before the forward passes, shape (n_models,).
        scored: positions by the forward passes, same shape.

    Returns:
        Rows of the models, best first, shape (n_models,).

    Example:
        >>> merged_order([1, 2, 3], [3, 2, 1]).tolist(), merged_order([1, 2, 3], [3, 1, 2]).tolist()
        ([0, 1, 2], [1, 0, 2])
    """
    first, second = np.asarray(own), np.asarray(scored)
    return np.lexsort((first, first + second))


def rerank(recommended: Ranking, scored: Ranking) -> Ranking:
    """Merge a recommendation with forward-pass scores of its models: the mean of both positions decides.

    Args:
        recommended: from history and the proxy.
        scored: the same models by forward passes; those that failed keep their recommended position.

    Returns:
        The recommended models in a new order, each with its metrics.
    """
    position = {model.id: model.rank for model in scored.models if model.method == "scored"}
    metrics = {model.id: model.scores for model in scored.models}
    own = [model.rank for model in recommended.models]
    order = merged_order(own, [position.get(model.id, model.rank) for model in recommended.models])
    merged = [recommended.models[row] for row in order]
    rows = tuple(
        replace(
            model,
            rank=rank,
            scores=metrics.get(model.id, {}),
            method=f"{model.method}+scored" if model.id in position else model.method,
        )
        for rank, model in enumerate(merged, start=1)
    )
    note = f"{len(position)} of the {len(rows)} best were scored by forward passes ({scored.hub}); both positions count"
    return replace(
        recommended,
        models=rows,
        notes=(*recommended.notes, note, *scored.notes),
        seconds={**recommended.seconds, **scored.seconds},
    )
