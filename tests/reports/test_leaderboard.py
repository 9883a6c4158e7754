"""The page of all results: one small file, complete, names as text, and working in a real headless browser."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from fennec.evidence.export import evidence_table
from fennec.reports import leaderboard
from fennec.reports.leaderboard import leaderboard_html

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

HOSTILE = "</script><img src=x onerror=\"document.title='taken'\"><b>net"


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page, with one name that tries to be markup."""
    frame = evidence_table()
    frame.loc[frame["weights"] == "torchvision:alexnet.IMAGENET1K_V1", "weights"] = HOSTILE
    target = tmp_path_factory.mktemp("leaderboard") / "all.html"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(leaderboard, "evidence_table", lambda: frame)
        target.write_text(leaderboard_html(command="fennec evidence html <i>all.html"), encoding="utf-8")
    return target


def data_of(page_file: Path) -> dict[str, Any]:
    text = page_file.read_text(encoding="utf-8")
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def test_page__one_file__small_no_other_and_only_its_own_script(page_file: Path) -> None:
    text = page_file.read_text(encoding="utf-8")
    assert len(text.encode()) < 3e6
    assert not re.search(r"(src|href)=\"(?!data:)", text)
    assert "@import" not in text
    assert "innerHTML" not in text
    assert "<img" not in text
    assert "&lt;i&gt;all.html" in text
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    assert f"script-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'")
    assert not re.search(r"\son\w+=", re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL))


def test_page__data__every_result_of_the_evidence(page_file: Path) -> None:
    data, frame = data_of(page_file), evidence_table()
    assert sum(len(column[5]) for column in data["columns"]) == len(frame)
    rows = []
    for study, task, protocol, metric, budget, positions, values in data["columns"]:
        assert values == sorted(values, reverse=True)
        names = (data["models"][position][0] for position in positions)
        column = (data["studies"][study]["name"], data["tasks"][task][0], protocol, metric, budget)
        rows += [(name, *column, value / 10_000) for name, value in zip(names, values, strict=True)]
    key = ["weights", "study", "task", "protocol", "metric", "budget"]
    found = pd.DataFrame(rows, columns=[*key, "value"])
    found["weights"] = found["weights"].replace(HOSTILE, "torchvision:alexnet.IMAGENET1K_V1")
    both = frame.merge(found, on=key, suffixes=("", "_shown"), validate="one_to_one")
    assert len(both) == len(frame)
    assert (both["value"] - both["value_shown"]).abs().max() <= 0.5e-4 + 1e-12
    assert {study["name"]: study["results"] for study in data["studies"]} == frame["study"].value_counts().to_dict()


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_page__in_a_browser__every_tab_without_an_error_and_within_its_width(
    page_file: Path, width: int, scheme: str, browser: Browser
) -> None:
    page, errors = _open(page_file, browser, width, scheme)
    for tab in ("Tasks", "Studies", "Agreement", "Results", "Models"):
        page.get_by_role("tab", name=tab).click()
        panel = page.get_by_role("tabpanel")
        assert panel.count() == 1
        assert panel.locator("table.grid tbody tr").count() > 40
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate("getComputedStyle(document.body).color") == (
        "rgb(29, 35, 40)" if scheme == "light" else "rgb(232, 236, 239)"
    )
    assert errors == []
    page.close()


def test_page__search_sort_and_follow_a_name__the_right_rows(page_file: Path, browser: Browser) -> None:
    page, errors = _open(page_file, browser, 1280, "light")
    page.get_by_label("Search models").fill("IMG SRC=x net")
    assert page.locator("#models tbody tr").count() == 1
    assert page.locator("#models tbody td").first.inner_text() == HOSTILE  # text, and no picture
    assert page.locator("img").count() == 0
    page.locator("#models tbody button").click()
    shown = page.get_by_role("tabpanel").locator(".tools > .soft").inner_text()
    expected = int((evidence_table()["weights"] == "torchvision:alexnet.IMAGENET1K_V1").sum())
    assert shown.startswith(f"{expected} of ")
    head = page.locator("#results th", has_text="value, %")
    for direction in ("descending", "ascending"):
        head.locator("button").click()
        assert head.get_attribute("aria-sort") == direction
        values = [float(text) for text in page.locator("#results tbody td:nth-child(2)").all_inner_texts()]
        assert values == sorted(values, reverse=direction == "descending")
    page.get_by_label("any model").click()
    page.get_by_label("Protocol").select_option("clustering")
    clustering = int((evidence_table()["protocol"] == "clustering").sum())
    assert page.get_by_role("tabpanel").locator(".tools > .soft").inner_text().startswith(f"{clustering} of ")
    assert page.locator("#results tbody tr").count() == 100
    page.locator("#results .more").click()
    assert page.locator("#results tbody tr").count() == clustering
    assert page.title() == "Fennec: all results"
    assert errors == []
    page.close()


def test_page__script_put_in_by_others__does_not_run(page_file: Path, browser: Browser, tmp_path: Path) -> None:
    changed = tmp_path / "changed.html"
    text = page_file.read_text(encoding="utf-8")
    changed.write_text(text.replace("</main>", "<script>document.title = 'taken'</script></main>"), encoding="utf-8")
    page, errors = _open(changed, browser, 1280, "light")
    assert page.title() == "Fennec: all results"
    assert len(errors) == 1
    assert "Content Security Policy" in errors[0]
    page.close()


def _open(file: Path, browser: Browser, width: int, scheme: str) -> tuple[Page, list[str]]:
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.goto(file.as_uri())
    page.get_by_role("tab", name="Models").wait_for()
    return page, errors
