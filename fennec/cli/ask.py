"""The commands that answer: `recommend`, `explain`, and `score` by forward passes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fennec.errors import InputError, NothingToRecommendError
from fennec.reports.console import print_json, print_ranking, print_text, typed, write_page

from .options import (
    MANY,
    AboutOption,
    ClassesOption,
    CsvOption,
    DatasetArgument,
    DeviceClassOption,
    DeviceOption,
    HtmlOption,
    ImageColumnOption,
    ImagesOption,
    JsonOption,
    KnownOption,
    LabelColumnOption,
    MeasuredOption,
    MetricOption,
    NumberOption,
    OptionalDatasetArgument,
    PortfolioOption,
    ProtocolOption,
    ProxyOption,
    QuietOption,
    RerankOption,
    SeedOption,
    SiblingsOption,
    SilentOption,
    SpaceOption,
    SplitOption,
    StudyOption,
    TextEncoderOption,
    WeightsOption,
    WhereOption,
    known_results,
    metric_names,
    names,
    opened,
    pairs,
    said_of_task,
)

if TYPE_CHECKING:
    from fennec.images.datasets import ImageDataset
    from fennec.online import Prepared, Said
    from fennec.space.ranking import Ranking


N_LISTED = 10  # models of a list without sizes


def recommend(
    dataset: OptionalDatasetArgument = None,
    n: Annotated[
        int | None, typer.Option("-n", help="Models to list; without, the best of four sizes.", min=1, max=MANY)
    ] = None,
    study: StudyOption = "all",
    protocol: ProtocolOption = None,
    proxy: ProxyOption = "fennec-mini",
    about: AboutOption = None,
    classes: ClassesOption = None,
    n_images: NumberOption = None,
    text_encoder: TextEncoderOption = None,
    where: WhereOption = None,
    known: KnownOption = None,
    rerank: RerankOption = 0,
    metric: MetricOption = "auto",
    weights: WeightsOption = None,
    device: DeviceOption = None,
    space: SpaceOption = None,
    measured_only: MeasuredOption = False,
    portfolio: PortfolioOption = False,
    siblings: SiblingsOption = False,
    device_class: DeviceClassOption = "rtx3090",
    split: SplitOption = None,
    image_column: ImageColumnOption = None,
    label_column: LabelColumnOption = None,
    max_images: ImagesOption = 500,
    seed: SeedOption = 0,
    html: HtmlOption = None,
    as_json: JsonOption = False,
    as_csv: CsvOption = False,
    quiet: QuietOption = False,
) -> None:
    """Rank the models that are expected to do best on a dataset, seen or described: every checkpoint of the catalog."""
    from dataclasses import replace

    if portfolio and rerank:
        raise InputError("--portfolio chooses models to try together, --rerank orders a list; take one of them")
    if n is None and (where or rerank or portfolio or siblings):
        n = N_LISTED
    results = known_results(known)
    said = said_of_task(about, classes, n_images, text_encoder, has_images=dataset is not None)
    if dataset is None and said is None:
        raise typer.BadParameter("give a DATASET, or say what the pictures will show with --about")
    images = None
    if dataset is not None:
        images = opened(dataset, split, image_column, label_column, quiet=quiet)
    elif rerank or split or image_column or label_column:
        asked = "--rerank" if rerank else "--split" if split else "--image-column or --label-column"
        raise InputError(f"{asked} needs images: give a dataset")
    found = _prepared(images, study, protocol, proxy, space, max_images, seed, said=said, progress=not quiet)
    task = found.task
    start = time.perf_counter()
    ranking = found.recommender.recommend(
        task,
        n=None if n is None else max(n, rerank),
        where=where,
        known=results,
        measured_only=measured_only,
        portfolio=portfolio,
        siblings=siblings,
        device=device_class,
    )
    ranking = replace(ranking, seconds={**found.seconds, "ranking": time.perf_counter() - start})
    if rerank and images is not None:
        from fennec.forward.scoring import rerank as merge

        best = [model.id for model in ranking.models[:rerank]]
        try:
            scored = _score(images, best, metric, weights, device, max_images, seed, progress=not quiet)
            ranking = merge(ranking, scored)
        except NothingToRecommendError as error:  # the recommendation holds without it
            ranking = replace(ranking, notes=(*ranking.notes, f"not re-ranked by forward passes: {error}"))
    ranking = replace(ranking, models=ranking.models[:n])
    if html is not None:
        from fennec.reports.html import recommendation_html

        write_page(
            html, recommendation_html(ranking, found.recommender, task, found.images, command=typed()), quiet=quiet
        )
    print_ranking(ranking, as_json, as_csv, quiet)


def explain(
    dataset: DatasetArgument,
    model: Annotated[str, typer.Argument(help="Model id, see 'fennec models'.")],
    study: StudyOption = "all",
    protocol: ProtocolOption = None,
    proxy: ProxyOption = "fennec-mini",
    space: SpaceOption = None,
    split: SplitOption = None,
    image_column: ImageColumnOption = None,
    label_column: LabelColumnOption = None,
    max_images: ImagesOption = 500,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
    quiet: SilentOption = False,
) -> None:
    """Show where the score of one model comes from."""
    from fennec.checkpoints.catalog import load_catalog

    name = load_catalog().find(model) if space is None else load_catalog().id_of(model) or model
    images = opened(dataset, split, image_column, label_column, quiet=quiet)
    found = _prepared(images, study, protocol, proxy, space, max_images, seed, progress=not quiet)
    explanation = found.recommender.explain(found.task, name)
    record = load_catalog().get(name)
    called = () if record is None else record.all_names[1:]
    recipe = None if record is None or record.recipe is None else str(record.recipe)
    if as_json:
        print_json({"data": images.taken.to_dict(), **explanation.to_dict(), "recipe": recipe, "names": called})
    else:
        print_text(str(explanation))
        if recipe:
            print_text(f"to fine-tune: {recipe}")
        if called:
            print_text(f"also called {', '.join(called)}")


def score(
    dataset: DatasetArgument,
    models: Annotated[str, typer.Option("--models", help="Ids of timm, torchvision or open_clip models, by commas.")],
    metric: MetricOption = "auto",
    weights: WeightsOption = None,
    device: DeviceOption = None,
    n: Annotated[int | None, typer.Option("-n", help="Models to list; all by default.", min=1, max=MANY)] = None,
    split: SplitOption = None,
    image_column: ImageColumnOption = None,
    label_column: LabelColumnOption = None,
    max_images: ImagesOption = 500,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
    as_csv: CsvOption = False,
    quiet: QuietOption = False,
) -> None:
    """Score models by forward passes over the images, without fine-tuning."""
    from dataclasses import replace

    from fennec.checkpoints.names import plain_name

    listed = {plain_name(model) for model in names(models)}
    for name in pairs(weights or [], "--weights expects MODEL=FILE"):
        if plain_name(name) not in listed:
            raise InputError(f"--weights names '{name}', which is not among --models {models}")
    images = opened(dataset, split, image_column, label_column, quiet=quiet)
    ranking = _score(images, names(models), metric, weights, device, max_images, seed, progress=not quiet)
    print_ranking(replace(ranking, models=ranking.models[:n]), as_json, as_csv, quiet)


def _prepared(
    images: ImageDataset | None, study: str, protocol: str | None, proxy: str, space: Path | None, max_images: int,
    seed: int, *, said: Said | None = None, progress: bool,
) -> Prepared:  # fmt: skip
    """Task vector and fitted recommender."""
    from fennec.online import prepare

    return prepare(
        images, said=said, study=study, protocol=protocol, proxy=proxy, space=space, max_images=max_images,
        random_state=seed, progress=progress,
    )  # fmt: skip


def _score(
    images: ImageDataset,
    models: list[str],
    metric: str,
    weights: list[str] | None,
    device: str | None,
    max_images: int,
    seed: int,
    *,
    progress: bool,
) -> Ranking:
    """Models ranked by forward passes."""
    from fennec.forward.scoring import score_models

    return score_models(
        images,
        models,
        metrics=metric_names(metric),
        weights=pairs(weights or [], "--weights expects MODEL=FILE"),
        device=device,
        max_images=max_images,
        random_state=seed,
        progress=progress,
    )
