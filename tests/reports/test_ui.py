"""The local page: from a dropped zip to the shortlist in a real browser, on this machine only."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fennec.errors import InputError, NothingToRecommendError
from fennec.reports import ui

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
def page_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A page that is being served."""
    log = tmp_path_factory.mktemp("page") / "log"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-W", "ignore", "-m", "fennec.cli.main", "ui", "--port", str(port), "--no-browser"]
    with log.open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    address = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 240
    while True:
        try:
            urllib.request.urlopen(address, timeout=5).close()
            break
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                pytest.fail(f"no page: {log.read_text()}")
            time.sleep(0.5)
    yield address
    process.kill()
    process.wait()


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


def test_answer__words_alone__what_it_rests_on() -> None:
    said = ui.spoken("satellite pictures of farmland", "wheat, maize", 3000)
    page, rows, rests_on = ui.answer("", None, "finetune", None, ui.ANY, 2, said)
    assert len(rows) == 2
    assert rests_on.startswith("words: nearest tasks ")
    assert "<q>satellite pictures of farmland</q>" in page
    assert ui.spoken(" ", "", None) is None
    with pytest.raises(InputError, match="belong to a description"):
        ui.spoken("", "wheat", None)
