"""Public facts of checkpoints as numbers: what the model side of the transfer space is made from.

In: catalog records and architecture vectors. Out: `ModelFacts`, rows in the order asked for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fennec.architectures.vectors import load_known_vectors

from .catalog import Catalog

Floats = NDArray[np.float64]
# Centre and spread of log2 of parameters, GMACs and input size over the catalog; any fixed ones do.
SIZE_CENTRE = np.array([24.9, 2.5, 7.9])
SIZE_SPREAD = np.array([1.8, 2.3, 0.4])
IMAGENET_CENTRE, IMAGENET_SPREAD = 0.8, 0.06


@dataclass(frozen=True, eq=False)
class ModelFacts:
    """What is known of checkpoints without any result on a task; 0 where a number is not known.

    Attributes:
        quality: expected quality of the architecture (archi2vec), shape (n_models,).
        size: log2 of parameters, GMACs and input size, centred and scaled, shape (n_models, 3).
        imagenet: published ImageNet accuracy, centred and scaled, shape (n_models,).
        words: words of pre-training data, method and tag, one set per model.
        families: architecture without its size; models of an unknown one carry their own id.
        backbones: network, empty where it is not known.
    """

    quality: Floats
    size: Floats
    imagenet: Floats
    words: tuple[frozenset[str], ...]
    families: tuple[str, ...]
    backbones: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.words)

    def select(self, rows: NDArray[np.intp]) -> ModelFacts:
        """Some of the models."""
        return ModelFacts(
            self.quality[rows],
            self.size[rows],
            self.imagenet[rows],
            tuple(self.words[row] for row in rows),
            tuple(self.families[row] for row in rows),
            tuple(self.backbones[row] for row in rows),
        )

    def clipped(self, others: ModelFacts) -> ModelFacts:
        """The same with the size kept between the smallest and the largest of others."""
        return replace(self, size=np.clip(self.size, others.size.min(axis=0), others.size.max(axis=0)))

    def without_graph(self) -> ModelFacts:
        """The same facts as if archi2vec did not exist."""
        return replace(self, quality=np.zeros(len(self)))


def facts_of(
    models: Sequence[str],
    catalog: Catalog,
    *,
    imagenet: Mapping[str, float] | None = None,
    quality: Mapping[str, float] | None = None,
) -> ModelFacts:
    """Facts of checkpoints.

    Args:
        models: canonical ids; those that the catalog does not have get no facts.
        catalog: where the facts are.
        imagenet: published ImageNet-1k accuracy by id, a fraction; leave it out where that is what is predicted.
        quality: of architectures by `library:architecture`, around 0; the bundled archi2vec's when None.
    """
    known = load_known_vectors().centred_quality if quality is None else quality
    expected, accuracy = np.zeros(len(models)), np.zeros(len(models))
    words, families, backbones = [], [], []
    frame = catalog.frame.reindex(list(models))
    numbers = frame[["params", "gmacs", "input_size"]].to_numpy(dtype=np.float64)
    size = np.nan_to_num((np.log2(np.maximum(numbers, 1e-3)) - SIZE_CENTRE) / SIZE_SPREAD)
    columns = ["pretraining_data", "finetuned_on", "pretraining_method", "tag", "family", "backbone"]
    text = frame[columns].fillna("").astype(str)
    for row, (model, facts) in enumerate(zip(models, text.to_numpy().tolist(), strict=True)):
        data, tuned, method, tag, family, backbone = facts
        expected[row] = known.get(backbone, 0.0)
        if imagenet is not None and model in imagenet:
            accuracy[row] = (imagenet[model] - IMAGENET_CENTRE) / IMAGENET_SPREAD
        words.append(_words(f"{data}+{tuned}", method, tag))
        families.append(family or model)
        backbones.append(backbone)
    return ModelFacts(expected, size, accuracy, tuple(words), tuple(families), tuple(backbones))


def _words(data: str, method: str, tag: str) -> frozenset[str]:
    """Words that checkpoints may share: names of data sets, of methods and of recipes, but no sizes."""
    recipe = (part for part in re.split("[_@]", tag.lower()) if part and not re.fullmatch(r"r?\d+", part))
    return frozenset(
        [f"data {name}" for name in data.split("+") if name not in ("", "unknown")]
        + [f"method {name}" for name in re.findall(r"[a-z0-9-]+", method.lower()) if name != "unknown"]
        + [f"tag {name}" for name in recipe]
    )
