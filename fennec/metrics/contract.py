"""What every metric takes and returns: checked tensors in, one float out that says why it is NaN.

A metric computes in double precision on the CPU, which is the reference, and in single precision on an
accelerator. Its inputs are never changed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache, wraps
from typing import Any, ParamSpec

import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController
from torch import Tensor

from fennec.errors import InputError

SOME = 32  # features looked at first
SMALL = 2**21  # values in an input up to which one thread does it all
NEAR = 0.999  # share of the largest value from which on a score counts as at its maximum


class Score(float):
    """A metric's value, higher is better; `reason` says why it is NaN, or why a finite one tells little.

    Example:
        >>> Score(float("nan"), "one class").reason
        'one class'
    """

    reason: str

    def __new__(cls, value: float, reason: str = "") -> Score:
        """A float with a reason."""
        score = super().__new__(cls, value)
        score.reason = reason
        return score


class Undefined(Exception):
    """Raised inside a metric where it is not defined; its text becomes `Score.reason`."""


Inputs = ParamSpec("Inputs")


def scored(function: Callable[Inputs, float | Tensor]) -> Callable[Inputs, Score]:
    """Turn the value of a metric into a `Score`, and `Undefined` or a failed decomposition into NaN.

    A `Score` that comes back, from a metric inside another or with a reason of its own, stays as it is. A small
    input is worth no second thread.
    """

    @wraps(function)
    def metric(*args: Inputs.args, **kwargs: Inputs.kwargs) -> Score:
        size = math.prod(getattr(args[0] if args else None, "shape", ()))
        try:
            with one_thread() if size <= SMALL else nullcontext():
                result = function(*args, **kwargs)
                value = float(result)
        except Undefined as undefined:
            return Score(float("nan"), str(undefined))
        except (torch.linalg.LinAlgError, np.linalg.LinAlgError) as error:  # type: ignore[attr-defined]
            return Score(float("nan"), f"a matrix decomposition failed ({str(error).splitlines()[0]})")
        if isinstance(result, Score) and result.reason:
            return result
        return Score(value, "" if np.isfinite(value) else f"the result is {value}")

    return metric


@contextmanager
def one_thread() -> Iterator[None]:
    """Do work that is made of thousands of short steps on one thread.

    With several, each step ends when the last of them has come, and that waits for the core as long as another
    thread runs there: of numpy's own pool, which spins for a while after every product, or of another program. A
    decomposition of 512 x 512 then takes twenty times as long as on one thread.
    """
    before = torch.get_num_threads()
    with _numpy_threads().limit(limits=1):
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(before)


@cache
def _numpy_threads() -> ThreadpoolController:
    return ThreadpoolController().select(user_api="blas")


def near_ceiling(value: Tensor, ceiling: float, batch: Batch, remedy: str) -> Score:
    """A score that says where so many features take it to its maximum whatever the labels are.

    From half as many features as samples on, most ways to give random points two labels can be told apart by a plane
    (Cover 1965), so that a score at its maximum says nothing of the model.

    Args:
        value: of a metric that is computed on the samples that it was fitted to.
        ceiling: largest value that it can have.
        batch: what it was fitted to.
        remedy: what to do instead.
    """
    n_samples, n_features = batch.x.shape
    score = float(value)
    if not (score >= NEAR * ceiling and 2 * n_features >= n_samples):
        return Score(score)
    return Score(score, f"it saturates, {n_features} features for {n_samples} samples take it to its maximum; {remedy}")


@dataclass(frozen=True)
class Batch:
    """Features of one model on one labelled dataset.

    Attributes:
        x: features, shape (n_samples, n_features); may share memory with the caller's array.
        y: labels 0 to n_classes - 1, every class present, shape (n_samples,).
        counts: samples per class, shape (n_classes,), in the type of `x`.
    """

    x: Tensor
    y: Tensor
    counts: Tensor

    @property
    def n_classes(self) -> int:
        """Number of classes that occur."""
        return len(self.counts)

    def with_features(self, x: Tensor) -> Batch:
        """The same labels with other features."""
        return Batch(x, self.y, self.counts)


def prepare(features: Any, labels: Any, *, device: str | None = None, drop_constant: bool = False) -> Batch:
    """Check features and labels and put them on a device.

    Args:
        features: array or tensor of finite numbers, shape (n_samples, n_features).
        labels: shape (n_samples,); whole numbers, strings or booleans.
        device: where to compute; the CPU when None.
        drop_constant: leave out features that do not vary.

    Raises:
        InputError: empty, of the wrong shape, not finite, labels that are no classes or missing (-1 beside 0, 1, ...),
            or no such device.
        Undefined: a single class, or no feature varies.
    """
    x = matrix(features, "features", device=device)
    names = labels.detach().cpu().numpy() if isinstance(labels, Tensor) else np.asarray(labels)
    if names.dtype.kind == "U" and not isinstance(labels, np.ndarray):
        names = np.asarray(labels, dtype=object)  # a NaN among texts would have become the text "nan"
    if names.shape != (len(x),):
        raise InputError(f"labels have shape {names.shape}; expected ({len(x)},), one for each row of features")
    if n_missing := _count_missing(names):
        raise InputError(f"{n_missing} of {len(names)} labels are missing (None, NaN or empty); leave their rows out")
    if names.dtype.kind == "f" and not np.array_equal(names, np.round(names)):
        raise InputError("labels are not whole numbers; a metric for regression takes targets")
    if names.dtype.kind in "if" and len(there := np.unique(names)) > 2 and there[0] == -1:
        raise InputError(
            f"{int((names == -1).sum())} of {len(names)} labels are -1, which means missing beside {there[1]:g}, "
            f"{there[2]:g} ...; leave their rows out, or give names (texts) where it is a class"
        )
    if names.dtype == object:
        names = names.astype(str)
    _, codes = np.unique(names, return_inverse=True)
    y = torch.as_tensor(codes, device=x.device)
    counts = torch.bincount(y).to(x.dtype)
    if len(counts) < 2:
        raise Undefined("all samples are of one class")
    if drop_constant or not _varying_columns(x[:, :SOME]).any():  # a few tell at once that some feature varies
        varies = _varying_columns(x)
        if not varies.any():
            raise Undefined("no feature varies over the samples")
        x = x[:, varies] if drop_constant and not varies.all() else x
    return Batch(x, y, counts)


def _count_missing(names: NDArray[Any]) -> int:
    if names.dtype.kind in "biu":
        return 0
    import pandas as pd

    missing = np.asarray(pd.isna(names))
    if names.dtype.kind in "OU":
        missing[~missing] = names[~missing] == ""
    return int(missing.sum())


def _varying_columns(x: Tensor) -> Tensor:
    return varying(x.mean(dim=0), x.std(dim=0, correction=0))


def varying(mean: Tensor, deviation: Tensor) -> Tensor:
    """Which features vary over the samples by more than rounding, by their mean and standard deviation.

    What counts as rounding is measured by the largest feature, so that the unit of the features does not matter.
    """
    return torch.as_tensor(deviation > tiny(mean, 1e-8) * torch.maximum(mean.abs(), deviation.max()))


def matrix(values: Any, name: str, *, n_rows: int | None = None, device: str | None = None) -> Tensor:
    """A finite matrix on a device, double precision on the CPU, single elsewhere.

    Args:
        values: array or tensor, shape (n_rows, n_columns).
        name: what messages call it.
        n_rows: expected number of rows, any when None.
        device: where to compute; the CPU when None.

    Raises:
        InputError: empty, of the wrong shape, not finite, or no such device.
    """
    place = find_device(device)
    try:
        table = torch.as_tensor(values if isinstance(values, Tensor) else np.asarray(values))
        table = table.detach().to(place, torch.float64 if place.type == "cpu" else torch.float32)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} are not numbers: {error}") from error
    if table.ndim != 2 or 0 in table.shape:
        raise InputError(f"{name} have shape {tuple(table.shape)}; expected (n_samples, n_columns), neither of them 0")
    if n_rows is not None and len(table) != n_rows:
        raise InputError(f"{name} have {len(table)} rows; expected {n_rows}, one for each row of features")
    if not (torch.isfinite(table.sum()) or torch.isfinite(table).all()):  # a sum takes no memory, but may overflow
        bad = int((~torch.isfinite(table)).any(dim=1).sum())
        raise InputError(f"{name} hold NaN or infinite values in {bad} of {len(table)} rows; leave those out")
    return table


def find_device(device: str | None) -> torch.device:
    """A device by name, the CPU when None.

    Raises:
        InputError: there is none of this name here.
    """
    try:
        place = torch.device(device or "cpu")
        torch.ones(1, device=place).sum().item()  # some hold no values
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device '{device}' cannot be used here ({str(error).splitlines()[0]}); try 'cpu'") from error
    return place


def tiny(x: Tensor, double: float) -> float:
    """A tolerance meant for double precision, widened for single precision."""
    return double if x.dtype == torch.float64 else max(double, 1e-6)
