"""What a search finds within so many trials, or so much time: every study, with a task or the whole study left out.

    python benchmark/space/search.py [--left study --left task]

The published results are the truth: a trial looks one up. Left out as in `search_cases.py`. Writes

- `search.csv` (left, study, protocol, n_models, n_tasks, method, unit, amount, regret, low, high): mean regret in
  points and its 95 % bootstrap interval over tasks; unit is `trials`, `cost` (in mean trials of the study's models by
  published rates) or `stop` (trials until none is expected to gain 0.2 points, and the regret then);
- `search_tasks.csv` (study, protocol, task, n_models, ranking@5, search@5, ranking@10, search@10): regret task by task,
  one left out;
- `search_chance.csv` (left, trials, above, low, high, n, drawn, said, was): probability that something untried is
  better by more than so many points: share of draws, as said, and as it was. What is said is learned from the shares of
  all other studies;
- `search_speed.csv` (candidates, trials, pending, seconds): a decision at the size of the catalog.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import search_cases
from scipy.special import expit, logit
from search_cases import CACHE, CHOSEN, Case, cases, left_out
from sklearn.linear_model import LogisticRegression

from fennec.checkpoints.catalog import load_catalog
from fennec.checkpoints.facts import facts_of
from fennec.evidence.scores import study_name
from fennec.measures import bootstrap_interval
from fennec.space.deviation import Expected
from fennec.space.recommender import Recommender
from fennec.trials import belief, choice
from fennec.trials.belief import Belief, Prior
from fennec.trials.choice import choose, something_better

RESULTS = Path(__file__).parents[1] / "results"
KEY = ["left", "study", "protocol", "n_models", "task", "method", "unit", "amount"]
SAID = ["left", "study", "trials", "above", "drawn", "was"]
TRIALS = (1, 2, 3, 5, 10, 20)
COSTS = (1, 2, 5, 10)  # in mean trials
WORTH = 0.002
ABOVE = (0.0, 0.005, 0.01, 0.02)
BOUNDS = np.linspace(0, 1, 6)
N_RANDOM = 20


def main() -> None:
    """Fit what is missing, simulate what is, and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--left", action="append", choices=["study", "task"])
    parser.add_argument("--fitted", action="store_true", help="only spaces that are in the cache")
    arguments = parser.parse_args()
    spaces = [(left, path) for left in arguments.left or ["study", "task"]
              for path in (sorted(CACHE.glob(f"{left}-*.npz")) if arguments.fitted else left_out(left))]  # fmt: skip
    with ProcessPoolExecutor() as pool:
        regrets, chances = zip(*pool.map(simulated, *zip(*spaces, strict=True)), strict=True)
    table = pd.concat(regrets)
    summarise(table).to_csv(RESULTS / "search.csv", index=False)
    by_task(table).to_csv(RESULTS / "search_tasks.csv", index=False)
    calibration(pd.concat(chances, ignore_index=True)).to_csv(RESULTS / "search_chance.csv", index=False)
    speed().to_csv(RESULTS / "search_speed.csv", index=False)


def simulated(left: str, path: Path) -> list[pd.DataFrame]:
    """Regrets and chances of the tasks of a space, kept beside it for as long as the code is the same."""
    warnings.simplefilter("ignore")  # means of models without any other result
    kept = [path.with_name(f"{path.stem}.{name}.{version()}.parquet") for name in ("regrets", "chances")]
    if not all(file.exists() for file in kept):
        found = list(cases(left, path))
        tables = [
            pd.DataFrame([row for case in found for row in simulate(case)], columns=[*KEY, "regret"]),
            pd.DataFrame([row for case in found for row in said(case)], columns=SAID),
        ]
        for table, file in zip(tables, kept, strict=True):
            table.to_parquet(file)
    return [pd.read_parquet(file) for file in kept]


@cache
def version() -> str:
    """Hash of the code that simulations depend on."""
    files = (__file__, search_cases.__file__, belief.__file__, choice.__file__, CHOSEN)
    return hashlib.sha256(b"".join(Path(file).read_bytes() for file in files)).hexdigest()[:8]


def trials_of(
    case: Case,
    prior: Prior,
    n: float,
    *,
    cost: np.ndarray | None = None,
    by_time: bool = True,
    workers: int = 1,
    gains: list[float] | None = None,
) -> list[int]:
    """Rows in the order in which a search tries them.

    Args:
        case: where a trial looks its result up.
        prior: what is believed beforehand.
        n: trials, or what they may cost.
        cost: of every trial, one each when None.
        by_time: choose by gain per time where there is a cost.
        gains: takes the gain that was expected of every trial.
        workers: trials at a time; all of a batch end together.
    """
    prices = np.ones(len(case.truth)) if cost is None else cost
    order: list[int] = []
    while True:
        believed = Belief(prior, {row: float(case.truth[row]) for row in order})
        batch: list[int] = []
        for _ in range(workers):
            left = n - prices[[*order, *batch]].sum()
            open_rows = np.setdiff1d(np.flatnonzero(prices <= left + 1e-9), [*order, *batch])
            found = choose(believed, open_rows, prices, pending=batch, per_second=by_time and cost is not None)
            if found is None:
                break
            batch.append(found.row)
            if gains is not None:
                gains.append(np.inf if found.gain is None else found.gain)
        if not batch:
            return order
        order += batch


def simulate(case: Case) -> Iterator[tuple[object, ...]]:
    """(left, study, protocol, n_models, task, method, unit, amount, regret) of every method."""
    key = (case.left, case.study, case.protocol, len(case.truth), case.task)
    most, gains = max(TRIALS), list[float]()
    searches = {
        "search": trials_of(case, case.prior, most, gains=gains),
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
    stop = next((n for n, gain in enumerate(gains) if gain < WORTH), len(gains))
    yield (*key, "search", "stop", stop, regret(case, searches["search"][:stop]))
    if np.isnan(case.cost).any():
        return
    for total in COSTS:
        if total > case.cost.sum() / 2:
            continue
        afford = {name: affordable(order, case.cost, total) for name, order in orders.items()}
        afford["search"] = trials_of(case, case.prior, total, cost=case.cost)
        afford["search, not by time"] = trials_of(case, case.prior, total, cost=case.cost, by_time=False)
        afford["no history"] = trials_of(case, case.flat, total, cost=case.cost)
        for method, order in afford.items():
            yield (*key, method, "cost", total, regret(case, order))
        random = [regret(case, affordable(order, case.cost, total)) for order in chance]
        yield (*key, "random", "cost", total, float(np.mean(random)))


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
    """(left, study, trials, above, drawn, was): whether something untried is better by more than so much."""
    order = trials_of(case, case.prior, 10)
    for n in (3, 5, 10):
        if n < len(case.truth):
            believed = Belief(case.prior, {row: float(case.truth[row]) for row in order[:n]})
            untried = np.setdiff1d(np.arange(len(case.truth)), order[:n])
            for above in ABOVE:
                chance, _ = something_better(believed, untried, above=above, reliability=(0.0, 1.0))
                yield (
                    case.left,
                    case.study,
                    n,
                    100 * above,
                    chance,
                    bool(case.truth[untried].max() - believed.best > above),
                )


def summarise(table: pd.DataFrame) -> pd.DataFrame:
    """Mean regret by study, with bootstrap intervals over tasks."""
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


def by_task(table: pd.DataFrame) -> pd.DataFrame:
    """Regret of ranking and search on every task that was left out."""
    some = table.query("left == 'task' and unit == 'trials' and amount in (5, 10) and method in ('ranking', 'search')")
    wide = some.pivot_table(
        index=["study", "protocol", "task", "n_models"], columns=["method", "amount"], values="regret"
    )
    wide = wide[[("ranking", 5), ("search", 5), ("ranking", 10), ("search", 10)]]
    wide.columns = [f"{method}@{amount}" for method, amount in wide.columns]
    return wide.reset_index().round(3)


def calibration(table: pd.DataFrame) -> pd.DataFrame:
    """What was said and what was, by bins of what was said."""
    repeats = table["study"].map(study_name)
    for name in repeats.unique():
        own = repeats.eq(name)
        first, slope = reliability(table[~own])
        table.loc[own, "said"] = expit(first + slope * logit(table.loc[own, "drawn"]))
    print("reliability:", reliability(table), file=sys.stderr)
    table["bin"] = np.clip(np.searchsorted(BOUNDS, table["said"], side="right") - 1, 0, len(BOUNDS) - 2)
    groups = table.groupby(["left", "trials", "above", "bin"])
    found = groups.agg(n=("said", "size"), drawn=("drawn", "mean"), said=("said", "mean"), was=("was", "mean"))
    found = found.reset_index()
    found.insert(3, "low", BOUNDS[found["bin"]])
    found.insert(4, "high", BOUNDS[found["bin"] + 1])
    return found.drop(columns="bin").round(4)


def reliability(table: pd.DataFrame) -> tuple[float, float]:
    """Intercept and slope between the logits of shares of draws and of chances; every study counts once, either way."""
    weight = 1 / table.groupby(["left", "study"])["was"].transform("size")
    fitted = LogisticRegression(C=np.inf).fit(logit(table[["drawn"]]), table["was"], weight)
    return round(float(fitted.intercept_[0]), 2), round(float(fitted.coef_[0, 0]), 2)


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
    expected = Expected(vectors, task.covariance, task.task_vector, task.level, np.full(len(models), np.nan), doubt,
                        task.n_affinities)  # fmt: skip
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
