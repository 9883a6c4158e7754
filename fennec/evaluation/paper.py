"""The published Fennec pipeline, as a baseline under its own name (`fennec-paper`).

Bai et al. 2024, arXiv:2403.06382: factorise a historical matrix with NMF, predict the latent vector of a
new task from proxy features with a random forest, predict a second score from meta data with a linear
regression, and average both. The published matrix holds FDA scores (`fennec.metrics.fda`); no hub comes with
features of its models, so here it holds accuracies.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fennec.checkpoints.catalog import Catalog
from fennec.space.factorize import MaskedNMF
from fennec.tasks.embedding import TaskEmbedding

from .baselines import Split

Floats = NDArray[np.float64]


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
