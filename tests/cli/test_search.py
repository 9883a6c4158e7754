"""`fennec search`: the result alone on standard output, in every form."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fennec.space.recommender import Recommender
from fennec.trials import loop
from tests.trials.conftest import TRUTH, Lab, _hub, photos

from .conftest import Run, one_line

__all__ = ["_hub", "photos"]


@pytest.fixture
def lab(hub: Recommender, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """Trials of the planted hub instead of networks."""
    found = Lab()
    monkeypatch.setattr(loop, "published", lambda *_: hub)
    hands = loop.Hands
    monkeypatch.setattr(loop, "Hands", lambda *given, **named: hands(*given, **named, measure=found))
    return found


def test_search__every_form__winner_on_standard_output(run: Run, lab: Lab, photos: Path) -> None:
    command = ("search", photos, "--budget", "3 models", "--engine", "serial", "--worth", "0")
    code, output, errors = run(*command)
    best = max(lab.measured, key=lambda model: TRUTH[model])
    assert code == 0, errors
    assert f"best: {best}, {100 * TRUTH[best]:.1f} %" in output
    assert all(model in errors for model in lab.measured)
    assert run(*command, "-q") == (0, f"{best}\n", "")
    code, output, _ = run(*command, "--json")
    found = json.loads(output)
    assert (code, found["winner"]["model"], len(found["trials"])) == (0, best, 3)
    assert len(lab.measured) == 3
    assert Path("photos-search").is_dir()


def test_search__interrupted__says_that_it_goes_on(run: Run, lab: Lab, photos: Path) -> None:
    lab.interrupted_at = 1
    code, output, errors = run("search", photos, "--budget", "3 models", "--engine", "serial")
    assert (code, output) == (130, "")
    assert "the same command goes on" in errors


def test_search__bad_requests__one_line(run: Run, lab: Lab, photos: Path) -> None:
    for option, value, message in (
        ("--budget", "soon", "expected a time such as 30m"),
        ("--protocol", "zero_shot", "unknown protocol 'zero_shot'"),
        ("--engine", "rey", "unknown engine 'rey'"),
        ("--address", "auto", "give it with --engine ray"),
    ):
        code, _, errors = run("search", photos, "--budget", "1 models", option, value, "-q")
        assert code == 2
        assert message in one_line(errors)
    assert not lab.measured
