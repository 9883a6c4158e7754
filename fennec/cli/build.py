"""The commands that build: `embed` a dataset, `fit` a space."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from fennec.errors import InputError
from fennec.reports.console import print_made, say, teller

from .options import (
    CatalogOption,
    ImageColumnOption,
    ImagesOption,
    JsonOption,
    LabelColumnOption,
    ProtocolOption,
    ProxyOption,
    SeedOption,
    SilentOption,
    SplitOption,
    StudyOption,
    new_file,
    new_folder,
    opened,
    pairs,
)


def embed(
    dataset: Annotated[str | None, typer.Argument(help="Dataset to embed.")] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="File to write.", callback=new_file)] = None,
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
    from fennec.tasks.embedding_files import embeddings_file, save_embeddings
    from fennec.tasks.known_tasks import embed_known_tasks
    from fennec.tasks.proxy import Proxy
    from fennec.tasks.unfinished import embed_large

    if known == (dataset is not None):
        raise InputError("give either a dataset or --known")
    encoder = Proxy.load(proxy)
    target = output or (embeddings_file(encoder.name) if dataset is None else Path("task.safetensors"))
    if dataset is None:
        found = embed_known_tasks(encoder, root, download=download, max_images=max_images, report=teller(quiet))
    else:
        images = opened(dataset, split, image_column, label_column, quiet=quiet)
        unfinished = target.with_name(f"{target.name}.unfinished")
        embedding = embed_large(
            images, encoder, unfinished, max_images=max_images, random_state=seed, progress=not quiet
        )
        found = {dataset: embedding}
    save_embeddings(target, found)
    n_images = {name: embedding.n_images for name, embedding in found.items()}
    data = {name: embedding.taken.to_dict() for name, embedding in found.items() if embedding.taken is not None}
    rate = {name: round(it.n_images / it.seconds, 1) for name, it in found.items() if it.seconds}
    made = {"file": str(target), "proxy": encoder.name, "n_images": n_images, "images_per_second": rate, "data": data}
    print_made(made, as_json)


def fit(
    output: Annotated[Path, typer.Argument(help="Folder to write the space to.", callback=new_folder)],
    study: StudyOption = "all",
    protocol: ProtocolOption = None,
    results: Annotated[
        Path | None, typer.Option("--results", help="Your own CSV (model,task,value), or a folder of 'fennec bench'.")
    ] = None,
    images: Annotated[
        list[str] | None, typer.Option("--images", help="TASK=DATASET, images of a task of yours.")
    ] = None,
    catalog_models: CatalogOption = True,
    proxy: ProxyOption = "fennec-mini",
    image_column: ImageColumnOption = None,
    label_column: LabelColumnOption = None,
    max_images: ImagesOption = 500,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
    quiet: SilentOption = False,
) -> None:
    """Build a space: from all published results, from one study, or from your own results beside all others."""
    from dataclasses import replace

    from fennec.bench.cells import measured_matrix
    from fennec.bench.run import read_tasks
    from fennec.checkpoints.catalog import load_catalog
    from fennec.evidence.hubs import load_matrix
    from fennec.evidence.own import own_matrix
    from fennec.evidence.scores import load_scores, own_study, with_own
    from fennec.space.recommender import Recommender
    from fennec.tasks.embedding import embed_dataset
    from fennec.tasks.embedding_files import load_known_embeddings
    from fennec.tasks.proxy import Proxy

    sources: dict[str, str] = {}
    catalog = load_catalog()
    data: dict[str, Any] = {}
    matrix = None
    if results is None:
        matrix = None if study in ("all", "default") else load_matrix(study, protocol=protocol)
    elif results.is_dir():
        matrix, sources = measured_matrix(results, protocol=protocol), read_tasks(results)
        matrix = replace(matrix, models=tuple(map(catalog.resolve, matrix.models)))
    else:
        matrix = own_matrix(results, protocol=protocol, report=say)
    tasks = () if matrix is None else matrix.tasks
    encoder = Proxy.load(proxy)
    embeddings = dict(load_known_embeddings(encoder.name))
    sources = {task: source for task, source in sources.items() if task in tasks}
    for task, source in {**sources, **pairs(images or [], "--images expects TASK=DATASET")}.items():
        if matrix is None or task not in tasks:
            raise InputError(
                f"--images names task '{task}', which has no results of yours; there are {', '.join(tasks)}"
            )
        opened_images = opened(source, None, image_column, label_column, quiet=quiet)
        data[task] = opened_images.taken.to_dict()
        embeddings[matrix.image_sets[tasks.index(task)]] = embed_dataset(
            opened_images, encoder, max_images=max_images, random_state=seed, progress=not quiet
        )
    by = protocol or (matrix.protocol if matrix is not None else "finetune")
    candidates = catalog.candidates(by) if catalog_models else ()
    recommender = Recommender()
    if matrix is None:
        recommender.fit(load_scores(), embeddings, protocol=by, candidates=candidates)
    elif results is None:
        recommender.fit(matrix, embeddings, candidates=candidates)
    else:
        recommender.fit(with_own(matrix), embeddings, protocol=by, study=own_study(matrix.name), candidates=candidates)
    recommender.save(output, proxy=encoder)
    facts = {"n_models": len(recommender.models_), "n_tasks": len(recommender.image_sets_), "data": data}
    if results is not None and matrix is not None:
        facts["unknown_models"] = [model for model in matrix.models if model not in catalog]
    print_made({"folder": str(output), "study": recommender.name_, "protocol": by, **facts}, as_json)
