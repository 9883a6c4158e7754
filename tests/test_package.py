"""What people install: exported names, the wheel and its data."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

import fennec

ROOT = Path(__file__).parents[1]
MODULES = sorted(module.name for module in pkgutil.walk_packages(fennec.__path__, "fennec."))


def test_exports__sorted_complete_and_importable() -> None:
    assert fennec.__all__ == sorted(fennec.__all__)
    for name in fennec.__all__:
        assert getattr(fennec, name) is not None
    assert set(fennec._HOME) == set(fennec.__all__) - {"__version__"}
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = fennec.nothing


@pytest.mark.parametrize("name", MODULES)
def test_docstrings__examples__run(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name))
    assert result.failed == 0


@pytest.mark.parametrize("name", MODULES)
def test_modules__short_documented_and_not_printing(name: str) -> None:
    module = importlib.import_module(name)
    source = Path(str(module.__file__)).read_text(encoding="utf-8")
    assert module.__doc__
    assert len(source.splitlines()) <= 400
    if name != "fennec.cli.main":
        assert not re.search(r"(?<![\w.])print\(", source)


def test_files__none_large_outside_data() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    for name in listed.stdout.split("\0"):
        path = ROOT / name
        if name and path.is_file() and not name.startswith(("data/", "benchmark/results/")):
            assert path.stat().st_size < 200_000, name


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_notebooks__run_from_top_to_bottom(path: Path, tmp_path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"]


def test_readme__tables__as_the_result_files_say() -> None:
    subprocess.run([sys.executable, str(ROOT / "benchmark" / "pages" / "tables.py"), "--check"], check=True)


def test_wheel__installed_into_a_clean_folder__recommends(tmp_path: Path) -> None:
    """Build without the network, unpack where no checkout is near, and run the command from there."""
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)],
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("fennec_recommender-*.whl")
    target = tmp_path / "site"
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--no-index",
            "--target",
            str(target),
            str(wheel),
        ],
        check=True,
        capture_output=True,
    )
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        assert archive.read(next(n for n in names if n.endswith("METADATA"))).startswith(b"Metadata-Version")
    assert "fennec/py.typed" in names
    assert "fennec/data/models.csv" in names
    assert "fennec/data/proxies/fennec-mini/model.safetensors" in names
    assert "fennec/data/spaces/finetune/tensors.safetensors" in names
    program = (
        f"import sys; sys.path.insert(0, {str(target)!r}); import fennec, fennec.settings;"
        f"assert str(fennec.settings.data_dir()).startswith({str(target)!r}), fennec.settings.data_dir();"
        "task = fennec.embed_task('sklearn:digits', max_images=10);"
        "recommender = fennec.Recommender.from_published();"
        "ranking = recommender.recommend(task);"
        "assert len(ranking) == 10; print(ranking)"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "rank" in done.stdout
