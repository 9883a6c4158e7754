"""Forward-pass metrics: how well features of a model, never fine-tuned, suit a labelled dataset.

Every metric is a pure function that returns a `Score`, a float that says why it is NaN; higher is better.
`METRICS` is the registry: a new metric is one file and one line here, and the contract tests run on it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

from fennec.errors import InputError, did_you_mean

from .contract import Score
from .disco import disco, disco_detection, disco_regression
from .emms import emms
from .ens_sfda import ens_sfda
from .etran import energy, etran
from .expression import Expression, check_options, parse_metric, split_metrics
from .fda import fda
from .gbc import gbc
from .h_score import h_score, regularised_h_score
from .knn import knn
from .lead import lead
from .leep import leep
from .linear_probe import linear_probe
from .logme import logme, logme_regression
from .ncc import ncc
from .nce import nce
from .ncti import ncti
from .nleep import nleep
from .parc import parc
from .ped import ped
from .sfda import sfda
from .transrate import transrate


@dataclass(frozen=True)
class Metric:
    """One entry of the registry.

    Attributes:
        function: the metric.
        takes: its first argument: features of one model, source-head probabilities of one model, or the
            features of a whole set of models, scored together.
        target: its second argument: classes, or real targets.
        in_sample: whether it is fitted to samples and scored on the same, without a price for many features, or the
            options with which it is. From as many features as samples on, such a score ranks noise above a signal.
    """

    function: Callable[..., Any]
    takes: Literal["features", "probs", "set"] = "features"
    target: Literal["labels", "targets"] = "labels"
    in_sample: bool | Mapping[str, Any] = False

    @property
    def is_in_sample(self) -> bool:
        """Whether it is in-sample with the options that it has."""
        if isinstance(self.in_sample, bool):
            return self.in_sample
        return all(self.option(name) == value for name, value in self.in_sample.items())

    def option(self, name: str) -> Any:
        """Value of an option, given or by default; None where there is no such option."""
        known = inspect.signature(self.function).parameters
        return known[name].default if name in known else None

    def flatters(self, n_samples: int, n_features: int) -> bool:
        """Whether a score tells little for what its model knows, as many features alone make it high."""
        n_fitted = min(n_features, self.option("pca_dim") or n_features)
        return self.is_in_sample and n_fitted >= n_samples


METRICS: dict[str, Metric] = {
    "disco": Metric(disco, in_sample=True),
    "disco_regression": Metric(disco_regression, target="targets", in_sample=True),
    "emms": Metric(emms, in_sample=True),
    "ens_sfda": Metric(ens_sfda, takes="set", in_sample=True),
    "etran": Metric(etran, takes="set", in_sample=True),
    "fda": Metric(fda, in_sample=True),
    "gbc": Metric(gbc, in_sample=True),
    "h_score": Metric(h_score, in_sample=True),
    "knn": Metric(knn),
    "lead": Metric(lead, in_sample={"out_of_fold": False}),
    "leep": Metric(leep, takes="probs", in_sample=True),
    "linear_probe": Metric(linear_probe),
    "logme": Metric(logme),
    "logme_regression": Metric(logme_regression, target="targets"),
    "ncc": Metric(ncc, in_sample={"cosine": False}),
    "nce": Metric(nce, takes="probs", in_sample=True),
    "ncti": Metric(ncti, takes="set"),
    "nleep": Metric(nleep),
    "parc": Metric(parc),
    "regularised_h_score": Metric(regularised_h_score),
    "sfda": Metric(sfda, in_sample=True),
    "transrate": Metric(transrate, in_sample=True),
}


def find_metric(name: str) -> Metric:
    """An entry of the registry, with options where they are given; `ped(NAME)` composes PED with a metric of features.

    Args:
        name: such as `logme`, `sfda(pca_dim=32)`, `ped(logme)` or `ped(sfda(pca_dim=32), n_sigma=0.3)`.

    Raises:
        InputError: no metric has this name, the nearest are offered; it has no such option, or not with this value.

    Example:
        >>> find_metric("ped(logme)").takes
        'features'
    """
    return _found(parse_metric(name))


def _found(wanted: Expression) -> Metric:
    if wanted.name == "ped":
        inner = None if wanted.inner is None else _found(wanted.inner)
        if inner is None or inner.takes != "features" or inner.target != "labels":
            raise InputError(f"'{wanted.text}': PED composes with metrics of features and labels, such as ped(sfda)")
        return Metric(ped(inner.function, **check_options(wanted, ped)), in_sample=True)  # moved by their labels
    if wanted.name not in METRICS:
        raise InputError(
            f"unknown metric '{wanted.name}'{did_you_mean(wanted.name, METRICS)} "
            f"(there are {', '.join(METRICS)}, and ped(METRIC))"
        )
    metric = METRICS[wanted.name]
    if wanted.inner is not None:
        raise InputError(f"'{wanted.text}': only ped is put around another metric; options are OPTION=VALUE")
    options = check_options(wanted, metric.function)
    return replace(metric, function=partial(metric.function, **options)) if options else metric


__all__ = [
    "METRICS",
    "Metric",
    "Score",
    "disco",
    "disco_detection",
    "disco_regression",
    "emms",
    "energy",
    "ens_sfda",
    "etran",
    "fda",
    "find_metric",
    "gbc",
    "h_score",
    "knn",
    "lead",
    "leep",
    "linear_probe",
    "logme",
    "logme_regression",
    "ncc",
    "nce",
    "ncti",
    "nleep",
    "parc",
    "ped",
    "regularised_h_score",
    "sfda",
    "split_metrics",
    "transrate",
]
