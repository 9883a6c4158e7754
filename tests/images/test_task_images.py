"""The images of a task: training and test part."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fennec.errors import InputError
from fennec.images.task_images import open_task
from tests.conftest import coloured


def test_open_task__no_test_part__a_fifth_of_each_class_held_out(bench: dict[str, str]) -> None:
    one, two = open_task(bench["sea"], seed=0, n_train=20), open_task(bench["sea"], seed=1, n_train=20)
    assert (len(one.train), len(one.test)) == (20, 9)
    assert np.bincount(one.test.labels).tolist() == [3, 3, 3]
    assert list(one.test.items) == list(two.test.items)
    assert set(one.train.items) != set(two.train.items)
    assert not set(one.train.items) & set(one.test.items)


def test_open_task__bad_datasets__one_clear_line(bench: dict[str, str], tmp_path: Path) -> None:
    alone = coloured(tmp_path / "alone", {"only": (1, 2, 3)}, 10)
    with pytest.raises(InputError, match="has one class, 'only'; expected at least two"):
        open_task(str(alone))
    few = coloured(tmp_path / "few", {"one": (1, 2, 3), "two": (200, 2, 3)}, 3)
    with pytest.raises(InputError, match="fewer than 5 images of every class"):
        open_task(str(few))
    split = tmp_path / "split"
    coloured(split / "train", {"one": (1, 2, 3), "two": (200, 2, 3)}, 5)
    coloured(split / "test", {"one": (1, 2, 3), "three": (0, 200, 3)}, 5)
    with pytest.raises(InputError, match="class 'three' of .* has test images but no training images"):
        open_task(str(split))
