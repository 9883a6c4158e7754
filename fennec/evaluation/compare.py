"""Fennec against forward-pass metrics on a hub that was measured with its images: same models, images and clock.

Leave one task out. In: a transfer matrix, task embeddings, the table of `fennec.bench.metric_scores`. Out: a tidy table
(task, method, measure, value) with what each method costs on a new task.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from fennec.bench.metric_scores import FORWARD
from fennec.errors import DataError
from fennec.evidence.matrix import TransferMatrix
from fennec.forward.scoring import AUTO, mean_rank, merged_order
from fennec.measures import MEASURES, bootstrap_interval, weighted_tau
from fennec.tasks.embedding import TaskEmbedding

from .baselines import Split
from .leave_one_task_out import METHODS, fennec_of_one_study, fitted, splits

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]

TWO_STAGE = "fennec+auto"  # as `recommend --rerank` does
CHOSEN_STAGE = "fennec+chosen"  # by the metric that re-ranks best on the other tasks
OURS = ("fennec", TWO_STAGE, CHOSEN_STAGE)


@dataclass(frozen=True)
class Cost:
    """What a method asks for on a new task.

    Attributes:
        forward_s: seconds of forward passes over the images, decoding included, by models and by the proxy.
        scoring_s: seconds of metrics on features.
        ranking_s: seconds of everything after that.
        forward_passes: candidate models run over the images; the proxy counts as one.
        peak_mb: most memory of the passes and the metrics, NaN where nothing was run.
    """

    forward_s: float = 0.0
    scoring_s: float = 0.0
    ranking_s: float = 0.0
    forward_passes: int = 0
    peak_mb: float = float("nan")

    @property
    def seconds(self) -> float:
        """Wall-clock seconds in all."""
        return self.forward_s + self.scoring_s + self.ranking_s


def compare(
    matrix: TransferMatrix,
    embeddings: Mapping[str, TaskEmbedding],
    scores: pd.DataFrame,
    *,
    rerank: int = 5,
    metrics: Sequence[str] = AUTO,
    report: Callable[[str], None] = lambda message: None,
) -> pd.DataFrame:
    """Every metric, Fennec, its two-stage combinations and the baselines on every held-out task.

    Args:
        matrix: the measured results.
        embeddings: of all its tasks, by image set, with the seconds that they took.
        scores: columns task, model, metric, score, seconds, peak_mb.
        rerank: models that a second stage runs: Fennec's best, re-ranked by `metrics`, or by the one metric that does
            it best on the other tasks.
        metrics: of the second stage, merged by their mean rank.
        report: told about every task.

    Returns:
        Columns task, method, measure, value, seconds, forward_passes, forward_s, scoring_s, ranking_s, peak_mb.

    Raises:
        InputError: fewer than four tasks with embeddings and scores, or a metric of the second stage has no scores.
    """
    import pandas as pd

    missing = set(metrics) - set(scores["metric"])
    if missing:
        raise DataError(f"no scores of metric '{sorted(missing)[0]}' in the table")
    held = [
        task
        for task, image_set in zip(matrix.tasks, matrix.image_sets, strict=True)
        if image_set in embeddings and task in set(scores["task"])
    ]
    if len(held) < 4:
        raise DataError(f"{len(held)} tasks have results, images and scores; a comparison needs at least 4")
    rows: list[tuple[Any, ...]] = []
    for split in splits(matrix, embeddings):
        if split.task not in held:
            continue
        report(f"leaving out {split.task}")
        for method, (predicted, cost) in _on_task(split, scores, rerank, metrics).items():
            if np.isfinite(predicted).mean() < 0.5:
                continue
            rows += [
                (split.task, method, measure, function(predicted, split.truth), cost.seconds, cost.forward_passes,
                 cost.forward_s, cost.scoring_s, cost.ranking_s, cost.peak_mb)
                for measure, function in MEASURES.items()
            ]  # fmt: skip
    columns = ["task", "method", "measure", "value", "seconds", "forward_passes", "forward_s", "scoring_s", "ranking_s",
               "peak_mb"]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def _on_task(split: Split, scores: pd.DataFrame, rerank: int, metrics: Sequence[str]) -> dict[str, tuple[Floats, Cost]]:
    """Scores of every method for the models of a split, and their costs."""
    found: dict[str, tuple[Floats, Cost]] = {}
    embedding_s = 0.0 if split.embedding is None else split.embedding.seconds
    recommender = fitted(split)
    place = [recommender.models_.index(model) for model in split.matrix.models]
    # Fennec is fitted beforehand: online there is only the prediction.
    methods: dict[str, Callable[[Split], Floats]] = {
        **{name: method for name, method in METHODS.items() if not name.startswith("fennec-")},
        "fennec-paper": METHODS["fennec-paper"],
        "fennec": lambda split: recommender.predict(split.embedding).scores[place],
    }
    for name, method in methods.items():
        start = time.perf_counter()
        predicted = method(split)
        seconds = time.perf_counter() - start
        proxy = name in ("fennec", "fennec-paper")
        found[name] = predicted, Cost(embedding_s * proxy, 0.0, seconds, int(proxy))
    models = split.matrix.models
    table = scores[scores["task"] == split.task]
    wide = _wide(table, "score", models)
    seconds_of = _wide(table, "seconds", models)
    peaks = table.groupby("metric")["peak_mb"].max()
    for name in wide.columns.drop(FORWARD):
        cost = Cost(
            seconds_of[FORWARD].sum(), seconds_of[name].sum(), 0.0, len(models), float(max(peaks[FORWARD], peaks[name]))
        )
        found[str(name)] = wide[name].to_numpy(), cost
    fennec, cost = found["fennec"]
    best = _best(fennec, rerank)
    chosen = _second_stage(split, scores, rerank, list(wide.columns.drop(FORWARD)))
    for name, stage in ((TWO_STAGE, list(metrics)), (CHOSEN_STAGE, [chosen])):
        found[name] = (
            _merged(fennec, best, wide[stage].to_numpy()[best]),
            Cost(
                cost.forward_s + seconds_of[FORWARD].to_numpy()[best].sum(),
                float(np.nansum(seconds_of[stage].to_numpy()[best])),
                cost.ranking_s,
                1 + len(best),
                float(peaks[[FORWARD, *stage]].max()),
            ),
        )
    return found


def _second_stage(split: Split, scores: pd.DataFrame, rerank: int, metrics: list[str]) -> str:
    """The metric that re-ranks best on the tasks of a split that have scores, each left out in turn."""
    quality: dict[str, list[float]] = {name: [] for name in metrics}
    for inner in splits(split.matrix, split.embeddings):
        table = scores[scores["task"] == inner.task]
        if table.empty:
            continue
        fennec = fennec_of_one_study(inner)
        best = _best(fennec, rerank)
        wide = _wide(table, "score", inner.matrix.models).reindex(columns=metrics)
        for name in metrics:
            quality[name].append(weighted_tau(_merged(fennec, best, wide[[name]].to_numpy()[best]), inner.truth))
    return max(metrics, key=lambda name: float(np.mean(quality[name])))


def _wide(table: pd.DataFrame, column: str, models: tuple[str, ...]) -> pd.DataFrame:
    return table.pivot(index="model", columns="metric", values=column).reindex(models).astype(float)


def _best(scores: Floats, n: int) -> NDArray[np.intp]:
    return np.argsort(-scores, kind="stable")[:n]


def _merged(fennec: Floats, best: NDArray[np.intp], scored: Floats) -> Floats:
    """Fennec's order, its best re-ordered by the mean of both positions."""
    position = rankdata(-fennec, method="ordinal").astype(np.float64)
    own = np.arange(1, len(best) + 1)
    second = rankdata(-np.nan_to_num(mean_rank(scored), nan=-1.0), method="ordinal")
    position[best[merged_order(own, second)]] = own
    return np.asarray(-position)


def summarise_comparison(results: pd.DataFrame, *, measure: str = "tau_w") -> pd.DataFrame:
    """One row per method, best first: mean of a measure with its interval, other measures, mean costs.

    Args:
        results: what `compare` returned.
        measure: to sort by.

    Returns:
        Columns method, mean, low, high (95 % bootstrap over tasks), win, loss (against `fennec`, per task), tau_w_true,
        spearman, regret@1, regret@3, rel@1, seconds, forward_s, scoring_s, ranking_s, forward_passes, peak_mb.
    """
    import pandas as pd

    chosen = results[results["measure"] == measure].pivot(index="task", columns="method", values="value")
    others = results.pivot_table(index="method", columns="measure", values="value", aggfunc="mean")
    costs = results.groupby("method")[
        ["seconds", "forward_s", "scoring_s", "ranking_s", "forward_passes", "peak_mb"]
    ].mean()
    rows = []
    for method in chosen:
        values = chosen[method].dropna()
        difference = (values - chosen["fennec"]).round(9)
        rows.append(
            (method, values.mean(), *bootstrap_interval(values.to_numpy()), int((difference > 0).sum()),
             int((difference < 0).sum()))
        )  # fmt: skip
    table = pd.DataFrame(rows, columns=["method", "mean", "low", "high", "win", "loss"])
    table = table.sort_values("mean", ascending=False, kind="stable")
    more = others[["tau_w_true", "spearman", "regret@1", "regret@3", "rel@1"]]
    return table.join(more, on="method").join(costs, on="method").reset_index(drop=True)
