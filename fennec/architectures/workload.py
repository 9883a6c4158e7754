"""How much a network computes, by kind of operator: what time and memory are made of.

In: operator graphs. Out: `Workloads`, multiply-adds and values computed of one picture, scaled to any side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from .graph import ATTRIBUTES, KINDS, ArchitectureGraph, load_known_graphs

Floats = NDArray[np.float64]
MULTIPLYING = ("convolution", "pointwise", "grouped", "depthwise", "linear", "matmul", "attention")
PLAIN = ("batch_norm", "other_norm", "relu", "other_activation", "pool", "arithmetic", "rest")
WORK = (*(f"macs of {kind}" for kind in MULTIPLYING), *(f"values of {kind}" for kind in (*MULTIPLYING, *PLAIN)))
_PLAIN_OF = {"batch_norm": "batch_norm", "layer_norm": "other_norm", "group_norm": "other_norm",
             "rms_norm": "other_norm", "normalize": "other_norm", "relu": "relu", "leaky_relu": "other_activation",
             "elu": "other_activation", "gelu": "other_activation", "silu": "other_activation",
             "sigmoid": "other_activation", "tanh": "other_activation", "softmax": "other_activation",
             "max_pool": "pool", "avg_pool": "pool", "add": "arithmetic", "mul": "arithmetic"}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Workloads:
    """What networks compute for one picture.

    Attributes:
        amounts: columns `WORK`, in billions, shape (n_networks, n_work).
        params: number of parameters, shape (n_networks,).
        sides: of the picture in pixels, shape (n_networks,).
    """

    amounts: Floats
    params: Floats
    sides: Floats

    def at(self, sides: Floats) -> Floats:
        """Amounts at other sides, shape (n_networks, n_work); attention grows with the square of the picture's area.

        Args:
            sides: in pixels, shape (n_networks,).
        """
        area = ((sides / self.sides) ** 2)[:, None]
        return self.amounts * np.where(np.array(WORK) == "macs of attention", area**2, area)

    def take(self, rows: NDArray[np.intp]) -> Workloads:
        """Some of the networks, in this order."""
        return Workloads(self.amounts[rows], self.params[rows], self.sides[rows])


def workloads_of(graphs: Sequence[ArchitectureGraph]) -> Workloads:
    """Count the work in operator graphs.

    Example:
        >>> import torch
        >>> from fennec.architectures.graph import graph_of
        >>> net = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.ReLU())
        >>> work = workloads_of([graph_of(net, input_size=(3, 10, 10))])
        >>> dict(zip(WORK, (work.amounts[0] * 1e9).round().astype(int).tolist()))["macs of convolution"]
        21600
    """
    kinds = np.concatenate([graph.kinds for graph in graphs])
    columns = dict(zip(ATTRIBUTES, np.concatenate([graph.attributes for graph in graphs]).astype(float).T, strict=True))
    network = np.repeat(np.arange(len(graphs)), [graph.n_nodes for graph in graphs])
    places = _places(kinds, columns["groups"], columns["channels_in"], columns["kernel"])
    shape = (len(graphs), len(MULTIPLYING) + len(PLAIN))
    macs, values = (
        np.bincount(network * shape[1] + places, weights=weights, minlength=shape[0] * shape[1]).reshape(shape) / 1e9
        for weights in (columns["macs"], columns["positions"] * columns["channels_out"])
    )
    starts = np.concatenate([[0], np.cumsum([graph.n_nodes for graph in graphs])[:-1]])
    return Workloads(
        np.concatenate([macs[:, : len(MULTIPLYING)], values], axis=1),
        np.bincount(network, weights=columns["params"]).astype(float),
        np.sqrt(columns["positions"][starts]),  # the first operator is the picture
    )


def _places(kinds: NDArray[np.uint8], groups: Floats, channels_in: Floats, kernel: Floats) -> NDArray[np.intp]:
    """Column of every operator among `MULTIPLYING` and `PLAIN`."""
    names = (*MULTIPLYING, *PLAIN)
    plain = np.array([names.index(_PLAIN_OF.get(kind, kind if kind in names else "rest")) for kind in KINDS])
    places = plain[kinds]
    is_conv, is_grouped = kinds == KINDS.index("conv"), groups > 1
    places[is_conv] = names.index("convolution")
    places[is_conv & ~is_grouped & (kernel <= 1)] = names.index("pointwise")
    places[is_conv & is_grouped] = names.index("grouped")
    places[is_conv & is_grouped & (channels_in <= groups)] = names.index("depthwise")
    return places


@cache
def load_known_workloads() -> tuple[Mapping[str, int], Workloads]:
    """Row of every architecture with a known graph, by `library:architecture`, and the rows."""
    graphs = load_known_graphs()
    return {name: row for row, name in enumerate(graphs)}, workloads_of(list(graphs.values()))
