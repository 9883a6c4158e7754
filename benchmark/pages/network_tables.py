"""What the proxy, archi2vec and facts say of images and networks never seen: scripts in `tasks` and `architectures`."""

from __future__ import annotations

import numpy as np
import pandas as pd
from layout import RESULTS, markdown, number

from fennec.measures import bootstrap_interval

COLD_HUBS = ("hf180", "vtab291", "clip121", "parc70", "timm1557")


def proxy() -> str:
    """Linear probes on unseen packs, and agreement with the teacher on which tasks are alike."""
    results = pd.read_csv(RESULTS / "proxy.csv")
    wide = results.pivot(index=["measure", "pack"], columns="proxy", values="value")
    order = ["fennec-mini", "dav2-ViT-S-14", "mobilenetv2_100", "pixels"]
    probes = wide.loc["linear_probe", order]
    rows = [[pack, *(number(value) for value in line)] for pack, line in probes.iterrows()]
    rows.append(["mean", *(number(value) for value in probes.mean())])
    agreement = wide.loc["similarity_spearman", order].iloc[0]
    rows.append(["task similarities, Spearman with the teacher's", *(number(value) for value in agreement)])
    return markdown(["pack", *order], rows)


def archi2vec() -> str:
    """What vectors say of held-out families, mean over seeds."""
    results = pd.read_csv(RESULTS / "archi2vec.csv")
    table = results.groupby(["target", "measure"], sort=False)["value"].mean().unstack()
    spread = results.groupby(["target", "measure"], sort=False)["value"].agg(np.ptp).unstack()
    rows = [
        [target, *(f"{table.loc[target, name]:.3f} ({spread.loc[target, name]:.3f})" for name in table.columns)]
        for target in table.index
    ]
    return markdown(["of held-out families (range over seeds)", *table.columns], rows)


def cold_start() -> str:
    """Cold families: mean over seeds of tau_w, all models placed cold, and one family among warm ones."""
    results = pd.read_parquet(RESULTS / "cold_start.parquet")
    chosen = results[results["measure"] == "tau_w"]
    every = chosen[chosen["family"] == "all"].groupby(["hub", "method"])["value"].mean().unstack()
    single = chosen[chosen["family"] != "all"].groupby(["hub", "family", "method"])["value"].mean().unstack()
    order = ["mean", "params", "imagenet", "wl", "nearest", "facts", "fennec", "static"]
    rows = []
    for hub in (*COLD_HUBS, *sorted(set(every.index) - set(COLD_HUBS))):
        if hub not in single.index or every.loc[hub, "fennec"] != every.loc[hub, "fennec"]:
            continue
        gain = (single.loc[hub, "fennec"] - single.loc[hub, "facts"]).to_numpy()
        low, high = bootstrap_interval(gain)
        rows.append([
            hub, str(len(gain)), *(number(every.loc[hub, name]) for name in order),
            *(number(single.loc[hub, name].mean()) for name in ("mean", "facts", "fennec", "static")),
            f"{gain.mean():+.4f} [{low:+.4f}, {high:+.4f}]",
        ])  # fmt: skip
    header = ["hub", "families", *(f"all cold: {name}" for name in order), "one family cold: mean", "facts", "fennec",
              "static", "fennec - facts [95 %]"]  # fmt: skip
    return markdown(header, rows)


def cost_model() -> str:
    """How far off time and memory of networks are, factors of error."""
    results = pd.read_csv(RESULTS / "cost_model.csv").fillna({"device": ""})
    rows = [
        [row.check, row.device or "-", f"{row.n:,}", str(row.n_families), f"{row.median_factor:.2f}",
         f"{row.p90_factor:.2f}", f"{row.bias:.2f}"]
        for row in results.itertuples()
    ]  # fmt: skip
    return markdown(["check", "device", "figures", "families", "median factor", "90 % factor", "bias"], rows)


TABLES = (proxy, archi2vec, cold_start, cost_model)
