"""The `fennec` command: parse, call the library, print.

stdout carries the result, stderr progress and messages. Exit codes: 0 done, 1 what was typed is understood and
cannot be done, 2 it must be mended, 3 nothing to recommend, 130 interrupted, 143 told to end. Foreign code chooses
none.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import logging
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from fennec import __version__
from fennec.errors import FennecError, InputError, said, shown
from fennec.files import write_whole
from fennec.reports.console import move_output, results_apart
from fennec.settings import cache_dir, is_debug

from . import ask, build, evidence, lookup, measure, search, share
from .stop import stoppable

UsageError: Any = typer.BadParameter.__mro__[1]  # of the click that typer brings along

app = typer.Typer(
    name="fennec",
    help="Which pre-trained vision model should I fine-tune on my data?",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


evidence_app = typer.Typer(
    help="All results: take them, look at them, check your own, give them back.", no_args_is_help=True
)
app.add_typer(evidence_app, name="evidence")


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
        "--about 'aerial photographs of crops' --classes wheat,maize,barley --n-images 3000",
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


class Command(TyperCommand):
    """A command that refuses values that are empty: of a variable that is not set, they would mean the folder here."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """What typer does, after a look at what was typed."""
        values, _, _ = self.make_parser(ctx).parse_args(args=list(args))
        for parameter in self.get_params(ctx):
            given = values.get(str(parameter.name))
            for value in given if isinstance(given, list | tuple) else [given]:
                if isinstance(value, str) and (not value.strip() or "\0" in value):
                    name = parameter.opts[0] if parameter.opts[0].startswith("-") else f"the {parameter.name}"
                    what = "has a zero byte in it" if value.strip() else "is an empty string"
                    raise InputError(f"{name} {what}; give a value{', or leave it out' * (name[0] == '-')}")
        return super().parse_args(ctx, args)


def _apart(command: Callable[..., None]) -> Callable[..., None]:
    """The command with its results alone on standard output, and with its own exit status."""

    @functools.wraps(command)
    def run(**arguments: Any) -> None:
        with results_apart():
            try:
                command(**arguments)
            except SystemExit as error:  # of foreign code
                raise FennecError(f"foreign code asked to end the process with status {error.code}") from error

    return run


def _register(group: typer.Typer, commands: dict[Callable[..., None], tuple[str, ...]], before: str = "fennec") -> None:
    """Put commands into a group, each with its examples."""
    for command, arguments in commands.items():
        name = command.__name__.replace("_", "-")
        title = "Example" if len(arguments) == 1 else "Examples"
        examples = "  |  ".join(f"{before} {name} {line}" for line in arguments)
        group.command(name, cls=Command, epilog=f"{title}:  {examples}")(_apart(command))


_register(app, COMMANDS)
_register(evidence_app, evidence.COMMANDS, before="fennec evidence")


@stoppable()
def main() -> None:
    """Entry point: run the command, turn errors into one line and an exit code."""
    move_output()
    logging.captureWarnings(not is_debug())  # of libraries, about what Fennec says in its own words
    try:
        status = app(prog_name="fennec", standalone_mode=len(sys.argv) < 2)  # alone, it shows its help
    except FennecError as error:
        _fail(error, error.exit_code)
    except OSError as error:
        _fail(error, InputError.exit_code if error.errno in (errno.ENAMETOOLONG, errno.ENOENT) else 1)
    except UsageError as error:
        command = error.ctx.command_path if getattr(error, "ctx", None) else "fennec"
        message = error.format_message().replace("unexpected extra", "superfluous")
        _fail(FennecError(f"{shown(message.strip().rstrip('.'), 360)} (Usage: {command} --help)"), 2)
    except MemoryError as error:
        _fail(
            FennecError(f"not enough memory ({said(error) or 'nothing more is known'}); give less, or close others"), 1
        )
    except Exception as error:
        _fail(FennecError(f"unexpected {type(error).__name__}: {shown(said(error))}; this is a fault of Fennec, please "
                          f"report it with {_traceback(error)}"), 1)  # fmt: skip
    else:
        if status:
            sys.exit(status)


def _traceback(error: Exception) -> str:
    """Where the traceback of a fault was written."""
    text = "".join(traceback.format_exception(error))
    for folder in (cache_dir(), Path(tempfile.gettempdir())):
        path = folder / "last_fault.txt"
        with contextlib.suppress(OSError):
            write_whole(path, text.encode("utf-8", "backslashreplace"))
            return f"the traceback in {path}"
    return "what FENNEC_DEBUG=1 shows"


def _fail(error: Exception, code: int) -> None:
    """One line on standard error, or the whole traceback where that is asked for."""
    if is_debug():
        raise error
    typer.echo(f"fennec: {FennecError(' '.join(str(error).split()))}", err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
