"""How a table is written, and what several of them compute. In: rows of text. Out: Markdown."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmark" / "results"


def markdown(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table with the first column to the left and the others to the right."""
    header = list(header)
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *map(list, rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def number(value: float, digits: int = 3, sign: str = "") -> str:
    """A figure, or a dash where there is none."""
    return f"{value:{sign}.{digits}f}" if np.isfinite(value) else "-"


def won(change: pd.Series) -> str:
    """Tasks above, at and below zero."""
    return f"{(change > 0).sum()}/{(change == 0).sum()}/{(change < 0).sum()}"


def over_hubs(values: pd.Series) -> tuple[float, float]:
    """95 % bootstrap interval of the mean over hubs of the mean over tasks, tasks drawn within hubs."""
    generator = np.random.default_rng(0)
    hubs = [part.to_numpy() for _, part in values.groupby("hub")]
    means = np.mean(
        [part[generator.integers(len(part), size=(10_000, len(part)))].mean(axis=1) for part in hubs], axis=0
    )
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)
