"""Operator graphs: what is kept, what is folded, what is counted, and what cannot be traced."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.nn import functional

from fennec.architectures.build import build_architecture, list_architectures
from fennec.architectures.graph import (
    ATTRIBUTES,
    KINDS,
    VERSION,
    ArchitectureGraph,
    graph_of,
    load_graphs,
    load_known_graphs,
    save_graphs,
)
from fennec.architectures.tracing import FOLDED, OPERATORS, watched
from fennec.checkpoints.catalog import load_catalog
from fennec.errors import ArtifactError, InputError, UnknownModelError

SMALL = (3, 16, 16)


def kinds(graph: ArchitectureGraph) -> list[str]:
    return [KINDS[kind] for kind in graph.kinds]


def column(graph: ArchitectureGraph, name: str) -> list[int]:
    return graph.attributes[:, ATTRIBUTES.index(name)].tolist()


class Residual(nn.Module):
    """A convolution with a shortcut, pooling and a head."""

    def __init__(self, n_classes: int = 5, width: int = 8) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.deep = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.head = nn.Linear(width, n_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.relu(self.norm(self.stem(x)))
        x = x + functional.gelu(self.deep(x))
        return self.head(functional.dropout(x.mean((2, 3)), training=self.training))


class ValueDependent(nn.Module):
    """Its path depends on what it sees."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.layer(x)
        return functional.relu(x) if x.sum() > 0 else torch.sigmoid(x) * torch.tanh(x)


class TwoInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(4, 6), nn.Linear(3, 6)

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return functional.relu(self.left(x)) + self.right(y)


def test_kinds__as_the_tracer_finds_them() -> None:
    assert ("input", *OPERATORS, "other") == KINDS
    names = [name for names in OPERATORS.values() for name in names.split()]
    assert len(names) == len(set(names))
    assert not FOLDED & set(names)


def test_graph_of__residual_network__operators_edges_and_attributes() -> None:
    graph = graph_of(Residual(), input_size=SMALL)
    assert kinds(graph) == ["input", "conv", "batch_norm", "relu", "conv", "gelu", "add", "mean"]
    assert graph.edges.T.tolist() == [[0, 1], [1, 2], [2, 3], [3, 4], [4, 5], [3, 6], [5, 6], [6, 7]]
    assert column(graph, "depth") == [0, 1, 2, 3, 4, 5, 6, 7]
    assert column(graph, "kernel") == [0, 3, 0, 0, 3, 0, 0, 0]
    assert column(graph, "stride")[1] == 2
    assert column(graph, "groups")[4] == 8
    assert column(graph, "positions") == [256, 64, 64, 64, 64, 64, 64, 1]
    assert column(graph, "params") == [0, 8 * 3 * 9, 16, 0, 8 * 9 + 8, 0, 0, 0]
    assert column(graph, "macs")[1] == 64 * 8 * 3 * 9
    assert column(graph, "macs")[4] == 64 * 8 * 9
    assert graph.unknown == ()


def test_graph_of__other_weights_head_and_mode__same_hash() -> None:
    torch.manual_seed(1)
    network = Residual(n_classes=7).train()
    graph = graph_of(network, input_size=SMALL)
    assert network.training
    assert next(network.parameters()).device.type == "cpu"
    assert graph.hash == graph_of(Residual(n_classes=5), input_size=SMALL).hash
    assert graph.hash != graph_of(Residual(width=16), input_size=SMALL).hash


def test_graph_of__another_process__same_hash() -> None:
    script = (
        "import torch; from torch import nn; from fennec.architectures.graph import graph_of;"
        "print(graph_of(nn.Sequential(nn.Conv2d(3, 4, 3), nn.SiLU()), input_size=(3, 9, 9)).hash)"
    )
    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.SiLU())
    assert printed.strip() == graph_of(network, input_size=(3, 9, 9)).hash


def test_graph_of__shared_layer__parameters_counted_once() -> None:
    layer = nn.Linear(6, 6)
    graph = graph_of(nn.Sequential(layer, nn.ReLU(), layer, nn.ReLU()), inputs=[torch.zeros(1, 6)])
    assert kinds(graph) == ["input", "linear", "relu", "linear", "relu"]
    assert column(graph, "params") == [0, 42, 0, 0, 0]
    assert graph.params == 42


@pytest.mark.parametrize("name", ["test_vit", "test_resnet", "test_convnext", "test_efficientnet", "test_byobnet"])
def test_graph_of__timm_network__counts_every_parameter_and_head_does_not_matter(name: str) -> None:
    import timm

    bare, size = build_architecture(f"timm:{name}")
    graph = graph_of(bare, input_size=size)
    assert graph.params == sum(parameter.numel() for parameter in bare.parameters())
    assert graph.hash == graph_of(timm.create_model(name, num_classes=11), input_size=size).hash
    assert graph.unknown == ()


@pytest.mark.parametrize("name", ["test_vit", "test_resnet", "test_convnext"])
def test_graph_of__watched_run__as_much_arithmetic_and_parameters_as_exported(name: str) -> None:
    network, size = build_architecture(f"timm:{name}")
    network.eval()
    graph = graph_of(network, input_size=size)
    builder = watched(network, (torch.zeros(1, *size, device="meta"),))
    rows = [builder.rows[node] for node in builder.kept()]
    assert sum(row.get("params", 0) for row in rows) == graph.params
    assert sum(row.get("macs", 0) for row in rows) / 1e9 == pytest.approx(graph.gmacs, rel=0.01)


def test_graph_of__flop_counter__same_multiply_adds() -> None:
    from torch.utils.flop_counter import FlopCounterMode

    network, size = build_architecture("torchvision:resnet18")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.eval()(torch.zeros(1, *size, device="meta"))
    head = 512 * 1000
    assert graph_of(network, input_size=size).gmacs == pytest.approx((counter.get_total_flops() / 2 - head) / 1e9)


def test_graph_of__path_depends_on_values__watched_on_the_cpu() -> None:
    network = ValueDependent()
    nn.init.zeros_(network.layer.weight)
    nn.init.ones_(network.layer.bias)
    assert kinds(graph_of(network, inputs=[torch.zeros(1, 4)])) == ["input", "linear", "relu"]


def test_graph_of__several_inputs__given_as_inputs() -> None:
    graph = graph_of(TwoInputs(), inputs=[torch.zeros(1, 4), torch.zeros(1, 3)])
    assert kinds(graph) == ["input", "input", "linear", "relu", "linear", "add"]
    with pytest.raises(InputError, match="give what it takes as `inputs`"):
        graph_of(TwoInputs(), input_size=(1, 4, 4))


def test_graph_of__deep_network__every_operator() -> None:
    layers = [nn.Linear(4, 4) if index % 2 == 0 else nn.ReLU() for index in range(3000)]
    graph = graph_of(nn.Sequential(*layers), inputs=[torch.zeros(1, 4)])
    assert graph.n_nodes == 3001
    assert graph.depth == 3000


def test_graph_of__unknown_operator__kept_and_named() -> None:
    class Odd(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.fft.fft(x).real

    graph = graph_of(Odd(), inputs=[torch.zeros(1, 8)])
    assert kinds(graph) == ["input", "other"]
    assert graph.unknown == ("fft_fft",)


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (lambda x: x, "expected a torch.nn.Module, got a function"),
        (nn.Linear(7, 2), r"cannot trace Linear on inputs of shape \(1, 3, 16, 16\)"),
        (nn.Flatten(), "does not depend on its input through any operator"),
    ],
)
def test_graph_of__cannot_be_traced__one_line(module: nn.Module, message: str) -> None:
    with pytest.raises(InputError, match=message) as raised:
        graph_of(module, input_size=SMALL)
    assert "\n" not in str(raised.value)


def test_to_data__small_network__logarithms_and_edges() -> None:
    graph = graph_of(Residual(), input_size=SMALL)
    data = graph.to_data()
    data.validate(raise_on_error=True)
    assert data.num_nodes == graph.n_nodes
    assert data.edge_index.tolist() == graph.edges.tolist()
    np.testing.assert_allclose(np.exp2(data.attributes.numpy()) - 1, graph.attributes, rtol=1e-5, atol=1e-5)


def test_save_graphs__load__same_graphs_and_equal_ones_once(tmp_path: Path) -> None:
    graphs = [
        graph_of(Residual(width=width), input_size=SMALL, name=f"own:{width}-{copy}")
        for width in (4, 8)
        for copy in (0, 1)
    ]
    save_graphs(graphs, tmp_path / "graphs.npz")
    loaded = load_graphs(tmp_path / "graphs.npz")
    assert list(loaded) == [graph.name for graph in graphs]
    assert [graph.hash for graph in loaded.values()] == [graph.hash for graph in graphs]
    with np.load(tmp_path / "graphs.npz") as file:
        assert len(file["n_nodes"]) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["graphs.npz"]


def test_load_graphs__damaged_or_of_other_rules__one_line(tmp_path: Path) -> None:
    (tmp_path / "torn.npz").write_bytes(b"PK\x03\x04 torn")
    np.savez_compressed(tmp_path / "old.npz", version=np.array(VERSION - 1))
    for name in ("torn", "old", "missing"):
        with pytest.raises(ArtifactError, match=name):
            load_graphs(tmp_path / f"{name}.npz")


def test_build_architecture__every_library__on_the_meta_device() -> None:
    for name in ("timm:test_vit.r160_in1k", "torchvision:squeezenet1_1", "open_clip:ViT-B-32"):
        network, size = build_architecture(name)
        assert all(parameter.is_meta for parameter in network.parameters())
        assert len(size) == 3
        assert name.partition(":")[2].partition(".")[0] in [
            each.partition(":")[2] for each in list_architectures(name.partition(":")[0])
        ]


def test_build_architecture__unknown_name__nearest_offered() -> None:
    with pytest.raises(UnknownModelError, match="did you mean 'resnet50'|resnet50"):
        build_architecture("timm:resnet5O")
    with pytest.raises(InputError, match="expected timm:, torchvision: or open_clip:"):
        build_architecture("resnet50")


def test_known_graphs__catalog__every_architecture_of_three_libraries() -> None:
    graphs = load_known_graphs()
    catalog = load_catalog()
    for library in ("timm", "torchvision"):
        rows = catalog.frame[catalog.frame["library"] == library]
        missing = {f"{library}:{name}" for name in rows["architecture"]} - set(graphs)
        assert not missing, missing
    assert sum(name.startswith("open_clip:") for name in graphs) > 100
    for graph in graphs.values():
        assert (graph.edges[0] < graph.edges[1]).all()
        assert graph.params > 0
        assert graph.gmacs > 0


def test_known_graphs__traced_again__same_hash() -> None:
    for name in ("timm:resnet18", "torchvision:mobilenet_v3_small", "open_clip:ViT-B-32"):
        network, size = build_architecture(name)
        assert graph_of(network, input_size=size).hash == load_known_graphs()[name].hash


@pytest.mark.shared
def test_known_graphs__published_figures__same_size_and_arithmetic(shared: Path) -> None:
    """Independent figures: parameters and multiply-adds that timm publishes, which count the head too."""
    graphs, table = load_known_graphs(), pd.read_csv(shared / "transfer" / "models.csv")
    rows = table[(table["source"] == "timm_imagenet") & table["gmacs"].notna()]
    rows = rows.assign(network=rows["model"].str.partition(".")[0], params=rows["params_millions"] * 1e6)
    rows = rows[("timm:" + rows["network"]).isin(graphs)].drop_duplicates("network")
    found = [graphs[f"timm:{name}"] for name in rows["network"]]
    params = np.array([graph.params for graph in found]) / rows["params"].to_numpy()
    gmacs = np.array([graph.gmacs for graph in found]) / rows["gmacs"].to_numpy()
    assert params.max() < 1.001  # there is no head
    assert np.mean(np.abs(gmacs - 1) < 0.05) > 0.9  # the others are published at another input size
