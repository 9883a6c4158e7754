"""An architecture as a graph of operators with attributes, without weights.

In: any `nn.Module`, traced on the meta device, which costs neither memory nor arithmetic. Out: `ArchitectureGraph`,
one node per operator that computes something, edges along the data. A last linear layer is the head and left out, so
that two checkpoints of one architecture give the same graph. A hub's graphs are kept in one file.
"""

from __future__ import annotations

import copy
import hashlib
import io
import warnings
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fennec.errors import ArtifactError, InputError
from fennec.files import write_whole
from fennec.settings import data_dir

if TYPE_CHECKING:
    import torch
    from torch_geometric.data import Data

    from .tracing import Builder

VERSION = 1  # of the rules in tracing.py; part of every hash
KINDS = ("input", "conv", "linear", "matmul", "attention", "batch_norm", "layer_norm", "group_norm", "rms_norm",
         "normalize", "relu", "leaky_relu", "elu", "gelu", "silu", "sigmoid", "tanh", "softmax", "max_pool", "avg_pool",
         "mean", "add", "mul", "concat", "resize", "embedding", "other")  # fmt: skip
ATTRIBUTES = ("kernel", "stride", "groups", "channels_in", "channels_out", "heads", "positions", "normalized", "params",
              "macs", "depth")  # fmt: skip


@dataclass(frozen=True, eq=False)
class ArchitectureGraph:
    """Operators of a network and the flow of data between them.

    Attributes:
        kinds: position of every operator in `KINDS`, in the order of execution, shape (n_nodes,).
        attributes: columns `ATTRIBUTES`, 0 where one does not apply, shape (n_nodes, 11).
        edges: from and to, every edge forwards, shape (2, n_edges).
        name: of the architecture.
        unknown: operators without a kind, by name.
    """

    kinds: NDArray[np.uint8]
    attributes: NDArray[np.int64]
    edges: NDArray[np.int32]
    name: str = ""
    unknown: tuple[str, ...] = ()

    @property
    def n_nodes(self) -> int:
        """Number of operators."""
        return len(self.kinds)

    @property
    def params(self) -> int:
        """Number of parameters without the head."""
        return int(self.attributes[:, ATTRIBUTES.index("params")].sum())

    @property
    def gmacs(self) -> float:
        """Multiply-adds of a forward pass, without the head, in billions."""
        return float(self.attributes[:, ATTRIBUTES.index("macs")].sum()) / 1e9

    @property
    def depth(self) -> int:
        """Operators on the longest path."""
        return int(self.attributes[:, ATTRIBUTES.index("depth")].max())

    @cached_property
    def hash(self) -> str:
        """Equal for equal graphs, whatever their name; depends on `VERSION`."""
        digest = hashlib.sha256(f"fennec graph {VERSION}".encode())
        for array in (self.kinds, self.attributes.astype("<i8"), self.edges.astype("<i4")):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()[:16]

    def to_data(self) -> Data:
        """As a torch-geometric graph.

        Returns:
            `kind` (n_nodes,), `attributes` (n_nodes, 11) as log2(1 + value), `edge_index` (2, n_edges).
        """
        import torch

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of torch, about how torch-geometric is written
            from torch_geometric.data import Data

        return Data(
            kind=torch.as_tensor(self.kinds.astype(np.int64)),
            attributes=torch.as_tensor(np.log2(1.0 + self.attributes).astype(np.float32)),
            edge_index=torch.as_tensor(self.edges.astype(np.int64)),
            num_nodes=self.n_nodes,
        )


def graph_of(
    module: torch.nn.Module,
    *,
    input_size: tuple[int, int, int] = (3, 224, 224),
    inputs: Sequence[torch.Tensor] | None = None,
    name: str = "",
) -> ArchitectureGraph:
    """The operator graph of a network.

    Args:
        module: any network; its weights, mode and device stay as they are.
        input_size: channels, height and width of the picture it takes.
        inputs: what it takes instead of one picture, batches of 1.
        name: of the architecture.

    Returns:
        The graph found by `torch.export` on the meta device. Where a network does not export, one run is watched
        instead, on the CPU where its path depends on values.

    Raises:
        InputError: not a module, it takes other inputs, it cannot be run, or its output does not depend on them.

    Example:
        >>> import torch
        >>> net = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), torch.nn.Flatten())
        >>> [KINDS[kind] for kind in graph_of(net, input_size=(3, 8, 8)).kinds]
        ['input', 'conv', 'relu']
    """
    import torch

    from .tracing import exported, watched

    if not isinstance(module, torch.nn.Module):
        raise InputError(f"expected a torch.nn.Module, got a {type(module).__name__}; wrap functions in a module")
    given = [torch.zeros(1, *input_size)] if inputs is None else inputs
    label = f"'{name}'" if name else type(module).__name__
    shapes = " and ".join(str(tuple(tensor.shape)) for tensor in given)
    reason = ""
    for place, trace in (("meta", exported), ("meta", watched), ("cpu", exported), ("cpu", watched)):
        try:
            own = copy.deepcopy(module).eval().to(place)
            builder = trace(own, tuple(tensor.to(place) for tensor in given))
        except Exception as error:  # tracing runs foreign code, which may raise anything
            reason = f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"
            continue
        graph = _finish(builder, name)
        if graph.n_nodes < 2:
            raise InputError(f"the output of {label} does not depend on its input through any operator")
        return graph
    raise InputError(f"cannot trace {label} on inputs of shape {shapes} ({reason}); give what it takes as `inputs`")


def _finish(builder: Builder, name: str) -> ArchitectureGraph:
    order = builder.kept()
    position = {node: place for place, node in enumerate(order)}
    edges = [(position[source], position[node]) for node in order for source in builder.sources[node]]
    rows = [[builder.rows[node].get(attribute, 0) for attribute in ATTRIBUTES] for node in order]
    return ArchitectureGraph(
        np.array([KINDS.index(builder.kinds[node]) for node in order], dtype=np.uint8),
        np.array(rows, dtype=np.int64).reshape(-1, len(ATTRIBUTES)),
        np.array(edges, dtype=np.int32).reshape(-1, 2).T,
        name,
        tuple(sorted(builder.unknown)),
    )


def save_graphs(graphs: Sequence[ArchitectureGraph], path: str | Path) -> None:
    """Write graphs into one compressed file, equal ones once.

    Args:
        graphs: with different names.
        path: file ending in `.npz`.
    """
    distinct = {graph.hash: graph for graph in graphs}
    place = {digest: index for index, digest in enumerate(distinct)}
    parts = list(distinct.values())
    file = io.BytesIO()
    np.savez_compressed(
        file,
        version=np.array(VERSION),
        names=np.array([graph.name for graph in graphs]),
        places=np.array([place[graph.hash] for graph in graphs], dtype=np.int32),
        unknown=np.array([" ".join(graph.unknown) for graph in parts]),
        n_nodes=np.array([graph.n_nodes for graph in parts], dtype=np.int32),
        n_edges=np.array([graph.edges.shape[1] for graph in parts], dtype=np.int32),
        kinds=np.concatenate([graph.kinds for graph in parts]),
        # columns one after another, edges as steps back: nearly equal neighbours compress well
        attributes=np.concatenate([graph.attributes for graph in parts]).T,
        targets=np.concatenate([graph.edges[1] for graph in parts]),
        steps=np.concatenate([graph.edges[1] - graph.edges[0] for graph in parts]),
    )
    write_whole(Path(path), file.getvalue())


@cache
def load_known_graphs() -> dict[str, ArchitectureGraph]:
    """Graphs of the architectures of timm, torchvision and open_clip, by `library:architecture`."""
    return load_graphs(data_dir() / "architectures.npz")


def load_graphs(path: str | Path) -> dict[str, ArchitectureGraph]:
    """Graphs of a file that `save_graphs` wrote, by name.

    Raises:
        ArtifactError: the file is missing, damaged, or of other rules.
    """
    try:
        with Path(path).open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            stored = {key: file[key] for key in file.files}
    except (OSError, ValueError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise ArtifactError(f"'{path}' holds no architecture graphs ({error})") from error
    if stored.get("version") != VERSION:
        raise ArtifactError(
            f"'{path}' holds graphs of rules {stored.get('version')}; this is {VERSION}, build them again"
        )
    nodes = np.concatenate([[0], np.cumsum(stored["n_nodes"])])
    flows = np.concatenate([[0], np.cumsum(stored["n_edges"])])
    attributes = np.ascontiguousarray(stored["attributes"].T)
    found = {}
    for name, place in zip(stored["names"].tolist(), stored["places"].tolist(), strict=True):
        own, flow = slice(nodes[place], nodes[place + 1]), slice(flows[place], flows[place + 1])
        targets = stored["targets"][flow]
        found[name] = ArchitectureGraph(
            stored["kinds"][own],
            attributes[own],
            np.stack([targets - stored["steps"][flow], targets]),
            name,
            tuple(str(stored["unknown"][place]).split()),
        )
    return found
