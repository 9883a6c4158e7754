"""The `fennec` command: parse, call the library, print.

stdout carries the result, stderr progress and messages. Exit codes: 0 done, 1 failure, 2 usage, 3 nothing to
recommend, 130 interrupted.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer

from fennec import __version__
from fennec.errors import FennecError, NothingToRecommendError, said
from fennec.reports.console import move_output, results_apart
from fennec.settings import is_debug

from . import ask, build, lookup, measure, search, share

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


# Every command, with the arguments of the examples that end its help.
COMMANDS: dict[Callable[..., None], tuple[str, ...]] = {
    ask.recommend: (
        "photos/",
        "sklearn:digits -n 5 --json",
        'data.zip --where "params < 30e6 and train_minutes < 30" --known tried.csv',
    ),
    ask.score: (
        "photos/ --models timm:resnet18.a1_in1k,timm:vit_tiny_patch16_224",
        "photos/ --models timm:resnet18.a1_in1k --weights timm:resnet18.a1_in1k=r18.pth --metric 'sfda,ped(logme)'",
    ),
    search.search: (
        "photos/ --budget 30m",
        "photos/ --budget '5 models' --protocol linear_probe --where \"params < 30e6\"",
    ),
    ask.explain: ("photos/ hf:microsoft/resnet-50",),
    lookup.models: ("--where \"family == 'convnext'\"", "--study hf180 -q"),
    lookup.similar: ("timm:convnext_tiny", "torchvision:resnet50 -n 5 --json"),
    lookup.add_model: ("timm:test_vit.r160_in1k", "mynets:small_net --pretraining-data imagenet-1k"),
    lookup.tasks: ("--study clip121",),
    lookup.studies: ("--csv",),
    lookup.hubs: ("--json",),
    build.embed: ("photos/ -o photos.safetensors", "--known --proxy ViT-L-14/openai --root ~/data --download"),
    build.fit: (
        "my-space --study vit13",
        "my-space --results ours.csv --images pets=photos/pets --images cars=cars.zip",
        "my-space --results measured/",
    ),
    measure.calibrate: ("--seconds 1",),
    measure.bench: (
        "measured --models timm:resnet18.a1_in1k,mynets:small --task pets=photos/pets --task cars=cars.zip",
        "measured --models ... --task ... --engine ray --shard 2/4",
    ),
    measure.compare: ("--study lab24", "measured/ --output comparison/"),
    measure.evaluate: ("--study cnn11 --study vit13", "--output results.csv"),
    share.push: ("my-space ORG/my-space --private",),
    share.pull: ("ORG/my-space my-space",),
    share.ui: ("--port 8000 --no-browser",),
    share.doctor: ("--json",),
}


def _apart(command: Callable[..., None]) -> Callable[..., None]:
    """The command with its results alone on standard output."""

    @functools.wraps(command)
    def run(**arguments: Any) -> None:
        with results_apart():
            command(**arguments)

    return run


for command, arguments in COMMANDS.items():
    name = command.__name__.replace("_", "-")
    title = "Example" if len(arguments) == 1 else "Examples"
    examples = "  |  ".join(f"fennec {name} {line}" for line in arguments)
    app.command(name, epilog=f"{title}:  {examples}")(_apart(command))


def main() -> None:
    """Entry point: run the command, turn errors into one line and an exit code."""
    move_output()
    try:
        app()
    except NothingToRecommendError as error:
        _fail(error, 3)
    except FennecError as error:
        _fail(error, 1)
    except OSError as error:
        _fail(error, 1)
    except Exception as error:
        _fail(FennecError(f"unexpected {type(error).__name__}: {said(error)}; FENNEC_DEBUG=1 shows where"), 1)


def _fail(error: Exception, code: int) -> None:
    """One line on standard error, or the whole traceback where that is asked for."""
    if is_debug():
        raise error
    typer.echo(f"fennec: {' '.join(str(error).split())}", err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
