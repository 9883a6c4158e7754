from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from tests.fuzz import KINDS, sweep
from tests.fuzz.kept import keep

N_TRIED = 25  # of each kind; `python -m tests.fuzz` tries 300


@pytest.mark.parametrize("kind", KINDS)
def test_hostile_inputs__every_answer_is_clear(kind: str, tmp_path: Path) -> None:
    wrong: list[str] = []
    counts = sweep(kind, range(N_TRIED), tmp_path, seed=21, say=wrong.append)
    assert not wrong
    assert counts.clear == counts.tried


def test_a_run_of_one_kind_replaces_its_rows_alone(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    keep(pd.DataFrame({"kind": ["b", "b", "a"], "wrong": [1, 2, 3]}), path)
    keep(pd.DataFrame({"kind": ["c", "b"], "wrong": [5, 4]}), path)
    assert path.read_text().split() == ["kind,wrong", "b,4", "a,3", "c,5"]
