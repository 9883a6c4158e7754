"""What a search finds within so many trials, or so much time: every study, with a task and with the whole study left out.

    python benchmark/space/search.py [--left study --left task]

The published results are the truth: a trial looks one up. With `study`, everything of the study and of what repeats it
is gone from every fitted part. With `task`, so are all results on the task's images; image sets that share no study are
left out together, in folds, so that a study's own history lacks one image set only. Fitted spaces are kept in
`benchmark/cache/search`, so a run that was interrupted goes on. Writes

- `search.csv` (left, study, protocol, n_models, n_tasks, method, unit, amount, regret, low, high): mean regret in points
  and its 95 % bootstrap interval over tasks; unit is `trials`, `cost` (in mean trials of the study's models by published
  rates) or `stop` (trials until none is expected to gain 0.2 points). Study `mean` is the mean over studies;
- `search_chance.csv` (left, trials, above, low, high, n, said, was): probability that something untried is better by more
  than so many points, as said and as it was;
- `search_speed.csv` (candidates, trials, seconds): a decision at the size of the catalog.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from fennec.checkpoints.catalog import load_catalog
from fennec.checkpoints.cost import load_cost_model
from fennec.checkpoints.facts import Facts, facts_of
from fennec.evaluation.leave_one_study_out import Judged, judged_studies
from fennec.evidence.hubs import imagenet_accuracy
from fennec.evidence.scores import gaussian_scores, load_scores, study_name, without
from fennec.measures import bootstrap_interval
from fennec.space.deviation import Deviation, Expected
from fennec.space.kernel import TaskKernel
from fennec.space.process import AFFINITY, QUALITY, Affinity, GeneralQuality
from fennec.space.recommender import Recommender
from fennec.tasks.embedding_files import load_known_embeddings
from fennec.trials.belief import Belief, Prior, relatives
from fennec.trials.choice import choose, something_better

RESULTS = Path(__file__).parents[1] / "results"
CACHE = Path(__file__).parents[1] / "cache" / "search"
TRIALS = (1, 2, 3, 5, 10, 20)
COSTS = (1, 2, 3, 5, 10)  # in mean trials
WORTH = 0.002
ABOVE = (0.0, 0.005, 0.01, 0.02)
BOUNDS = np.linspace(0, 1, 6)
MIN_MODELS, MIN_SETS = 6, 3  # results of a task, and image sets of a study of which one is left out
N_RANDOM = 20
FLAT_SPREAD = 2.0  # variance of a level of which nothing is known

Column = tuple[str, str]  # name, image set


@dataclass(frozen=True, eq=False)
class Case:
    """One task that was left out, with its candidates that have a result."""

    left: str
    study: str
    protocol: str
    task: str
    truth: np.ndarray
    prior: Prior
    flat: Prior
    scores: dict[str, np.ndarray]
    cost: np.ndarray


def main() -> None:
    """Fit what is missing, simulate and write."""
    warnings.simplefilter("ignore")  # means of models without any other result
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--left", action="append", choices=["study", "task"])
    rows: list[tuple[object, ...]] = []
    chances: list[tuple[object, ...]] = []
    for left in parser.parse_args().left or ["study", "task"]:
        before = ""
        for path in fit_studies() if left == "study" else fit_tasks():
            if path.stem != before:
                print(path.stem, file=sys.stderr, flush=True)
            before = path.stem
            for case in cases(left, path):
                rows += simulate(case)
                chances += said(case)
    summarise(rows).to_csv(RESULTS / "search.csv", index=False)
    calibration(chances).to_csv(RESULTS / "search_chance.csv", index=False)
    speed().to_csv(RESULTS / "search_speed.csv", index=False)


def fit_studies() -> Iterator[Path]:
    """A fitted space without each study."""
    for case in judged_studies():
        path = CACHE / f"study-{case.study}-{case.protocol}.npz"
        rest = without(load_scores(), studies=[study_name(case.study)])
        placed = [model for model in case.models if model in load_catalog()]
        if not placed or not rest["protocol"].eq(case.protocol).any():
            continue
        if not path.exists():
            space = Recommender().fit(rest, protocol=case.protocol, candidates=placed)
            mean = rest[rest["protocol"].eq(case.protocol)].groupby("weights")["score"].mean()
            keep(path, space, case, list(zip(case.table, case.image_sets, strict=True)), lambda _, mean=mean: mean)
        yield path


def fit_tasks() -> Iterator[Path]:
    """A fitted space for each study and each fold of image sets."""
    used = [case for case in judged_studies() if len(set(case.image_sets)) >= MIN_SETS]
    fold = folds(used)
    for number in range(max(fold.values()) + 1):
        gone = [name for name, which in fold.items() if which == number]
        held = {case: [pair for pair in zip(case.table, case.image_sets, strict=True) if pair[1] in gone]
                for case in used}  # fmt: skip
        paths = {
            case: CACHE / f"task-{number}-{case.study}-{case.protocol}.npz" for case, pairs in held.items() if pairs
        }
        if not all(path.exists() for path in paths.values()):
            fit_fold(gone, {case: held[case] for case in paths}, paths)
        yield from (path for path in paths.values() if path.exists())


def folds(used: Sequence[Judged]) -> dict[str, int]:
    """Number of the fold of every image set: two that share a study are never in one."""
    names = sorted({name for case in used for name in case.image_sets},
                   key=lambda name: (-sum(name in case.image_sets for case in used), name))  # fmt: skip
    found: dict[str, int] = {}
    for name in names:
        near = {other for case in used if name in case.image_sets for other in case.image_sets}
        taken = {found[other] for other in near if other in found}
        found[name] = next(number for number in range(len(names)) if number not in taken)
    return found


def fit_fold(gone: Sequence[str], held: dict[Judged, list[Column]], paths: dict[Judged, Path]) -> None:
    """As `Recommender.fit` does without some image sets, what the studies of a protocol share fitted once."""
    rest = without(load_scores(), image_sets=gone)
    general = GeneralQuality().fit(rest, load_catalog())
    known = {name: each for name, each in load_known_embeddings().items() if name not in gone}
    affinities: dict[str, Affinity] = {}
    calibrated: dict[str, Recommender] = {}
    for case, columns in held.items():
        own = rest[rest["protocol"].eq(case.protocol)]
        if own.empty:
            continue
        space = Recommender()
        space.protocol_, space.study_, space.name_ = case.protocol, study_name(case.study), "all studies"
        space.kernel_ = TaskKernel.fit(known, length_scale=space.length_scale)
        if case.protocol not in affinities:
            affinities[case.protocol] = Affinity().fit(own, space.kernel_, load_catalog())
        space.general_, space.affinity_ = general, affinities[case.protocol]
        space.image_sets_, space.models_ = space.affinity_.image_sets_, tuple(case.models)
        space._place()
        if case.protocol not in calibrated:
            space._calibrate(rest)
            calibrated[case.protocol] = space
        space.levels_ = calibrated[case.protocol].levels_
        space.deviation_ = calibrated[case.protocol].deviation_
        keep(paths[case], space, case, columns, own_history(case))


def own_history(case: Judged) -> Callable[[str], pd.Series]:
    """Static history: mean score over the study's columns on other images."""

    def mean(image_set: str) -> pd.Series:
        others = [name for name, images in zip(case.table, case.image_sets, strict=True) if images != image_set]
        scores = np.column_stack([gaussian_scores(case.table[name]) for name in others])
        return pd.Series(np.nanmean(scores, axis=1), index=case.models)

    return mean


def keep(
    path: Path, space: Recommender, case: Judged, columns: Sequence[Column], history: Callable[[str], pd.Series]
) -> None:
    """Write all that simulations need of a space and the tasks that it lacks."""
    embeddings, models, deviation = load_known_embeddings(), list(space.models_), space.deviation_
    expected = [space.expected(embeddings.get(images)) for _, images in columns]
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(
        path,
        study=case.study, protocol=case.protocol, models=models, names=[name for name, _ in columns],
        truth=[case.table[name].reindex(models).to_numpy(dtype=float) for name, _ in columns],
        static=[history(images).reindex(models).to_numpy(dtype=float) for _, images in columns],
        task_vectors=[each.task_vector for each in expected], levels=[each.level for each in expected],
        vectors=space.model_vectors_, doubt=space.doubt_, cov=space.task_covariance_,
        level_variance=deviation.level_variance, noise=deviation.noise, spreads=deviation.spreads,
        width=deviation.width,
    )  # fmt: skip


def cases(left: str, path: Path) -> Iterator[Case]:
    """The tasks of a fitted space."""
    kept = np.load(path)
    everything = kept["models"].tolist()
    deviation = Deviation(
        *(float(kept[name]) for name in ("level_variance", "noise")), kept["spreads"], float(kept["width"])
    )
    seconds = 1 / load_cost_model().rates(everything, "training")["images_per_second"].to_numpy(dtype=float)
    params = load_catalog().frame["params"].reindex(everything).to_numpy(dtype=float)
    accuracy = np.array([imagenet_accuracy().get(model, np.nan) for model in everything])
    for column, task in enumerate(kept["names"].tolist()):
        truth = kept["truth"][column]
        rows = np.flatnonzero(np.isfinite(truth))
        if len(rows) < MIN_MODELS:
            continue
        facts = facts_of([everything[row] for row in rows], load_catalog())
        vectors, vector = kept["vectors"][rows], kept["task_vectors"][column]
        nothing = np.full(len(rows), np.nan)
        expected = Expected(vectors, kept["cov"], vector, float(kept["levels"][column]), nothing, kept["doubt"][rows])
        cost = np.where(np.isfinite(seconds[rows]), seconds[rows], np.nanmedian(seconds[rows]))
        yield Case(
            left, str(kept["study"]), str(kept["protocol"]), task, truth[rows],
            Prior.of(expected, deviation, facts, AFFINITY), flat(facts, deviation),
            {"ranking": vectors @ vector, "static": kept["static"][column][rows], "imagenet": accuracy[rows],
             "largest": params[rows], "cheapest": -cost if np.isfinite(seconds[rows]).mean() > 0.5 else nothing},
            cost / cost.mean() if np.isfinite(seconds[rows]).mean() > 0.5 else nothing,
        )  # fmt: skip


def flat(facts: Facts, deviation: Deviation) -> Prior:
    """The same process without any result: models are alike by their facts, none is expected to be better."""
    factors = np.column_stack([relatives(facts, QUALITY), relatives(facts, AFFINITY)])
    own = np.full(len(facts), QUALITY.same + deviation.noise)
    first = 1e-6 * np.random.default_rng(0).standard_normal(len(facts))  # nobody knows where to begin
    return Prior(first, factors, own, 0.0, FLAT_SPREAD, deviation.spreads)


def trials_of(
    case: Case, prior: Prior, n: float, *, cost: np.ndarray | None = None, worth: float = 0.0, workers: int = 1
) -> list[int]:
    """Rows in the order in which a search tries them.

    Args:
        case: where a trial looks its result up.
        prior: what is believed beforehand.
        n: trials, or what they may cost.
        cost: of every trial; choose by time where it is given.
        worth: stop where no trial is expected to gain so much.
        workers: trials at a time; all of a batch end together.
    """
    prices = np.ones(len(case.truth)) if cost is None else cost
    order: list[int] = []
    while True:
        belief = Belief(prior, {row: float(case.truth[row]) for row in order})
        batch: list[int] = []
        for _ in range(workers):
            left = n - prices[[*order, *batch]].sum()
            open_rows = np.setdiff1d(np.flatnonzero(prices <= left + 1e-9), [*order, *batch])
            choice = choose(belief, open_rows, prices, pending=batch, per_second=cost is not None)
            if choice is None or (order and choice.gain < worth):
                break
            batch.append(choice.row)
        if not batch:
            return order
        order += batch


def simulate(case: Case) -> Iterator[tuple[object, ...]]:
    """(left, study, protocol, n_models, task, method, unit, amount, regret) of every method."""
    key = (case.left, case.study, case.protocol, len(case.truth), case.task)
    most = max(TRIALS)
    searches = {
        "search": trials_of(case, case.prior, most),
        "no history": trials_of(case, case.flat, most),
        "search, 4 at a time": trials_of(case, case.prior, most, workers=4),
    }
    orders = {name: in_order(scores) for name, scores in case.scores.items() if np.isfinite(scores).mean() >= 0.5}
    generator = np.random.default_rng(0)
    chance = [generator.permutation(len(case.truth)).tolist() for _ in range(N_RANDOM)]
    for method, order in {**searches, **orders}.items():
        yield from ((*key, method, "trials", k, regret(case, order[:k])) for k in TRIALS)
    for k in TRIALS:
        yield (*key, "random", "trials", k, float(np.mean([regret(case, order[:k]) for order in chance])))
    stopped = trials_of(case, case.prior, most, worth=WORTH)
    yield (*key, "search", "stop", len(stopped), regret(case, stopped))
    if np.isnan(case.cost).any():
        return
    for total in COSTS:
        if total > case.cost.sum() / 2:
            continue
        afford = {name: affordable(order, case.cost, total) for name, order in orders.items()}
        afford["search"] = trials_of(case, case.prior, total, cost=case.cost)
        afford["search, not by time"] = affordable_search(case, total)
        afford["no history"] = trials_of(case, case.flat, total, cost=case.cost)
        for method, order in afford.items():
            yield (*key, method, "cost", total, regret(case, order))
        random = [regret(case, affordable(order, case.cost, total)) for order in chance]
        yield (*key, "random", "cost", total, float(np.mean(random)))


def affordable_search(case: Case, total: float) -> list[int]:
    """A search that does not look at the time of a trial beyond whether it fits."""
    order: list[int] = []
    while True:
        left = total - case.cost[order].sum()
        open_rows = np.setdiff1d(np.flatnonzero(case.cost <= left + 1e-9), order)
        belief = Belief(case.prior, {row: float(case.truth[row]) for row in order})
        choice = choose(belief, open_rows, case.cost)
        if choice is None:
            return order
        order.append(choice.row)


def in_order(scores: np.ndarray) -> list[int]:
    """Best first, those without a score last."""
    return np.argsort(-np.nan_to_num(scores, nan=-np.inf), kind="stable").tolist()


def affordable(order: Sequence[int], cost: np.ndarray, total: float) -> list[int]:
    """Down a list while the budget does; what no longer fits is left out."""
    taken: list[int] = []
    for row in order:
        if cost[row] <= total - cost[taken].sum() + 1e-9:
            taken.append(row)
    return taken


def regret(case: Case, order: Sequence[int]) -> float:
    """Points lost by taking the best of those tried; nothing tried loses as much as the worst."""
    return 100 * float(case.truth.max() - (case.truth[list(order)].max() if len(order) else case.truth.min()))


def said(case: Case) -> Iterator[tuple[object, ...]]:
    """(left, trials, above, said, was): whether something untried is better by more than so much."""
    order = trials_of(case, case.prior, 10)
    for n in (3, 5, 10):
        if n < len(case.truth):
            belief = Belief(case.prior, {row: float(case.truth[row]) for row in order[:n]})
            untried = np.setdiff1d(np.arange(len(case.truth)), order[:n])
            for above in ABOVE:
                chance, _ = something_better(belief, untried, above=above)
                yield case.left, n, 100 * above, chance, bool(case.truth[untried].max() - belief.best > above)


def summarise(rows: Sequence[tuple[object, ...]]) -> pd.DataFrame:
    """Mean regret by study and over studies, with bootstrap intervals over tasks."""
    key = ["left", "study", "protocol", "n_models", "task", "method", "unit", "amount"]
    table = pd.DataFrame(rows, columns=[*key, "regret"])
    table["n_models"] = table.groupby(["left", "study", "protocol"])["n_models"].transform("max")
    found = []
    stops = table["unit"].eq("stop")
    for name, part in table[~stops].groupby(["left", "study", "protocol", "n_models", "method", "unit", "amount"]):
        left, study, protocol, n_models, method, unit, amount = name
        values = part["regret"].to_numpy()
        found.append((left, study, protocol, n_models, len(values), method, unit, amount, values.mean(),
                      *bootstrap_interval(values)))  # fmt: skip
    for name, part in table[stops].groupby(["left", "study", "protocol", "n_models", "method"]):
        values = part["regret"].to_numpy()
        found.append((*name[:4], len(values), name[4], "stop", part["amount"].mean(), values.mean(),
                      *bootstrap_interval(values)))  # fmt: skip
    columns = ["left", "study", "protocol", "n_models", "n_tasks", "method", "unit", "amount", "regret", "low", "high"]
    return pd.DataFrame(found, columns=columns).round(4)


def calibration(rows: Sequence[tuple[object, ...]]) -> pd.DataFrame:
    """What was said and what was, by bins of what was said."""
    table = pd.DataFrame(rows, columns=["left", "trials", "above", "said", "was"])
    table["bin"] = np.clip(np.searchsorted(BOUNDS, table["said"], side="right") - 1, 0, len(BOUNDS) - 2)
    groups = table.groupby(["left", "trials", "above", "bin"])
    found = groups.agg(n=("said", "size"), said=("said", "mean"), was=("was", "mean")).reset_index()
    found.insert(3, "low", BOUNDS[found["bin"]])
    found.insert(4, "high", BOUNDS[found["bin"] + 1])
    return found.drop(columns="bin").round(4)


def speed() -> pd.DataFrame:
    """Seconds of a decision among many candidates, with few and many trials, and of one of four at a time."""
    catalog = load_catalog()
    models = list(catalog.candidates("finetune"))[:2300]
    space = Recommender.from_published()
    models = [*space.models_, *[name for name in catalog.frame.index if name not in set(space.models_)]][:2300]
    generator = np.random.default_rng(0)
    vectors = space.model_vectors_[generator.integers(len(space.models_), size=len(models))]
    task = space.expected()
    doubt = np.full(len(models), float(space.doubt_.mean()))
    expected = Expected(vectors, task.covariance, task.task_vector, task.level, np.full(len(models), np.nan), doubt)
    prior = Prior.of(expected, space.deviation_, facts_of(models, catalog), space.affinity)
    rows = []
    for n_trials in (1, 10, 50):
        results = {int(row): 0.8 for row in generator.choice(len(models), n_trials, replace=False)}
        open_rows = np.setdiff1d(np.arange(len(models)), list(results))
        for pending in ((), (0, 1, 2)):
            start = time.perf_counter()
            choose(Belief(prior, results), open_rows, np.ones(len(models)), pending=pending)
            rows.append((len(models), n_trials, len(pending), time.perf_counter() - start))
    return pd.DataFrame(rows, columns=["candidates", "trials", "pending", "seconds"]).round(3)


if __name__ == "__main__":
    main()
