"""How to fine-tune a checkpoint: what the authors of its kind published, with the source.

In: `data/recipes.csv`, a row for each kind of checkpoint. Out: the row that fits a checkpoint best, as words.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Protocol

from fennec.errors import ArtifactError
from fennec.settings import data_dir

CONDITIONS = ("family", "method", "data", "finetuned_on")
_RAW = "none"  # in `finetuned_on`: weights straight from their pre-training


class Facts(Protocol):
    """What a recipe asks of a checkpoint; a `ModelRecord` has it."""

    @property
    def family(self) -> str:
        """Architecture name without its size."""

    @property
    def pretraining_method(self) -> str:
        """Words joined by `+`."""

    @property
    def pretraining_data(self) -> str:
        """Words joined by `+`."""

    @property
    def finetuned_on(self) -> str:
        """Words joined by `+`, empty for none."""


@dataclass(frozen=True)
class Recipe:
    """One row: which checkpoints it is for, what to do and who says so. Empty or None is what the source leaves open.

    Attributes:
        family: regular expression that the whole `family` of a record has to match.
        method: a word of its `pretraining_method`.
        data: a word of its `pretraining_data`.
        finetuned_on: a word of its `finetuned_on`; `none` where it was not fine-tuned yet.
        optimizer: as the source names it.
        lr_low: lowest learning rate that the source uses.
        lr_high: highest.
        batch_size: images at once for which these rates are.
        schedule: decay by layer, weight decay, length and the like, in words.
        freeze: what not to train.
        input_size: side in pixels, in words.
        task: what the source fine-tuned on.
        pitfall: what is known to go wrong.
        source: paper and place in it, or repository and files.
    """

    family: str
    method: str
    data: str
    finetuned_on: str
    optimizer: str
    lr_low: float | None
    lr_high: float | None
    batch_size: int | None
    schedule: str
    freeze: str
    input_size: str
    task: str
    pitfall: str
    source: str

    @property
    def n_conditions(self) -> int:
        """How special it is."""
        return sum(bool(getattr(self, name)) for name in CONDITIONS)

    def fits(self, record: Facts) -> bool:
        """Whether a checkpoint satisfies all conditions."""
        return (
            (not self.family or re.fullmatch(self.family, record.family) is not None)
            and (not self.method or self.method in record.pretraining_method.split("+"))
            and (not self.data or self.data in record.pretraining_data.split("+"))
            and (not self.finetuned_on or self.finetuned_on in (record.finetuned_on or _RAW).split("+"))
        )

    @property
    def advice(self) -> str:
        """What to do, in one line."""
        parts = [self.optimizer]
        if self.lr_low is not None and self.lr_high is not None:
            ends = [_rate(rate) for rate in dict.fromkeys((self.lr_low, self.lr_high))]
            parts.append(f"learning rate {' to '.join(ends)}")
            if self.batch_size is not None:
                parts[-1] += f" at batch {self.batch_size}"
        parts += [self.schedule, f"input {self.input_size}" if self.input_size else ""]
        said = [", ".join(filter(None, parts))]
        for words, value in (("freeze", self.freeze), ("tried on", self.task), ("beware:", self.pitfall)):
            said.append(f"{words} {value}" if value else "")
        return "; ".join(filter(None, said))

    def __str__(self) -> str:
        return f"{self.advice} [{self.source}]"


@cache
def load_recipes() -> tuple[Recipe, ...]:
    """All rows, in the order of the file.

    Raises:
        ArtifactError: a row says something that cannot be read.
    """
    import pandas as pd

    path = data_dir() / "recipes.csv"
    rows = pd.read_csv(path, dtype=str, keep_default_na=False).to_dict("records")
    return tuple(_recipe({str(name): value for name, value in row.items()}, f"{path}, row {number}")
                 for number, row in enumerate(rows, 2))  # fmt: skip


def _recipe(row: Mapping[str, str], place: str) -> Recipe:
    numbers = ("lr_low", "lr_high", "batch_size")
    words = {name: value for name, value in row.items() if name not in numbers}
    try:
        re.compile(words["family"])
        low, high = (float(row[name]) if row[name] else None for name in numbers[:2])
        return Recipe(
            **words, lr_low=low, lr_high=high, batch_size=int(row["batch_size"]) if row["batch_size"] else None
        )
    except (KeyError, TypeError, ValueError, re.error) as error:
        raise ArtifactError(f"{place} is no recipe: {error}; reinstall the package or mend the row") from error


def recipe_of(record: Facts) -> Recipe | None:
    """The recipe for a checkpoint: of the rows that fit, the one with most conditions, the first of several such.

    None where no row fits.

    Example:
        >>> from fennec.checkpoints.catalog import load_catalog
        >>> recipe_of(load_catalog()["timm:convnext_base.fb_in22k"]).optimizer
        'AdamW'
    """
    fitting = [recipe for recipe in load_recipes() if recipe.fits(record)]
    return max(fitting, key=lambda recipe: recipe.n_conditions, default=None)


def _rate(value: float) -> str:
    """A learning rate as people write it, 5e-5."""
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa.removesuffix('.0')}e{int(exponent)}"
