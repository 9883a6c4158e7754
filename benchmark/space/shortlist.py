"""What a list of different models costs, and how far differences to the first can be trusted.

    python benchmark/space/shortlist.py [--left study --left task]

Left out as in `certainty.py`. Writes `shortlist.parquet` (left, study, protocol, task, list, measure, value): list is
`siblings` (the first as they come), `two of a network` (at most two checkpoints of one network), `worth its size` (as
well none where one of a fifth of the size is expected within a point) or `default` (as well none trained only for a
subject that the nearest known tasks do not show); measures are `regret@K` in points and `params@1`,
millions of parameters of the first; and for the default list `difference@80`, the share of the ten first whose true
difference to the first lies inside its 80 % interval.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from certainty import Case, left_out_studies, left_out_tasks

from fennec.checkpoints.catalog import load_catalog
from fennec.space.portfolio import different, of_subject, worth_their_size
from fennec.space.shortlist import ABSTAIN, N_DRAWS

RESULTS = Path(__file__).parents[1] / "results"
SIZES = (1, 3, 5, 10)


def measured(case: Case) -> Iterator[tuple[str, str, float]]:
    """(list, measure, value) on one left-out column; only models with a result there are listed."""
    _, _, _, recommender, embedding, truth = case
    known = np.flatnonzero(np.isfinite(truth))
    true = truth[known]
    found = recommender.predict(embedding)
    models = [recommender.models_[row] for row in known]
    facts = load_catalog().frame.reindex(models)
    params, families = facts["params"].to_numpy(dtype=np.float64), facts["family"].fillna("").tolist()
    scores, expected = found.scores[known], found.performance[known]
    ranked = np.argsort(-scores, kind="stable")
    worth, everything = worth_their_size(expected, params), np.full(len(known), True)
    near = recommender.nearest_tasks(embedding) if recommender.resemblance(embedding) >= ABSTAIN else ()
    subject, worth_of_subject = of_subject(load_catalog().subjects(models), near), np.full(len(known), False)
    worth_of_subject[subject] = worth_their_size(expected[subject], params[subject])
    lists = {
        "siblings": ranked,
        "two of a network": different(ranked, families, params, everything, max(SIZES)),
        "worth its size": different(ranked, families, params, worth, max(SIZES)),
        "default": different(ranked, families, params, worth_of_subject, max(SIZES)),
    }
    for name, rows in lists.items():
        for k in SIZES:
            yield name, f"regret@{k}", 100 * (true.max() - true[rows[:k]].max())
        yield name, "params@1", params[rows[0]] / 1e6
    rows = lists["default"]
    draws = recommender.draws(embedding, n_draws=N_DRAWS)[:, known[rows]]
    low, high = np.quantile(draws[:, 1:] - draws[:, :1], (0.1, 0.9), axis=0)
    difference = true[rows[1:]] - true[rows[0]]
    yield "default", "difference@80", float(np.mean((low <= difference) & (difference <= high)))


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--left", action="append", choices=["study", "task"])
    rows, before = [], ""
    for left in parser.parse_args().left or ["study", "task"]:
        for case in left_out_studies() if left == "study" else left_out_tasks():
            if before != case[0]:
                before = case[0]
                print(left, before, file=sys.stderr, flush=True)
            if np.isfinite(case[5]).sum() > max(SIZES) / 2:
                rows += [(left, *case[:3], *values) for values in measured(case)]
    table = pd.DataFrame(rows, columns=["left", "study", "protocol", "task", "list", "measure", "value"])
    table.round(4).to_parquet(RESULTS / "shortlist.parquet", index=False)


if __name__ == "__main__":
    main()
