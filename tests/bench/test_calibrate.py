"""Timing this machine: small random networks, a stored factor, and nothing half-written."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fennec.bench.calibrate import calibrate
from fennec.checkpoints.cost import Calibration, load_cost_model, read_calibration
from fennec.errors import InputError, UnknownModelError
from fennec.settings import home_dir

TINY = ("tinynet_e", "lcnet_035")


def test_calibrate__on_the_cpu__stored_and_used() -> None:
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    said: list[str] = []
    calibration = calibrate(TINY, device="cpu", seconds=0.02, report=said.append)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert read_calibration() == calibration
    assert (calibration.device, calibration.measured_on, calibration.networks) == ("i7-12700h", "cpu", TINY)
    assert len(said) == 4
    assert 0.01 < calibration.inference < 1_000
    here, there = (
        load_cost_model().costs(["timm:resnet18.a1_in1k"], n_images=100, device=device)
        for device in ("here", calibration.device)
    )
    assert np.allclose(here["train_minutes"], calibration.training * there["train_minutes"])


def test_calibrate__networks_timed_slower__factor_of_the_same_size(monkeypatch: pytest.MonkeyPatch) -> None:
    rates = load_cost_model()
    published = {
        (name, kind): rates.rates([f"timm:{name}"], kind, device="rtx3090", side=side)["images_per_second"].iloc[0]
        for name, side in zip(TINY, (106, 224), strict=True)
        for kind in ("training", "inference")
    }
    times = {"training": 7.0, "inference": 5.0}
    monkeypatch.setattr(
        "fennec.bench.calibrate._seconds_here",
        lambda name, kind, shape, place, seconds: times[kind] / published[name, kind],
    )
    calibration = calibrate(TINY, like="rtx3090", device="cpu")
    assert calibration.training == pytest.approx(7.0)
    assert calibration.inference == pytest.approx(5.0)


def test_calibrate__interrupted__former_one_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    former = Calibration("rtx3090", 2.0, 2.0, "cpu", TINY)
    former.save()

    def stop(message: str) -> None:
        if "lcnet_035 in inference" in message:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        calibrate(TINY, device="cpu", seconds=0.02, report=stop)
    assert read_calibration() == former
    assert [path.name for path in home_dir().iterdir()] == ["calibration.json"]


def test_calibrate__too_little_memory__smaller_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    from fennec.bench import calibrate as module

    batches, step = [], module._step

    def limited(name: str, kind: str, shape: tuple[int, ...], place: str) -> object:
        batches.append(shape[0])
        if shape[0] > 2:
            raise torch.OutOfMemoryError("tried to allocate 900 GiB")
        return step(name, kind, shape, place)

    monkeypatch.setattr(module, "_step", limited)
    calibrate(TINY[:1], device="cpu", seconds=0.01)
    assert batches == [8, 4, 2, 8, 4, 2]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"like": "rtx3091"}, InputError, "unknown device class 'rtx3091'; did you mean 'rtx3090'"),
        ({"seconds": 0.0}, InputError, "a time above 0 s and up to 3600 s, got 2 and 0.0 s"),
        ({"networks": ()}, InputError, "at least one network"),
        ({"networks": ("resnet1B",)}, UnknownModelError, "timm has no architecture 'resnet1B'; did you mean"),
    ],
)
def test_calibrate__bad_input__one_line(options: dict[str, object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        calibrate(**{"networks": TINY, "device": "cpu", **options})  # type: ignore[arg-type]
    assert read_calibration() is None
