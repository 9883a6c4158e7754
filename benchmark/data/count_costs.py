"""Parameters and multiply-adds of networks at input sizes other than the one their graph was traced at.

    python benchmark/data/count_costs.py

Reads the pairs that `data/models.csv` needs, traces those that `benchmark/results/costs_at_size.csv` lacks, and adds
them to it. `build_models.py` takes the figures from there; run it again afterwards.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import torch
from model_costs import COSTS, SEGFORMERS, native_size

from fennec.architectures.build import build_architecture
from fennec.architectures.graph import graph_of
from fennec.errors import FennecError

ROOT = Path(__file__).parents[2]


def count(backbone: str, side: int) -> tuple[int, float] | None:
    """Parameters and GMACs of a network at an input size, None where it takes no other size than its own."""
    library, _, architecture = backbone.partition(":")
    try:
        if backbone in SEGFORMERS:
            module = segformer(*SEGFORMERS[backbone])
        elif library == "torchvision" and architecture.startswith("vit_"):
            from torchvision import models

            with torch.device("meta"):
                module = models.get_model(architecture, weights=None, image_size=side)
        else:
            module, _ = build_architecture(backbone)
        graph = graph_of(module, input_size=(3, side, side), name=backbone)
    except FennecError:
        return None
    return graph.params, round(graph.gmacs, 4)


def segformer(widths: tuple[int, ...], depths: tuple[int, ...]) -> torch.nn.Module:
    """SegFormer's encoder on the meta device, answering with its last features."""
    from transformers import SegformerConfig, SegformerModel

    class Features(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = SegformerModel(SegformerConfig(hidden_sizes=list(widths), depths=list(depths)))

        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            return self.encoder(pixel_values=batch).last_hidden_state

    with torch.device("meta"):
        return Features()


def main() -> None:
    """Count what is missing."""
    torch.set_num_threads(1)
    models = pd.read_csv(ROOT / "data" / "models.csv", index_col="id")
    table = (
        pd.read_csv(COSTS) if COSTS.exists() else pd.DataFrame(columns=["backbone", "input_size", "params", "gmacs"])
    )
    known = set(zip(table["backbone"], table["input_size"], strict=True))
    wanted = models.dropna(subset=["backbone", "input_size"])
    rows = []
    pairs = set(zip(wanted["backbone"], wanted["input_size"].astype(int), strict=True))
    pairs = {(backbone, side) for backbone, side in pairs if side != native_size(backbone)}
    for backbone, side in sorted((pairs | {(model, 224) for model in SEGFORMERS}) - known):
        found = count(backbone, side)
        print(backbone, side, found, flush=True)
        if found is not None:
            rows.append((backbone, side, *found))
    table = pd.concat([table, pd.DataFrame(rows, columns=table.columns)]).sort_values(["backbone", "input_size"])
    table.to_csv(COSTS, index=False, lineterminator="\n")


if __name__ == "__main__":
    main()
