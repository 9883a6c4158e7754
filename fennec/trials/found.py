"""What a search knows, while it runs and at its end.

In: trials and beliefs of `fennec.trials.loop`. Out: `Search`, which prints as tables and turns into a dictionary.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from .budget import Budget, duration

if TYPE_CHECKING:
    from rich.table import Table

SCHEMA_VERSION = 1  # of `Search.to_dict`
WIDTH = 140  # of a table where there is no terminal


@dataclass(frozen=True)
class Trial:
    """One candidate that was tried.

    Attributes:
        model: id.
        number: position among the trials of searches in this folder, 0 for a cell that was there before.
        value: top-1 accuracy on the test images, a fraction; None where it failed.
        seconds: that it took, None where a worker died.
        n_test: test images.
        expected: result expected beforehand, a fraction, None for a cell that was there before.
        gain: improvement expected beforehand.
        error: class of the failure, empty where there is a result.
        message: its reason.
    """

    model: str
    number: int
    value: float | None
    seconds: float | None
    n_test: int = 0
    expected: float | None = None
    gain: float | None = None
    error: str = ""
    message: str = ""

    @property
    def noise(self) -> float | None:
        """Standard deviation of the result by the draw of the test images, a fraction."""
        if self.value is None or not self.n_test:
            return None
        return float((self.value * (1 - self.value) / self.n_test) ** 0.5)


@dataclass(frozen=True)
class Untried:
    """What is believed of a candidate that was not tried.

    Attributes:
        model: id.
        expected: result, a fraction.
        low: lower end of its 80 % interval.
        high: upper end.
        gain: expected improvement on the best result, a fraction.
        seconds: that a trial is expected to take.
    """

    model: str
    expected: float
    low: float
    high: float
    gain: float
    seconds: float


@dataclass(frozen=True)
class Search:
    """What a search knows.

    Attributes:
        task: name of the dataset.
        data: what was taken of it, `train` and `test`.
        protocol: name of the protocol.
        folder: of the cells.
        budget: what may be spent.
        spent: what was, in the budget's unit.
        seconds: wall-clock time of this run.
        n_candidates: models that could be tried.
        trials: in the order in which they ended.
        running: models being tried.
        untried: the best of the others, by expected gain.
        chance: probability that something untried is better than the best result; None while it runs.
        ahead: by how much it would be better on average, a fraction.
        stopped: why it ended, empty while it runs.
        recipe: how the winner is fine-tuned, where that is published.
        notes: what else to know.
    """

    task: str
    data: dict[str, str]
    protocol: str
    folder: str
    budget: Budget
    spent: float
    seconds: float
    n_candidates: int
    trials: tuple[Trial, ...]
    running: tuple[str, ...] = ()
    untried: tuple[Untried, ...] = ()
    chance: float | None = None
    ahead: float | None = None
    stopped: str = ""
    recipe: str = ""
    notes: tuple[str, ...] = field(default=())

    @property
    def ranked(self) -> list[Trial]:
        """Trials with a result, best first."""
        return sorted((one for one in self.trials if one.value is not None), key=lambda one: -(one.value or 0.0))

    @property
    def winner(self) -> Trial | None:
        """The best trial, None where none has a result."""
        return next(iter(self.ranked), None)

    @property
    def runner_up(self) -> Trial | None:
        """The second best."""
        return next(iter(self.ranked[1:]), None)

    @property
    def left(self) -> float:
        """What is left of the budget."""
        return max(self.budget.amount - self.spent, 0.0)

    @property
    def latest(self) -> str:
        """One line on what happened last."""
        last = max(self.trials, key=lambda one: one.number, default=None)
        if self.running:
            return f"trying {self.running[-1]}, {self.budget.said(self.left)} left of {self.budget}"
        if last is None:
            return ""
        outcome = f"{last.error}: {last.message}" if last.value is None else f"{100 * last.value:.1f} %"
        return f"{last.model}: {outcome}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "schema_version": SCHEMA_VERSION,
            **asdict(self),
            "winner": None if self.winner is None else {**asdict(self.winner), "noise": self.winner.noise},
            "runner_up": None if self.runner_up is None else {**asdict(self.runner_up), "noise": self.runner_up.noise},
        }

    def to_table(self) -> Table:
        """Trials and what is believed of the rest, for a terminal."""
        from rich.table import Table

        state = f"{self.budget.said(self.left)} left of {self.budget}"
        title = f"{self.task}: {len(self.trials)} of {self.n_candidates} models tried ({self.protocol}), {state}"
        table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
        for header in ("trial", "model", "result", "expected", "gain hoped for", "time"):
            left = header == "model"
            table.add_column(header, justify="left" if left else "right", overflow="fold", no_wrap=not left)
        best = self.winner
        for one in self.trials:
            result = f"{_percent(one.value)}{' best' if one is best else ''}" if one.value is not None else one.error
            table.add_row(
                str(one.number or "before"), one.model, result, _percent(one.expected), _points(one.gain),
                "-" if one.seconds is None else duration(one.seconds),
            )  # fmt: skip
        for model in self.running:
            table.add_row("now", model, "...", "", "", "")
        for each in self.untried:
            expected = f"{_percent(each.expected)} ({_percent(each.low)} to {_percent(each.high)})"
            table.add_row("", each.model, "", expected, _points(each.gain), f"~{duration(each.seconds)}")
        return table

    def summary(self) -> str:
        """The end of a search in words."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        if self.stopped:
            yield f"stopped: {self.stopped}"
        first, second = self.winner, self.runner_up
        if first is not None:
            yield f"best: {first.model}, {_result(first)}"
        if first is not None and second is not None:
            yield f"next: {second.model}, {_result(second)}"
        if self.chance is not None and self.ahead is not None and self.n_candidates > len(self.trials):
            yield (
                f"something untried is better with probability {100 * self.chance:.0f} %, then by "
                f"{100 * self.ahead:.1f} points on average"
            )
        if self.recipe:
            yield f"to fine-tune the best: {self.recipe}"
        yield from (f"note: {note}" for note in self.notes)

    def __str__(self) -> str:
        from io import StringIO

        from rich.console import Console

        buffer = StringIO()
        Console(file=buffer, width=WIDTH, color_system=None).print(self.to_table())
        return buffer.getvalue() + self.summary()

    __repr__ = __str__


def _result(trial: Trial) -> str:
    noise = "" if trial.noise is None else f" ± {100 * trial.noise:.1f} on {trial.n_test:,} test images"
    return f"{_percent(trial.value)} %{noise}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


def _points(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:+.2f}"
