"""Every metric for real pre-trained networks on real image packs, with its time.

    python benchmark/metrics/real_features.py --shared ../shared

Writes `real_features.csv` (pack, model, metric, score, reason, seconds); the metric `forward pass` holds the
time of the features. Metrics over a set of models score all networks of a pack at once. Finished packs are
kept when run again, features come from the cache.
"""

from __future__ import annotations

import argparse
import runpy
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor
from torchvision import transforms

from fennec.checkpoints.encoders import Encoder
from fennec.forward.features import extract_features
from fennec.images.open import open_dataset
from fennec.metrics import METRICS, find_metric

RESULTS = Path(__file__).parents[1] / "results"
PACKS = ("apple_leaf", "bangla_digits", "blood_cells", "cats_dogs", "dtd10", "flowers5", "gtsrb", "kmnist", "neu_steel",
         "pacs_cartoon", "pneumonia", "scene15", "sign_digits", "trashnet")  # fmt: skip
N_IMAGES = 200
NAMES = [name for name, metric in METRICS.items() if metric.target == "labels"] + ["ped(sfda)", "ped(logme)"]


def load_encoder(checkpoints: dict[str, Any], folder: Path, name: str) -> Encoder:
    """One of the networks at hand with its preprocessing."""
    model, entry = checkpoints["load"](str(folder), name)
    facts = entry["input"]
    transform = transforms.Compose([
        transforms.Resize(round(facts["size"] / facts["crop"]), transforms.InterpolationMode.BICUBIC),
        transforms.CenterCrop(facts["size"]),
        transforms.ToTensor(),
        transforms.Normalize(facts["mean"], facts["std"]),
    ])  # fmt: skip

    def split(batch: Tensor) -> tuple[Tensor, Tensor | None]:
        if hasattr(model, "forward_head"):
            maps = model.forward_features(batch)
            return model.forward_head(maps, pre_logits=True), model.forward_head(maps) if model.num_classes else None
        if hasattr(model, "classifier"):  # torchvision's SqueezeNet: a convolution is the classifier
            return model.features(batch), model(batch)
        maps = model(batch)
        return maps[-1] if isinstance(maps, list | tuple) else maps, None  # trained for dense outputs

    return Encoder(name, model, transform, preprocessing=facts, split=split)


def load_encoders(shared: Path, names: Sequence[str] = ()) -> list[Encoder]:
    """Networks at hand, all of them where none is named."""
    folder = shared / "checkpoints"
    code = runpy.run_path(str(folder / "checkpoints.py"))
    return [load_encoder(code, folder, name) for name in names or code["entries"](str(folder))]


def score_pack(pack: Path, encoders: list[Encoder]) -> list[tuple[Any, ...]]:
    """All metrics of all networks on one pack."""
    dataset = open_dataset(pack)
    sets = [extract_features(encoder, dataset, max_images=N_IMAGES) for encoder in encoders]
    rows = [(pack.name, each.model, "forward pass", None, "", each.seconds) for each in sets]
    for name in NAMES:
        metric = find_metric(name)
        start = time.perf_counter()
        if metric.takes == "set":
            scores = metric.function([each.features for each in sets], sets[0].labels)
            seconds = (time.perf_counter() - start) / len(sets)
            rows += [(pack.name, each.model, name, float(score), score.reason, seconds)
                     for each, score in zip(sets, scores, strict=True)]  # fmt: skip
            continue
        for each in sets:
            start = time.perf_counter()
            first = each.probs if metric.takes == "probs" else each.features
            if first is None:
                rows.append((pack.name, each.model, name, None, "the model has no source head", 0.0))
                continue
            score = metric.function(first, each.labels)
            rows.append((pack.name, each.model, name, float(score), score.reason, time.perf_counter() - start))
    return rows


def main() -> None:
    """Score and write, one pack at a time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    shared = parser.parse_args().shared
    encoders = load_encoders(shared)
    target = RESULTS / "real_features.csv"
    columns = ["pack", "model", "metric", "score", "reason", "seconds"]
    done = pd.read_csv(target, keep_default_na=False) if target.exists() else pd.DataFrame(columns=columns)
    torch.set_num_threads(2)
    for pack in PACKS:
        if pack in set(done["pack"]):
            continue
        start = time.perf_counter()
        rows = pd.DataFrame(score_pack(shared / "images" / pack, encoders), columns=columns)
        done = pd.concat([done, rows], ignore_index=True)
        done.to_csv(target, index=False)
        print(f"{pack}: {time.perf_counter() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
