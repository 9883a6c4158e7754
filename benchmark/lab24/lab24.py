"""The networks of the lab24 hub: real checkpoints, and small ones pre-trained here so that sources and methods vary.

    python benchmark/lab24/lab24.py --shared ../shared

pre-trains what is missing (one file each in `benchmark/cache/lab24/weights`, a network that was interrupted starts
again). `lab24:NAME` is then a model like any other for `fennec bench`, `score` and `compare` when they run in
`benchmark/lab24/`: every name in `MODELS` is a function of this module.

All networks see LAB_SIDE x LAB_SIDE pixels, so that a CPU is enough.
"""

from __future__ import annotations

import argparse
import functools
import io
import os
import runpy
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import timm
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional
from torchvision import models, transforms

from fennec.checkpoints.encoders import Encoder

LAB_SIDE = 64
WEIGHTS = Path(__file__).parents[1] / "cache" / "lab24" / "weights"
SHARED = Path(os.environ.get("FENNEC_SHARED", Path(__file__).parents[3] / "shared"))
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
BATCH = 64

# Packs that networks are pre-trained on; none of them is a task.
SOURCES = {
    "tiny": ("tiny_imagenet",),
    "characters": ("math_symbols", "omniglot50", "bangla_digits"),
    "textures": ("dtd10", "magnetic_tile", "neu_steel"),
    "mixture": ("math_symbols", "dtd10", "magnetic_tile", "neu_steel", "caltech101", "tiny_imagenet"),
}
TASKS = ("apple_leaf", "blood_cells", "cats_dogs", "cifar10", "eth80", "flowers5", "gtsrb", "imagenette", "kmnist",
         "monkeys10", "pacs_art", "pacs_cartoon", "pneumonia", "scene15", "sign_digits",
         "trashnet")  # fmt: skip


@dataclass(frozen=True)
class Recipe:
    """How a network of our own came about.

    Attributes:
        architecture: of timm, or `squeezenet1_0` of torchvision.
        source: key of SOURCES, empty for random weights.
        method: `supervised`, `simclr` or `rotation`.
        images: looked at in training, repeats counted.
        arguments: of the constructor.
    """

    architecture: str
    source: str = ""
    method: str = "supervised"
    images: int = 72_000
    arguments: tuple[tuple[str, Any], ...] = (("pad_type", "same"),)


_VIT = (("img_size", LAB_SIDE),)
OWN = {
    "test_resnet.none": Recipe("test_resnet", arguments=()),
    "test_resnet.tiny": Recipe("test_resnet", "tiny", arguments=()),
    "test_resnet.tiny_short": Recipe("test_resnet", "tiny", images=6_000, arguments=()),
    "test_resnet.tiny_simclr": Recipe("test_resnet", "tiny", "simclr", images=36_000, arguments=()),
    "test_resnet.characters": Recipe("test_resnet", "characters", images=40_000, arguments=()),
    "test_resnet.mixture": Recipe("test_resnet", "mixture", arguments=()),
    "test_convnext.none": Recipe("test_convnext", arguments=()),
    "test_convnext.tiny": Recipe("test_convnext", "tiny", arguments=()),
    "test_convnext.textures": Recipe("test_convnext", "textures", images=40_000, arguments=()),
    "test_vit.none": Recipe("test_vit", arguments=_VIT),
    "test_vit.tiny": Recipe("test_vit", "tiny", arguments=_VIT),
    "test_vit.tiny_short": Recipe("test_vit", "tiny", images=6_000, arguments=_VIT),
    "test_vit.tiny_rotation": Recipe("test_vit", "tiny", "rotation", images=48_000, arguments=_VIT),
    "test_efficientnet.none": Recipe("test_efficientnet", arguments=()),
    "test_efficientnet.tiny": Recipe("test_efficientnet", "tiny", arguments=()),
    "mobilenetv2_035.none": Recipe("mobilenetv2_035"),
    "mobilenetv1_100.none": Recipe("mobilenetv1_100"),
    "squeezenet1_0.none": Recipe("squeezenet1_0", arguments=()),
}  # fmt: skip


def build(recipe: Recipe, n_classes: int = 0) -> nn.Module:
    """The network without its weights."""
    if recipe.architecture == "squeezenet1_0":
        return models.squeezenet1_0()
    return timm.create_model(recipe.architecture, num_classes=n_classes, **dict(recipe.arguments))


def own_encoder(name: str) -> Encoder:
    """A network of our own; random weights are drawn from a seed."""
    recipe = OWN[name]
    if not recipe.source:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return wrap(name, build(recipe), MEAN, STD)
    path = WEIGHTS / f"{name}.safetensors"
    if not path.exists():
        raise FileNotFoundError(f"no weights of '{name}'; run python benchmark/lab24/lab24.py first")
    state = load_file(path)
    head = [tensor for key, tensor in state.items() if key.endswith(("head.weight", "fc.weight", "classifier.weight"))]
    network = build(recipe, len(head[0]) if head else 0)
    network.load_state_dict(state)
    return wrap(name, network, MEAN, STD)


def real_encoder(name: str) -> Encoder:
    """One of the public checkpoints."""
    network, entry = _checkpoints()["load"](str(SHARED / "checkpoints"), name)
    return wrap(name, network, entry["input"]["mean"], entry["input"]["std"])


def wrap(name: str, network: nn.Module, mean: Any, std: Any) -> Encoder:
    """A network with its preprocessing and its cut."""
    transform = transforms.Compose([
        transforms.Resize(LAB_SIDE, transforms.InterpolationMode.BICUBIC),
        transforms.CenterCrop(LAB_SIDE),
        transforms.ToTensor(),
        transforms.Normalize(mean, std),
    ])  # fmt: skip

    def split(batch: Tensor) -> tuple[Tensor, Tensor | None]:
        if hasattr(network, "forward_head"):
            maps = network.forward_features(batch)
            features = network.forward_head(maps, pre_logits=True)
            return features, network.get_classifier()(features) if network.num_classes else None
        if hasattr(network, "classifier"):  # torchvision's SqueezeNet: a convolution is the classifier
            maps = network.features(batch)
            return maps, network.classifier(maps).flatten(1)
        maps = network(batch)
        return maps[-1] if isinstance(maps, list | tuple) else maps, None  # trained for dense outputs

    facts = {"side": LAB_SIDE, "mean": list(mean), "std": list(std)}
    return Encoder(f"lab24:{name}", network, transform, preprocessing=facts, split=split)


@functools.cache
def _checkpoints() -> dict[str, Any]:
    return runpy.run_path(str(SHARED / "checkpoints" / "checkpoints.py"))


def real_names() -> list[str]:
    """Names of the public checkpoints at hand."""
    return list(_checkpoints()["entries"](str(SHARED / "checkpoints")))


def __getattr__(name: str) -> Callable[[], Encoder]:
    """`lab24:NAME` for every network."""
    if name in OWN:
        return functools.partial(own_encoder, name)
    if not name.startswith("__") and name in real_names():
        return functools.partial(real_encoder, name)
    raise AttributeError(name)


def load_source(source: str) -> tuple[Tensor, Tensor]:
    """Pixels (uint8) and labels of the training images of a source; classes of its packs stay apart."""
    pixels, labels, offset = [], [], 0
    for pack in SOURCES[source]:
        table = pd.read_parquet(SHARED / "images" / pack / "train.parquet")
        if source == "mixture":  # every pack counts alike
            table = table.sample(min(len(table), 2_000), random_state=0)
        pixels += [_square(data) for data in table["image"]]
        labels.append(table["label"].to_numpy() + offset)
        offset += int(table["label"].max()) + 1
    return torch.from_numpy(np.stack(pixels)), torch.from_numpy(np.concatenate(labels))


def _square(data: bytes) -> np.ndarray:
    image = Image.open(io.BytesIO(data)).convert("RGB")
    scale = LAB_SIDE / min(image.size)
    image = image.resize([max(LAB_SIDE, round(side * scale)) for side in image.size], Image.Resampling.BICUBIC)
    left, top = (image.width - LAB_SIDE) // 2, (image.height - LAB_SIDE) // 2
    return np.asarray(image.crop((left, top, left + LAB_SIDE, top + LAB_SIDE))).transpose(2, 0, 1)


def augment(pixels: Tensor, generator: torch.Generator, *, colour: bool = False) -> Tensor:
    """A random crop of at least 60 % of the area, a mirror image half the time, and changed light on demand."""
    batch = pixels.float() / 255
    n = len(batch)
    scale = (0.6 + 0.4 * torch.rand(n, generator=generator)).sqrt()
    shift = (1 - scale)[:, None] * (2 * torch.rand(n, 2, generator=generator) - 1)
    mirror = torch.where(torch.rand(n, generator=generator) < 0.5, -1.0, 1.0)
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, 0], theta[:, 1, 1], theta[:, :, 2] = scale * mirror, scale, shift
    batch = functional.grid_sample(
        batch, functional.affine_grid(theta, list(batch.shape), align_corners=False), align_corners=False
    )
    if colour:
        gain = 1 + 0.4 * (2 * torch.rand(n, 3, 1, 1, generator=generator) - 1)
        grey = (torch.rand(n, generator=generator) < 0.2)[:, None, None, None]
        batch = (batch * gain).clamp(0, 1)
        batch = torch.where(grey, batch.mean(1, keepdim=True), batch)
    mean, std = (torch.tensor(value)[:, None, None] for value in (MEAN, STD))
    return (batch - mean) / std


def pretrain(name: str, *, log: Callable[[str], None] = print) -> None:
    """Train one network of our own and write its weights."""
    recipe = OWN[name]
    pixels, labels = load_source(recipe.source)
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    n_classes = int(labels.max()) + 1
    network = build(recipe, n_classes if recipe.method == "supervised" else 0)
    width = network.num_features
    head = {
        "supervised": nn.Identity(),
        "rotation": nn.Linear(width, 4),
        "simclr": nn.Sequential(nn.Linear(width, 128), nn.ReLU(), nn.Linear(128, 64)),
    }[recipe.method]
    network.to(memory_format=torch.channels_last).train()
    optimiser = torch.optim.AdamW([*network.parameters(), *head.parameters()], lr=2e-3, weight_decay=0.05)
    steps = recipe.images // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, total_steps=steps, pct_start=0.1)
    start, losses = time.perf_counter(), []
    for step in range(steps):
        rows = torch.randint(len(pixels), (BATCH,), generator=generator)
        if recipe.method == "simclr":
            views = torch.cat([augment(pixels[rows], generator, colour=True) for _ in range(2)])
            loss = _contrast(head(network(views.contiguous(memory_format=torch.channels_last))))
        elif recipe.method == "rotation":
            turns = torch.randint(4, (BATCH,), generator=generator)
            batch = augment(pixels[rows], generator)
            batch = torch.stack([image.rot90(int(turn), (1, 2)) for image, turn in zip(batch, turns, strict=True)])
            loss = functional.cross_entropy(head(network(batch.contiguous(memory_format=torch.channels_last))), turns)
        else:
            batch = augment(pixels[rows], generator).contiguous(memory_format=torch.channels_last)
            loss = functional.cross_entropy(network(batch), labels[rows], label_smoothing=0.1)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        losses.append(float(loss.detach()))
        if (step + 1) % 100 == 0 or step + 1 == steps:
            log(f"{name} {step + 1}/{steps} loss {np.mean(losses[-100:]):.3f} {time.perf_counter() - start:.0f} s")
    WEIGHTS.mkdir(parents=True, exist_ok=True)
    partial = WEIGHTS / f"{name}.part"
    save_file({key: tensor.contiguous() for key, tensor in network.state_dict().items()}, partial)
    partial.rename(WEIGHTS / f"{name}.safetensors")


def _contrast(vectors: Tensor) -> Tensor:
    """NT-Xent at temperature 0.2 (Chen et al. 2020, equation 1); both halves show the same pictures."""
    vectors = functional.normalize(vectors, dim=1)
    n = len(vectors) // 2
    similarity = vectors @ vectors.T / 0.2
    similarity.fill_diagonal_(float("-inf"))
    return functional.cross_entropy(similarity, torch.arange(2 * n).roll(n))


def main() -> None:
    """Pre-train what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", default="1/1", help="i/n: every n-th network, for n runs side by side")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    index, count = map(int, arguments.part.split("/"))
    names = [name for name, recipe in OWN.items() if recipe.source]
    for name in names[index - 1 :: count]:
        if not (WEIGHTS / f"{name}.safetensors").exists():
            pretrain(name, log=lambda line: print(line, flush=True))


if __name__ == "__main__":
    main()
