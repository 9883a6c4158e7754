"""The commands `evidence ...`: take all results, look at them, check a file of one's own, and give it back."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fennec.reports.console import print_frame, print_json, print_made, print_text, say, teller, typed, write_page

from .options import JsonOption, SilentOption, new_file, new_folder

if TYPE_CHECKING:
    from fennec.evidence.check import CheckedResults

N_SHOWN = 5  # findings of one kind, and studies

ResultsArgument = Annotated[Path, typer.Argument(help="CSV: model,task,value; perhaps metric,protocol,budget,head.")]
GivenProtocolOption = Annotated[
    str | None, typer.Option("--protocol", help="How it was measured, where the file does not say; finetune.")
]
UnitOption = Annotated[
    str | None, typer.Option("--unit", help="fraction or percent, for all values; found where they leave no doubt.")
]


def export(
    folder: Annotated[
        Path, typer.Argument(help="Folder to write; an earlier export there is replaced.", callback=new_folder)
    ],
    as_json: JsonOption = False,
    quiet: SilentOption = False,
) -> None:
    """Write all results of all studies as parquet, with a data card and Croissant metadata."""
    from fennec.evidence.export import export_evidence

    made = export_evidence(folder)
    files = sorted(path.name for path in made.iterdir())
    print_made({"folder": str(folder), "files": files}, as_json)


def html(
    file: Annotated[Path, typer.Argument(help="HTML file to write.", callback=new_file)],
    as_json: JsonOption = False,
    quiet: SilentOption = False,
) -> None:
    """Write one page with all results: models, tasks, studies, how complete, how far studies agree."""
    from fennec.reports.leaderboard import leaderboard_html

    write_page(file, leaderboard_html(command=typed()), quiet=True)
    print_made({"file": str(file), "megabytes": round(file.stat().st_size / 1e6, 2)}, as_json)


def check(
    file: ResultsArgument,
    protocol: GivenProtocolOption = None,
    unit: UnitOption = None,
    as_json: JsonOption = False,
    quiet: SilentOption = False,
) -> None:
    """Check a file of results as a new study: names, units, duplicates, chance, agreement with what is known."""
    from fennec.evidence.check import check_results

    checked = check_results(file, protocol=protocol, unit=unit)
    if as_json:
        print_json(checked.to_dict())
    else:
        _print_checked(checked, teller(quiet))
    if not checked.is_usable:
        raise typer.Exit(1)


def add(
    file: ResultsArgument,
    title: Annotated[str, typer.Option("--title", help="One line: what was measured.")],
    paper: Annotated[str, typer.Option("--paper", help="Who published it, and where; or who measured it.")],
    licence: Annotated[str, typer.Option("--licence", "--license", help="Of the values: CC-BY-4.0, MIT, ...")],
    name: Annotated[str | None, typer.Option("--name", help="Of the study; by default the file's.")] = None,
    repository: Annotated[str, typer.Option("--repository", help="Where the numbers can be read.")] = "",
    caveats: Annotated[str, typer.Option("--caveats", help="Protocol and pitfalls, in your own words.")] = "",
    tasks: Annotated[Path | None, typer.Option("--tasks", help="CSV with facts of new tasks: task,title,...")] = None,
    protocol: GivenProtocolOption = None,
    unit: UnitOption = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder to write; the study's name.", callback=new_folder)
    ] = None,
    as_json: JsonOption = False,
    quiet: SilentOption = False,
) -> None:
    """Make card, rows and a patch of your own results, ready for a pull request."""
    from fennec.evidence.check import check_results
    from fennec.evidence.contribution import contribute, read_task_facts
    from fennec.evidence.studies import Study

    checked = check_results(file, protocol=protocol, unit=unit)
    study = Study(name or re.sub(r"\W+", "_", file.stem.lower()), title, paper, repository, licence, (), True)
    facts = {} if tasks is None else read_task_facts(tasks)
    made = contribute(checked, study, caveats=caveats, tasks=facts)
    for finding in checked.findings:
        if finding.level == "odd":
            say(f"odd: {finding.text}")
    if made.n_left_out:
        say(f"cells left out: {made.n_left_out} (failed, not the main metric, or of columns too short)")
    if made.unknown:
        say(f"models that the catalog lacks: {len(made.unknown)}; their rows count once it has them")
    folder = output or Path(study.name)
    replaced = folder.is_dir() and any(folder.iterdir())
    patch = made.write(folder)
    if replaced:
        say(f"replaced what was made of '{study.name}' in '{folder}' before")
    facts_of = {"study": study.name, "files": sorted(made.files), "n_cells": made.n_cells, "replaced": replaced}
    print_made({"patch": str(patch), **facts_of}, as_json)


def _print_checked(checked: CheckedResults, tell: Callable[[str], None]) -> None:
    """Sizes, findings, and the studies that share most weights."""
    facts = checked.to_dict()
    protocols = ", ".join(facts["protocols"]) or "no protocol"
    print_text(
        f"{facts['file']}: cells {facts['n_cells']}, models {facts['n_models']} (known weights "
        f"{facts['n_weights_known']}), tasks {facts['n_tasks']}, columns {facts['n_columns']}; {protocols}"
    )
    shown: dict[tuple[str, str], int] = {}
    for finding in checked.findings:
        key = (finding.level, finding.kind)
        shown[key] = shown.get(key, 0) + 1
        if shown[key] <= N_SHOWN:
            print_text(f"{finding.level:<6} {finding.kind:<10} {finding.text}")
    hidden = sum(max(count - N_SHOWN, 0) for count in shown.values())
    if hidden:
        tell(f"{hidden} more of these kinds; --json has all")
    if checked.studies is not None and len(checked.studies):
        names = {"n_weights": "common weights", "overall": "overall rank correlation", "n_cells": "common cells",
                 "same_tasks": "on the same tasks", "share_equal": "share of equal values"}  # fmt: skip
        table = checked.studies.head(N_SHOWN)[["study", *names]].rename(columns=names)
        print_frame(table.round(2), as_json=False, as_csv=False, quiet=False)
    print_text("nothing is wrong" if checked.is_usable else "mend what is wrong first")


# Every command, with the arguments of the examples that end its help.
COMMANDS: dict[Callable[..., None], tuple[str, ...]] = {
    export: ("fennec-evidence/",),
    html: ("leaderboard.html",),
    check: ("ours.csv", "ours.csv --protocol linear_probe --unit percent --json"),
    add: ('ours.csv --title "ten networks on crops" --paper "A. Person, 2026" --licence CC-BY-4.0',),
}
