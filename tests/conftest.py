"""Shared fixtures: where the real data is, a planted hub, a small proxy, generated pictures, networks and tasks."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

os.environ["HF_HUB_OFFLINE"] = "1"  # read once, when huggingface_hub is imported

import numpy as np
import pytest
import torch
from PIL import Image

from fennec.architectures.vectors import load_known_vectors
from fennec.checkpoints.catalog import load_catalog
from fennec.evaluation import leave_one_task_out
from fennec.evidence.matrix import TransferMatrix
from fennec.evidence.scores import matrix_scores
from fennec.tasks.embedding import TaskEmbedding
from fennec.tasks.networks import torch_network
from fennec.tasks.proxy import Proxy

if TYPE_CHECKING:
    from playwright.sync_api import Browser

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(autouse=True, scope="session")
def _few_threads() -> None:
    torch.set_num_threads(1 if "PYTEST_XDIST_WORKER" in os.environ else 2)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No test reads or fills the user's cache or added models, and none waits for a hub."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("FENNEC_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setenv("FENNEC_HOME", str(home))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("FENNEC_DEVICE", "cpu")
    yield
    sys.modules.pop("mynets", None)  # the next test may have a module of this name, and has a home of its own
    if (home / "added_models.json").exists():
        load_catalog.cache_clear()
        load_known_vectors.cache_clear()


@pytest.fixture
def shared() -> Path:
    """The folder of real data; tests that use it are skipped where it is absent."""
    if not SHARED.is_dir():
        pytest.skip("the real data of ../shared is not here")
    return SHARED


@pytest.fixture
def picture() -> Callable[..., Image.Image]:
    """Makes a picture of noise: `picture(seed, size)`."""

    def make(seed: int = 0, size: tuple[int, int] = (32, 24)) -> Image.Image:
        noise = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
        return Image.fromarray(noise)

    return make


@pytest.fixture
def image_folder(tmp_path: Path, picture: Callable[..., Image.Image]) -> Path:
    """Two classes of three pictures each."""
    root = tmp_path / "pets"
    for label, name in enumerate(("cat", "dog")):
        (root / name).mkdir(parents=True)
        for index in range(3):
            picture(10 * label + index).save(root / name / f"{index}.png")
    return root


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
         "--disable-sync", "--disable-quic", "--no-first-run"]  # fmt: skip


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A headless Chromium of the system."""
    if CHROMIUM is None:
        pytest.skip("no Chromium here; apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield found
        found.close()


class Plain(torch.nn.Module):
    """Mean and spread of every colour: features that a test can compute by hand."""

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        flat = batch.flatten(2)
        return torch.cat([flat.mean(2), flat.std(2)], dim=1)


@pytest.fixture
def plain_proxy() -> Proxy:
    """A proxy with six features and no weights."""
    return Proxy(
        "plain",
        torch_network(Plain(), "cpu"),
        lambda image: torch.from_numpy(np.asarray(image.resize((8, 8)), dtype=np.float32).transpose(2, 0, 1) / 255),
        input_size=8,
        fingerprint="plain",
        preprocessing={"size": 8},
    )


def planted(
    n_models: int = 40, n_tasks: int = 10, n_latent: int = 3, *, noise: float = 0.05, seed: int = 0
) -> tuple[TransferMatrix, dict[str, TaskEmbedding]]:
    """A hub whose task embeddings say everything: results follow latent vectors that the features show."""
    generator = np.random.default_rng(seed)
    models, tasks = (
        generator.standard_normal((n_models, n_latent)),
        generator.standard_normal((n_tasks, n_latent)),
    )
    odds = models @ tasks.T + models[:, :1] + noise * generator.standard_normal((n_models, n_tasks))
    names = tuple(f"task{index}" for index in range(n_tasks))
    matrix = TransferMatrix(
        1 / (1 + np.exp(-odds)),
        tuple(f"model{index:02d}" for index in range(n_models)),
        names,
        names,
        ("top1",) * n_tasks,
        "finetune",
        "planted",
    )
    lift = generator.standard_normal((n_latent, 12))
    embeddings = {}
    for name, vector in zip(names, tasks, strict=True):
        features = vector @ lift + 0.1 * generator.standard_normal((50, 12))
        embeddings[name] = TaskEmbedding.from_features(features, name=name, proxy="planted", fingerprint="planted")
    return matrix, embeddings


NETWORKS = """
import os, signal, time
import numpy as np
import torch
from torch import nn
from fennec.checkpoints.encoders import Encoder

def _encoder(name, width):
    with torch.random.fork_rng():
        torch.manual_seed(width)
        network = nn.Sequential(nn.Conv2d(3, width, 3, stride=2), nn.BatchNorm2d(width), nn.ReLU(),
                                nn.AdaptiveAvgPool2d(1), nn.Flatten())
    def transform(image):
        return torch.from_numpy(np.asarray(image.resize((8, 8)), dtype=np.float32).transpose(2, 0, 1) / 255)
    return Encoder(name, network, transform, preprocessing={"side": 8}, device="cpu")

def small():
    return _encoder("small", 8)

def wide():
    return _encoder("wide", 16)

def slow():
    time.sleep(1.0)
    return _encoder("slow", 4)

class Huge(nn.Module):
    def forward(self, batch):
        raise torch.OutOfMemoryError("tried to allocate 900 GiB")

def huge():
    return Huge()

def suicidal():
    os.kill(os.getpid(), signal.SIGKILL)

def plain():
    return nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(48, 5))
"""


def coloured(folder: Path, colours: dict[str, tuple[int, int, int]], n: int, *, seed: int = 0) -> Path:
    """A folder of noisy pictures, each class in its own colour."""
    generator = np.random.default_rng(seed)
    for name, colour in colours.items():
        (folder / name).mkdir(parents=True)
        for index in range(n):
            noise = generator.integers(-60, 60, (12, 12, 3))
            pixels = np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{index}.png")
    return folder


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with own networks, `benchnets:NAME`, that this process and those that it starts import from."""
    folder = tmp_path_factory.mktemp("networks")
    (folder / "benchnets.py").write_text(NETWORKS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
        patch.syspath_prepend(folder)
        yield folder
    sys.modules.pop("benchnets", None)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, networks: Path) -> dict[str, str]:
    """Two easy tasks."""
    monkeypatch.chdir(tmp_path)
    coloured(tmp_path / "fruit", {"lemon": (220, 200, 60), "plum": (120, 40, 120)}, 25)
    coloured(tmp_path / "sea", {"deep": (20, 40, 90), "foam": (210, 220, 230), "weed": (40, 110, 60)}, 15, seed=1)
    return {"fruit": str(tmp_path / "fruit"), "sea": str(tmp_path / "sea")}


@pytest.fixture(scope="module")
def no_published_results() -> Iterator[None]:
    """A planted hub alone: a fit beside all published results takes ten seconds, and they say nothing of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(leave_one_task_out, "results_of", lambda matrix: (matrix_scores(matrix), matrix.name))
        yield
