"""The head-to-head on lab24: metrics, Fennec and both together, on the cells of `measure_lab24.py`.

    python benchmark/lab24/compare_lab24.py [--workers 2]

Stages, each resumable: (1) every metric for every network on every task, (2) task embeddings under the real encoders at
hand and, for its cost, under `fennec-mini`, which was trained on images of nine of these tasks, (3) tables:
`lab24_cells.csv`, `lab24_models.csv`, `lab24_scores.parquet`, from which `build_studies.py` makes the study, (4)
`lab24_comparison.parquet`, `lab24_growth.csv` (quality against history), `lab24_noise.csv` (two seeds), and pictures.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import lab24
import numpy as np
import pandas as pd
from measure_lab24 import FINETUNE, FOLDER, tasks

from fennec.architectures.graph import graph_of, load_known_graphs
from fennec.bench.cells import iter_records
from fennec.bench.measured import embed_tasks
from fennec.bench.metric_scores import score_results
from fennec.evaluation.compare import compare, summarise_comparison
from fennec.evidence.matrix import TransferMatrix
from fennec.evidence.scores import gaussian_scores
from fennec.measures import spearman, weighted_tau
from fennec.reports.compare_plots import plot_comparison
from fennec.space.recommender import Recommender
from fennec.tasks.embedding_files import save_embeddings
from fennec.tasks.proxy import Proxy

RESULTS = Path(__file__).parents[1] / "results"
FAMILIES = {"test_resnet": "resnet", "test_convnext": "convnext", "test_vit": "vit", "squeezenet1_0": "squeezenet",
            "test_efficientnet": "efficientnet", "mobilenet_edgetpu_075": "mobilenet_edgetpu"}  # fmt: skip
DATA = {"tiny": "tiny-imagenet-12k", "characters": "characters", "textures": "textures", "mixture": "lab-mixture"}
REAL_DATA = {"in1k": "imagenet-1k", "inat_bird": "inaturalist-birds", "inat_insect": "inaturalist-insects",
             "deeplab_voc": "voc2012", "posenet": "coco-keypoints", "vww": "visual-wake-words"}  # fmt: skip
PROXY = "dav2-ViT-S-14"  # the one whose embeddings go into `data/`
DATA_FOLDER = Path(__file__).parents[2] / "data"
N_DRAWS = 5  # random histories of each size


def proxies() -> dict[str, Proxy]:
    """The two real encoders at hand, and the default."""
    folder = lab24.SHARED / "proxy"
    return {
        "dav2-ViT-S-14": Proxy.load(str(folder / "dav2-ViT-S-14")),
        "mobilenetv2_100": Proxy.load("timm:mobilenetv2_100", weights=folder / "mobilenetv2_100.safetensors"),
        "fennec-mini": Proxy.load("fennec-mini"),
    }


def cells_table() -> pd.DataFrame:
    """Every cell, one line each."""
    rows = [
        (record["model"], record["task"], record["seed"], record["status"], record.get("value"),
         (record.get("chosen") or {}).get("learning_rate"), record["seconds"], record["peak_mb"])
        for record in iter_records(FOLDER)
        if record["protocol_name"] == FINETUNE.name
    ]  # fmt: skip
    columns = ["model", "task", "seed", "status", "value", "learning_rate", "seconds", "peak_mb"]
    return pd.DataFrame(rows, columns=columns).sort_values(["seed", "task", "model"], ignore_index=True)


def models_table(names: list[str]) -> pd.DataFrame:
    """Facts of the networks."""
    rows, drawn = [], load_known_graphs()
    for name in names:
        plain = name.removeprefix("lab24:")
        architecture, _, tag = plain.partition(".")
        recipe = lab24.OWN.get(plain)
        graph = graph_of(getattr(lab24, plain)().model, input_size=(3, lab24.LAB_SIDE, lab24.LAB_SIDE), name=plain)
        if recipe is None:
            data = next(value for key, value in REAL_DATA.items() if tag.endswith(key))
            method = "supervised"
        else:
            data = DATA.get(recipe.source, "")
            method = {"simclr": "ssl:simclr", "rotation": "ssl:rotation"}.get(recipe.method, "supervised")
            method = method if recipe.source else "none"
        family = FAMILIES.get(architecture, architecture.split("_")[0])
        cost = graph.params, round(graph.gmacs, 4), lab24.LAB_SIDE
        named = (f"{library}:{architecture}" for library in ("timm", "torchvision"))
        backbone = next((label for label in named if label in drawn), "")
        rows.append((name, architecture, tag, family, *cost, data, method, backbone))
    columns = ["id", "architecture", "tag", "family", "params", "gmacs", "input_size", "pretraining_data",
               "pretraining_method", "backbone"]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def growth(matrix: TransferMatrix, embeddings: dict) -> pd.DataFrame:
    """Fennec and static history with fewer known tasks, and with fewer filled cells.

    With the defaults as shipped, which other hubs chose: three tasks are too few to choose from.
    """
    generator = np.random.default_rng(0)
    rows = []
    for held in matrix.tasks:
        others = [task for task in matrix.tasks if task != held]
        truth = matrix.performance[:, matrix.tasks.index(held)]
        known = {name: value for name, value in embeddings.items() if name != held}
        for n_tasks in (3, 6, 10, len(others)):
            for draw in range(N_DRAWS if n_tasks < len(others) else 1):
                chosen = sorted(generator.choice(others, n_tasks, replace=False))
                rows += _measure(matrix.select(tasks=chosen), matrix, known, embeddings[held], truth,
                                 (held, n_tasks, 1.0, draw))  # fmt: skip
        for share in (0.1, 0.25, 0.5, 0.75):
            for draw in range(N_DRAWS):
                sparse = _sparse(matrix.select(tasks=others), share, generator)
                rows += _measure(sparse, matrix, known, embeddings[held], truth, (held, len(others), share, draw))
    columns = ["task", "n_known", "share", "draw", "method", "measure", "value"]
    return pd.DataFrame(rows, columns=columns)


def _sparse(matrix: TransferMatrix, share: float, generator: np.random.Generator) -> TransferMatrix:
    """A random share of the cells; columns with fewer than two are left out."""
    values = np.where(generator.random(matrix.performance.shape) < share, matrix.performance, np.nan)
    columns = np.isfinite(values).sum(axis=0) >= 2
    rows = np.isfinite(values[:, columns]).any(axis=1)
    names = [tuple(np.array(values_)[columns]) for values_ in (matrix.tasks, matrix.image_sets, matrix.metrics)]
    models = tuple(np.array(matrix.models)[rows])
    return TransferMatrix(values[np.ix_(rows, columns)], models, *names, matrix.protocol, matrix.name)


def _measure(known_matrix, matrix, known, embedding, truth, key) -> list:
    """tau_w of both methods; a model that the history lacks stands below all others."""
    found = {"static": np.nanmean(np.column_stack([gaussian_scores(c) for c in known_matrix.performance.T]), axis=1)}
    found["fennec"] = Recommender().fit(known_matrix, known).predict(embedding).scores
    position = {model: row for row, model in enumerate(known_matrix.models)}
    rows = []
    for method, scores in found.items():
        full = np.array([scores[position[model]] if model in position else np.nan for model in matrix.models])
        rows.append((*key, method, "tau_w", weighted_tau(full, truth)))
    return rows


def noise(cells: pd.DataFrame) -> pd.DataFrame:
    """How far one run's ranking agrees with another's.

    `run_sd` is the standard deviation of one run, from the differences of the repeated cells; `agreement` the measures
    between both runs of the repeated models of a task; `ceiling` tau_w between the measured column and the same with
    fresh noise of that deviation, what no method can surpass on average.
    """
    wide = cells[cells["status"] == "done"].pivot(index=["task", "model"], columns="seed", values="value")
    both = wide.dropna()
    deviation = float((both[0] - both[1]).std() / np.sqrt(2))
    generator = np.random.default_rng(0)
    rows = [("all", "run_sd", deviation), ("all", "repeated_cells", len(both))]
    for task, column in wide[0].groupby("task"):
        truth = column.to_numpy()
        draws = [weighted_tau(truth + deviation * generator.standard_normal(len(truth)), truth) for _ in range(200)]
        rows.append((task, "ceiling_tau_w", float(np.mean(draws))))
        rows += [(task, "spread", float(np.std(truth))), (task, "best", truth.max()), (task, "mean", truth.mean())]
        if task in both.index and len(twice := both.loc[task]) >= 4:
            rows.append((task, "agreement_tau_w", weighted_tau(twice[1], twice[0])))
            rows.append((task, "agreement_spearman", spearman(twice[1], twice[0])))
    return pd.DataFrame(rows, columns=["task", "what", "value"])


def main() -> None:
    """Everything, one stage after another."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()

    def say(line: str) -> None:
        print(line, flush=True)

    scores = score_results(FOLDER, tasks(), workers=arguments.workers, report=say)
    embeddings = {name: embed_tasks(FOLDER, tasks(), proxy, report=say) for name, proxy in proxies().items()}
    save_embeddings(DATA_FOLDER / "embeddings" / "lab24" / f"{PROXY}.safetensors", embeddings[PROXY])
    cells = cells_table()
    cells.round(5).to_csv(RESULTS / "lab24_cells.csv", index=False)
    models_table(sorted(cells["model"].unique())).to_csv(RESULTS / "lab24_models.csv", index=False)
    scores.round({"seconds": 6, "peak_mb": 1}).to_parquet(RESULTS / "lab24_scores.parquet", index=False)
    noise(cells).round(5).to_csv(RESULTS / "lab24_noise.csv", index=False)
    first = cells[(cells["seed"] == 0) & (cells["status"] == "done")]
    matrix = TransferMatrix.from_frame(first, name="lab24")
    parts = []
    for name, found in embeddings.items():
        table = compare(matrix, found, scores, report=say)
        ours = table["method"].str.startswith("fennec")
        if parts:
            table = table[ours]
        parts.append(table.assign(proxy=np.where(ours[table.index], name, "")))
        print(summarise_comparison(pd.concat([parts[0][~parts[0]["method"].isin(table["method"])], table])).round(3))
    pd.concat(parts).round(6).to_parquet(RESULTS / "lab24_comparison.parquet", index=False)
    plot_comparison(parts[0], RESULTS / "lab24")
    growth(matrix, embeddings[PROXY]).round(5).to_csv(RESULTS / "lab24_growth.csv", index=False)


if __name__ == "__main__":
    main()
