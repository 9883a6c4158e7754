"""The commands that list what is known: `models`, `similar`, `tasks`, `studies`, `hubs`; and `add-model`."""

from __future__ import annotations

from typing import Annotated

import typer

from fennec.errors import InputError, NothingToRecommendError
from fennec.reports.console import print_frame, print_made

from .options import MANY, CsvOption, JsonOption, QuietOption, WhereOption

MAX_SIDE = 4096
TABLE = ["id", "params", "gmacs", "input_size", "pretraining_data", "pretraining_method", "finetuned_on", "official",
         "license"]  # fmt: skip


def models(
    where: WhereOption = None,
    hub: Annotated[str | None, typer.Option("--study", "--hub", help="Only models with results in it.")] = None,
    all_names: Annotated[
        bool, typer.Option("--names", help="Every name of every model, instead of its facts.")
    ] = False,
    as_json: JsonOption = False,
    as_csv: CsvOption = False,
    quiet: QuietOption = False,
) -> None:
    """List the models of the catalog."""
    import pandas as pd

    from fennec.checkpoints.catalog import load_catalog
    from fennec.evidence.hubs import load_matrix

    catalog = load_catalog()
    ids = catalog.ids if where is None else catalog.where(where)
    if hub is not None:
        members = set(load_matrix(hub).models)
        ids = tuple(model for model in ids if model in members)
    if not ids:
        raise NothingToRecommendError("no model satisfies the condition; loosen it")
    frame = catalog.frame.loc[list(ids)].drop(columns="names").reset_index()
    if all_names:
        pairs = [(model, name) for model in ids for name in catalog[model].all_names]
        frame = pd.DataFrame(pairs, columns=["id", "name"])
    elif not (as_json or as_csv):
        frame = frame[TABLE]
    print_frame(frame, as_json, as_csv, quiet)


def similar(
    model: Annotated[str, typer.Argument(help="Model of the catalog, or library:architecture.")],
    n: Annotated[int, typer.Option("-n", help="Architectures to list.", min=1, max=MANY)] = 10,
    as_json: JsonOption = False,
    as_csv: CsvOption = False,
    quiet: QuietOption = False,
) -> None:
    """List the architectures that are built most like one (archi2vec)."""
    from fennec.architectures.vectors import load_known_vectors
    from fennec.checkpoints.catalog import load_catalog

    known, name = load_known_vectors(), model
    if model not in known.position:
        name = load_catalog()[load_catalog().find(model)].backbone
    if not name:
        raise InputError(f"'{model}' is in the catalog, but its network is not known; give library:architecture")
    print_frame(known.similar(name, n=n).round(4), as_json, as_csv, quiet)


def add_model(
    name: Annotated[str, typer.Argument(help="timm:NAME, hf-hub:timm/NAME, or module:FUNCTION that makes a network.")],
    pretraining_data: Annotated[str, typer.Option(help="What it was trained on, joined by +.")] = "",
    pretraining_method: Annotated[str, typer.Option(help="How, for example supervised or mae.")] = "",
    finetuned_on: Annotated[str, typer.Option(help="What it was trained on afterwards.")] = "",
    license: Annotated[str, typer.Option("--license", help="Licence id.")] = "",
    input_size: Annotated[int | None, typer.Option(help="Side of its input in pixels.", min=1, max=MAX_SIDE)] = None,
    as_json: JsonOption = False,
) -> None:
    """Add a model to the catalog, so that it is placed and ranked without any result."""
    from fennec.checkpoints.add import add_model as add

    added = add(
        name,
        pretraining_data=pretraining_data,
        pretraining_method=pretraining_method,
        finetuned_on=finetuned_on,
        license=license,
        input_size=input_size,
    )
    print_made({"id": added}, as_json)


def tasks(
    hub: Annotated[str | None, typer.Option("--study", "--hub", help="Only the tasks of this study.")] = None,
    as_json: JsonOption = False,
    as_csv: CsvOption = False,
    quiet: QuietOption = False,
) -> None:
    """List the known tasks."""
    from fennec.evidence.hubs import load_matrix
    from fennec.evidence.studies import load_tasks

    frame = load_tasks()
    if hub is not None:
        frame = frame.loc[list(load_matrix(hub).tasks)]
    print_frame(frame.reset_index(), as_json, as_csv, quiet)


def studies(as_json: JsonOption = False, as_csv: CsvOption = False, quiet: QuietOption = False) -> None:
    """List the studies: every published source of results, with models, tasks, protocols and licence."""
    from fennec.evidence.studies import describe_studies

    print_frame(describe_studies(), as_json, as_csv, quiet)


def hubs(as_json: JsonOption = False, as_csv: CsvOption = False, quiet: QuietOption = False) -> None:
    """List the hubs: short names for parts of studies, one protocol and one budget each."""
    from fennec.evidence.hubs import describe_hubs

    print_frame(describe_hubs().round(3), as_json, as_csv, quiet)
