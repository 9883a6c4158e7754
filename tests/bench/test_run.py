"""Measuring cells: every engine gives the same, nothing is lost or counted twice, failures are part of the record."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from fennec.bench.cells import Cell, iter_records, measured_matrix, read_record, results_frame, write_record
from fennec.bench.engines import ENGINES, WorkerDiedError, run_jobs
from fennec.bench.protocols import Protocol
from fennec.bench.run import Job, make_jobs, measure_cell, read_tasks, run_bench
from fennec.cli.main import app
from fennec.errors import FennecError, InputError
from fennec.images.task_images import open_task

NETWORKS = """
import os, signal, time
import numpy as np
import torch
from torch import nn
from fennec.checkpoints.encoders import Encoder

def _encoder(name, width):
    with torch.random.fork_rng():
        torch.manual_seed(width)
        network = nn.Sequential(nn.Conv2d(3, width, 3, stride=2), nn.BatchNorm2d(width), nn.ReLU(),
                                nn.AdaptiveAvgPool2d(1), nn.Flatten())
    def transform(image):
        return torch.from_numpy(np.asarray(image.resize((8, 8)), dtype=np.float32).transpose(2, 0, 1) / 255)
    return Encoder(name, network, transform, preprocessing={"side": 8}, device="cpu")

def small():
    return _encoder("small", 8)

def wide():
    return _encoder("wide", 16)

def slow():
    time.sleep(1.0)
    return _encoder("slow", 4)

class Huge(nn.Module):
    def forward(self, batch):
        raise torch.OutOfMemoryError("tried to allocate 900 GiB")

def huge():
    return Huge()

def suicidal():
    os.kill(os.getpid(), signal.SIGKILL)

def plain():
    return nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(48, 5))
"""
QUICK = Protocol(n_train=40, n_test=20, epochs=4, batch_size=8, learning_rates=(3e-2, 3e-3), weight_decays=(0.0, 0.1))
PROBE = Protocol("linear_probe", n_train=40, n_test=20)


def coloured(folder: Path, colours: dict[str, tuple[int, int, int]], n: int, *, seed: int = 0) -> Path:
    """A folder of noisy pictures, each class in its own colour."""
    generator = np.random.default_rng(seed)
    for name, colour in colours.items():
        (folder / name).mkdir(parents=True)
        for index in range(n):
            noise = generator.integers(-60, 60, (12, 12, 3))
            pixels = np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{index}.png")
    return folder


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with own networks, `benchnets:NAME`, that this process and those that it starts import from."""
    folder = tmp_path_factory.mktemp("networks")
    (folder / "benchnets.py").write_text(NETWORKS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(folder))
        patch.syspath_prepend(folder)
        yield folder
    sys.modules.pop("benchnets", None)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, networks: Path) -> dict[str, str]:
    """Two easy tasks."""
    monkeypatch.chdir(tmp_path)
    coloured(tmp_path / "fruit", {"lemon": (220, 200, 60), "plum": (120, 40, 120)}, 25)
    coloured(tmp_path / "sea", {"deep": (20, 40, 90), "foam": (210, 220, 230), "weed": (40, 110, 60)}, 15, seed=1)
    return {"fruit": str(tmp_path / "fruit"), "sea": str(tmp_path / "sea")}


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


def jobs_of(bench: dict[str, str], *names: str, protocol: Protocol = PROBE) -> list[Job]:
    return make_jobs([f"benchnets:{name}" for name in names], bench, [protocol])


def comparable(folder: Path) -> dict[str, dict[str, object]]:
    """Records without what differs between runs: time, memory, device."""
    return {
        f"{record['model']} {record['task']} {record['protocol_name']} {record['seed']}": {
            key: value for key, value in record.items() if key not in ("seconds", "peak_mb", "device")
        }
        for record in iter_records(folder)
    }


@pytest.mark.parametrize("protocol", [QUICK, PROBE], ids=lambda protocol: protocol.kind)
def test_measure_cell__easy_task__solved_and_recorded(bench: dict[str, str], protocol: Protocol) -> None:
    (job,) = jobs_of({"fruit": bench["fruit"]}, "small", protocol=protocol)
    record = measure_cell(job, "cpu")
    assert record["status"] == "done", record
    assert record["value"] >= 0.9
    assert record["metric"] == "top1"
    assert (record["n_train"], record["n_test"], record["n_classes"]) == (40, 10, 2)
    assert len(record["grid"]) == 4
    best = max(point["accuracy"] for point in record["grid"])
    assert next(point for point in record["grid"] if record["chosen"].items() <= point.items())["accuracy"] == best
    assert len(record["curve"]) == (4 if protocol is QUICK else 0)
    assert record["seconds"] > 0
    assert record["peak_mb"] > 10
    assert len(record["weights"]) == 32
    assert {"python", "torch", "timm"} <= set(record["versions"])
    json.dumps(record)


def test_measure__finetune__training_helps_and_weights_are_put_back(bench: dict[str, str]) -> None:
    from fennec.bench.protocols import measure
    from fennec.checkpoints.encoders import Encoder

    encoder = Encoder.load("benchnets:small", device="cpu")
    before = encoder.fingerprint
    images = open_task(bench["sea"], n_train=40)
    first = measure(encoder, images, QUICK)
    assert first["curve"][-1] < first["curve"][0]
    from fennec.tasks.proxy import fingerprint

    assert fingerprint(encoder.model, encoder.preprocessing) == before
    state = torch.random.get_rng_state()
    assert measure(encoder, images, QUICK) == first
    assert torch.equal(torch.random.get_rng_state(), state)
    assert not encoder.model.training


def test_load__plain_module_of_ones_own__default_preprocessing(bench: dict[str, str]) -> None:
    record = measure_cell(jobs_of({"fruit": bench["fruit"]}, "plain")[0], "cpu")
    assert record["status"] == "done", record
    assert record["value"] >= 0.9


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


@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
def test_run_jobs__ray_gpus__logical_ones_are_counted() -> None:
    found = dict(run_jobs(_device, [1, 2, 3], engine="ray", workers=2, devices=["cuda:0", "cuda:1"]))
    assert found == {1: "cuda", 2: "cuda", 3: "cuda"}


def _device(job: int, device: str) -> str:
    return device


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


@pytest.mark.slow
def test_bench__two_runs_in_one_folder__every_cell_measured_once(bench: dict[str, str]) -> None:
    options = ("--models", "benchnets:slow,benchnets:small,benchnets:wide", "--engine", "serial", "--json")
    runs = [start(bench, *options) for _ in range(2)]
    summaries = [json.loads(run.communicate(timeout=240)[0]) for run in runs]
    assert sum(summary["measured"] for summary in summaries) == 6
    assert not any(summary["failed"] for summary in summaries)
    assert len(results_frame("r")) == 6


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


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "tune"}, "unknown protocol 'tune'; there are finetune, linear_probe"),
        ({"epochs": 0}, "epochs is 0; expected at least 1"),
        ({"learning_rates": ()}, "no learning_rates"),
    ],
)
def test_protocol__bad_values__one_clear_line(change: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Protocol(**change)  # type: ignore[arg-type]


def test_run_bench__other_dataset_under_a_known_name__refused(bench: dict[str, str], tmp_path: Path) -> None:
    run_bench(tmp_path / "r", jobs_of({"fruit": bench["fruit"]}, "small"))
    with pytest.raises(InputError, match="task 'fruit' of .* is .*fruit', not .*sea'; use another name"):
        run_bench(tmp_path / "r", jobs_of({"fruit": bench["sea"]}, "small"))
    assert read_tasks(tmp_path / "r") == {"fruit": bench["fruit"]}


def test_run_bench__failures__class_and_message_in_the_record(bench: dict[str, str], tmp_path: Path) -> None:
    alone = coloured(tmp_path / "alone", {"only": (1, 2, 3)}, 10)
    summary = run_bench(tmp_path / "r", make_jobs(["benchnets:small"], {"alone": str(alone)}, [PROBE]))
    assert summary.failed == {"InputError": 1}
    (record,) = iter_records(tmp_path / "r")
    assert (record["status"], record["error"]) == ("failed", "InputError")
    assert "has one class" in record["message"]
    with pytest.raises(InputError, match="holds no results"):
        results_frame(tmp_path / "r")


def test_run_jobs__bad_requests__one_clear_line() -> None:
    with pytest.raises(InputError, match="unknown engine 'rey'; did you mean 'ray'"):
        run_jobs(_device, [1], engine="rey")
    with pytest.raises(InputError, match="0 workers; expected at least 1"):
        run_jobs(_device, [1], workers=0)
    assert list(ENGINES) == ["serial", "process", "ray"]
    assert issubclass(WorkerDiedError, FennecError)


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


def test_cli__bench_then_fit_then_recommend__ones_own_history(bench: dict[str, str], tmp_path: Path) -> None:
    third = coloured(tmp_path / "sky", {"dawn": (240, 180, 120), "night": (20, 20, 60)}, 20, seed=2)
    runner = CliRunner()
    tasks = [option for name, source in {**bench, "sky": third}.items() for option in ("--task", f"{name}={source}")]
    options = ["--protocol", "linear_probe", "--n-train", "40", "--engine", "serial", "--device", "cpu"]
    done = runner.invoke(app, ["bench", "own", "--models", "benchnets:small,benchnets:wide", *tasks, *options])
    assert done.exit_code == 0, done.output
    assert "6 cells: 6 measured now" in done.output
    again = runner.invoke(app, ["bench", "own", "--models", "benchnets:small", *tasks, *options, "-q"])
    assert again.output == "3 cells: 0 measured now, 3 there before, 0 held by another run, 0 failed\n"
    fitted = runner.invoke(app, ["fit", "space", "--results", "own"])
    assert fitted.exit_code == 0, fitted.output
    ranked = runner.invoke(app, ["recommend", bench["sea"], "--space", "space", "--json"])
    assert ranked.exit_code == 0, ranked.output
    found = json.loads(ranked.stdout)
    assert {model["model"] for model in found["models"]} == {"benchnets:small", "benchnets:wide"}
    assert found["nearest_tasks"][0]["task"] == "sea"
    wrong = runner.invoke(app, ["bench", "own", "--models", "a", "--task", "nothing", *options])
    assert isinstance(wrong.exception, InputError)
    assert "expects NAME=DATASET" in str(wrong.exception)
