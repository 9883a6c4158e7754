"""Architecture vectors: invariances, training on planted networks, files, and the published baseline."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from fennec.architectures.archi2vec import Archi2Vec
from fennec.architectures.graph import ArchitectureGraph, graph_of, load_known_graphs
from fennec.architectures.vectors import ArchitectureVectors, load_known_vectors
from fennec.architectures.weisfeiler_lehman import wl_clusters, wl_counts, wl_vectors
from fennec.errors import ArtifactError, UnknownModelError
from fennec.settings import data_dir


def network(width: int, depth: int, *, convolutional: bool) -> ArchitectureGraph:
    """A plain stack of one kind of layers."""
    if convolutional:
        layers = [nn.Conv2d(3 if index == 0 else width, width, 3, padding=1) for index in range(depth)]
        given = torch.zeros(1, 3, 8, 8)
    else:
        layers = [nn.Linear(8 if index == 0 else width, width) for index in range(depth)]
        given = torch.zeros(1, 5, 8)
    steps = [module for layer in layers for module in (layer, nn.ReLU() if convolutional else nn.GELU())]
    return graph_of(nn.Sequential(*steps), inputs=[given], name=f"{convolutional}-{width}-{depth}")


@pytest.fixture(scope="module")
def graphs() -> list[ArchitectureGraph]:
    return [
        network(width, depth, convolutional=convolutional)
        for convolutional in (False, True)
        for width in (4, 8, 16, 32)
        for depth in (2, 4, 6)
    ]


@pytest.fixture(scope="module")
def trained(graphs: list[ArchitectureGraph]) -> Archi2Vec:
    return Archi2Vec.fit(graphs, n_epochs=30, batch_size=8)


def test_fit__planted_families__neighbours_are_built_alike(trained: Archi2Vec, graphs: list[ArchitectureGraph]) -> None:
    vectors = trained.encode(graphs)
    assert vectors.shape == (24, 64)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    near = unit @ unit.T - 2 * np.eye(24)
    assert np.mean(near.argmax(axis=1) // 12 == np.arange(24) // 12) > 0.9


def test_fit__sizes__can_be_read_off_the_vector(trained: Archi2Vec, graphs: list[ArchitectureGraph]) -> None:
    with torch.inference_mode():
        read = trained.encoder.to_quantities(torch.as_tensor(trained.encode(graphs))).numpy()
    assert np.corrcoef(read[:, 0], np.log([graph.params for graph in graphs]))[0, 1] > 0.95
    assert np.corrcoef(read[:, 3], np.log([graph.depth for graph in graphs]))[0, 1] > 0.95


def test_fit__same_seed__same_vectors_and_no_global_random_number(graphs: list[ArchitectureGraph]) -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    one, two = (Archi2Vec.fit(graphs[:6], n_epochs=1, random_state=1) for _ in range(2))
    assert torch.equal(before, torch.get_rng_state())
    np.testing.assert_array_equal(one.encode(graphs[:3]), two.encode(graphs[:3]))


def test_encode__batch_or_one_by_one_or_other_order_of_operators__same_vectors(
    trained: Archi2Vec, graphs: list[ArchitectureGraph]
) -> None:
    together = trained.encode(graphs, batch_size=5)
    np.testing.assert_allclose(trained.encode(graphs[7:8]), together[7:8], rtol=1e-4, atol=1e-4)
    graph = graphs[7]
    order = np.random.default_rng(0).permutation(graph.n_nodes)
    shuffled = replace(
        graph, kinds=graph.kinds[order], attributes=graph.attributes[order], edges=np.argsort(order)[graph.edges]
    )
    np.testing.assert_allclose(trained.encode([shuffled]), together[7:8], rtol=1e-4, atol=1e-4)


def test_encode__edges_turned_round__another_vector(trained: Archi2Vec, graphs: list[ArchitectureGraph]) -> None:
    turned = replace(graphs[7], edges=graphs[7].edges[::-1].copy())
    assert np.abs(trained.encode([turned]) - trained.encode(graphs[7:8])).max() > 1e-3


def test_save__load__same_vectors(trained: Archi2Vec, graphs: list[ArchitectureGraph], tmp_path: Path) -> None:
    trained.save(tmp_path / "weights.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["weights.safetensors"]
    loaded = Archi2Vec.load(tmp_path / "weights.safetensors")
    np.testing.assert_array_equal(loaded.encode(graphs), trained.encode(graphs))


def test_load__missing_damaged_or_of_other_graphs__one_line(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    (tmp_path / "torn").write_bytes(b"torn")
    save_file({"mean": torch.zeros(1)}, tmp_path / "old", metadata={"fennec": '{"format_version": 0}'})
    for name in ("missing", "torn", "old"):
        with pytest.raises(ArtifactError, match=name):
            Archi2Vec.load(tmp_path / name)


def test_wl_counts__chain__labels_of_all_rounds() -> None:
    graph = network(4, 2, convolutional=False)  # input, linear, gelu, linear, gelu
    counts = wl_counts(graph, n_rounds=1)
    assert sum(counts.values()) == 2 * graph.n_nodes
    assert sorted(counts.values(), reverse=True) == [2, 2, 2, 1, 1, 1, 1]  # only the linear layers stay alike
    assert wl_counts(graph, n_rounds=0) == Counter({"linear": 2, "gelu": 2, "input": 1})


def test_wl_vectors__equal_and_different_architectures__unit_length_and_clusters(
    graphs: list[ArchitectureGraph],
) -> None:
    vectors = wl_vectors(graphs, n_components=8)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0)
    same_depth = [index for index, graph in enumerate(graphs) if graph.name.endswith("-4") and index < 12]
    np.testing.assert_allclose(vectors[same_depth], vectors[same_depth[:1]].repeat(4, axis=0), atol=1e-8)
    clusters = wl_clusters(vectors, 2)
    assert clusters.sum(axis=1).tolist() == [1.0] * 24
    assert len({tuple(row) for row in clusters[:12]}) == 1
    assert (clusters[0] != clusters[12]).any()


def test_tune__planted_quality__read_off_unseen_networks(graphs: list[ArchitectureGraph]) -> None:
    quality = np.log2([graph.params for graph in graphs]) / 4 + np.array([index >= 12 for index in range(24)])
    quality -= quality.mean()
    rest = [index for index in range(24) if index % 4 != 1]
    model = Archi2Vec.fit(graphs, n_epochs=15, batch_size=8)
    model.tune([graphs[index] for index in rest], quality[rest], n_epochs=40, batch_size=8)
    guessed = model.quality(model.encode(graphs))
    unseen = np.arange(1, 24, 4)
    assert np.corrcoef(guessed[unseen], quality[unseen])[0, 1] > 0.9


def test_load_known_vectors__bundled__as_the_bundled_encoder_computes() -> None:
    known = load_known_vectors()
    names = ["timm:resnet18", "timm:vit_tiny_patch16_224", "open_clip:ViT-B-32"]
    model = Archi2Vec.load(data_dir() / "archi2vec.safetensors")
    vectors = model.encode([load_known_graphs()[name] for name in names])
    rows = [known.find(name) for name in names]
    np.testing.assert_allclose(vectors, known.vectors[rows], atol=1e-3)
    np.testing.assert_allclose(model.quality(vectors), known.quality[rows], atol=1e-3)


def test_nearest__bundled_vectors__relatives_first_and_twins_once(tmp_path: Path) -> None:
    known = load_known_vectors()
    found = known.nearest(known.vectors[known.find("timm:resnet50")], n=8, same=False)
    assert sum("resne" in name for name, _ in found) >= 6
    similarity = [value for _, value in found]
    assert similarity == sorted(similarity, reverse=True)
    assert "timm:resnet50" not in dict(found)
    assert found[0][1] <= known.nearest(known.vectors[known.find("timm:resnet50")], n=1)[0][1]
    with pytest.raises(UnknownModelError, match="did you mean"):
        known.find("timm:resnet5")
    known.save(tmp_path / "vectors.npz")
    assert ArchitectureVectors.load(tmp_path / "vectors.npz").names == known.names
    (tmp_path / "damaged.npz").write_bytes(b"PK nothing")
    with pytest.raises(ArtifactError, match="no architecture vectors"):
        ArchitectureVectors.load(tmp_path / "damaged.npz")
