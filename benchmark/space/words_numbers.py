"""Do numbers say more than words: how many pictures and classes a task has, beside its description.

    python benchmark/space/new_tasks.py --folder FOLDER
    python benchmark/space/words_numbers.py --folder FOLDER [--text-encoder FOLDER]

As `words.py`, with the weights of words times how alike the numbers are (`fennec.tasks.words.alike_in_size`). This rule
was written down before it was measured. Settings of the mixture are chosen for every left-out image set, or study, from
nine by the mean gain in tau_w on the others: without numbers, with numbers, and from all eighteen, so that whether
numbers count is a choice of the others too; and, where one is given, a sentence encoder in place of words, without
numbers. *In use* is the setting that comes with the package. Writes `words_numbers.csv`: mean tau_w, gain over neither,
and what is added to words, with 95 % bootstrap intervals over the image sets, or studies, whose files are in the
folder.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd
from new_tasks import LEFT, Floats, load
from words import RESULTS, SETTINGS, Ground, tau

from fennec.measures import bootstrap_interval
from fennec.tasks.text_encoders import TextEncoder, load_text_encoder
from fennec.tasks.words import POWER, UNKNOWN, alike_in_size, known_numbers, mixture

CHOICES = {"words": (False,), "words and numbers": (True,), "chosen on the others": (False, True)}


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


def judged(folder: Path, ground: Ground, left: str) -> pd.DataFrame:
    """tau_w by setting, with and without numbers, of every image set (mean over its studies) or study that is left out.

    Args:
        folder: of the left-out tasks.
        ground: with their words.
        left: `task` or `study`.
    """
    sizes, rows = known_numbers(), []
    for task in load(folder):
        if task.left != left:
            continue
        likeness = ground.likeness["words", task.image_set]
        names = list(likeness)
        own = sizes.loc[task.image_set].to_numpy(dtype=float)
        factor = alike_in_size(own, sizes.reindex(names).to_numpy(dtype=float))
        unit = task.image_set if left == "task" else task.study
        row: dict[str, object] = {"unit": unit, "neither": tau(task, np.zeros(len(task.known)))}
        for (power, unknown), numbers in itertools.product(SETTINGS, (False, True)):
            values = np.array(list(likeness.values()))
            shares = mixture(values, factor if numbers else 1.0, power=power, unknown=unknown)
            told = ground.kernel.to_described(task.known, dict(zip(names, shares.tolist(), strict=True)))
            row[f"{power}|{unknown}|{numbers}"] = tau(task, told)
        rows.append(row)
    return pd.DataFrame(rows).groupby("unit").mean()


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
    ground, rows = Ground(queries=("words",)), []
    encoder = None if asked.text_encoder is None else Remembered(load_text_encoder(asked.text_encoder))
    tower = None if encoder is None else Ground(lambda: encoder, ("words",))
    for left in LEFT:
        table = judged(asked.folder, ground, left)
        tables = {name: (table, numbers) for name, numbers in CHOICES.items()}
        if encoder is not None and tower is not None:
            read = judged(asked.folder, tower, left)
            tables[f"sentence encoder ({encoder.name})"] = (read.loc[table.index], (False,))
        words = nested(table, (False,))[0]
        in_use = f"{POWER}|{UNKNOWN}|True"
        for name, (some, numbers) in {**tables, "words and numbers, in use": (table, ())}.items():
            found, best = nested(some, numbers) if numbers else (table[in_use].to_numpy(), [in_use] * len(table))
            gain, more = found - table["neither"].to_numpy(), found - words
            share = float(np.mean([each.endswith("True") for each in best]))
            rows.append((left, name, len(table), found.mean(), gain.mean(), *bootstrap_interval(gain), more.mean(),
                         *bootstrap_interval(more), share))  # fmt: skip
    columns = ["left_out", "method", "n", "tau_w", "gain", "low", "high", "over_words", "over_words_low",
               "over_words_high", "share_with_numbers"]  # fmt: skip
    found = pd.DataFrame(rows, columns=columns)
    print(found.round(4).to_string(index=False))
    found.round(5).to_csv(RESULTS / "words_numbers.csv", index=False)


if __name__ == "__main__":
    main()
