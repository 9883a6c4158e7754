"""What a checkpoint costs: time and memory of training, rate of inference, on a named device.

In: published rates (`data/throughput.parquet`), weights fitted offline to them (`data/cost_weights.csv`), the work that
operator graphs count, and the calibration of this machine where there is one. Out: `CostModel`, a table by model.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fennec.architectures.graph import load_known_graphs
from fennec.architectures.workload import WORK, Workloads, load_known_workloads
from fennec.errors import InputError, did_you_mean
from fennec.files import as_json, damaged, read_as, write_whole
from fennec.settings import data_dir, home_dir

from .catalog import Catalog, load_catalog

Floats = NDArray[np.float64]
DEVICES = ("rtx3090", "rtx4090", "rtx5090", "rtx-pro-6000-maxq", "i7-12700h", "i9-10940x")
HERE = "here"  # this machine, once it was measured
TRAINED_ON = "rtx3090"  # the one device whose rates of training are published
KINDS = ("training", "inference")
SOURCES = ("measured", "scaled", "estimated")  # from the surest to the least sure
COLUMNS = ("id", "train_minutes", "memory_gb", "images_per_second", "cost_from")
STATE_BYTES = 16  # of a parameter: itself, its gradient and AdamW's two averages, four bytes each
N_LIKE = 9  # networks that stand for one without a graph
_USUAL_SIDE = 224
_UNKNOWN = len(SOURCES)


@dataclass(frozen=True)
class Calibration:
    """How much slower this machine is than one of the table, from networks that were timed on both.

    Attributes:
        device: of the table.
        training: seconds here for one second there.
        inference: the same.
        measured_on: name of this machine's device.
        networks: that were timed.
    """

    device: str
    training: float
    inference: float
    measured_on: str
    networks: tuple[str, ...]

    def __post_init__(self) -> None:
        check_device(self.device)
        for factor in (self.training, self.inference):
            if not (np.isfinite(factor) and factor > 0):
                raise InputError(f"a calibration needs factors above 0, got {factor}")

    def save(self) -> Path:
        """Write it where `read_calibration` looks, whole or not at all."""
        path = _calibration_file()
        write_whole(path, as_json(asdict(self)) + "\n")
        return path


def read_calibration() -> Calibration | None:
    """What was measured on this machine, None where nothing was.

    Raises:
        ArtifactError: the file is damaged.
    """
    path = _calibration_file()
    if not path.exists():
        return None
    with damaged(f"'{path}'", "remove it and calibrate again"):
        return read_as(Calibration, path, limit=10**6)


def _calibration_file() -> Path:
    return home_dir() / "calibration.json"


def check_device(device: str, *, known: Iterable[str] = DEVICES) -> None:
    """Refuse a device without rates.

    Raises:
        InputError: the nearest are offered.
    """
    names = tuple(known)
    if device not in names:
        hint = did_you_mean(device, names) or f"; expected one of {', '.join(names)}"
        hint += "" if HERE in names else ", or 'here' once 'fennec calibrate' has measured this machine"
        raise InputError(f"unknown device class '{device}'{hint}")


class CostModel:
    """Time and memory of models: measured where published, scaled to another side, else estimated from the graph.

    Args:
        published: rates with the columns device, kind, architecture, side and samples_per_second.
        weights: seconds per billion of each kind of work by `DEVICE KIND`, and gigabytes per billion values of one
            picture in the column `memory`, which has a row `constant` as well; rows are `WORK`.
        catalog: where models and their networks are looked up; the bundled one when None.
    """

    def __init__(self, published: pd.DataFrame, weights: pd.DataFrame, catalog: Catalog | None = None) -> None:
        self.published = published
        self.weights = weights
        self._catalog = catalog
        self._of_one = lru_cache(maxsize=8)(self._costs_of_one)  # a server asks for the same models again and again
        self._rows, self._works = load_known_workloads()
        # networks of one graph are one: torchvision's resnet50 is timm's
        _, self._same = np.unique([graph.hash for graph in load_known_graphs().values()], return_inverse=True)
        place = published["architecture"].astype(object).map(self._rows).to_numpy(dtype=np.intp)
        self._published = published.assign(place=place, graph=self._same[place], device=published["device"].astype(str))

    def costs(
        self,
        models: Sequence[str],
        *,
        n_images: int,
        n_epochs: int = 10,
        batch_size: int = 32,
        device: str = TRAINED_ON,
        side: int | None = None,
    ) -> pd.DataFrame:
        """Cost of fine-tuning all weights of models, and of using them.

        Args:
            models: ids of the catalog; a network without weights as `library:architecture`.
            n_images: in the training set.
            n_epochs: how often each is seen.
            batch_size: pictures held in memory at once; the rates are those of the largest batch that fits.
            device: one of `DEVICES`, or `here` on a machine that was calibrated.
            side: of the pictures in pixels; each model's own when None.

        Returns:
            Columns `COLUMNS`, in the order of `models`. `memory_gb` is the peak of training in mixed precision with
            AdamW and always an estimate; `cost_from` says where the two rates come from, the less sure of both. NaN
            and an empty string for models of which neither network nor size is known.

        Raises:
            InputError: unknown device, a number below 1.

        Example:
            >>> load_cost_model().costs(["timm:resnet50.a1_in1k"], n_images=5_000)["cost_from"].tolist()
            ['measured']
        """
        for name, number in (("n_images", n_images), ("n_epochs", n_epochs), ("batch_size", batch_size)):
            if number < 1:
                raise InputError(f"expected {name} of at least 1, got {number}")
        minutes, memory, rate, source = self._of_one(tuple(models), batch_size, device, side, read_calibration())
        found = {
            "id": list(models),
            "train_minutes": n_images * n_epochs * minutes,
            "memory_gb": memory,
            "images_per_second": rate,
            "cost_from": source,
        }
        return pd.DataFrame(found, columns=list(COLUMNS))

    def _costs_of_one(
        self, models: tuple[str, ...], batch_size: int, device: str, side: int | None, calibration: Calibration | None
    ) -> tuple[Floats, Floats, Floats, pd.api.extensions.ExtensionArray]:
        """Minutes of training on one image, gigabytes, images per second, and where these come from."""
        works, known, sides, places = self._work(models, side)
        training, trained_from = self._here(works, sides, places, device, "training", calibration)
        inference, inferred_from = self._here(works, sides, places, device, "inference", calibration)
        source = np.where(known, np.maximum(trained_from, inferred_from), _UNKNOWN)
        nothing = np.where(known, 1.0, np.nan)
        words = pd.array(np.array([*SOURCES, ""], dtype=object)[source], dtype="str")
        return training / 60 * nothing, self._memory(works, sides, batch_size) * nothing, nothing / inference, words

    def rates(self, models: Sequence[str], kind: str, *, device: str = TRAINED_ON, side: int | None = None
    ) -> pd.DataFrame:  # fmt: skip
        """Images per second of models in one kind of run.

        Args:
            models: ids of the catalog; a network without weights as `library:architecture`.
            kind: `training` or `inference`.
            device: as for `costs`.
            side: as for `costs`.

        Returns:
            Columns id, images_per_second and cost_from, in the order of `models`.

        Raises:
            InputError: unknown device or kind.
        """
        if kind not in KINDS:
            raise InputError(f"unknown kind '{kind}'; expected training or inference")
        works, known, sides, places = self._work(models, side)
        seconds, source = self._here(works, sides, places, device, kind, read_calibration())
        words = np.array([*SOURCES, ""], dtype=object)[np.where(known, source, _UNKNOWN)]
        rate = np.where(known, 1.0, np.nan) / seconds
        return pd.DataFrame({"id": list(models), "images_per_second": rate, "cost_from": words})

    def estimated_seconds(self, works: Workloads, sides: Floats, device: str, kind: str) -> Floats:
        """Seconds for one picture by the fitted weights alone, shape (n_networks,)."""
        return np.asarray(works.at(sides) @ self.weights.loc[list(WORK), f"{device} {kind}"].to_numpy(dtype=float))

    def _work(
        self, models: Sequence[str], side: int | None
    ) -> tuple[Workloads, NDArray[np.bool_], Floats, NDArray[np.intp]]:
        """Work of models, which of them are known, their sides, and the place of their graph, -1 where none is."""
        catalog = load_catalog() if self._catalog is None else self._catalog
        facts = catalog.frame[["backbone", "params", "gmacs", "input_size"]].reindex(list(models))
        networks = facts["backbone"].fillna(facts.index.to_series())
        row = networks.map(self._rows).to_numpy(dtype=float)
        has_graph = np.isfinite(row)
        place = np.where(has_graph, row, 0).astype(np.intp)
        works = self._works.take(place)
        own = facts["input_size"].to_numpy(dtype=float)
        own = np.where(np.isfinite(own), own, np.where(has_graph, works.sides, _USUAL_SIDE))
        params, gmacs = facts["params"].to_numpy(dtype=float), facts["gmacs"].to_numpy(dtype=float)
        alike = ~has_graph & (params > 0) & (gmacs > 0)
        works.amounts[alike] = work_alike(self._works, params[alike], gmacs[alike])
        works.params[alike], works.sides[alike] = params[alike], own[alike]
        sides = own if side is None else np.full(len(own), float(side))
        return works, has_graph | alike, sides, np.where(has_graph, place, -1)

    def _here(
        self,
        works: Workloads,
        sides: Floats,
        places: NDArray[np.intp],
        device: str,
        kind: str,
        calibration: Calibration | None,
    ) -> tuple[Floats, NDArray[np.intp]]:
        """Seconds for one picture and where they come from, a calibrated machine included."""
        if device != HERE:
            check_device(device, known=DEVICES if calibration is None else (*DEVICES, HERE))
            return self._seconds(works, sides, places, device, kind)
        if calibration is None:
            raise InputError("this machine has not been measured; calibrate it first, or name another device class")
        seconds, source = self._seconds(works, sides, places, calibration.device, kind)
        return seconds * getattr(calibration, kind), np.maximum(source, SOURCES.index("scaled"))

    def _seconds(
        self, works: Workloads, sides: Floats, places: NDArray[np.intp], device: str, kind: str
    ) -> tuple[Floats, NDArray[np.intp]]:
        """Seconds for one picture on a device of the table; training elsewhere goes with the rates of inference."""
        if kind == "training" and device != TRAINED_ON:
            parts = [(TRAINED_ON, "training"), (device, "inference"), (TRAINED_ON, "inference")]
            times, sources = zip(*(self._published_seconds(works, sides, places, *part) for part in parts), strict=True)
            scaled = np.full(len(sides), SOURCES.index("scaled"))
            return times[0] * times[1] / times[2], np.maximum.reduce([*sources, scaled])
        return self._published_seconds(works, sides, places, device, kind)

    def _published_seconds(
        self, works: Workloads, sides: Floats, places: NDArray[np.intp], device: str, kind: str
    ) -> tuple[Floats, NDArray[np.intp]]:
        """Seconds for one picture from the figure at the nearest side, by weights where there is none."""
        estimated = self.estimated_seconds(works, sides, device, kind)
        rates = self._published[(self._published["device"] == device) & (self._published["kind"] == kind)]
        graph = np.where(places < 0, -1, self._same[places])
        asked = pd.DataFrame({"row": np.arange(len(sides)), "graph": graph, "own": places, "asked": sides})
        pairs = asked.merge(rates[["graph", "place", "side", "samples_per_second"]], on="graph")
        pairs["off"] = np.abs(np.log(pairs["asked"] / pairs["side"]))
        pairs["twin"] = pairs["own"] != pairs["place"]
        pairs = pairs.sort_values(["row", "off", "twin"], kind="stable").drop_duplicates("row")
        row = pairs["row"].to_numpy(dtype=np.intp)
        there = self.estimated_seconds(works.take(row), pairs["side"].to_numpy(dtype=float), device, kind)
        seconds = estimated.copy()
        is_exact = pairs["off"].to_numpy() == 0
        growth = np.where(is_exact, 1.0, estimated[row] / there)
        seconds[row] = growth / pairs["samples_per_second"].to_numpy(dtype=float)
        source = np.full(len(sides), SOURCES.index("estimated"))
        source[row] = np.where(is_exact, SOURCES.index("measured"), SOURCES.index("scaled"))
        return seconds, source

    def _memory(self, works: Workloads, sides: Floats, batch_size: int) -> Floats:
        """Gigabytes at the peak of training, shape (n_networks,)."""
        weights = self.weights["memory"]
        kept = works.at(sides) @ weights.loc[list(WORK)].to_numpy(dtype=float)
        return np.asarray(float(weights["constant"]) + works.params * STATE_BYTES / 2**30 + batch_size * kept)


def work_alike(known: Workloads, params: Floats, gmacs: Floats) -> Floats:
    """Work of networks without a graph: that of the `N_LIKE` nearest in both sizes, at their own multiply-adds.

    Args:
        known: networks with a graph.
        params: number of parameters, shape (n_networks,).
        gmacs: multiply-adds of one picture in billions, shape (n_networks,).

    Returns:
        Amounts, shape (n_networks, n_work).
    """
    totals = known.amounts[:, [name.startswith("macs") for name in WORK]].sum(axis=1)
    far = np.log(params[:, None] / known.params) ** 2 + np.log(gmacs[:, None] / totals) ** 2
    nearest = np.argpartition(far, N_LIKE - 1, axis=1)[:, :N_LIKE]
    shares = (known.amounts / totals[:, None])[nearest].mean(axis=1)  # (n_networks, n_work)
    return np.asarray(shares * gmacs[:, None])


@cache
def load_cost_model() -> CostModel:
    """The cost model of the bundled tables."""
    published = pd.read_parquet(data_dir() / "throughput.parquet")
    return CostModel(published, pd.read_csv(data_dir() / "cost_weights.csv", index_col="work"))
