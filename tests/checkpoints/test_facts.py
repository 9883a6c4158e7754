"""Facts of checkpoints as numbers and names: what is known, what is not, and what is shared."""

from __future__ import annotations

import numpy as np
import pytest

from fennec.architectures.vectors import load_known_vectors
from fennec.checkpoints.catalog import load_catalog
from fennec.checkpoints.facts import FARTHEST, SCALES, SHARED, facts_of, pretraining_words

CHOSEN = ("timm:resnet50.a1_in1k", "timm:convnext_tiny.fb_in22k_ft_in1k", "no:such")


def test_facts_of__bundled_catalog__finite_and_about_zero() -> None:
    catalog = load_catalog()
    everything = facts_of(catalog.ids, catalog)
    assert len(everything) == len(catalog) == len(everything.numbers)
    assert np.isfinite(everything.numbers).all()
    assert np.abs(everything.numbers).max() <= 6  # images of the largest pre-training are 10 ** 12 at most
    varied = everything.numbers.std(axis=0)
    assert (varied > 0).all()
    assert (varied < 1.5).all()


def test_facts_of__chosen_ones__names_of_what_they_share() -> None:
    own = facts_of(CHOSEN, load_catalog())
    assert set(own.shared) == set(SHARED)
    assert own.shared["same"] == CHOSEN
    assert own.shared["family"] == ("resnet", "convnext", "no:such")
    assert own.shared["network"] == ("timm:resnet50", "timm:convnext_tiny", "no:such")
    assert (own.numbers[2] == 0).all()  # nothing is known of it, and it shares nothing
    assert all(own.shared[key][2] == "no:such" for key in SHARED)


def test_facts_of__weights_tuned_from_others__share_them_as_parent() -> None:
    catalog = load_catalog()
    parents = catalog.frame["parent"].fillna("")
    child = parents[parents.isin(catalog.ids)].index[0]
    parent = parents[child]
    own = facts_of([child, parent], catalog)
    assert own.shared["parent"][0] == parent
    assert own.shared["same"] == (child, parent)
    if not parents[parent]:
        assert own.shared["parent"][1] == parent


def test_facts_of__parameters_and_input_size__in_spreads_from_the_centre() -> None:
    catalog = load_catalog()
    own = facts_of(CHOSEN[:2], catalog).numbers
    for column, name in enumerate(("params", "input_size")):
        centre, spread = SCALES[name]
        sizes = np.log2([getattr(catalog[model], name) for model in CHOSEN[:2]])
        np.testing.assert_allclose(own[:, column], np.clip((sizes - centre) / spread, -FARTHEST, FARTHEST))


def test_facts_of__quality_of_architectures__given_bundled_or_none() -> None:
    catalog = load_catalog()
    plain, bundled = facts_of(CHOSEN, catalog, quality={}), facts_of(CHOSEN, catalog)
    (column,) = np.flatnonzero((plain.numbers != bundled.numbers).any(axis=0))
    assert (plain.numbers[:, column] == 0).all()
    centre, spread = SCALES["quality"]
    known = load_known_vectors().centred_quality["timm:resnet50"]
    assert bundled.numbers[0, column] == pytest.approx(np.clip((known - centre) / spread, -FARTHEST, FARTHEST))
    given = facts_of(CHOSEN, catalog, quality={"timm:resnet18": centre + spread})
    assert given.numbers[0, column] == pytest.approx(1.0)  # of its family where it has none of its own
    assert given.numbers[1, column] == 0


def test_facts_of__any_order_and_repeated__same_rows() -> None:
    catalog = load_catalog()
    one, two = facts_of(CHOSEN, catalog), facts_of((CHOSEN[2], CHOSEN[0], CHOSEN[0], CHOSEN[1]), catalog)
    np.testing.assert_array_equal(two.numbers, one.numbers[[2, 0, 0, 1]])
    for key in SHARED:
        assert two.shared[key] == tuple(one.shared[key][row] for row in (2, 0, 0, 1))
    assert facts_of((), catalog).numbers.shape == (0, one.numbers.shape[1])


def test_pretraining_words__catalog_rows__data_methods_and_recipes_but_no_sizes() -> None:
    words = pretraining_words(load_catalog().frame.loc[list(CHOSEN[:2])])
    assert {"data imagenet-21k", "data imagenet-1k"} <= words[1]
    assert "tag a1" in words[0]
    everything = frozenset().union(*pretraining_words(load_catalog().frame))
    assert not any(word.removeprefix("tag ").lstrip("r").isdigit() for word in everything if word.startswith("tag "))
    assert "data unknown" not in everything
