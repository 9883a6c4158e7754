"""Shared fixtures: where the real data is, a planted hub, a small proxy, generated pictures."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

os.environ["HF_HUB_OFFLINE"] = "1"  # read once, when huggingface_hub is imported

import numpy as np
import pytest
import torch
from PIL import Image

from fennec.evidence.matrix import TransferMatrix
from fennec.tasks.embedding import TaskEmbedding
from fennec.tasks.proxy import Proxy

if TYPE_CHECKING:
    from playwright.sync_api import Browser

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(autouse=True, scope="session")
def _few_threads() -> None:
    torch.set_num_threads(1 if "PYTEST_XDIST_WORKER" in os.environ else 2)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or fills the user's cache or added models, and none waits for a hub."""
    monkeypatch.setenv("FENNEC_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setenv("FENNEC_HOME", str(tmp_path_factory.mktemp("home")))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("FENNEC_DEVICE", "cpu")


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
        Plain(),
        lambda image: torch.from_numpy(np.asarray(image.resize((8, 8)), dtype=np.float32).transpose(2, 0, 1) / 255),
        input_size=8,
        preprocessing={"size": 8},
        device="cpu",
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
