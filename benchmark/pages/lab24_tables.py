"""The head-to-head on the hub measured here: tables of the scripts in `benchmark/lab24`."""

from __future__ import annotations

import pandas as pd
from layout import RESULTS, markdown, number

from fennec.evaluation.compare import summarise_comparison


def lab24() -> str:
    """Every method on lab24: quality and cost, best first."""
    results = pd.read_parquet(RESULTS / "lab24_comparison.parquet")
    proxies = [proxy for proxy in results["proxy"].unique() if proxy]
    rows = []
    for proxy in proxies:
        part = results[results["proxy"].isin(["", proxy] if proxy == proxies[0] else [proxy])]
        for row in summarise_comparison(part).to_dict("records"):
            ours = row["method"].startswith("fennec")
            name = f"{row['method']}, {proxy}" if ours else row["method"]
            rows.append((row["mean"], [
                f"**{name}**" if ours else name,
                f"{row['mean']:.3f} [{row['low']:.3f}, {row['high']:.3f}]", number(row["tau_w_true"]),
                number(row["spearman"]), *(f"{100 * row[name]:.1f}" for name in ("regret@1", "regret@3")),
                number(row["rel@1"]), *(f"{row[name]:.3g}" for name in ("forward_s", "scoring_s", "ranking_s")),
                f"{row['forward_passes']:.0f}", "-" if row["peak_mb"] != row["peak_mb"] else f"{row['peak_mb']:.0f}",
            ]))  # fmt: skip
    header = ["method", "tau_w [95 %]", "tau_w_true", "spearman", "regret@1", "regret@3", "rel@1", "forward s",
              "scoring s", "ranking s", "forward passes", "peak MB"]  # fmt: skip
    return markdown(header, [row for _, row in sorted(rows, key=lambda pair: -pair[0])])


def lab24_short() -> str:
    """The methods of lab24 in short, under the proxy that was fixed beforehand."""
    results = pd.read_parquet(RESULTS / "lab24_comparison.parquet")
    table = summarise_comparison(results[results["proxy"].isin(["", "dav2-ViT-S-14"])])
    ours = table["method"].isin(["oracle", "static", "random"]) | table["method"].str.startswith("fennec")
    named = pd.concat([table[ours], table[~ours & (table["forward_passes"] > 0)].head(3)])
    rows = [
        [row["method"], f"{row['mean']:.3f} [{row['low']:.3f}, {row['high']:.3f}]", f"{100 * row['regret@1']:.1f}",
         f"{row['forward_passes']:.0f}"]
        for row in named.sort_values("mean", ascending=False).to_dict("records")
    ]  # fmt: skip
    return markdown(["method (the three best metrics)", "tau_w [95 %]", "regret@1", "forward passes"], rows)


def lab24_growth() -> str:
    """tau_w with less history."""
    results = pd.read_csv(RESULTS / "lab24_growth.csv")
    means = results.groupby(["n_known", "share", "method"])["value"].mean().unstack("method")
    rows = [
        [f"{n_known} tasks, {share:.0%} of the cells", number(row["static"]), number(row["fennec"]),
         f"{row['fennec'] - row['static']:+.3f}"]
        for (n_known, share), row in means.iterrows()
    ]  # fmt: skip
    return markdown(["history", "static", "fennec", "difference"], rows)


def lab24_noise() -> str:
    """Spread of the results, and how far two runs agree, per task."""
    results = pd.read_csv(RESULTS / "lab24_noise.csv")
    table = results[results["task"] != "all"].pivot(index="task", columns="what", values="value")
    wanted = [name for name in ("mean", "best", "spread", "agreement_tau_w", "agreement_spearman", "ceiling_tau_w")
              if name in table]  # fmt: skip
    rows = [[task, *map(number, row[wanted])] for task, row in table.iterrows()]
    rows.append(["**mean**", *(number(table[name].mean()) for name in wanted)])
    return markdown(["task", *wanted], rows)


def engines() -> str:
    """The same jobs by every engine."""
    results = pd.read_csv(RESULTS / "engines.csv")
    rows = [[row.engine, str(row.workers), str(row.jobs), f"{row.seconds:.1f}", f"{3600 * row.jobs / row.seconds:.0f}",
             "yes" if row.equal else "no"] for row in results.itertuples()]  # fmt: skip
    return markdown(["engine", "workers", "cells", "seconds", "cells per hour", "results equal to serial"], rows)


TABLES = (lab24, lab24_short, lab24_growth, lab24_noise, engines)
