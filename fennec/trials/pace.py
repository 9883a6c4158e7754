"""How long a trial of every candidate takes here: published rates, corrected by the trials that were timed.

In: models, a protocol, seconds of trials. Out: expected seconds. The logarithm of the time is a line in the logarithm
of what the rates say: loading, reading pictures and small batches make small networks slower than any rate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from fennec.bench.protocols import Protocol
from fennec.checkpoints.catalog import Catalog
from fennec.checkpoints.cost import HERE, TRAINED_ON, load_cost_model, read_calibration
from fennec.space.factorize import condition

from .budget import BACKWARD, passes_of

Floats = NDArray[np.float64]
CPU = "i7-12700h"  # the device class that stands for a CPU that was not calibrated
PRIOR = np.array([2.0, 0.3]) ** 2  # variances of the height and of the slope of the line
NOISE = 0.3**2  # of a single time around it, in squared logarithms


def rated_seconds(models: Sequence[str], protocol: Protocol, *, device: str, catalog: Catalog | None = None) -> Floats:
    """What published rates say of a trial, shape (n_models,); the median where they say nothing of a network.

    Args:
        models: ids.
        protocol: of the trials.
        device: where they run, `cpu` or `cuda:0`.
        catalog: where ids that are not canonical are looked up.
    """
    where = HERE if read_calibration() is not None else CPU if device.startswith("cpu") else TRAINED_ON
    known = [(catalog.id_of(model) if catalog is not None else None) or model for model in models]
    kind, images = "inference", float(protocol.n_train + protocol.n_test)
    if protocol.kind == "finetune":
        kind, images = "training", passes_of(protocol) / BACKWARD * protocol.n_train
    rates = load_cost_model().rates(known, kind, device=where)["images_per_second"].to_numpy(dtype=np.float64)
    seconds = images / rates
    usual = np.nanmedian(seconds) if np.isfinite(seconds).any() else 1.0
    return np.where(np.isfinite(seconds), seconds, usual)


def expected_seconds(rated: Floats, timed: Mapping[int, float]) -> Floats:
    """Seconds of a trial of every candidate.

    Args:
        rated: what the rates say, shape (n_models,).
        timed: seconds of trials by row.

    Returns:
        Shape (n_models,); a candidate that was timed counts as any other of its rate.

    Example:
        >>> expected_seconds(np.array([1.0, 2.0]), {}).tolist()
        [1.0, 2.0]
    """
    logs = np.log(rated)
    centre = float(np.median(logs))
    design = np.column_stack([np.ones(len(logs)), logs - centre])
    observed = np.full(len(logs), np.nan)
    for row, seconds in timed.items():
        observed[row] = np.log(max(seconds, 1e-3))
    line, _, _ = condition(np.array([centre, 1.0]), np.diag(PRIOR), design, observed, noise=NOISE)
    return np.asarray(np.exp(design @ line))
