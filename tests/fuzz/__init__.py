"""Hostile inputs by kinds, made from a seed, and how often the answer to them was clear.

In: a kind and the numbers of its inputs. Out: `Counts`. A clear answer is a documented exit status, for a failure with
one line of fewer than 500 characters without the word "unexpected", within 20 seconds of computing; JSON has no NaN.
"""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from fennec.memory import forget_peak, peak_megabytes

from .archives import archives
from .judge import Case, tried
from .pictures import pictures
from .tables import manifests, results
from .typed import commands, conditions

KINDS: dict[str, Callable[[random.Random, Path], Case]] = {
    "pictures": pictures,
    "archives": archives,
    "manifests": manifests,
    "results": results,
    "conditions": conditions,
    "command lines": commands,
}


@dataclass(frozen=True)
class Counts:
    """What came of the inputs of one kind.

    Attributes:
        kind: of input.
        tried: how many.
        clear: answers that were clear.
        wrong: the others.
        seconds: for all of them.
        slowest_seconds: of computing for one of them.
        most_mb: memory that one of them took beyond what the process had.
    """

    kind: str
    tried: int
    clear: int
    wrong: int
    seconds: float
    slowest_seconds: float
    most_mb: int


def sweep(
    kind: str, numbers: Iterable[int], folder: Path, *, seed: int = 0, say: Callable[[str], object] = lambda line: None
) -> Counts:
    """Tries inputs of a kind; each depends on the seed, the kind and its number alone.

    Args:
        kind: one of `KINDS`.
        numbers: of the inputs.
        folder: to make them in.
        seed: of all of them.
        say: told of every input whose answer was not clear.
    """
    start, slowest, n_tried, n_wrong, most = time.perf_counter(), 0.0, 0, 0, 0.0
    for number in numbers:
        place = folder / f"{kind}{number}"
        case = KINDS[kind](random.Random(f"{seed} {kind} {number}"), place)
        forget_peak("cpu")
        before = peak_megabytes("cpu")
        wrong, seconds = tried(case)
        most = max(most, peak_megabytes("cpu") - before)
        shutil.rmtree(place, ignore_errors=True)
        n_tried, n_wrong, slowest = n_tried + 1, n_wrong + bool(wrong), max(slowest, seconds)
        if wrong:
            say(f"{kind}:{number} {case.what!a:.200} -> {wrong!a:.400}")
    return Counts(kind, n_tried, n_tried - n_wrong, n_wrong, round(time.perf_counter() - start, 1), round(slowest, 1),
                  round(most))  # fmt: skip
