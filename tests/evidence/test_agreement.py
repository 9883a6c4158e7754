"""How far studies agree: by the numbers of the published ones, and by orders that are planted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from fennec.evidence.agreement import (
    FAR,
    FEWEST_CELLS,
    is_repeat,
    published_agreement,
    published_cells,
    rank_agreement,
    value_agreement,
    with_study,
)

REPEATS = Path(__file__).parents[2] / "benchmark" / "results" / "repeats.csv"


def cells(study: str, scores: list[float], image_set: str = "a", **changes: object) -> pd.DataFrame:
    weights = [f"m{index}" for index in range(len(scores))]
    columns = {"study": study, "weights": weights, "task": image_set, "protocol": "finetune", "budget": "full",
               "image_set": image_set, "score": scores, "value": scores, **changes}  # fmt: skip
    return pd.DataFrame(columns)


def test_rank_agreement__planted__same_opposite_and_too_few() -> None:
    order = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    pairs = rank_agreement(pd.concat([cells("one", order), cells("two", order[::-1]), cells("few", order[:5]),
                                      cells("other", order, image_set="b")]))  # fmt: skip
    found = {tuple(row[:2]): row[2:] for row in pairs.itertuples(index=False, name=None)}
    assert set(found) == {("one", "two"), ("one", "other"), ("other", "two")}
    np.testing.assert_allclose(found["one", "two"], (6, -1, 1, 6, -1))
    n_weights, overall, n_tasks, n_cells, same = found["one", "other"]
    assert (n_weights, n_tasks, n_cells) == (6, 0, 0)
    assert np.isclose(overall, 1)
    assert np.isnan(same)
    assert sorted(with_study("two", pairs)["other"]) == ["one", "other"]


def test_rank_agreement__published_pair__as_scipy_has_it() -> None:
    frame = published_cells()
    row = published_agreement().query("study == 'shift_vtab_hf' and other == 'transfergraph_hf'").iloc[0]
    two = ["shift_vtab_hf", "transfergraph_hf"]
    means = frame.groupby(["protocol", "image_set", "study", "weights"])["score"].mean().unstack("study")[two]
    wide = means.groupby("weights").mean().dropna()
    assert len(wide) == row["n_weights"]
    assert np.isclose(spearmanr(*wide.to_numpy().T).statistic, row["overall"])
    total = n_cells = 0.0
    for _, table in means.dropna().groupby(["protocol", "image_set"]):
        if len(table) >= 6:
            total += len(table) * spearmanr(*table.to_numpy().T).statistic
            n_cells += len(table)
    assert n_cells == row["n_cells"]
    assert np.isclose(total / n_cells, row["same_tasks"])


def test_value_agreement__of_one_study__its_pairs_alone() -> None:
    frame = pd.concat([cells("one", list(np.linspace(0, 1, 9))), cells("two", list(np.linspace(0, 1, 9) + 0.0005)),
                       cells("far", list(np.linspace(0, 1, 9)[::-1]))])  # fmt: skip
    table = value_agreement(frame, study="one")
    assert table[["study", "other"]].to_numpy().tolist() == [["one", "two"], ["one", "far"]]
    assert is_repeat(table).tolist() == [True, False]
    assert len(value_agreement(frame)) == 3


def test_far__one_published_pair_in_twenty_is_further() -> None:
    table = pd.read_csv(REPEATS)
    differences = table.loc[table["common_cells"] >= FEWEST_CELLS, "median_difference"]
    assert 0.02 <= (differences > FAR).mean() <= 0.08
