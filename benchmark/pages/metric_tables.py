"""The metrics beside published code, obvious implementations and one another: scripts in `benchmark/metrics`."""

from __future__ import annotations

import numpy as np
import pandas as pd
from layout import RESULTS, markdown, number

STOPPED_S = 30.0  # a reference of metric_speed.csv that took longer was stopped, and counts as this


def metric_parity() -> str:
    """Largest relative error against the original authors' scores."""
    results = pd.read_csv(RESULTS / "metric_parity.csv")
    rows = [
        [f"`{name}`", str(len(group)), f"{group['relative_error'].max():.0e}", f"{group['tolerance'].max():.0e}"]
        for name, group in results.groupby("metric")
    ]
    return markdown(["score of the original code", "cases", "largest relative error", "tolerance"], rows)


def metric_speed() -> str:
    """How much faster than an obvious implementation, how much less memory, and how time grows."""
    results = pd.read_csv(RESULTS / "metric_speed.csv")
    rows = []
    for (name, device), group in results.groupby(["metric", "device"], sort=False):
        ran = group[np.isfinite(group["ours_s"])]
        both = ran[np.isfinite(ran["reference_s"])]
        times = _times_faster(ran)
        saved = both["reference_mb"] - both["ours_mb"]
        design = np.column_stack([np.ones(len(ran)), *(np.log(ran[key]) for key in ("n", "d", "c"))])
        growth = np.linalg.lstsq(design, np.log(ran["ours_s"]), rcond=None)[0][1:]
        rows.append([
            f"{name}, {device}", f"{len(ran)}/{len(both)}", f"{times.median():.1f}", f"{times.min():.1f}",
            f"{saved.median():,.0f}", f"{saved.min():,.0f}",
            f"{ran['ours_s'].max():.2f}", f"{ran['ours_mb'].max():,.0f}",
            " ".join(f"{key}^{power:.1f}" for key, power in zip("NDC", growth, strict=True)),
        ])  # fmt: skip
    heavy = results["metric"].isin(["sfda", "ped(ncc)", "disco", "logme"])
    for label, group in (("sfda, ped, disco and logme", results[heavy]), ("all", results)):
        times = _times_faster(group)
        both = group[np.isfinite(group["reference_s"])]
        saved = both["reference_mb"] - both["ours_mb"]
        rows.append([
            f"**{label}**", f"{len(group)}/{len(both)}", f"{times.median():.1f}", f"{times.min():.1f}",
            f"{saved.median():,.0f}", f"{saved.min():,.0f}", "", "", "",
        ])  # fmt: skip
    header = ["metric", "sizes: ours/reference", "times faster, median", "least", "MB saved, median", "least",
              "slowest, s", "most MB", "time grows with"]  # fmt: skip
    return markdown(header, rows)


def _times_faster(runs: pd.DataFrame) -> pd.Series:
    """Ratio of times; a stopped reference counts as long as it ran, which says nothing where ours took longer."""
    times = runs["reference_s"].clip(upper=STOPPED_S) / runs["ours_s"]
    return times[~(np.isinf(runs["reference_s"]) & (runs["ours_s"] > STOPPED_S))]


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


TABLES = (metric_parity, metric_speed, real_features)
