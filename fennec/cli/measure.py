"""The commands that measure: `calibrate`, `bench`, `compare` and `evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fennec.errors import CellsFailedError
from fennec.files import write_whole
from fennec.reports.console import print_frame, print_json, print_text, teller, typed, write_page

from .options import (
    MANY,
    CsvOption,
    DeviceOption,
    HtmlOption,
    ImageColumnOption,
    JsonOption,
    LabelColumnOption,
    MetricOption,
    SilentOption,
    WeightsOption,
    metric_names,
    names,
    new_file,
    new_folder,
    numbers,
    pairs,
    seeds_of,
)

KINDS = ("finetune", "linear_probe")


def calibrate(
    like: Annotated[
        str | None, typer.Option("--like", help="Device class that is scaled: rtx3090 on a GPU, i7-12700h on a CPU.")
    ] = None,
    device: DeviceOption = None,
    seconds: Annotated[
        float, typer.Option("--seconds", help="To time each of two networks, training and not.", max=3600)
    ] = 3.0,
    as_json: JsonOption = False,
    quiet: SilentOption = False,
) -> None:
    """Time two small networks here, so that 'recommend --device-class here' shows this machine's minutes."""
    from dataclasses import asdict

    from fennec.bench import calibrate as timing

    found = timing.calibrate(like=like, device=device, seconds=seconds, report=teller(quiet))
    if as_json:
        print_json(asdict(found))
    else:
        print_text(f"{found.measured_on}: training takes {found.training:.1f} times as long as on {found.device}, "
                   f"inference {found.inference:.1f} times; used by --device-class here")  # fmt: skip


def bench(
    results: Annotated[
        Path,
        typer.Argument(help="Folder of results; made where it is absent, continued where not.", callback=new_folder),
    ],
    models: Annotated[str, typer.Option("--models", help="Ids by commas, or module:FUNCTION of your own.")],
    task: Annotated[list[str], typer.Option("--task", help="NAME=DATASET, repeated.")],
    protocol: Annotated[
        str, typer.Option("--protocol", help="finetune, linear_probe, or both by a comma.")
    ] = "finetune",
    n_train: Annotated[int, typer.Option("--n-train", help="Training images at most.", min=2, max=MANY)] = 1000,
    n_test: Annotated[int, typer.Option("--n-test", help="Test images at most.", min=1, max=MANY)] = 1000,
    epochs: Annotated[int, typer.Option("--epochs", help="Passes over the training images.", min=1, max=MANY)] = 20,
    batch_size: Annotated[int, typer.Option("--batch-size", help="Images per step.", min=1, max=MANY)] = 32,
    learning_rates: Annotated[str, typer.Option("--learning-rates", help="Grid, by commas.")] = "1e-3,1e-4",
    weight_decays: Annotated[str, typer.Option("--weight-decays", help="Grid, by commas.")] = "1e-4,1e-1",
    seeds: Annotated[str, typer.Option("--seeds", help="Seeds of the runs, by commas.")] = "0",
    weights: WeightsOption = None,
    engine: Annotated[
        str, typer.Option("--engine", help="serial, process or ray; the results are the same.")
    ] = "process",
    workers: Annotated[
        int | None, typer.Option("--workers", help="Cells at a time; all cores or GPUs.", min=1, max=MANY)
    ] = None,
    threads: Annotated[int, typer.Option("--threads", help="Of a cell on the CPU.", min=1, max=MANY)] = 1,
    device: DeviceOption = None,
    shard: Annotated[str, typer.Option("--shard", help="i/n, this machine's share of the cells.")] = "1/1",
    retry: Annotated[bool, typer.Option("--retry", help="Measure cells again that failed.")] = False,
    image_column: ImageColumnOption = None,
    label_column: LabelColumnOption = None,
    as_json: JsonOption = False,
    quiet: SilentOption = False,
) -> None:
    """Fine-tune or linear-probe every model on every task; one JSON file for each cell, continued when run again."""
    from fennec.bench.protocols import Protocol
    from fennec.bench.run import find_devices, make_jobs, run_bench
    from fennec.images.open import with_columns
    from fennec.images.task_images import describe

    budgets = [
        Protocol(
            kind=kind,
            n_train=n_train,
            n_test=n_test,
            epochs=epochs,
            batch_size=batch_size,
            learning_rates=tuple(numbers(learning_rates, "--learning-rates")),
            weight_decays=tuple(numbers(weight_decays, "--weight-decays")),
            threads=threads,
        )
        for kind in names(protocol)
    ]
    tasks = {
        name: with_columns(source, image_column, label_column)
        for name, source in pairs(task, "--task expects NAME=DATASET").items()
    }
    jobs = make_jobs(
        names(models),
        tasks,
        budgets,
        seeds=seeds_of(seeds, "--seeds"),
        weights=pairs(weights or [], "--weights expects MODEL=FILE"),
        shard=shard,
    )
    data = {name: describe(source, report=teller(quiet)) for name, source in tasks.items()}
    devices, default = find_devices(device, threads=threads)
    summary = run_bench(
        results,
        jobs,
        engine=engine,
        workers=workers or default,
        devices=devices,
        retry=retry,
        report=teller(quiet),
        said=[found["error"] for found in data.values() if "error" in found],
    )
    if as_json:
        print_json(
            {**vars(summary), "failed": dict(summary.failed), "cells": len(jobs), "folder": str(results), "data": data}
        )
    else:
        print_text(
            f"{len(jobs)} cells: {summary.measured} measured now, {summary.kept} there before, "
            f"{summary.elsewhere} held by another run, {sum(summary.failed.values())} failed"
        )
    if summary.failed:
        kinds = ", ".join(f"{error} {count}" for error, count in summary.failed.most_common())
        raise CellsFailedError(
            f"{sum(summary.failed.values())} of {len(jobs)} cells failed ({kinds}); the others are kept, run it again "
            "with --retry to measure these again"
        )


def evaluate(
    leave: Annotated[str, typer.Option("--leave", help="What is left out in turn: task or study.")] = "task",
    study: Annotated[
        list[str] | None,
        typer.Option("--study", "--hub", help="Which; by default the eight hubs with images, or every study."),
    ] = None,
    method: Annotated[list[str] | None, typer.Option("--method", help="Methods; all by default.")] = None,
    proxy: Annotated[str, typer.Option("--proxy", help="Proxy of the known tasks' embeddings.")] = "fennec-mini",
    output: Annotated[
        Path | None, typer.Option("--output", help="CSV file for every single value.", callback=new_file)
    ] = None,
    as_json: JsonOption = False,
    as_csv: CsvOption = False,
    quiet: SilentOption = False,
) -> None:
    """Leave one task, or one whole study, out: every method on what it has never seen."""
    from fennec.errors import InputError, did_you_mean
    from fennec.evaluation import leave_one_study_out as studies
    from fennec.evaluation import leave_one_task_out as tasks
    from fennec.evidence.hubs import load_matrix
    from fennec.tasks.embedding_files import load_known_embeddings

    if leave not in ("task", "study"):
        raise InputError(f"--leave is '{leave}'{did_you_mean(leave, ['task', 'study'])}; expected task or study")
    embeddings = load_known_embeddings(proxy)
    if leave == "task":
        matrices = [load_matrix(name) for name in study or tasks.EVALUATED_HUBS]
        results = tasks.leave_one_task_out(
            matrices, embeddings, methods=method or tuple(tasks.METHODS), report=teller(quiet)
        )
        summary = tasks.summarise(results)
    else:
        results = studies.leave_one_study_out(
            studies.judged_studies(study or ()), embeddings, methods=method or studies.STUDY_METHODS,
            report=teller(quiet),
        )  # fmt: skip
        summary = studies.summarise_studies(results)
    if output is not None:
        write_whole(output, results.to_csv(index=False))
    print_frame(summary.round(4), as_json, as_csv, quiet=False)


def compare(
    results: Annotated[Path | None, typer.Argument(help="Folder of 'fennec bench'; or give --study.")] = None,
    hub: Annotated[str | None, typer.Option("--study", "--hub", help="One with scores at hand: lab24.")] = None,
    protocol: Annotated[str | None, typer.Option("--protocol", help="Results of the folder to take.")] = None,
    proxy: Annotated[
        str | None, typer.Option("--proxy", help="Of the task embeddings; fennec-mini, or what the hub has.")
    ] = None,
    rerank: Annotated[int, typer.Option("--rerank", help="Models that the second stage runs.", min=1, max=MANY)] = 5,
    metric: MetricOption = "auto",
    weights: WeightsOption = None,
    workers: Annotated[int, typer.Option("--workers", help="Tasks to score at a time.", min=1, max=MANY)] = 1,
    device: DeviceOption = None,
    output: Annotated[
        Path | None, typer.Option("--output", help="Folder for CSV, JSON and plots.", callback=new_folder)
    ] = None,
    html: HtmlOption = None,
    as_json: JsonOption = False,
    as_csv: CsvOption = False,
    quiet: SilentOption = False,
) -> None:
    """Compare Fennec with every forward-pass metric: quality and cost on held-out tasks."""
    from fennec.bench.measured import load_measured_hub, measure_folder
    from fennec.errors import InputError
    from fennec.evaluation.compare import compare as run
    from fennec.evaluation.compare import summarise_comparison
    from fennec.tasks.proxy import Proxy

    if (results is None) == (hub is None):
        raise InputError("give either a folder of 'fennec bench' or --study")
    if results is None:
        measured = load_measured_hub(str(hub), proxy=proxy)
    else:
        measured = measure_folder(
            results,
            proxy=Proxy.load(proxy or "fennec-mini"),
            protocol=protocol,
            weights=pairs(weights or [], "--weights expects MODEL=FILE"),
            workers=workers,
            device=device,
            report=teller(quiet),
        )
    found = run(
        measured.matrix,
        measured.embeddings,
        measured.scores,
        rerank=rerank,
        metrics=metric_names(metric),
        report=teller(quiet),
    )
    summary = summarise_comparison(found)
    if output is not None:
        from fennec.reports.compare_plots import plot_comparison

        write_whole(output / "comparison.csv", found.to_csv(index=False))
        write_whole(output / "comparison.json", summary.to_json(orient="records", indent=1))
        plot_comparison(found, output)
    if html is not None:
        from fennec.reports.html import comparison_html

        name, n_models = measured.matrix.name, measured.matrix.n_models
        write_page(html, comparison_html(found, name=name, n_models=n_models, command=typed()), quiet=quiet)
    print_frame(summary.round(4), as_json, as_csv, quiet=False)
