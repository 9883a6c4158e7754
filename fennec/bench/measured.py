"""A hub that was measured with its images: results, task embeddings, and the metrics' scores of every model.

In: a folder of `fennec bench`, or a hub in `data/` that has all three. Out: `MeasuredHub`, what a comparison needs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fennec.errors import InputError
from fennec.evidence.hubs import load_matrix
from fennec.evidence.matrix import TransferMatrix
from fennec.files import alone
from fennec.settings import data_dir
from fennec.tasks.embedding import TaskEmbedding
from fennec.tasks.embedding_files import file_name, load_embeddings, save_embeddings

if TYPE_CHECKING:
    import pandas as pd

    from fennec.tasks.proxy import Proxy


@dataclass(frozen=True, eq=False)
class MeasuredHub:
    """What a comparison needs.

    Attributes:
        matrix: results.
        embeddings: of its tasks, by image set, with the seconds that they took.
        scores: table of `fennec.bench.metric_scores`.
    """

    matrix: TransferMatrix
    embeddings: Mapping[str, TaskEmbedding]
    scores: pd.DataFrame


def load_measured_hub(name: str, *, proxy: str | None = None) -> MeasuredHub:
    """A measured hub in `data/`.

    Args:
        name: of the hub.
        proxy: name of the proxy of its embeddings, the first one that there is when None.

    Raises:
        InputError: the hub has no scores, or no embeddings under this proxy.
        UnknownTaskError: no such hub.
    """
    import pandas as pd

    matrix = load_matrix(name)
    path = data_dir() / "scores" / f"{name}.csv"
    if not path.is_file():
        known = ", ".join(sorted(other.stem for other in path.parent.glob("*.csv")))
        raise InputError(f"hub '{name}' has no scores of metrics; there are {known}, and folders of 'fennec bench'")
    files = sorted((data_dir() / "embeddings" / name).glob("*.safetensors"))
    file = next((file for file in files if proxy is None or file.name == file_name(proxy)), None)
    if file is None:
        known = ", ".join(file.stem for file in files)
        raise InputError(f"hub '{name}' has no task embeddings under proxy '{proxy}'; there are {known}")
    empty = {"score": [""], "peak_mb": [""]}
    # Scores of metrics that saturate differ in their last digits.
    scores = pd.read_csv(path, keep_default_na=False, na_values=empty, float_precision="round_trip")
    return MeasuredHub(matrix, load_embeddings(file), scores)


def measure_folder(
    folder: Path,
    *,
    proxy: Proxy,
    protocol: str | None = None,
    weights: Mapping[str, str] | None = None,
    workers: int = 1,
    device: str | None = None,
    report: Callable[[str], None] = lambda message: None,
) -> MeasuredHub:
    """Embed the tasks of a folder of results and score its models on them, as far as that was not done before.

    Args:
        folder: of `fennec bench`.
        proxy: to embed with.
        protocol: which results, where there are several.
        weights: local files by model.
        workers: tasks to score at a time.
        device: where to compute.
        report: told about every task.

    Raises:
        InputError: no results, or a dataset of theirs cannot be opened.
    """
    from .cells import measured_matrix
    from .metric_scores import score_results
    from .run import find_devices, read_tasks

    matrix = measured_matrix(folder, protocol=protocol)
    tasks = {task: source for task, source in read_tasks(folder).items() if task in matrix.tasks}
    scores = score_results(
        folder,
        tasks,
        weights=weights,
        protocol=protocol,
        workers=workers,
        devices=find_devices(device)[0],
        report=report,
    )
    return MeasuredHub(matrix, embed_tasks(folder, tasks, proxy, protocol=protocol, report=report), scores)


def embed_tasks(
    folder: Path,
    tasks: Mapping[str, str],
    proxy: Proxy,
    *,
    protocol: str | None = None,
    report: Callable[[str], None] = lambda message: None,
) -> dict[str, TaskEmbedding]:
    """Embeddings of the tasks of a folder of results, kept in `embeddings/PROXY.safetensors` there.

    The proxy sees the images that the models were trained on, as the metrics do.
    """
    from fennec.images.task_images import open_task
    from fennec.tasks.embedding import embed_dataset

    from .cells import measured_models, one_budget

    n_train = one_budget(measured_models(folder, protocol=protocol), folder)["n_train"]
    path = folder / "embeddings" / file_name(proxy.name)

    def kept() -> dict[str, TaskEmbedding]:
        stored = load_embeddings(path) if path.is_file() else {}
        return {task: embedding for task, embedding in stored.items() if embedding.fingerprint == proxy.fingerprint}

    found = kept()
    for task, source in tasks.items():
        if task not in found:
            new = {task: embed_dataset(open_task(source, n_train=n_train).train, proxy, max_images=n_train)}
            with alone(path):  # another process may have embedded others meanwhile
                found = {**kept(), **found, **new}
                save_embeddings(path, found)
            report(f"embedded {task}: {found[task].taken}")
    return found
