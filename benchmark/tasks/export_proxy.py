"""Write the operators of the bundled proxy as ONNX, without its weights, which stay in `model.safetensors`.

    pip install onnx
    python benchmark/tasks/export_proxy.py [--folder data/proxies/fennec-mini]

Reads `config.json` (architecture, side), writes `model.onnx`. Weights keep their names in timm, so that the loader puts
in those of the other file; that features are the same as in torch is tested.
"""

from __future__ import annotations

import argparse
import io
import json
from pathlib import Path

import onnx
import timm
import torch

from fennec.tasks.networks import INPUT, OUTPUT


def export_graph(folder: Path) -> None:
    """Write `model.onnx` beside the configuration."""
    config = json.loads((folder / "config.json").read_text())
    model = timm.create_model(config["architecture"], num_classes=0).eval()
    for tensor in model.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand_like(tensor))  # the exporter joins tensors of equal values
    buffer = io.BytesIO()
    torch.onnx.export(
        model,
        (torch.zeros(2, 3, config["input_size"], config["input_size"]),),
        buffer,
        dynamo=False,
        do_constant_folding=False,
        training=torch.onnx.TrainingMode.PRESERVE,
        input_names=[INPUT],
        output_names=[OUTPUT],
        dynamic_axes={INPUT: {0: "n"}, OUTPUT: {0: "n"}},
        opset_version=17,
    )
    graph = onnx.load_model_from_string(buffer.getvalue())
    for weight in graph.graph.initializer:
        weight.ClearField("raw_data")
        weight.data_location = onnx.TensorProto.EXTERNAL
        place = weight.external_data.add()
        place.key, place.value = "location", "model.safetensors"
    (folder / "model.onnx").write_bytes(graph.SerializeToString())


def main() -> None:
    """Write the graph."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("data/proxies/fennec-mini"))
    export_graph(parser.parse_args().folder)


if __name__ == "__main__":
    main()
