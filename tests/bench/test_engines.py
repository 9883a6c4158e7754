"""Every engine gives the same, a killed worker costs no other job, and none is left behind."""

from __future__ import annotations

import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from fennec.bench.engines import ENGINES, WorkerDiedError, run_jobs
from fennec.bench.run import run_bench
from fennec.errors import FennecError, InputError
from tests.bench.conftest import QUICK, comparable, jobs_of


@pytest.fixture(scope="module")
def cluster(networks: Path) -> Iterator[None]:
    """A local Ray of two cores and two logical GPUs; its own warnings are not ours."""
    import ray

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ray.init(num_cpus=2, num_gpus=2, include_dashboard=False, log_to_driver=False)
        yield
        ray.shutdown()


@pytest.fixture(params=["process", pytest.param("ray", marks=pytest.mark.slow)])
def engine(request: pytest.FixtureRequest) -> str:
    """Every engine but `serial`."""
    if request.param == "ray":
        request.getfixturevalue("cluster")
    return str(request.param)


def test_run_bench__engines__same_results_as_serial(bench: dict[str, str], tmp_path: Path, engine: str) -> None:
    jobs = [*jobs_of(bench, "small", "wide", protocol=QUICK), *jobs_of(bench, "small", "wide")]
    run_bench(tmp_path / "serial", jobs)
    summary = run_bench(tmp_path / engine, jobs, engine=engine, workers=2)
    assert (summary.measured, summary.kept, dict(summary.failed)) == (8, 0, {})
    assert comparable(tmp_path / engine) == comparable(tmp_path / "serial")
    assert len(comparable(tmp_path / "serial")) == 8


def test_run_bench__worker_killed__retried_then_recorded_and_others_done(
    bench: dict[str, str], tmp_path: Path, engine: str
) -> None:
    jobs = jobs_of({"sea": bench["sea"]}, "suicidal", "small", "huge")
    summary = run_bench(tmp_path / "r", jobs, engine=engine, workers=2)
    assert summary.measured == 3
    assert summary.failed == {"WorkerDiedError": 1, "OutOfMemoryError": 1}
    again = run_bench(tmp_path / "r", jobs)  # failures are kept, so that a run ends
    assert (again.measured, again.kept, sum(again.failed.values())) == (0, 3, 2)
    more = run_bench(tmp_path / "r", [job for job in jobs if "huge" in job.model], retry=True)
    assert (more.measured, more.kept) == (1, 0)


def _device(job: int, device: str) -> str:
    return device


@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
def test_run_jobs__ray_gpus__logical_ones_are_counted() -> None:
    found = dict(run_jobs(_device, [1, 2, 3], engine="ray", workers=2, devices=["cuda:0", "cuda:1"]))
    assert found == {1: "cuda", 2: "cuda", 3: "cuda"}


def test_run_jobs__bad_requests__one_clear_line() -> None:
    with pytest.raises(InputError, match="unknown engine 'rey'; did you mean 'ray'"):
        run_jobs(_device, [1], engine="rey")
    with pytest.raises(InputError, match="0 workers; expected at least 1"):
        run_jobs(_device, [1], workers=0)
    assert list(ENGINES) == ["serial", "process", "ray"]
    assert issubclass(WorkerDiedError, FennecError)


SLEEPER = """
import os, time
from pathlib import Path

from fennec.bench.engines import run_jobs

def sleep(job, device):
    Path(job).write_text(str(os.getpid()))
    time.sleep(600)

if __name__ == "__main__":
    import sleeper
    list(run_jobs(sleeper.sleep, ["pid"], engine="process"))
"""


def test_run_jobs__run_killed__leaves_no_worker_behind(tmp_path: Path) -> None:
    (tmp_path / "sleeper.py").write_text(SLEEPER)
    patience = time.monotonic() + 240
    with subprocess.Popen([sys.executable, "sleeper.py"], cwd=tmp_path) as run:
        try:
            while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
                assert time.monotonic() < patience
                time.sleep(0.05)
        finally:
            run.kill()
    status = Path("/proc") / (tmp_path / "pid").read_text() / "stat"
    while status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z":
        assert time.monotonic() < patience
        time.sleep(0.05)
