"""A recommendation, or a comparison with metrics, as one self-contained HTML file: no network, opens from disk.

In: what `Recommender` and `compare` return. Out: text of the file. Figures come from `fennec.reports.figures`.
"""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

import numpy as np

from fennec.checkpoints.recipes import Recipe
from fennec.evaluation.compare import summarise_comparison
from fennec.images.datasets import ImageDataset, ReadReport, iter_images, sample
from fennec.space.ranking import Ranking
from fennec.space.recommender import Recommender
from fennec.tasks.words import Task, images_of

from . import figures
from .pages import render

if TYPE_CHECKING:
    import pandas as pd

N_PICTURES = 24
PICTURE_SIDE = 112  # pixels
N_CLASSES = 20  # drawn at most
N_BEST = 3  # models named for each of the nearest tasks


def recommendation_html(
    ranking: Ranking, recommender: Recommender, task: Task, images: ImageDataset | None, *, command: str = ""
) -> str:
    """The page of one recommendation.

    Args:
        ranking: the shortlist.
        recommender: that made it.
        task: embedding or description of the new task.
        images: of the new task, for the contact sheet; None where it is only described.
        command: what was typed, shown as it is.
    """
    looked = images_of(task)
    prediction = recommender.predict(task)
    position = {model: row for row, model in enumerate(recommender.models_)}
    first = ranking.first
    explained = recommender.explain(task, first.id)
    shown = [position[model] for model in ranking.ids]
    charts = {
        "cost": figures.quality_and_cost(recommender.models_, prediction.performance, shown),
        "space": figures.transfer_space(recommender, prediction.task_vector, shown, task.name),
    }
    if explained.contributions:
        charts["parts"] = figures.contributions(explained)
    nearest = []
    for name, distance in ranking.nearest_tasks:
        column = recommender.performance_[:, recommender.image_sets_.index(name)]
        order = np.argsort(-np.nan_to_num(column, nan=-1.0), kind="stable")[:N_BEST]
        best = [f"{recommender.models_[row]} ({100 * column[row]:.1f} %)" for row in order if column[row] >= 0]
        nearest.append({"name": name, "distance": distance, "best": best})
    recipes: dict[Recipe, list[str]] = {}
    for model in ranking.models:
        if ranking.protocol == "finetune" and model.record is not None and model.record.recipe is not None:
            recipes.setdefault(model.record.recipe, []).append(model.id)
    counts: list[tuple[str, float]] = []
    if looked is not None:
        counts = sorted(zip(looked.class_names, looked.class_counts, strict=True), key=lambda pair: -pair[1])
    return render(
        "recommendation.html",
        f"Fennec: {ranking.task}",
        command,
        charts,
        ranking=ranking,
        models=[model.to_dict() for model in ranking.models],
        recipes=recipes,
        first=first.to_dict(),
        data="" if looked is None or images is None else str(looked.taken or images.taken),
        nearest=nearest,
        pictures=[] if images is None else _contact_sheet(images),
        classes=[(name, int(count)) for name, count in counts[:N_CLASSES]],
        more_classes=max(len(counts) - N_CLASSES, 0),
        largest_class=max((int(count) for _, count in counts), default=1),
        skipped=ranking.skipped,
        explained=explained,
        known=first.known,
    )


def comparison_html(results: pd.DataFrame, *, name: str, n_models: int, command: str = "") -> str:
    """The page of a comparison.

    Args:
        results: what `compare` returned.
        name: of the hub or folder.
        n_models: how many were compared.
        command: what was typed, shown as it is.
    """
    summary = summarise_comparison(results)
    charts = {"time": figures.quality_and_time(summary), "tasks": figures.task_map(results, list(summary["method"]))}
    rows = summary.astype(object).where(summary.notna(), None).to_dict("records")
    return render(
        "comparison.html",
        f"Fennec compared on {name}",
        command,
        charts,
        name=name,
        n_tasks=results["task"].nunique(),
        n_models=n_models,
        rows=rows,
    )


def _contact_sheet(images: ImageDataset) -> list[dict[str, str]]:
    """Small JPEG pictures, evenly over classes, as base64 text."""
    report = ReadReport()
    pictures = []
    for index, picture in iter_images(images, sample(images, max_images=N_PICTURES), report, min_side=PICTURE_SIDE):
        picture.thumbnail((PICTURE_SIDE, PICTURE_SIDE))
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=80)
        label = "" if images.labels is None else images.class_names[int(images.labels[index])]
        item = images.items[index].encode("utf-8", "backslashreplace").decode()
        pictures.append({"item": item, "label": label, "data": base64.b64encode(buffer.getvalue()).decode()})
    return pictures
