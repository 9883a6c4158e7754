"""How fast is this machine beside those of the table: two small random networks are timed here.

In: networks of timm without weights. Out: a `Calibration`, stored as a whole when all was timed and not before.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np

from fennec.architectures.workload import load_known_workloads
from fennec.checkpoints.cost import TRAINED_ON, Calibration, check_device, load_cost_model
from fennec.errors import InputError, UnknownModelError, did_you_mean
from fennec.settings import default_device

NETWORKS = ("resnet18", "vit_tiny_patch16_224")  # convolutions and attention, small enough for a laptop
CPU_BATCH = 8
LARGE_BATCH = 128  # of accelerators: the rates of the table are those of large batches
N_WARM = 2
MAX_SECONDS = 3600


def calibrate(
    networks: Sequence[str] = NETWORKS,
    *,
    like: str | None = None,
    device: str | None = None,
    seconds: float = 3.0,
    report: Callable[[str], None] = lambda message: None,
) -> Calibration:
    """Time networks on this machine and store how it compares with a device of the table.

    Args:
        networks: architectures of timm, built without weights.
        like: device of the table whose pattern is scaled; a GPU's on a GPU, a CPU's on a CPU when None.
        device: name of torch's device; `FENNEC_DEVICE`, else the best when None.
        seconds: to time each network in training and again in inference.
        report: told what is being done.

    Returns:
        The calibration, already stored. Interrupted before the end, what was stored before stays as it was.

    Raises:
        InputError: unknown device of the table, no time to measure, or no network.
        UnknownModelError: timm has no such architecture.
    """
    place = device or default_device()
    like = like or ("i7-12700h" if place == "cpu" else TRAINED_ON)
    check_device(like)
    if not 0 < seconds <= MAX_SECONDS or not networks:
        raise InputError(
            f"expected at least one network and a time above 0 s and up to {MAX_SECONDS} s, got {len(networks)} and "
            f"{seconds} s"
        )
    known, works = load_known_workloads()
    for name in networks:
        if f"timm:{name}" not in known:
            names = [other.removeprefix("timm:") for other in known if other.startswith("timm:")]
            raise UnknownModelError(f"timm has no architecture '{name}'{did_you_mean(name, names)}")
    factors: dict[str, list[float]] = {"training": [], "inference": []}
    for name in networks:
        side = int(works.sides[known[f"timm:{name}"]])
        for kind, found in factors.items():
            report(f"timing {name} in {kind} on {place}")
            rate = load_cost_model().rates([f"timm:{name}"], kind, device=like, side=side)["images_per_second"].iloc[0]
            batch_size = CPU_BATCH if place == "cpu" else LARGE_BATCH
            found.append(_seconds_here(name, kind, (batch_size, 3, side, side), place, seconds) * float(rate))
    mean = {kind: float(np.exp(np.mean(np.log(found)))) for kind, found in factors.items()}
    calibration = Calibration(like, mean["training"], mean["inference"], _name_of(place), tuple(networks))
    calibration.save()
    return calibration


def _seconds_here(name: str, kind: str, shape: tuple[int, ...], place: str, seconds: float) -> float:
    """Median seconds for one picture on this machine; a batch too large for its memory is halved."""
    import torch

    try:
        with torch.random.fork_rng(), torch.set_grad_enabled(kind == "training"):
            step = _step(name, kind, shape, place)
            for _ in range(N_WARM):
                step()
            taken: list[float] = []
            while not taken or sum(taken) < seconds:
                start = time.perf_counter()
                step()
                taken.append(time.perf_counter() - start)
    except torch.OutOfMemoryError:
        if shape[0] == 1:
            raise
        return _seconds_here(name, kind, (shape[0] // 2, *shape[1:]), place, seconds)
    return float(np.median(taken)) / shape[0]


def _step(name: str, kind: str, shape: tuple[int, ...], place: str) -> Callable[[], float]:
    """One batch through a network of random weights, with the protocol of the table: SGD, mixed precision on a GPU."""
    import timm
    import torch

    module = timm.create_model(name, pretrained=False).to(place).train(kind == "training")
    optimiser = torch.optim.SGD(module.parameters(), lr=1e-3, momentum=0.9)
    pictures = torch.randn(shape, device=place)

    def step() -> float:
        with torch.autocast(torch.device(place).type, dtype=torch.float16, enabled=place.startswith("cuda")):
            loss = module(pictures).float().square().mean()
        if kind == "training":
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        return float(loss.item())  # waits for the device

    return step


def _name_of(place: str) -> str:
    import torch

    return torch.cuda.get_device_name(place) if place.startswith("cuda") else place
