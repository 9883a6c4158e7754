"""Public facts of checkpoints as numbers and as what they share with others.

In: catalog records and architecture vectors. Out: `Facts`, rows in the order asked for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fennec.architectures.vectors import load_known_vectors

from .catalog import Catalog

Floats = NDArray[np.float64]
# Centre and spread of log2 of parameters and input size, and of archi2vec's quality; any fixed ones do.
SCALES = {"params": (24.7, 2.2), "input_size": (7.8, 0.41), "quality": (-0.15, 0.69)}
FARTHEST = 3.0  # spreads from the centre; beyond it counts as much as there
IMAGENET = 6.1  # log10 of ImageNet's images
METHODS = ("supervised", "clip", "siglip", "dino", "mae", "contrastive", "distilled", "adversarial", "none")
CONTRASTIVE = ("moco", "simclr", "swav", "byol", "vicreg", "simsiam", "barlow", "pirl", "instance", "deepcluster")
WORD = 0.7  # of a method, beside numbers of unit spread
SHARED = ("same", "parent", "network", "family", "pretraining")


@dataclass(frozen=True, eq=False)
class Facts:
    """What is known of checkpoints without any result.

    Attributes:
        models: ids.
        numbers: about 0, unit spread; 0 where nothing is known, shape (n_models, n_facts).
        shared: what checkpoints have in common with others, by `SHARED`: themselves, the weights they were tuned from,
            the network, the family, and data with method of pre-training. Where one is not known it is their own id.
    """

    models: tuple[str, ...]
    numbers: Floats
    shared: Mapping[str, tuple[str, ...]]

    def __len__(self) -> int:
        return len(self.models)


def facts_of(models: Sequence[str], catalog: Catalog, *, quality: Mapping[str, float] | None = None) -> Facts:
    """Facts of checkpoints.

    Args:
        models: canonical ids; those that the catalog does not have get no facts.
        catalog: where the facts are.
        quality: of architectures by `library:architecture`, around 0; the bundled archi2vec's when None.
    """
    known = load_known_vectors().centred_quality if quality is None else quality
    everything = catalog.frame
    sizes = pd.DataFrame(
        {
            "params": np.log2(everything["params"].astype(float)),
            "input_size": np.log2(everything["input_size"].astype(float)),
            "quality": everything["backbone"].map(known).astype(float),
        }
    )
    sizes = sizes.fillna(sizes.groupby(everything["family"]).transform("median"))
    frame, sizes = everything.reindex(list(models)), sizes.reindex(list(models))
    columns = [((sizes[name] - centre) / spread).clip(-FARTHEST, FARTHEST) for name, (centre, spread) in SCALES.items()]
    images = frame["pretraining_images"].astype(float).clip(lower=1e4).map(np.log10) - IMAGENET
    columns.append(images)
    method = frame["pretraining_method"].fillna("").astype(str)
    method = method.where(~method.str.contains("|".join(CONTRASTIVE)), "contrastive")
    columns += [WORD * method.str.contains(word, regex=False) for word in METHODS]
    tuned = frame["finetuned_on"].fillna("").astype(str)
    on_imagenet = tuned.str.startswith("imagenet")
    columns += [frame["official"].eq(True), on_imagenet, tuned.ne("") & ~on_imagenet]
    numbers = np.nan_to_num(np.column_stack([column.to_numpy(dtype=np.float64) for column in columns]))
    data = frame["pretraining_data"].where(frame["pretraining_data"].ne("unknown"), "").fillna("")
    names = {
        "same": frame.index.to_series(),
        "parent": frame["parent"],
        "network": frame["backbone"],
        "family": frame["family"],
        "pretraining": data.where(data.eq(""), data + " " + method),
    }
    return Facts(tuple(models), numbers, {key: _own_where_unknown(names[key], models) for key in SHARED})


def _own_where_unknown(names: pd.Series[str], models: Sequence[str]) -> tuple[str, ...]:
    return tuple(name or model for name, model in zip(names.fillna("").astype(str).tolist(), models, strict=True))


def pretraining_words(model_facts: pd.DataFrame) -> list[frozenset[str]]:
    """Words that checkpoints may share: names of data sets, of methods and of recipes, but no sizes.

    Args:
        model_facts: rows of the catalog.
    """
    columns = ["pretraining_data", "finetuned_on", "pretraining_method", "tag"]
    return [
        _words(f"{data}+{tuned}", method, tag)
        for data, tuned, method, tag in model_facts[columns].fillna("").astype(str).to_numpy().tolist()
    ]


def _words(data: str, method: str, tag: str) -> frozenset[str]:
    recipe = (part for part in re.split("[_@]", tag.lower()) if part and not re.fullmatch(r"r?\d+", part))
    return frozenset(
        [f"data {name}" for name in data.split("+") if name not in ("", "unknown")]
        + [f"method {name}" for name in re.findall(r"[a-z0-9-]+", method.lower()) if name != "unknown"]
        + [f"tag {name}" for name in recipe]
    )
