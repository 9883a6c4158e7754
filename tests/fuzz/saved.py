"""Saved things that somebody or something changed: `python -m tests.fuzz.saved -n 300 [--kind spaces] [--only 17]`.

In: a kind, a seed and a number. Out: what was tried and what is wrong with the answer. An answer is clear where the
thing is refused in one line, or accepted and everything that is then said of it is JSON. Counts of kinds tried go to
`benchmark/results/fuzz_saved.csv`.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from safetensors.numpy import load, save

from fennec.architectures.vectors import load_known_vectors
from fennec.bench.cells import Cell, measured_matrix, measured_models, one_budget, read_record, write_record
from fennec.bench.metric_scores import NAMES, score_results
from fennec.bench.run import read_tasks
from fennec.checkpoints.catalog import load_catalog
from fennec.checkpoints.cost import read_calibration
from fennec.checkpoints.encoders import Encoder
from fennec.errors import FennecError
from fennec.evidence import studies
from fennec.evidence.hubs import Hub
from fennec.files import MANIFEST, with_manifest, write_together
from fennec.forward.features import extract_features
from fennec.images.open import open_dataset
from fennec.settings import cache_dir, data_dir, home_dir
from fennec.space.artifact import READ
from fennec.space.recommender import Recommender
from fennec.tasks.embedding import TaskEmbedding
from fennec.tasks.embedding_files import load_embeddings, save_embeddings
from fennec.tasks.proxy import BUNDLED, load_bundled
from fennec.tasks.unfinished import Unfinished, load_unfinished, save_unfinished

from .kept import keep
from .tamper import changed, changed_tensors, damaged, document, misplaced, tampered

Try = tuple[str, Callable[[], object]]  # what it is, and what is done with it
PATIENCE_S = 20
LINE = 500  # characters
SPACE = Path(__file__).parents[1] / "space" / "format_4"
RESULTS = Path(__file__).parents[2] / "benchmark" / "results" / "fuzz_saved.csv"


def strict(value: Any) -> None:
    """Fail where a value is no JSON."""
    json.dumps(value, allow_nan=False)


@cache
def _embedding() -> TaskEmbedding:
    config = json.loads((SPACE / "config.json").read_text())
    rows = np.random.default_rng(0).standard_normal((20, 6))
    return TaskEmbedding.from_features(
        rows, ["a", "b"] * 10, name="new", proxy=config["proxy"]["name"], fingerprint=config["proxy"]["fingerprint"]
    )


def use(recommender: Recommender) -> None:
    """Everything that a loaded space is asked; all of it is JSON."""
    for task in (None, _embedding()):
        if task is not None and recommender.kernel_.fingerprint != task.fingerprint:
            continue
        known = {recommender.models_[0]: 0.5}
        for ranking in (
            recommender.recommend(task, n=5),
            recommender.recommend(task, n=2, known=known, portfolio=True),
        ):
            strict(ranking.to_dict())
            str(ranking)
        strict([part.value for part in recommender.explain(task, recommender.models_[0]).contributions])
        prediction = recommender.predict(task, known=known)
        for values in (prediction.scores, prediction.performance, prediction.low, prediction.high):
            if not np.isfinite(values).all():
                raise AssertionError("not finite")


def spaces(rng: random.Random, folder: Path) -> Try:
    """A space of the oldest format that is still read, with and without a manifest."""
    contents = {path.name: path.read_bytes() for path in SPACE.iterdir()}
    write_together(folder, with_manifest(contents, READ))
    name = rng.choice(("config.json", "config.json", "tensors.safetensors", "tensors.safetensors", MANIFEST))
    what = tampered(rng, folder / name)
    if name != MANIFEST and rng.random() < 0.9:  # else the manifest says that something was changed
        (folder / MANIFEST).unlink()
        if rng.random() < 0.5 and all(
            (folder / each).is_file() and (folder / each).stat().st_mode & 0o400 for each in READ
        ):
            hashed = with_manifest({each: (folder / each).read_bytes() for each in READ}, READ)
            (folder / MANIFEST).write_bytes(hashed[MANIFEST])
    elif rng.random() < 0.2:
        config, tensors = folder / "config.json", folder / "tensors.safetensors"
        config.rename(folder / "x"), tensors.rename(config), (folder / "x").rename(tensors)
        what += "; files swapped"
    return what, lambda: use(Recommender.load(folder))


def embeddings(rng: random.Random, folder: Path) -> Try:
    """A file of task embeddings."""
    path = folder / "tasks.safetensors"
    save_embeddings(path, {"one": _embedding(), "two": _embedding()})
    content = path.read_bytes()
    if rng.random() < 0.5:
        size = int.from_bytes(content[:8], "little")
        header = json.loads(content[8 : 8 + size])
        what, facts = changed(rng, json.loads(header["__metadata__"]["fennec"]))
        text = document(facts).decode("utf-8", "replace")
        path.write_bytes(save(load(content), metadata={"fennec": text}))
    else:
        what = tampered(rng, path)

    def load_all() -> None:
        for embedding in load_embeddings(path).values():
            strict([embedding.mean.tolist(), embedding.std.tolist(), embedding.n_images])
            _ = embedding.between_covariance if embedding.n_classes else None
            embedding.merge(embedding)

    return what, load_all


def unfinished(rng: random.Random, folder: Path) -> Try:
    """An embedding that was interrupted: a changed one begins again."""
    path = folder / "task.part.safetensors"
    save_unfinished(path, "key", Unfinished(_embedding(), 20, (("a.png", "no picture"),), 0, 1.0))
    what = tampered(rng, path)

    def go_on() -> None:
        found = load_unfinished(path, "key")
        if found is not None and found.embedding is not None:
            strict([found.embedding.merge(_embedding()).mean.tolist(), found.n_done, found.skipped])

    return what, go_on


def cells(rng: random.Random, folder: Path) -> Try:
    """A folder of results."""
    for model in ("a", "b"):
        for task in ("s", "t"):
            budget = {"kind": "finetune", "n_train": 10, "threads": 1}
            record = {
                "model": model, "task": task, "protocol_name": "p", "protocol": budget, "seed": 0, "status": "done",
                "metric": "top1", "value": 0.5, "seconds": 1.0, "peak_mb": 1.0,
            }  # fmt: skip
            write_record(folder, Cell(model, task, "p"), record)
    rows = [{"task": "s", "model": model, "metric": name, "score": 0.1, "reason": "", "seconds": 1.0, "peak_mb": None}
            for model in ("a", "b") for name in NAMES]  # fmt: skip
    for path, value in ((folder / "tasks.json", {"s": "s/", "t": "t/"}), (folder / "scores" / "s.json", rows)):
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(value))
    path = folder / Cell("a", "s", "p").path
    what = tampered(rng, rng.choice((path, path, path, folder / "tasks.json", folder / "scores" / "s.json")))

    def read_all() -> None:
        read_record(path)
        matrix = measured_matrix(folder)
        if not np.isfinite(matrix.performance[~np.isnan(matrix.performance)]).all():
            raise AssertionError("not finite")
        one_budget(measured_models(folder), folder)
        read_tasks(folder)
        kept = score_results(folder, {})
        strict(kept.to_dict("records"))

    return what, read_all


def added(rng: random.Random, folder: Path) -> Try:
    """The file of the user's own models."""
    width = _n_components()
    entry = {
        "library": "other", "architecture": "n", "tag": "", "family": "n", "params": 1000, "gmacs": 0.1,
        "input_size": 224, "pretraining_data": "unknown", "pretraining_images": None,
        "pretraining_method": "unknown", "finetuned_on": "",
        "license": "mit", "backbone": "mine:n",
        "vector": [0.1] * width, "quality": 0.2,
    }  # fmt: skip
    path = home_dir() / "added_models.json"
    shutil.rmtree(home_dir(), ignore_errors=True)
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"mine:n": entry, "mine:m": {**entry, "backbone": "mine:m"}}))
    what = tampered(rng, path)

    def read_all() -> None:
        load_catalog.cache_clear()
        load_known_vectors.cache_clear()
        try:
            catalog = load_catalog()
            for model in catalog.ids[-2:]:
                str(catalog[model])
            catalog.where("params < 30e6 and license == 'mit'")
            if not np.isfinite(load_known_vectors().vectors).all():
                raise AssertionError("not finite")
        finally:
            shutil.rmtree(home_dir(), ignore_errors=True)
            load_catalog.cache_clear()
            load_known_vectors.cache_clear()

    return what, read_all


@cache
def _n_components() -> int:
    return int(load_known_vectors().vectors.shape[1])


def calibrations(rng: random.Random, folder: Path) -> Try:
    """What was measured of this machine."""
    stored = {"device": "rtx3090", "training": 2.0, "inference": 3.0, "measured_on": "cpu", "networks": ["resnet18"]}
    path = home_dir() / "calibration.json"
    shutil.rmtree(home_dir(), ignore_errors=True)
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(stored))
    return tampered(rng, path), lambda: strict(vars(read_calibration() or 0) if path.exists() else None)


@cache
def _encoder() -> Encoder:
    import torch

    return Encoder(
        "net",
        torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten()),
        lambda image: torch.from_numpy(np.asarray(image, dtype=np.float32).transpose(2, 0, 1).copy() / 255),
    )


def features(rng: random.Random, folder: Path) -> Try:
    """A batch in the cache: a damaged one is computed again, so that the answer is always the same."""
    for at in range(2):
        Image.fromarray(np.full((4, 4, 3), 40 + 90 * at, dtype=np.uint8)).save(folder / f"{at}.png")
    shutil.rmtree(cache_dir() / "features", ignore_errors=True)
    images = open_dataset(folder)
    truth = extract_features(_encoder(), images, cached=False).features
    extract_features(_encoder(), images)
    (path,) = (cache_dir() / "features").rglob("*.safetensors")
    what = rng.choice(("bytes", "bytes", "tensors", "misplaced"))
    if what == "bytes":
        path.write_bytes(damaged(rng, path.read_bytes()))
    elif what == "tensors":
        name, content = changed_tensors(rng, path.read_bytes())
        path.write_bytes(content)
        what = name
    else:
        what = misplaced(rng, path)

    def again() -> None:
        found = extract_features(_encoder(), images).features
        if found.dtype != truth.dtype or not np.array_equal(found, truth):
            raise AssertionError("other features than without a cache")

    return what, again


def shipped(rng: random.Random, folder: Path) -> Try:
    """The lists of hubs and studies."""
    name, kind = rng.choice((("hubs.json", Hub), ("studies.json", studies.Study)))
    real = studies.data_dir() / name
    shutil.copyfile(real, folder / name)
    what = tampered(rng, folder / name)

    def read_all() -> None:
        before = studies.data_dir
        studies.data_dir = lambda: folder  # type: ignore[assignment]
        try:
            for entry in studies.read_data(kind, name).values():
                strict(vars(entry))
        finally:
            studies.data_dir = before

    return what, read_all


def proxies(rng: random.Random, folder: Path) -> Try:
    """The configuration of the proxy that comes with the package."""
    for path in (data_dir() / "proxies" / BUNDLED).iterdir():
        shutil.copyfile(path, folder / path.name)
    what = tampered(rng, folder / "config.json")

    def look() -> None:
        strict(load_bundled(folder).check_vector().tolist())

    return what, look


KINDS: dict[str, Callable[[random.Random, Path], Try]] = {
    "spaces": spaces,
    "embeddings": embeddings,
    "unfinished embeddings": unfinished,
    "cells": cells,
    "added models": added,
    "calibrations": calibrations,
    "cached features": features,
    "hubs and studies": shipped,
    "proxies": proxies,
}


def wrong(use: Callable[[], object]) -> tuple[str, str]:
    """What came of it, `accepted` or the line that refuses it, and what is wrong with that."""

    def late(*_: object) -> None:
        raise TimeoutError(f"not done in {PATIENCE_S} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(PATIENCE_S)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            use()
        return "accepted", ""
    except FennecError as error:
        line = str(error)
        return line, "" if len(line) < LINE and "\n" not in line else f"{len(line)} characters"
    except BaseException as error:
        return f"{type(error).__name__}: {str(error)[:200]}", type(error).__name__
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def sweep(
    kind: str, numbers: range, folder: Path, *, seed: int = 0, say: Callable[[str], object] = lambda line: None
) -> dict[str, Any]:
    """Try inputs of a kind, each of which depends on the seed, the kind and its number alone; counts."""
    counts = {"kind": kind, "tried": 0, "accepted": 0, "refused": 0, "wrong": 0}
    start = time.perf_counter()
    for number in numbers:
        place = folder / f"{kind} {number}" / "it"
        place.mkdir(parents=True)
        what, use = KINDS[kind](random.Random(f"{seed} {kind} {number}"), place)
        answer, fault = wrong(use)
        counts["tried"] += 1
        counts["wrong" if fault else "accepted" if answer == "accepted" else "refused"] += 1
        if fault:
            say(f"{kind} {number}: {what[:200]}: {answer}")
        shutil.rmtree(place.parent)
    return {**counts, "seconds": round(time.perf_counter() - start, 1)}


def main() -> None:
    """Parse, sweep, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-n", type=int, default=300, help="inputs of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", choices=list(KINDS), action="append", help="all by default")
    parser.add_argument("--only", type=int, help="the number of one input of a kind")
    asked = parser.parse_args()
    numbers = range(asked.n) if asked.only is None else range(asked.only, asked.only + 1)
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"FENNEC_CACHE_DIR": f"{folder}/cache", "FENNEC_HOME": f"{folder}/home"}
        rows = [sweep(kind, numbers, Path(folder), seed=asked.seed, say=print) for kind in asked.kind or KINDS]
    frame = pd.DataFrame(rows)
    print(frame.to_string(index=False))
    if asked.only is None:
        keep(frame.drop(columns="seconds"), RESULTS)
    sys.exit(int(frame["wrong"].sum() > 0))


if __name__ == "__main__":
    main()
