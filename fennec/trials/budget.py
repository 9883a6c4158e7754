"""How much a search may spend: time, passes over the images, or models.

In: what a person types, such as `30m`. Out: `Budget`, and what one trial costs under a protocol.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from fennec.bench.protocols import FOLDS, Protocol
from fennec.errors import InputError, shown

SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}
UNITS = ("seconds", "passes", "models")
BACKWARD = 3  # a step of training costs as much as so many passes forward


@dataclass(frozen=True)
class Budget:
    """What may be spent.

    Attributes:
        amount: how much.
        unit: `seconds` of wall-clock time, `passes` of a model over the training images, or `models`.
    """

    amount: float
    unit: str

    @classmethod
    def parse(cls, text: str) -> Budget:
        """Read a budget.

        Raises:
            InputError: it is none, or not above 0.

        Example:
            >>> Budget.parse("1h30m"), Budget.parse("5 models")
            (Budget(amount=5400.0, unit='seconds'), Budget(amount=5.0, unit='models'))
        """
        words = text.strip().lower()
        if re.fullmatch(r"(\d+(\.\d+)?[smh])+", words):
            parts = re.findall(r"(\d+(?:\.\d+)?)([smh])", words)
            found = cls(sum(float(number) * SECONDS[unit] for number, unit in parts), "seconds")
        elif match := re.fullmatch(r"(\d+)\s*(pass|model)(es|s)?", words):
            found = cls(float(match[1]), "passes" if match[2] == "pass" else "models")
        else:
            raise InputError(f"budget is '{text}'; expected a time such as 30m or 1h30m, '50 passes' or '5 models'")
        if not 0 < found.amount < math.inf:
            raise InputError(f"budget is '{shown(text)}'; expected more than nothing, and an end")
        return found

    def price(self, seconds: float, passes: float) -> float:
        """What a trial takes of it."""
        return {"seconds": seconds, "passes": passes, "models": 1.0}[self.unit]

    def said(self, amount: float) -> str:
        """An amount in words.

        Example:
            >>> Budget.parse("30m").said(90), Budget.parse("5 models").said(1)
            ('1.5 min', '1 model')
        """
        if self.unit == "seconds":
            return duration(amount)
        one = {"passes": "pass", "models": "model"}[self.unit]
        return f"{amount:,.0f} {one if round(amount) == 1 else self.unit}"

    def __str__(self) -> str:
        return self.said(self.amount)


def duration(seconds: float) -> str:
    """A time in words, two digits of it.

    Example:
        >>> duration(7), duration(75), duration(8000)
        ('7 s', '1.2 min', '2.2 h')
    """
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"


def passes_of(protocol: Protocol) -> float:
    """Passes over the training images that one trial takes, those of its small grid included.

    Example:
        >>> passes_of(Protocol("linear_probe")), passes_of(Protocol(epochs=5))
        (1.0, 63.0)
    """
    if protocol.kind == "linear_probe":
        return 1.0
    points = len(protocol.learning_rates) * len(protocol.weight_decays)
    return BACKWARD * protocol.epochs * (points * (1 - 1 / FOLDS) + 1)
