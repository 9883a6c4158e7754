"""The commands that build: `embed` a dataset, `fit` a space."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from fennec.errors import InputError
from fennec.reports.console import print_made, teller

from .options import (
    ColdOption,
    HubOption,
    ImageColumnOption,
    ImagesOption,
    JsonOption,
    LabelColumnOption,
    ProtocolOption,
    ProxyOption,
    SeedOption,
    SilentOption,
    SplitOption,
    opened,
    pairs,
)


def embed(
    dataset: Annotated[str | None, typer.Argument(help="Dataset to embed.")] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="File to write.")] = None,
    proxy: ProxyOption = "fennec-mini",
    known: Annotated[bool, typer.Option("--known", help="Embed the known tasks through torchvision.")] = False,
    root: Annotated[Path, typer.Option("--root", help="With --known: folder of torchvision datasets.")] = Path(),
    download: Annotated[bool, typer.Option("--download", help="With --known: fetch what is missing.")] = False,
    split: SplitOption = None,
    image_column: ImageColumnOption = None,
    label_column: LabelColumnOption = None,
    max_images: ImagesOption = 500,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
    quiet: SilentOption = False,
) -> None:
    """Embed a dataset, or all known tasks under another proxy."""
    from fennec.tasks.embedding import embed_dataset
    from fennec.tasks.embedding_files import embeddings_file, save_embeddings
    from fennec.tasks.known_tasks import embed_known_tasks
    from fennec.tasks.proxy import Proxy

    if known == (dataset is not None):
        raise InputError("give either a dataset or --known")
    encoder = Proxy.load(proxy)
    if dataset is None:
        found = embed_known_tasks(encoder, root, download=download, max_images=max_images, report=teller(quiet))
    else:
        images = opened(dataset, split, image_column, label_column, quiet=quiet)
        found = {dataset: embed_dataset(images, encoder, max_images=max_images, random_state=seed, progress=not quiet)}
    target = output or (embeddings_file(encoder.name) if dataset is None else Path("task.safetensors"))
    save_embeddings(target, found)
    n_images = {name: embedding.n_images for name, embedding in found.items()}
    data = {name: embedding.taken.to_dict() for name, embedding in found.items() if embedding.taken is not None}
    print_made({"file": str(target), "proxy": encoder.name, "n_images": n_images, "data": data}, as_json)


def fit(
    output: Annotated[Path, typer.Argument(help="Folder to write the space to.")],
    hub: HubOption = "default",
    protocol: ProtocolOption = None,
    results: Annotated[
        Path | None, typer.Option("--results", help="Your own CSV (model,task,value), or a folder of 'fennec bench'.")
    ] = None,
    images: Annotated[
        list[str] | None, typer.Option("--images", help="TASK=DATASET, images of a task of yours.")
    ] = None,
    cold: ColdOption = None,
    proxy: ProxyOption = "fennec-mini",
    image_column: ImageColumnOption = None,
    label_column: LabelColumnOption = None,
    max_images: ImagesOption = 500,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
    quiet: SilentOption = False,
) -> None:
    """Build a space from a study or from your own results."""
    from dataclasses import replace

    from fennec.bench.cells import measured_matrix
    from fennec.bench.run import read_tasks
    from fennec.checkpoints.catalog import load_catalog
    from fennec.evidence.hubs import load_matrix
    from fennec.evidence.own import own_matrix
    from fennec.space.recommender import Recommender
    from fennec.tasks.embedding import embed_dataset
    from fennec.tasks.embedding_files import load_known_embeddings
    from fennec.tasks.proxy import Proxy

    sources: dict[str, str] = {}
    catalog = load_catalog()
    data: dict[str, Any] = {}
    if results is None:
        matrix = load_matrix(hub, protocol=protocol)
    elif results.is_dir():
        matrix, sources = measured_matrix(results, protocol=protocol), read_tasks(results)
        matrix = replace(matrix, models=tuple(map(catalog.resolve, matrix.models)))
    else:
        matrix = own_matrix(results, protocol=protocol, report=teller(quiet))
    encoder = Proxy.load(proxy)
    embeddings = dict(load_known_embeddings(encoder.name))
    sources = {task: source for task, source in sources.items() if task in matrix.tasks}
    for task, source in {**sources, **pairs(images or [], "--images expects TASK=DATASET")}.items():
        if task not in matrix.tasks:
            raise InputError(f"--images names task '{task}', which has no results; there are {', '.join(matrix.tasks)}")
        image_set = matrix.image_sets[matrix.tasks.index(task)]
        opened_images = opened(source, None, image_column, label_column, quiet=quiet)
        data[task] = opened_images.taken.to_dict()
        embeddings[image_set] = embed_dataset(
            opened_images, encoder, max_images=max_images, random_state=seed, progress=not quiet
        )
    place = results is None if cold is None else cold
    models = catalog.candidates(matrix.protocol) if place else ()
    Recommender().fit(matrix, embeddings, cold=models).save(output, proxy=encoder)
    facts = {"n_models": matrix.n_models, "n_tasks": matrix.n_tasks, "n_cold": len(models), "data": data}
    print_made({"folder": str(output), "hub": matrix.name, **facts}, as_json)
