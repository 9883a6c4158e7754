"""Runs the command in this process, as a person would."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from fennec.cli import main as cli

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs the command in this process: exit code, stdout, stderr."""

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["fennec", *map(str, arguments)])
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capfd.readouterr()
        return code, captured.out, captured.err

    return call


def one_line(error: str) -> str:
    *taken, last = error.strip().splitlines()
    assert all(" pictures, " in line for line in taken), error  # what was taken is said before all else
    assert len(taken) <= 1, error
    assert last.startswith("fennec: ")
    return last
