"""What a recommendation is: a ranked, explained list of models, and how it is shown.

`Ranking` prints as a table and turns into a dictionary or a data frame; nothing here computes a score.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fennec.memory import DEVICE_GB

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

    from fennec.checkpoints.catalog import ModelRecord
    from fennec.images.datasets import Taken


SCHEMA_VERSION = 2  # of `Ranking.to_dict`; 1 had none
WIDTH = 192  # of a table where there is no terminal: keeps ids in one piece


@dataclass(frozen=True)
class RankedModel:
    """One row of a ranking.

    Attributes:
        rank: position, 1 is best.
        id: canonical id.
        score: predicted score, unitless, higher is better.
        method: `evidence` (it has published results), `relatives` (it has none: placed by archi2vec, its facts and
            models like it), `measured` (its result on this task was given), `scored` (by a forward pass), `undefined`
            (it was run, but no metric is defined for it), or `failed` (it could not be run); `+scored` behind one of
            the first three where it was re-ranked by a forward pass.
        performance: expected result, a fraction; None where only forward passes were made.
        low: lower end of its 80 % interval.
        high: upper end.
        behind: difference of the expected result to that of the best model listed, a fraction, 0 or negative.
        behind_low: lower end of its 80 % interval: what makes a task hard for all models is not in it.
        behind_high: upper end.
        top5: probability of being among the five best candidates; None where only forward passes were made.
        scores: metrics of a forward pass, by name.
        n_tasks: image sets on which it was measured, in all studies and by all protocols.
        n_studies: studies that did.
        train_minutes: to fine-tune all weights on the task's images, ten epochs, on the device named in the ranking.
        memory_gb: peak of that, 32 pictures at once in mixed precision with AdamW; an estimate.
        images_per_second: inference on that device.
        cost_from: where the two rates come from: measured, scaled (from another input size) or estimated.
        size: under which of the sizes it is listed, empty in a list without them; its rank is among all candidates.
        record: facts of the model, None when the catalog does not know it.
    """

    rank: int
    id: str
    score: float
    method: str
    performance: float | None = None
    low: float | None = None
    high: float | None = None
    behind: float | None = None
    behind_low: float | None = None
    behind_high: float | None = None
    top5: float | None = None
    scores: Mapping[str, float] = field(default_factory=dict)
    n_tasks: int = 0
    n_studies: int = 0
    train_minutes: float | None = None
    memory_gb: float | None = None
    images_per_second: float | None = None
    cost_from: str = ""
    size: str = ""
    record: ModelRecord | None = None

    @property
    def known(self) -> str:
        """What its place rests on, in words."""
        return rests_on(self.method, self.n_tasks, self.n_studies)

    def to_dict(self) -> dict[str, Any]:
        """Flat dictionary with the facts of the model; None for what is not known."""
        record = self.record
        return {
            "rank": self.rank,
            "model": self.id,
            "score": _plain(self.score),
            "performance": self.performance,
            "low": self.low,
            "high": self.high,
            "behind": self.behind,
            "behind_low": self.behind_low,
            "behind_high": self.behind_high,
            "top5": self.top5,
            "method": self.method,
            "known": self.known,
            "n_tasks": self.n_tasks,
            "n_studies": self.n_studies,
            **{name: _plain(value) for name, value in self.scores.items()},
            "params": record.params if record else None,
            "gmacs": record.gmacs if record else None,
            "input_size": record.input_size if record else None,
            "license": (record.license or None) if record else None,
            "terms": record.terms if record else None,
            **{name: _plain(getattr(self, name)) for name in ("train_minutes", "memory_gb", "images_per_second")},
            "cost_from": self.cost_from or None,
            "size": self.size or None,
            "recipe": str(record.recipe) if record and record.recipe else None,
        }


@dataclass(frozen=True, repr=False)
class Ranking:
    """The models expected to do best on a task, best first.

    Attributes:
        task: name of the task.
        hub: where the results come from: `all studies`, or the name of one study or hub.
        protocol: how those results were measured.
        models: the rows.
        n_candidates: how many models were compared.
        nearest_tasks: the known tasks with the most alike images and their distances; 1 is the typical distance between
            known tasks.
        nearest_in_words: those most like what was said of the task, with the share of what is special to it that each
            is taken to tell.
        about: what was said of the task, empty where nothing was.
        resemblance: how much known tasks say about what is special to this one, 0 nothing, 1 all; None where no
            results were used.
        notes: what the user should know about how the ranking came about.
        seconds: wall-clock time per stage.
        n_images: images that were looked at, None where there were none.
        n_to_train: images that times are meant for: those of the task, 1000 where nobody said how many.
        skipped: pairs (item, reason) of images that could not be read.
        data: what was taken of the dataset and what was not, None without images.
        device: whose times and memory are shown, empty where none are.
    """

    task: str
    hub: str
    protocol: str
    models: tuple[RankedModel, ...]
    n_candidates: int
    nearest_tasks: tuple[tuple[str, float], ...] = ()
    nearest_in_words: tuple[tuple[str, float], ...] = ()
    about: str = ""
    resemblance: float | None = None
    notes: tuple[str, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    n_images: int | None = None
    n_to_train: int = 1000
    skipped: tuple[tuple[str, str], ...] = ()
    data: Taken | None = None
    device: str = ""

    @property
    def ids(self) -> tuple[str, ...]:
        """Canonical ids, best first."""
        return tuple(model.id for model in self.models)

    @property
    def first(self) -> RankedModel:
        """The model expected to do best; the first of the list where nothing is expected."""
        return max(self.models, key=lambda model: -1.0 if model.performance is None else model.performance)

    def __len__(self) -> int:
        return len(self.models)

    def to_dict(self) -> dict[str, Any]:
        """The whole ranking as plain values, ready for JSON."""
        return {
            "schema_version": SCHEMA_VERSION,
            "task": self.task,
            "data": self.data.to_dict() if self.data is not None else None,
            "hub": self.hub,
            "protocol": self.protocol,
            "n_candidates": self.n_candidates,
            "models": [model.to_dict() for model in self.models],
            "nearest_tasks": [{"task": name, "distance": distance} for name, distance in self.nearest_tasks],
            "nearest_in_words": [{"task": name, "share": share} for name, share in self.nearest_in_words],
            "about": self.about or None,
            "resemblance": self.resemblance,
            "notes": list(self.notes),
            "seconds": dict(self.seconds),
            "n_images": self.n_images,
            "n_to_train": self.n_to_train,
            "skipped": [list(pair) for pair in self.skipped],
            "device": self.device or None,
        }

    def to_frame(self) -> pd.DataFrame:
        """One row per model, with the columns of `RankedModel.to_dict`."""
        import pandas as pd

        return pd.DataFrame([model.to_dict() for model in self.models])

    def to_html(self) -> str:
        """Table and footer as one HTML fragment, as notebooks show it."""
        from html import escape

        table = self.to_frame().to_html(index=False, border=0, na_rep="-", float_format="{:.3f}".format)
        return f"{table}<p>{'<br>'.join(map(escape, [*self._head(), *self.footer().splitlines()]))}</p>"

    _repr_html_ = to_html

    def to_table(self) -> Table:
        """Table for a terminal."""
        from rich.table import Table

        title = f"{self.task or 'no images'}: best {len(self)} of {self.n_candidates} models ({self.hub})"
        table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
        expected = any(model.performance is not None for model in self.models)
        metrics = list(dict.fromkeys(name for model in self.models for name in model.scores))
        sized = any(model.size for model in self.models)
        headers = [*(["size"] if sized else []), "rank", "model",
                   *(["expected", "to the first", "top 5"] if expected else ["score"]), *metrics, "params",
                   *(["train min", "GB"] if self.device else ["GMACs"])]  # fmt: skip
        for header in headers:
            wide = header == "model"
            table.add_column(header, justify="left" if wide else "right", overflow="fold", no_wrap=not wide)
        table.add_column("license", overflow="fold", max_width=20)
        table.add_column("known of it")
        before = ""
        for model in self.models:
            record = model.record
            table.add_row(
                *([model.size if model.size != before else ""] if sized else []),
                str(model.rank),
                model.id,
                *(_expectation(model) if expected else [_figure(model.score)]),
                *(_figure(model.scores.get(name)) for name in metrics),
                _millions(record.params if record else None),
                *(_cost(model) if self.device else [_figure(record.gmacs if record else None)]),
                _licence(record),
                model.known,
            )
            before = model.size
        return table

    def footer(self) -> str:
        """Lines under the table: what the task is like, what to know, how long it took."""
        lines = []
        if self.nearest_tasks:
            near = ", ".join(f"{name} ({distance:.2f})" for name, distance in self.nearest_tasks)
            lines.append(f"nearest known tasks (distance, 1 is typical): {near}")
        if self.nearest_in_words:
            near = ", ".join(f"{name} ({100 * share:.0f} %)" for name, share in self.nearest_in_words)
            lines.append(f"words: nearest tasks (share of what is special that each is taken to tell): {near}")
        if any(model.performance is not None for model in self.models):
            best = self.first
            lines += [
                f"expected: result in % by {self.protocol}; its 80 % interval is {_percent(best.low)} to "
                f"{_percent(best.high)} for the best: how hard the data are hardly shows, and moves all models alike",
                "to the first: points to the best of the list, and their 80 % interval; top 5: probability in % of "
                "being one of the five best",
            ]
            if self.protocol == "finetune" and best.record is not None and best.record.recipe is not None:
                lines.append(f"to fine-tune the first: {best.record.recipe}")
        if self.device:
            the = "" if self.data is None else "the "
            lines.append(
                f"train min, GB: minutes to fine-tune all weights on {the}{self.n_to_train:,} images, ten epochs, on "
                f"{self.device} (~ is estimated from the network, the rest published), and peak memory with 32 images "
                "at once" + self._too_large()
            )
        if any(model.record is not None and model.record.terms == "restricted" for model in self.models):
            lines.append("!: a licence that restricts the use; read it first")
        lines += [f"note: {note}" for note in self.notes]
        if self.seconds:
            lines.append("time: " + ", ".join(f"{stage} {_duration(value)}" for stage, value in self.seconds.items()))
        return "\n".join(lines)

    def _too_large(self) -> str:
        """Which of the list a device of this class cannot train so."""
        has = DEVICE_GB.get(self.device)
        n = sum(bool(has and model.memory_gb and model.memory_gb > has) for model in self.models)
        return (
            f"; {n} of the list need more than the {has} GB it has: fewer images at once, or frozen layers" if n else ""
        )

    def __str__(self) -> str:
        from io import StringIO

        from rich.console import Console

        buffer = StringIO()
        Console(file=buffer, width=WIDTH, color_system=None, markup=False, emoji=False).print(self.to_table())
        return "".join(f"{line}\n" for line in self._head()) + buffer.getvalue() + self.footer()

    def _head(self) -> list[str]:
        """What was taken of the dataset, before the table."""
        return [] if self.data is None else [str(self.data)]

    __repr__ = __str__


def rests_on(method: str, n_tasks: int, n_studies: int) -> str:
    """What the place of a model rests on, in words."""
    known, _, scored = method.partition("+")
    if known == "relatives":
        known = "relatives only"
    elif known == "evidence":
        tasks = f"{n_tasks} task{'s' * (n_tasks != 1)}"
        known = f"measured on {tasks} in {n_studies} stud{'ies' if n_studies != 1 else 'y'}"
    return f"{known}, {scored}" if scored else known


def unread(skipped: Sequence[tuple[str, str]]) -> str:
    """The note about images that could not be read, empty where there are none."""
    return f"{len(skipped)} images could not be read and were skipped" if skipped else ""


def _millions(params: int | None) -> str:
    return "-" if params is None else f"{params / 1e6:.1f}M"


def _plain(value: float | None) -> float | None:
    """JSON has no NaN."""
    return None if value is None or value != value else float(value)


def _expectation(model: RankedModel) -> list[str]:
    chance = "-" if model.top5 is None else f"{100 * model.top5:.0f}"
    if model.behind is None or model.behind_low is None or model.behind_high is None:
        difference = "-"
    elif model.behind_low == model.behind_high:
        difference = "first"
    else:
        difference = f"{100 * model.behind:+.1f} ({100 * model.behind_low:+.0f} to {100 * model.behind_high:+.0f})"
    return [_percent(model.performance), difference, chance]


def _cost(model: RankedModel) -> list[str]:
    """Minutes and gigabytes in two digits, with a mark where nobody measured the time."""
    shown = ["-" if not value or value != value else f"{value:.{0 if value >= 10 else 1}f}"
             for value in (model.train_minutes, model.memory_gb)]  # fmt: skip
    return [f"{'~' * (model.cost_from == 'estimated')}{shown[0]}", shown[1]]


def _licence(record: ModelRecord | None) -> str:
    if record is None or not record.license:
        return "unknown"
    return f"{record.license} !" if record.terms == "restricted" else record.license


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


def _figure(value: float | None) -> str:
    """Four digits, a dash for what is unknown or undefined."""
    return "-" if value is None or value != value else f"{value:.4g}"


def _duration(seconds: float) -> str:
    return f"{1000 * seconds:.1f} ms" if seconds < 0.1 else f"{seconds:.1f} s"
