"""The commands around a space: `push` and `pull`, the page `ui`, and `doctor`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fennec.reports.console import print_frame, print_made

from .options import CsvOption, JsonOption, QuietOption, new_folder


def push(
    space: Annotated[Path, typer.Argument(help="Folder made by 'fennec fit'.")],
    repository: Annotated[str, typer.Argument(help="ORG/NAME on the Hugging Face Hub.")],
    private: Annotated[bool, typer.Option("--private", help="For a repository that is made now.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Upload a space to the Hugging Face Hub."""
    from fennec.space.sharing import push as upload

    print_made({"url": upload(space, repository, private=private), "repository": repository}, as_json)


def pull(
    repository: Annotated[str, typer.Argument(help="ORG/NAME on the Hugging Face Hub.")],
    space: Annotated[Path, typer.Argument(help="Folder to write.", callback=new_folder)],
    revision: Annotated[str | None, typer.Option("--revision", help="Branch, tag or commit.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Download a space from the Hugging Face Hub, for 'recommend --space'."""
    from fennec.space.sharing import pull as download

    print_made({"folder": str(download(repository, space, revision=revision)), "repository": repository}, as_json)


def doctor(as_json: JsonOption = False, as_csv: CsvOption = False, quiet: QuietOption = False) -> None:
    """Say what is installed, cached and reachable on this machine."""
    import pandas as pd

    from .doctor import examine

    findings = examine()
    print_frame(pd.DataFrame([vars(finding) for finding in findings]), as_json, as_csv, quiet)
    if any(finding.status == "problem" for finding in findings):
        raise typer.Exit(1)


def ui(
    port: Annotated[
        int | None, typer.Option("--port", help="A free one from 7860 by default.", min=1024, max=65535)
    ] = None,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page in the browser.")] = True,
) -> None:
    """Open a page on this machine: drop a zip of images, set limits, read the report."""
    from fennec.reports.ui import serve

    serve(port=port, browser=browser)
