"""Rows of a result file, of which a run writes those that it measured."""

from __future__ import annotations

from pathlib import Path

import pandas as pd


def keep(frame: pd.DataFrame, path: Path) -> None:
    """Rows of `frame` in place of those of the same first column in the file, in its order; new ones at the end."""
    key = frame.columns[0]
    if path.exists():
        before = pd.read_csv(path)
        order = list(dict.fromkeys([*before[key], *frame[key]]))
        rows = pd.concat([before[~before[key].isin(frame[key])], frame])
        frame = rows.sort_values(key, key=lambda names: names.map(order.index), kind="stable")
    frame.to_csv(path, index=False)
