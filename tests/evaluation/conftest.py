"""What the tests of the evaluation share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fennec.evaluation import leave_one_task_out
from fennec.evidence.scores import matrix_scores


@pytest.fixture(scope="module")
def no_published_results() -> Iterator[None]:
    """A planted hub alone: a fit beside all published results takes ten seconds, and they say nothing of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(leave_one_task_out, "results_of", lambda matrix: (matrix_scores(matrix), matrix.name))
        yield
