"""Many cells: nothing is lost or counted twice, failures are part of the record."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fennec.bench.cells import iter_records, results_frame
from fennec.bench.run import make_jobs, read_tasks, run_bench
from fennec.errors import FennecError, InputError
from fennec.images.task_images import describe
from tests.bench.conftest import PROBE, QUICK, jobs_of
from tests.conftest import coloured


def test_make_jobs__shards__every_cell_in_exactly_one(bench: dict[str, str]) -> None:
    models = [f"benchnets:{index}" for index in range(30)]
    whole = make_jobs(models, bench, [PROBE, QUICK], seeds=[0, 1])
    parts = [make_jobs(models, bench, [PROBE, QUICK], seeds=[0, 1], shard=f"{index}/3") for index in (1, 2, 3)]
    assert len(whole) == 30 * 2 * 2 * 2
    assert sorted(job.cell.path for part in parts for job in part) == sorted(job.cell.path for job in whole)
    assert min(len(part) for part in parts) > 40


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"models": []}, "nothing to measure"),
        ({"shard": "4/3"}, "shard is '4/3'; expected i/n"),
        ({"shard": "half"}, "shard is 'half'; expected i/n"),
        ({"weights": {"other": "x.pth"}}, "weights are given for 'other', which is not among the models"),
    ],
)
def test_make_jobs__bad_arguments__one_clear_line(change: dict[str, object], message: str) -> None:
    arguments = {"models": ["a"], "tasks": {"t": "s"}, "protocols": [PROBE], **change}
    with pytest.raises(InputError, match=message):
        make_jobs(**arguments)  # type: ignore[arg-type]


def test_run_bench__other_dataset_under_a_known_name__refused(bench: dict[str, str], tmp_path: Path) -> None:
    run_bench(tmp_path / "r", jobs_of({"fruit": bench["fruit"]}, "small"))
    with pytest.raises(InputError, match="task 'fruit' of .* is .*fruit', not .*sea'; use another name"):
        run_bench(tmp_path / "r", jobs_of({"fruit": bench["sea"]}, "small"))
    assert read_tasks(tmp_path / "r") == {"fruit": bench["fruit"]}


def test_run_bench__failures__class_and_message_in_the_record(bench: dict[str, str], tmp_path: Path) -> None:
    alone = coloured(tmp_path / "alone", {"only": (1, 2, 3)}, 10)
    summary = run_bench(tmp_path / "r", make_jobs(["benchnets:small"], {"alone": str(alone)}, [PROBE]))
    assert summary.failed == {"DataError": 1}
    (record,) = iter_records(tmp_path / "r")
    assert (record["status"], record["error"]) == ("failed", "DataError")
    assert "has one class" in record["message"]
    with pytest.raises(InputError, match="holds no results"):
        results_frame(tmp_path / "r")


COMMAND = [sys.executable, "-m", "fennec.cli.main", "bench", "r", "--protocol", "linear_probe", "--n-train", "40"]


def start(bench: dict[str, str], *options: str) -> subprocess.Popen[str]:
    tasks = [option for name, source in bench.items() for option in ("--task", f"{name}={source}")]
    return subprocess.Popen(
        [*COMMAND, *tasks, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["serial", "process"])
def test_bench__killed_in_the_middle__goes_on_where_it_was(bench: dict[str, str], engine: str) -> None:
    options = ("--models", "benchnets:slow,benchnets:small,benchnets:wide", "--engine", engine, "--workers", "1")
    process = start(bench, *options)
    deadline = time.monotonic() + 120
    while not list(Path("r").rglob("*.0.json")) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    written = {path: path.stat().st_mtime_ns for path in Path("r").rglob("*.0.json")}
    assert 1 <= len(written) < 6
    output, errors = start(bench, *options, "--json").communicate(timeout=240)
    summary = json.loads(output)
    assert (summary["measured"], summary["kept"]) == (6 - len(written), len(written)), errors
    assert {path: path.stat().st_mtime_ns for path in written} == written
    assert len(results_frame("r")) == 6


@pytest.mark.slow
def test_bench__two_runs_in_one_folder__every_cell_measured_once(bench: dict[str, str]) -> None:
    options = ("--models", "benchnets:slow,benchnets:small,benchnets:wide", "--engine", "serial", "--json")
    runs = [start(bench, *options) for _ in range(2)]
    summaries = [json.loads(run.communicate(timeout=240)[0]) for run in runs]
    assert sum(summary["measured"] for summary in summaries) == 6
    assert not any(summary["failed"] for summary in summaries)
    assert len(results_frame("r")) == 6


def test_run_bench__same_failure_of_several_cells__reason_once(bench: dict[str, str], tmp_path: Path) -> None:
    alone = {"alone": str(coloured(tmp_path / "alone", {"only": (1, 2, 3)}, 10))}
    jobs = make_jobs(["benchnets:small", "benchnets:wide"], alone, [PROBE])
    lines: list[str] = []
    run_bench(tmp_path / "r", jobs, report=lines.append)
    assert ["has one class" in line for line in lines] == [True, False]
    assert "DataError, as said above" in lines[1]
    reason = describe(alone["alone"])["error"]
    run_bench(tmp_path / "r", jobs, retry=True, report=lines.append, said=[reason])
    assert not any("has one class" in line for line in lines[2:])


def test_run_bench__disk_full__one_clear_line_and_nothing_half_written(bench: dict[str, str], tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)], capture_output=True)
    if mounted.returncode:
        pytest.skip("a small file system cannot be mounted here")
    try:
        jobs = jobs_of(bench, "small", "wide")
        (disk / "ballast").write_bytes(b"0" * 20_000)
        run_bench(disk / "r", jobs[:1])
        with contextlib.suppress(OSError), (disk / "ballast").open("ab") as file:
            while True:
                file.write(b"0" * 512)
                file.flush()
        with pytest.raises(FennecError, match=r"cannot write (to )?.*No space left.*make room and run it again"):
            run_bench(disk / "r", jobs)
        assert not list(disk.rglob("*.part"))
        assert len(results_frame(disk / "r")) == 1
        (disk / "ballast").unlink()
        summary = run_bench(disk / "r", jobs)
        assert (summary.measured, summary.kept) == (3, 1)
    finally:
        subprocess.run(["umount", str(disk)], check=True)
