"""What could know more than static history. In: a held-out image set (lab24: a task). Out: hub, task, static, tau_w.

Length scale and weight of a likeness are chosen for every held-out image set over the other tasks of all hubs. Ideas
about models and hubs have fixed values, which were seen to do well in a sketch on these hubs.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import combinations

import numpy as np
import pandas as pd
from fennec.space.history import gaussian_scores
from likeness import SMALL, Floats, Hub, fade, hubs, image_sets, moments
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import nnls
from sklearn.linear_model import Ridge

from fennec.bench.measured import load_measured_hub
from fennec.bench.metric_scores import FORWARD
from fennec.checkpoints.catalog import load_catalog
from fennec.checkpoints.facts import facts_of
from fennec.evaluation.leave_one_task_out import best_option
from fennec.evidence.hubs import imagenet_accuracy
from fennec.measures import weighted_tau
from fennec.space.factorize import row_patterns

GRID = [(length, noise) for length in (0.3, 0.45, 0.6, 0.9) for noise in (0.1, 0.3, 1.0)]
LENGTH, NOISE = 0.4, 0.2  # where nothing is chosen


def posterior(
    scores: Floats, sets: NDArray[np.intp], new: int, covariance_: Floats, noise: float, own: float
) -> Floats:
    """Static history moved by tasks with a given covariance; those without images are like nothing but themselves."""
    static = np.nanmean(scores, axis=1)
    known = sets >= 0
    inside = own * (sets[:, None] == sets[None]) + noise * np.eye(len(sets))
    inside[np.ix_(known, known)] = covariance_[np.ix_(sets[known], sets[known])] + noise * np.eye(known.sum())
    towards = np.where(known, covariance_[sets, new], 0.0)
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


def judged(new: int, expect: Callable[[Floats, NDArray[np.intp]], Floats]) -> list[tuple]:
    """Static history and what is expected from scores and image sets of the other tasks, on one held-out image set."""
    rows = []
    for hub in hubs():
        for column in np.flatnonzero(hub.sets == new):
            scores, sets, truth = held_out(hub, column)
            static = np.nanmean(scores, axis=1)
            found = expect(scores, sets)
            rows.append((hub.name, hub.tasks[column], weighted_tau(static, truth), weighted_tau(found, truth)))
    return rows


def try_likeness(squared: Floats, new: int) -> list[tuple]:
    """One image set held out: choose on the others, then look."""

    def moved(scores: Floats, sets: NDArray[np.intp], image_set: int, point: tuple[float, float]) -> Floats:
        length, noise = point
        return posterior(scores, sets, image_set, fade(squared, length), noise, 1.0)

    table = []
    for hub in hubs():
        per_task = []
        for column in np.flatnonzero((hub.sets >= 0) & (hub.sets != new)):
            scores, sets, truth = held_out(hub, column, new)
            static = weighted_tau(np.nanmean(scores, axis=1), truth)
            per_task.append([weighted_tau(moved(scores, sets, hub.sets[column], point), truth) - static
                             for point in GRID])  # fmt: skip
        table.append(np.mean(per_task, axis=0))
    point = GRID[best_option(np.array(table).T)]
    return judged(new, lambda scores, sets: moved(scores, sets, new, point))


def try_history(summary: Callable[[Floats], float], new: int) -> list[tuple]:
    """Another summary of a model's known scores than their mean."""
    return judged(new, lambda scores, _: np.array([summary(row[np.isfinite(row)]) for row in scores]))


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
    alike = fade(moments(SMALL), LENGTH)
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
        inside = covariance_[np.ix_(m, m)] * alike[np.ix_(s, s)]
        inside[np.diag_indices(len(inside))] += NOISE
        weights = cho_solve(cho_factor(inside, lower=True, overwrite_a=True), residual[group])
        spread = np.zeros(len(covariance_))
        np.add.at(spread, m, weights * alike[s, new])
        change = covariance_ @ spread
        moved += change if across else np.where(own_hub == own_hub[m[0]], change, 0.0)
    rows = []
    for start, hub, static in zip(first, hubs(), means, strict=False):
        seen = np.isfinite(static)
        for column in np.flatnonzero(hub.sets == new):
            truth, found = hub.truth[seen, column], (static + moved[start : start + len(static)])[seen]
            rows.append((hub.name, hub.tasks[column], weighted_tau(static[seen], truth), weighted_tau(found, truth)))
    return rows


def try_learned(bases: list[Floats], new: int) -> list[tuple]:
    """Likeness as a sum of others, with the weights that explain the covariance of all pairs of known tasks best.

    Residuals are centred per model, which pulls every covariance down by a common amount: one more column.
    """
    design, target = [], []
    for hub in hubs():
        columns = np.flatnonzero((hub.sets >= 0) & (hub.sets != new))
        left = hub.scores[:, columns] - np.nanmean(hub.scores[:, hub.sets != new], axis=1, keepdims=True)
        for one, two in combinations(range(len(columns)), 2):
            product = left[:, one] * left[:, two]
            weight = np.sqrt(np.isfinite(product).sum())
            row = [base[hub.sets[columns[one]], hub.sets[columns[two]]] for base in bases]
            design.append(weight * np.array([*row, -1.0]))
            target.append(weight * np.nanmean(product))
    weights = nnls(np.array(design), np.array(target))[0][:-1]
    total = sum(weight * base for weight, base in zip(weights, bases, strict=True))

    def expect(scores: Floats, sets: NDArray[np.intp]) -> Floats:
        left = scores - np.nanmean(scores, axis=1, keepdims=True)
        noise = max(np.nanmean(left**2) - weights.sum(), 0.05)
        return posterior(scores, sets, new, total, noise, weights.sum())

    return judged(new, expect)


def try_other_hubs(new: int) -> list[tuple]:
    """The same models' results in other hubs as more history, with a weight chosen on the other image sets."""
    shares = (0.0, 0.1, 0.3, 1.0, 3.0)

    def merged(hub: Hub, column: int, without: int | None, share: float) -> tuple[Floats, Floats, Floats]:
        rest = np.flatnonzero((hub.sets != hub.sets[column]) & (hub.sets != without))
        rows = np.isfinite(hub.scores[:, rest]).any(axis=1)
        static = np.nanmean(hub.scores[np.ix_(rows, rest)], axis=1)
        names = np.array(hub.models)[rows]
        held = {hub.sets[column], new}
        found = static.copy()
        elsewhere = pd.concat([
            pd.DataFrame(other.scores[:, [task for task, one in enumerate(other.sets) if one not in held]],
                         index=list(other.models)).reindex(names)
            for other in hubs() if other is not hub
        ], axis=1).mean(axis=1).to_numpy()  # fmt: skip
        both = np.isfinite(elsewhere)
        if both.sum() > 2 and (spread := elsewhere[both].std()) > 0:
            level = static[both].mean() + (elsewhere[both] - elsewhere[both].mean()) * static[both].std() / spread
            found[both] = (static[both] + share * level) / (1 + share)
        return static, found, hub.truth[rows, column]

    def gain(hub: Hub, column: int, without: int | None, share: float) -> tuple[float, float]:
        static, found, truth = merged(hub, column, without, share)
        return weighted_tau(static, truth), weighted_tau(found, truth)

    table = []
    for hub in hubs():
        columns = np.flatnonzero((hub.sets >= 0) & (hub.sets != new))
        table.append([np.mean([np.subtract(*gain(hub, column, new, share)[::-1]) for column in columns])
                      for share in shares])  # fmt: skip
    share = shares[best_option(np.array(table).T)]
    return [
        (hub.name, hub.tasks[column], *gain(hub, column, None, share))
        for hub in hubs()
        for column in np.flatnonzero(hub.sets == new)
    ]


def try_weighted_history(new: int) -> list[tuple]:
    """Known tasks count by how far they agree with the mean of the others: saturated and failed ones count less."""

    def expect(scores: Floats, _: NDArray[np.intp]) -> Floats:
        weights = []
        for task in range(scores.shape[1]):
            others = np.delete(scores, task, axis=1)
            both = np.isfinite(scores[:, task]) & np.isfinite(others).any(axis=1)
            weights.append(max(np.corrcoef(scores[both, task], np.nanmean(others[both], axis=1))[0, 1], 0.05))
        return (np.nan_to_num(scores) * weights).sum(axis=1) / (np.isfinite(scores) * weights).sum(axis=1)

    return judged(new, expect)


@cache
def sources() -> dict[str, int]:
    """Image set that a model was trained on, where it is one of the known ones."""
    spelled = {"".join(character for character in name if character.isalnum()): row
               for row, name in enumerate(image_sets())}  # fmt: skip
    frame = load_catalog().frame
    last = frame["finetuned_on"].where(frame["finetuned_on"].ne(""), frame["pretraining_data"])
    plain = {model: "".join(character for character in data if character.isalnum()) for model, data in last.items()}
    return {model: spelled[data] for model, data in plain.items() if data in spelled}


def try_sources(new: int) -> list[tuple]:
    """Models trained on images like those of the task gain what such models gained on known tasks."""
    near_to = fade(moments(SMALL), 0.6)

    def nearness(hub: Hub, one: int) -> Floats:
        return np.array([near_to[sources()[model], one] if model in sources() else 0.0 for model in hub.models])

    above = below = 0.0
    for hub in hubs():
        static = np.nanmean(hub.scores[:, hub.sets != new], axis=1)
        columns = np.flatnonzero((hub.sets >= 0) & (hub.sets != new))
        near = np.column_stack([nearness(hub, hub.sets[column]) for column in columns])
        near -= near.mean(axis=1, keepdims=True)
        left = np.nan_to_num(hub.scores[:, columns] - static[:, None])
        above, below = above + (near * left).sum() / len(static), below + (near**2).sum() / len(static)
    rows = []
    for hub in hubs():
        known = np.flatnonzero((hub.sets >= 0) & (hub.sets != new))
        usual = np.column_stack([nearness(hub, hub.sets[column]) for column in known]).mean(axis=1)
        for column in np.flatnonzero(hub.sets == new):
            static = np.nanmean(hub.scores[:, hub.sets != new], axis=1)
            seen = np.isfinite(static)
            found = static + above / (below + 1) * (nearness(hub, new) - usual)
            truth = hub.truth[seen, column]
            rows.append((hub.name, hub.tasks[column], weighted_tau(static[seen], truth),
                         weighted_tau(found[seen], truth)))  # fmt: skip
    return rows


def try_metrics(metrics: tuple[str, ...] | None, task: int) -> list[tuple]:
    """On lab24, static history moved by forward-pass scores of all models: a ridge on the other tasks.

    A score counts as far as it differs from the model's mean on the other tasks.
    """
    measured = load_measured_hub("lab24")
    matrix, table = measured.matrix, measured.scores
    names = metrics or tuple(sorted(set(table["metric"]) - {FORWARD}))
    wide = table.pivot_table(index="model", columns=["metric", "task"], values="score", dropna=False)
    wide = wide.reindex(list(matrix.models))
    scores = np.column_stack([gaussian_scores(column) for column in matrix.performance.T])
    passes = np.stack([
        np.nan_to_num(np.column_stack([gaussian_scores(wide[name, one].to_numpy()) for name in names]))
        for one in matrix.tasks
    ])  # fmt: skip
    others = [one for one in range(matrix.n_tasks) if one != task]

    def evidence(one: int, rest: list[int]) -> tuple[Floats, Floats]:
        return passes[one] - passes[rest].mean(axis=0), scores[:, rest].mean(axis=1)

    design, target = [], []
    for one in others:
        change, static = evidence(one, [other for other in others if other != one])
        design.append(change)
        target.append(scores[:, one] - static)
    change, static = evidence(task, others)
    model = Ridge(alpha=0.1 * len(design) * len(static), fit_intercept=False)
    found = static + model.fit(np.concatenate(design), np.concatenate(target)).predict(change)
    truth = matrix.performance[:, task]
    return [("lab24", matrix.tasks[task], weighted_tau(static, truth), weighted_tau(found, truth))]
