"""The command that finds the best model for a dataset within a budget: `search`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fennec.reports.console import print_json, print_table, print_text, watching

from .options import (
    DatasetArgument,
    DeviceOption,
    ImageColumnOption,
    JsonOption,
    LabelColumnOption,
    QuietOption,
    SpaceOption,
    WeightsOption,
    WhereOption,
    names,
    new_folder,
    pairs,
)


def search(
    dataset: DatasetArgument,
    budget: Annotated[str, typer.Option("--budget", help="30m, 1h30m, '50 passes' or '5 models'.")],
    protocol: Annotated[str, typer.Option("--protocol", help="finetune or linear_probe.")] = "finetune",
    where: WhereOption = None,
    models: Annotated[str | None, typer.Option("--models", help="Candidates, ids by commas; all by default.")] = None,
    space: SpaceOption = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder of results, continued where it is there; NAME-search.", callback=new_folder),
    ] = None,
    worth: Annotated[
        float, typer.Option("--worth", help="Stop when no trial is expected to gain so many points.", min=0.0)
    ] = 0.1,
    n_train: Annotated[int, typer.Option("--n-train", help="Training images at most.", min=2)] = 1000,
    n_test: Annotated[int, typer.Option("--n-test", help="Test images at most.", min=1)] = 1000,
    epochs: Annotated[int, typer.Option("--epochs", help="Passes over the training images, of finetune.", min=1)] = 20,
    threads: Annotated[int, typer.Option("--threads", help="Of a trial on the CPU.", min=1)] = 1,
    weights: WeightsOption = None,
    engine: Annotated[
        str, typer.Option("--engine", help="serial, process or ray; the results are the same.")
    ] = "process",
    workers: Annotated[
        int | None, typer.Option("--workers", help="Trials at a time; all cores or GPUs.", min=1)
    ] = None,
    address: Annotated[str | None, typer.Option("--address", help="Of a Ray cluster; auto for one at hand.")] = None,
    device: DeviceOption = None,
    retry: Annotated[bool, typer.Option("--retry", help="Try models again that failed in an earlier run.")] = False,
    image_column: ImageColumnOption = None,
    label_column: LabelColumnOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Find the best model for a dataset by trying a few: each trial is the one expected to gain most."""
    from fennec.bench.protocols import Protocol
    from fennec.images.open import with_columns
    from fennec.space.recommender import Recommender
    from fennec.trials import loop

    effort = Protocol(protocol, n_train=n_train, n_test=n_test, epochs=epochs, threads=threads)
    with watching(quiet) as report:
        found = loop.search(
            with_columns(dataset, image_column, label_column),
            budget,
            protocol=effort,
            recommender=None if space is None else Recommender.load(space),
            models=names(models or ""),
            where=where,
            out=out,
            worth=worth,
            weights=pairs(weights or [], "--weights expects MODEL=FILE"),
            hands=loop.Hands(engine, workers, device, address, retry=retry),
            report=report,
        )
    if quiet:
        print_text("" if found.winner is None else found.winner.model)
    elif as_json:
        print_json(found.to_dict())
    else:
        print_table(found.to_table())
        print_text(found.summary())
