"""The local page: from a dropped zip to the shortlist in a real browser, on this machine only."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from fennec.errors import InputError, NothingToRecommendError
from fennec.reports import ui
from fennec.reports.guard import Uploads, strange

ROOT = Path(__file__).parents[2]
PATIENCE_MS = 240_000  # other tests may have the cores

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture
def zipped(image_folder: Path, tmp_path: Path) -> Path:
    path = tmp_path / "pets.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in image_folder.rglob("*.png"):
            archive.write(file, file.relative_to(image_folder.parent))
    return path


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Address of a page that is being served, and where its files are."""
    root = tmp_path_factory.mktemp("page")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-W", "ignore", "-m", "tests.reports.served", str(port)]
    with (root / "log").open("w") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env={**os.environ, "TMPDIR": str(root)}, cwd=ROOT
        )
    address = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 240
    while True:
        try:
            urllib.request.urlopen(address, timeout=5).close()
            break
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                pytest.fail(f"no page: {(root / 'log').read_text()}")
            time.sleep(0.5)
    yield address, root
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 143
    assert not list(root.glob("fennec-page-*"))


@pytest.fixture
def page_address(served: tuple[str, Path]) -> str:
    return served[0]


def drop(page: Page, path: Path) -> None:
    """Drop a file until the page shows its name: gradio loses one that comes before its client is connected."""
    from playwright.sync_api import TimeoutError

    for _attempt in range(6):
        page.locator("input[type=file][accept='.zip']").set_input_files(str(path))
        try:
            return page.get_by_text(path.name).first.wait_for(timeout=PATIENCE_MS / 8)
        except TimeoutError:
            page.reload()
    pytest.fail(f"the page never showed {path.name}")


@pytest.mark.slow
def test_page__drop_a_zip_and_click__shortlist_and_report(page_address: str, zipped: Path, browser: Browser) -> None:
    page = browser.new_page()
    page.set_default_timeout(PATIENCE_MS)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(page_address)
    drop(page, zipped)
    page.get_by_label("At most this many million parameters").fill("30")
    page.get_by_role("button", name="Recommend").click()
    frame = page.frame_locator("iframe[title=report]")
    frame.locator("#shortlist tbody tr").first.wait_for()
    rows = frame.locator("#shortlist tbody tr")
    assert rows.count() == 10
    parameters = rows.evaluate_all("rows => rows.map(row => Number(row.cells[6].dataset.value))")
    assert max(parameters) <= 30e6
    with page.expect_download(timeout=PATIENCE_MS) as saved:
        page.get_by_role("button", name="Save the report").click()
    assert Path(saved.value.path()).read_text(encoding="utf-8").startswith("<!doctype html>")
    assert not [url for url in asked if not url.startswith((page_address, "data:", "blob:", "about:"))]
    page.close()


@pytest.mark.slow
def test_page__archive_that_escapes__refused_in_words(page_address: str, tmp_path: Path, browser: Browser) -> None:
    evil = tmp_path / "evil.zip"
    with zipfile.ZipFile(evil, "w") as archive:
        archive.writestr("../../evil.png", b"x")
    page = browser.new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.goto(page_address)
    drop(page, evil)
    page.get_by_role("button", name="Recommend").click()
    page.get_by_text("has a member outside itself").first.wait_for()
    page.close()


@pytest.mark.slow
def test_page__other_addresses_of_the_machine__refuse(page_address: str) -> None:
    port = int(page_address.rpartition(":")[2])
    others = {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)} - {"127.0.0.1"}
    for address in others:
        with socket.socket() as probe:
            probe.settimeout(2)
            assert probe.connect_ex((address, port)) != 0, address
    assert ui.ADDRESS == "127.0.0.1"


def test_answer__limits__hold_and_what_cannot_be_is_one_clear_line(
    image_folder: Path, zipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages: list[str] = []
    page, rows, data = ui.answer(str(image_folder), None, "finetune", 10, "apache-2.0", 4, None, stages.append)
    assert "<!doctype html>" in page
    taken, *notes = data.splitlines()
    assert taken == "pets: 6 pictures, 2 classes (cat 3, dog 3)"
    assert taken in page
    assert notes
    assert len(rows) == 4
    assert all(row[3] <= 10 for row in rows)
    assert stages[-1] == "ranking"
    assert len(stages) == 5
    with pytest.raises(InputError, match="give a folder or a zip of images, or say what they show"):
        ui.answer("", None, "finetune", None, ui.ANY, 4)
    with pytest.raises(InputError, match="either a folder or a zip"):
        ui.answer(str(image_folder), str(zipped), "finetune", None, ui.ANY, 4)
    with pytest.raises(NothingToRecommendError):
        ui.answer(str(image_folder), None, "finetune", 1e-6, ui.ANY, 4)
    (tmp_path / "no.zip").write_text("no archive")
    with pytest.raises(InputError, match=r"'no\.zip' is not a readable zip archive"):
        ui.answer("", str(tmp_path / "no.zip"), "finetune", None, ui.ANY, 4)
    monkeypatch.setattr(ui, "MAX_MEMBERS", 5)
    with pytest.raises(InputError, match=r"'pets\.zip' holds 6 files .* at most 5 files"):
        ui.answer("", str(zipped), "finetune", None, ui.ANY, 4)
    monkeypatch.setattr(ui, "MAX_MEMBERS", 50)
    monkeypatch.setattr(ui, "MAX_UNPACKED_MB", 0.001)
    with pytest.raises(InputError, match="give a folder instead"):
        ui.answer("", str(zipped), "finetune", None, ui.ANY, 4)


HERE = "127.0.0.1:7860"


@pytest.mark.parametrize(
    ("headers", "refused"),
    [
        ({"host": HERE}, ""),
        ({"host": "LOCALHOST:7860"}, ""),
        ({"host": HERE, "origin": f"http://{HERE}", "sec-fetch-site": "same-origin"}, ""),
        ({"host": HERE, "sec-fetch-site": "cross-site", "sec-fetch-dest": "document"}, ""),
        ({}, "Host '' is not this page"),
        ({"host": "127.0.0.1"}, "Host '127.0.0.1' is not"),
        ({"host": "127.0.0.1:7861"}, "Host '127.0.0.1:7861' is not"),
        ({"host": "evil.example:7860"}, "Host 'evil.example:7860' is not"),
        ({"host": "127.0.0.1.evil.example:7860"}, "is not this page"),
        ({"host": "evil.example:7860@127.0.0.1:7860"}, "is not this page"),
        ({"host": HERE, "origin": "http://evil.example"}, "Origin 'http://evil.example' is not"),
        ({"host": HERE, "origin": "http://127.0.0.1:8888"}, "Origin 'http://127.0.0.1:8888' is not"),
        ({"host": HERE, "origin": "null"}, "Origin 'null' is not"),
        ({"host": HERE, "origin": "http://[bad"}, "Origin"),
        ({"host": HERE, "sec-fetch-site": "cross-site"}, "another site asks"),
        ({"host": HERE, "sec-fetch-site": "same-site", "sec-fetch-dest": "iframe"}, "another site asks"),
    ],
)
@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_strange__headers__only_the_page_itself_may_ask(kind: str, headers: dict[str, str], refused: str) -> None:
    scope = {
        "type": kind, "path": "/", "method": "GET", "server": ("127.0.0.1", 7860),
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }  # fmt: skip
    found = strange(scope)
    assert found.startswith(refused) or refused in found
    assert bool(found) == bool(refused)


def test_uploads__equal_files_of_two__deleted_after_the_second(tmp_path: Path) -> None:
    path = tmp_path / "hash" / "pets.zip"
    path.parent.mkdir()
    path.write_bytes(b"")
    uploads = Uploads()
    uploads.came([str(path), str(path)])
    uploads.used(str(path))
    assert path.exists()
    uploads.used(str(path))
    assert not path.parent.exists()


def ask(
    client: httpx.Client, folder: str, upload: str | None, n: int, session: str | None = None
) -> list[object] | str:
    """What the page answers, or its error."""
    file = None if upload is None else {"path": upload, "meta": {"_type": "gradio.FileData"}}
    body = {
        "data": [folder, file, "", "", None, "finetune", 0, "any", n],
        "session_hash": session or os.urandom(6).hex(),
    }
    sent = client.post("/gradio_api/call/clicked", json=body).json()
    lines = client.get(f"/gradio_api/call/clicked/{sent['event_id']}").text.splitlines()
    data = json.loads(lines[-2].removeprefix("data: ") if lines[-1] == "" else lines[-1].removeprefix("data: "))
    return data["error"] if isinstance(data, dict) else data  # type: ignore[no-any-return]


@pytest.mark.slow
def test_page__twenty_at_once_strangers_and_files__own_answers_refusals_and_nothing_left(
    served: tuple[str, Path], tmp_path: Path
) -> None:
    page_address, root = served
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.png", b"x")
    with httpx.Client(base_url=page_address, timeout=60) as client:

        def one(number: int) -> tuple[object, object]:
            if number % 2:
                return ask(client, f"quick {number}", None, number + 1), f"quick {number} {number + 1}"
            files = {"files": ("quick.zip", buffer.getvalue())}  # equal ones
            (path,) = client.post("/gradio_api/upload", files=files).json()
            return ask(client, "", path, number + 1), f"quick.zipPK {number + 1}"

        with ThreadPoolExecutor(20) as pool:
            for answer, expected in pool.map(one, range(20)):
                assert isinstance(answer, list), answer
                assert answer[0] == expected
                assert str(expected).rpartition(" ")[0] in answer[3]
        assert not list(root.rglob("quick.zip"))
        assert ask(client, "quick bad", None, 1) == "&lt;img src=x onerror=alert(1)&gt;"
        (tmp_path / "own.zip").write_bytes(b"PK")
        assert not isinstance(ask(client, "", str(tmp_path / "own.zip"), 1), list)
        assert (tmp_path / "own.zip").exists()
        for path in (tmp_path / "own.zip", Path(ui.__file__), Path("/etc/hostname"), Path("pyproject.toml")):
            assert client.get(f"/gradio_api/file={path}").status_code == 403, path
        for headers in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
            for request in (client.get, client.post):
                assert request("/gradio_api/upload", headers=headers).status_code == 403
        with ThreadPoolExecutor(1) as pool:
            slow = pool.submit(ask, client, "quick slow", None, 1, "one session")
            time.sleep(0.5)
            client.post("/gradio_api/call/stop", json={"data": [], "session_hash": "one session"})
            assert slow.result(30) == "stopped"
        assert client.get("/").headers["content-security-policy"] == "frame-ancestors 'none'"


def test_answer__words_alone__what_it_rests_on() -> None:
    said = ui.spoken("satellite pictures of farmland", "wheat, maize", 3000)
    page, rows, rests_on = ui.answer("", None, "finetune", None, ui.ANY, 2, said)
    assert len(rows) == 2
    assert rests_on.startswith("words: nearest tasks ")
    assert "<q>satellite pictures of farmland</q>" in page
    assert ui.spoken(" ", "", None) is None
    with pytest.raises(InputError, match="belong to a description"):
        ui.spoken("", "wheat", None)
