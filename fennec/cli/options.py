"""Arguments and options of the commands, and how they are read."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fennec.errors import ArtifactError, DataError, InputError, held_by, shown
from fennec.files import check_place, read_file

if TYPE_CHECKING:
    from fennec.images.datasets import ImageDataset
    from fennec.online import Said

MAX_SEED = 2**32 - 1
MOST_RERANKED = 100  # each of them is downloaded and run over the images
MANY = 10**9  # more than there can be of anything


def new_file(path: Path | None) -> Path | None:
    """A file to write, where one can be written."""
    if path is not None:
        check_place(path)
    return path


def new_folder(path: Path | None) -> Path | None:
    """A folder to write, where one can be written."""
    if path is not None:
        check_place(path, folder=True)
    return path


DatasetArgument = Annotated[
    str,
    typer.Argument(
        help="Folder, CSV or parquet manifest, .zip or .tar, torchvision:NAME, hf:ORG/NAME, sklearn:digits."
    ),
]
OptionalDatasetArgument = Annotated[
    str | None,
    typer.Argument(help="Folder, CSV or parquet manifest, .zip or .tar, torchvision:NAME, hf:ORG/NAME; or --about."),
]
AboutOption = Annotated[
    str | None, typer.Option("--about", help="What the pictures show, in words: instead of images, or beside them.")
]
ClassesOption = Annotated[
    str | None,
    typer.Option("--classes", help="With --about: class names by commas, or a file with one a line."),
]
NumberOption = Annotated[int | None, typer.Option("--n-images", help="With --about: how many images there will be.")]
TextEncoderOption = Annotated[
    str | None,
    typer.Option("--text-encoder", help="With --about: ViT-B-32/openai, hf-hub:..., hf:ORG/NAME, or a folder."),
]
StudyOption = Annotated[
    str, typer.Option("--study", "--hub", help="Learn from one study or hub only, see 'fennec studies'.")
]
ProtocolOption = Annotated[
    str | None,
    typer.Option("--protocol", help="finetune (default), linear_probe, zero_shot, detection, ..."),
]
ProxyOption = Annotated[
    str, typer.Option("--proxy", help="fennec-mini, ViT-L-14/openai, hf-hub:..., timm:..., or a folder.")
]
WhereOption = Annotated[
    str | None,
    typer.Option("--where", help="Condition on the models, \"params < 30e6 and license == 'apache-2.0'\"."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
CsvOption = Annotated[bool, typer.Option("--csv", help="CSV on standard output.")]
HtmlOption = Annotated[
    Path | None, typer.Option("--html", help="Write the whole story to one HTML file.", callback=new_file)
]
QuietOption = Annotated[bool, typer.Option("-q", "--quiet", help="Ids only, one per line.")]
SilentOption = Annotated[bool, typer.Option("-q", "--quiet", help="No progress; warnings and errors stay.")]
ImagesOption = Annotated[
    int, typer.Option("--max-images", help="Images to look at, balanced over classes.", min=1, max=MANY)
]
SplitOption = Annotated[str | None, typer.Option("--split", help="Part of the dataset; its training part by default.")]
ImageColumnOption = Annotated[
    str | None, typer.Option("--image-column", help="Of a table: column of pictures or their paths; found by default.")
]
LabelColumnOption = Annotated[
    str | None, typer.Option("--label-column", help="Of a table: column of classes; found by its name by default.")
]
SeedOption = Annotated[int, typer.Option("--seed", help="Seed of the draw of images.", min=0, max=MAX_SEED)]
SpaceOption = Annotated[
    Path | None, typer.Option("--space", help="Folder made by 'fennec fit', instead of published results.")
]

MetricOption = Annotated[
    str,
    typer.Option(
        "--metric", help="Metrics by commas, such as lead,'sfda(pca_dim=32)' or 'ped(logme)'; auto takes three."
    ),
]
WeightsOption = Annotated[
    list[str] | None, typer.Option("--weights", help="MODEL=FILE, local weights instead of a download.")
]
DeviceOption = Annotated[str | None, typer.Option("--device", help="cpu, cuda, ...; a GPU where there is one.")]
KnownOption = Annotated[Path | None, typer.Option("--known", help="CSV (model,value) of results on this dataset.")]
RerankOption = Annotated[
    int,
    typer.Option("--rerank", help="Score so many of the best by forward passes, and merge.", min=0, max=MOST_RERANKED),
]
MeasuredOption = Annotated[
    bool, typer.Option("--measured-only", "--warm-only", help="Only models with published results.")
]
PortfolioOption = Annotated[bool, typer.Option("--portfolio", help="Models to try together, of which the best counts.")]
SiblingsOption = Annotated[
    bool, typer.Option("--siblings", help="All checkpoints as they come, of one network, any size and any subject.")
]
DeviceClassOption = Annotated[
    str,
    typer.Option("--device-class", help="Whose times and memory: rtx3090, rtx4090, ..., or here after 'calibrate'."),
]
CatalogOption = Annotated[
    bool,
    typer.Option("--catalog/--no-catalog", help="Rank the models of the catalog beside those with results of yours."),
]


def opened(
    dataset: str, split: str | None, image_column: str | None, label_column: str | None, *, quiet: bool
) -> ImageDataset:
    """An open dataset; what was taken of it and what was not is said in one line on standard error."""
    from fennec.images.open import open_dataset

    images = open_dataset(dataset, split=split, image_column=image_column, label_column=label_column)
    if not quiet:
        typer.echo(str(images.taken), err=True)
    return images


def said_of_task(
    about: str | None, classes: str | None, n_images: int | None, encoder: str | None, *, has_images: bool
) -> Said | None:
    """What the options say of a task in words, None where they say nothing.

    Raises:
        InputError: an option without --about, no class among --classes, or a number of images beside images.
    """
    from fennec.online import Said

    if about is None:
        for option, value in (("--classes", classes), ("--n-images", n_images), ("--text-encoder", encoder)):
            if value is not None:
                raise InputError(f"{option} belongs to a description; give it with --about 'what the pictures show'")
        return None
    if has_images and n_images is not None:
        raise InputError("--n-images beside a dataset, which has its own number; leave it out")
    return Said(about, () if classes is None else tuple(class_names(classes)), n_images, encoder)


def class_names(text: str) -> list[str]:
    """`A,B` as a list, or the lines of a file.

    Raises:
        InputError: there are none, or there is no such file.
        DataError: it is no text, or there are none in it.
    """
    if _is_place(text):
        try:
            lines = read_file(Path(text).expanduser(), limit=10**8).decode("utf-8-sig").splitlines()
        except FileNotFoundError as error:
            raise InputError(
                f"no file '{text}' of class names; expected one name a line, or names by commas"
            ) from error
        except (OSError, UnicodeDecodeError, ArtifactError) as error:
            reason = getattr(error, "strerror", None) or error
            raise DataError(f"cannot read class names from '{text}' ({reason}); expected one name a line") from error
        found = [line.strip() for line in lines if line.strip()]
        if not found:
            raise DataError(f"no class in '{text}'; expected one name a line")
    else:
        found = names(text)
    if not found:
        raise InputError(f"no class in --classes '{text}'; expected names such as wheat,maize,barley, or a file")
    return found


def _is_place(text: str) -> bool:
    """Whether one word is meant as a file: it is spelt like one, or one has this name."""
    if "," in text or not text.strip():
        return False
    spelt = "/" in text or os.sep in text or re.fullmatch(r"\.[A-Za-z]\w{0,4}", Path(text).suffix) is not None
    try:
        return spelt or Path(text).exists()
    except (OSError, ValueError):  # longer than a name can be
        return False


def known_results(path: Path | None) -> dict[str, float] | None:
    """Results on the new task, by canonical id.

    Raises:
        InputError: a line cannot be read, or a model has two results, be they equal or under two of its names.
        UnknownModelError: several models have this name.
    """
    from fennec.checkpoints.catalog import load_catalog
    from fennec.evidence.matrix import read_results

    if path is None:
        return None
    table = read_results(path, columns=("model", "value"))
    catalog = load_catalog()
    results: dict[str, float] = {}
    typed: dict[str, str] = {}
    for name, value in zip(table["model"], table["value"], strict=True):
        with held_by(path):
            model = catalog.resolve(name)  # a space of one's own has models that the catalog has not
        if model in results:
            named = "" if name == typed[model] else f" (as '{typed[model]}' and '{name}')"
            raise DataError(f"{path}: '{model}' has two results, {results[model]:g} and {value:g}{named}; keep one")
        results[model], typed[model] = float(value), name
    return results


def numbers(text: str, option: str) -> list[float]:
    """`0.1,1e-3` as a list.

    Raises:
        InputError: it holds no numbers, or one that is not finite.
    """
    try:
        found = [float(number) for number in names(text)]
    except ValueError as error:
        raise InputError(f"{option} is '{shown(text)}'; expected numbers by commas") from error
    if not found or not all(map(math.isfinite, found)):
        raise InputError(f"{option} is '{shown(text)}'; expected finite numbers by commas")
    return found


def seeds_of(text: str, option: str) -> list[int]:
    """`0,1,2` as a list.

    Raises:
        InputError: it holds no whole numbers from 0 to 2**32 - 1.
    """
    typed = names(text)
    if not typed or not all(re.fullmatch("[0-9]{1,10}", each) and int(each) <= MAX_SEED for each in typed):
        raise InputError(f"{option} is '{shown(text)}'; expected whole numbers from 0 to {MAX_SEED} by commas")
    return [int(each) for each in typed]


def names(text: str) -> list[str]:
    """`A,B` as a list."""
    return [name.strip() for name in text.split(",") if name.strip()]


def metric_names(text: str) -> list[str]:
    """What `--metric` asks for."""
    from fennec.forward.scoring import AUTO
    from fennec.metrics import split_metrics

    return list(AUTO) if text == "auto" else split_metrics(text)


def pairs(texts: list[str], expected: str) -> Mapping[str, str]:
    """`NAME=VALUE` options as a dictionary."""
    for text in texts:
        if not all(text.partition("=")):
            raise InputError(f"{expected}, got '{text}'")
    return dict(text.partition("=")[::2] for text in texts)
