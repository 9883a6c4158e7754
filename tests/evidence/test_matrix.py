from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fennec.errors import InputError
from fennec.evidence.matrix import TransferMatrix, read_results


def matrix(values: list[list[float]], **changes: object) -> TransferMatrix:
    array = np.array(values, dtype=float)
    n_models, n_tasks = array.shape
    tasks = tuple(f"t{index}" for index in range(n_tasks))
    fields = {
        "performance": array,
        "models": tuple(f"m{index}" for index in range(n_models)),
        "tasks": tasks,
        "image_sets": tasks,
        "metrics": ("top1",) * n_tasks,
        "protocol": "finetune",
        "name": "toy",
    }
    return TransferMatrix(**{**fields, **changes})


def test_transfer_matrix__sizes_and_density() -> None:
    known = matrix([[0.1, np.nan], [0.3, 0.4]])
    assert (known.n_models, known.n_tasks, known.density) == (2, 2, 0.75)


@pytest.mark.parametrize(
    ("values", "changes", "message"),
    [
        ([[0.1, 1.5]], {}, "divide percentages by 100"),
        ([[0.1], [np.nan]], {}, "without any result"),
        ([[0.1, np.nan]], {}, "without any result"),
        ([[0.1], [0.2]], {"models": ("a", "a")}, "'a' stands twice"),
        ([[0.1], [0.2]], {"models": ("a",)}, "shape"),
        ([[0.1]], {"metrics": ()}, "shape"),
    ],
)
def test_transfer_matrix__bad_values__one_line(values: list, changes: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        matrix(values, **changes)


def test_select__a_model_left_without_results__dropped() -> None:
    known = matrix([[0.1, np.nan], [0.3, 0.4]])
    chosen = known.select(tasks=["t1"])
    assert chosen.models == ("m1",)
    assert chosen.performance.tolist() == [[0.4]]
    with pytest.raises(InputError, match="'x' is not in the matrix"):
        known.select(models=["x"])


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000))
def test_from_frame__of_to_frame__same_matrix(seed: int) -> None:
    generator = np.random.default_rng(seed)
    values = generator.random((5, 4)).round(3)
    values[generator.random(values.shape) < 0.3] = np.nan
    values[np.arange(4), np.arange(4)] = 0.5
    values[4, 0] = 0.5
    known = matrix(values.tolist())
    again = TransferMatrix.from_frame(known.to_frame(), name="toy")
    np.testing.assert_array_equal(again.performance, known.performance)
    assert (again.models, again.tasks, again.metrics) == (known.models, known.tasks, known.metrics)


def test_from_frame__cell_twice_or_mixed_metrics__input_error() -> None:
    frame = pd.DataFrame({"model": ["a", "a"], "task": ["t", "t"], "value": [0.1, 0.2]})
    with pytest.raises(InputError, match="more than one result"):
        TransferMatrix.from_frame(frame)
    mixed = pd.DataFrame({"model": ["a", "b"], "task": ["t", "t"], "value": [0.1, 0.2], "metric": ["x", "y"]})
    with pytest.raises(InputError, match="mixes metrics"):
        TransferMatrix.from_frame(mixed)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty; expected a CSV with the columns model, task, value"),
        ("model,task,value\n", "no results"),
        ("model,task\na,b\n", "no column 'value'"),
        ("model,task,value\na,b,0.5\nc,d,nan\n", "line 3: value is 'nan'"),
        ("model,task,value\na,b,inf\n", "line 2: value is"),
        ("model,task,value\na,b,good\n", "line 2: value is 'good'"),
        ("model,task,value\na,b,93.1\n", "line 2: value is 93.1.*divide percentages by 100"),
        ("model,task,value\n,b,0.5\n", "line 2: no model"),
        ("model,task,value\na,b,True\nc,b,False\n", "line 2: value is 'True'"),
        ("model,task,value,value\na,b,0.5,0.9\n", "two columns 'value'; keep one"),
        ("model,task,metric,value\na,b,top1,0.5\nc,b,val_loss,0.4\n", "line 3: metric is 'val_loss', where lower"),
    ],
)
def test_read_results__bad_file__line_and_reason(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "results.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_results(path)


def test_read_results__missing_file__says_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no file .* columns model, task, value"):
        read_results(tmp_path / "none.csv")


def test_read_results__good_file__numbers(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    path.write_text("model, task, value\n模型, b, 0.5\n")
    frame = read_results(path)
    assert frame["value"].tolist() == [0.5]
    assert frame["model"].tolist() == ["模型"]
