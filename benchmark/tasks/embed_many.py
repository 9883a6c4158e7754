"""`fennec embed` on many pictures: rate, memory, and what an interruption costs.

    python benchmark/tasks/embed_many.py [--sizes 1000 10000 100000] [--folder FOLDER]

Writes `embed_many.csv` (layout, n_images, seconds, images_per_second, mb, same): a folder of JPEG files, and tars of
1,000 pictures with their classes beside them (WebDataset), both of 160 x 120 and ten classes; mb is the peak resident
memory of the command. `killed` is the folder again, killed half-way and called once more: seconds are those of both
calls. `same` says whether the embedding equals that of the folder in one go, to 1e-5 of its largest value. Pictures
stay in --folder, and rows in the file are kept: a run can be interrupted.
"""

from __future__ import annotations

import argparse
import io
import os
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from safetensors.numpy import load_file

RESULTS = Path(__file__).parents[1] / "results"
N_CLASSES, SHARD = 10, 1_000
LAYOUTS = ("folder", "tars", "killed")
COMPARED = ("mean", "covariance", "class_counts", "class_means")


def picture(number: int) -> bytes:
    """A JPEG file of 160 x 120 that no other number gives."""
    generator = np.random.default_rng(number)
    coarse = Image.fromarray(generator.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize((160, 120))
    fine = Image.fromarray(generator.integers(0, 256, (60, 80, 3), dtype=np.uint8)).resize((160, 120))
    content = io.BytesIO()
    Image.blend(coarse, fine, 0.25).save(content, "jpeg", quality=90)
    return content.getvalue()


def make(folder: Path, size: int) -> dict[str, Path]:
    """The pictures in both layouts."""
    places = {"folder": folder / f"{size}-files", "tars": folder / f"{size}-tars"}
    if (folder / f"{size}-made").exists():
        return places
    for label in range(N_CLASSES):
        (places["folder"] / f"class{label}").mkdir(parents=True, exist_ok=True)
    places["tars"].mkdir(exist_ok=True)
    with ThreadPoolExecutor() as pool:
        for start in range(0, size, SHARD):
            numbers = range(start, min(start + SHARD, size))
            with tarfile.open(places["tars"] / f"{start // SHARD:05d}.tar", "w") as tar:
                for number, content in zip(numbers, pool.map(picture, numbers), strict=True):
                    label = number % N_CLASSES
                    (places["folder"] / f"class{label}" / f"{number:08d}.jpg").write_bytes(content)
                    for name, part in ((f"{number:08d}.jpg", content), (f"{number:08d}.cls", f"{label}".encode())):
                        member = tarfile.TarInfo(name)
                        member.size = len(part)
                        tar.addfile(member, io.BytesIO(part))
    (folder / f"{size}-made").touch()
    return places


def embed(place: Path, size: int, target: Path, *, kill_after: float = 0.0) -> tuple[float, float]:
    """Seconds and peak MB of the command, which may be killed after some seconds."""
    command = [sys.executable, "-m", "fennec.cli.main", "embed", str(place), "-o", str(target), "-q",
               "--max-images", str(size)]  # fmt: skip
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    if kill_after:
        time.sleep(kill_after)
        process.send_signal(signal.SIGKILL)
    _, status, used = os.wait4(process.pid, 0)
    if status and not kill_after:
        raise RuntimeError(f"{command} ended with {status}")
    return time.perf_counter() - start, used.ru_maxrss / 1024


def equal(one: Path, two: Path) -> bool:
    """Whether two embeddings say the same, whatever the names of the classes."""
    first, second = ({name.rpartition("/")[2]: part for name, part in load_file(file).items()} for file in (one, two))
    return all(np.abs(first[name] - second[name]).max() <= 1e-5 * np.abs(first[name]).max() for name in COMPARED)


def main() -> None:
    """Measure what is missing, small sizes first, and write after each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "fennec-embed-many")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    target = RESULTS / "embed_many.csv"
    rows = pd.read_csv(target).to_dict("records") if target.exists() else []
    done = {(row["layout"], row["n_images"]): row["seconds"] for row in rows}
    for size in arguments.sizes:
        for layout in LAYOUTS:
            if (layout, size) in done:
                continue
            places = make(arguments.folder, size)
            made = arguments.folder / f"{size}-{layout}.safetensors"
            made.unlink(missing_ok=True)
            first = 0.0
            if layout == "killed":
                first, _ = embed(places["folder"], size, made, kill_after=done["folder", size] / 2)
            seconds, mb = embed(places.get(layout, places["folder"]), size, made)
            same = equal(arguments.folder / f"{size}-folder.safetensors", made)
            rows.append({"layout": layout, "n_images": size, "seconds": first + seconds,
                         "images_per_second": size / (first + seconds), "mb": mb, "same": same})  # fmt: skip
            done[layout, size] = first + seconds
            pd.DataFrame(rows).round(3).to_csv(target, index=False)
            print(rows[-1], flush=True)


if __name__ == "__main__":
    main()
