"""The metrics beside published code, obvious implementations and one another: scripts in `benchmark/metrics`."""

from __future__ import annotations

import numpy as np
import pandas as pd
from layout import RESULTS, markdown, number


def metric_parity() -> str:
    """Largest relative error against the original authors' scores."""
    results = pd.read_csv(RESULTS / "metric_parity.csv")
    rows = [
        [f"`{name}`", str(len(group)), f"{group['relative_error'].max():.0e}", f"{group['tolerance'].max():.0e}"]
        for name, group in results.groupby("metric")
    ]
    return markdown(["score of the original code", "cases", "largest relative error", "tolerance"], rows)


def metric_speed() -> str:
    """How much faster than the algorithm that people run, and how much memory."""
    results = pd.read_csv(RESULTS / "metric_speed.csv")
    rows = [
        [f"{name}, {device}", group["against"].iloc[0], *_against(group)]
        for (name, device), group in results.groupby(["metric", "device"], sort=False)
    ]
    rows.append(["**all**", "", *_against(results)])
    header = ["metric", "against", "sizes: ours/reference", "times faster, median", "least", "memory, share of theirs",
              "most"]  # fmt: skip
    return markdown(header, rows)


def _against(runs: pd.DataFrame) -> list[str]:
    """Ratios of times; one to a stopped reference is a lower bound, which says nothing where it is below 1."""
    finished = runs[np.isfinite(runs["reference_s"])]
    times = runs["times_faster"][np.isfinite(runs["reference_s"]) | (runs["times_faster"] > 1)]
    memory = finished["ours_mb"] / finished["reference_mb"].clip(lower=1.0)
    counts = f"{len(runs)}/{len(finished)}"
    return [counts, number(times.median(), 1), number(times.min(), 1), number(memory.median(), 1),
            number(memory.max(), 1)]  # fmt: skip


def metric_commits() -> str:
    """LEAD and the linear probe before and after, medians of pairs."""
    results = pd.read_csv(RESULTS / "metric_commits.csv")
    rows = []
    for (name, n, d, c), group in results.groupby(["metric", "n", "d", "c"], sort=False):
        middle = group.median(numeric_only=True)
        off = [abs(middle[side] / middle["exact"] - 1) for side in ("before", "after")]
        rows.append([
            str(name), f"{n:,} x {d:,} x {c}", str(len(group)), number(middle["before_s"], 1),
            number(middle["after_s"], 1), number(middle["times_faster"], 1), number(middle["before_cpu_s"], 1),
            number(middle["after_cpu_s"], 1), *(f"{each:.0e}" if np.isfinite(each) else "-" for each in off),
        ])  # fmt: skip
    header = ["metric", "N x D x C", "pairs", "before, s", "after, s", "times faster", "before, CPU s", "after, CPU s",
              "score off the optimum, before", "after"]  # fmt: skip
    return markdown(header, rows)


def metric_threads() -> str:
    """A decomposition on one thread and on several."""
    results = pd.read_csv(RESULTS / "metric_threads.csv")
    rows = [
        [str(each.threads), "after a product of numpy" if each.after_numpy else "by itself",
         number(1000 * each.seconds, 0), number(1000 * each.longest, 0)]
        for each in results.itertuples()
    ]  # fmt: skip
    return markdown(["threads", "", "ms, median", "longest"], rows)


def metric_growth() -> str:
    """Exponents of time in samples, features and classes."""
    results = pd.read_csv(RESULTS / "metric_growth.csv")
    rows = [
        [each.metric, str(each.sizes), *(number(value, 1) for value in (each.n, each.d, each.c, each.within)),
         number(each.largest_s, 2)]
        for each in results.itertuples()
    ]  # fmt: skip
    return markdown(["metric", "sizes", "N^", "D^", "C^", "fit within a factor of", "largest, CPU s"], rows)


def real_features() -> str:
    """Time of every metric on real features, and agreement with the linear probe on the order of networks."""
    results = pd.read_csv(RESULTS / "real_features.csv")
    scores = results.pivot(index=["pack", "model"], columns="metric", values="score")
    rows = []
    for name, group in results.groupby("metric"):
        agreement = [
            own["linear_probe"].corr(own[name], method="spearman")
            for _, own in scores.groupby("pack")
            if own[name].nunique() > 1
        ]
        undefined = int(group["score"].isna().sum()) if name != "forward pass" else 0
        rows.append([name, f"{1000 * group['seconds'].median():,.0f}", str(undefined),
                     number(float(np.mean(agreement)), 2) if agreement else "-"])  # fmt: skip
    return markdown(["metric", "ms, median", "undefined", "Spearman with the linear probe"], rows)


TABLES = (metric_parity, metric_speed, metric_commits, metric_threads, metric_growth, real_features)
