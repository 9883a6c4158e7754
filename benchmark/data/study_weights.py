"""Which weights a source means by a name: the catalog says so (`data/models.csv`, made by `build_models.py`).

In: the names that the catalog has of every source. Out: ids, also of names that `columns_of` made shorter or longer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from study_list import SOURCES

from fennec.checkpoints.catalog import read_names


def weights_ids(catalog: Path) -> dict[tuple[str, str], str]:
    """Id of every (source, name) of the catalog; a name without its variant (`/rgb@64`) has the same.

    Raises:
        ValueError: a source ran several sets of weights under one name without its variant.
    """
    frame = pd.read_csv(catalog, usecols=["id", "names"], keep_default_na=False)
    ids: dict[tuple[str, str], str] = {}
    for model, text in frame.itertuples(index=False):
        for source, names in read_names(text).items():
            variant = SOURCES[source].variant if source in SOURCES else ""
            for name in names:
                for key in {(source, name), (source, re.sub(variant, "", name))}:
                    if ids.setdefault(key, model) != model:
                        raise ValueError(f"'{key[1]}' of {source} means {ids[key]} and {model}")
    return ids


def weights_of(ids: Mapping[tuple[str, str], str], source: str, name: str) -> str:
    """Id of one name; a network trained on the task itself (`NAME@TASK`) keeps the task.

    Raises:
        KeyError: the catalog does not have the name; `build_models.py` first.
    """
    if (source, name) in ids:
        return ids[source, name]
    plain, _, task = name.rpartition("@")
    return f"{ids[source, plain]}@{task}"
