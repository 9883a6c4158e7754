"""Leave one family out: how well are models placed that have no history?

A family is an architecture name without its size; families that share a network are one. In: hubs, architecture
graphs and encoders that saw neither. Out: a tidy table (hub, family, method, measure, value).
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fennec.architectures.build import family_of
from fennec.architectures.graph import ArchitectureGraph, load_known_graphs
from fennec.architectures.vectors import ArchitectureVectors
from fennec.architectures.weisfeiler_lehman import wl_vectors
from fennec.checkpoints.catalog import Catalog, load_catalog
from fennec.evidence.hubs import imagenet_accuracy, load_hubs
from fennec.evidence.matrix import TransferMatrix
from fennec.evidence.scores import gaussian_scores, load_scores, matrix_scores, without
from fennec.measures import MEASURES
from fennec.space.process import GeneralQuality

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]
COLD_METHODS = ("mean", "params", "imagenet", "wl", "nearest", "facts", "fennec")
MANY_FAMILIES = 50


def united_families(graphs: Mapping[str, ArchitectureGraph], catalog: Catalog) -> dict[str, str]:
    """Families that share a network, brought under one name.

    Args:
        graphs: by `library:architecture`.
        catalog: facts of the checkpoints.

    Returns:
        Family of a graph or checkpoint -> the name that its united family goes by, the first in the alphabet.
    """
    labels: dict[str, set[str]] = {}
    for name, graph in graphs.items():
        labels.setdefault(graph.hash, set()).add(family_of(name))
    for backbone, family in zip(catalog.frame["backbone"], catalog.frame["family"], strict=True):
        if backbone in graphs:
            labels[graphs[backbone].hash].add(family)
    names = {family: family for families in labels.values() for family in families}
    changed = True
    while changed:
        changed = False
        for families in labels.values():
            first = min(names[family] for family in families)
            changed = changed or any(names[family] != first for family in families)
            names.update(dict.fromkeys(families, first))
    return names


def family_folds(families: Sequence[str], n_folds: int, *, random_state: int = 0) -> dict[str, int]:
    """Whole families dealt into folds of about equal size.

    Args:
        families: of every graph, so that large ones count more.
        n_folds: how many.
        random_state: seed of the order among families of one size.
    """
    counts = Counter(families)
    names = np.random.default_rng(random_state).permutation(sorted(counts))
    sizes = np.zeros(n_folds)
    folds = {}
    for name in sorted(names.tolist(), key=lambda family: -counts[family]):
        folds[name] = int(sizes.argmin())
        sizes[folds[name]] += counts[name]
    return folds


def cold_start(
    hubs: Sequence[TransferMatrix],
    folds: Mapping[str, int],
    vectors: Sequence[ArchitectureVectors],
    *,
    seed: int = 0,
    report: Callable[[str], None] = lambda message: None,
) -> pd.DataFrame:
    """Every family of every hub placed as if none of its models had a result anywhere.

    A held-out family is ranked together with all other models of the hub, which stand where their results on the other
    tasks put them, and the order is compared with the true one on every task.

    Args:
        hubs: to evaluate.
        folds: fold of every united family.
        vectors: of all architectures, by an encoder that has not seen the fold, one per fold.
        seed: written into the table.
        report: told what is being done.

    Returns:
        Columns hub, family, method, seed, measure, value. Family `all` compares the cold predictions of all models
        with each other; method `static` is what the family's own results would have given.
    """
    import pandas as pd

    cases = _cases(hubs, folds)
    cold = cold_predictions(hubs, folds, vectors, seed=seed, report=report)
    values = [
        (case.matrix.name, family, method, seed, measure, value)
        for case in cases
        for method in (*COLD_METHODS, "static")
        for family, measure, value in case.compare(cold.get((case.matrix.name, method)))
    ]
    return pd.DataFrame(values, columns=["hub", "family", "method", "seed", "measure", "value"])


def cold_predictions(
    hubs: Sequence[TransferMatrix],
    folds: Mapping[str, int],
    vectors: Sequence[ArchitectureVectors],
    *,
    seed: int = 0,
    report: Callable[[str], None] = lambda message: None,
) -> dict[tuple[str, str], Floats]:
    """Expected static history of every model without its family, by hub and method, shape (n_models,).

    For `facts` and `fennec` a whole fold of families is left out at a time, of all studies; the encoder and its tuning
    have not seen it either. The simple rules learn from the other families of the hub.

    Args:
        hubs: as for `cold_start`.
        folds: as for `cold_start`.
        vectors: as for `cold_start`.
        seed: written into reports.
        report: told what is being done.
    """
    catalog, graphs = load_catalog(), load_known_graphs()
    published = wl_vectors(list(graphs.values()))
    cases = _cases(hubs, folds)
    cold = {(case.matrix.name, name): np.full(len(case.folds), np.nan) for case in cases for name in COLD_METHODS}
    place = _folds_of(_results(hubs)["weights"].unique().tolist(), catalog, folds)
    for fold, encoder in enumerate(vectors):
        rest = _results(hubs, frozenset(model for model, own in place.items() if own == fold))
        for method, quality in (("facts", {}), ("fennec", encoder.centred_quality)):
            report(f"seed {seed}, fold {fold + 1} of {len(vectors)}: {method}")
            general = GeneralQuality().fit(rest, catalog, quality=quality)
            for case in cases:
                left = np.flatnonzero(case.folds == fold)
                models = [case.matrix.models[row] for row in left]
                expected = general.expect(models, case.matrix.protocol, case.matrix.name)
                cold[case.matrix.name, method][left] = expected
        for case in cases:
            for left, others in case.held_out(fold):
                guesses = _simple(case, case.history(others), left, others, graphs, published, encoder)
                for method, guess in guesses.items():
                    cold[case.matrix.name, method][left] = guess
    return cold


def _results(hubs: Sequence[TransferMatrix], left: frozenset[str] = frozenset()) -> pd.DataFrame:
    """All results, those of the hubs from their matrices, as if some weights had never been measured."""
    import pandas as pd

    kept = [[model for model in matrix.models if model not in left] for matrix in hubs]
    own = [matrix_scores(matrix.select(models=models)) for matrix, models in zip(hubs, kept, strict=True) if models]
    sources = [load_hubs()[matrix.name].source for matrix in hubs if matrix.name in load_hubs()]
    published = without(load_scores(without_weights=left), studies=sources)
    return pd.concat([published, *own], ignore_index=True)


def _folds_of(models: Sequence[str], catalog: Catalog, folds: Mapping[str, int]) -> dict[str, int]:
    united = united_families(load_known_graphs(), catalog)
    families = catalog.frame["family"].reindex(list(models)).fillna("")
    names = [united.get(family, family) or model for model, family in zip(models, families, strict=True)]
    return {model: _fold(name, folds) for model, name in zip(models, names, strict=True)}


def _fold(family: str, folds: Mapping[str, int]) -> int:
    # a family without any graph is in no encoder; it gets the fold its name falls into
    return folds.get(family, zlib.crc32(family.encode()) % (max(folds.values()) + 1))


def _cases(hubs: Sequence[TransferMatrix], folds: Mapping[str, int]) -> list[_Case]:
    catalog = load_catalog()
    united = united_families(load_known_graphs(), catalog)
    return [_Case.of(matrix, catalog, united, folds) for matrix in hubs]


@dataclass(frozen=True, eq=False)
class _Case:
    """One hub with the families of its models and their folds."""

    matrix: TransferMatrix
    families: NDArray[np.str_]
    folds: NDArray[np.intp]

    @classmethod
    def of(cls, matrix: TransferMatrix, catalog: Catalog, united: Mapping[str, str], folds: Mapping[str, int]) -> _Case:
        own = [united.get(name, name) for name in catalog.frame.loc[list(matrix.models), "family"]]
        place = [_fold(name, folds) for name in own]
        return cls(matrix, np.array(own), np.array(place))

    def scores(self, rows: NDArray[np.intp]) -> Floats:
        """Gaussian scores of some models among themselves, as if there were no others."""
        columns = [column for column in self.matrix.performance[rows].T if np.isfinite(column).any()]
        return np.column_stack([gaussian_scores(column) for column in columns])

    def history(self, rows: NDArray[np.intp]) -> Floats:
        return np.asarray(np.nanmean(self.scores(rows), axis=1))

    def held_out(self, fold: int) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
        """Models left out together and the rest: one family at a time, in hubs of very many a whole fold."""
        inside = self.folds == fold
        names = np.unique(self.families[inside])
        groups = [self.families == name for name in names] if len(set(self.families)) <= MANY_FAMILIES else [inside]
        for left in groups:
            if left.any() and (~left).sum() > 2:
                yield np.flatnonzero(left), np.flatnonzero(~left)

    def compare(self, cold: Floats | None) -> Iterator[tuple[str, str, float]]:
        """(family, measure, mean over tasks) of cold predictions among the other models' history; None for its own."""
        for family in [*np.unique(self.families), "all"]:
            inside = np.full(len(self.families), True) if family == "all" else self.families == family
            if cold is not None and np.isnan(cold[inside]).any():
                continue
            ranked = np.flatnonzero(~inside) if cold is not None else np.arange(len(inside))
            values: dict[str, list[float]] = {"tau_w": [], "spearman": [], "regret@1": []}
            for task, truth in enumerate(self.matrix.performance.T):
                if np.isfinite(truth[inside]).any():
                    scores = np.zeros(len(inside)) if cold is None else cold.copy()
                    if len(ranked):
                        others = np.delete(self.matrix.performance[ranked], task, axis=1)
                        filled = others[:, np.isfinite(others).any(axis=0)]
                        columns = np.column_stack([gaussian_scores(column) for column in filled.T])
                        scores[ranked] = np.nan_to_num(np.nanmean(columns, axis=1))
                    for measure, found in values.items():
                        found.append(MEASURES[measure](scores, truth))
            for measure, found in values.items():
                yield str(family), measure, float(np.nanmean(found))


def _simple(
    case: _Case,
    static: Floats,
    left: NDArray[np.intp],
    rest: NDArray[np.intp],
    graphs: Mapping[str, ArchitectureGraph],
    published: Floats,
    vectors: ArchitectureVectors,
) -> dict[str, Floats]:
    """Predictions of the rules that archi2vec has to beat."""
    from sklearn.linear_model import RidgeCV

    facts = load_catalog().frame.loc[list(case.matrix.models)]
    accuracy = imagenet_accuracy() if case.matrix.protocol != "eval" else {}
    known_by = {
        "params": np.log2(facts["params"].to_numpy(dtype=np.float64)),
        "imagenet": np.array([accuracy.get(model, np.nan) for model in case.matrix.models]),
    }
    row = {name: index for index, name in enumerate(graphs)}
    places = np.array([row.get(name, -1) for name in facts["backbone"]])
    mean = np.full(len(left), static.mean())
    found = {"mean": mean}
    for name, column in known_by.items():
        filled = np.nan_to_num(column, nan=np.nanmedian(column) if np.isfinite(column).any() else 0.0)
        slope, level = np.polyfit(filled[rest], static, 1) if np.ptp(filled[rest]) > 0 else (0.0, mean[0])
        found[name] = slope * filled[left] + level
    drawn, has_graph = places[left] >= 0, places[rest] >= 0
    seen, known = rest[has_graph], static[has_graph]
    for name in ("wl", "nearest"):
        found[name] = mean.copy()
        if not drawn.any() or not len(seen):
            continue
        if name == "wl":
            ridge = RidgeCV(np.logspace(-2, 3, 11)).fit(published[places[seen]], known)
            found[name][drawn] = ridge.predict(published[places[left[drawn]]])
        else:
            unit = vectors.vectors / np.linalg.norm(vectors.vectors, axis=1, keepdims=True)
            near = (unit[places[left[drawn]]] @ unit[places[seen]].T).argmax(axis=1)
            twins = [known[places[seen] == places[seen][index]].mean() for index in near]
            found[name][drawn] = twins
    return found
