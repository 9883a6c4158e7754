"""Where Fennec looks: its own data, its cache and the device to compute on.

Environment variables: `FENNEC_HOME`, `FENNEC_CACHE_DIR`, `FENNEC_DEVICE`, `FENNEC_DEBUG`. Downloads by other
libraries go to their own caches (`HF_HOME`, `TORCH_HOME`).
"""

from __future__ import annotations

import os
from pathlib import Path

from fennec.errors import ArtifactError


def data_dir() -> Path:
    """Folder with results, catalogs and the bundled proxy, in a wheel or in an editable checkout.

    Raises:
        ArtifactError: neither place holds the folder.
    """
    package = Path(__file__).resolve().parent
    for folder in (package / "data", package.parent / "data"):
        if (folder / "hubs.json").is_file():
            return folder
    raise ArtifactError(f"no data folder beside {package}; install fennec-recommender again")


def home_dir() -> Path:
    """Folder for what the user adds: `FENNEC_HOME`, else `~/.fennec`."""
    return Path(os.environ.get("FENNEC_HOME") or Path.home() / ".fennec")


def cache_dir() -> Path:
    """Folder for what Fennec can compute again: `FENNEC_CACHE_DIR`, else `~/.cache/fennec`."""
    return Path(os.environ.get("FENNEC_CACHE_DIR") or Path.home() / ".cache" / "fennec")


def chosen_device() -> str:
    """Device name for torch that a person asks for (`FENNEC_DEVICE`), empty where nothing is asked."""
    return os.environ.get("FENNEC_DEVICE", "")


def default_device() -> str:
    """Device name for torch: `FENNEC_DEVICE`, else a GPU where there is one, else `cpu`."""
    if chosen := chosen_device():
        return chosen
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def is_debug() -> bool:
    """Whether `FENNEC_DEBUG=1` asks for tracebacks."""
    return os.environ.get("FENNEC_DEBUG", "") not in ("", "0")
