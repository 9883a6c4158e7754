"""What small real networks and plain image statistics say about the known tasks, for `space/experiments.py`.

    python benchmark/metrics/landmarks.py --shared ../shared

Writes `landmarks.csv` (image_set, what, value), an image set at a time, those already there kept: for four networks the
share of images that its nearest neighbours classify, above the largest class; and means over images of
brightness, contrast, colour (distance from grey), fineness (change between neighbouring pixels) and log2 of the side.
Sets with fewer than two images a class have statistics only.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from real_features import load_encoders

from fennec.checkpoints.encoders import Encoder
from fennec.forward.features import extract_features
from fennec.images.datasets import ImageDataset, ReadReport, iter_images, sample
from fennec.images.open import open_dataset
from fennec.metrics import knn

RESULT = Path(__file__).parents[1] / "results" / "landmarks.csv"
NETWORKS = ("mobilenetv2_100.coral_in1k", "mobilenetv2_100.coral_inat_insect", "mobilenetv1_075.coral_posenet",
            "squeezenet1_0.deepcompression_in1k")  # fmt: skip
N_IMAGES = 300  # all that there are
COLUMNS = ["image_set", "what", "value"]


def statistics(images: ImageDataset) -> dict[str, float]:
    """Plain numbers of a task's images."""
    rows = []
    for _, picture in iter_images(images, sample(images, max_images=N_IMAGES), ReadReport()):
        pixels = np.asarray(picture.resize((64, 64)), dtype=np.float64) / 255
        grey = pixels.mean(axis=2)
        fineness = np.abs(np.diff(grey, axis=0)).mean() + np.abs(np.diff(grey, axis=1)).mean()
        colour = np.abs(pixels - grey[..., None]).mean()
        rows.append((grey.mean(), grey.std(), colour, fineness, np.log2(min(picture.size))))
    names = ("brightness", "contrast", "colour", "fineness", "side")
    return dict(zip(names, np.mean(rows, axis=0), strict=True))


def landmarks(images: ImageDataset, encoders: list[Encoder]) -> dict[str, float]:
    """Nearest-neighbour accuracy above the largest class, as a share of what is above it."""
    labels = np.asarray(images.labels)
    counts = np.bincount(labels)
    if counts[counts > 0].mean() < 2:
        return {}
    found = {}
    for encoder in encoders:
        features = extract_features(encoder, images, max_images=N_IMAGES)
        chance = float(np.bincount(features.labels).max() / len(features.labels))
        found[f"knn {encoder.name}"] = (float(knn(features.features, features.labels)) - chance) / (1 - chance)
    return found


def main() -> None:
    """Measure what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    shared = parser.parse_args().shared
    encoders = load_encoders(shared, NETWORKS)
    table = pd.read_csv(RESULT) if RESULT.is_file() else pd.DataFrame(columns=COLUMNS)
    for path in sorted((shared / "task_images").glob("*.parquet")):
        if path.stem in set(table["image_set"]):
            continue
        images = open_dataset(path)
        found = statistics(images) | landmarks(images, encoders)
        rows = pd.DataFrame([(path.stem, what, value) for what, value in found.items()], columns=COLUMNS)
        table = pd.concat([table, rows]) if len(table) else rows
        table.round(5).to_csv(RESULT, index=False)
        print(path.stem, {what: round(value, 2) for what, value in found.items()}, flush=True)


if __name__ == "__main__":
    main()
