"""How a model is tried on a task: the same budget for every model, like VTAB-1k's.

A small fixed grid is searched on a validation part of the training images, the best point is trained again on all of
them, and the test images are looked at once. In: `Encoder`, `TaskImages`. Out: a plain dictionary of figures.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from fennec.checkpoints.encoders import Encoder
from fennec.errors import DataError, FennecError, InputError
from fennec.forward.features import extract_features
from fennec.forward.foreign import check_tolerable, stack, transform_all
from fennec.images.datasets import ImageDataset, ReadReport, iter_images
from fennec.metrics.linear_models import fit_linear, folds, predict, standardise

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from fennec.images.task_images import TaskImages

WARM_UP = 0.1  # share of the steps over which the learning rate rises
FOLDS = 5  # one of them is the validation part
Part = Literal["train", "test"]
PARTS: tuple[Part, Part] = ("train", "test")


class DivergedError(FennecError):
    """The loss of the final training is not finite."""


@dataclass(frozen=True)
class Protocol:
    """How a cell of the transfer matrix is measured.

    Attributes:
        kind: `finetune` (all weights) or `linear_probe` (logistic regression on frozen features).
        n_train: training images at most, balanced over classes.
        n_test: test images at most.
        epochs: passes over the training images, for `finetune`.
        batch_size: images per step, for `finetune`.
        learning_rates: of AdamW, for `finetune`.
        weight_decays: of AdamW, for `finetune`.
        strengths: `C` of the regression, for `linear_probe`.
        threads: of a job on a CPU; part of the protocol, as sums depend on it in the last digits.
    """

    kind: str = "finetune"
    n_train: int = 1000
    n_test: int = 1000
    epochs: int = 20
    batch_size: int = 32
    learning_rates: tuple[float, ...] = (1e-3, 1e-4)
    weight_decays: tuple[float, ...] = (1e-4, 1e-1)
    strengths: tuple[float, ...] = (0.01, 0.1, 1.0, 10.0)
    threads: int = 1

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InputError(f"unknown protocol '{self.kind}'; there are {', '.join(KINDS)}")
        for name in ("n_train", "n_test", "epochs", "batch_size", "threads"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; expected at least 1")
        for name in ("learning_rates", "weight_decays", "strengths"):
            if not getattr(self, name):
                raise InputError(f"no {name}; expected at least one")
            least = 0.0 if name == "weight_decays" else math.ulp(0.0)
            for value in getattr(self, name):
                if not least <= value < math.inf:
                    raise InputError(
                        f"{value} is among {name}; expected finite numbers {'of at least' if not least else 'above'} 0"
                    )

    @property
    def name(self) -> str:
        """Short name: two protocols of one name are the same.

        Example:
            >>> Protocol().name, Protocol("linear_probe", n_train=200).name
            ('finetune-1000-3668a1', 'linear_probe-200-b1456c')
        """
        text = json.dumps(asdict(self), sort_keys=True)
        return f"{self.kind}-{self.n_train}-{hashlib.sha256(text.encode()).hexdigest()[:6]}"


def measure(encoder: Encoder, task: TaskImages, protocol: Protocol, *, seed: int = 0) -> dict[str, Any]:
    """Try a model on a task.

    Args:
        encoder: the model; its weights are as before afterwards.
        task: the images.
        protocol: the budget.
        seed: of the order of the images and of whatever the network draws.

    Returns:
        `value` (top-1 accuracy on the test images), `chosen` (the point of the grid), `grid` (accuracy of each point
        on the validation part), `curve` (training loss of each epoch), the numbers of images and classes, and how many
        images could not be read or that the model failed on.

    Raises:
        DivergedError: the final training has no finite loss.
        InputError: none of the images of a part can be read, or none of a class that it has.
        ModelFailedError: the model's own code fails.
    """
    import torch

    before = torch.get_num_threads()
    if encoder.device.type == "cpu":
        torch.set_num_threads(protocol.threads)
    try:
        with _own_random_numbers(seed):
            found = KINDS[protocol.kind](encoder, task, protocol, seed)
    finally:
        torch.set_num_threads(before)
    return {**found, "n_classes": len(task.train.class_names)}


def _linear_probe(encoder: Encoder, task: TaskImages, protocol: Protocol, seed: int) -> dict[str, Any]:
    """Logistic regression on standardised features."""
    (x, y), (z, truth) = (_features(encoder, task, part, seed) for part in PARTS)
    fit, held = next(folds(y, FOLDS, random_state=seed))
    n_classes = len(task.train.class_names)
    inner, outer, weights, grid = standardise(x[fit], x[fit]), standardise(x[held], x[fit]), None, []
    for strength in protocol.strengths:
        weights = fit_linear(inner, y[fit], n_classes, loss="cross_entropy", strength=strength, start=weights)
        grid.append({"strength": strength, "accuracy": _accuracy(predict(outer, weights), y[held])})
    best = max(grid, key=lambda point: point["accuracy"])
    weights = fit_linear(standardise(x, x), y, n_classes, loss="cross_entropy", strength=best["strength"])
    value = _accuracy(predict(standardise(z, x), weights), truth)
    return _result(value, best, grid, [], x, z, task)


def _finetune(encoder: Encoder, task: TaskImages, protocol: Protocol, seed: int) -> dict[str, Any]:
    """AdamW on all weights, cosine schedule, a new linear head that starts at zero."""
    x, y = _pixels(encoder, task, "train")
    fit, held = next(folds(y, FOLDS, random_state=seed))
    start = {name: tensor.clone() for name, tensor in encoder.model.state_dict().items()}
    n_classes = len(task.train.class_names)
    grid = []
    try:
        for rate, decay in itertools.product(protocol.learning_rates, protocol.weight_decays):
            point = {"learning_rate": rate, "weight_decay": decay}
            encoder.model.load_state_dict(start)
            head, _ = _train(encoder, x[fit], y[fit], n_classes, point, protocol, seed)
            grid.append({**point, "accuracy": _accuracy(_logits(encoder, head, x[held], protocol), y[held])})
        best = max(grid, key=lambda point: point["accuracy"])
        encoder.model.load_state_dict(start)
        head, curve = _train(encoder, x, y, n_classes, best, protocol, seed)
        if not all(math.isfinite(loss) for loss in curve):
            raise DivergedError(f"the training loss of '{encoder.name}' is not finite")
        z, truth = _pixels(encoder, task, "test")
        value = _accuracy(_logits(encoder, head, z, protocol), truth)
    finally:
        encoder.model.load_state_dict(start)
        encoder.model.eval()
    return _result(value, best, grid, curve, x, z, task)


def _train(
    encoder: Encoder, x: Tensor, y: Tensor, n_classes: int, point: dict[str, float], protocol: Protocol, seed: int
) -> tuple[torch.nn.Linear, list[float]]:
    """Train the encoder in place; its head and the mean loss of each epoch."""
    import torch
    from torch import nn

    device = encoder.device
    generator = torch.Generator().manual_seed(seed)
    encoder.model.eval()
    with torch.inference_mode():
        width = encoder.embed(_on(encoder, x[:2])).shape[1]
    head = nn.Linear(width, n_classes, device=device)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    weights = [weight for weight in (*encoder.model.parameters(), *head.parameters()) if weight.requires_grad]
    groups = [
        {"params": [w for w in weights if w.ndim > 1], "weight_decay": point["weight_decay"]},
        {"params": [w for w in weights if w.ndim <= 1], "weight_decay": 0.0},  # norms and biases, as usual
    ]
    optimiser = torch.optim.AdamW(groups, lr=point["learning_rate"])
    steps = max(len(x) // protocol.batch_size, 1)
    total = steps * protocol.epochs
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _rate(step, total))
    encoder.model.train()
    curve = []
    for _ in range(protocol.epochs):
        order = torch.randperm(len(x), generator=generator)
        losses = []
        for rows in torch.split(order[: steps * protocol.batch_size], protocol.batch_size):
            optimiser.zero_grad(set_to_none=True)
            with torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda"):
                logits = head(encoder.embed(_on(encoder, x[rows])))
            loss = nn.functional.cross_entropy(logits.float(), y[rows].to(device))
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
            losses.append(loss.detach())
        curve.append(float(torch.stack(losses).mean()))
    encoder.model.eval()
    return head, curve


def _rate(step: int, total: int) -> float:
    """Share of the learning rate: a linear rise, then half a cosine."""
    rise = max(WARM_UP * total, 1.0)
    return min((step + 1) / rise, 0.5 * (1 + math.cos(math.pi * min(step / total, 1.0))))


def _logits(encoder: Encoder, head: torch.nn.Linear, x: Tensor, protocol: Protocol) -> Tensor:
    import torch

    half = torch.autocast(encoder.device.type, dtype=torch.bfloat16, enabled=encoder.device.type == "cuda")
    with torch.inference_mode(), half:
        parts = [
            head(encoder.embed(_on(encoder, batch))).float().cpu() for batch in torch.split(x, 2 * protocol.batch_size)
        ]
    return torch.cat(parts)


def _on(encoder: Encoder, batch: Tensor) -> Tensor:
    import torch

    return batch.to(encoder.device, memory_format=torch.channels_last)


def _pixels(encoder: Encoder, task: TaskImages, part: Part) -> tuple[Tensor, Tensor]:
    """All images as the model takes them, (n_images, 3, side, side), and their labels."""
    import torch

    images, report = getattr(task, part), ReadReport()
    pixels: list[Tensor] = []
    positions: list[int] = []
    refused: list[tuple[str, str]] = []
    for position, image in iter_images(images, np.arange(len(images)), report):
        made, failed = transform_all(encoder, [image])
        pixels += made
        positions += [position] * len(made)
        refused += [(images.items[position], reason) for reason in failed.values()]
    report.check_enough(images.name)
    check_tolerable(refused, report.n_read)
    labels = images.labels[positions]
    _check_classes(images, part, labels, [*report.skipped, *refused])
    return stack(pixels), torch.from_numpy(labels)


def _features(encoder: Encoder, task: TaskImages, part: Part, seed: int) -> tuple[Tensor, Tensor]:
    """Features of all images, (n_images, n_features), and their labels."""
    import torch

    images = getattr(task, part)
    found = extract_features(encoder, images, max_images=len(images), random_state=seed)
    assert found.labels is not None
    _check_classes(images, part, found.labels, [*found.skipped, *found.refused])
    return torch.from_numpy(found.features).double(), torch.from_numpy(found.labels)


def _check_classes(
    images: ImageDataset, part: Part, labels: NDArray[np.int64], lost: Sequence[tuple[str, str]]
) -> None:
    """A problem that lost a class to unreadable images is another, easier problem.

    Raises:
        InputError: a class of this part has no image left.
    """
    assert images.labels is not None
    for label in np.setdiff1d(images.labels, labels):
        names = {images.items[int(position)] for position in np.flatnonzero(images.labels == label)}
        item, reason = next(pair for pair in lost if pair[0] in names)
        raise DataError(
            f"class '{images.class_names[label]}' of '{images.name}' has no image in the {part} part that can be read "
            f"({item}: {reason})"
        )


def _accuracy(logits: Tensor, truth: Tensor) -> float:
    return float((logits.argmax(dim=1) == truth).double().mean())


def _result(
    value: float,
    best: dict[str, float],
    grid: list[dict[str, float]],
    curve: list[float],
    train: Tensor,
    test: Tensor,
    task: TaskImages,
) -> dict[str, Any]:
    chosen = {name: number for name, number in best.items() if name != "accuracy"}
    n_left_out = len(task.train) + len(task.test) - len(train) - len(test)
    return {"value": value, "metric": "top1", "chosen": chosen, "grid": grid, "curve": curve, "n_train": len(train),
            "n_test": len(test), "n_left_out": n_left_out}  # fmt: skip


@contextmanager
def _own_random_numbers(seed: int) -> Iterator[None]:
    """Seeded numbers for whatever the network draws, the caller's generators left as they were."""
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


KINDS: dict[str, Callable[[Encoder, TaskImages, Protocol, int], dict[str, Any]]] = {
    "finetune": _finetune,
    "linear_probe": _linear_probe,
}
