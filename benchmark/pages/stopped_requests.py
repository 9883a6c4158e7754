"""What requests leave behind in `fennec ui`: memory, threads and files, after answers and after stopped requests.

    python benchmark/pages/stopped_requests.py

Writes `stopped_requests.csv` (after, requests, stopped, mb, threads, files): resident memory and threads of the page's
process and files in its folder, after twenty requests for a zip of 1,000 generated pictures of 320 x 240 have been
answered in turn, after as many that are stopped a tenth of a second after they were sent, and after as many answers
again. Every request is a browser of its own.
"""

from __future__ import annotations

import io
import os
import socket
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import httpx
import numpy as np
import pandas as pd
import psutil
from PIL import Image

RESULTS = Path(__file__).parents[1] / "results"
N_PICTURES, N_REQUESTS, PATIENCE_S, STOP_S = 1_000, 20, 120, 0.1


def zipped() -> bytes:
    """Pictures of two classes."""
    generator, found = np.random.default_rng(0), io.BytesIO()
    with zipfile.ZipFile(found, "w") as archive:
        for number in range(N_PICTURES):
            pixels = generator.integers(0, 256, (12, 16, 3), dtype=np.uint8)
            content = io.BytesIO()
            Image.fromarray(pixels).resize((320, 240)).save(content, "jpeg")
            archive.writestr(f"{'ab'[number % 2]}/{number}.jpg", content.getvalue())
    return found.getvalue()


def ask(client: httpx.Client, content: bytes, *, stop_after: float | None) -> bool:
    """What a browser does that opens the page, sends a zip, and is closed; whether a shortlist came back.

    Args:
        client: to the page.
        content: of the zip.
        stop_after: seconds after which the request is stopped, None to wait for the answer.
    """
    session = os.urandom(6).hex()
    with client.stream("GET", f"/gradio_api/heartbeat/{session}"):  # the page knows by it that somebody is there
        (path,) = client.post("/gradio_api/upload", files={"files": ("pictures.zip", content)}).json()
        file = {"path": path, "meta": {"_type": "gradio.FileData"}}
        data = ["", file, "", "", None, "finetune", 0, "any", 10]
        sent = client.post("/gradio_api/call/clicked", json={"data": data, "session_hash": session}).json()
        if stop_after is not None:
            time.sleep(stop_after)
            client.post("/gradio_api/call/stop", json={"data": [], "session_hash": session})
        return "event: error" not in client.get(f"/gradio_api/call/clicked/{sent['event_id']}").text


def left(process: psutil.Process, folder: Path) -> tuple[float, int, int]:
    """Megabytes, threads, files, once the page has had a moment."""
    time.sleep(1)
    return process.memory_info().rss / 2**20, process.num_threads(), sum(each.is_file() for each in folder.rglob("*"))


def main() -> None:
    """Serve, ask, and write."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    rows, content = [], zipped()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "fennec.cli.main", "ui", "--port", str(port), "--no-browser"]
        server = subprocess.Popen(command, env=os.environ | {"TMPDIR": folder}, stdout=subprocess.DEVNULL)
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE_S) as client:
                for _ in range(PATIENCE_S):
                    try:
                        client.get("/")
                        break
                    except httpx.TransportError:
                        time.sleep(1)
                process = psutil.Process(server.pid)
                rows.append(("start", 0, 0, *left(process, Path(folder))))
                for what, after in (("answers", None), ("stopped", STOP_S), ("answers again", None)):
                    answered = [ask(client, content, stop_after=after) for _ in range(N_REQUESTS)]
                    stopped = len(answered) - sum(answered)
                    rows.append((what, N_REQUESTS, stopped, *left(process, Path(folder))))
                    print(rows[-1], flush=True)
        finally:
            server.terminate()
            server.wait()
    columns = ["after", "requests", "stopped", "mb", "threads", "files"]
    pd.DataFrame(rows, columns=columns).round(1).to_csv(RESULTS / "stopped_requests.csv", index=False)


if __name__ == "__main__":
    main()
