"""Recipes: every row well-formed and of use, the most special one wins, and people see it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from fennec.checkpoints import recipes
from fennec.checkpoints.catalog import load_catalog
from fennec.checkpoints.recipes import Recipe, load_recipes, recipe_of
from fennec.checkpoints.vocabulary import load_vocabulary
from fennec.errors import ArtifactError
from fennec.settings import data_dir
from fennec.space.ranking import RankedModel, Ranking

DINOV2 = "timm:vit_base_patch14_dinov2.lvd142m"


def named(recipe: Recipe) -> str:
    return "-".join(filter(None, (recipe.family, recipe.method, recipe.data, recipe.finetuned_on))) or "any"


@pytest.mark.parametrize("recipe", load_recipes(), ids=named)
def test_row__well_formed(recipe: Recipe) -> None:
    families = set(load_catalog().frame["family"].dropna())
    assert not recipe.family or any(re.fullmatch(recipe.family, family) for family in families)
    assert not recipe.method or recipe.method in load_vocabulary("method")
    assert {recipe.data, recipe.finetuned_on} <= {"", *load_vocabulary("data")}
    assert (recipe.lr_low is None) == (recipe.lr_high is None)
    if recipe.lr_low is not None and recipe.lr_high is not None:
        assert 0 < recipe.lr_low <= recipe.lr_high < 1
    assert recipe.batch_size is None or recipe.lr_low is not None
    assert re.search(r"arXiv:\d{4}\.\d{5}|[\w-]+/[\w-]+ \S+\.(md|py|sh)|[\w-]+/[\w-]+ \S*config", recipe.source)
    assert recipe.advice
    assert "\n" not in str(recipe)


def test_rows__all_of_use() -> None:
    catalog = load_catalog()
    assert len({named(recipe) for recipe in load_recipes()}) == len(load_recipes())
    assert {recipe_of(catalog[model]) for model in catalog.ids} == set(load_recipes())


def test_recipe_of__most_conditions_win_and_the_first_of_equals(monkeypatch: pytest.MonkeyPatch) -> None:
    record = load_catalog()["timm:resnet50.a1_in1k"]
    plain = replace(load_recipes()[-1], family="", method="", data="", finetuned_on="")
    family, method = replace(plain, family="resnet"), replace(plain, method="supervised")
    both, raw = replace(family, method="supervised"), replace(family, finetuned_on="none")
    other = replace(both, finetuned_on="imagenet-21k")
    for rows, wanted in (
        ((plain, method, family), method),
        ((plain, family, method), family),
        ((plain, family, both, method), both),
        ((raw, family, other), raw),
        ((replace(plain, family="res"), other), None),  # the whole family has to match
    ):
        monkeypatch.setattr(recipes, "load_recipes", lambda rows=rows: rows)
        assert recipe_of(record) == wanted


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (DINOV2, ("1e-7 to 1e-5", "MODEL_CARD.md")),
        ("timm:samvit_base_patch16.sa1b", ("hardly tell classes apart", "arXiv:2411.15288")),
        ("timm:convnext_base.fb_in22k", ("AdamW, learning rate 5e-5 at batch 512", "22k classes")),
        ("timm:beit_base_patch16_224.in22k_ft_in22k", ("learning rate 2e-5 at batch 512",)),
    ],
)
def test_recipe_of__what_is_known_to_go_wrong(model: str, says: tuple[str, ...]) -> None:
    line = str(load_catalog()[model].recipe)
    assert all(words in line for words in says)


def test_card__says_how_many_candidates_have_one() -> None:
    catalog = load_catalog()
    found = [recipe_of(catalog[model]) for model in catalog.candidates("finetune") if model.startswith("timm:")]
    own = sum(recipe is not None and recipe.n_conditions > 0 for recipe in found)
    rates = sum(recipe is not None and recipe.lr_low is not None for recipe in found)
    assert None not in found
    card = (data_dir() / "cards" / "recipes.md").read_text(encoding="utf-8")
    assert f"{len(load_recipes())} rows; every one of timm's {len(found)} candidates has a line, {own} one" in card
    assert f"{rates} one with a learning rate" in card


@pytest.mark.parametrize("broken", ["lr_low", "family"])
def test_load_recipes__damaged_row__its_place(broken: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    head = (data_dir() / "recipes.csv").read_text(encoding="utf-8").splitlines()[0]
    row = ",".join("(" if name == broken else "" for name in head.split(","))
    (tmp_path / "recipes.csv").write_text(f"{head}\n{row}\n", encoding="utf-8")
    monkeypatch.setattr(recipes, "data_dir", lambda: tmp_path)
    with pytest.raises(ArtifactError, match=r"row 2 is no recipe"):
        load_recipes.__wrapped__()


@pytest.mark.parametrize("protocol", ["finetune", "zero_shot"])
def test_ranking__recipe_in_the_dictionary_and_under_the_list(protocol: str) -> None:
    record = load_catalog()[DINOV2]
    known = RankedModel(
        rank=1, id=DINOV2, score=1.0, method="evidence", performance=0.9, low=0.8, high=1.0, record=record
    )
    own = replace(known, rank=2, id="my:net", performance=0.8, record=None)
    ranking = Ranking(task="t", hub="all studies", protocol=protocol, models=(known, own), n_candidates=2)
    assert [model["recipe"] for model in ranking.to_dict()["models"]] == [str(record.recipe), None]
    assert (f"to fine-tune the first: {record.recipe}" in ranking.footer().splitlines()) == (protocol == "finetune")
