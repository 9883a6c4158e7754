"""Pictures of a comparison: quality against time, every task, and which differences are more than chance.

In: what `fennec.evaluation.compare.compare` returned. Out: PNG files.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fennec.errors import MissingExtraError
from fennec.evaluation.compare import OURS, summarise_comparison
from fennec.files import write_whole

if TYPE_CHECKING:
    import pandas as pd


def plot_comparison(results: pd.DataFrame, folder: Path, *, measure: str = "tau_w") -> list[Path]:
    """Write `quality_against_time.png`, `tasks.png` and `critical_differences.png`.

    Args:
        results: the table.
        folder: made if need be.
        measure: to draw.

    Raises:
        MissingExtraError: matplotlib or scikit-posthocs is not installed.
    """
    try:
        import matplotlib as mpl
        import scikit_posthocs as posthocs
    except ImportError as error:
        raise MissingExtraError("plots need matplotlib; pip install 'fennec-recommender[plots]'") from error
    from matplotlib.figure import Figure

    folder.mkdir(parents=True, exist_ok=True)
    table = summarise_comparison(results, measure=measure)
    wide = results[results["measure"] == measure].pivot(index="task", columns="method", values="value")
    wide = wide[[method for method in table["method"] if wide[method].notna().all()]]
    written = []
    with mpl.rc_context({"font.size": 9}):
        drawings: tuple[tuple[str, tuple[float, float], Callable[[Any], None]], ...] = (
            ("quality_against_time", (8, 5), lambda axes: _against_time(axes, table, measure)),
            ("tasks", (9, 0.28 * len(table) + 2), lambda axes: _tasks(axes, wide, measure)),
            ("critical_differences", (9, 0.14 * wide.shape[1] + 1.5), lambda axes: _cliques(axes, wide, posthocs)),
        )
        for name, size, draw in drawings:
            figure = Figure(figsize=size, layout="constrained")
            draw(figure.add_subplot())
            written.append(folder / f"{name}.png")
            picture = io.BytesIO()
            figure.savefig(picture, dpi=110, format="png")
            write_whole(written[-1], picture.getvalue())
    return written


def _against_time(axes: Any, table: pd.DataFrame, measure: str) -> None:
    """Every method at its seconds per new task; nothing to compute is drawn at the left edge."""
    seconds = table["seconds"].clip(lower=1e-4)
    ours = table["method"].isin(OURS)
    axes.scatter(seconds[~ours], table["mean"][~ours], color="0.45", s=22)
    axes.scatter(seconds[ours], table["mean"][ours], color="#c05000", marker="D", s=40)
    for method, x, y in zip(apart(table), seconds, table["mean"], strict=True):
        axes.annotate(method, (x, y), xytext=(4, 2), textcoords="offset points", fontsize=7)
    axes.set(xscale="log", xlabel="seconds per new task, forward passes included", ylabel=f"mean {measure}")
    axes.grid(alpha=0.3)


def apart(table: pd.DataFrame, *, width: float = 0.14, height: float = 0.03) -> list[str]:
    """Names to write beside the points: where several stand close together, the best alone has room for one.

    Args:
        table: what `summarise_comparison` returned, best first.
        width: of a name, as a share of the range of the logarithm of the seconds.
        height: of a name, as a share of the range of the means.

    Returns:
        One for each row, empty where there is no room.
    """
    points = np.column_stack([np.log10(table["seconds"].clip(lower=1e-4)), table["mean"]])
    points = (points - points.min(axis=0)) / np.maximum(np.ptp(points, axis=0), 1e-9)
    taken: list[np.ndarray] = []
    names = []
    for method, point in zip(table["method"], points, strict=True):
        free = all((abs(point - other) > (width, height)).any() for other in taken)
        names.append(str(method) if free else "")
        taken += [point] * free
    return names


def _tasks(axes: Any, wide: pd.DataFrame, measure: str) -> None:
    """Heat map of methods and tasks."""
    image = axes.imshow(wide.T, aspect="auto", cmap="viridis", vmin=np.nanquantile(wide, 0.02), vmax=1)
    axes.set_xticks(range(len(wide)), wide.index, rotation=60, ha="right")
    axes.set_yticks(range(wide.shape[1]), wide.columns)
    axes.figure.colorbar(image, label=measure)


def _cliques(axes: Any, wide: pd.DataFrame, posthocs: Any) -> None:
    """Critical-difference diagram (Demšar 2006): mean ranks over tasks, bars join what cannot be told apart.

    Pairs are compared by Wilcoxon's signed-rank test with Holm's correction at 5 %.
    """
    long = wide.reset_index().melt(id_vars="task", var_name="method", value_name="value")
    p_values = posthocs.posthoc_wilcoxon(
        long, val_col="value", group_col="method", p_adjust="holm", zero_method="zsplit"
    )
    ranks = wide.rank(axis=1, ascending=False).mean()
    posthocs.critical_difference_diagram(ranks, p_values, ax=axes, label_props={"fontsize": 8})
