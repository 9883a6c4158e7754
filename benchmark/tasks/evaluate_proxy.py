"""What `fennec-mini` is worth on images it never saw, beside its teachers and raw pixels.

    python benchmark/tasks/evaluate_proxy.py --shared ../shared

Linear probe (standardised features, logistic regression, training part to test part) on the packs that
were held out of its training, and the Spearman correlation of the similarities between the known tasks
with the teacher's. Writes `proxy.csv` (proxy, pack, measure, value); finished rows are kept when run again.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from scipy.stats import spearmanr
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from train_proxy import HELD_OUT_PACKS, KNOWN_TASK_PACKS

from fennec.images.datasets import ImageDataset, ReadReport, iter_images, sample
from fennec.images.open import open_dataset
from fennec.space.kernel import TaskKernel
from fennec.tasks.embedding import TaskEmbedding
from fennec.tasks.embedding_files import load_known_embeddings
from fennec.tasks.proxy import Proxy

RESULTS = Path(__file__).parents[1] / "results"
TEACHER = "dav2-ViT-S-14"
N_TRAIN, N_TEST = 300, 200  # images per pack, balanced over classes; the teacher sees ten a second here
Embed = Callable[[list[Image.Image]], np.ndarray]


def raw_pixels(images: list[Image.Image]) -> np.ndarray:
    """Pictures of 32 x 32 as they are, shape (n_images, 3072)."""
    return np.stack([np.asarray(image.resize((32, 32)), dtype=np.float32).ravel() / 255 for image in images])


def load_mobilenet(shared: Path) -> Proxy:
    """The second teacher, as timm loads it."""
    return Proxy.load("timm:mobilenetv2_100", weights=shared / "proxy" / "mobilenetv2_100.safetensors")


def features_of(dataset: ImageDataset, indices: np.ndarray, embed: Embed) -> np.ndarray:
    """Features of some images of a dataset, shape (n_images, n_features)."""
    images = [image for _, image in iter_images(dataset, indices, ReadReport())]
    return np.concatenate([embed(images[start : start + 64]) for start in range(0, len(images), 64)])


def linear_probe(pack: Path, embed: Embed) -> float:
    """Test accuracy of a logistic regression on frozen features."""
    parts = []
    for split, n in (("train", N_TRAIN), ("test", N_TEST)):
        dataset = open_dataset(pack, split=split)
        chosen = sample(dataset, max_images=n)
        names = np.array(dataset.class_names)[dataset.labels[chosen]]
        parts.append((features_of(dataset, chosen, embed), names))
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=2000))
    return float(probe.fit(*parts[0]).score(*parts[1]))


def similarities(shared: Path, embed: Embed) -> np.ndarray:
    """Minus the distance of `TaskKernel` for every pair of known tasks, shape (n_pairs,)."""
    embeddings = {}
    for path in sorted((shared / "task_images").glob("*.parquet")):
        dataset = open_dataset(path)
        embeddings[path.stem] = TaskEmbedding.from_features(features_of(dataset, np.arange(len(dataset)), embed))
    return kernel_similarities(embeddings)


def kernel_similarities(embeddings: Mapping[str, TaskEmbedding]) -> np.ndarray:
    """Minus the distance of `TaskKernel` for every pair of tasks, shape (n_pairs,)."""
    rows = TaskKernel.fit(embeddings).descriptors
    pairs = itertools.combinations(range(len(rows)), 2)
    return np.array([-np.linalg.norm(rows[one] - rows[two]) for one, two in pairs])


def main() -> None:
    """Evaluate and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    shared = parser.parse_args().shared
    makers: dict[str, Callable[[], Embed]] = {
        "fennec-mini": lambda: Proxy.load().embed,
        "mobilenetv2_100": lambda: load_mobilenet(shared).embed,
        "pixels": lambda: raw_pixels,
        TEACHER: lambda: Proxy.load(str(shared / "proxy" / TEACHER)).embed,
    }
    target = RESULTS / "proxy.csv"
    rows = [tuple(row) for row in pd.read_csv(target).itertuples(index=False)] if target.exists() else []
    vectors: dict[str, np.ndarray] = {}
    for name, make in makers.items():
        embed = make()
        for pack in sorted((*HELD_OUT_PACKS, *KNOWN_TASK_PACKS)):
            if not any(row[:3] == (name, pack, "linear_probe") for row in rows):
                rows.append((name, pack, "linear_probe", linear_probe(shared / "images" / pack, embed)))
                pd.DataFrame(rows, columns=["proxy", "pack", "measure", "value"]).to_csv(target, index=False)
                print(*rows[-1], flush=True)
        vectors[name] = (
            kernel_similarities(load_known_embeddings(TEACHER)) if name == TEACHER else similarities(shared, embed)
        )
    rows = [row for row in rows if row[2] != "similarity_spearman"]
    for name, vector in vectors.items():
        value = spearmanr(vector, vectors[TEACHER]).statistic
        rows.append((name, "known tasks", "similarity_spearman", value))
        print(*rows[-1], flush=True)
    pd.DataFrame(rows, columns=["proxy", "pack", "measure", "value"]).round(6).to_csv(target, index=False)


if __name__ == "__main__":
    main()
