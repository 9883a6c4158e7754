from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz import KINDS, sweep

N_TRIED = 25  # of each kind; `python -m tests.fuzz` tries 300


@pytest.mark.parametrize("kind", KINDS)
def test_hostile_inputs__every_answer_is_clear(kind: str, tmp_path: Path) -> None:
    wrong: list[str] = []
    counts = sweep(kind, range(N_TRIED), tmp_path, seed=21, say=wrong.append)
    assert not wrong
    assert counts.clear == counts.tried
