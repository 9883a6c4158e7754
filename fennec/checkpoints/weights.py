"""Weights of a network: downloaded or read from a file, checked, put in place, and told apart by a hash.

In: a function that downloads, or a safetensors or torch file. Out: tensors by name, a filled network, a fingerprint.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fennec.errors import ArtifactError, OfflineError

if TYPE_CHECKING:
    import torch
    from torch import Tensor


def download(build: Callable[[], Any], spec: str, advice: str) -> Any:
    """Build a model whose weights may have to be fetched.

    Args:
        build: makes the model.
        spec: what messages call it.
        advice: what to do instead where there is no network.

    Raises:
        ArtifactError: the weights are damaged or do not fit.
        OfflineError: the hub cannot be reached.
    """
    from safetensors import SafetensorError

    try:
        return build()
    except SafetensorError as error:
        raise ArtifactError(f"weights of '{spec}' are damaged: {error}") from error
    except (OSError, RuntimeError) as error:  # huggingface_hub's and urllib's errors are OSErrors
        first = (str(error).splitlines() or [type(error).__name__])[0]
        if "size mismatch" in str(error) or "Missing key" in str(error):
            raise ArtifactError(f"weights of '{spec}' do not fit their configuration: {first}") from error
        raise OfflineError(
            f"cannot download '{spec}' ({first}); {advice}, or fetch the weights where there is a network"
        ) from error


def fingerprint(model: torch.nn.Module, preprocessing: dict[str, Any]) -> str:
    """Hash of weights and preprocessing, 32 hexadecimal digits."""
    digest = hashlib.sha256(json.dumps(preprocessing, sort_keys=True, default=list).encode())
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(tensor.detach().float().cpu().numpy()).tobytes())
    return digest.hexdigest()[:32]


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """Tensors of a safetensors or torch file, without running any code in it."""
    import pickle

    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if Path(path).suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, SafetensorError, RuntimeError, pickle.UnpicklingError, EOFError) as error:
        raise ArtifactError(f"'{path}' holds no weights ({str(error).splitlines()[0]})") from error
    inner = state.get("state_dict", state) if isinstance(state, dict) else state
    if not isinstance(inner, dict) or not all(isinstance(value, torch.Tensor) for value in inner.values()):
        raise ArtifactError(f"'{path}' holds no state dictionary; expected tensors by name")
    return inner


def fill(model: torch.nn.Module, state: dict[str, Tensor], name: str, path: str | Path) -> torch.nn.Module:
    """Load weights strictly, up to a head that the file has and the model does not."""
    try:
        missing, _ = model.load_state_dict({key: value.float() for key, value in state.items()}, strict=False)
    except RuntimeError as error:
        lines = str(error).splitlines()
        raise ArtifactError(f"'{path}' does not hold weights of '{name}': {lines[-1].strip()}") from error
    missing = [key for key in missing if not key.endswith("num_batches_tracked")]
    if missing:
        raise ArtifactError(f"'{path}' lacks {len(missing)} tensors of '{name}', first '{missing[0]}'")
    return model
