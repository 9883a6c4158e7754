"""How complete the documentation is, and how light the package: docstrings, examples, notebooks, wheel, imports.

    python benchmark/pages/documentation.py

Writes `documentation.csv` (what, value, unit). Times are the least of five runs, less that of an empty program.
"""

from __future__ import annotations

import ast
import doctest
import importlib
import pkgutil
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat
import pandas as pd
from nbclient import NotebookClient

import fennec

ROOT = Path(__file__).parents[2]
REPEATS = 5


def docstrings() -> tuple[int, int]:
    """Public modules, classes, functions and methods, and how many of them are documented."""
    total = documented = 0
    for path in (ROOT / "fennec").rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        classes = [node for node in tree.body if isinstance(node, ast.ClassDef) and not node.name.startswith("_")]
        nodes = [tree, *classes]
        for body in (tree.body, *(node.body for node in classes)):
            nodes += [node for node in body if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")]
        total += len(nodes)
        documented += sum(ast.get_docstring(node) is not None for node in nodes)
    return total, documented


def doctests() -> int:
    """Examples in docstrings, all of which the tests run."""
    names = [module.name for module in pkgutil.walk_packages(fennec.__path__, "fennec.")]
    finder = doctest.DocTestFinder()
    return sum(len(test.examples) for name in names for test in finder.find(importlib.import_module(name)))


def links() -> int:
    """Links of the pages that the tests follow."""
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("benchmark/*.md"), *ROOT.glob("data/*.md")]
    return sum(len(re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))) for page in pages)


def notebook_seconds(path: Path) -> float:
    """Time of running a notebook from top to bottom."""
    notebook = nbformat.read(path, as_version=4)
    start = time.perf_counter()
    NotebookClient(notebook, timeout=600).execute()
    return time.perf_counter() - start


def wheel_megabytes() -> float:
    """Size of the wheel."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, str(ROOT)]
        subprocess.run(command, check=True, capture_output=True)
        return next(Path(folder).glob("*.whl")).stat().st_size / 1e6


def seconds(*arguments: str) -> float:
    """Least time of a Python program."""
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    """Measure and write."""
    total, documented = docstrings()
    empty = seconds("-c", "pass")
    rows = [
        ("public objects", total, ""),
        ("with a docstring", documented, ""),
        ("examples in docstrings", doctests(), ""),
        ("links followed", links(), ""),
        ("wheel", wheel_megabytes(), "MB"),
        ("fennec --help", seconds("-m", "fennec.cli.main", "--help") - empty, "s"),
        *((f"import {name}", seconds("-c", f"import {name}") - empty, "s") for name in ("fennec", "timm", "open_clip")),
        *((f"notebook {path.stem}", notebook_seconds(path), "s") for path in sorted(ROOT.glob("notebooks/*.ipynb"))),
    ]
    table = pd.DataFrame(rows, columns=["what", "value", "unit"]).round(3)
    table.to_csv(ROOT / "benchmark" / "results" / "documentation.csv", index=False)
    print(table.to_string(index=False))


if __name__ == "__main__":
    main()
