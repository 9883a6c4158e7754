"""Trees of pictures, as a folder and as archives."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from .made import TREES, Files


@pytest.fixture(params=TREES)
def tree(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Files], Path]:
    """Makes a folder, a zip or a tar of the same files."""
    return lambda content: TREES[request.param](tmp_path / "set", content)
