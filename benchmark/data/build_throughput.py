"""Published rates of training and inference, one protocol for each device: `data/throughput.parquet` and its card.

    python benchmark/data/build_throughput.py --shared ../shared

timm's own measurements. Of several for one network, side and device the newest release of torch counts; names that
timm gave up lead to the network of today. Facts only, nothing is computed here.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd
from build_studies import origin

from fennec.architectures.graph import load_known_graphs
from fennec.checkpoints.names import current_timm_name

COLUMNS = ["device", "kind", "architecture", "side", "precision", "batch_size", "torch", "samples_per_second"]
DEVICES = {"rtx3090": "rtx3090", "rtx4090": "rtx4090", "4090": "rtx4090", "5090": "rtx5090",
           "pro6000maxq": "rtx-pro-6000-maxq", "cpu-i7_12700h": "i7-12700h", "cpu-i9_10940x": "i9-10940x"}  # fmt: skip
KINDS = {"train": "training", "infer": "inference"}
PROTOCOL = (
    "random pictures, memory layout NCHW, the largest batch that fitted. GPUs: automatic mixed precision (`amp`), not "
    "compiled. CPUs: `fp32`, compiled, one picture at a time. Of several measurements of one network, side and device "
    "the newest release of torch counts"
)
CAVEATS = (
    "Training was published on one RTX 3090 only, with torch 1.12, which had no fused attention: transformers on "
    "large pictures train faster today than these rates and what is estimated from them. Names of earlier releases of "
    "timm lead to the network of today; {n_left} networks without a graph here are left out. Reading pictures from a "
    "disk is not in it"
)
CARD = """# throughput.parquet and cost_weights.csv

| | |
| --- | --- |
| what | images per second in training and inference, by network, device and side of the input |
| made by | `benchmark/data/build_throughput.py`; the same input gives the same table |
| repository and commit | {repository}, `results/benchmark-*.csv` |
| licence of the repository | {licence} |
| protocol | {protocol} |
| unit | images per second |
| size | {n_rows} rates of {n_networks} networks on {n_devices} devices |
| caveats | {caveats} |

| device | kind | networks | rates |
| --- | --- | --- | --- |
{rows}

`cost_weights.csv` is our own: seconds per billion multiply-adds and per billion values computed, by kind of operator,
device and kind of run, and gigabytes per billion values for the memory of training, fitted by
`benchmark/architectures/cost_model.py` to these rates and to the memory in `costs.csv`. Its error on families left out
is in `benchmark/results/cost_model.csv`.
"""


def build_throughput(path: Path) -> tuple[pd.DataFrame, int]:
    """The rates of the protocols kept, and how many networks have no graph here."""
    frame = pd.read_csv(path)
    frame = frame[frame["device"].isin(DEVICES) & frame["precision"].isin(["amp", "fp32"]) & frame["layout"].eq("nchw")]
    frame = frame[frame["compiled"].eq(1) == frame["device"].str.startswith("cpu")]
    frame = frame.assign(
        device=frame["device"].map(DEVICES),
        kind=frame["kind"].map(KINDS),
        architecture="timm:" + frame["model"].map(current_timm_name).str.partition(".")[0],
        side=frame["img_size"],
        samples_per_second=frame["samples_per_sec"],
    )
    frame["renamed"] = frame["architecture"] != "timm:" + frame["model"]
    known = frame["architecture"].isin(load_known_graphs())
    n_left = int(frame.loc[~known, "architecture"].nunique())
    key = ["device", "kind", "architecture", "side"]
    ordered = frame[known].sort_values([*key, "torch", "renamed", "model"], ascending=[*[True] * 4, False, True, True])
    kept = ordered.drop_duplicates(key)[COLUMNS].reset_index(drop=True)
    words = dict.fromkeys(["device", "kind", "architecture", "precision"], "category")
    numbers = dict.fromkeys(["side", "batch_size", "torch"], "int16")
    return kept.astype(words | numbers), n_left


def main() -> None:
    """Write table and card."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--output", type=Path, default=Path("data"))
    arguments = parser.parse_args()
    table, n_left = build_throughput(arguments.shared / "transfer" / "timm_throughput.csv")
    table.to_parquet(arguments.output / "throughput.parquet", index=False, compression="brotli")
    repository, licence = origin(arguments.shared, "timm_throughput")
    counts = table.groupby(["device", "kind"], observed=True)["architecture"].agg(["nunique", "size"])
    card = CARD.format(
        repository=repository,
        licence=licence,
        n_rows=len(table),
        n_networks=table["architecture"].nunique(),
        n_devices=table["device"].nunique(),
        protocol=PROTOCOL,
        caveats=CAVEATS.format(n_left=n_left),
        rows="\n".join(f"| {device} | {kind} | {n} | {size} |" for (device, kind), (n, size) in counts.iterrows()),
    )
    (arguments.output / "cards" / "throughput.md").write_text(card, encoding="utf-8")


if __name__ == "__main__":
    main()
