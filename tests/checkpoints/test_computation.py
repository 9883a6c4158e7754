"""The key of cached features: whatever is computed in another way has another key, and only that."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from fennec.checkpoints.encoders import Encoder
from fennec.forward.features import extract_features
from fennec.images.open import open_dataset

SOURCE = """
import torch
from torch import nn

ACTS = {"a": torch.relu}
SCALE = 2.0

def helper(x):
    return x * FACTOR

class Net(nn.Module):
    def __init__(self, act):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.act = nn.Conv2d(3, 8, 7, stride=4), act or nn.ReLU()
        self.register_buffer("shift", torch.zeros(1), persistent=False)

    def forward(self, x):
        return (BODY).mean((2, 3))
"""


def pixels(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.asarray(image.resize((32, 32)), dtype=np.float32).transpose(2, 0, 1).copy() / 255)


def net(body: str = "self.act(self.conv(x))", *, factor: int = 1, act: Any = None, **names: Any) -> nn.Module:
    """A network whose code is typed in, as in a notebook; its class is made anew each time."""
    space: dict[str, Any] = {"__name__": "typed_in"}
    exec(SOURCE.replace("BODY", body).replace("FACTOR", str(factor)), space)
    space.update(names)
    made: nn.Module = space["Net"](act)
    return made


def key(model: nn.Module, transform: Callable[[Image.Image], Tensor] = pixels, **options: Any) -> str:
    return Encoder("net", model, transform, device="cpu", **options).fingerprint


def having(**attributes: Any) -> nn.Module:
    made = net("self.conv(x)")
    for name, value in attributes.items():
        setattr(made, name, value)
    return made


def hooked(factor: float) -> nn.Module:
    made = net()
    made.conv.register_forward_hook(lambda _, __, output: output * factor)
    return made


def patched(value: Any, *, on_class: bool = False) -> nn.Module:
    made = net()
    if on_class:
        type(made).forward = value  # type: ignore[method-assign]
    else:
        made.forward = types.MethodType(value, made)
    return made


def variants() -> Iterator[tuple[str, str]]:
    activations = [nn.Tanh(), nn.GELU(), nn.GELU("tanh"), nn.ReLU6(), nn.LeakyReLU(0.1), nn.LeakyReLU(0.2)]
    yield from ((f"activation {act}", key(net(act=act))) for act in activations)
    yield from ((body, key(net(body))) for body in ("self.act(self.conv(x)) * 2", "self.act(self.conv(x)) * 3"))
    yield from ((f"helper {factor}", key(net("helper(self.conv(x))", factor=factor))) for factor in (1, 2))
    yield from ((f"global {scale}", key(net("SCALE * self.conv(x)", SCALE=scale))) for scale in (2.0, 3.0))
    yield from ((f"table {act}", key(net("ACTS['a'](x)", ACTS={"a": act}))) for act in (F.relu, F.silu))
    yield from ((f"constant {value}", key(having(scale=value))) for value in (1.0, 2.0, "a", (1, 2), [3], {"a": 4}))
    yield from ((f"tensor {value}", key(having(held=value))) for value in (torch.zeros(2), torch.ones(2)))
    yield from ((f"list {value}", key(having(held=[nn.Linear(1, value)]))) for value in (1, 2))
    functions = [lambda x: x + 1, lambda x: x + 2, F.gelu, F.silu, torch.tanh, functools.partial(F.gelu),
                 functools.partial(F.gelu, approximate="tanh")]  # fmt: skip
    yield from ((f"function {place}", key(having(held=function))) for place, function in enumerate(functions))
    yield from ((f"hook {factor}", key(hooked(factor))) for factor in (2.0, 3.0))
    yield "patched on the object", key(patched(lambda self, x: self.conv(x).amax((2, 3))))
    yield "patched on the class", key(patched(lambda self, x: self.conv(x).amin((2, 3)), on_class=True))
    model = net()
    model.shift += 1
    yield "buffer that is not saved", key(model)
    model = net()
    model.conv.padding_mode = "reflect"
    yield "padding", key(model)
    model = net()
    with torch.no_grad():
        model.conv.weight.view(-1)[0] += 1e-6
    yield "weight", key(model)
    yield "half", key(net().half())
    yield "transform 2", key(net(), lambda image: 2 * pixels(image))
    yield "transform 3", key(net(), lambda image: 3 * pixels(image))
    yield from ((f"rare {factor}", key(net(), Rare(factor))) for factor in (1, 2))
    yield "preprocessing", key(net(), preprocessing={"size": 32})
    yield "split", key(net(), split=lambda batch: (batch, None))
    yield "another split", key(net(), split=lambda batch: (batch + 1, None))


class Rare:
    """A transform that differs on large pictures only."""

    def __init__(self, factor: int) -> None:
        self.factor = factor

    def __call__(self, image: Image.Image) -> Tensor:
        return pixels(image) * (self.factor if image.width > 3000 else 1)


def test_fingerprint__whatever_is_computed_in_another_way__another_key() -> None:
    keys = {"plain": key(net()), **dict(variants())}
    assert key(net()) == keys["plain"]
    same = [(a, b) for a in keys for b in keys if a < b and keys[a] == keys[b]]
    assert not same
    assert len(keys) > 40


def test_fingerprint__patched_library_or_other_precision__another_key(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = key(net(act=nn.GELU()))
    with monkeypatch.context() as patch:
        patch.setattr(nn.GELU, "forward", lambda self, x: x)
        assert key(net(act=nn.GELU())) != plain
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        assert key(net(act=nn.GELU())) != plain
    finally:
        torch.set_float32_matmul_precision(before)
    assert key(net(act=nn.GELU())) == plain


def test_fingerprint__changed_after_it_was_wrapped__another_key_but_not_by_running() -> None:
    encoder = Encoder("net", having(scale=1.0), pixels, device="cpu")
    first = encoder.fingerprint
    encoder(torch.rand(1, 3, 32, 32))
    assert encoder.fingerprint == first
    encoder.model.scale = 2.0
    second = encoder.fingerprint
    encoder.model.conv.stride = (2, 2)
    third = encoder.fingerprint
    encoder.transform = lambda image: pixels(image) + 1
    assert len({first, second, third, encoder.fingerprint}) == 4


def test_extract_features__same_weights_other_activation_or_mended_forward__own_features(image_folder: Path) -> None:
    dataset = open_dataset(image_folder)
    found = []
    for model in (net(act=nn.GELU()), net(act=nn.Tanh()), net("self.act(self.conv(x)) - 1", act=nn.Tanh())):
        encoder = Encoder("net", model, pixels, device="cpu")
        cached = extract_features(encoder, dataset).features
        np.testing.assert_array_equal(cached, extract_features(encoder, dataset, cached=False).features)
        np.testing.assert_array_equal(cached, extract_features(encoder, dataset).features)
        found.append(cached)
    assert not np.allclose(found[0], found[1])
    np.testing.assert_allclose(found[2], found[1] - 1, rtol=1e-5)
