"""Rebuild `data/models.csv`: every set of weights once, under all its names, with facts that are counted.

    python benchmark/data/build_models.py --shared ../shared

Names are joined by `model_names.py`, sources read by `model_sources.py`, pre-training put into the words of
`data/vocabulary.csv` by `model_pretraining.py`, networks and their cost found by `model_costs.py`. The same input
gives the same bytes.
"""

from __future__ import annotations

import argparse
import re
from collections import defaultdict
from pathlib import Path

import pandas as pd
from model_costs import add_costs
from model_names import (
    HERE,
    Groups,
    choose_id,
    join_open_clip,
    join_timm,
    join_torchvision,
    names_json,
    read_rules,
)
from model_pretraining import DATA, METHOD, add_pretraining, vocabulary, words
from model_sources import plain_name, read_models

from fennec.architectures.build import family_of

COLUMNS = ["library", "architecture", "tag", "family", "params", "gmacs", "counted", "input_size", "pretraining_data",
           "pretraining_images", "pretraining_method", "finetuned_on", "publisher", "official", "parent", "license",
           "license_source", "backbone", "names"]  # fmt: skip


def join_names(sources: pd.DataFrame) -> tuple[Groups, dict[str, str]]:
    """All names in groups, and the timm names that are variants of others."""
    groups = Groups()
    _, secondary = join_timm(groups)
    join_torchvision(groups)
    join_open_clip(groups)
    for name, same_as in read_rules():
        if not name.startswith("timm:") and same_as in groups:
            groups.join(name, same_as)
        elif name in groups and same_as in groups:
            groups.join(name, same_as)
            secondary[name] = same_as
    for source, model, name in sources[["source", "model", "name"]].itertuples(index=False):
        groups.join(f"{source}/{model}", name)
        groups.join(name, plain_name(name))
    for name, same_as in spelled(groups):
        groups.join(name, same_as)
    return groups, secondary


def spelled(groups: Groups) -> list[tuple[str, str]]:
    """Pairs of names that the patterns of `source_spellings.csv` find among those that there are."""
    rules = pd.read_csv(HERE / "source_spellings.csv", dtype=str)
    known = [
        name for group in groups.groups() for name in group if name.partition(":")[0] in ("other", "open_clip", "hf")
    ]
    found = []
    for pattern, target in zip(rules["name"], rules["same_as"], strict=True):
        for name in known:
            match = re.fullmatch(pattern, name)
            if match and match.expand(target) in groups:
                found.append((name, match.expand(target)))
    return found


def build_catalog(shared: Path, lab24: Path) -> pd.DataFrame:
    """One row per set of weights, indexed by id."""
    import timm

    default_tag = {}
    for name in timm.list_models():
        config = timm.get_pretrained_cfg(name)
        if config is not None and config.tag:
            default_tag[name] = config.tag
    sources = read_models(shared, default_tag)
    groups, secondary = join_names(sources)
    said = defaultdict(list)  # what the sources say of a group
    for row in sources.itertuples(index=False):
        said[groups.top(row.name)].append(row)
    rows = {}
    for names in groups.groups():
        chosen = choose_id(names, secondary)
        library, _, rest = chosen.partition(":")
        architecture, _, tag = (rest, "", "") if library in ("hf", "hub", "other") else rest.partition(".")
        rows[chosen] = {
            "library": library, "architecture": architecture, "tag": tag, "names": names_json(names),
            "all_names": names, "said": said.get(groups.top(names[0]), []),
        }  # fmt: skip
    catalog = pd.DataFrame.from_dict(rows, orient="index")
    catalog.index.name = "id"
    catalog["family"] = [family(row) for row in catalog.itertuples()]
    catalog = add_costs(catalog)
    catalog = add_pretraining(catalog)
    own = pd.read_csv(lab24, keep_default_na=False, index_col="id")
    own["names"] = [names_json([f"lab24/{model}"]) for model in own.index]
    own["counted"], own["official"], own["publisher"] = True, True, "fennec"
    own = own.assign(library="other", license="", license_source="", finetuned_on="", parent="")
    catalog = pd.concat([catalog, add_words(own)])
    for column in ("params", "input_size", "pretraining_images"):
        catalog[column] = pd.to_numeric(catalog[column]).astype("Int64")
    return catalog[COLUMNS].sort_index()


def family(row: object) -> str:
    """Name of the network without its size; for a network that only its source names, what that one calls it."""
    stated = next((one.family for one in row.said if one.family), "")  # type: ignore[attr-defined]
    own = row.library in ("timm", "torchvision", "open_clip")  # type: ignore[attr-defined]
    if row.library == "open_clip":  # type: ignore[attr-defined]
        return family_of(f"open_clip:{row.architecture}")  # type: ignore[attr-defined]
    return family_of(f":{row.architecture if own or not stated else stated}")  # type: ignore[attr-defined]


def add_words(own: pd.DataFrame) -> pd.DataFrame:
    """The networks of our own study with their pre-training in the words of the vocabulary."""
    known = vocabulary()
    for column, kind, spellings in (("pretraining_data", "data", DATA), ("pretraining_method", "method", METHOD)):
        own[column] = [words(text, spellings, kind, set(known.loc[kind].index)) for text in own[column]]
    own.loc[own["pretraining_method"].eq("none"), "pretraining_data"] = "none"
    images = known["images"].to_dict()
    own["pretraining_images"] = [images.get(("data", word)) for word in own["pretraining_data"]]
    return own


def main() -> None:
    """Write the catalog."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--output", type=Path, default=Path("data"))
    arguments = parser.parse_args()
    lab24 = HERE.parent / "results" / "lab24_models.csv"
    catalog = build_catalog(arguments.shared, lab24)
    catalog.to_csv(arguments.output / "models.csv", lineterminator="\n")


if __name__ == "__main__":
    main()
