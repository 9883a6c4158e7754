"""Which weights a study means by a name.

In: names that a study uses. Out: canonical ids. The catalog (`data/models.csv`, column `names`) has the word; where it
does not know a study's name, the id holds that was given when the evidence was built.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from fennec.checkpoints.catalog import load_catalog, read_names


def weights_of(studies: Iterable[str], names: Iterable[str], built: Iterable[str]) -> list[str]:
    """Canonical ids of (study, name) pairs.

    Args:
        studies: name of a study in `data/studies.json`.
        names: what that study calls a model.
        built: the id for a name that the catalog does not know.

    Example:
        >>> weights_of(["cnn"], ["no such name"], ["other:cnn/no_such_name"])
        ['other:cnn/no_such_name']
    """
    known = _catalog_names()
    return [known.get((study, name), own) for study, name, own in zip(studies, names, built, strict=True)]


@cache
def _catalog_names() -> dict[tuple[str, str], str]:
    frame = load_catalog().frame
    return {
        (source, name): model
        for model, text in zip(frame.index, frame["names"], strict=True)
        for source, names in read_names(text).items()
        for name in names
    }
