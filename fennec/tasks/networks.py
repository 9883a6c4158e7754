"""What runs the network of a proxy: torch, or ONNX Runtime, which starts in a fraction of the time.

In: a torch model, or a graph of operators with weights by name. Out: a function from a batch to features.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fennec.settings import default_device

if TYPE_CHECKING:
    import torch

Features = NDArray[np.float32]
Network = Callable[[Sequence[Any]], Features]
INPUT, OUTPUT = "pictures", "features"


def torch_network(model: torch.nn.Module, device: str | None = None) -> Network:
    """A torch model as a function of a batch.

    Args:
        model: maps tensors (n, 3, side, side) to features (n, n_features).
        device: where to compute; the default device when None.
    """
    place = device or default_device()
    module = model.eval().to(place)

    def run(tensors: Sequence[torch.Tensor]) -> Features:
        import torch

        with torch.inference_mode():
            features = module(torch.stack(list(tensors)).to(place))
        return np.asarray(features.float().cpu().numpy(), dtype=np.float32)

    return run


def onnx_network(graph: Path, weights: Mapping[str, Features]) -> Network:
    """A graph of operators, on the processor, as a function of a batch.

    Args:
        graph: ONNX file with input `pictures` (n, 3, side, side) and output `features` (n, n_features), whose weights
            are names only, as `benchmark/tasks/export_proxy.py` writes it.
        weights: values by these names, single precision.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is damaged, or a weight is missing, unknown or of another shape.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # decoding needs the same cores
    values = [onnxruntime.OrtValue.ortvalue_from_numpy(it) for it in weights.values()]
    options.add_external_initializers(list(weights), values)
    content = graph.read_bytes()
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the library's errors have no other ancestor
        raise ValueError(str(error)) from error

    def run(pictures: Sequence[Features]) -> Features:
        return np.asarray(session.run([OUTPUT], {INPUT: np.stack(pictures)})[0])

    return run
