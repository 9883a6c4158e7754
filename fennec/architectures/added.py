"""The file of models that the user added: records of the catalog, and vectors of new architectures.

In: `FENNEC_HOME/added_models.json`, written by `checkpoints/add.py`. Out: its entries by model, for the catalog and for
the known architecture vectors.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fennec.files import damaged, read_as
from fennec.settings import home_dir
from fennec.typed import LARGE, check_between

LIMIT = 10**8  # bytes of the file


@dataclass(frozen=True)
class AddedModel:
    """Fields of a catalog record, and of a new network what archi2vec says of it."""

    library: str
    architecture: str
    backbone: str
    tag: str = ""
    family: str = ""
    params: int | None = None
    gmacs: float | None = None
    input_size: int | None = None
    pretraining_data: str = ""
    pretraining_images: int | None = None
    pretraining_method: str = ""
    finetuned_on: str = ""
    license: str = ""
    vector: tuple[float, ...] | None = None
    quality: float | None = None

    def __post_init__(self) -> None:
        check_between(
            1, 2**53, params=self.params, input_size=self.input_size, pretraining_images=self.pretraining_images
        )
        check_between(0, LARGE, gmacs=self.gmacs)
        for number in (self.quality, *(self.vector or ())):
            check_between(-LARGE, LARGE, vector_or_quality=number)
        if (self.vector is None) != (self.quality is None):
            raise ValueError("'vector' and 'quality' go together")


def read_added() -> dict[str, dict[str, Any]]:
    """Added models by id: the fields of a catalog record, and of a new network its `vector` and `quality`.

    Raises:
        ArtifactError: the file is damaged.
    """
    path = added_models()
    if not os.path.lexists(path):
        return {}
    with damaged(f"'{path}'", "remove it and add the models again"):
        added = read_as(dict[str, AddedModel], path, limit=LIMIT, more=True)
    return {
        model: {name: value for name, value in vars(entry).items() if value is not None}
        for model, entry in added.items()
    }


def added_models() -> Path:
    """Where the file is."""
    return home_dir() / "added_models.json"
