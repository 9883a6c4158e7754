"""Leave one study out: how well is a study foretold that nobody has seen, from all the others?

All results of the study, and of those that repeat it, are gone from every fitted part. Its models stay known by their
facts and by other studies, its images by their embedding. In: the evidence. Out: a tidy table (study, protocol,
n_models, task, method, measure, value).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fennec.checkpoints.catalog import load_catalog
from fennec.errors import InputError, did_you_mean
from fennec.evidence.hubs import imagenet_accuracy
from fennec.evidence.matrix import TransferMatrix
from fennec.evidence.scores import COLUMN, MIN_COLUMN, gaussian_scores, load_scores, study_name, without
from fennec.evidence.studies import load_evidence
from fennec.measures import regret_at_k, weighted_tau
from fennec.space.alike import Effects
from fennec.space.kernel import TaskKernel
from fennec.space.process import QUALITY, Affinity, GeneralQuality
from fennec.space.transfer_space import TransferSpace
from fennec.tasks.embedding import TaskEmbedding

from .baselines import Split
from .paper import published_fennec

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]
MIN_STUDY = 10  # models in a study that is judged
FORMER = "transfergraph_hf"  # the one study that answered before all of them did
STUDY_METHODS = (
    "fennec", "fennec-no-images", "params", "imagenet", "hf180", "best-single", "fennec-paper", "own-history",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Judged:
    """One study by one protocol.

    Attributes:
        study: its name.
        protocol: how it was measured.
        table: results, weights x columns, NaN for unknown.
        image_sets: of the columns.
    """

    study: str
    protocol: str
    table: pd.DataFrame
    image_sets: tuple[str, ...]

    @property
    def models(self) -> list[str]:
        """Its weights."""
        return self.table.index.tolist()

    def judge(self, scores: Callable[[str], Floats]) -> Iterator[tuple[str, str, float]]:
        """(column, measure, value) of scores by image set; models without a score stand at the median."""
        for name, image_set in zip(self.table, self.image_sets, strict=True):
            found = scores(image_set)
            filled = np.where(np.isfinite(found), found, np.nanmedian(found) if np.isfinite(found).any() else 0.0)
            truth = self.table[name].to_numpy(dtype=np.float64)
            known = np.isfinite(truth)
            yield str(name), "tau_w", weighted_tau(filled[known], truth[known])
            for k in (1, 5):
                yield str(name), f"regret@{k}", regret_at_k(filled[known], truth[known], k=k)

    def mean_tau(self, scores: Floats) -> float:
        """Mean weighted tau of scores that are the same on all columns."""
        return float(np.mean([value for _, measure, value in self.judge(lambda _: scores) if measure == "tau_w"]))


def judged_studies(names: Sequence[str] = ()) -> list[Judged]:
    """Studies with at least `MIN_STUDY` known weights, protocol by protocol; ImageNet evaluations are not foretold.

    Args:
        names: those to take; all when empty.

    Raises:
        InputError: no such study, or it is too small.
    """
    evidence = load_evidence()
    frame = evidence[evidence["protocol"].ne("eval")].astype(dict.fromkeys([*COLUMN, "weights", "image_set"], str))
    frame = frame[frame.groupby(COLUMN)["value"].transform("size") >= MIN_COLUMN]
    frame = frame.assign(column=frame[["task", "metric", "budget", "head"]].agg("|".join, axis=1))
    found = []
    for (study, protocol), cells in frame.groupby(["study", "protocol"]):
        table = cells.pivot_table(index="weights", columns="column", values="value")
        sets = cells.drop_duplicates("column").set_index("column")["image_set"].reindex(table.columns)
        if len(table) >= MIN_STUDY:
            found.append(Judged(str(study), str(protocol), table, tuple(sets)))
    known = {case.study for case in found}
    for name in names:
        if name not in known:
            near = did_you_mean(name, known)
            raise InputError(f"no study '{name}' with {MIN_STUDY} known models or more can be left out{near}")
    return [case for case in found if not names or case.study in names]


def leave_one_study_out(
    cases: Sequence[Judged],
    embeddings: Mapping[str, TaskEmbedding],
    *,
    methods: Sequence[str] = STUDY_METHODS,
    effects: Mapping[str, Effects] | None = None,
    report: Callable[[str], None] = lambda message: None,
) -> pd.DataFrame:
    """Every method on every left-out study.

    Args:
        cases: of `judged_studies`.
        embeddings: task embeddings of one proxy, by image set.
        methods: names in `STUDY_METHODS`.
        effects: of general quality, chosen without the study, by `study_name`; the defaults where there are none.
        report: told what is being done.

    Returns:
        Columns study, protocol, n_models, task, method, measure, value. A method that scores fewer than half of a
        study's models is left out there.

    Raises:
        InputError: an unknown method.
    """
    import pandas as pd

    for name in methods:
        if name not in STUDY_METHODS:
            raise InputError(f"unknown method '{name}'{did_you_mean(name, STUDY_METHODS)}")
    alone = _one_study_each() if "best-single" in methods or "hf180" in methods else {}
    rows = []
    for group in dict.fromkeys(study_name(case.study) for case in cases):
        report(f"leaving out {group}")
        rest = without(load_scores(), studies=[group])
        general = GeneralQuality((effects or {}).get(group, QUALITY)).fit(rest, load_catalog())
        for case in cases:
            if study_name(case.study) != group:
                continue
            found = _by_general(case, rest, alone) | _by_process(case, general, rest, embeddings)
            for method in methods:
                if method in found and np.isfinite(found[method](case.image_sets[0])).mean() >= 0.5:
                    rows += [
                        (case.study, case.protocol, len(case.models), task, method, measure, value)
                        for task, measure, value in case.judge(found[method])
                    ]
    return pd.DataFrame(rows, columns=["study", "protocol", "n_models", "task", "method", "measure", "value"])


def summarise_studies(results: pd.DataFrame) -> pd.DataFrame:
    """Mean over columns of every measure, by study and method.

    Returns:
        Columns study, protocol, n_models, method, n_columns, tau_w, regret@1, regret@5.
    """
    key = ["study", "protocol", "n_models", "method"]
    means = results.pivot_table(index=key, columns="measure", values="value", aggfunc="mean", sort=False)
    counts = results[results["measure"].eq("tau_w")].groupby(key).size()
    table = means[["tau_w", "regret@1", "regret@5"]].reset_index()
    table.insert(len(key), "n_columns", counts.reindex(means.index).to_numpy())
    return table


Scorer = Callable[[str], Floats]


def _by_process(
    case: Judged, general: GeneralQuality, rest: pd.DataFrame, embeddings: Mapping[str, TaskEmbedding]
) -> dict[str, Scorer]:
    level = general.expect(case.models, case.protocol)
    own = rest[rest["protocol"].eq(case.protocol)]
    if own.empty:
        return {"fennec": lambda _: level, "fennec-no-images": lambda _: level}
    kernel = TaskKernel.fit(embeddings, length_scale=TransferSpace().length_scale)
    affinity = Affinity().fit(own, kernel, load_catalog())
    parts = affinity.expect(case.models)
    return {
        "fennec": lambda name: level + parts @ kernel.to_new(affinity.image_sets_, embeddings.get(name)),
        "fennec-no-images": lambda _: level,
    }


def _by_general(case: Judged, rest: pd.DataFrame, alone: Mapping[str, GeneralQuality]) -> dict[str, Scorer]:
    """Methods that give one order for all columns of a study."""
    models, group = case.models, study_name(case.study)
    accuracy = imagenet_accuracy()
    others = {name: fit.expect(models, case.protocol) for name, fit in alone.items() if name != group}
    found = {
        "params": load_catalog().frame["params"].reindex(models).to_numpy(dtype=np.float64),
        "imagenet": np.array([accuracy.get(model, np.nan) for model in models]),
        "own-history": np.nanmean(np.column_stack([gaussian_scores(case.table[name]) for name in case.table]), axis=1),
    }
    if (paper := _published(case, rest)) is not None:
        found["fennec-paper"] = paper
    if FORMER in others:
        found["hf180"] = others[FORMER]
    if others:
        found["best-single"] = max(others.values(), key=case.mean_tau)
    return {name: _same_on_all(scores) for name, scores in found.items()}


def _same_on_all(scores: Floats) -> Scorer:
    return lambda _: scores


def _one_study_each() -> dict[str, GeneralQuality]:
    return {
        str(name): GeneralQuality().fit(cells.reset_index(drop=True), load_catalog())
        for name, cells in load_scores().groupby("study")
    }


def _published(case: Judged, rest: pd.DataFrame) -> Floats | None:
    """The published pipeline on the other studies' results by the same protocol, without images."""
    own = rest[rest["protocol"].eq(case.protocol)]
    wide = own.assign(task=own["study"] + " " + own["image_set"]).pivot(index="weights", columns="task", values="value")
    if not set(case.models) & set(wide.index) or wide.shape[1] < 2:
        return None
    tasks = tuple(wide.columns)
    matrix = TransferMatrix(wide.to_numpy(), tuple(wide.index), tasks, tasks, ("top1",) * len(tasks), case.protocol)
    truth = np.full(len(wide), np.nan)
    scores = published_fennec(Split(matrix, "", "", truth, None, {}, load_catalog(), {}))
    position = dict(zip(matrix.models, scores, strict=True))
    return np.array([position.get(model, np.nan) for model in case.models])
