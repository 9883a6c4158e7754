"""Whatever happens while files are written, they are old or new and whole, and the next call mends what is left."""

from __future__ import annotations

import errno
import json
import os
import random
import signal
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fennec import files
from fennec.architectures.added import read_added
from fennec.bench.cells import Cell, iter_records, results_frame, write_record
from fennec.bench.run import read_tasks, run_bench
from fennec.cli import main as cli
from fennec.errors import ArtifactError, FennecError, UnwritableError
from fennec.files import (
    as_json,
    change_json,
    find_file,
    read_file,
    read_together,
    with_manifest,
    write_together,
    write_whole,
)
from fennec.forward.features import extract_features
from fennec.images.open import open_dataset
from fennec.settings import home_dir
from fennec.tasks.embedding import TaskEmbedding
from fennec.tasks.embedding_files import load_embeddings, save_embeddings
from tests.bench.conftest import jobs_of
from tests.fuzz.saved import _encoder as small_encoder

LIMITS = {"a": 10**6, "b": 10**6}
STEPS = ("write_bytes", "replace", "rename", "mkdir", "rmdir", "unlink")  # of `Path`, by which everything is written


def pair(text: str) -> dict[str, bytes]:
    return with_manifest({"a": text.encode() * 1000, "b": text.encode() * 500}, LIMITS)


def disturb(patch: pytest.MonkeyPatch, at: int, do: Callable[[], None]) -> list[int]:
    """Have something happen in the middle of the n-th step that writes; counts the steps."""
    steps = [0]
    for name in STEPS:
        real = getattr(Path, name)

        def step(self: Path, *given: Any, _real: Any = real, _name: str = name, **options: Any) -> Any:
            steps[0] += 1
            if steps[0] == at:
                if _name == "write_bytes":
                    _real(self, given[0][: len(given[0]) // 2])
                do()
            return _real(self, *given, **options)

        patch.setattr(Path, name, step)
    return steps


def full() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def child_of(work: Callable[[], object]) -> int:
    """A copy of this process that does something and ends; its number."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the copy does no more than write files
        child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    return child


def status_of(child: int) -> int:
    """Exit status, or minus the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.name.endswith((files.PARTIAL, files.NEXT)))


def begin_again() -> None:
    """As a new process would."""
    files._sweep.cache_clear()


def test_write__disk_full_at_any_step__one_line_old_or_new_and_nothing_left(tmp_path: Path) -> None:
    write_together(tmp_path, pair("old"))
    write_whole(tmp_path / "one", "old")
    lines = []
    for at in range(1, 40):
        with pytest.MonkeyPatch.context() as patch:
            steps = disturb(patch, at, full)
            try:
                write_whole(tmp_path / "one", "new")
                write_together(tmp_path, pair("new"))
            except UnwritableError as error:
                lines.append(str(error))
        contents, changed = read_together(tmp_path, LIMITS)
        assert not changed
        assert contents in ({name: pair(age)[name] for name in LIMITS} for age in ("old", "new"))
        assert (tmp_path / "one").read_text() in ("old", "new")
        if steps[0] < at:
            break
        write_together(tmp_path, pair("old"))
        write_whole(tmp_path / "one", "old")
        assert not left(tmp_path), at
    assert len(lines) > 8
    assert all("No space left on device); make room or give another place" in line for line in lines)
    assert steps[0] < at


def test_write__killed_at_any_step__old_or_new_and_the_next_call_mends(tmp_path: Path) -> None:
    (tmp_path / "others").write_text("stays")
    ages = set()
    for at in range(1, 40):
        write_together(tmp_path, pair("old"))

        def killed(at: int = at) -> None:
            with pytest.MonkeyPatch.context() as patch:
                disturb(patch, at, lambda: os.kill(os.getpid(), signal.SIGKILL))
                write_together(tmp_path, pair("new"))

        status = status_of(child_of(killed))
        contents, changed = read_together(tmp_path, LIMITS)
        assert not changed
        ages.add(contents["a"][:3])
        assert contents["b"][:3] == contents["a"][:3]
        begin_again()
        write_together(tmp_path, pair("again"))
        assert not left(tmp_path)
        assert read_together(tmp_path, LIMITS)[0]["b"] == b"again" * 500
        if status == 0:
            break
    assert at > 8
    assert ages == {b"old", b"new"}
    assert (tmp_path / "others").read_text() == "stays"


def test_everything_that_is_saved__killed_at_any_moment__whole(tmp_path: Path) -> None:
    embedding = TaskEmbedding.from_features(np.eye(9, 40), proxy="p", fingerprint="f")

    tasks = tmp_path / "tasks.json"

    def work() -> None:
        for round_ in range(10**6):
            write_together(tmp_path / "space", pair(f"{round_:09}"))
            save_embeddings(tmp_path / "tasks", {f"task {round_}": embedding})
            write_record(tmp_path / "cells", Cell("m", f"t{round_ % 50}", "p"), record(f"t{round_ % 50}"))
            change_json(tasks, lambda: {**read(tasks), str(len(read(tasks))): ""})

    before = 0
    for moment in range(12):
        child = child_of(work)
        while moment == 0 and not read(tasks):  # the first gets through a whole round
            time.sleep(0.01)
        time.sleep(0.02 + random.Random(moment).random() * 0.05)
        os.kill(child, signal.SIGKILL)
        assert status_of(child) == -signal.SIGKILL
        contents, changed = read_together(tmp_path / "space", LIMITS) if (tmp_path / "space").exists() else ({}, "")
        assert not changed
        assert not contents or contents["a"][:9] == contents["b"][:9]
        if (tmp_path / "tasks").exists():
            assert len(load_embeddings(tmp_path / "tasks")) == 1
        assert len(list(iter_records(tmp_path / "cells"))) == len(list((tmp_path / "cells").rglob("*.json")))
        assert len(read(tasks)) >= before
        before = len(read(tasks))
    assert before > 0
    begin_again()
    write_together(tmp_path / "space", pair("again"))
    save_embeddings(tmp_path / "tasks", {"task": embedding})
    write_record(tmp_path / "cells", Cell("m", "t", "p"), record("t"))
    assert not left(tmp_path / "space")


def read(path: Path) -> dict[str, str]:
    return dict(json.loads(path.read_text())) if path.exists() else {}


def record(task: str) -> dict[str, Any]:
    return {
        "model": "m", "task": task, "protocol_name": "p", "protocol": {"kind": "finetune"}, "seed": 0, "status": "done",
        "metric": "top1", "value": 0.5, "seconds": 1.0, "peak_mb": 1.0,
    }  # fmt: skip


def test_change_json__many_processes__nothing_lost(tmp_path: Path) -> None:
    path = tmp_path / "list.json"

    def work(one: int) -> None:
        for _ in range(10):
            change_json(path, lambda: {**read(path), f"{one} {len(read(path))}": ""})

    children = [child_of(partial(work, one)) for one in range(6)]
    assert [status_of(child) for child in children] == [0] * 6
    assert len(read(path)) == 60


def test_write_together__many_processes_and_a_reader__never_mixed(tmp_path: Path) -> None:
    write_together(tmp_path, pair("-1"))

    def work(one: int) -> None:
        for at in range(30):
            write_together(tmp_path, pair(f"{one} {at}"))

    children = [child_of(partial(work, one)) for one in range(3)]
    seen = set()
    while os.waitpid(children[-1], os.WNOHANG) == (0, 0):
        contents, changed = read_together(tmp_path, LIMITS)
        assert not changed
        assert len(contents["a"]) == 2 * len(contents["b"])
        seen.add(contents["a"][:4])
    assert [status_of(child) for child in children[:-1]] == [0, 0]
    assert len(seen) > 1
    assert not left(tmp_path)


def test_bench__disk_full_at_any_step_and_a_clock_that_jumps_back__nothing_lost_nothing_twice(
    bench: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = jobs_of(bench, "small")[:1]
    clock = iter(range(10**9, 0, -1000))
    monkeypatch.setattr(time, "time", lambda: float(next(clock)))
    lines = []
    for at in range(1, 30):
        with pytest.MonkeyPatch.context() as patch:
            steps = disturb(patch, at, full)
            try:
                run_bench(tmp_path / "r", jobs)
            except FennecError as error:
                lines.append(str(error))
        begin_again()
        assert not left(tmp_path / "r")
        if steps[0] < at:
            break
    summary = run_bench(tmp_path / "r", jobs)
    assert (summary.measured, summary.kept) == (0, len(jobs))
    assert len(results_frame(tmp_path / "r")) == len(jobs)
    assert read_tasks(tmp_path / "r") == {jobs[0].task: jobs[0].source}
    assert len(lines) > 4
    assert all("No space left on device" in line for line in lines)
    assert all(cell["seconds"] >= 0 for cell in iter_records(tmp_path / "r"))


def test_read_only_cache_and_home__the_work_goes_on_or_one_line(
    image_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    truth = extract_features(small_encoder(), open_dataset(image_folder), cached=False).features
    (tmp_path / "file").write_text("")
    for name in ("FENNEC_CACHE_DIR", "FENNEC_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "file" / "below"))
    found = extract_features(small_encoder(), open_dataset(image_folder), batch_size=2)
    np.testing.assert_allclose(found.features, truth, rtol=1e-5)
    assert len([text for text in caplog.messages if "features are not kept" in text]) == 1
    assert read_added() == {}
    with pytest.raises(
        UnwritableError, match=r"cannot write '.*added_models.json' \('.*file' is no folder\); give another place"
    ):
        change_json(home_dir() / "added_models.json", dict)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_main__told_to_end__status_and_nothing_half_written(
    number: int, status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["fennec", "studies", "--csv"])
    before = signal.getsignal(signal.SIGTERM)

    def studies(*_: object) -> None:
        disturb(monkeypatch, 2, lambda: os.kill(os.getpid(), number))  # while the file is written
        write_whole(tmp_path / "file", "whole")

    monkeypatch.setattr("fennec.evidence.studies.load_studies", studies)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == status
    assert capsys.readouterr().err.startswith("fennec: stopped; what was written is whole")
    assert not list(tmp_path.iterdir())
    assert signal.getsignal(signal.SIGTERM) == before


def test_read_file__pipe_device_link_folder_large__refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "device").symlink_to("/dev/zero")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "large").write_bytes(b"0" * 100)
    for name in ("pipe", "device"):
        with pytest.raises(ArtifactError, match=f"'{name}' is no regular file"):
            read_file(tmp_path / name, limit=10)
    with pytest.raises(ArtifactError, match="'large' is larger than"):
        read_file(tmp_path / "large", limit=99)
    with pytest.raises(ArtifactError, match="'device' is a link out of its folder"):
        read_file(tmp_path / "device", limit=10, inside=tmp_path)
    with pytest.raises(ArtifactError, match="'loop' is a link to itself"):
        read_file(tmp_path / "loop", limit=10, inside=tmp_path)
    assert read_file(tmp_path / "large", limit=100) == b"0" * 100
    assert find_file(tmp_path, "large") == tmp_path / "large"


def test_write_whole__device__written_to_and_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "null").symlink_to("/dev/null")
    write_whole(tmp_path / "null", "gone")
    assert [path.name for path in tmp_path.iterdir()] == ["null"]
    assert (tmp_path / "null").is_char_device()


def test_as_json__what_json_has_no_word_for__null_and_text() -> None:
    value = {
        "a": [np.nan, np.float64("inf"), 1.5],
        "b": np.array([1.0, np.nan]),
        "\udc80": "\udcff",
        "c": {1},
        "d": np.int64(3),
    }
    assert json.loads(as_json(value)) == {
        "a": [None, None, 1.5],
        "b": [1.0, None],
        "\\udc80": "\\udcff",
        "c": [1],
        "d": 3,
    }
    with pytest.raises(TypeError, match="a object is nothing for JSON"):
        as_json({"a": object()})
