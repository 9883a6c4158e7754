"""What Fennec finds on this machine: libraries, data, caches, devices, and whether the Hub can be reached."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from dataclasses import dataclass
from pathlib import Path

from fennec import __version__
from fennec.errors import FennecError
from fennec.evidence.hubs import load_hubs
from fennec.settings import cache_dir, data_dir, default_device, home_dir
from fennec.tasks.embedding_files import load_known_embeddings
from fennec.trials.reach import hub, refusal

CORE = ("faiss-cpu", "numpy", "open-clip-torch", "plotly", "scikit-learn", "timm", "torch", "torch-geometric",
        "torchvision")  # fmt: skip
EXTRAS = {"datasets": "hf", "transformers": "hf", "ray": "ray", "matplotlib": "plots", "gradio": "ui"}


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes:
        what: it is about.
        status: `ok`, `missing` (something optional) or `problem`.
        detail: version, size or path, and what to type where something is missing.
    """

    what: str
    status: str
    detail: str


def examine() -> list[Finding]:
    """Look at everything; nothing is changed or downloaded."""
    return [
        Finding("fennec", "ok", __version__),
        Finding("python", "ok", f"{platform.python_version()} on {platform.system()} {platform.machine()}"),
        *(_library(name, None) for name in CORE),
        *(_library(name, extra) for name, extra in EXTRAS.items()),
        _data(),
        _folder("cache", cache_dir()),
        _folder("added models", home_dir()),
        _device(),
        _hub(),
    ]


def _library(name: str, extra: str | None) -> Finding:
    try:
        return Finding(name, "ok", importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        if extra is None:
            return Finding(name, "problem", f"not installed; pip install {name}")
        return Finding(name, "missing", f"optional; pip install 'fennec-recommender[{extra}]'")


def _data() -> Finding:
    try:
        n_tasks = len(load_known_embeddings())
        return Finding("data", "ok", f"{len(load_hubs())} hubs, {n_tasks} embedded tasks in {data_dir()}")
    except FennecError as error:
        return Finding("data", "problem", str(error))


def _folder(what: str, path: Path) -> Finding:
    if not path.is_dir():
        return Finding(what, "ok", f"{path} (nothing there yet)")
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    if not os.access(path, os.W_OK):
        return Finding(what, "problem", f"{path} cannot be written to")
    return Finding(what, "ok", f"{path} ({size / 1e6:.1f} MB)")


def _device() -> Finding:
    import torch

    from fennec.metrics.contract import find_device

    try:
        device = find_device(default_device())
    except FennecError as error:
        return Finding("device", "problem", str(error))
    if device.type == "cuda":
        gpu = torch.cuda.get_device_properties(device)
        return Finding("device", "ok", f"{device} ({gpu.name}, {gpu.total_memory / 2**30:.0f} GiB)")
    return Finding("device", "ok", f"{device} ({os.cpu_count()} cores, {torch.get_num_threads()} threads)")


def _hub() -> Finding:
    if why := refusal(hub()):
        return Finding("hub", "missing", f"{hub()} cannot be reached ({why}); what is cached, local or bundled works")
    return Finding("hub", "ok", f"{hub()} answers")
