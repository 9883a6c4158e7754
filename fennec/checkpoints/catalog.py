"""Which models exist: one record per checkpoint, with cost, source and licence.

In: `data/models.csv`. Out: `Catalog`, from which ids are resolved and conditions are answered.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING

from fennec.architectures.added import read_added
from fennec.errors import InputError, UnknownModelError, did_you_mean
from fennec.settings import data_dir

from .names import ask_back, current_timm_name, plain_name

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class ModelRecord:
    """Public facts of a checkpoint; None or an empty string where they are not known.

    Attributes:
        id: canonical id, `library:architecture.tag`, or `module:NAME` of a network of one's own.
        library: who loads it: timm, torchvision, open_clip, hf or other.
        architecture: name of the network without weights.
        tag: which weights.
        family: architecture name without its size.
        params: number of parameters.
        gmacs: multiply-adds of one forward pass at `input_size`, in billions.
        input_size: side of the input in pixels.
        pretraining_data: what the weights were trained on.
        pretraining_method: how.
        license: lower-case licence id.
        backbone: architecture whose operator graph is known, `library:architecture`.
        names: the name each source of results uses for it.
    """

    id: str
    library: str
    architecture: str
    tag: str
    family: str
    params: int | None
    gmacs: float | None
    input_size: int | None
    pretraining_data: str
    pretraining_method: str
    license: str
    backbone: str
    names: Mapping[str, str]


class Catalog:
    """All known checkpoints, looked up by id.

    Args:
        frame: one row per model with the fields of `ModelRecord`, indexed by id.
    """

    def __init__(self, frame: pd.DataFrame) -> None:
        self.frame = frame

    @property
    def ids(self) -> tuple[str, ...]:
        """Canonical ids, in the order of the file."""
        return tuple(self.frame.index)

    def __len__(self) -> int:
        return len(self.frame)

    def __contains__(self, model: object) -> bool:
        return model in self.frame.index

    def __getitem__(self, model: str) -> ModelRecord:
        if model not in self.frame.index:
            raise UnknownModelError(f"unknown model '{model}'{did_you_mean(model, self._aliases)}")
        row = self.frame.loc[model].to_dict()
        return ModelRecord(
            id=model,
            params=None if row["params"] != row["params"] else int(row["params"]),
            gmacs=None if row["gmacs"] != row["gmacs"] else float(row["gmacs"]),
            input_size=None if row["input_size"] != row["input_size"] else int(row["input_size"]),
            names=json.loads(row["names"] or "{}"),
            **{name: str(row[name]) for name in _TEXT},
        )

    def get(self, model: str) -> ModelRecord | None:
        """The record of a canonical id, None when there is none."""
        return self[model] if model in self.frame.index else None

    @cached_property
    def _aliases(self) -> dict[str, set[str]]:
        """Everything a model may be called -> canonical ids."""
        aliases: dict[str, set[str]] = {}
        for model, names in zip(self.frame.index, self.frame["names"], strict=True):
            short = model.split(":", 1)[1]
            for alias in {model, short, *(json.loads(names).values() if names else ())}:
                aliases.setdefault(alias, set()).add(model)
        return aliases

    def find(self, text: str) -> str:
        """Canonical id of a model.

        Args:
            text: a canonical id, an id without its library or its tag, the name a source of results uses, a Hugging
                Face repository, the address of a model's page, or a name that timm gave up.

        Raises:
            UnknownModelError: nothing has this name (the nearest are offered), or it means several sets of weights.
            InputError: an address that is no model's page.
        """
        name = plain_name(text)
        if name in self.frame.index:
            return name
        matches = self._meant(name)
        if not matches:
            library, _, rest = name.rpartition(":")
            today = current_timm_name(rest) if library in ("", "timm") else rest
            matches = self._meant(f"timm:{today}") if today != rest else matches
        if len(matches) == 1:
            return next(iter(matches))
        if matches:
            raise ask_back(name, matches)
        raise UnknownModelError(f"unknown model '{text}'{did_you_mean(name, self._aliases)}")

    def _meant(self, name: str) -> set[str]:
        """Ids of what a name may mean: a model, one by another name, or any weights of an architecture."""
        if name in self.frame.index:
            return {name}
        weights = self._architectures.get(name, set())
        named = self._aliases.get(name) or self._aliases.get(name.removeprefix("hf:")) or set()
        return named | weights

    @cached_property
    def _architectures(self) -> dict[str, set[str]]:
        """Name of a network, with its library and without -> ids of its weights."""
        found: dict[str, set[str]] = {}
        rows = self.frame[["library", "architecture", "tag"]].itertuples()
        for model, library, architecture, tag in rows:
            if architecture and tag and "@" not in tag:  # behind it the same weights at another resolution
                for name in (architecture, f"{library}:{architecture}"):
                    found.setdefault(name, set()).add(model)
        return found

    def candidates(self, protocol: str) -> tuple[str, ...]:
        """Checkpoints that can be used under a protocol, with results or without.

        Those of timm, torchvision and open_clip and the user's own; for zero_shot those of open_clip.
        """
        libraries = ["open_clip"] if protocol == "zero_shot" else ["timm", "torchvision", "open_clip"]
        twice = self.frame["tag"].str.contains("@")  # a checkpoint tested at another resolution
        usable = self.frame["library"].isin(libraries) & ~twice
        return tuple(self.frame.index[usable | self.frame.index.isin(read_added())])

    def where(self, condition: str) -> tuple[str, ...]:
        """Ids of the models that satisfy a condition on the columns.

        Args:
            condition: a comparison such as `params < 30e6 and license == 'apache-2.0'`; text columns
                allow `family.str.startswith('resnet')`. Unknown facts satisfy no comparison.

        Raises:
            InputError: the condition cannot be read or names an unknown column.
        """
        _check_condition(condition, [*self.frame.columns, "id"])
        frame = self.frame.assign(id=self.frame.index)
        try:
            chosen = frame.query(condition, engine="python")
        except Exception as error:  # pandas raises nearly anything on a bad expression
            raise InputError(f"cannot read the condition {condition!r}: {error}") from error
        return tuple(chosen.index)


_TEXT = ("library", "architecture", "tag", "family", "pretraining_data", "pretraining_method", "license",
         "backbone")  # fmt: skip


def _check_condition(condition: str, columns: list[str]) -> None:
    """Allow comparisons of columns and text methods, nothing that reaches into Python."""
    example = "for example \"params < 30e6 and license == 'apache-2.0'\""
    try:
        tree = ast.parse(condition.strip(), mode="eval")
    except SyntaxError as error:
        raise InputError(f"cannot read the condition {condition!r}; {example}") from error
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id not in columns:
            hint = did_you_mean(node.id, columns) or f"; columns are {', '.join(columns)}"
            raise InputError(f"unknown column '{node.id}' in the condition{hint}")
        if isinstance(node, ast.Attribute):
            text_method = isinstance(node.value, ast.Attribute) and node.value.attr == "str"
            if node.attr.startswith("_") or not (node.attr in ("str", "isna", "notna", "isin") or text_method):
                raise InputError(f"'.{node.attr}' is not allowed in a condition; {example}")
        if isinstance(node, ast.Lambda | ast.Subscript | ast.ListComp | ast.GeneratorExp | ast.NamedExpr):
            raise InputError(f"only comparisons are allowed in a condition; {example}")
    if not any(isinstance(node, ast.Compare | ast.Call) for node in ast.walk(tree)):
        raise InputError(f"the condition {condition!r} compares nothing; {example}")


@cache
def load_catalog() -> Catalog:
    """The catalog in `data/models.csv`, every model with history and every timm checkpoint, and what the user added."""
    import pandas as pd

    frame = pd.read_csv(data_dir() / "models.csv", index_col="id", dtype=dict.fromkeys(_TEXT, str))
    added = pd.DataFrame.from_dict(read_added(), orient="index")
    if len(added):
        frame = pd.concat(
            [frame.drop(index=added.index, errors="ignore"), added[added.columns.intersection(frame.columns)]]
        )
        frame.index.name = "id"
    return Catalog(frame.fillna(dict.fromkeys((*_TEXT, "names"), "")))
