"""The metrics against scores of the original authors' code."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest


def parity_cases(shared: Path) -> dict[str, tuple[dict[str, np.ndarray], dict[str, Any]]]:
    make = runpy.run_path(str(shared / "parity" / "make_features.py"))
    cases = json.loads((shared / "parity" / "expected.json").read_text())["cases"]
    return {name: (make["build"](case["spec"]), case["scores"]) for name, case in cases.items()}


@pytest.mark.shared
def test_metrics__published_code__parity(shared: Path) -> None:
    parity = runpy.run_path(str(Path(__file__).parents[2] / "benchmark" / "metrics" / "metric_parity.py"))
    compared = 0
    for name, (data, scores) in parity_cases(shared).items():
        for row in parity["compare"](name, data, scores):
            assert row["relative_error"] <= row["tolerance"], row
            compared += 1
    assert compared > 400
