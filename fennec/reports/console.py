"""What the command prints on standard output: tables, JSON, CSV, or ids alone."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import typer

from fennec.errors import printable, shown
from fennec.files import as_json, write_whole
from fennec.space.ranking import WIDTH

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

    from fennec.space.ranking import Ranking
    from fennec.trials.found import Search


FORMULA = ("=", "+", "-", "@", "\t", "\r")
N_SKIPPED = 5  # images named that could not be read
_RESULTS: ContextVar[TextIO | None] = ContextVar("where results go, standard output when None", default=None)


def move_output() -> None:
    """Give `sys.stdout` a descriptor of its own and point descriptor 1 at standard error, for the rest of the process.

    Code in C, and programs that a library starts, write to descriptor 1 and would stand among the results.
    """
    try:
        if sys.stdout.fileno() != 1 or sys.stderr.fileno() != 2:
            return
        sys.stdout.flush()
        own = os.dup(1)
        os.dup2(2, 1)
    except (AttributeError, OSError, ValueError):  # one of them is closed, or no file
        return
    sys.stdout = os.fdopen(own, "w", encoding=sys.stdout.encoding, errors=sys.stdout.errors)


@contextmanager
def results_apart() -> Iterator[None]:
    """Keep standard output for results: what libraries and networks print in the block goes to standard error."""
    token = _RESULTS.set(sys.stdout)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        _RESULTS.reset(token)


def print_text(text: str, *, nl: bool = True) -> None:
    """A result as it is."""
    typer.echo(text.encode("utf-8", "backslashreplace").decode("utf-8"), file=_RESULTS.get(), nl=nl)


def print_ranking(ranking: Ranking, as_json: bool, as_csv: bool, quiet: bool) -> None:
    """A ranking the way that was asked for, and on standard error the first images that could not be read."""
    if quiet:
        print_text("\n".join(ranking.ids))
    elif as_json:
        print_json(ranking.to_dict())
    elif as_csv:
        print_text(csv_text(ranking.to_frame()), nl=False)
    else:
        print_table(ranking.to_table())
        print_text(ranking.footer())
    for item, reason in ranking.skipped[:N_SKIPPED]:
        say(f"skipped {shown(item)}: {shown(reason)}")


def print_json(value: Any) -> None:
    """One document."""
    print_text(as_json(value, ensure_ascii=False))


def print_table(table: Table) -> None:
    """A table as wide as the terminal; in a file or a pipe as wide as ids need."""
    from rich.console import Console

    plain: dict[str, Any] = {"file": _RESULTS.get(), "markup": False, "emoji": False}  # names are names
    console = Console(**plain)
    if not console.is_terminal:
        console = Console(**plain, width=WIDTH)  # a file or a pipe has none
    console.print(table)


def csv_text(frame: pd.DataFrame) -> str:
    """A table as CSV; a text that a spreadsheet would compute gets a `'` before it."""
    return frame.map(lambda cell: f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA) else cell).to_csv(
        index=False
    )


def print_frame(frame: pd.DataFrame, as_json: bool, as_csv: bool, quiet: bool) -> None:
    """A data frame the way that was asked for; its first column is the id."""
    if quiet:
        print_text("\n".join(frame.iloc[:, 0].astype(str)))
    elif as_json:
        print_text(frame.to_json(orient="records", indent=1))
    elif as_csv:
        print_text(csv_text(frame), nl=False)
    else:
        from rich.table import Table

        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in frame:
            table.add_column(str(column), overflow="fold")
        for row in frame.itertuples(index=False):
            table.add_row(*("-" if value != value or value == "" else printable(str(value)) for value in row))
        print_table(table)


def say(message: str) -> None:
    """One line about the work, on standard error."""
    typer.echo(message, err=True)


def teller(quiet: bool) -> Callable[[str], None]:
    """What a long job is told to say things with."""
    return (lambda message: None) if quiet else say


@contextmanager
def watching(quiet: bool) -> Iterator[Callable[[Search], None]]:
    """A live table of a search on standard error; a line for each trial where that is no terminal.

    Args:
        quiet: show nothing.
    """
    from rich.console import Console
    from rich.live import Live

    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        tell = teller(quiet)
        yield lambda found: tell(found.latest)
        return
    with Live(console=console, auto_refresh=False, transient=True) as live:
        yield lambda found: live.update(found.to_table(), refresh=True)


def print_made(made: dict[str, Any], as_json: bool) -> None:
    """What a command made: one JSON document, or its name alone, which is the first value."""
    if as_json:
        print_json(made)
    else:
        print_text(str(next(iter(made.values()))))


def typed() -> str:
    """The command as it was typed."""
    return printable(shlex.join(["fennec", *sys.argv[1:]]))


def write_page(path: Path, text: str, *, quiet: bool) -> None:
    """Write an HTML page and say where."""
    write_whole(path, text)
    teller(quiet)(f"wrote {path}")
