"""Which models exist: one record per set of weights, with all its names, cost, pre-training and licence.

In: `data/models.csv`. Out: `Catalog`, from which names are resolved and conditions are answered.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from fennec.architectures.added import read_added
from fennec.errors import UnknownModelError, did_you_mean
from fennec.settings import data_dir

from .conditions import satisfied
from .names import ask_back, current_timm_name, plain_name
from .recipes import Recipe, recipe_of
from .vocabulary import only_for

if TYPE_CHECKING:
    import pandas as pd

Known = TypeVar("Known")


@dataclass(frozen=True)
class ModelRecord:
    """Public facts of a set of weights; None or an empty string where they are not known.

    Attributes:
        id: the name that loads most easily, `library:architecture.tag`, or `module:NAME` of a network of one's own.
        library: who loads it: timm, torchvision, open_clip, hf (transformers), hub (torch.hub) or other.
        architecture: name of the network without weights.
        tag: which weights.
        family: architecture name without its size.
        params: number of parameters of the image tower without its head.
        gmacs: multiply-adds of the same in one forward pass at `input_size`, in billions.
        counted: whether both were counted on a graph; otherwise a source says so, a head included.
        input_size: side of the input in pixels that the weights were trained with.
        pretraining_data: what they were trained on at first, words of `data/vocabulary.csv` joined by `+`.
        pretraining_images: different images of the largest data set that they have seen.
        pretraining_method: how, words of `data/vocabulary.csv` joined by `+`.
        finetuned_on: what they were trained on afterwards, in this order, joined by `+`.
        publisher: who put them on line.
        official: whether that is who trained them; False for a stranger's fine-tune.
        parent: id of the weights that a stranger's fine-tune starts from.
        license: lower-case licence id.
        license_source: who says so.
        backbone: architecture whose operator graph is known, `library:architecture`.
        names: all names, by library and by source of results.
    """

    id: str
    library: str
    architecture: str
    tag: str
    family: str
    params: int | None
    gmacs: float | None
    counted: bool
    input_size: int | None
    pretraining_data: str
    pretraining_images: int | None
    pretraining_method: str
    finetuned_on: str
    publisher: str
    official: bool | None
    parent: str
    license: str
    license_source: str
    backbone: str
    names: Mapping[str, tuple[str, ...]]

    @property
    def terms(self) -> str:
        """Whether the licence lets everybody use the weights for everything: open, restricted or unknown."""
        return terms_of(self.license)

    @property
    def recipe(self) -> Recipe | None:
        """How weights like these were fine-tuned, None where `data/recipes.csv` has nothing on them."""
        return recipe_of(self)

    @property
    def all_names(self) -> tuple[str, ...]:
        """Every name in one piece, `library:NAME` and `source/NAME`, the id first and libraries before sources."""
        whole = [_whole_name(place, name) for place, names in self.names.items() for name in names]
        return tuple(dict.fromkeys([self.id, *whole]))


class Catalog:
    """All known checkpoints, looked up by id.

    Args:
        frame: one row per model with the fields of `ModelRecord`, indexed by id.
    """

    def __init__(self, frame: pd.DataFrame) -> None:
        self.frame = frame
        self._records: dict[str, ModelRecord] = {}  # read so far

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
        if model not in self._records:
            self._records[model] = self._read(model)
        return self._records[model]

    def _read(self, model: str) -> ModelRecord:
        row = self.frame.loc[model].to_dict()
        return ModelRecord(
            id=model,
            params=_known(row["params"], int),
            gmacs=_known(row["gmacs"], float),
            counted=bool(row["counted"]),
            input_size=_known(row["input_size"], int),
            pretraining_images=_known(row["pretraining_images"], int),
            official=_known(row["official"], bool),
            names=read_names(row["names"]),
            **{name: str(row[name]) for name in _TEXT},
        )

    def id_of(self, name: str) -> str | None:
        """Id of a model under any of its names, None where nothing or more than one model has this name."""
        matches = self._named(plain_name(name))
        return next(iter(matches)) if len(matches) == 1 else None

    def get(self, name: str) -> ModelRecord | None:
        """The record of a model under any of its names, None as for `id_of`."""
        model = self.id_of(name)
        return None if model is None else self[model]

    def subjects(self, ids: Sequence[str]) -> list[frozenset[str]]:
        """What models were trained for and for nothing else, as `only_for` says; nothing of those that are not here."""
        frame = self.frame[["pretraining_data", "pretraining_method", "finetuned_on"]].reindex(list(ids)).fillna("")
        return [only_for(*words) for words in frame.itertuples(index=False)]

    @cached_property
    def _aliases(self) -> dict[str, set[str]]:
        """Everything a model may be called -> ids: whole names, names without library or source, networks."""
        aliases: dict[str, set[str]] = {}
        columns = self.frame[["library", "architecture", "names"]].itertuples(name=None)
        for model, library, architecture, text in columns:
            called = {model, model.partition(":")[2], architecture, f"{library}:{architecture}"}
            for place, names in read_names(text).items():
                called.update(name for short in names for name in (short, _whole_name(place, short)))
            called.update(name.replace(".", "/", 1) for name in tuple(called) if name.startswith("open_clip:"))
            for alias in called:
                aliases.setdefault(alias, set()).add(model)
        return aliases

    @cached_property
    def _folded(self) -> dict[str, set[str]]:
        """The same in lower case."""
        folded: dict[str, set[str]] = {}
        for alias, models in self._aliases.items():
            folded.setdefault(alias.lower(), set()).update(models)
        return folded

    def find(self, text: str) -> str:
        """Id of a model.

        Args:
            text: an id, any other name of the weights as `library:NAME` or `source/NAME`, or a name without its
                library, source or tag where it means one set of weights only. `hf-hub:`, addresses of model pages,
                names that timm gave up and other cases are understood.

        Raises:
            UnknownModelError: nothing has this name (the nearest are offered), or it means several sets of weights.
            InputError: an address that is no model's page.
        """
        meanings = self.meanings(text)
        if len(meanings) == 1:
            return meanings[0]
        name = plain_name(text)
        if meanings:
            raise ask_back(name, meanings)
        raise UnknownModelError(f"unknown model '{text}'{did_you_mean(name, self._aliases)}")

    def meanings(self, text: str) -> tuple[str, ...]:
        """Ids of all weights that a name may mean, sorted: none where nothing has it; as `find`, and much faster there.

        Raises:
            UnknownModelError: timm gave the network up without another in its place.
            InputError: an address that is no model's page.
        """
        name = plain_name(text)
        matches = self._named(name) or self._named(text.strip())  # a repository may keep a name that timm gave up
        if not matches:
            library, _, rest = name.rpartition(":")
            today = current_timm_name(rest) if library in ("", "timm") else rest
            matches = self._named(f"timm:{today}") if today != rest else matches
        return tuple(sorted(matches))

    def _named(self, name: str) -> set[str]:
        """Ids of the models that have a plain name, in another case only where none has it in this one."""
        if name in self.frame.index:
            return {name}
        return self._aliases.get(name) or self._folded.get(name.lower(), set())

    def resolve(self, text: str) -> str:
        """Id of a model where the catalog knows the name, else the name itself: for results of models of one's own.

        Raises:
            UnknownModelError: several models have this name.
        """
        return self.find(text) if self._named(plain_name(text)) else text

    def candidates(self, protocol: str) -> tuple[str, ...]:
        """Models that can be used under a protocol, with results or without.

        Those of timm, torchvision and open_clip and the user's own; for zero_shot those that open_clip has, whose
        text tower it needs. The miniature networks `test_*` of timm, made for unit tests, never.
        """
        usable = self.frame["library"].isin(["timm", "torchvision", "open_clip"])
        if protocol == "zero_shot":
            usable &= self.frame["names"].str.contains(OPEN_CLIP, regex=False)
        usable &= ~self.frame["architecture"].str.startswith("test_")
        return tuple(self.frame.index[usable | self.frame.index.isin(read_added())])

    def where(self, condition: str, costs: pd.DataFrame | None = None) -> tuple[str, ...]:
        """Ids of the models that satisfy a condition on the columns.

        Args:
            condition: a comparison such as `params < 30e6 and license == 'apache-2.0'`; text columns
                allow `family.startswith('resnet')`. Unknown facts satisfy no comparison.
            costs: further columns, as of `CostModel.costs`, by its column `id`.

        Raises:
            InputError: the condition cannot be read or names an unknown column.
        """
        frame = self.frame.assign(id=self.frame.index, terms=self.frame["license"].map(terms_of))
        if costs is not None:
            frame = frame.join(costs.set_index("id"))
        return tuple(frame.index[satisfied(condition, frame)])


LIBRARIES = ("timm", "torchvision", "open_clip", "hf", "hub", "other")  # whose names are written `library:NAME`
OPEN_CLIP = '"open_clip": ['
_TEXT = ("library", "architecture", "tag", "family", "pretraining_data", "pretraining_method", "finetuned_on",
         "publisher", "parent", "license", "license_source", "backbone")  # fmt: skip


OPEN_LICENSES = ("apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "cc0-1.0", "cc-by-4.0")


def terms_of(license_id: str) -> str:
    """What a licence allows, as far as its name says: open, restricted (anything else), or unknown."""
    return "unknown" if license_id in ("", "unknown") else "open" if license_id in OPEN_LICENSES else "restricted"


def _known(value: Any, kind: Callable[[Any], Known]) -> Known | None:
    """A value of a table in its type, None where the table has none."""
    return None if value is None or value != value else kind(value)


def _whole_name(place: str, name: str) -> str:
    return f"{place}:{name}" if place in LIBRARIES else f"{place}/{name}"


def read_names(text: str) -> dict[str, tuple[str, ...]]:
    """The column `names` of the catalog: names by library or source."""
    return {place: tuple(names) for place, names in json.loads(text or "{}").items()}


@cache
def load_catalog() -> Catalog:
    """The catalog in `data/models.csv` and what the user added."""
    import pandas as pd

    frame = pd.read_csv(data_dir() / "models.csv", index_col="id", dtype=dict.fromkeys(_TEXT, str))
    added = pd.DataFrame.from_dict(read_added(), orient="index")
    if len(added):
        own = added.reindex(columns=frame.columns).assign(counted=True, official=True)
        frame = pd.concat([frame.drop(index=added.index, errors="ignore"), own])
        frame.index.name = "id"
    return Catalog(frame.fillna(dict.fromkeys((*_TEXT, "names"), "")))
