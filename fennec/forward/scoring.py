"""Score models by forward passes on the real data, and re-rank a recommendation with them.

In: a dataset, models, names of metrics. Out: `Ranking`, the same form as a recommendation.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import reduce
from inspect import signature
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from fennec.checkpoints.catalog import load_catalog
from fennec.checkpoints.encoders import Encoder
from fennec.checkpoints.names import plain_name
from fennec.errors import DataError, FennecError, InputError, ModelFailedError, NothingToRecommendError
from fennec.images.datasets import ImageDataset
from fennec.metrics import Metric, Score, find_metric
from fennec.metrics.contract import find_device
from fennec.space.ranking import RankedModel, Ranking, unread

from .features import FeatureSet, extract_features
from .foreign import foreign, let_go, one_line

TIE = 1e-6  # relative difference up to which scores are the same
NAMED = 3  # models that a note names
HELD_OUT = ("knn", "linear_probe", "lead")  # metrics that hold samples back
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
        metrics: as `fennec.metrics.find_metric` takes them, such as `logme`, `sfda(pca_dim=32)` or `ped(logme)`;
            several are merged by their mean rank, without those that cannot tell these models apart.
        weights: local files by model id, instead of downloads.
        device: where to compute; the default device when None.
        max_images: images used at most, balanced over classes.
        random_state: seed of the draw.
        progress: show a bar on standard error.

    Returns:
        Best first. A model that could not be loaded, run or scored stands last, with the reason in the notes. Images
        that one of the models fails on count for none.

    Raises:
        InputError: no labels, no models or two of one name, an unknown metric, no such device, or none of the images
            can be read.
        NothingToRecommendError: no metric is defined for any model, so that there is no order.
        FennecError: no model could be loaded and run; the first reason is given.
    """
    if dataset.labels is None:
        raise DataError(f"'{dataset.name}' has no labels; metrics compare features with labels")
    if not models or not metrics:
        raise InputError("give at least one model and one metric")
    for name in metrics:
        if find_metric(name).target != "labels":
            raise InputError(f"metric '{name}' is for regression; here the images have classes")
    _check_names(models)
    find_device(device)
    sets: dict[str, FeatureSet] = {}
    failures: dict[str, FennecError] = {}
    notes: list[str] = []
    start = time.perf_counter()
    for model in dict.fromkeys(models):
        try:
            with foreign("loading it"):
                encoder = _load(model, weights or {}, device)
        except FennecError as error:
            let_go(error)
            failures[str(model)] = error
            continue
        if encoder.name in {*sets, *failures}:
            notes.append(f"'{model}' is '{encoder.name}', which is among the models already")
            continue
        notes += [f"{encoder.name}: {note}" for note in encoder.notes]
        try:
            sets[encoder.name] = extract_features(
                encoder, dataset, max_images=max_images, random_state=random_state, progress=progress
            )
        except ModelFailedError as error:
            let_go(error)
            failures[encoder.name] = error
        del encoder  # before the next one needs the memory
    if not sets:
        name, first = next(iter(failures.items()))
        raise first if name in str(first) else type(first)(f"{name}: {first}") from first
    passed = time.perf_counter()
    found = on_common_images(list(sets.values()))
    scores = {name: _score_all(find_metric(name), found, device) for name in metrics}
    table = np.array([[float(score) for score in column] for column in scores.values()]).T
    reasons = sorted(_reasons(scores, found))
    if np.isnan(table).all():
        failed = (f"{name}: {error}" for name, error in failures.items())
        raise NothingToRecommendError(f"no model has a score: {'; '.join((*reasons, *failed))}")
    blunt = {name for name, column in scores.items() if _is_blunt(column)}
    used = [index for index, name in enumerate(scores) if name not in blunt] or list(range(len(scores)))
    total = table[:, 0] if len(scores) == 1 else mean_rank(table[:, used])
    if blunt and len(used) < len(scores):
        notes.append(f"the order leaves out {', '.join(sorted(blunt))}: it does not tell these models apart")
    catalog = load_catalog()
    order = [int(row) for row in np.lexsort((np.arange(len(total)), -np.nan_to_num(total, nan=-np.inf)))]
    rows = [
        RankedModel(
            rank=rank,
            id=found[row].model,
            score=float(total[row]),
            method="scored" if total[row] == total[row] else "undefined",
            scores={metric: float(column[row]) for metric, column in scores.items()},
            record=catalog.get(found[row].model),
        )
        for rank, row in enumerate(order, start=1)
    ]
    rows += [
        RankedModel(rank=rank, id=name, score=float("nan"), method="failed", record=catalog.get(name))
        for rank, name in enumerate(failures, start=len(rows) + 1)
    ]
    skipped = found[0].skipped
    return Ranking(
        task=dataset.name,
        hub=", ".join(metrics),
        protocol="forward pass",
        models=tuple(rows),
        n_candidates=len(rows),
        notes=(
            *([unread(skipped)] if skipped else []),
            *_refusals(found),
            *reasons,
            *notes,
            *(f"{name}: {error}" for name, error in failures.items()),
        ),
        seconds={"forward passes": passed - start, "metrics": time.perf_counter() - passed},
        n_images=len(found[0].features),
        skipped=skipped,
        data=replace(dataset.taken, n_flat=max(each.n_flat for each in sets.values())),
    )


def _check_names(models: Sequence[str | Encoder]) -> None:
    """No two encoders of one name: their results could not be told apart."""
    names = [model.name for model in dict.fromkeys(models) if isinstance(model, Encoder)]
    twice = next((name for name in names if names.count(name) > 1 or name in models), None)
    if twice is not None:
        raise InputError(f"two models are called '{twice}'; give each Encoder a name of its own")


def _load(model: str | Encoder, weights: Mapping[str, str | Path], device: str | None) -> Encoder:
    if isinstance(model, Encoder):
        return model
    files = {plain_name(name): file for name, file in weights.items()}
    return Encoder.load(model, weights=files.get(plain_name(model)), device=device)


def on_common_images(sets: Sequence[FeatureSet]) -> list[FeatureSet]:
    """The same models on the images that all of them took, so that their scores compare."""
    common = reduce(np.intersect1d, [each.positions for each in sets]) if sets else np.array([])
    found = []
    for each in sets:
        kept = np.isin(each.positions, common)
        found.append(
            replace(
                each,
                features=each.features[kept],
                probs=None if each.probs is None else each.probs[kept],
                labels=None if each.labels is None else each.labels[kept],
                positions=each.positions[kept],
            )
        )
    return found


def _refusals(sets: Sequence[FeatureSet]) -> Iterator[str]:
    for each in sets:
        if each.refused:
            item, reason = each.refused[0]
            yield (
                f"{each.model} fails on {len(each.refused)} images ({item}: {reason}); all models are compared "
                "without them"
            )


def _reasons(scores: Mapping[str, Sequence[Score]], sets: Sequence[FeatureSet]) -> Iterator[str]:
    """Why scores are undefined or say little, the models of one reason together."""
    for name, column in scores.items():
        metric = find_metric(name)
        groups: dict[tuple[str, bool], list[str]] = {}
        for each, score in zip(sets, column, strict=True):
            taken = each.probs if metric.takes == "probs" else each.features
            reason = score.reason
            if not reason and taken is not None and metric.flatters(*taken.shape):
                reason = _flattery(name, metric, len(taken))
            if reason:
                groups.setdefault((reason, score == score), []).append(each.model)
        for (reason, defined), named in groups.items():
            of = ", ".join(named[:NAMED]) + (f" and {len(named) - NAMED} more" if len(named) > NAMED else "")
            yield f"{name} of {of}{'' if defined else ' is undefined'}: {reason}"
        if _tied(column):
            value = next(score for score in column if score == score)
            yield f"{name} is {value:.4g} for all models that it is defined for: it does not tell them apart"


def _flattery(name: str, metric: Metric, n_samples: int) -> str:
    """What a score means where noise would have a high one, and what to do."""
    few = f"'{name.partition('(')[0]}(pca_dim=32)', " if "pca_dim" in signature(metric.function).parameters else ""
    what = "source classes" if metric.takes == "probs" else "features"
    return (
        f"it is fitted to {n_samples:,} samples and scored on the same, and with as many {what} even noise scores "
        f"high; take --metric {few}{', '.join(HELD_OUT)} or more images"
    )


def _is_blunt(column: Sequence[Score]) -> bool:
    """Whether a metric says of itself that it tells little here, or gives all models the same score."""
    return any(score.reason and score == score for score in column) or _tied(column)


def _tied(column: Sequence[Score]) -> bool:
    values = np.array([score for score in column if score == score], dtype=float)
    return len(values) > 1 and bool(np.ptp(values) <= TIE * np.abs(values).max())


def _score_all(metric: Metric, sets: Sequence[FeatureSet], device: str | None) -> list[Score]:
    if metric.takes == "set":
        return score_together(metric, sets, device)
    return [score_one(metric, each, device) for each in sets]


def score_one(metric: Metric, found: FeatureSet, device: str | None) -> Score:
    """A metric of one model; whatever goes wrong becomes the reason."""
    taken = found.probs if metric.takes == "probs" else found.features
    if taken is None:
        return Score(float("nan"), "the model has no source head")
    try:
        score: Score = metric.function(taken, found.labels, device=device)
    except Exception as error:  # of memory, or of a library
        return Score(float("nan"), one_line(error))
    return score


def score_together(metric: Metric, sets: Sequence[FeatureSet], device: str | None) -> list[Score]:
    """A metric of a set of models, on the same images; whatever goes wrong becomes the reason."""
    try:
        return list(metric.function([each.features for each in sets], sets[0].labels, device=device))
    except Exception as error:  # of memory, or of a library
        return [Score(float("nan"), one_line(error)) for _ in sets]


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
        recommended: from published results and the proxy.
        scored: the same models by forward passes; those that failed or have no score keep their recommended position.

    Returns:
        The recommended models in a new order, each with its metrics.
    """
    position = {model.id: model.rank for model in scored.models if model.score == model.score}
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
        notes=tuple(dict.fromkeys((*recommended.notes, note, *scored.notes))),
        seconds={**recommended.seconds, **scored.seconds},
    )
