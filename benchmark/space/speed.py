"""How fast Fennec is on this machine: embedding, ranking, top-k of many models, the whole command.

    [BEFORE=checkout of an earlier version] python benchmark/space/speed.py

Writes `speed.csv` (what, size, seconds, mb, ratio) and `index.csv` (size, visited, recall@10). Every figure is the
median of several repeats in a process of its own; mb is the peak resident memory of that process. Whole commands run in
turns with `import timm`, and ratio is the median of the ratios to it. Pictures are generated JPEG files of 500 x 375.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

RESULTS = Path(__file__).parents[1] / "results"
N_IMAGES = 500
N_REPEATS = 5


def median_seconds(function: Callable[[], object], *, repeats: int = N_REPEATS) -> float:
    """Median wall-clock time after one call to warm up."""
    function()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def make_pictures(folder: Path) -> None:
    """JPEG files with the detail of photographs: noise at several scales."""
    generator = np.random.default_rng(0)
    for index in range(N_IMAGES):
        layers = [
            Image.fromarray(generator.integers(0, 256, (375 // s, 500 // s, 3), dtype=np.uint8)).resize((500, 375))
            for s in (75, 25, 5)
        ]
        Image.blend(Image.blend(layers[0], layers[1], 0.4), layers[2], 0.2).save(folder / f"{index}.jpg", quality=90)


def fit_hub() -> list[tuple[str, int, float]]:
    """Offline: fit the recommender of every hub."""
    from fennec.evidence.hubs import load_hubs, load_matrix
    from fennec.space.recommender import Recommender

    rows = []
    for name in load_hubs():
        matrix = load_matrix(name)
        seconds = median_seconds(lambda matrix=matrix: Recommender().fit(matrix), repeats=3)
        rows.append((f"fit {name}", matrix.n_models * matrix.n_tasks, seconds))
    return rows


def embed_images() -> list[tuple[str, int, float]]:
    """Online: decode and embed a folder of pictures with the bundled proxy."""
    from fennec.tasks.embedding import embed_task
    from fennec.tasks.proxy import Proxy

    proxy = Proxy.load()
    seconds = median_seconds(lambda: embed_task(os.environ["PICTURES"], proxy=proxy), repeats=3)
    return [("embed images", N_IMAGES, seconds)]


def rank_models() -> list[tuple[str, int, float]]:
    """Online: from a task vector to the ten best models."""
    from fennec.space.index import ModelIndex

    rows = []
    generator = np.random.default_rng(0)
    query = generator.standard_normal(16)
    for size in (2_000, 10_000, 100_000, 200_000, 1_000_000):
        index = ModelIndex(generator.standard_normal((size, 16)), exact=True)
        rows.append(("rank exact", size, median_seconds(lambda index=index: index.search(query, 10), repeats=50)))
    return rows


def rank_with_index() -> list[tuple[str, int, float]]:
    """The same through faiss, with the time to build it; the share of the exact top ten goes to `index.csv`."""
    from fennec.space.index import CELLS_SHARE, ModelIndex

    rows, recalls = [], []
    for size in (10_000, 100_000, 200_000, 1_000_000):
        generator = np.random.default_rng(0)
        vectors = generator.standard_normal((size, 16))
        start = time.perf_counter()
        indexed, exact = ModelIndex(vectors, exact=False), ModelIndex(vectors, exact=True)
        rows.append(("build index", size, time.perf_counter() - start))
        queries = generator.standard_normal((50, 16))
        found = [len(set(indexed.search(q, 10)) & set(exact.search(q, 10))) / 10 for q in queries]
        rows.append(("rank index", size, median_seconds(partial(indexed.search, queries[0], 10), repeats=50)))
        recalls.append((size, 1 / CELLS_SHARE, float(np.mean(found))))
    pd.DataFrame(recalls, columns=["size", "visited", "recall@10"]).to_csv(RESULTS / "index.csv", index=False)
    return rows


def recommend_in_process() -> list[tuple[str, int, float]]:
    """A server: all after the embedding, facts, costs, intervals and probabilities included, and the order alone."""
    from fennec.space.recommender import Recommender
    from fennec.tasks.embedding_files import load_known_embeddings

    task, recommender = load_known_embeddings()["dtd"], Recommender.from_published()
    n_models = len(recommender.models_)
    order = lambda: recommender.index_.search(recommender.task_vector(task), n_models)  # noqa: E731
    return [
        ("recommend", n_models, median_seconds(partial(recommender.recommend, task), repeats=50)),
        ("expected results with intervals", n_models, median_seconds(partial(recommender.predict, task), repeats=50)),
        ("order of all models", n_models, median_seconds(order, repeats=50)),
    ]


def recommend_many() -> list[tuple[str, int, float]]:
    """How expected results with intervals, and joint draws for probabilities, grow with the number of models."""
    from fennec.space.portfolio import in_top
    from fennec.space.recommender import Recommender
    from fennec.tasks.embedding_files import load_known_embeddings

    task, rows = load_known_embeddings()["dtd"], []
    for size in (2_000, 10_000, 100_000, 1_000_000):
        recommender = Recommender.from_published()
        copies = np.arange(size) % len(recommender.models_)
        recommender.models_ = [f"{recommender.models_[row]}/{number}" for number, row in enumerate(copies)]
        recommender.model_vectors_ = recommender.model_vectors_[copies]
        recommender.doubt_ = recommender.doubt_[copies]
        predicted = median_seconds(partial(recommender.predict, task), repeats=5)
        rows.append(("expected results with intervals", size, predicted))
        if size <= 100_000:  # draws of a million take gigabytes
            drawn = median_seconds(
                lambda one=recommender: in_top(one.drawn_logits(one.expected(task), n_draws=500)), repeats=3
            )
            rows.append(("probabilities of the five best", size, drawn))
    return rows


def whole_commands() -> list[tuple[str, int, float, float, float]]:
    """Commands from a cold start of the interpreter, in turns with `import timm`: seconds, MB, ratio to that import.

    `BEFORE` may name a checkout of an earlier version, which is then run beside this one.
    """
    here = [sys.executable, "-m", "fennec.cli.main"]
    recommend = [*here, "recommend", os.environ["PICTURES"]]
    commands: dict[str, tuple[list[str], str]] = {
        "import timm": ([sys.executable, "-c", "import timm"], ""),
        "fennec recommend": (recommend, ""),
        "fennec --help": ([*here, "--help"], ""),
        "fennec models -q": ([*here, "models", "-q"], ""),
        "import fennec": ([sys.executable, "-c", "import fennec"], ""),
    }
    if before := os.environ.get("BEFORE"):
        commands["fennec recommend before"] = (recommend, before)
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for _ in range(N_REPEATS):
        for name, (command, place) in commands.items():
            taken[name].append(_one_run(command, place))
    timm = [seconds for seconds, _ in taken["import timm"]]
    return [
        (
            name,
            N_IMAGES if "recommend" in name else 0,
            float(np.median([seconds for seconds, _ in runs])),
            max(peak for _, peak in runs),
            float(np.median([seconds / beside for (seconds, _), beside in zip(runs, timm, strict=True)])),
        )
        for name, runs in taken.items()
    ]


def _one_run(command: list[str], place: str) -> tuple[float, float]:
    """Seconds and peak MB of a command, by a version elsewhere where a place is given."""
    path = os.pathsep.join(filter(None, [place, os.environ.get("PYTHONPATH")]))
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=place or None,
                               env={**os.environ, "PYTHONPATH": path})  # fmt: skip
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f"{command} ended with {status}")
    return time.perf_counter() - start, used.ru_maxrss / 1024


def graph_architectures() -> list[tuple[str, int, float]]:
    """Build and trace networks without weights: one timm model, and a hundred of all kinds one after another."""
    from fennec.architectures.build import build_architecture
    from fennec.architectures.graph import graph_of, load_known_graphs

    def graph(name: str) -> None:
        module, size = build_architecture(name)
        graph_of(module, input_size=size, name=name)

    rows = [("graph one model", 1, median_seconds(lambda: graph("timm:convnext_tiny"), repeats=3))]
    chosen = np.random.default_rng(0).permutation(sorted(load_known_graphs()))[:100]
    start = time.perf_counter()
    for name in chosen:
        graph(str(name))
    return [*rows, ("graph architectures", len(chosen), time.perf_counter() - start)]


def encode_architectures() -> list[tuple[str, int, float]]:
    """From graphs to vectors."""
    from fennec.architectures.archi2vec import Archi2Vec
    from fennec.architectures.graph import load_known_graphs
    from fennec.settings import data_dir

    graphs = list(load_known_graphs().values())
    model = Archi2Vec.load(data_dir() / "archi2vec.safetensors")
    order = np.random.default_rng(0).permutation(len(graphs))
    rows = []
    for size in (1, 100, 1300):
        chosen = [graphs[index] for index in order[:size]]
        rows.append(("encode architectures", size, median_seconds(partial(model.encode, chosen), repeats=1)))
    return rows


STEPS = {
    step.__name__: step
    for step in (
        fit_hub,
        embed_images,
        rank_models,
        rank_with_index,
        recommend_in_process,
        recommend_many,
        graph_architectures,
        encode_architectures,
        whole_commands,
    )
}


def main() -> None:
    """Run every step in a process of its own, or one of them."""
    if len(sys.argv) > 1:
        for what, size, seconds, *more in STEPS[sys.argv[1]]():
            peak, ratio = more or (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, "")
            print(f"{what},{size},{seconds:.6g},{peak:.0f},{ratio and f'{ratio:.3g}'}")
        return
    with tempfile.TemporaryDirectory() as folder:
        make_pictures(Path(folder))
        lines = []
        for name in STEPS:
            done = subprocess.run(
                [sys.executable, __file__, name],
                check=True,
                capture_output=True,
                text=True,
                env={**os.environ, "PICTURES": folder},
            )
            print(done.stdout, end="", flush=True)
            lines += [line.split(",") for line in done.stdout.splitlines()]
    table = pd.DataFrame(lines, columns=["what", "size", "seconds", "mb", "ratio"])
    table.to_csv(RESULTS / "speed.csv", index=False)


if __name__ == "__main__":
    main()
