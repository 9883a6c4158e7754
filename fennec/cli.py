"""The `fennec` command: parse, call the library, print.

stdout carries the result, stderr progress and messages. Exit codes: 0 done, 1 failure, 2 usage, 3 nothing to
recommend, 130 interrupted.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import __version__, cli_measure, cli_share
from .errors import FennecError, InputError, NothingToRecommendError
from .options import (
    ColdOption,
    CsvOption,
    DatasetArgument,
    DeviceOption,
    HtmlOption,
    HubOption,
    ImagesOption,
    JsonOption,
    KnownOption,
    MetricOption,
    PortfolioOption,
    ProtocolOption,
    ProxyOption,
    QuietOption,
    RerankOption,
    SeedOption,
    SilentOption,
    SpaceOption,
    SplitOption,
    WarmOption,
    WeightsOption,
    WhereOption,
    known_results,
    metric_names,
    names,
    pairs,
)
from .report import print_frame, print_json, print_made, print_ranking, teller, typed, write_page
from .settings import is_debug

if TYPE_CHECKING:
    from .online import Prepared
    from .ranking import Ranking

app = typer.Typer(
    name="fennec",
    help="Which pre-trained vision model should I fine-tune on my data?",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def root(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """Options of the command itself."""
    if version:
        typer.echo(__version__)
        raise typer.Exit


@app.command(epilog="Examples:  fennec recommend photos/  |  fennec recommend sklearn:digits -n 5 --json  |  "
             "fennec recommend data.zip --where \"params < 30e6\" --known tried.csv")  # fmt: skip
def recommend(
    dataset: DatasetArgument,
    n: Annotated[int, typer.Option("-n", help="Models to list.", min=1)] = 10,
    hub: HubOption = "default",
    protocol: ProtocolOption = None,
    proxy: ProxyOption = "fennec-mini",
    where: WhereOption = None,
    known: KnownOption = None,
    rerank: RerankOption = 0,
    metric: MetricOption = "auto",
    weights: WeightsOption = None,
    device: DeviceOption = None,
    space: SpaceOption = None,
    warm_only: WarmOption = False,
    portfolio: PortfolioOption = False,
    split: SplitOption = None,
    max_images: ImagesOption = 500,
    seed: SeedOption = 0,
    html: HtmlOption = None,
    as_json: JsonOption = False,
    as_csv: CsvOption = False,
    quiet: QuietOption = False,
) -> None:
    """Rank the models that are expected to do best on a dataset: every checkpoint of the catalog."""
    from dataclasses import replace

    if portfolio and rerank:
        raise InputError("--portfolio chooses models to try together, --rerank orders a list; take one of them")
    found = _prepared(dataset, hub, protocol, proxy, space, split, max_images, seed, progress=not quiet)
    task, results = found.task, known_results(known)
    start = time.perf_counter()
    ranking = found.recommender.recommend(
        task, n=max(n, rerank), where=where, known=results, warm_only=warm_only, portfolio=portfolio
    )
    ranking = replace(ranking, seconds={**found.seconds, "ranking": time.perf_counter() - start})
    if rerank:
        from .scoring import rerank as merge

        best = [model.id for model in ranking.models[:rerank]]
        ranking = merge(
            ranking, _score(dataset, best, metric, weights, device, split, max_images, seed, progress=not quiet)
        )
    ranking = replace(ranking, models=ranking.models[:n])
    if html is not None:
        from .html_report import recommendation_html

        write_page(
            html, recommendation_html(ranking, found.recommender, task, found.images, command=typed()), quiet=quiet
        )
    print_ranking(ranking, as_json, as_csv, quiet, {"n_images": task.n_images, "skipped": task.skipped})
    for item, reason in task.skipped[:5]:
        typer.echo(f"skipped {item.encode('utf-8', 'backslashreplace').decode()}: {reason}", err=True)


def _prepared(
    dataset: str, hub: str, protocol: str | None, proxy: str, space: Path | None, split: str | None, max_images: int,
    seed: int, *, progress: bool,
) -> Prepared:  # fmt: skip
    """Images, task vector and fitted recommender."""
    from .online import prepare

    return prepare(
        dataset, hub=hub, protocol=protocol, proxy=proxy, space=space, split=split, max_images=max_images,
        random_state=seed, progress=progress,
    )  # fmt: skip


@app.command(epilog="Examples:  fennec score photos/ --models timm:resnet18.a1_in1k,timm:vit_tiny_patch16_224  |  "
             "fennec score photos/ --models timm:resnet18.a1_in1k --weights timm:resnet18.a1_in1k=r18.pth "
             "--metric 'sfda,ped(logme)'")  # fmt: skip
def score(
    dataset: DatasetArgument,
    models: Annotated[str, typer.Option("--models", help="Ids of timm, torchvision or open_clip models, by commas.")],
    metric: MetricOption = "auto",
    weights: WeightsOption = None,
    device: DeviceOption = None,
    n: Annotated[int | None, typer.Option("-n", help="Models to list; all by default.", min=1)] = None,
    split: SplitOption = None,
    max_images: ImagesOption = 500,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
    as_csv: CsvOption = False,
    quiet: QuietOption = False,
) -> None:
    """Score models by forward passes over the images, without fine-tuning."""
    from dataclasses import replace

    ranking = _score(dataset, names(models), metric, weights, device, split, max_images, seed, progress=not quiet)
    print_ranking(replace(ranking, models=ranking.models[:n]), as_json, as_csv, quiet, {})


@app.command(epilog="Example:  fennec explain photos/ hf:microsoft/resnet-50")
def explain(
    dataset: DatasetArgument,
    model: Annotated[str, typer.Argument(help="Model id, see 'fennec models'.")],
    hub: HubOption = "default",
    protocol: ProtocolOption = None,
    proxy: ProxyOption = "fennec-mini",
    space: SpaceOption = None,
    split: SplitOption = None,
    max_images: ImagesOption = 500,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
    quiet: SilentOption = False,
) -> None:
    """Show where the score of one model comes from."""
    from .catalog import load_catalog

    name = load_catalog().find(model) if space is None else model
    found = _prepared(dataset, hub, protocol, proxy, space, split, max_images, seed, progress=not quiet)
    explanation = found.recommender.explain(found.task, name)
    print_json(explanation.to_dict()) if as_json else typer.echo(str(explanation))


@app.command(epilog="Examples:  fennec models --where \"family == 'convnext'\"  |  fennec models --hub hf180 -q")
def models(
    where: WhereOption = None,
    hub: Annotated[str | None, typer.Option("--hub", help="Only models with results in this hub.")] = None,
    as_json: JsonOption = False,
    as_csv: CsvOption = False,
    quiet: QuietOption = False,
) -> None:
    """List the models of the catalog."""
    from .catalog import load_catalog
    from .hubs import load_matrix

    catalog = load_catalog()
    ids = catalog.ids if where is None else catalog.where(where)
    if hub is not None:
        members = set(load_matrix(hub).models)
        ids = tuple(model for model in ids if model in members)
    if not ids:
        raise NothingToRecommendError("no model satisfies the condition; loosen it")
    print_frame(catalog.frame.loc[list(ids)].drop(columns="names").reset_index(), as_json, as_csv, quiet)


@app.command(epilog="Examples:  fennec similar timm:convnext_tiny  |  fennec similar torchvision:resnet50 -n 5 --json")
def similar(
    model: Annotated[str, typer.Argument(help="Model of the catalog, or library:architecture.")],
    n: Annotated[int, typer.Option("-n", help="Architectures to list.", min=1)] = 10,
    as_json: JsonOption = False,
    as_csv: CsvOption = False,
    quiet: QuietOption = False,
) -> None:
    """List the architectures that are built most like one (archi2vec)."""
    from .architecture_vectors import load_known_vectors
    from .catalog import load_catalog

    known, name = load_known_vectors(), model
    if model not in known.position:
        name = load_catalog()[load_catalog().find(model)].backbone
    if not name:
        raise InputError(f"'{model}' is in the catalog, but its network is not known; give library:architecture")
    print_frame(known.similar(name, n=n).round(4), as_json, as_csv, quiet)


@app.command("add-model", epilog="Examples:  fennec add-model timm:test_vit.r160_in1k  |  "
             "fennec add-model mynets:small_net --pretraining-data imagenet-1k")  # fmt: skip
def add_model(
    name: Annotated[str, typer.Argument(help="timm:NAME, hf-hub:timm/NAME, or module:FUNCTION that makes a network.")],
    pretraining_data: Annotated[str, typer.Option(help="What it was trained on, joined by +.")] = "",
    pretraining_method: Annotated[str, typer.Option(help="How, for example supervised or ssl:mae.")] = "",
    license: Annotated[str, typer.Option("--license", help="Licence id.")] = "",
    input_size: Annotated[int | None, typer.Option(help="Side of its input in pixels.", min=1)] = None,
    as_json: JsonOption = False,
) -> None:
    """Add a model to the catalog, so that it is placed and ranked without any result."""
    from .added_models import add_model as add

    added = add(
        name,
        pretraining_data=pretraining_data,
        pretraining_method=pretraining_method,
        license=license,
        input_size=input_size,
    )
    print_made({"id": added}, as_json)


@app.command(epilog="Example:  fennec tasks --hub clip121")
def tasks(
    hub: Annotated[str | None, typer.Option("--hub", help="Only the tasks of this hub.")] = None,
    as_json: JsonOption = False,
    as_csv: CsvOption = False,
    quiet: QuietOption = False,
) -> None:
    """List the known tasks."""
    from .hubs import load_matrix, load_tasks

    frame = load_tasks()
    if hub is not None:
        frame = frame.loc[list(load_matrix(hub).tasks)]
    print_frame(frame.reset_index(), as_json, as_csv, quiet)


@app.command(epilog="Example:  fennec hubs --json")
def hubs(as_json: JsonOption = False, as_csv: CsvOption = False, quiet: QuietOption = False) -> None:
    """List the hubs: sources of results, one protocol each."""
    from .hubs import describe_hubs

    print_frame(describe_hubs().round(3), as_json, as_csv, quiet)


@app.command(epilog="Examples:  fennec embed photos/ -o photos.safetensors  |  "
             "fennec embed --known --proxy ViT-L-14/openai --root ~/data --download")  # fmt: skip
def embed(
    dataset: Annotated[str | None, typer.Argument(help="Dataset to embed.")] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="File to write.")] = None,
    proxy: ProxyOption = "fennec-mini",
    known: Annotated[bool, typer.Option("--known", help="Embed the known tasks through torchvision.")] = False,
    root: Annotated[Path, typer.Option("--root", help="With --known: folder of torchvision datasets.")] = Path(),
    download: Annotated[bool, typer.Option("--download", help="With --known: fetch what is missing.")] = False,
    split: SplitOption = None,
    max_images: ImagesOption = 500,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
    quiet: SilentOption = False,
) -> None:
    """Embed a dataset, or all known tasks under another proxy."""
    from .embeddings import embeddings_file, save_embeddings
    from .known_tasks import embed_known_tasks
    from .proxy import Proxy
    from .task import embed_task

    if known == (dataset is not None):
        raise InputError("give either a dataset or --known")
    encoder = Proxy.load(proxy)
    if dataset is None:
        found = embed_known_tasks(encoder, root, download=download, max_images=max_images, report=teller(quiet))
    else:
        found = {
            dataset: embed_task(
                dataset, proxy=encoder, max_images=max_images, random_state=seed, split=split, progress=not quiet
            )
        }
    target = output or (embeddings_file(encoder.name) if dataset is None else Path("task.safetensors"))
    save_embeddings(target, found)
    n_images = {name: embedding.n_images for name, embedding in found.items()}
    print_made({"file": str(target), "proxy": encoder.name, "n_images": n_images}, as_json)


@app.command(epilog="Examples:  fennec fit my-space --hub vit13  |  "
             "fennec fit my-space --results ours.csv --images pets=photos/pets --images cars=cars.zip  |  "
             "fennec fit my-space --results measured/")  # fmt: skip
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
    max_images: ImagesOption = 500,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
    quiet: SilentOption = False,
) -> None:
    """Build a space from a hub or from your own results."""
    from .bench import read_tasks
    from .catalog import load_catalog
    from .cells import measured_matrix
    from .embeddings import load_known_embeddings
    from .hubs import image_sets, load_matrix
    from .matrix import TransferMatrix, read_results
    from .proxy import Proxy
    from .recommender import Recommender
    from .task import embed_task

    sources: dict[str, str] = {}
    if results is None:
        matrix = load_matrix(hub, protocol=protocol)
    elif results.is_dir():
        matrix, sources = measured_matrix(results, protocol=protocol), read_tasks(results)
    else:
        matrix = TransferMatrix.from_frame(
            read_results(results), protocol=protocol or "finetune", name=results.stem, image_sets=image_sets()
        )
    encoder = Proxy.load(proxy)
    embeddings = dict(load_known_embeddings(encoder.name))
    sources = {task: source for task, source in sources.items() if task in matrix.tasks}
    for task, source in {**sources, **pairs(images or [], "--images expects TASK=DATASET")}.items():
        if task not in matrix.tasks:
            raise InputError(f"--images names task '{task}', which has no results; there are {', '.join(matrix.tasks)}")
        image_set = matrix.image_sets[matrix.tasks.index(task)]
        embeddings[image_set] = embed_task(
            source, proxy=encoder, max_images=max_images, random_state=seed, progress=not quiet
        )
    place = results is None if cold is None else cold
    models = load_catalog().candidates(matrix.protocol) if place else ()
    Recommender().fit(matrix, embeddings, cold=models).save(output, proxy=encoder)
    facts = {"n_models": matrix.n_models, "n_tasks": matrix.n_tasks, "n_cold": len(models)}
    print_made({"folder": str(output), "hub": matrix.name, **facts}, as_json)


app.command(epilog="Examples:  fennec bench measured --models timm:resnet18.a1_in1k,mynets:small "
            "--task pets=photos/pets --task cars=cars.zip  |  "
            "fennec bench measured --models ... --task ... --engine ray --shard 2/4")(
    cli_measure.bench
)  # fmt: skip
app.command(epilog="Examples:  fennec compare --hub lab24  |  fennec compare measured/ "
            "--output comparison/")(cli_measure.compare)  # fmt: skip
app.command(epilog="Examples:  fennec evaluate --hub cnn11 --hub vit13  |  fennec evaluate --output results.csv")(
    cli_measure.evaluate
)


app.command(epilog="Example:  fennec push my-space ORG/my-space --private")(cli_share.push)
app.command(epilog="Example:  fennec pull ORG/my-space my-space")(cli_share.pull)
app.command(epilog="Example:  fennec ui --port 8000 --no-browser")(cli_share.ui)
app.command(epilog="Example:  fennec doctor --json")(cli_share.doctor)


def main() -> None:
    """Entry point: run the command, turn errors into one line and an exit code."""
    try:
        app()
    except NothingToRecommendError as error:
        _fail(error, 3)
    except FennecError as error:
        _fail(error, 1)
    except OSError as error:
        _fail(error, 1)
    except Exception as error:
        _fail(FennecError(f"unexpected {type(error).__name__}: {error}; FENNEC_DEBUG=1 shows where"), 1)


def _fail(error: Exception, code: int) -> None:
    """One line on standard error, or the whole traceback where that is asked for."""
    if is_debug():
        raise error
    typer.echo(f"fennec: {' '.join(str(error).split())}", err=True)
    sys.exit(code)


def _score(
    dataset: str,
    models: list[str],
    metric: str,
    weights: list[str] | None,
    device: str | None,
    split: str | None,
    max_images: int,
    seed: int,
    *,
    progress: bool,
) -> Ranking:
    """Models ranked by forward passes."""
    from .datasets import open_dataset
    from .scoring import score_models

    return score_models(
        open_dataset(dataset, split=split),
        models,
        metrics=metric_names(metric),
        weights=pairs(weights or [], "--weights expects MODEL=FILE"),
        device=device,
        max_images=max_images,
        random_state=seed,
        progress=progress,
    )


if __name__ == "__main__":
    main()
