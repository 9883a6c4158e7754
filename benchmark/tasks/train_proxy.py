"""Train `fennec-mini`, the bundled proxy: a small network distilled from two real encoders.

    python benchmark/tasks/train_proxy.py --shared ../shared --work .work/proxy

Stages, each resumable: (1) the teachers' features of every training image are cached, (2) the student
learns them through linear heads, together with the labels of the packs, (3) weights, preprocessing, a
check vector and the training record go to `data/proxies/fennec-mini`.

Leave one task out must stay honest, so no image of a known task is trained on: neither
`shared/task_images` nor the packs drawn from the same datasets (KNOWN_TASK_PACKS). HELD_OUT_PACKS stay
unseen for the evaluation in `evaluate_proxy.py`.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import time
from pathlib import Path

import numpy as np
import open_clip
import pandas as pd
import timm
import torch
from export_proxy import export_graph
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from fennec.tasks.proxy import load_bundled

KNOWN_TASK_PACKS = ("caltech101", "cifar10", "dtd10", "gtsrb")
HELD_OUT_PACKS = ("blood_cells", "flowers5", "kmnist", "neu_steel", "scene15", "trashnet")
ARCHITECTURE = "regnetx_002"
SIDE = 96  # px, the longest side of the packs
TEACHER_SIDE = 112  # px, a multiple of the ViT's patch of 14
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def square(data: bytes, side: int) -> np.ndarray:
    """Shortest side to `side`, centre crop, uint8 (3, side, side)."""
    image = Image.open(io.BytesIO(data)).convert("RGB")
    scale = side / min(image.size)
    width, height = (max(side, round(length * scale)) for length in image.size)
    image = image.resize((width, height), Image.Resampling.BICUBIC)
    left, top = (width - side) // 2, (height - side) // 2
    return np.asarray(image.crop((left, top, left + side, top + side))).transpose(2, 0, 1)


def normalise(pixels: Tensor) -> Tensor:
    """uint8 batch to the networks' input."""
    mean, std = (torch.tensor(value)[:, None, None] for value in (MEAN, STD))
    return (pixels.float() / 255 - mean) / std


def load_teachers(shared: Path) -> dict[str, nn.Module]:
    """The two real encoders at hand, without heads."""
    folder = shared / "proxy"
    encoder = f"local-dir:{folder / 'dav2-ViT-S-14'}"
    weights = open_clip.create_model(encoder).float().state_dict()
    clip = open_clip.create_model(encoder, force_image_size=TEACHER_SIDE, load_weights=False)
    open_clip.model.resize_pos_embed(weights, clip)
    clip.load_state_dict(weights)
    vit = clip.visual
    mobile = timm.create_model("mobilenetv2_100", num_classes=0)
    weights = load_file(folder / "mobilenetv2_100.safetensors")
    mobile.load_state_dict({name: tensor.float() for name, tensor in weights.items()})
    return {"dav2-ViT-S-14": vit.eval().float(), "mobilenetv2_100": mobile.eval()}


def cache_pack(pack: Path, target: Path, teachers: dict[str, nn.Module]) -> None:
    """Pixels, labels and teachers' features of one pack, written once."""
    if target.exists():
        return
    table = pd.concat(pd.read_parquet(pack / f"{split}.parquet") for split in ("train", "test"))
    arrays: dict[str, list[np.ndarray]] = {"pixels": [], **{name: [] for name in teachers}}
    with torch.inference_mode():
        for start in range(0, len(table), 64):
            images = table["image"].iloc[start : start + 64]
            arrays["pixels"].append(np.stack([square(data, SIDE) for data in images]))
            large = normalise(torch.from_numpy(np.stack([square(data, TEACHER_SIDE) for data in images])))
            for name, teacher in teachers.items():
                arrays[name].append(teacher(large).numpy().astype(np.float16))
    partial = target.with_suffix(".part.npz")
    np.savez(
        partial,
        labels=table["label"].to_numpy(),
        **{name: np.concatenate(parts) for name, parts in arrays.items()},
    )
    partial.rename(target)


def load_cache(work: Path) -> tuple[Tensor, dict[str, Tensor], Tensor, Tensor, list[int]]:
    """Pixels, standardised targets, labels, pack of each image, and classes per pack."""
    parts = [np.load(path) for path in sorted(work.glob("*.npz"))]
    pixels = torch.from_numpy(np.concatenate([part["pixels"] for part in parts]))
    targets = {}
    for name in ("dav2-ViT-S-14", "mobilenetv2_100"):
        features = torch.from_numpy(np.concatenate([part[name] for part in parts])).float()
        if name == "mobilenetv2_100":
            features = features.sqrt()  # tames the heavy tail of rectified features
        targets[name] = (features - features.mean(0)) / features.std(0).clamp_min(1e-3)
    labels = torch.from_numpy(np.concatenate([part["labels"] for part in parts]))
    packs = torch.cat([torch.full((len(part["labels"]),), index) for index, part in enumerate(parts)])
    return pixels, targets, labels, packs, [int(part["labels"].max()) + 1 for part in parts]


def augment(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """One mirrored random crop of 60 to 100 % of the area for the whole batch, normalised."""
    area = 0.6 + 0.4 * torch.rand(1, generator=generator).item()
    side = round(SIDE * math.sqrt(area))
    top, left = (int(torch.randint(0, SIDE - side + 1, (1,), generator=generator)) for _ in range(2))
    batch = normalise(pixels[:, :, top : top + side, left : left + side])
    mirrored = torch.rand(len(batch), generator=generator) < 0.5
    batch[mirrored] = batch[mirrored].flip(-1)
    if side != SIDE:
        batch = F.interpolate(batch, size=SIDE, mode="bilinear", align_corners=False)
    return batch.contiguous(memory_format=torch.channels_last)


def train(cache: Path, state: Path, *, epochs: int, batch_size: int, label_weight: float) -> dict:
    """Distil; the checkpoint of every epoch allows to go on after an interruption."""
    torch.manual_seed(0)
    pixels, targets, labels, packs, n_classes = load_cache(cache)
    student = timm.create_model(ARCHITECTURE, num_classes=0).to(memory_format=torch.channels_last)
    heads = nn.ModuleDict(
        {name.replace(".", "_"): nn.Linear(student.num_features, t.shape[1]) for name, t in targets.items()}
    )
    classifiers = nn.ModuleList(nn.Linear(student.num_features, n) for n in n_classes)
    modules = nn.ModuleDict({"student": student, "heads": heads, "classifiers": classifiers})
    optimizer = torch.optim.AdamW(modules.parameters(), lr=2e-3, weight_decay=0.05)
    steps = epochs * (len(pixels) // batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=2e-3, total_steps=steps, pct_start=0.1)
    first, history = 0, []
    if state.exists():
        saved = torch.load(state, weights_only=True)
        modules.load_state_dict(saved["modules"])
        optimizer.load_state_dict(saved["optimizer"])
        schedule.load_state_dict(saved["schedule"])
        first, history = saved["epoch"], saved["history"]
    for epoch in range(first, epochs):
        generator = torch.Generator().manual_seed(epoch)
        modules.train()
        order = torch.randperm(len(pixels), generator=generator)
        start, sums = time.time(), np.zeros(3)
        for step in range(len(order) // batch_size):
            rows = order[step * batch_size : (step + 1) * batch_size]
            features = student(augment(pixels[rows], generator))
            losses = [F.mse_loss(heads[name.replace(".", "_")](features), t[rows]) for name, t in targets.items()]
            supervised = features.new_zeros(())
            for index in packs[rows].unique():
                chosen = packs[rows] == index
                logits = classifiers[int(index)](features[chosen])
                supervised += F.cross_entropy(logits, labels[rows][chosen], reduction="sum") / batch_size
            loss = sum(losses) + label_weight * supervised
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(modules.parameters(), 5.0)
            optimizer.step()
            schedule.step()
            sums += [float(value.detach()) for value in (*losses, supervised)]
        means = (sums / (len(order) // batch_size)).round(4).tolist()
        history.append([epoch + 1, *means, round(time.time() - start, 1)])
        print(
            f"epoch {epoch + 1}/{epochs} vit {means[0]} mobilenet {means[1]} labels {means[2]} {history[-1][-1]} s",
            flush=True,
        )
        partial = state.with_suffix(".part")
        torch.save(
            {
                "modules": modules.state_dict(),
                "optimizer": optimizer.state_dict(),
                "schedule": schedule.state_dict(),
                "epoch": epoch + 1,
                "history": history,
            },
            partial,
        )
        partial.rename(state)
    return {
        "epochs": epochs,
        "batch_size": batch_size,
        "label_weight": label_weight,
        "n_images": len(pixels),
        "history": history,
    }


def export(state: Path, folder: Path, record: dict) -> None:
    """Half-precision weights and the configuration that `fennec.tasks.proxy` reads."""
    saved = torch.load(state, weights_only=True)["modules"]
    weights = {
        name.removeprefix("student."): tensor.half() if tensor.is_floating_point() else tensor
        for name, tensor in saved.items()
        if name.startswith("student.") and not name.endswith("num_batches_tracked")
    }
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in weights.items()}, folder / "model.safetensors")
    (folder / "model.safetensors").chmod(0o644)
    config = {
        "format_version": 1,
        "name": "fennec-mini",
        "architecture": ARCHITECTURE,
        "input_size": SIDE,
        "mean": MEAN,
        "std": STD,
        "training": record,
    }
    path = folder / "config.json"
    path.write_text(json.dumps(config) + "\n")
    export_graph(folder)
    config["check_vector"] = [round(float(value), 4) for value in load_bundled(folder, "cpu").check_vector()]
    path.write_text(json.dumps(config) + "\n")


def main() -> None:
    """Run the stages that are still to do."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--work", type=Path, default=Path(".work/proxy"))
    parser.add_argument("--output", type=Path, default=Path("data/proxies/fennec-mini"))
    parser.add_argument("--epochs", type=int, default=14)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--label-weight", type=float, default=0.3)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    cache = arguments.work / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    left_out = {*KNOWN_TASK_PACKS, *HELD_OUT_PACKS}
    packs = sorted(p.parent for p in (arguments.shared / "images").glob("*/dataset.json"))
    packs = [pack for pack in packs if pack.name not in left_out]
    teachers = load_teachers(arguments.shared)
    for index, pack in enumerate(packs):
        start = time.time()
        cache_pack(pack, cache / f"{pack.name}.npz", teachers)
        print(f"pack {index + 1}/{len(packs)} {pack.name} {time.time() - start:.0f} s", flush=True)
    state = arguments.work / "state.pt"
    record = train(
        cache,
        state,
        epochs=arguments.epochs,
        batch_size=arguments.batch_size,
        label_weight=arguments.label_weight,
    )
    record["packs"] = [pack.name for pack in packs]
    export(state, arguments.output, record)


if __name__ == "__main__":
    main()
