"""Work of networks: counted as by hand, complete, and scaled to other sides as a new trace says."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fennec.architectures.build import build_architecture
from fennec.architectures.graph import graph_of, load_known_graphs
from fennec.architectures.workload import WORK, load_known_workloads, workloads_of

MACS = np.array([name.startswith("macs") for name in WORK])


def test_workloads__small_network__as_counted_by_hand() -> None:
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, padding=1),
        torch.nn.BatchNorm2d(8),
        torch.nn.ReLU(),
        torch.nn.Conv2d(8, 8, 3, padding=1, groups=8),
        torch.nn.Conv2d(8, 8, 3, padding=1, groups=2),
        torch.nn.Conv2d(8, 4, 1),
    )
    work = workloads_of([graph_of(network, input_size=(3, 10, 10))])
    found = {name: round(amount * 1e9) for name, amount in zip(WORK, work.amounts[0], strict=True) if amount}
    assert found == {
        "macs of convolution": 100 * 8 * 27,
        "macs of depthwise": 100 * 8 * 9,
        "macs of grouped": 100 * 8 * 4 * 9,
        "macs of pointwise": 100 * 4 * 8,
        "values of convolution": 800,
        "values of depthwise": 800,
        "values of grouped": 800,
        "values of pointwise": 400,
        "values of batch_norm": 800,
        "values of relu": 800,
        "values of rest": 300,  # the picture
    }
    assert work.sides.tolist() == [10.0]


def test_workloads__known_graphs__nothing_lost() -> None:
    rows, works = load_known_workloads()
    graphs = load_known_graphs()
    assert list(rows) == list(graphs)
    for name in list(graphs)[::100]:
        assert works.amounts[rows[name]][MACS].sum() == pytest.approx(graphs[name].gmacs)
        assert works.params[rows[name]] == graphs[name].params
    assert (works.amounts >= 0).all()


@pytest.mark.parametrize(("name", "side"), [("timm:resnet18", 320), ("timm:test_vit", 320)])
def test_at__another_side__as_traced_there(name: str, side: int) -> None:
    options = {"img_size": side} if "vit" in name else {}
    if options:
        import timm

        network = timm.create_model(name.partition(":")[2], num_classes=0, **options)
    else:
        network, _ = build_architecture(name)
    rows, works = load_known_workloads()
    traced = workloads_of([graph_of(network, input_size=(3, side, side))])
    scaled = works.take(np.array([rows[name]])).at(np.array([float(side)]))
    assert scaled[0].sum() == pytest.approx(traced.amounts[0].sum(), rel=0.05)
    assert scaled[0][MACS].sum() == pytest.approx(traced.amounts[0][MACS].sum(), rel=0.05)
