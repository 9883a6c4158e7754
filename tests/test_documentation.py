"""The documentation: every command runs, every link leads somewhere, the reference can be made."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import zipfile
from pathlib import Path
from pkgutil import walk_packages
from pydoc import locate

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from typer.testing import CliRunner

import fennec
from fennec.cli.main import app
from fennec.errors import FennecError
from fennec.evidence.hubs import load_matrix

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "benchmark" / "README.md", ROOT / "data" / "README.md"]
)
LISTED = [page for page in PAGES if page.name != "CHANGELOG.md"]
# Without a network these say so in one line; everything else must do its work.
NETWORK = ("torchvision:", "--download", "ViT-", "--rerank", "timm:vit_tiny", "push", "pull")
ELSEWHERE = ("fennec ui", "fennec evaluate")  # serves until interrupted, takes long: test_ui.py, test_cli.py
NAME = re.compile(r"(?<![\w./-])fennec(?:\.[A-Za-z_]\w*)+")
NETWORKS = """
import torch
from torch import nn

def _net(width):
    with torch.random.fork_rng():
        torch.manual_seed(width)
        return nn.Sequential(nn.Conv2d(3, width, 7, stride=8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())

def small_net():
    return _net(8)

def wide_net():
    return _net(16)
"""


def blocks(page: Path, language: str) -> list[str]:
    """The code blocks of a page in one language."""
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


def commands(page: Path) -> list[str]:
    """Lines of `bash` blocks that call fennec, comments cut off."""
    text = "".join(blocks(page, "bash")).replace("\\\n", " ")
    lines = [re.split(r"\s+#", line)[0].strip() for line in text.splitlines()]
    return [line for line in lines if line.startswith("fennec ") and not line.startswith(ELSEWHERE)]


@pytest.fixture
def sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with everything that the commands of the documentation name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    generator = np.random.default_rng(0)
    for number, folder in enumerate(("photos/pets", "signs", "fields", "cars")):
        for label in ("one", "two"):
            place = tmp_path / folder / label
            place.mkdir(parents=True)
            for index in range(12):
                pixels = generator.integers(0, 60 + 50 * number + 40 * (label == "two"), (24, 32, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(place / f"{index}.png")
    with zipfile.ZipFile("data.zip", "w") as archive:
        for file in (tmp_path / "cars").rglob("*.png"):
            archive.write(file, file.relative_to(tmp_path / "cars"))
    rows = [f"{file.relative_to(tmp_path)},{file.parent.name}" for file in sorted(tmp_path.glob("signs/*/*.png"))]
    Path("labels.csv").write_text("\n".join(["path,label", *rows]) + "\n")
    Path("tried.csv").write_text("model,value\nhf:microsoft/resnet-50,0.91\n")
    matrix = load_matrix("vit13")
    matrix.select(tasks=matrix.tasks[:4]).to_frame().replace(matrix.tasks[0], "pets").to_csv("ours.csv", index=False)
    Path("new_tasks.csv").write_text("task,title,n_classes\npets,Pets of our street,2\n")
    Path("mynets.py").write_text(NETWORKS)
    torch.manual_seed(0)
    save_file(timm.create_model("resnet18").state_dict(), "r18.safetensors")
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in LISTED if commands(page)], ids=lambda page: page.stem)
def test_commands__of_a_page_in_order__all_run(page: Path, sandbox: Path) -> None:
    runner = CliRunner()
    for command in commands(page):
        done = runner.invoke(app, shlex.split(command)[1:])
        if done.exit_code and any(part in command for part in NETWORK):
            assert isinstance(done.exception, FennecError), (command, done.exception)
            assert "\n" not in str(done.exception), command
        else:
            assert done.exit_code == 0, (command, done.output, done.exception)


@pytest.mark.slow
@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "docs" / "python.md"], ids=lambda page: page.stem)
def test_python__blocks_of_a_page_in_order__all_run(page: Path, sandbox: Path) -> None:
    names: dict[str, object] = {}
    for block in blocks(page, "python"):
        exec(compile(block, page.name, "exec"), names)


def test_front_page__fits_on_a_few_screens() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 160


def test_commands__there_are_many() -> None:
    assert sum(len(commands(page)) for page in LISTED) > 25


@pytest.mark.parametrize("page", LISTED, ids=lambda page: f"{page.parent.name}-{page.stem}")
def test_links__lead_to_files_and_headings(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        name, _, anchor = target.partition("#")
        place = (page.parent / name).resolve() if name else page
        assert place.exists(), f"{page.name}: {target}"
        if anchor:
            headings = re.findall(r"^#+ (.+)$", place.read_text(encoding="utf-8"), re.MULTILINE)
            slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor in slugs, f"{page.name}: {target}"


TEXTS = [*LISTED, *ROOT.glob("notebooks/*.ipynb"), *ROOT.glob("fennec/**/*.py")]


@pytest.mark.parametrize("name", sorted({name for text in TEXTS for name in NAME.findall(text.read_text("utf-8"))}))
def test_names__dotted_in_pages_notebooks_or_docstrings__exist(name: str) -> None:
    assert locate(name) is not None


@pytest.mark.slow
def test_reference__made_from_the_docstrings_of_every_module(tmp_path: Path) -> None:
    modules = {module.name for module in walk_packages(fennec.__path__, "fennec.") if not module.ispkg}
    command = [sys.executable, "-W", "ignore", "-m", "pdoc", "--docformat", "google", "-o", str(tmp_path), *modules]
    subprocess.run(command, check=True, capture_output=True)
    for module in modules:
        page = tmp_path / module.replace(".", "/")
        assert page.with_suffix(".html").stat().st_size > 5_000, module
