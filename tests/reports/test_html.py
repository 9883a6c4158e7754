"""The HTML pages: self-contained, safe with odd names, and working in a real headless browser."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from fennec.checkpoints.catalog import load_catalog
from fennec.cli.main import app
from fennec.evaluation.compare import compare
from fennec.images.open import open_dataset
from fennec.reports.figures import pareto_front
from fennec.reports.html import comparison_html, recommendation_html
from fennec.space.recommender import Recommender
from tests.conftest import planted
from tests.evaluation.test_compare import score_table

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a recommendation, for a dataset with a class name that is no HTML."""
    root = tmp_path_factory.mktemp("html")
    generator = np.random.default_rng(0)
    for name in ("<b>cat", "dog & co"):
        (root / "pets" / name).mkdir(parents=True)
        for index in range(4):
            pixels = generator.integers(0, 255, (40, 60, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / "pets" / name / f"{index}.png")
    (root / "pets" / "dog & co" / "broken.png").write_bytes(b"no picture")
    target = root / "report.html"
    done = CliRunner().invoke(app, ["recommend", str(root / "pets"), "-n", "6", "--html", str(target)])
    assert done.exit_code == 0, done.output
    return target


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory, no_published_results: None) -> Path:
    matrix, embeddings = planted(n_models=12, n_tasks=5)
    results = compare(matrix, embeddings, score_table(matrix))
    target = tmp_path_factory.mktemp("html") / "comparison.html"
    target.write_text(comparison_html(results, name="planted", n_models=12, command="fennec compare planted"))
    return target


def test_report__one_file__names_no_other_and_escapes(report: Path) -> None:
    text = report.read_text(encoding="utf-8")
    page = re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)
    assert not re.search(r"(src|href)=\"(?!data:)", page)
    assert "@import" not in page
    assert "<b>cat" not in page
    assert "&lt;b&gt;cat" in page
    assert "dog &amp; co" in page
    assert page.count("data:image/jpeg;base64,") == 8
    assert "1 images could not be read" in page
    assert len(text) < 8e6


def test_report__says_how_to_fine_tune_them(report: Path) -> None:
    text = report.read_text(encoding="utf-8")
    table = re.search(r"<table id=\"recipes\">.*?</table>", text, flags=re.DOTALL)
    shortlist = re.search(r"<table id=\"shortlist\">.*?</table>", text, flags=re.DOTALL)
    assert table is not None
    assert shortlist is not None
    catalog = load_catalog()
    for model in catalog.ids:
        if f">{model}</td>" in shortlist[0]:
            recipe = catalog[model].recipe
            assert recipe is not None
            assert model in table[0]
            assert recipe.source.split(",")[0] in table[0]


@pytest.mark.parametrize("page_of", ["report", "comparison"])
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_pages__in_a_browser__draw_everything_without_an_error(
    page_of: str, width: int, scheme: str, browser: Browser, request: pytest.FixtureRequest
) -> None:
    page, errors = _open(browser, request.getfixturevalue(page_of), width, scheme)
    charts = page.locator(".chart")
    assert charts.count() >= 2
    for index in range(charts.count()):
        charts.nth(index).locator("svg.main-svg").first.wait_for()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    ink = page.evaluate("getComputedStyle(document.body).color")
    assert ink == ("rgb(29, 35, 40)" if scheme == "light" else "rgb(232, 236, 239)")
    assert errors == []
    page.close()


def test_report__click_a_heading__sorts_down_and_up(report: Path, browser: Browser) -> None:
    page, _ = _open(browser, report, 1280, "light")
    head = page.locator("#shortlist th", has_text="params M")
    place = head.evaluate("heading => heading.cellIndex")
    column = f"[...document.querySelectorAll('#shortlist tbody tr')].map(row => row.cells[{place}].dataset.value)"
    head.locator("button").click()
    rising = [float(value) for value in page.evaluate(column) if value]
    assert rising == sorted(rising)
    head.locator("button").click()
    falling = [float(value) for value in page.evaluate(column) if value]
    assert falling == sorted(rising, reverse=True)
    assert head.get_attribute("aria-sort") == "descending"
    page.locator("#shortlist th button").first.focus()
    page.keyboard.press("Enter")
    ranks = page.evaluate("[...document.querySelectorAll('#shortlist tbody tr')].map(row => row.cells[0].textContent)")
    assert ranks == [str(rank) for rank in range(1, 7)]
    page.close()


def test_report__press_gmacs__other_cost_with_its_own_front(report: Path, browser: Browser) -> None:
    page, errors = _open(browser, report, 1280, "light")
    fronts = []
    for cost in ("parameters, millions", "GMACs"):
        page.locator("#cost .updatemenu-button", has_text=cost).click()
        page.locator("#cost .xtitle", has_text=cost).wait_for()
        assert page.locator("#cost .scatterlayer .trace").count() == 3
        fronts.append(page.locator("#cost .scatterlayer .trace path.js-line").get_attribute("d"))
    assert fronts[0] != fronts[1]
    assert errors == []
    page.close()


def test_report__hover_over_a_point__shows_the_id(report: Path, browser: Browser) -> None:
    page, _ = _open(browser, report, 1280, "light")
    point = page.locator("#space .scatterlayer .trace").nth(1).locator("path.point").first
    point.scroll_into_view_if_needed()
    box = point.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    hover = page.locator("#space .hoverlayer .hovertext")
    hover.wait_for()
    tasks = {*Recommender.from_published().image_sets_, "pets"}
    assert (hover.text_content() or "").strip() in tasks | set(load_catalog().ids)  # points may lie on each other
    page.close()


def test_report__hostile_names_everywhere__text_and_no_script_of_theirs_runs(tmp_path: Path, browser: Browser) -> None:
    evil = (
        "<img src=x onerror=window.hit=1>'\"&amp;</script><script>window.hit=1</script><a href=javascript:window.hit=1>"
    )
    matrix, embeddings = planted(n_models=6, n_tasks=4)
    named = {f"{evil}{name}": embedding for name, embedding in embeddings.items()}
    matrix = replace(
        matrix, tasks=tuple(named), image_sets=tuple(named), models=tuple(f"{evil}{model}" for model in matrix.models)
    )
    recommender = Recommender().fit(matrix, named)
    classes = tmp_path / "<script>window.hit=1<" / "<img src=x onerror=window.hit=1>"
    classes.mkdir(parents=True)
    Image.new("RGB", (40, 40), "red").save(classes / "<b onmouseover=window.hit=1>.png")
    task = replace(next(iter(embeddings.values())), name=evil, class_names=(evil,), class_counts=np.ones(1))
    ranking = recommender.recommend(task, n=3)
    text = recommendation_html(ranking, recommender, task, open_dataset(classes.parent), command=evil)
    (tmp_path / "report.html").write_text(text, encoding="utf-8")
    page, errors = _open(browser, tmp_path / "report.html", 1280, "light")
    page.locator("#space svg.main-svg").first.wait_for()
    assert evil in page.locator("h1").inner_text()
    assert "<img src=x" in page.locator("#space .textpoint text").first.evaluate("text => text.textContent")
    assert page.locator("img[src=x], a[href^=javascript]").count() == 0
    page.evaluate("document.body.append(Object.assign(document.createElement('img'), {src: 'data:,', onerror: null}))")
    page.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=data:, onerror=window.hit=1>')")
    page.wait_for_function("document.images[document.images.length - 1].complete")
    assert page.evaluate("window.hit") is None
    assert [
        line for line in errors if "Content Security Policy" not in line and "Content-Security-Policy" not in line
    ] == []
    page.close()


def test_pareto_front__against_every_pair() -> None:
    generator = np.random.default_rng(0)
    cost, quality = generator.integers(0, 20, 60).astype(float), generator.integers(0, 20, 60).astype(float)
    front = set(pareto_front(cost, quality).tolist())
    for one in range(60):
        as_good = (cost <= cost[one]) & (quality >= quality[one])
        beaten = (as_good & ((cost < cost[one]) | (quality > quality[one]))).any()
        if one in front:
            assert not beaten
        else:
            twin = [row for row in front if (cost[row], quality[row]) == (cost[one], quality[one])]
            assert beaten or twin


def _open(browser: Browser, path: Path, width: int, scheme: Any) -> tuple[Page, list[str]]:
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page.set_default_timeout(120_000)  # other tests may have the cores
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: errors.append(request.url) if request.url.startswith("http") else None)
    page.goto(path.as_uri())
    page.wait_for_load_state("load")
    return page, errors
