"""What is a description worth: words against images, both, and neither, on tasks that nobody has seen.

    python benchmark/space/new_tasks.py --folder FOLDER
    python benchmark/space/words.py --folder FOLDER --images ../shared/images

Every known image set is described by its sentence in `data/descriptions.csv` and its class names, and compared with
what is said of the others: neither its own texts nor their words are known. Power and weight of the mixture are chosen
for every left-out image set (or study) from nine settings by the mean gain in tau_w on the others; "in use" is the one
setting of the package, which was written down before any figure was seen. Writes

- `words_tasks.csv` (left, study, protocol, image_set, ...): mean tau_w over the columns of every task by each method,
  and resemblance by words and by images;
- `words.csv` (left, protocol, tasks, method, n_tasks, tau_w, gain over neither with its 95 % bootstrap interval over
  image sets, or over studies where they were left out);
- `words_packs.csv`: five packs of pictures, the answers to words beside those to pictures;
- `words_time.csv`: seconds of a query.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from new_tasks import Floats, NewTask, load
from speed import median_seconds

from fennec.images.open import open_dataset
from fennec.measures import bootstrap_interval, weighted_tau
from fennec.settings import data_dir
from fennec.space.kernel import TaskKernel
from fennec.space.process import AFFINITY_NOISE
from fennec.space.recommender import Recommender
from fennec.space.shortlist import ABSTAIN
from fennec.space.transfer_space import TransferSpace
from fennec.tasks.embedding import embed_task
from fennec.tasks.embedding_files import load_known_embeddings
from fennec.tasks.text_encoders import TextEncoder, WordPieces
from fennec.tasks.words import (
    POWER,
    UNKNOWN,
    KnownTexts,
    TaskDescription,
    Text,
    describe_task,
    known_texts,
    load_texts,
    mixture,
)

RESULTS = Path(__file__).parents[1] / "results"
SETTINGS = tuple(itertools.product((1.0, 2.0, 3.0), (0.03, 0.1, 0.3)))
METHODS = ("neither", "images", "words", "both", "words without classes", "words against titles")
QUERIES = METHODS[2], METHODS[4], METHODS[5]
IN_USE = {"words": "words in use", "both": "both in use"}  # by the setting of the package, chosen before any figure
TARGET = 0.05  # seconds of a query
PACKS = {
    "neu_steel": "grey photographs of defects on the surface of hot-rolled steel",
    "magnetic_tile": "grey photographs of the surface of magnetic tiles, with cracks, breaks and blowholes",
    "hymenoptera": "close photographs of ants and bees outdoors",
    "bangla_digits": "scanned digits written by hand in Bengali",
    "math_symbols": "small black and white pictures of mathematical symbols written by hand",
}


class Ground:
    """Likenesses of all image sets, and the scores that they give."""

    def __init__(self, encoder: Callable[[], TextEncoder] = WordPieces, queries: tuple[str, ...] = QUERIES) -> None:
        texts = load_texts()
        said = pd.read_csv(data_dir() / "descriptions.csv", index_col="image_set")["description"]
        bare = {
            name: Text(text.about.replace(said.get(name, ""), ""), text.class_names) for name, text in texts.items()
        }
        self.embeddings = load_known_embeddings()
        self.kernel = TaskKernel.fit(self.embeddings, length_scale=TransferSpace().length_scale)
        self.likeness: dict[tuple[str, str], dict[str, float]] = {}
        for name, description in said.items():
            rest = KnownTexts({other: text for other, text in texts.items() if other != name}, encoder())
            asked = Text(description, texts[name].class_names)
            compared = [(rest, asked)]
            if len(queries) > 1:
                titles = KnownTexts({other: text for other, text in bare.items() if other != name}, encoder())
                compared += [(rest, Text(description)), (titles, asked)]
            for query, (known, text) in zip(queries, compared, strict=True):
                found = known.likeness(text)
                self.likeness[query, name] = dict(zip(known.image_sets, found.tolist(), strict=True))

    def words(self, task: NewTask, query: str, power: float, unknown: float) -> Floats:
        """Covariance of a task with the known ones, from a description."""
        likeness = self.likeness[query, task.image_set]
        shares = mixture(np.array(list(likeness.values())), power=power, unknown=unknown)
        return self.kernel.to_described(task.known, dict(zip(likeness, shares.tolist(), strict=True)))

    def images(self, task: NewTask) -> Floats:
        """The same from its images; zeros where there are none."""
        return self.kernel.to_new(task.known, self.embeddings.get(task.image_set))

    def resemblance(self, task: NewTask, covariance: Floats) -> float:
        """As `TransferSpace.resemblance`."""
        inside = self.kernel.between(task.known) + AFFINITY_NOISE * np.eye(len(task.known))
        return float(covariance @ np.linalg.solve(inside, covariance)) if len(covariance) else 0.0


def named(method: str, setting: tuple[float, float]) -> str:
    """Column of a method with a setting."""
    return f"{method}|{setting[0]}|{setting[1]}"


def tau(task: NewTask, covariance: Floats) -> float:
    """Mean weighted tau over the columns of a task."""
    scores = task.level + task.parts @ covariance
    return float(np.mean([weighted_tau(scores, column) for column in task.truth.T]))


def judged(tasks: list[NewTask]) -> pd.DataFrame:
    """Every task by every method and setting, wide."""
    ground, rows = Ground(), []
    for at, task in enumerate(tasks):
        if at % 100 == 0:
            print(f"{at} of {len(tasks)} tasks", file=sys.stderr, flush=True)
        seen = ground.images(task)
        explained = ground.resemblance(task, seen)
        row = {
            "left": task.left,
            "study": task.study,
            "protocol": task.protocol,
            "image_set": task.image_set,
            "n_models": len(task.level),
            "has_images": task.image_set in ground.embeddings,
            "by_images": explained,
            "neither": tau(task, np.zeros(len(task.known))),
            "images": tau(task, seen),
        }
        for query, setting in itertools.product(QUERIES, SETTINGS):
            told = ground.words(task, query, *setting)
            row[named(query, setting)] = tau(task, told)
            if query == "words":
                row[named("both", setting)] = tau(task, seen + (1 - explained) * told)
                row[named("by_words", setting)] = ground.resemblance(task, told)
        rows.append(row)
    return pd.DataFrame(rows)


def chosen(table: pd.DataFrame) -> pd.DataFrame:
    """With the setting that is best on all but the left-out image set or study, by the mean over the others."""
    parts = []
    for left, some in table.groupby("left"):
        unit = "image_set" if left == "task" else "study"
        gains = np.stack([some[named("words", setting)] - some["neither"] for setting in SETTINGS], axis=1)
        means = pd.DataFrame(gains).groupby(some[unit].to_numpy()).mean()
        best = {name: SETTINGS[int(means.drop(index=name).mean().idxmax())] for name in means.index}
        print(left, dict(zip(SETTINGS, means.mean().round(4).tolist(), strict=True)), file=sys.stderr)
        print(f"in use: power {POWER}, weight of the unknown {UNKNOWN}", file=sys.stderr)
        own = [best[name] for name in some[unit]]
        found = some[[name for name in some if "|" not in name]].copy()
        for name in (*QUERIES, "both", "by_words"):
            found[name] = [row[named(name, setting)] for (_, row), setting in zip(some.iterrows(), own, strict=True)]
        for name, called in IN_USE.items():
            found[called] = some[named(name, (POWER, UNKNOWN))]
        parts.append(found.assign(power=[power for power, _ in own], unknown=[unknown for _, unknown in own]))
    return pd.concat(parts)


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Means and intervals: by protocol, for tasks with and without images, and for what words or images resemble."""
    groups = {
        "all": table["n_models"] > 0,
        "with images at hand": table["has_images"],
        "without images at hand": ~table["has_images"],
        "images resemble nothing": table["has_images"] & (table["by_images"] < ABSTAIN),
        "words resemble something": table["by_words"] >= ABSTAIN,
        "words resemble nothing": table["by_words"] < ABSTAIN,
    }
    rows = []
    for left, protocol, (group, inside) in itertools.product(
        ("task", "study"), ("all", *sorted(table["protocol"].unique())), groups.items()
    ):
        some = table[inside & table["left"].eq(left) & (table["protocol"].eq(protocol) | (protocol == "all"))]
        unit = "image_set" if left == "task" else "study"
        if some[unit].nunique() < 2:
            continue
        for method in (*METHODS, *IN_USE.values()):
            means = some.groupby(unit)[[method]].mean()[method]
            gains = (some[method] - some["neither"]).groupby(some[unit]).mean()
            low, high = bootstrap_interval(gains.to_numpy())
            rows.append((left, protocol, group, method, len(some), len(gains), means.mean(), gains.mean(), low, high))
    columns = ["left", "protocol", "tasks", "method", "n_tasks", "n_units", "tau_w", "gain", "low", "high"]
    return pd.DataFrame(rows, columns=columns)


def packs(folder: Path) -> pd.DataFrame:
    """Five packs of pictures that no study knows: words, pictures, both and neither."""
    space, rows = Recommender.from_published(), []
    for name, about in PACKS.items():
        images = embed_task(folder / name)
        classes = open_dataset(folder / name).class_names
        answers = {
            "neither": None,
            "images": images,
            "words": describe_task(about, classes=classes),
            "both": describe_task(about, images=images),
        }
        by_images = space.predict(images).scores
        for method, task in answers.items():
            ranking = space.recommend(task, n=5)
            words = task.shares if isinstance(task, TaskDescription) else {}
            near = [f"{other} {distance:.2f}" for other, distance in ranking.nearest_tasks]
            told = [f"{other} {100 * share:.0f} %" for other, share in ranking.nearest_in_words]
            rows.append(
                {
                    "pack": name,
                    "description": about,
                    "method": method,
                    "resemblance": ranking.resemblance,
                    "nearest": "; ".join(near),
                    "nearest in words": "; ".join(told),
                    "told by words": sum(words.values()),
                    "agreement with images": weighted_tau(space.predict(task).scores, by_images),
                    "best": " ".join(ranking.ids),
                }
            )
    return pd.DataFrame(rows)


def times() -> pd.DataFrame:
    """Seconds of a query after start, and of what is done once."""
    space, about = Recommender.from_published(), PACKS["neu_steel"]
    classes = ["crazing", "inclusion", "patches", "pitted surface", "rolled-in scale", "scratches"]

    def start() -> None:
        known_texts.cache_clear()
        known_texts()

    ask = partial(describe_task, about, classes=classes)
    many = partial(describe_task, about, classes=[f"defect of kind {n}" for n in range(10_000)])
    found = {
        "start: what is said of the known tasks": median_seconds(start),
        "query: from words to shares of known tasks": median_seconds(ask, repeats=20),
        "query: from words to the expected results of all models": median_seconds(
            lambda: space.predict(ask()), repeats=20
        ),
        "the same with ten thousand classes": median_seconds(lambda: space.predict(many()), repeats=5),
        "query: from words to the printed list with costs and draws": median_seconds(
            lambda: str(space.recommend(ask())), repeats=5
        ),
    }
    return pd.DataFrame(
        [(what, value, value / TARGET) for what, value in found.items()], columns=["what", "seconds", "of_target"]
    )


def main() -> None:
    """Compare, and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--images", type=Path)
    arguments = parser.parse_args()
    if arguments.folder:
        table = chosen(judged(load(arguments.folder)))
        table.round(5).to_csv(RESULTS / "words_tasks.csv", index=False)
        summary(table).round(5).to_csv(RESULTS / "words.csv", index=False)
    if arguments.images:
        packs(arguments.images).round(4).to_csv(RESULTS / "words_packs.csv", index=False)
        times().round(5).to_csv(RESULTS / "words_time.csv", index=False)


if __name__ == "__main__":
    main()
