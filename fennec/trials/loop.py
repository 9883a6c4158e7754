"""Find the best model for a dataset within a budget: propose, measure, learn, propose again.

The prior is what all published results and the images say (`Recommender`), every trial is a cell of `fennec.bench`, the
engines are its hands. In: a dataset, a budget. Out: `Search`, and the cells.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from fennec.bench.cells import Record, write_record
from fennec.bench.engines import run_jobs
from fennec.bench.protocols import Protocol
from fennec.bench.run import Job, as_record, claim_cell, find_devices, measure_cell
from fennec.checkpoints.catalog import load_catalog
from fennec.checkpoints.cost import load_cost_model
from fennec.checkpoints.facts import facts_of
from fennec.errors import FennecError, InputError, NothingToRecommendError, OfflineError
from fennec.images.task_images import open_task
from fennec.online import published
from fennec.space.recommender import Recommender

from .belief import Belief, Prior
from .budget import Budget, passes_of
from .choice import Choice, choose, something_better
from .found import Search, Trial, Untried
from .journal import Journal
from .pace import expected_seconds, rated_seconds
from .reach import out_of_reach

if TYPE_CHECKING:
    from filelock import BaseFileLock

    from fennec.tasks.embedding import TaskEmbedding

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]
SHOWN = 5  # untried models of a table
IN_A_ROW = 5  # failures of one kind, after which the fault is not the models'
WORTH = 0.1  # points: a trial that is expected to gain less is not worth its time


@dataclass(frozen=True)
class Hands:
    """Who measures.

    Attributes:
        engine: `serial`, `process` or `ray`.
        workers: trials at a time; all cores or GPUs when None, and one of `serial`.
        device: where to compute; a GPU where there is one, when None.
        address: of a Ray cluster, `auto` for one that runs here.
        measure: what a worker does with a cell.
        retry: try models again that failed in an earlier run.
    """

    engine: str = "process"
    workers: int | None = None
    device: str | None = None
    address: str | None = None
    measure: Callable[[Job, str], Record] = measure_cell
    retry: bool = False


def search(
    dataset: str,
    budget: str | Budget,
    *,
    protocol: str | Protocol = "finetune",
    recommender: Recommender | None = None,
    models: Sequence[str] = (),
    where: str | None = None,
    out: str | Path | None = None,
    worth: float = WORTH,
    weights: Mapping[str, str] | None = None,
    hands: Hands = Hands(),
    report: Callable[[Search], None] = lambda found: None,
) -> Search:
    """Find the best model for a dataset within a budget.

    Args:
        dataset: labelled images, as `open_dataset` takes them.
        budget: `30m`, `50 passes` or `5 models`. What earlier runs on the same folder spent counts.
        protocol: `finetune`, `linear_probe`, or one of your own making.
        recommender: what is known beforehand; the shipped space of the protocol when None.
        models: candidates; all that the recommender knows when empty.
        where: condition on the candidates, as for `recommend`.
        out: folder of the cells; `NAME-search` when None. Results that are there already count.
        worth: stop when no trial is expected to gain so many points.
        weights: local files by model.
        hands: who measures.
        report: told at every step what is known.

    Returns:
        What won, what is believed of the rest, and every trial.

    Raises:
        InputError: the budget cannot be read or is too small for any trial, the dataset has no labels, or the folder
            holds results on another one.
        NothingToRecommendError: no candidate satisfies the condition.
        UnknownModelError: a model has no place in the recommender.
        OfflineError: the weights of every candidate have to be downloaded, and their server does not answer.
        FennecError: no candidate could be measured; the first reason is given.

    Source:
        Bayesian optimisation over a finite set with the posterior of `fennec.space`; see `fennec.trials.choice`.

    Example:
        >>> search("photos/", "30m").winner.model  # doctest: +SKIP
        'timm:convnext_tiny.in12k_ft_in1k'
    """
    spend = Budget.parse(budget) if isinstance(budget, str) else budget
    effort = Protocol(protocol) if isinstance(protocol, str) else protocol
    if not 0 <= worth <= 100:
        raise InputError(f"worth is {worth:g} points; expected 0 to 100")
    images = open_task(dataset, n_train=effort.n_train, n_test=effort.n_test)
    data = images.identity()
    journal = Journal.open(out or f"{images.train.name}-search", dataset, images.train.name, data, effort)
    known = published("all", effort.kind) if recommender is None else recommender
    rows = _candidates(known, models, where, n_images=len(images.train))
    devices, n_devices = find_devices(hands.device, threads=effort.threads)
    workers = 1 if hands.engine == "serial" else hands.workers or n_devices
    failed = [model for model, record in journal.records().items() if record["status"] == "failed"]
    loop = _Loop(
        journal, spend, data, worth / 100, dict(weights or {}), workers, known, rows, _embedded(images.train, known),
        devices[0], set(failed) if hands.retry else set(), report, hands.address is None,
    )  # fmt: skip
    return loop.run(hands, devices)


def _embedded(images: Any, recommender: Recommender) -> TaskEmbedding | None:
    """The training images as the proxy of the recommender sees them; None where it was made without a proxy."""
    from fennec.tasks.embedding import embed_dataset
    from fennec.tasks.proxy import Proxy

    name = recommender.kernel_.proxy
    return embed_dataset(images, Proxy.load(name)) if name else None


def _candidates(recommender: Recommender, models: Sequence[str], where: str | None, *, n_images: int) -> Rows:
    """Rows of the models that may be tried."""
    everything = recommender.models_
    rows = [recommender.row_of(model) for model in dict.fromkeys(models)] or list(range(len(everything)))
    if where is not None:
        catalog = load_catalog()
        chosen = set(catalog.where(where, load_cost_model().costs(everything, n_images=n_images)))
        rows = [row for row in rows if catalog.id_of(everything[row]) in chosen]
    if not rows:
        raise NothingToRecommendError(f"none of the models satisfies {where!r}; loosen the condition")
    return np.array(list(dict.fromkeys(rows)), dtype=np.intp)


@dataclass
class _Loop:
    """A search under way."""

    journal: Journal
    budget: Budget
    data: dict[str, str]
    worth: float
    weights: dict[str, str]
    workers: int
    recommender: Recommender
    rows: Rows
    embedding: TaskEmbedding | None
    device: str
    again: set[str]  # models whose failure of an earlier run does not count
    report: Callable[[Search], None]
    is_near: bool  # trials run on this machine, and see the network that it sees
    choices: dict[str, Choice] = field(default_factory=dict)  # of trials under way, by model
    locks: dict[str, BaseFileLock] = field(default_factory=dict)
    elsewhere: set[str] = field(default_factory=set)  # models that another search is trying
    beyond: dict[str, str] = field(default_factory=dict)  # models that cannot be had, and why
    stopped: str = ""

    def __post_init__(self) -> None:
        self.models = [self.recommender.models_[row] for row in self.rows]
        self.place = {model: row for row, model in enumerate(self.models)}
        facts = facts_of(self.models, load_catalog())
        whole = self.recommender.expected(self.embedding)
        self.prior = Prior.of(whole.take(self.rows), self.recommender.deviation_, facts, self.recommender.affinity)
        protocol = self.journal.protocol
        self.rated = rated_seconds(self.models, protocol, device=self.device, catalog=load_catalog())
        self.passes = passes_of(protocol)
        self.start = time.perf_counter()
        self.read()
        mine = [record for record in self.records.values() if "trial" in record]
        self.before = sum(self.budget.price((r["seconds"] or 0.0) / self.workers, self.passes) for r in mine)
        self.n_before = max((record["trial"]["number"] for record in mine), default=0)
        self.n_ended = 0

    def read(self) -> None:
        """What is known by now, from the folder: another search may have added to it."""
        everything = self.journal.records()
        named = {model: model if model in self.place else load_catalog().id_of(model) for model in everything}
        self.records = {
            name: everything[model]
            for model, name in named.items()
            if name is not None and name in self.place and model not in self.again
        }
        done = {model: record for model, record in self.records.items() if record["status"] == "done"}
        self.belief = Belief(self.prior, {self.place[model]: float(record["value"]) for model, record in done.items()})
        timed = {self.place[model]: record["seconds"] for model, record in done.items() if record["seconds"]}
        self.seconds = expected_seconds(self.rated, timed)
        self.elsewhere -= set(self.records)

    @property
    def spent(self) -> float:
        """In the unit of the budget, earlier runs included, trials under way not."""
        if self.budget.unit == "seconds":
            return self.before + time.perf_counter() - self.start
        return self.before + self.n_ended * self.budget.price(0.0, self.passes)

    @property
    def untried(self) -> Rows:
        """Rows without a record that nobody is trying."""
        taken = {*self.records, *self.choices, *self.elsewhere, *self.beyond}
        return np.array([row for row, model in enumerate(self.models) if model not in taken], dtype=np.intp)

    def run(self, hands: Hands, devices: Sequence[str]) -> Search:
        """Try until it is enough."""
        self.look_around()
        try:
            for job, found in run_jobs(
                hands.measure, self.jobs(), engine=hands.engine, workers=self.workers, devices=devices,
                address=hands.address,
            ):  # fmt: skip
                choice = self.choices.pop(job.model)
                record = as_record(job, found, devices[0])
                if record.get("error") == OfflineError.__name__:
                    self.look_around()
                if job.model not in self.beyond:  # else it says nothing of the model
                    self.again.discard(job.model)
                    self.n_ended += 1
                    trial = {"number": self.n_before + self.n_ended, "expected": choice.expected, "gain": choice.gain,
                             "expected_seconds": choice.seconds}  # fmt: skip
                    write_record(self.journal.folder, job.cell, {**record, "trial": trial})
                self.locks.pop(job.model).release()
                self.read()
                self.report(self.state())
        finally:
            for lock in self.locks.values():
                lock.release()
        found_all = self.state(final=True)
        if found_all.winner is None:
            self._nothing(found_all)
        return found_all

    def look_around(self) -> None:
        """Set aside what cannot be had: a trial of it would take its time and say nothing of the model."""
        self.beyond = {}
        if self.is_near:
            self.beyond = out_of_reach([self.models[row] for row in self.untried], self.weights)

    def jobs(self) -> Iterator[Job]:
        """Cells to measure, each chosen when there is room for it."""
        while (choice := self.next()) is not None:
            model = self.models[choice.row]
            job = self.journal.job(model, self.weights.get(model))
            lock = claim_cell(self.journal.folder, job.cell)
            if lock is None:
                self.elsewhere.add(model)
            elif self.journal.record(model) is not None and model not in self.again:
                lock.release()
                self.read()
            else:
                self.locks[model], self.choices[model] = lock, choice
                self.report(self.state())
                yield job

    def next(self) -> Choice | None:
        """What to try now, None where it is time to stop."""
        self.read()
        open_rows = self.untried
        if not len(open_rows):
            every = "every candidate that can be had was tried" if self.beyond else "every candidate was tried"
            self.stopped = "another search tries the rest" if self.elsewhere else every
            return None
        if (kind := self._fault()) is not None:
            self.stopped = f"{IN_A_ROW} trials in a row failed with {kind}"
            return None
        under_way = sum(self.budget.price(0.0, self.passes) for _ in self.choices)
        left = self.budget.amount - self.spent - under_way
        price = np.array([self.budget.price(seconds, self.passes) for seconds in self.seconds[open_rows]])
        fits = open_rows[price <= left]
        if not len(fits):
            self._too_little(open_rows, price, left)
            return None
        pending = [self.place[model] for model in (*self.choices, *self.elsewhere)]
        timed = self.budget.unit == "seconds"
        choice = choose(self.belief, fits, self.seconds, pending=pending, per_second=timed)
        if choice is not None and choice.gain is not None and choice.gain < self.worth:
            self.stopped = f"no trial is expected to gain {100 * self.worth:g} points (at most {100 * choice.gain:.2f})"
            return None
        return choice

    def _too_little(self, open_rows: Rows, price: Floats, left: float) -> None:
        """Say that the budget does not do for a trial.

        Raises:
            InputError: it does not do for the first.
        """
        quickest = int(price.argmin())
        needed = f"'{self.models[open_rows[quickest]]}' needs about {self.budget.said(float(price[quickest]))}"
        if not self.records and not self.choices:
            raise InputError(f"a budget of {self.budget} is too small for one trial: {needed}; give more")
        short = f": {self.budget.said(left)} left, {needed}" if self.budget.unit != "models" and left > 0 else ""
        self.stopped = f"the budget of {self.budget} is spent{short}"

    def _fault(self) -> str | None:
        """Class of the failure that the latest trials have in common, where there are many of them and nothing else."""
        mine = sorted((r for r in self.records.values() if "trial" in r), key=lambda record: record["trial"]["number"])
        last = [record.get("error", "") for record in mine[-IN_A_ROW:]]
        return last[0] if len(last) == IN_A_ROW and len(set(last)) == 1 and last[0] else None

    def _nothing(self, found: Search) -> None:
        """Nothing has a result.

        Raises:
            OfflineError: nothing can be had.
            FennecError: with the first reason.
        """
        failed = next(iter(found.trials), None)
        if failed is None and self.beyond:
            raise OfflineError(
                f"{next(iter(self.beyond.values()))}, and weights of none of the {len(self.models):,} candidates are "
                "on this machine; search where there is a network, or give local weights with --weights MODEL=FILE"
            )
        if failed is None:
            raise FennecError(f"nothing was measured: {self.stopped}")
        raise FennecError(
            f"none of the {len(found.trials)} models tried could be measured ({self.stopped}); '{failed.model}': "
            f"{failed.error}: {failed.message}"
        )

    def state(self, *, final: bool = False) -> Search:
        """All that is known now."""
        untried = self.untried
        chance, ahead = something_better(self.belief, untried) if final else (None, None)
        gains, expected = self.belief.gains(), self.belief.expected()
        best = untried[np.argsort(-gains[untried], kind="stable")[:SHOWN]]
        mean, deviation = self.belief.moments()
        half = self.recommender.deviation_.width * deviation
        winner = max(self.belief.results, key=lambda row: self.belief.results[row], default=None)
        record = None if winner is None else load_catalog().get(self.models[winner])
        tuned = record is not None and record.recipe is not None and self.journal.protocol.kind == "finetune"
        return Search(
            task=self.journal.task,
            data=self.data,
            protocol=self.journal.protocol.name,
            folder=str(self.journal.folder),
            budget=self.budget,
            spent=float(self.spent),
            seconds=time.perf_counter() - self.start,
            n_candidates=len(self.models),
            trials=self._trials(),
            running=tuple(self.choices),
            untried=tuple(
                Untried(self.models[row], float(expected[row]), float(expit(mean[row] - half[row])),
                        float(expit(mean[row] + half[row])), float(gains[row]), float(self.seconds[row]))
                for row in best
            ),
            chance=chance,
            ahead=ahead,
            stopped=self.stopped,
            recipe=str(record.recipe) if record is not None and tuned else "",
            notes=self._notes(),
        )  # fmt: skip

    def _notes(self) -> tuple[str, ...]:
        counts = Counter(self.beyond.values())
        return tuple(
            f"{why}: {count:,} of {len(self.models):,} candidates are not on this machine and were left out; the same "
            "command tries them where there is a network"
            for why, count in counts.items()
        )

    def _trials(self) -> tuple[Trial, ...]:
        found = []
        for model, record in self.records.items():
            trial = record.get("trial", {})
            found.append(
                Trial(model, trial.get("number", 0), record.get("value"), record["seconds"], record.get("n_test", 0),
                      trial.get("expected"), trial.get("gain"), record.get("error", ""), record.get("message", ""))
            )  # fmt: skip
        return tuple(sorted(found, key=lambda one: (one.number, one.model)))
