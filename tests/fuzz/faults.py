"""Real faults while commands work: `python -m tests.fuzz.faults [--moments 3]`, in a few minutes.

In: five commands that write (`embed`, `fit`, `score` with its cache, `bench`, `search`), each undisturbed once, then
killed (SIGKILL) at moments spread over its time, on a file system with no room, in a folder that is mounted
read-only, twice at once, and with a clock that jumps back. Out: of each command and fault how often one clear line or
the same signal came, and how often the same command run again ended as if nothing had been;
`benchmark/results/faults.csv`. Faults that need a mount are left out where nobody may mount.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from .kept import keep

RESULTS = Path(__file__).parents[2] / "benchmark" / "results" / "faults.csv"
MINE = """
import torch
from torch import nn
def small():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 8, 8), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten())
def wide():
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(3, 16, 8, 8), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten())
"""
JUMPS = """
import itertools, time
real, calls = time.time, itertools.count()
time.time = lambda: real() - 3600 * (next(calls) % 2)
"""
PROBE = ("--protocol", "linear_probe", "--n-train", "40", "--engine", "serial", "--device", "cpu")
COMMANDS: dict[str, tuple[str, ...]] = {
    "embed": ("embed", "photos", "-o", "out/task.safetensors"),
    "fit": ("fit", "out/space", "--results", "ours.csv", "--no-catalog"),
    "score": ("score", "photos", "--models", "mine:small,mine:wide", "--metric", "ncc", "--json", "--device", "cpu"),
    "bench": ("bench", "out/own", "--models", "mine:small,mine:wide", "--task", "a=photos", *PROBE),
    "search": ("search", "photos", "--budget", "2 models", "--space", "ours", "--out", "out/found", *PROBE),
}
ROOM = 40_000  # bytes of the small file system


def place(folder: Path) -> None:
    """What the commands read, and where they write: `out`, cache and home below it."""
    rng = np.random.default_rng(0)
    for label, shade in (("day", 200), ("night", 60)):
        (folder / "photos" / label).mkdir(parents=True)
        for number in range(20):
            pixels = rng.integers(shade - 50, shade + 50, (40, 40, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / "photos" / label / f"{number}.png")
    (folder / "mine.py").write_text(MINE)
    (folder / "clock").mkdir()
    (folder / "clock" / "sitecustomize.py").write_text(JUMPS)
    rows = ["mine:small,dtd,0.5", "mine:wide,dtd,0.6", "mine:small,pets,0.7", "mine:wide,pets,0.6"]
    (folder / "ours.csv").write_text("\n".join(["model,task,value", *rows]))
    (folder / "out").mkdir()


def begin(folder: Path, name: str, *, clock: bool = False) -> subprocess.Popen[str]:
    """A command as a process of its own."""
    paths = [str(folder / "clock")] * clock + [str(Path(__file__).parents[2])]
    environment = {
        **os.environ, "HF_HUB_OFFLINE": "1", "FENNEC_DEVICE": "cpu", "FENNEC_CACHE_DIR": str(folder / "out" / "cache"),
        "FENNEC_HOME": str(folder / "out" / "home"), "PYTHONPATH": os.pathsep.join(paths),
    }  # fmt: skip
    line = [sys.executable, "-m", "fennec.cli.main", *COMMANDS[name]]
    return subprocess.Popen(line, cwd=folder, env=environment, stdout=-1, stderr=-1, text=True)


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Status and both outputs."""
    out, error = process.communicate(timeout=300)
    return process.returncode, out, error


def state(folder: Path, name: str, out: str) -> Any:
    """What there is after a command, without what differs from run to run; empty where something is half-written."""
    written = folder / "out"
    if [path for path in written.rglob("*") if path.name.endswith((".part", ".next"))]:
        return None
    if name == "embed":
        from fennec.tasks.embedding_files import load_embeddings

        return [each.mean.tolist() for each in load_embeddings(written / "task.safetensors").values()]
    if name == "fit":
        from fennec.space.recommender import Recommender

        return [(model.id, model.score) for model in Recommender.load(written / "space").recommend(None, n=2).models]
    if name == "score":
        return [(model["model"], model["score"]) for model in json.loads(out)["models"]]
    records = [json.loads(path.read_text()) for path in sorted((written).rglob("linear_probe-*/**/*.json"))]
    if name == "search":  # which of equals it tries depends on the time
        return max(record["value"] for record in records)
    return sorted((record["model"], record["status"], record.get("value")) for record in records)


def clear(status: int, error: str) -> bool:
    """Whether a failure was told in one line that is ours."""
    last = (error.strip().splitlines() or [""])[-1]
    return status in (1, 2) and last.startswith("fennec: ") and "unexpected" not in error and len(last) < 500


@contextlib.contextmanager
def mounted(folder: Path, *options: str) -> Iterator[bool]:
    """Another file system at `out`; whether there may be one."""
    done = subprocess.run(["mount", *options, str(folder / "out")], capture_output=True, check=False)
    try:
        yield done.returncode == 0
    finally:
        if done.returncode == 0:
            subprocess.run(["umount", "-l", str(folder / "out")], check=True)


class Faults:
    """Faults of one command, each in a fresh place."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.folder, self.number = name, folder, 0
        start = time.perf_counter()
        fresh = self.fresh()
        status, out, error = ended(begin(fresh, name))
        if status:
            raise RuntimeError(f"{name} undisturbed: {error[-500:]}")
        self.seconds, self.truth = time.perf_counter() - start, state(fresh, name, out)

    def fresh(self) -> Path:
        """A place where nothing was written yet."""
        self.number += 1
        folder = self.folder / f"{self.name}{self.number}"
        place(folder)
        if self.name == "search":
            shutil.copytree(self.folder / "space", folder / "ours")
        return folder

    def mends(self, folder: Path) -> bool:
        """Whether the same command, run again, ends as if nothing had been."""
        status, out, error = ended(begin(folder, self.name))
        same = status == 0 and state(folder, self.name, out) == self.truth
        if not same:
            print(f"  {self.name}: run again: {status} {error[-400:]}", file=sys.stderr)
        return same

    def killed(self, moments: int) -> tuple[int, int, int]:
        """Tried, ended by the signal or before it, and mended."""
        tried = mended = 0
        for moment in range(moments):
            folder = self.fresh()
            process = begin(folder, self.name)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(self.seconds * (0.35 + 0.6 * moment / max(moments - 1, 1)))
            process.kill()
            process.communicate()
            tried, mended = tried + 1, mended + self.mends(folder)
        return tried, tried, mended

    def without_room(self) -> tuple[int, int, int]:
        """On a file system of some kilobytes."""
        folder = self.fresh()
        with mounted(folder, "-t", "tmpfs", "-o", f"size={ROOM}", "tmpfs") as there:
            if not there:
                return 0, 0, 0
            ballast = folder / "out" / "ballast"
            with contextlib.suppress(OSError):
                ballast.write_bytes(bytes(10 * ROOM))
            status, out, error = ended(begin(folder, self.name))
            fine = clear(status, error) or (status == 0 and self.name == "score" and "not kept" in error + out)
            if not fine:
                print(f"  {self.name}: full: {status} {error[-400:]}", file=sys.stderr)
            ballast.unlink()
            subprocess.run(["mount", "-o", "remount,size=60M", str(folder / "out")], check=True)
            return 1, int(fine), int(self.mends(folder))

    def read_only(self) -> tuple[int, int, int]:
        """In a folder that nobody may write to, not even root."""
        folder = self.fresh()
        with mounted(folder, "-t", "tmpfs", "-o", "ro", "tmpfs") as there:
            if not there:
                return 0, 0, 0
            status, _, error = ended(begin(folder, self.name))
            fine = clear(status, error) or (status == 0 and self.name == "score")
            if not fine:
                print(f"  {self.name}: read-only: {status} {error[-400:]}", file=sys.stderr)
        return 1, int(fine), int(self.mends(folder))

    def twice(self) -> tuple[int, int, int]:
        """Two at once on one folder."""
        folder = self.fresh()
        found = [ended(process) for process in [begin(folder, self.name) for _ in range(2)]]
        fine = all(status == 0 or clear(status, error) for status, _, error in found)
        if not fine:
            print(f"  {self.name}: twice: {[(status, error[-300:]) for status, _, error in found]}", file=sys.stderr)
        return 1, int(fine), int(self.mends(folder))

    def clock(self) -> tuple[int, int, int]:
        """With a clock that jumps back by an hour again and again."""
        folder = self.fresh()
        status, out, error = ended(begin(folder, self.name, clock=True))
        same = status == 0 and state(folder, self.name, out) == self.truth
        if not same:
            print(f"  {self.name}: clock: {status} {error[-400:]}", file=sys.stderr)
        return 1, int(same), int(self.mends(folder))


def main() -> None:
    """Parse, try, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--moments", type=int, default=3, help="at which a command is killed")
    parser.add_argument("--command", choices=list(COMMANDS), action="append", help="all by default")
    asked = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for command in asked.command or COMMANDS:
            if command == "search":
                place(folder / "first")
                ended(begin(folder / "first", "fit"))
                (folder / "first" / "out" / "space").rename(folder / "space")
            faults = Faults(command, folder)
            for what, found in (
                ("killed", faults.killed(asked.moments)),
                ("no room", faults.without_room()),
                ("read-only", faults.read_only()),
                ("two at once", faults.twice()),
                ("clock jumps back", faults.clock()),
            ):
                rows.append((command, what, *found))
                print(rows[-1], flush=True)
    frame = pd.DataFrame(rows, columns=["command", "fault", "tried", "clear", "mended"])
    keep(frame, RESULTS)
    sys.exit(int((frame[["clear", "mended"]].lt(frame["tried"], axis=0)).to_numpy().any()))


if __name__ == "__main__":
    main()
