"""Leave one family out: families that share a network stay together, and a held-out family leaks nowhere."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from fennec.architectures.build import family_of
from fennec.architectures.graph import load_known_graphs
from fennec.architectures.vectors import load_known_vectors
from fennec.checkpoints.catalog import load_catalog
from fennec.evaluation.cold_start import COLD_METHODS, cold_predictions, cold_start, family_folds, united_families
from fennec.evidence.hubs import load_matrix


def test_united_families__shared_networks__one_name() -> None:
    united = united_families(load_known_graphs(), load_catalog())
    assert united["vit"] == united["deit"]
    assert united["resnet"] != united["convnext"]
    graphs = load_known_graphs()
    names: dict[str, set[str]] = {}
    for name, graph in graphs.items():
        names.setdefault(graph.hash, set()).add(united[family_of(name)])
    assert all(len(found) == 1 for found in names.values())


@pytest.mark.parametrize("n_folds", [2, 5])
def test_family_folds__real_families__whole_even_and_reproducible(n_folds: int) -> None:
    families = [family_of(name) for name in load_known_graphs()]
    folds = family_folds(families, n_folds, random_state=1)
    assert set(folds) == set(families)
    sizes = Counter(folds[family] for family in families)
    assert max(sizes.values()) < 1.5 * min(sizes.values())
    assert folds == family_folds(families, n_folds, random_state=1)
    assert folds != family_folds(families, n_folds, random_state=2)


@pytest.fixture(scope="module")
def folds() -> dict[str, int]:
    graphs = load_known_graphs()
    united = united_families(graphs, load_catalog())
    return family_folds([united[family_of(name)] for name in graphs], 2)


def test_cold_predictions__results_of_the_held_out_family_changed__same(folds: dict[str, int]) -> None:
    matrix, vectors = load_matrix("aitlas10"), [load_known_vectors()] * 2
    families = load_catalog().frame.loc[list(matrix.models), "family"].to_numpy()
    rows = families == "convnext"
    changed = matrix.performance.copy()
    changed[rows] = changed.min(axis=0)  # from among the best to the worst
    one = cold_predictions([matrix], folds, vectors)
    two = cold_predictions([replace(matrix, performance=changed)], folds, vectors)
    for method in COLD_METHODS:
        np.testing.assert_array_equal(one["aitlas10", method][rows], two["aitlas10", method][rows])
    assert not np.array_equal(one["aitlas10", "fennec"], two["aitlas10", "fennec"])


def test_cold_start__real_hubs__every_method_measured(folds: dict[str, int]) -> None:
    table = cold_start([load_matrix("cnn11"), load_matrix("vit13")], folds, [load_known_vectors()] * 2)
    assert set(table["method"]) == {*COLD_METHODS, "static"}
    assert table["value"].between(-1, 1).all()
    wide = table[table["measure"] == "tau_w"].pivot(index=["hub", "family"], columns="method", values="value")
    assert wide["static"].mean() > wide["fennec"].mean() > wide["mean"].mean()
