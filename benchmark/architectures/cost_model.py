"""What does training cost: fit the weights of `data/cost_weights.csv`, and how far off are they on families left out?

    python benchmark/architectures/cost_model.py

Seconds for one picture are a sum over kinds of operators, so much for a billion multiply-adds and so much for a billion
values, none below zero (non-negative least absolute relative errors). Memory is the same over values, beside 16 bytes
a parameter. Both stay that simple on purpose: of ten models tried on rates of
training (log-linear, ridge on shares, Gaussian process, extra trees and boosting on what the sums leave, means), five
sets of kinds of work on each device, and ten models of memory (five sets, the bytes of a parameter fixed or fitted),
none was better by more than two hundredths in the median; two of them stand in the table for comparison. All were
compared on the same families left out, so that the figures are a little too good.

Writes `data/cost_weights.csv` and `benchmark/results/cost_model.csv`: check, device, n, n_families, median and 90 %
factor of error (1 is right), bias (above 1 is too much) and, for the batches, the share inside the published bounds.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.linear_model import LinearRegression, RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fennec.architectures.build import family_of
from fennec.architectures.graph import load_known_graphs
from fennec.architectures.workload import WORK, Workloads, load_known_workloads
from fennec.checkpoints.catalog import load_catalog
from fennec.checkpoints.cost import STATE_BYTES, TRAINED_ON, CostModel, load_cost_model, work_alike
from fennec.evaluation.cold_start import family_folds, united_families
from fennec.evidence.studies import load_costs

ROOT = Path(__file__).parents[2]
N_ROUNDS, NEAR = 12, 0.05  # of reweighting; errors below a twentieth count alike
KEPT = (("convolution", "pointwise", "grouped", "depthwise", "linear"), ("matmul", "attention"), ("batch_norm",),
        ("other_norm",), ("relu",), ("other_activation",))  # values of which training keeps something  # fmt: skip
FASTAI = dict(side=224, batch_size=32, n_epochs=6)  # fine_tune.py at the commit of the card: 1 frozen, 5 unfrozen
FASTAI_IMAGES = {"oxford_pets": 5912, "planet_amazon_1k": 800}  # four fifths, the rest is for validation
N_FOLDS = 12
CARD_GB, SGD_BYTES, LARGEST_BATCH = 24, 12, 512  # of the RTX 3090 and of timm's benchmark


def fit_sum(parts: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Weights of a sum of parts, none below zero, by least absolute relative errors."""
    size = parts.mean(axis=0) + 1e-12
    trust = np.ones(len(target))
    for _ in range(N_ROUNDS):
        weights = trust / target**2
        found = LinearRegression(positive=True, fit_intercept=False).fit(parts / size, target, sample_weight=weights)
        off = np.abs(parts / size @ found.coef_ / target - 1)
        trust = 1 / np.maximum(off, NEAR)
    return found.coef_ / size


def left_out(parts: np.ndarray, target: np.ndarray, families: np.ndarray) -> np.ndarray:
    """What each family is given by weights of all others."""
    guessed = np.empty(len(target))
    for family in np.unique(families):
        own = families == family
        guessed[own] = parts[own] @ fit_sum(parts[~own], target[~own])
    return guessed


def off_by(check: str, device: str, guessed: np.ndarray, true: np.ndarray, families: np.ndarray) -> dict:
    """One row of the result: factors of error."""
    logs = np.log(np.asarray(guessed) / np.asarray(true))
    return dict(
        check=check,
        device=device,
        n=len(logs),
        n_families=len(np.unique(families)),
        median_factor=np.exp(np.median(np.abs(logs))),
        p90_factor=np.exp(np.quantile(np.abs(logs), 0.9)),
        bias=np.exp(np.median(logs)),
    )


class Evidence:
    """Published figures beside the work of their networks."""

    def __init__(self) -> None:
        self.rows, self.works = load_known_workloads()
        self.published = pd.read_parquet(ROOT / "data" / "throughput.parquet")
        united = united_families(load_known_graphs(), load_catalog())
        self.family = {name: united[family_of(name)] for name in self.rows}
        costs = load_costs()
        self.spent = costs.assign(architecture=load_catalog().frame.loc[costs["weights"], "backbone"].to_numpy())

    def work(self, table: pd.DataFrame) -> tuple[Workloads, np.ndarray]:
        """Work and family of the networks of a table."""
        names = table["architecture"].astype(str)
        return self.works.take(names.map(self.rows).to_numpy()), names.map(self.family).to_numpy(dtype=object)

    def rates(self) -> list[tuple[str, str, pd.DataFrame]]:
        """Device, kind and rates."""
        groups = self.published.groupby(["device", "kind"], observed=True)
        return [(device, kind, table.reset_index(drop=True)) for (device, kind), table in groups]

    def memory_parts(self, works: Workloads, sides: np.ndarray, batch: float | np.ndarray) -> np.ndarray:
        """One, and the values of `KEPT` in a batch."""
        amounts = pd.DataFrame(works.at(sides), columns=list(WORK))
        sums = [amounts[[f"values of {kind}" for kind in kinds]].sum(axis=1) * batch for kinds in KEPT]
        return np.column_stack([np.ones(len(sides)), *sums])


def fit_weights(evidence: Evidence) -> pd.DataFrame:
    """The table that the package reads."""
    weights = pd.DataFrame(0.0, index=pd.Index([*WORK, "constant"], name="work"), columns=[])
    for device, kind, table in evidence.rates():
        works, _ = evidence.work(table)
        found = fit_sum(works.at(table["side"].to_numpy(float)), 1 / table["samples_per_second"].to_numpy())
        weights[f"{device} {kind}"] = [*found, 0.0]
    works, _ = evidence.work(evidence.spent)
    parts = evidence.memory_parts(works, np.full(len(evidence.spent), FASTAI["side"]), FASTAI["batch_size"])
    held = works.params * STATE_BYTES / 2**30
    found = fit_sum(parts, np.maximum(evidence.spent["gpu_mem_gb"].to_numpy() - held, 0.05))
    weights["memory"] = 0.0
    weights.loc["constant", "memory"] = found[0]
    for kinds, value in zip(KEPT, found[1:], strict=True):
        weights.loc[[f"values of {kind}" for kind in kinds], "memory"] = value
    return weights


def check_rates(evidence: Evidence) -> list[dict]:
    """Rates of left-out families, of networks as if they had no graph, and of one side from another."""
    found = []
    model = load_cost_model()
    for device, kind, table in evidence.rates():
        works, families = evidence.work(table)
        sides, seconds = table["side"].to_numpy(float), 1 / table["samples_per_second"].to_numpy()
        guessed = left_out(works.at(sides), seconds, families)
        found.append(off_by(f"{kind}, families left out", device, guessed, seconds, families))
        guessed = without_graph(evidence, model, works, sides, families, f"{device} {kind}")
        found.append(off_by(f"{kind}, families left out, without a graph", device, guessed, seconds, families))
        pairs = table.assign(row=table.index, seconds=seconds).merge(
            table.assign(row=table.index, seconds=seconds), on="architecture", suffixes=("", "_other")
        )
        pairs = pairs[pairs["side"] != pairs["side_other"]]
        if len(pairs):
            estimated = model.estimated_seconds(works, sides, device, kind)
            growth = estimated[pairs["row"]] / estimated[pairs["row_other"]]
            scaled = pairs["seconds_other"].to_numpy() * growth
            found.append(off_by(f"{kind}, from another side", device, scaled, pairs["seconds"], families[pairs["row"]]))
    return found


def without_graph(
    evidence: Evidence, model: CostModel, works: Workloads, sides: np.ndarray, families: np.ndarray, run: str
) -> np.ndarray:
    """Seconds from parameters and multiply-adds alone, by networks of other families."""
    everyone = np.array([evidence.family[name] for name in evidence.rows])
    is_macs = np.array([name.startswith("macs") for name in WORK])
    amounts = works.at(sides)
    for family in np.unique(families):
        others = evidence.works.take(np.flatnonzero(everyone != family))
        own = families == family
        amounts[own] = work_alike(others, works.params[own], amounts[own][:, is_macs].sum(axis=1))
    return amounts @ model.weights.loc[list(WORK), run].to_numpy()


def check_others(evidence: Evidence) -> list[dict]:
    """Other models of the rates of training, twelve folds of whole families."""
    table = next(table for _, kind, table in evidence.rates() if kind == "training")
    works, families = evidence.work(table)
    parts, true = works.at(table["side"].to_numpy(float)), 1 / table["samples_per_second"].to_numpy()
    shown = np.log(parts + 1e-4 * parts.sum(axis=1, keepdims=True))
    placed = family_folds(families.tolist(), N_FOLDS)
    fold = np.array([placed[family] for family in families])
    sums, logs, trees = np.empty((3, len(true)))
    for own in (fold == place for place in range(N_FOLDS)):
        weights = fit_sum(parts[~own], true[~own])
        sums[own] = parts[own] @ weights
        ridge = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-3, 3, 13)))
        logs[own] = np.exp(ridge.fit(shown[~own], np.log(true[~own])).predict(shown[own]))
        rest = np.log(true[~own] / (parts[~own] @ weights))
        forest = ExtraTreesRegressor(300, min_samples_leaf=2, max_features=0.5, random_state=0)
        trees[own] = sums[own] * np.exp(forest.fit(shown[~own], rest).predict(shown[own]))
    names = {"the sums": sums, "ridge on logarithms": logs, "the sums and trees on the rest": trees}
    return [
        off_by(f"training, {N_FOLDS} folds of families, {name}", TRAINED_ON, guessed, true, families)
        for name, guessed in names.items()
    ]


def check_memory(evidence: Evidence) -> list[dict]:
    """Memory of left-out families, and the largest batches that fitted into another card."""
    works, families = evidence.work(evidence.spent)
    parts = evidence.memory_parts(works, np.full(len(evidence.spent), FASTAI["side"]), FASTAI["batch_size"])
    held, true = works.params * STATE_BYTES / 2**30, evidence.spent["gpu_mem_gb"].to_numpy()
    guessed = held + left_out(parts, np.maximum(true - held, 0.05), families)
    found = [off_by("memory of fastai's runs, families left out", "", guessed, true, families)]
    table = evidence.published[evidence.published["kind"] == "training"]
    grid = np.unique(table["batch_size"])
    table = table[table["batch_size"] < LARGEST_BATCH].reset_index(drop=True)
    works, families = evidence.work(table)
    weights = load_cost_model().weights["memory"]
    each = works.at(table["side"].to_numpy(float)) @ weights.loc[list(WORK)].to_numpy()
    room = CARD_GB - weights["constant"] - works.params * SGD_BYTES / 2**30
    fits, batch = room / each, table["batch_size"].to_numpy()
    above = grid[np.searchsorted(grid, batch) + 1]
    nearest = np.clip(fits, batch, above)
    row = off_by(f"largest batch in {CARD_GB} GB", TRAINED_ON, nearest, fits, families)
    return [*found, row | {"inside": float(np.mean((fits >= batch) & (fits <= above)))}]


def check_seconds(evidence: Evidence) -> list[dict]:
    """Seconds of fastai's runs after one constant, taken from the runs of other families."""
    spent, model = evidence.spent, load_cost_model()
    works, families = evidence.work(spent)
    n_pictures = spent["task"].map(FASTAI_IMAGES).to_numpy() * FASTAI["n_epochs"]
    rates = model.rates(list(spent["weights"]), "training", side=FASTAI["side"])["images_per_second"].to_numpy()
    table = next(table for _, kind, table in evidence.rates() if kind == "training")
    others, other_families = evidence.work(table)
    parts, true = others.at(table["side"].to_numpy(float)), 1 / table["samples_per_second"].to_numpy()
    estimated = np.empty(len(spent))
    for family in np.unique(families):
        own = families == family
        kept = other_families != family
        estimated[own] = works.at(np.full(len(spent), FASTAI["side"]))[own] @ fit_sum(parts[kept], true[kept])
    found = []
    for name, seconds in (("published rates", n_pictures / rates), ("families left out", n_pictures * estimated)):
        logs = np.log(spent["fit_seconds"].to_numpy() / seconds)
        constant = np.array([np.median(logs[families != family]) for family in families])
        guessed = seconds * np.exp(constant)
        for task in ("both tasks", *FASTAI_IMAGES):
            rows = np.flatnonzero((spent["task"] == task) | (task == "both tasks"))
            check = f"seconds of fastai's runs after one constant, {name}, {task}"
            found.append(off_by(check, "", guessed[rows], spent["fit_seconds"].to_numpy()[rows], families[rows]))
    return found


def main() -> None:
    """Fit, write, judge."""
    evidence = Evidence()
    weights = fit_weights(evidence)
    weights.map(lambda value: f"{value:.4g}").to_csv(ROOT / "data" / "cost_weights.csv", lineterminator="\n")
    found = pd.DataFrame(
        [*check_rates(evidence), *check_others(evidence), *check_memory(evidence), *check_seconds(evidence)]
    )
    found.round(3).to_csv(ROOT / "benchmark" / "results" / "cost_model.csv", index=False, lineterminator="\n")


if __name__ == "__main__":
    main()
