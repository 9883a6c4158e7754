"""How well is a study foretold that nobody has seen, from all the others?

    python benchmark/space/leave_one_study_out.py

In: all results of all studies, facts of the weights. Out: `benchmark/results/leave_one_study_out.parquet`. A sketch of
one method over all of the evidence, not yet what `recommend` uses: the mean Gaussian score of weights in a study is a
Gaussian process whose covariance is (how alike the weights are) x (how alike the studies are). Weights are alike by
facts, and as the same weights, children of one parent, one network, one family; two studies are alike by a common part
and more under the same protocol, and what is left is a study's own: so sixty siblings in one study count once. A study
and all that repeat it are left out by block inversion, which is exact. Settings are chosen for every left-out study by
the mean over the others, with its results gone from those fits as well.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from fennec.architectures.vectors import load_known_vectors
from fennec.checkpoints.catalog import load_catalog
from fennec.evidence.studies import load_evidence, load_studies
from fennec.measures import regret_at_k, weighted_tau
from fennec.space.history import gaussian_scores

Floats = NDArray[np.float64]
RESULTS = Path(__file__).parents[1] / "results"
MIN_COLUMN, MIN_STUDY = 6, 10  # weights in a column that counts, and in a study that is judged
LEVEL = 5.0  # variance of the level of a study: it says nothing
CELL = 0.5  # variance of a single result, in Gaussian scores
METHODS = ("supervised", "clip", "siglip", "dino", "mae", "contrastive", "distilled", "adversarial", "none")
CONTRASTIVE = ("moco", "simclr", "swav", "byol", "vicreg", "simsiam", "barlow", "pirl", "instance", "deepcluster")


class Setting(NamedTuple):
    """Variances of the effects of weights, and the shares that studies have in common."""

    facts: float = 0.08
    same: float = 0.1
    parent: float = 0.1
    network: float = 0.1
    family: float = 0.1
    common: float = 0.15
    protocol: float = 0.15
    noise: float = 0.1


SETTINGS = (
    Setting(),
    Setting(same=0.05, parent=0.05),
    Setting(family=0.3),
    Setting(facts=0.2),
    Setting(common=0.3, protocol=0.2),
    Setting(common=0.5, protocol=0.2),
)


def columns() -> dict[tuple[str, str], pd.DataFrame]:
    """Results of every study under every protocol, weights x columns."""
    evidence = load_evidence()
    found = {}
    for (study, protocol), cells in evidence.groupby(["study", "protocol"], observed=True):
        keys = [cells[name].astype(str) for name in ("task", "metric", "budget", "head")]
        table = cells.assign(column=keys[0].str.cat(keys[1:], sep="|")).pivot_table(
            index="weights", columns="column", values="value", aggfunc="mean", observed=True
        )
        table = table.loc[:, table.notna().sum() >= MIN_COLUMN].dropna(how="all")
        if table.shape[1]:
            found[str(study), str(protocol)] = table
    return found


def facts(weights: pd.Index) -> tuple[Floats, pd.DataFrame]:
    """Numbers that say what weights are, and what they may share with others."""
    frame = load_catalog().frame.reindex(weights)
    quality = frame["backbone"].map(load_known_vectors().centred_quality)
    numbers = pd.DataFrame(
        {
            "params": np.log2(frame["params"].astype(float)),
            "quality": quality,
            "pixels": np.log2(frame["input_size"].astype(float)),
        }
    )
    numbers = numbers.fillna(numbers.groupby(frame["family"]).transform("median"))
    numbers = ((numbers - numbers.median()) / numbers.std()).fillna(0.0).clip(-3, 3)
    images = frame["pretraining_images"].astype(float).clip(lower=1e4)
    numbers["images"] = (np.log10(images) - 6.1).fillna(0.0)
    method = frame["pretraining_method"].fillna("").astype(str)
    method = method.where(~method.str.contains("|".join(CONTRASTIVE)), "contrastive")
    for word in METHODS:
        numbers[word] = method.str.contains(word, regex=False).astype(float) * 0.7
    tuned = frame["finetuned_on"].fillna("").astype(str)
    numbers["official"] = frame["official"].astype(str).eq("True").astype(float)
    numbers["tuned on ImageNet"] = tuned.str.startswith("imagenet").astype(float)
    numbers["tuned elsewhere"] = (tuned.ne("") & ~tuned.str.startswith("imagenet")).astype(float)
    own = pd.Series(weights, index=weights)
    shared = pd.DataFrame(
        {
            "same": own,
            "parent": frame["parent"].where(frame["parent"].fillna("").ne(""), own),
            "network": frame["backbone"].where(frame["backbone"].fillna("").ne(""), own),
            "family": frame["family"].where(frame["family"].fillna("").ne(""), own),
        }
    )
    return numbers.to_numpy(dtype=np.float64), shared


def repeated(study: str) -> str:
    """One name for a study and all that repeat it."""
    return min((study, *load_studies()[study].repeats))


class Process:
    """All studies as one Gaussian process, fitted once for a setting; any of them can be left out of it."""

    def __init__(self, tables: dict[tuple[str, str], pd.DataFrame], setting: Setting) -> None:
        parts = []
        for (study, protocol), table in tables.items():
            scores = np.column_stack([gaussian_scores(table[name]) for name in table])
            mean = np.nanmean(scores, axis=1)
            cells = np.isfinite(scores).sum(axis=1)
            parts.append(pd.DataFrame({"weights": table.index.astype(str), "study": study, "protocol": protocol,
                                       "score": mean - mean.mean(), "cells": cells}))  # fmt: skip
        self.rows = pd.concat(parts, ignore_index=True)
        self.group = self.rows["study"].map(repeated).to_numpy()
        numbers, shared = facts(pd.Index(self.rows["weights"]))
        alike = setting.facts * numbers @ numbers.T
        for name in shared.columns:
            alike += getattr(setting, name) * _equal(shared[name])
        protocol, study = _equal(self.rows["protocol"]), _equal(pd.Series(self.group))
        own = 1.0 - setting.common - setting.protocol
        alike *= setting.common + setting.protocol * protocol + own * study
        alike += LEVEL * (protocol & study)
        alike[np.diag_indices(len(alike))] += setting.noise + CELL / self.rows["cells"]
        factor = cho_factor(alike, lower=True, overwrite_a=True, check_finite=False)
        self.inverse = cho_solve(factor, np.eye(len(alike)), check_finite=False)
        self.pull = self.inverse @ self.rows["score"].to_numpy()

    def without(self, groups: set[str]) -> pd.Series:
        """Expected scores of the rows of some groups of studies, from all the others.

        Source: Rasmussen & Williams 2006, section 5.4.2, for blocks.
        """
        out = np.flatnonzero(np.isin(self.group, list(groups)))
        block = self.inverse[np.ix_(out, out)]
        expected = self.rows["score"].to_numpy()[out] - np.linalg.solve(block, self.pull[out])
        return pd.Series(expected, index=out)

    def of(self, expected: pd.Series, key: tuple[str, str], weights: pd.Index) -> Floats:
        """The part of `without` that is about one study under one protocol."""
        mine = self.rows.loc[expected.index]
        mine = mine[mine["study"].eq(key[0]) & mine["protocol"].eq(key[1])]
        return expected[mine.index].set_axis(mine["weights"]).reindex(weights).to_numpy(dtype=np.float64)


def _equal(names: pd.Series) -> NDArray[np.bool_]:
    codes = pd.factorize(names)[0]
    return np.asarray(codes[:, None] == codes[None, :])


def judge(scores: Floats, table: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Every measure on every column; weights without a score stand at the median."""
    filled = np.where(np.isfinite(scores), scores, np.nanmedian(scores) if np.isfinite(scores).any() else 0.0)
    found = {}
    for name in table:
        known = table[name].notna().to_numpy()
        mine, truth = filled[known], table[name].to_numpy(dtype=np.float64)[known]
        found[str(name)] = {"tau_w": weighted_tau(mine, truth)} | {
            f"regret@{k}": regret_at_k(mine, truth, k=k) for k in (1, 5)
        }
    return found


def baselines(table: pd.DataFrame) -> dict[str, Floats]:
    """Orders that need no other study: size, ImageNet accuracy where half is known, and the study itself."""
    frame = load_catalog().frame.reindex(table.index)
    found = {"params": frame["params"].to_numpy(dtype=np.float64)}
    evidence = load_evidence()
    plain = evidence[evidence["protocol"].eq("eval") & evidence["task"].eq("imagenet")]
    accuracy = plain.groupby("weights", observed=True)["value"].max().reindex(table.index)
    if accuracy.notna().mean() >= 0.5:
        found["imagenet"] = accuracy.to_numpy(dtype=np.float64)
    found["own-history"] = np.nanmean(np.column_stack([gaussian_scores(table[name]) for name in table]), axis=1)
    return found


def mean_tau(scores: Floats, table: pd.DataFrame) -> float:
    """Mean weighted tau over the columns of a study."""
    return float(np.nanmean([measures["tau_w"] for measures in judge(scores, table).values()]))


def main() -> None:
    """Leave every study out once."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=RESULTS / "leave_one_study_out.parquet")
    output = parser.parse_args().output
    tables = columns()
    judged = {key: table for key, table in tables.items() if len(table) >= MIN_STUDY and key[1] != "eval"}
    groups = {key: repeated(key[0]) for key in judged}
    own: dict[tuple[int, tuple[str, str]], Floats] = {}
    others: dict[tuple[int, str], float] = {}
    for number, setting in enumerate(SETTINGS):
        process = Process(tables, setting)
        for left in sorted(set(groups.values())):
            alone = process.without({left})
            taus = []
            for key, table in judged.items():
                if groups[key] == left:
                    own[number, key] = process.of(alone, key, table.index)
                else:
                    both = process.without({left, groups[key]})
                    taus.append(mean_tau(process.of(both, key, table.index), table))
            others[number, left] = float(np.mean(taus))
            print(f"setting {number}, without {left}: the others {others[number, left]:.3f}", flush=True)
    rows = []
    for key, table in judged.items():
        best = max(range(len(SETTINGS)), key=lambda number: others[number, groups[key]])
        for method, scores in {"fennec": own[best, key], **baselines(table)}.items():
            for task, measures in judge(scores, table).items():
                rows += [(*key, len(table), task, method, name, round(value, 5)) for name, value in measures.items()]
    header = ["study", "protocol", "n_models", "task", "method", "measure", "value"]
    pd.DataFrame(rows, columns=header).to_parquet(output, index=False)


if __name__ == "__main__":
    main()
