"""Do numbers say more than words: how many pictures and classes a task has, beside its description.

    python benchmark/space/new_tasks.py --folder FOLDER --left task
    python benchmark/space/words_numbers.py --folder FOLDER [--text-encoder FOLDER]

As `words.py`, with the likeness of words times that of numbers: min(a/b, b/a) of the pictures for training and of the
classes, their mean; a half where one of both is not known. This rule was written down before it was measured. Settings
of the mixture are chosen for every left-out image set from nine by the mean gain in tau_w on the others: without
numbers, with numbers, and from all eighteen, so that whether numbers count is a choice of the others too; and, where
one is given, a sentence encoder in place of words, without numbers. Writes `words_numbers.csv`: mean tau_w, gain over
neither, and what is added to words, with 95 % bootstrap intervals over the image sets whose files are in the folder.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd
from new_tasks import Floats, load
from words import RESULTS, SETTINGS, Ground, tau

from fennec.measures import bootstrap_interval
from fennec.settings import data_dir
from fennec.tasks.text_encoders import TextEncoder, load_text_encoder
from fennec.tasks.words import mixture

NUMBERS = ("n_train", "n_classes")
UNKNOWN_NUMBER = 0.5
CHOICES = {"words": (False,), "words and numbers": (True,), "chosen on the others": (False, True)}


def sizes() -> pd.DataFrame:
    """Medians of the numbers by image set, NaN for unknown."""
    tasks = pd.read_csv(data_dir() / "tasks.csv")
    numbers = tasks[list(NUMBERS)].apply(pd.to_numeric, errors="coerce")
    return numbers.groupby(tasks["image_set"]).median()


def alike(own: Floats, others: Floats) -> Floats:
    """Of numbers with those of others, shape (n_others, 2) to (n_others,): 1 the same, a half where nobody knows.

    Example:
        >>> alike(np.array([1000.0, 10.0]), np.array([[1000.0, 100.0], [10.0, np.nan]])).tolist()
        [0.55, 0.255]
    """
    ratio = np.minimum(own / others, others / own)
    return np.asarray(np.where(np.isnan(ratio), UNKNOWN_NUMBER, ratio).mean(axis=1))


class Remembered:
    """A text encoder that reads every text once.

    Args:
        encoder: that reads.
    """

    def __init__(self, encoder: TextEncoder) -> None:
        self.encoder, self.name = encoder, encoder.name
        self.rows: dict[str, Floats] = {}

    def fit(self, texts: Sequence[str]) -> Self:
        """Nothing to learn."""
        return self

    def encode(self, texts: Sequence[str]) -> Floats:
        """Rows of length 1 or 0, shape (n_texts, n_features)."""
        new = sorted({text for text in texts if text not in self.rows}, key=len)
        self.rows |= dict(zip(new, np.asarray(self.encoder.encode(new)), strict=True)) if new else {}
        return np.stack([self.rows[text] for text in texts])


def judged(folder: Path, ground: Ground) -> pd.DataFrame:
    """Gains of every left-out image set by setting, with and without numbers, mean over its studies."""
    known_sizes, rows = sizes(), []
    for task in load(folder):
        if task.left != "task":
            continue
        likeness = ground.likeness["words", task.image_set]
        names = list(likeness)
        own = known_sizes.loc[task.image_set].to_numpy(dtype=float)
        factor = alike(own, known_sizes.reindex(names).to_numpy(dtype=float))
        row: dict[str, object] = {"image_set": task.image_set, "neither": tau(task, np.zeros(len(task.known)))}
        for (power, unknown), numbers in itertools.product(SETTINGS, (False, True)):
            values = np.array(list(likeness.values())) * (factor ** (1 / power) if numbers else 1.0)
            shares = mixture(values, power=power, unknown=unknown)
            told = ground.kernel.to_described(task.known, dict(zip(names, shares.tolist(), strict=True)))
            row[f"{power}|{unknown}|{numbers}"] = tau(task, told)
        rows.append(row)
    return pd.DataFrame(rows).groupby("image_set").mean()


def nested(table: pd.DataFrame, numbers: tuple[bool, ...]) -> tuple[Floats, list[str]]:
    """Every image set by the setting that is best on the others, and which that was."""
    columns = [f"{power}|{unknown}|{flag}" for (power, unknown), flag in itertools.product(SETTINGS, numbers)]
    gains = table[columns].sub(table["neither"], axis=0)
    rest = (gains.sum() - gains) / (len(gains) - 1)
    best = rest.idxmax(axis=1)
    return np.array([table.at[name, best[name]] for name in table.index]), best.tolist()


def main() -> None:
    """Compare, and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--text-encoder", type=Path)
    asked = parser.parse_args()
    table = judged(asked.folder, Ground(queries=("words",)))
    tables = {name: (table, numbers) for name, numbers in CHOICES.items()}
    if asked.text_encoder is not None:
        encoder = Remembered(load_text_encoder(asked.text_encoder))
        tower = judged(asked.folder, Ground(lambda: encoder, ("words",)))
        tables[f"sentence encoder ({encoder.name})"] = (tower.loc[table.index], (False,))
    words, rows = nested(table, (False,))[0], []
    for name, (some, numbers) in tables.items():
        found, best = nested(some, numbers)
        gain, more = found - table["neither"].to_numpy(), found - words
        share = float(np.mean([each.endswith("True") for each in best]))
        rows.append((name, len(table), found.mean(), gain.mean(), *bootstrap_interval(gain), more.mean(),
                     *bootstrap_interval(more), share))  # fmt: skip
    columns = ["method", "n_image_sets", "tau_w", "gain", "low", "high", "over_words", "over_words_low",
               "over_words_high", "share_with_numbers"]  # fmt: skip
    found = pd.DataFrame(rows, columns=columns)
    print(found.round(4).to_string(index=False))
    found.round(5).to_csv(RESULTS / "words_numbers.csv", index=False)


if __name__ == "__main__":
    main()
