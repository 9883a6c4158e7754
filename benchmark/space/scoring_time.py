"""What a forward pass through every model of a hub would take on this machine, beside one recommendation.

    python benchmark/space/scoring_time.py

The pass is timed for twelve architectures of several kinds (random weights: time does not depend on them) and scaled
to a hub by multiply-adds, which are known for most models; the others count as the hub's median. Writes
`scoring_time.csv` (hub, models, known: with multiply-adds, passes_s and fennec_s: seconds for 500 images, times).
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import timm
import torch

from fennec.architectures.graph import graph_of
from fennec.checkpoints.catalog import load_catalog
from fennec.evaluation.leave_one_task_out import EVALUATED_HUBS
from fennec.evidence.hubs import load_matrix

RESULTS = Path(__file__).parents[1] / "results"
ARCHITECTURES = ("resnet18", "resnet50", "densenet121", "mobilenetv3_large_100", "efficientnet_b0", "regnety_032",
                 "convnext_tiny", "convnext_base", "vit_tiny_patch16_224", "vit_small_patch16_224",
                 "vit_base_patch16_224", "swin_tiny_patch4_window7_224")  # fmt: skip
N_IMAGES = 500
BATCH = 16


def seconds_per_image(name: str) -> tuple[float, float]:
    """Multiply-adds in billions and seconds of one image in a batch, the fastest of three."""
    model = timm.create_model(name, num_classes=0).eval()
    batch = torch.randn(BATCH, 3, 224, 224)
    times = []
    with torch.inference_mode():
        for _ in range(3):
            start = time.perf_counter()
            model(batch)
            times.append(time.perf_counter() - start)
    return graph_of(model, input_size=(3, 224, 224), name=name).gmacs, min(times) / BATCH


def main() -> None:
    """Time, scale, write."""
    measured = [seconds_per_image(name) for name in ARCHITECTURES]
    for name, (gmacs, seconds) in zip(ARCHITECTURES, measured, strict=True):
        print(f"{name:32s} {gmacs:6.2f} GMACs {1000 * seconds:7.1f} ms an image", file=sys.stderr)
    pace = float(np.median([seconds / gmacs for gmacs, seconds in measured]))
    speed = pd.read_csv(RESULTS / "speed.csv").set_index(["what", "size"])["seconds"]
    ours = speed["embed images", N_IMAGES] + speed["recommend hf180", 180]
    catalog = load_catalog()
    rows = []
    for hub in EVALUATED_HUBS:
        models = load_matrix(hub).models
        records = [catalog.get(model) for model in models]
        known = np.array([record.gmacs for record in records if record is not None and record.gmacs], dtype=float)
        if len(known) < len(models) / 2:
            continue
        passes = pace * N_IMAGES * (known.sum() + np.median(known) * (len(models) - len(known)))
        rows.append((hub, len(models), len(known), round(passes, 1), round(ours, 4), round(passes / ours)))
    columns = ["hub", "models", "known", "passes_s", "fennec_s", "times"]
    pd.DataFrame(rows, columns=columns).to_csv(RESULTS / "scoring_time.csv", index=False)


if __name__ == "__main__":
    main()
