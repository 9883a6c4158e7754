"""Ideas for more than static history, one by one, judged as the default is: leave one task out on the eight hubs.

    python benchmark/experiments.py [--idea covariance] [--workers 2]

Length scale and weight of a likeness are chosen for every held-out image set over the other tasks of all hubs. Ideas
about models and hubs keep the values that the default ships with. Writes `experiments.csv` (idea, hub, task, static,
tau_w), an idea at a time, those already there kept. What was thought of each: `EXPERIMENTS.md`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.stats import trim_mean

from fennec.catalog import load_catalog
from fennec.embeddings import load_known_embeddings
from fennec.evaluate import EVALUATED_HUBS
from fennec.factorize import row_patterns
from fennec.history import gaussian_scores
from fennec.hubs import imagenet_accuracy, load_matrix
from fennec.measures import weighted_tau
from fennec.model_facts import facts_of

Floats = NDArray[np.float64]
RESULT = Path(__file__).parent / "results" / "experiments.csv"
GRID = [(length, noise) for length in (0.3, 0.45, 0.6, 0.9) for noise in (0.1, 0.3, 1.0)]
LENGTH, NOISE = 0.4, 0.2  # where nothing is chosen


@dataclass(frozen=True, eq=False)
class Hub:
    """Results as Gaussian scores; `sets` are positions among the known image sets, below zero where there is none."""

    name: str
    scores: Floats
    truth: Floats
    tasks: tuple[str, ...]
    sets: NDArray[np.intp]
    models: tuple[str, ...]


@cache
def image_sets() -> tuple[str, ...]:
    """Names of the image sets that have an embedding."""
    return tuple(sorted(load_known_embeddings()))


@cache
def hubs() -> tuple[Hub, ...]:
    """The evaluated hubs."""
    found = []
    for name in EVALUATED_HUBS:
        matrix = load_matrix(name)
        unknown = {images: -1 - row for row, images in enumerate(sorted(set(matrix.image_sets) - set(image_sets())))}
        numbers = {**{images: row for row, images in enumerate(image_sets())}, **unknown}
        scores = np.column_stack([gaussian_scores(column) for column in matrix.performance.T])
        sets = np.array([numbers[images] for images in matrix.image_sets])
        found.append(Hub(name, scores, matrix.performance, matrix.tasks, sets, matrix.models))
    return tuple(found)


def scaled(squared: Floats) -> Floats:
    """Squared distances in units of their median."""
    return squared / np.median(squared[np.triu_indices(len(squared), 1)])


def between(rows: Floats) -> Floats:
    """Scaled squared Euclidean distances of rows."""
    return scaled(((rows[:, None] - rows[None]) ** 2).sum(-1))


def moments(proxy: str) -> Floats:
    """Means and standard deviations, as in the default."""
    known = [load_known_embeddings(proxy)[name] for name in image_sets()]
    return (between(np.stack([e.mean for e in known])) + between(np.stack([e.std for e in known]))) / 2


def covariance(proxy: str) -> Floats:
    """All second moments."""
    known = [load_known_embeddings(proxy)[name] for name in image_sets()]
    upper = np.triu_indices(len(known[0].mean))
    return between(np.stack([(e.scatter / e.n_images)[upper] for e in known]))


def frechet(proxy: str) -> Floats:
    """Frechet distance between Gaussians (Heusel et al. 2017, equation 6)."""
    known = [load_known_embeddings(proxy)[name] for name in image_sets()]
    squared = np.zeros((len(known), len(known)))
    roots = []
    for embedding in known:
        values, axes = np.linalg.eigh(embedding.scatter / embedding.n_images)
        roots.append((axes * np.sqrt(np.maximum(values, 0))) @ axes.T)
    for one in range(len(known)):
        for two in range(one):
            product = np.linalg.svd(roots[one] @ roots[two], compute_uv=False).sum()
            traces = (roots[one] ** 2).sum() + (roots[two] ** 2).sum()
            squared[one, two] = ((known[one].mean - known[two].mean) ** 2).sum() + traces - 2 * product
    return scaled(squared + squared.T)


def separation(proxy: str) -> Floats:
    """Share of every feature's variance that lies between classes: what has to be told apart."""
    rows = []
    for name in image_sets():
        e = load_known_embeddings(proxy)[name]
        total = np.diag(e.scatter) / e.n_images
        classes = (e.class_counts[:, None] * (e.class_means - e.mean) ** 2).sum(0) / e.n_images
        chance = (len(e.class_counts) - 1) / e.n_images  # class means of few images vary by chance
        rows.append(np.clip((classes / (total + 1e-9) - chance) / max(1 - chance, 1e-9), 0, 1))
    return between(np.stack(rows))


def n_classes(proxy: str) -> Floats:
    """Logarithm of the number of classes seen."""
    known = load_known_embeddings(proxy)
    return between(np.log([[max(len(known[name].class_names), 2)] for name in image_sets()]))


def likeness(squared: Floats, one: NDArray[np.intp], two: NDArray[np.intp], length: float) -> Floats:
    """Covariance of tasks; those without an embedding are like nothing but themselves."""
    fade = np.exp(-squared / (2 * length**2))
    known = (one >= 0)[:, None] & (two >= 0)[None]
    return np.where(known, fade[np.maximum(one, 0)][:, np.maximum(two, 0)], one[:, None] == two[None])


def expected(scores: Floats, sets: NDArray[np.intp], new: int, squared: Floats, length: float, noise: float) -> Floats:
    """Static history moved by alike tasks, as the default does."""
    static = np.nanmean(scores, axis=1)
    inside = likeness(squared, sets, sets, length) + noise * np.eye(len(sets))
    towards = likeness(squared, sets, np.array([new]), length)[:, 0]
    found = static.copy()
    for pattern, rows in row_patterns(np.isfinite(scores)):
        weights = np.linalg.solve(inside[np.ix_(pattern, pattern)], towards[pattern])
        found[rows] += (scores[np.ix_(rows, pattern)] - static[rows, None]) @ weights
    return found


def held_out(hub: Hub, column: int, without: int | None = None) -> tuple[Floats, NDArray[np.intp], Floats]:
    """Scores of the tasks on other images, their image sets, and the truth, for models with any of them."""
    rest = np.flatnonzero((hub.sets != hub.sets[column]) & (hub.sets != without))
    rows = np.isfinite(hub.scores[:, rest]).any(axis=1)
    return hub.scores[np.ix_(rows, rest)], hub.sets[rest], hub.truth[rows, column]


def try_likeness(squared: Floats, new: int) -> list[tuple]:
    """One image set held out: choose on the others, then look."""
    table = []
    for hub in hubs():
        per_task = []
        for column in np.flatnonzero((hub.sets >= 0) & (hub.sets != new)):
            scores, sets, truth = held_out(hub, column, new)
            static = weighted_tau(np.nanmean(scores, axis=1), truth)
            per_task.append([weighted_tau(expected(scores, sets, hub.sets[column], squared, *point), truth) - static
                             for point in GRID])  # fmt: skip
        table.append(np.mean(per_task, axis=0))
    gains = np.array(table)
    point = GRID[int(np.where(gains < 0, 2 * gains, gains).mean(axis=0).argmax())]
    rows = []
    for hub in hubs():
        for column in np.flatnonzero(hub.sets == new):
            scores, sets, truth = held_out(hub, column)
            found = expected(scores, sets, new, squared, *point)
            static = weighted_tau(np.nanmean(scores, axis=1), truth)
            rows.append((hub.name, hub.tasks[column], static, weighted_tau(found, truth)))
    return rows


def try_history(summary: Callable[[Floats], float], new: int) -> list[tuple]:
    """Another summary of a model's known scores than their mean."""
    rows = []
    for hub in hubs():
        for column in np.flatnonzero(hub.sets == new):
            scores, _, truth = held_out(hub, column)
            found = np.array([summary(row[np.isfinite(row)]) for row in scores])
            rows.append((hub.name, hub.tasks[column], weighted_tau(np.nanmean(scores, axis=1), truth),
                         weighted_tau(found, truth)))  # fmt: skip
    return rows


@cache
def alike_models() -> Floats:
    """Likeness of all models of all hubs: family, network, words of the pre-training, size; ones on the diagonal."""
    facts = [facts_of(hub.models, load_catalog(), imagenet=imagenet_accuracy()) for hub in hubs()]
    families = np.array([family for each in facts for family in each.families])
    networks = np.array([name or f"#{row}" for row, name in enumerate(n for each in facts for n in each.backbones)])
    words = [word for each in facts for word in each.words]
    vocabulary = {word: column for column, word in enumerate(sorted(set().union(*words)))}
    bags = np.zeros((len(words), len(vocabulary)))
    for row, bag in enumerate(words):
        bags[row, [vocabulary[word] for word in bag]] = 1 / np.sqrt(max(len(bag), 1))
    size = np.concatenate([each.size for each in facts])
    near = np.exp(-((size[:, None] - size[None]) ** 2).sum(-1) / 2)
    total = (families[:, None] == families) + (networks[:, None] == networks) + bags @ bags.T + near
    own = np.sqrt(np.diag(total))
    return total / np.outer(own, own)


def try_models(shared: float, across: float, new: int) -> list[tuple]:
    """Gaussian process over models and tasks: alike ones share `shared` of the covariance, over hubs times `across`."""
    squared = moments("fennec-mini")
    first = np.cumsum([0, *(len(hub.models) for hub in hubs())])
    own_hub = np.repeat(np.arange(len(hubs())), np.diff(first))
    covariance_ = shared * alike_models() * np.where(own_hub[:, None] == own_hub, 1.0, across)
    covariance_[np.diag_indices(len(covariance_))] = 1.0
    cells, values, means = [], [], []
    for start, hub in zip(first, hubs(), strict=False):
        history = hub.scores[:, hub.sets != new]
        static = np.array([np.nan if np.isnan(row).all() else np.nanmean(row) for row in history])
        means.append(static)
        for column in np.flatnonzero((hub.sets >= 0) & (hub.sets != new)):
            rows = np.flatnonzero(np.isfinite(hub.scores[:, column]))
            cells += [(start + row, hub.sets[column]) for row in rows]
            values += list(hub.scores[rows, column] - static[rows])
    models, sets = np.array(cells).T
    residual, moved = np.array(values), np.zeros(len(covariance_))
    groups = [np.arange(len(models))] if across else [np.flatnonzero(own_hub[models] == h) for h in range(len(hubs()))]
    for group in groups:
        m, s = models[group], sets[group]
        inside = covariance_[np.ix_(m, m)] * likeness(squared, s, s, LENGTH)
        inside[np.diag_indices(len(inside))] += NOISE
        weights = cho_solve(cho_factor(inside, lower=True, overwrite_a=True), residual[group])
        spread = np.zeros(len(covariance_))
        np.add.at(spread, m, weights * likeness(squared, s, np.array([new]), LENGTH)[:, 0])
        change = covariance_ @ spread
        moved += change if across else np.where(own_hub == own_hub[m[0]], change, 0.0)
    rows = []
    for start, hub, static in zip(first, hubs(), means, strict=False):
        seen = np.isfinite(static)
        for column in np.flatnonzero(hub.sets == new):
            truth, found = hub.truth[seen, column], (static + moved[start : start + len(static)])[seen]
            rows.append((hub.name, hub.tasks[column], weighted_tau(static[seen], truth), weighted_tau(found, truth)))
    return rows


SMALL, LARGE = "fennec-mini", "dav2-ViT-S-14"
IDEAS: dict[str, Callable[[], Callable[[int], list[tuple]]]] = {
    "moments": lambda: partial(try_likeness, moments(SMALL)),
    "covariance": lambda: partial(try_likeness, covariance(SMALL)),
    "moments and covariance": lambda: partial(try_likeness, (moments(SMALL) + covariance(SMALL)) / 2),
    "frechet distance": lambda: partial(try_likeness, frechet(SMALL)),
    "larger encoder": lambda: partial(try_likeness, moments(LARGE)),
    "both encoders": lambda: partial(try_likeness, (moments(SMALL) + moments(LARGE)) / 2),
    "separation of classes": lambda: partial(try_likeness, separation(SMALL)),
    "moments and separation": lambda: partial(try_likeness, (moments(SMALL) + separation(SMALL)) / 2),
    "number of classes": lambda: partial(try_likeness, n_classes(SMALL)),
    "moments and number of classes": lambda: partial(try_likeness, (4 * moments(SMALL) + n_classes(SMALL)) / 5),
    "median history": lambda: partial(try_history, np.median),
    "trimmed history": lambda: partial(try_history, lambda row: float(trim_mean(row, 0.2))),
    "no alike models": lambda: partial(try_models, 0.0, 0.0),
    "alike models": lambda: partial(try_models, 0.9, 0.0),
    "alike models, all hubs": lambda: partial(try_models, 0.9, 0.7),
}


def main() -> None:
    """Try what is missing or asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--idea", action="append", choices=list(IDEAS))
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    columns = ["idea", "hub", "task", "static", "tau_w"]
    table = pd.read_csv(RESULT) if RESULT.is_file() else pd.DataFrame(columns=columns)
    for idea in arguments.idea or [name for name in IDEAS if name not in set(table["idea"])]:
        attempt = IDEAS[idea]()
        workers = 1 if "all hubs" in idea else arguments.workers  # for its memory
        parts = Parallel(n_jobs=workers)(delayed(attempt)(new) for new in range(len(image_sets())))
        rows = pd.DataFrame([(idea, *row) for part in parts for row in part], columns=columns).round(5)
        table = pd.concat([table[table["idea"] != idea], rows]).reset_index(drop=True)
        table.to_csv(RESULT, index=False)
        gains = (rows["tau_w"] - rows["static"]).groupby(rows["hub"], sort=False).mean()
        print(f"{idea:30s} {gains.mean():+.4f}  {gains.round(3).to_dict()}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
