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

from .architecture_vectors import ArchitectureVectors
from .architectures import family_of
from .catalog import Catalog, load_catalog
from .graph import ArchitectureGraph, load_known_graphs
from .history import gaussian_scores, static_history
from .hubs import imagenet_accuracy
from .matrix import TransferMatrix
from .measures import MEASURES
from .model_facts import ModelFacts, facts_of
from .model_prior import ModelPrior, learn_effects
from .weisfeiler_lehman import wl_vectors

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]
COLD_METHODS = ("mean", "params", "imagenet", "wl", "nearest", "facts", "fennec")
MAX_MODELS = 300  # of one hub, to learn effects from
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
    tasks put them, and the order is compared with the true one on every task. The effects, the encoder and its tuning
    have not seen the family's fold.

    Args:
        hubs: to evaluate and to learn the effects from.
        folds: fold of every united family.
        vectors: of all architectures, by an encoder that has not seen the fold, one per fold.
        seed: written into the table; seed of the rows that effects are learned from.
        report: told what is being done.

    Returns:
        Columns hub, family, method, seed, measure, value. Family `all` compares the cold predictions of all models
        with each other.
    """
    import pandas as pd

    catalog, graphs = load_catalog(), load_known_graphs()
    united = united_families(graphs, catalog)
    published = wl_vectors(list(graphs.values()))
    cases = [_Case.of(matrix, catalog, united, folds) for matrix in hubs]
    cold = {(case.matrix.name, name): np.full(len(case.static), np.nan) for case in cases for name in COLD_METHODS}
    for fold in range(len(vectors)):
        with_graph = [case.facts(catalog, vectors[fold]) for case in cases]
        for method in ("facts", "fennec"):
            report(f"seed {seed}, fold {fold + 1} of {len(vectors)}: {method}")
            all_facts = [own if method == "fennec" else own.without_graph() for own in with_graph]
            effects = learn_effects([
                (facts.select(rows), case.static[rows], case.noise[rows])
                for facts, case in zip(all_facts, cases, strict=True)
                if len(rows := case.sample(fold, seed)) > 1
            ])  # fmt: skip
            for facts, case in zip(all_facts, cases, strict=True):
                for left, rest in case.held_out(fold):
                    prior = ModelPrior(effects).fit(facts.select(rest), case.static[rest], case.noise[rest])
                    cold[case.matrix.name, method][left] = prior.predict(facts.select(left))[0]
        for facts, case in zip(with_graph, cases, strict=True):
            for left, rest in case.held_out(fold):
                for method, guessed in _simple(
                    facts, case.static, left, rest, graphs, published, vectors[fold]
                ).items():
                    cold[case.matrix.name, method][left] = guessed
    values = [
        (case.matrix.name, family, method, seed, measure, value)
        for case in cases
        for method in (*COLD_METHODS, "static")
        for family, measure, value in case.compare(cold.get((case.matrix.name, method)))
    ]
    return pd.DataFrame(values, columns=["hub", "family", "method", "seed", "measure", "value"])


@dataclass(frozen=True, eq=False)
class _Case:
    """One hub with the families of its models."""

    matrix: TransferMatrix
    scores: Floats
    static: Floats
    noise: Floats
    families: NDArray[np.str_]
    folds: NDArray[np.intp]

    @classmethod
    def of(cls, matrix: TransferMatrix, catalog: Catalog, united: Mapping[str, str], folds: Mapping[str, int]) -> _Case:
        scores = np.column_stack([gaussian_scores(column) for column in matrix.performance.T])
        static, noise = static_history(scores)
        own = [united.get(name, name) for name in catalog.frame.loc[list(matrix.models), "family"]]
        # a family without any graph is in no encoder; it gets the fold its name falls into
        n_folds = max(folds.values()) + 1
        place = [folds.get(name, zlib.crc32(name.encode()) % n_folds) for name in own]
        return cls(matrix, scores, static, noise, np.array(own), np.array(place))

    def facts(self, catalog: Catalog, vectors: ArchitectureVectors) -> ModelFacts:
        known = imagenet_accuracy() if self.matrix.protocol != "eval" else None
        return facts_of(self.matrix.models, catalog, imagenet=known, quality=vectors.centred_quality)

    def sample(self, fold: int, seed: int) -> NDArray[np.intp]:
        """Models outside a fold, at most `MAX_MODELS`, that effects are learned from."""
        rows = np.flatnonzero(self.folds != fold)
        return np.sort(np.random.default_rng(seed).permutation(rows)[:MAX_MODELS])

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
        tasks = range(self.matrix.n_tasks)
        history = [np.nan_to_num(static_history(np.delete(self.scores, task, axis=1))[0]) for task in tasks]
        for family in [*np.unique(self.families), "all"]:
            inside = np.full(len(self.static), True) if family == "all" else self.families == family
            if cold is not None and np.isnan(cold[inside]).any():
                continue
            for measure in ("tau_w", "spearman", "regret@1"):
                values = [
                    MEASURES[measure](
                        history[task] if cold is None else np.where(inside, cold, history[task]),
                        self.matrix.performance[:, task],
                    )
                    for task in tasks
                    if np.isfinite(self.matrix.performance[inside, task]).any()
                ]
                yield str(family), measure, float(np.nanmean(values))


def _simple(
    facts: ModelFacts,
    static: Floats,
    left: NDArray[np.intp],
    rest: NDArray[np.intp],
    graphs: Mapping[str, ArchitectureGraph],
    published: Floats,
    vectors: ArchitectureVectors,
) -> dict[str, Floats]:
    """Predictions of the rules that archi2vec has to beat."""
    from sklearn.linear_model import RidgeCV

    row = {name: index for index, name in enumerate(graphs)}
    places = np.array([row.get(name, -1) for name in facts.backbones])
    mean = np.full(len(left), static[rest].mean())
    found = {"mean": mean}
    for name, column in (("params", facts.size[:, 0]), ("imagenet", facts.imagenet)):
        slope, level = np.polyfit(column[rest], static[rest], 1) if np.ptp(column[rest]) > 0 else (0.0, mean[0])
        found[name] = slope * column[left] + level
    seen, drawn = rest[places[rest] >= 0], places[left] >= 0
    for name in ("wl", "nearest"):
        found[name] = mean.copy()
        if not drawn.any() or not len(seen):
            continue
        if name == "wl":
            ridge = RidgeCV(np.logspace(-2, 3, 11)).fit(published[places[seen]], static[seen])
            found[name][drawn] = ridge.predict(published[places[left[drawn]]])
        else:
            unit = vectors.vectors / np.linalg.norm(vectors.vectors, axis=1, keepdims=True)
            near = (unit[places[left[drawn]]] @ unit[places[seen]].T).argmax(axis=1)
            twins = [static[rest][places[rest] == places[seen][index]].mean() for index in near]
            found[name][drawn] = twins
    return found
