"""What to try next: the most expected improvement, for its time where time is what is spent.

In: `Belief`, expected seconds. Out: `Choice`. Which rule, and where it begins, was settled by simulation
(`benchmark/space/search.py`).

Source: expected improvement, Jones, Schonlau & Welch 1998, equation 15; per second, Snoek, Larochelle & Adams 2012,
section 3.2; batches as the expected best of all of them, Wang, Clark, Liu & Frazier 2020.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from .belief import N_DRAWS, Belief

Floats = NDArray[np.float64]
CONSIDERED = 200  # candidates for one of several places
# Logit of a chance that something is better: a + b * that of the share of draws. The share alone is too sure, since the
# best of many draws is where each is least certain. Learned from all studies by benchmark/space/search.py.
RELIABILITY = (-0.67, 0.52)


@dataclass(frozen=True)
class Choice:
    """A candidate to try.

    Attributes:
        row: of the candidate.
        expected: its expected result, a fraction.
        gain: by how much it is expected to improve on the best result so far, a fraction; None where there is none.
        seconds: that the trial is expected to take.
    """

    row: int
    expected: float
    gain: float | None
    seconds: float


def choose(
    belief: Belief,
    open_rows: NDArray[np.intp],
    seconds: Floats,
    *,
    pending: Collection[int] = (),
    per_second: bool = False,
) -> Choice | None:
    """The next trial.

    The first one is the candidate expected to be best. With trials under way, what counts is the improvement on the
    best of all of them in joint draws, so that two workers do not try twins.

    Args:
        belief: of all candidates.
        open_rows: those that can be tried.
        seconds: that a trial of each takes, shape (n_models,).
        pending: rows being tried.
        per_second: spend time rather than trials.

    Returns:
        None where nothing can be tried.
    """
    if not len(open_rows):
        return None
    expected, gains = belief.expected(), belief.gains()
    price = seconds if per_second and belief.results else np.ones(len(gains))
    rows = open_rows[np.lexsort((-expected[open_rows], -(gains / price)[open_rows]))]
    if pending:
        rows = rows[:CONSIDERED]  # beside others a trial gains no more than alone
        draws = belief.draws(np.concatenate([rows, np.array(list(pending), dtype=np.intp)]))
        best = np.maximum(draws[:, len(rows) :].max(axis=1), belief.best)
        gains[rows] = np.maximum(draws[:, : len(rows)] - best[:, None], 0.0).mean(axis=0)
        rows = rows[np.argsort(-(gains / price)[rows], kind="stable")]
    row = int(rows[0])
    gain = float(gains[row]) if belief.results else None
    return Choice(row, float(expected[row]), gain, float(seconds[row]))


def something_better(
    belief: Belief,
    untried: NDArray[np.intp],
    *,
    above: float = 0.0,
    reliability: tuple[float, float] = RELIABILITY,
) -> tuple[float, float]:
    """Whether something untried is better than the best result.

    Args:
        belief: of all candidates.
        untried: their rows.
        above: by more than this, a fraction.
        reliability: of shares of draws, intercept and slope between logits; (0, 1) takes them as they are.

    Returns:
        The probability, and by how much it would be better on average, a fraction; zeros where nothing is untried.
    """
    if not len(untried):
        return 0.0, 0.0
    ahead = belief.draws(untried).max(axis=1) - belief.best
    better = ahead > above
    share = np.clip(better.mean(), 0.5 / N_DRAWS, 1 - 0.5 / N_DRAWS)
    chance = float(expit(reliability[0] + reliability[1] * logit(share)))
    return chance, float(ahead[better].mean()) if better.any() else 0.0
