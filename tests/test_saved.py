"""Saved things that were changed are refused in one line or used in full; for more: `python -m tests.fuzz.saved`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.saved import KINDS, sweep

N = 12


@pytest.mark.parametrize("kind", KINDS)
def test_saved__changed__refused_in_one_line_or_all_of_it_is_json(kind: str, tmp_path: Path) -> None:
    faults: list[str] = []
    counts = sweep(kind, range(N), tmp_path, say=faults.append)
    assert (counts["tried"], counts["wrong"]) == (N, 0), faults
    assert counts["accepted"] + counts["refused"] == N
