"""Interactive figures of the HTML pages, by plotly: hover shows ids, colours are those of Okabe and Ito.

In: predictions, vectors, tables. Out: plotly figures without colours of text and background, which the page sets.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fennec.checkpoints.catalog import load_catalog
from fennec.evaluation.compare import OURS
from fennec.space.recommender import Recommender
from fennec.space.shortlist import Explanation

from .compare_plots import apart

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#E69F00", "#009E73", "#999999"


def quality_and_cost(models: Sequence[str], performance: Floats, shown: Sequence[int]) -> Any:
    """Expected result against parameters or, at the press of a button, multiply-adds; Pareto front and shortlist.

    Args:
        models: ids.
        performance: expected results, fractions, shape (n_models,).
        shown: positions of the shortlist.
    """
    import plotly.graph_objects as go

    frame = load_catalog().frame.reindex(list(models))
    percent, names = 100 * performance, np.array(models)
    costs = {
        "parameters, millions": frame["params"].to_numpy(dtype=np.float64, na_value=np.nan) / 1e6,
        "GMACs": frame["gmacs"].to_numpy(dtype=np.float64, na_value=np.nan),
    }
    first, *_ = costs
    figure = _figure(first, "expected result, %")
    for label, cost in costs.items():
        known = np.flatnonzero(np.isfinite(cost) & (cost > 0))
        front = known[pareto_front(cost[known], percent[known])]
        for rows, name, style in (
            (known, "all models", {"mode": "markers", "marker": {"color": GREY, "size": 5, "opacity": 0.55}}),
            (front, "Pareto front", {"mode": "lines+markers", "line": {"color": GREEN, "shape": "hv"},
                                     "marker": {"size": 6}}),
            (np.intersect1d(known, shown), "shortlist",
             {"mode": "markers", "marker": {"color": ORANGE, "size": 11, "symbol": "diamond"}}),
        ):  # fmt: skip
            figure.add_trace(
                go.Scatter(x=cost[rows].tolist(), y=percent[rows].tolist(), text=_plain(names[rows]), name=name,
                           hovertemplate="%{text}<br>" + label + " %{x:.3g}<br>%{y:.1f} %<extra></extra>",
                           visible=label == first, **style)
            )  # fmt: skip
    figure.update_xaxes(type="log")
    per_cost = len(figure.data) // len(costs)
    buttons = [
        {"label": label, "method": "update",
         "args": [{"visible": [trace // per_cost == index for trace in range(len(figure.data))]},
                  {"xaxis.title.text": label}]}
        for index, label in enumerate(costs)
    ]  # fmt: skip
    menu = {"type": "buttons", "direction": "right", "buttons": buttons, "x": 0.99, "xanchor": "right", "y": 0.02,
            "yanchor": "bottom", "bgcolor": "#dddddd", "font": {"color": "#222222"}}  # fmt: skip
    figure.update_layout(updatemenus=[menu])
    return figure


def pareto_front(cost: Floats, quality: Floats) -> NDArray[np.intp]:
    """Positions that no cheaper one equals, cheapest first.

    Args:
        cost: lower is better, shape (n,).
        quality: higher is better, shape (n,).

    Example:
        >>> pareto_front(np.array([3.0, 1.0, 2.0]), np.array([0.9, 0.5, 0.4])).tolist()
        [1, 0]
    """
    order = np.lexsort((-quality, cost))
    best = np.concatenate([[-np.inf], np.maximum.accumulate(quality[order])[:-1]])
    return np.asarray(order[quality[order] > best])


def transfer_space(recommender: Recommender, task_vector: Floats, shown: Sequence[int], task: str) -> Any:
    """Models and tasks in the two directions in which tasks differ most.

    A biplot: the mean task is the centre; a model lies where its score grows fastest, so models in a task's direction
    do better on it than on average. Models are scaled to the spread of the tasks.

    Args:
        recommender: fitted.
        task_vector: of the new task, shape (n_components,).
        shown: positions of the shortlist.
        task: name of the new task.
    """
    import plotly.graph_objects as go

    affinity = recommender.mapper_[1:, 1:]  # (n_affinities, n_image_sets)
    known = recommender.kernel_.between(recommender.image_sets_)
    tasks = (affinity @ known).T
    centre = tasks.mean(axis=0)
    _, _, axes = np.linalg.svd(tasks - centre, full_matrices=False)
    places = (tasks - centre) @ axes[:2].T
    new = (task_vector[1 : 1 + len(affinity)] - centre) @ axes[:2].T
    models = recommender.model_vectors_[:, 1 : 1 + len(affinity)] @ axes[:2].T
    models *= np.abs(places).max() / max(float(np.quantile(np.abs(models), 0.99)), 1e-12)
    figure = _figure("first direction", "second direction")
    hover = "%{text}<extra></extra>"
    listed = np.zeros(len(models), dtype=bool)
    listed[list(shown)] = True
    names = np.array(recommender.models_)
    for rows, name, marker in (
        (~listed, "models", {"color": GREY, "size": 5, "opacity": 0.55}),
        (listed, "shortlist", {"color": ORANGE, "size": 10, "symbol": "diamond"}),
    ):
        figure.add_trace(
            go.Scatter(x=models[rows, 0].tolist(), y=models[rows, 1].tolist(), text=_plain(names[rows]), name=name,
                       mode="markers", marker=marker, hovertemplate=hover)
        )  # fmt: skip
    labels = _plain(recommender.image_sets_)
    figure.add_trace(
        go.Scatter(x=places[:, 0].tolist(), y=places[:, 1].tolist(), text=labels, name="known tasks",
                   mode="markers+text", textposition="top center", hovertemplate=hover,
                   marker={"color": BLUE, "size": 9, "symbol": "square"})
    )  # fmt: skip
    figure.add_trace(
        go.Scatter(x=[float(new[0])], y=[float(new[1])], text=_plain([task]), name="new task", mode="markers+text",
                   textposition="bottom center", hovertemplate=hover,
                   marker={"color": "#D55E00", "size": 16, "symbol": "star"})
    )  # fmt: skip
    return figure


def contributions(explained: Explanation, *, n: int = 10) -> Any:
    """What the n most important known tasks add to a score."""
    import plotly.graph_objects as go

    parts = explained.contributions[:n][::-1]
    figure = _figure("added to the score", "")
    figure.add_trace(
        go.Bar(
            x=[part.value for part in parts],
            y=_plain(part.task for part in parts),
            text=_plain(part.there for part in parts),
            textposition="none",
            orientation="h",
            marker={"color": [BLUE if part.value >= 0 else ORANGE for part in parts]},
            hovertemplate="%{y}: %{x:+.3f}<br>%{text}<extra></extra>",
        )
    )
    figure.update_layout(showlegend=False)
    return figure


def quality_and_time(summary: pd.DataFrame) -> Any:
    """Mean tau_w of every method against its seconds per new task; instant ones stand at 0.1 ms."""
    import pandas as pd
    import plotly.graph_objects as go

    figure = _figure("seconds per new task", "mean tau_w")
    ours = summary["method"].isin(OURS)
    labels = pd.Series(apart(summary), index=summary.index)
    for rows, name, marker in (
        (~ours, "metrics and baselines", {"color": GREY, "size": 8}),
        (ours, "Fennec", {"color": ORANGE, "size": 12, "symbol": "diamond"}),
    ):
        part = summary[rows]
        figure.add_trace(
            go.Scatter(x=part["seconds"].clip(lower=1e-4).tolist(), y=part["mean"].tolist(), name=name,
                       text=_plain(labels[rows]), customdata=_plain(part["method"]), mode="markers+text",
                       textposition="top center", marker=marker,
                       hovertemplate="%{customdata}<br>%{x:.3g} s, tau_w %{y:.3f}<extra></extra>")
        )  # fmt: skip
    figure.update_xaxes(type="log")
    return figure


def task_map(results: pd.DataFrame, methods: Sequence[str]) -> Any:
    """Heat map of tau_w, one row per method, one column per task."""
    import plotly.graph_objects as go

    wide = results[results["measure"] == "tau_w"].pivot(index="method", columns="task", values="value")
    wide = wide.loc[list(methods)[::-1]]
    figure = _figure("", "")
    figure.add_trace(
        go.Heatmap(z=wide.astype(object).where(wide.notna(), None).to_numpy().tolist(), x=_plain(wide.columns),
                   y=_plain(wide.index), colorscale="Viridis",
                   hovertemplate="%{y} on %{x}: %{z:.3f}<extra></extra>")
    )  # fmt: skip
    figure.update_layout(height=140 + 20 * len(wide))
    return figure


def _plain(texts: Iterable[str]) -> list[str]:
    """Texts as plotly shows them letter by letter; it takes some HTML for markup."""
    return [escape(str(text), quote=False) for text in texts]


def _figure(x: str, y: str) -> Any:
    import plotly.graph_objects as go

    layout = {
        "margin": {"l": 10, "r": 10, "t": 30, "b": 10},
        "legend": {"orientation": "h", "y": 1.08},
        "hovermode": "closest",
        "xaxis": {"title": {"text": x}, "automargin": True},
        "yaxis": {"title": {"text": y}, "automargin": True},
        "template": "none",
    }
    return go.Figure(layout=layout)
