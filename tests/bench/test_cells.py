"""Records of cells: kept, read again when damaged, put together."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fennec.bench.cells import Cell, measured_matrix, read_record, write_record
from fennec.bench.run import run_bench
from fennec.errors import InputError
from tests.bench.conftest import comparable, jobs_of


def test_run_bench__again_and_damaged__only_the_damaged_cell_is_measured(bench: dict[str, str], tmp_path: Path) -> None:
    jobs = jobs_of(bench, "small")
    messages: list[str] = []
    first = run_bench(tmp_path / "r", jobs, report=messages.append)
    assert (first.measured, len(messages)) == (2, 2)
    assert messages[-1].startswith("2/2 benchnets:small on sea (linear_probe, seed 0): ")
    kept = comparable(tmp_path / "r")
    damaged = tmp_path / "r" / jobs[0].cell.path
    damaged.write_text(damaged.read_text()[:100])
    second = run_bench(tmp_path / "r", jobs)
    assert (second.measured, second.kept) == (1, 1)
    assert comparable(tmp_path / "r") == kept
    for text in ("[]", "null", '{"format": 1}', "\xff"):
        damaged.write_bytes(text.encode("latin-1"))
        assert read_record(damaged) is None
    damaged.write_text(json.dumps({"format": 9, "model": "", "task": "", "status": ""}))
    with pytest.raises(InputError, match="format 9, this version reads up to 1; update"):
        read_record(damaged)


def test_measured_matrix__seeds_and_protocols__mean_of_one_protocol(tmp_path: Path) -> None:
    for model in ("a", "b"):
        for task in ("s", "t"):
            for seed, value in ((0, 0.5), (1, 0.7)):
                record = {
                    "model": model, "task": task, "protocol_name": "finetune-1", "protocol": {"kind": "finetune"},
                    "seed": seed, "status": "done", "metric": "top1", "value": value, "seconds": 1.0, "peak_mb": 1.0,
                }  # fmt: skip
                write_record(tmp_path, Cell(model, task, "finetune-1", seed), record)
    matrix = measured_matrix(tmp_path)
    assert matrix.performance.tolist() == [[0.6, 0.6], [0.6, 0.6]]
    assert matrix.protocol == "finetune"
    other = {**record, "protocol_name": "linear_probe-1", "protocol": {"kind": "linear_probe"}, "value": 0.1}
    write_record(tmp_path, Cell("a", "s", "linear_probe-1", 0), other)
    with pytest.raises(InputError, match="holds results of finetune-1, linear_probe-1; choose one with --protocol"):
        measured_matrix(tmp_path)
    assert measured_matrix(tmp_path, protocol="linear_probe").performance.tolist() == [[0.1]]
    with pytest.raises(InputError, match="no folder of results"):
        measured_matrix(tmp_path / "none")
