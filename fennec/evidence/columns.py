"""The words of a column: which metrics there are, which of them counts, and where chance lies.

In: long tables of results. Out: the rows of the main metric of every column. A column of a study is a task, protocol,
metric and budget.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

COLUMN = ["task", "protocol", "metric", "budget"]  # of a study
FEWEST_MODELS = 3  # fewer cannot be put in an order worth learning from
TRAINED = ("finetune", "linear_probe", "detection", "segmentation")  # these use labels of the task
BUDGET = r"(full|none|\d+ per class|\d+ %|\d+ images)(, \d+ epochs)?(, \d+ px)?(, all bands)?"

# The rule for the main metric of a column: the first of these that at least FEWEST_MODELS models have. What counts
# right answers comes first, then what counts every class alike, then what only orders; of several cut-offs the
# strictest; of the two directions of image-text retrieval the one that looks for images; single-scale before
# multi-scale segmentation; boxes before masks. The others say nearly the same again and stay out.
MAIN_METRICS = (
    "top1", "top1_best_layer", "multilabel_accuracy", "mAP", "mean_per_class", "balanced_accuracy", "f1_macro",
    "mean_binary_accuracy", "user_loss_score", "mAP_macro", "roc_auc", "c_index", "lrap", "box_mAP", "ap50",
    "ss_miou", "miou", "dice", "f1", "geobench_score", "mean_recall@1", "image_retrieval_recall@1",
    "image_retrieval_recall@5", "jaccard_avg", "jaccard", "worst_income_top5", "worst_region_top1", "i2i_main",
    "retrieval_mAP", "j_f", "recall", "clustering_nmi", "caption_score", "win_rate_vs_pixels",
)  # fmt: skip
# Known, and not the main metric of anything.
OTHER_METRICS = {
    "top5", "mask_mAP", "ms_miou", "pixel_accuracy", "text_retrieval_recall@1", "text_retrieval_recall@5",
    "text_retrieval_recall@10", "image_retrieval_recall@10", "jaccard_10", "jaccard_12", "jaccard_10-12",
    "jaccard_5", "jaccard_6", "jaccard_5-6", "top1_best_of_runs", "multilabel_accuracy_best_of_runs",
}  # fmt: skip
LOWER_IS_BETTER = r"(?<!user_)loss|error|rmse|perplexity"
ONE_IN_CLASSES = ("top1", "top1_best_layer", "mean_per_class", "balanced_accuracy")  # chance is 1 / classes
COIN = ("roc_auc", "c_index", "mean_binary_accuracy")  # chance is a half


def usual_budget(protocol: str) -> str:
    """What a task gives where nothing else is said: all its labels, or none where none are used."""
    return "full" if protocol in TRAINED else "none"


def chance_level(metric: str, n_classes: float) -> float:
    """What guessing reaches.

    Args:
        metric: as in the evidence, with or without `knn_`.
        n_classes: of the task, NaN where it is not known.

    Returns:
        A fraction; NaN where the metric has no such level, or the classes are not known.

    Example:
        >>> chance_level("knn_top1", 10), chance_level("roc_auc", 2)
        (0.1, 0.5)
    """
    plain = metric.removeprefix("knn_")
    return 0.5 if plain in COIN else 1 / n_classes if plain in ONE_IN_CLASSES and n_classes > 0 else float("nan")


def main_metrics(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of the main metric of every column, by the rule above MAIN_METRICS; columns too short are left out.

    Args:
        frame: model, task, protocol, metric, budget, and more; neighbours (`knn_`) have a main metric of their own.
    """
    knn = frame["metric"].str.startswith("knn_")
    plain = frame["metric"].str.removeprefix("knn_")
    rank = plain.map({metric: rank for rank, metric in enumerate(MAIN_METRICS)})
    ranked = frame.assign(knn=knn, rank=rank)[rank.notna()]
    group = ["task", "protocol", "budget", "knn"]
    enough = ranked.groupby([*group, "metric"])["model"].transform("nunique") >= FEWEST_MODELS
    ranked = ranked[enough]
    first = ranked.groupby(group)["rank"].transform("min")
    chosen = ranked[ranked["rank"] == first].drop(columns=["knn", "rank"])
    return chosen.sort_values([*COLUMN, "model"], ignore_index=True)
