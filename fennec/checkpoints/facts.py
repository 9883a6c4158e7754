"""Public facts of checkpoints as numbers and as what they share with others.

In: catalog records and architecture vectors. Out: `Facts`, rows in the order asked for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

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
    numbers, names = _all_but_quality(catalog)
    everything = np.column_stack([numbers, _scaled(catalog.frame["backbone"].map(known), "quality", catalog)])
    nothing = np.zeros((1, everything.shape[1]))
    place = catalog.frame.index.get_indexer(pd.Index(list(models), dtype=object))  # -1, the last row, for unknown ones
    own = np.array(models, dtype=object)
    shared = {key: tuple(np.where(place < 0, own, np.append(names[key], "")[place])) for key in SHARED}
    return Facts(tuple(models), np.concatenate([everything, nothing])[place], shared)


@lru_cache(maxsize=2)
def _all_but_quality(catalog: Catalog) -> tuple[Floats, dict[str, NDArray[np.object_]]]:
    """Numbers and names of what is shared of all checkpoints of a catalog; made once, it is asked for often."""
    frame = catalog.frame
    sizes = [_scaled(frame[name].astype(float).map(np.log2), name, catalog) for name in ("params", "input_size")]
    images = frame["pretraining_images"].astype(float).clip(lower=1e4).map(np.log10) - IMAGENET
    method = frame["pretraining_method"].fillna("").astype(str)
    method = method.where(~method.str.contains("|".join(CONTRASTIVE)), "contrastive")
    words = [WORD * method.str.contains(word, regex=False) for word in METHODS]
    tuned = frame["finetuned_on"].fillna("").astype(str)
    on_imagenet = tuned.str.startswith("imagenet")
    columns = [*sizes, images, *words, frame["official"].eq(True), on_imagenet, tuned.ne("") & ~on_imagenet]
    numbers = np.column_stack([column.to_numpy(dtype=np.float64, na_value=0.0) for column in columns])
    data = frame["pretraining_data"].where(frame["pretraining_data"].ne("unknown"), "").fillna("")
    own = frame.index.to_series()
    names = {
        "same": own,
        "parent": frame["parent"],
        "network": frame["backbone"],
        "family": frame["family"],
        "pretraining": data.where(data.eq(""), data + " " + method),
    }
    filled = {key: column.fillna("").astype(str) for key, column in names.items()}
    return numbers, {key: column.where(column.ne(""), own).to_numpy(dtype=object) for key, column in filled.items()}


def _scaled(column: pd.Series[float], name: str, catalog: Catalog) -> pd.Series[float]:
    """A size about its centre, the family's median where it is unknown, 0 where that is too."""
    centre, spread = SCALES[name]
    known = column.astype(float)
    filled = known.fillna(known.groupby(catalog.frame["family"]).transform("median"))
    return ((filled - centre) / spread).clip(-FARTHEST, FARTHEST).fillna(0.0)


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
