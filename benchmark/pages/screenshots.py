"""Pictures of the report and of both pages for the documentation, from a headless Chromium.

    python benchmark/pages/screenshots.py sklearn:digits

Writes `docs/screenshots/*.png` (report at desktop and phone width, light and dark, how far studies
agree, and the local page after an answer).
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

TARGET = Path(__file__).parents[2] / "docs" / "screenshots"
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
         "--disable-sync"]  # fmt: skip
PORT = 7987


def shoot(page: Page, name: str, height: int) -> None:
    """The upper part of a page, in few colours so that the file is small."""
    page.wait_for_timeout(2_000)
    path = TARGET / f"{name}.png"
    width = page.viewport_size["width"]
    page.screenshot(path=path, clip={"x": 0, "y": 0, "width": width, "height": height}, full_page=True)
    Image.open(path).convert("P", palette=Image.Palette.ADAPTIVE, colors=128).save(path, optimize=True)


def serve() -> subprocess.Popen:
    """The local page."""
    process = subprocess.Popen([sys.executable, "-m", "fennec.cli.main", "ui", "--port", str(PORT), "--no-browser"])
    for _ in range(120):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{PORT}", timeout=2).close()
        except OSError:
            time.sleep(0.5)
        else:
            return process
    raise SystemExit("the page did not start")


def main() -> None:
    """Make the report, draw it, use the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset")
    dataset = parser.parse_args().dataset
    TARGET.mkdir(parents=True, exist_ok=True)
    report = Path(tempfile.mkdtemp()) / "report.html"
    leaderboard = report.with_name("leaderboard.html")
    subprocess.run([sys.executable, "-m", "fennec.cli.main", "evidence", "html", str(leaderboard)], check=True)
    subprocess.run([sys.executable, "-m", "fennec.cli.main", "recommend", dataset, "--html", str(report)], check=True)
    served = serve()
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=QUIET)
            for name, width, height, scheme in (("report", 1100, 1500, "light"), ("report_phone", 390, 1000, "dark")):
                page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
                page.goto(report.as_uri())
                shoot(page, name, height)
            page = browser.new_page(viewport={"width": 1100, "height": 900})
            page.goto(f"{leaderboard.as_uri()}#agreement")
            shoot(page, "leaderboard", 1150)
            page = browser.new_page(viewport={"width": 1100, "height": 900})
            page.goto(f"http://127.0.0.1:{PORT}")
            page.get_by_label("Folder of images").fill(dataset)
            page.get_by_role("button", name="Recommend").click()
            page.frame_locator("iframe[title=report]").locator("#shortlist").wait_for(timeout=120_000)
            shoot(page, "ui", 1100)
            browser.close()
    finally:
        served.kill()


if __name__ == "__main__":
    main()
