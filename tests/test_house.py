"""The plan of the house: the table in CONTRIBUTING.md, the contract of the linter and the folders say the same."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "fennec"
N_ROOMS = 13  # in a wing; metrics has one for each metric


def table() -> dict[str, list[str]]:
    """Wings in the order of CONTRIBUTING.md, each with its rooms."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)/?` \| [^|]+ \| ([^|]+) \|$", text, re.MULTILINE)
    return {wing: re.findall(r"`(\w+)/?`", rooms) for wing, rooms in rows}


def rooms(wing: str) -> set[str]:
    """Files and folders of a wing; the package itself is the wing `fennec`."""
    if wing == "online":
        return {"online"}
    folder = PACKAGE if wing == "fennec" else PACKAGE / wing
    found = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    if wing == "fennec":
        return found - {"online"}
    return found | {path.name for path in folder.iterdir() if path.is_dir() and path.name != "__pycache__"}


def test_table__names_every_wing() -> None:
    folders = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
    assert set(table()) == folders | {"fennec", "online"}


@pytest.mark.parametrize("wing", [wing for wing in table() if wing != "metrics"])
def test_table__names_every_room__few_of_them(wing: str) -> None:
    assert set(table()[wing]) == rooms(wing)
    assert len(rooms(wing)) <= N_ROOMS


def test_linter__its_layers_are_the_table_upside_down() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    wings = [wing for wing in table() if wing != "fennec"]
    ground = [name for layer in layers[len(wings) :] for name in layer.split(" : ")]
    assert layers[: len(wings)] == wings[::-1]
    assert set(ground) == rooms("fennec")


@pytest.mark.parametrize("wing", sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py")))
def test_wing__says_what_comes_in_goes_out_and_may_be_imported(wing: str) -> None:
    text = (PACKAGE / wing / "__init__.py").read_text(encoding="utf-8")
    if wing != "metrics":
        assert re.search(r"In: .+Out: .+May import: ", text, re.DOTALL)
    assert (ROOT / "tests" / wing).is_dir()


@pytest.mark.parametrize("folder", ["fennec", "tests", "benchmark"])
def test_files__none_above_400_lines_or_called_utils(folder: str) -> None:
    for path in (ROOT / folder).rglob("*.py"):
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 400, path
        assert path.stem not in ("utils", "helpers", "common"), path
