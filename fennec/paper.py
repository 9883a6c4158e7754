"""The published Fennec pipeline, as a baseline under its own name (`fennec-paper`).

Bai et al. 2024, arXiv:2403.06382: factorise a historical matrix with NMF, predict the latent vector of a
new task from proxy features with a random forest, predict a second score from meta data with a linear
regression, and average both. The matrix is filled with FDA scores where features of the models exist,
else with accuracies.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .baselines import Split
from .catalog import Catalog
from .errors import InputError
from .factorize import MaskedNMF
from .task import TaskEmbedding

Floats = NDArray[np.float64]


def fda_score(features: ArrayLike, labels: ArrayLike, *, n_components: int = 32) -> float:
    """Mean posterior of the true class under linear discriminant analysis: what fills the published matrix.

    Args:
        features: of one model on one task, shape (n_samples, n_features).
        labels: shape (n_samples,).
        n_components: PCA dimensions first; all when there are fewer.

    Returns:
        A probability in (0, 1], higher is better; NaN with a single class.

    Raises:
        InputError: shapes do not agree.

    Source:
        Bai et al. 2024, released code: PCA to 32, then the first pass of SFDA without shrinkage, scored on
        the same points. A singular within-class covariance gets a ridge of 1e-6 of its mean variance.
    """
    from sklearn.decomposition import PCA

    rows, names = np.asarray(features, dtype=np.float64), np.asarray(labels)
    if rows.ndim != 2 or names.shape != (len(rows),):
        raise InputError(f"features {rows.shape} and labels {names.shape} do not agree")
    classes, y = np.unique(names, return_inverse=True)
    if len(classes) < 2:
        return float("nan")
    if n_components < min(rows.shape):
        reducer = PCA(n_components, svd_solver="randomized", iterated_power=1, random_state=1919)
        rows = reducer.fit_transform(rows)
    counts = np.bincount(y)
    means = np.stack([rows[y == label].mean(axis=0) for label in range(len(classes))])
    centred = rows - means[y]
    within = centred.T @ centred / len(rows)
    if np.linalg.matrix_rank(within) < len(within):
        within += 1e-6 * np.trace(within) / len(within) * np.eye(len(within))
    directions = np.linalg.solve(within, means.T)  # (n_components, n_classes)
    logits = rows @ directions - 0.5 * np.einsum("cd,dc->c", means, directions) + np.log(counts / len(rows))
    logits -= logits.max(axis=1, keepdims=True)
    posterior = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return float(posterior[np.arange(len(rows)), y].mean())


def published_fennec(split: Split, *, n_components: int = 5, weight: float = 0.5) -> Floats:
    """Scores of the published pipeline for a held-out task.

    Args:
        split: the held-out task and what is known without it.
        n_components: rank of the NMF, the value of the published command.
        weight: of the meta part in the merged score.

    Returns:
        Scores, shape (n_models,).

    Source:
        Bai et al. 2024, with accuracies rescaled to [0, 1] per task in place of FDA scores (no hub comes with
        features); unknown cells are masked; the rank is capped by the size of the matrix. In the meta part
        the architecture cluster is the model's family and the number of layers, unknown for most models, is
        left out. Tasks without images cannot train the forest and serve the factorisation only.
    """
    history = _rescaled(split.matrix.performance)
    factorizer = MaskedNMF(n_components, max_iter=1000, random_state=2023)
    vectors = factorizer.fit_transform(history)
    transfer = vectors @ _forest_task_vector(split, factorizer.components_)
    return (1 - weight) * transfer + weight * _meta_scores(split, history)


def _rescaled(performance: Floats) -> Floats:
    low, high = np.nanmin(performance, axis=0), np.nanmax(performance, axis=0)
    return np.asarray((performance - low) / np.where(high > low, high - low, 1.0))


def _forest_task_vector(split: Split, components: Floats) -> Floats:
    """Mean prediction over single images of the new task; the mean known vector without images."""
    from sklearn.ensemble import RandomForestRegressor

    rows, targets = [], []
    for column, image_set in enumerate(split.matrix.image_sets):
        samples = split.embeddings[image_set].samples if image_set in split.embeddings else None
        if samples is not None:
            rows.append(samples)
            targets.append(np.repeat(components[:, column][None], len(samples), axis=0))
    if not rows or split.embedding is None or split.embedding.samples is None:
        return np.asarray(components.mean(axis=1))
    forest = RandomForestRegressor(25, random_state=2023)
    target = np.concatenate(targets)
    forest.fit(np.concatenate(rows), target if target.shape[1] > 1 else target.ravel())
    return np.asarray(forest.predict(split.embedding.samples).reshape(-1, len(components)).mean(axis=0))


def _meta_scores(split: Split, history: Floats) -> Floats:
    """Linear regression on parameters, family and class counts over all known cells."""
    from sklearn.linear_model import LinearRegression

    models = _model_facts(split.catalog, split.matrix.models)
    tasks = [_task_facts(split.embeddings.get(image_set)) for image_set in split.matrix.image_sets]
    rows, columns = np.nonzero(np.isfinite(history))
    design = np.column_stack([models[rows], np.array(tasks)[columns]])
    regression = LinearRegression().fit(design, history[rows, columns])
    new = np.repeat(np.array([_task_facts(split.embedding)]), len(models), axis=0)
    return np.asarray(regression.predict(np.column_stack([models, new])))


def _model_facts(catalog: Catalog, models: tuple[str, ...]) -> Floats:
    import pandas as pd

    facts = catalog.frame.reindex(list(models))
    params = facts["params"].astype(float)
    scaled = (params.fillna(params.median()).fillna(0.0) / 1e7).to_numpy()
    return np.column_stack([scaled, pd.get_dummies(facts["family"]).to_numpy(dtype=np.float64)])


def _task_facts(embedding: TaskEmbedding | None) -> list[float]:
    return [float(embedding.n_classes or 0)] if embedding is not None else [0.0]
