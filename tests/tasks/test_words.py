"""Descriptions: what they are like, what they must not be, any text encoder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fennec.errors import ArtifactError, InputError
from fennec.space.recommender import Recommender
from fennec.tasks.embedding_files import load_known_embeddings
from fennec.tasks.text_encoders import TextTower, WordPieces, load_text_encoder
from fennec.tasks.words import (
    KnownTexts,
    Text,
    alike_in_size,
    describe_task,
    known_numbers,
    known_texts,
    load_texts,
    mixture,
)
from tests.tasks.towers import make_tower

TEXTS = {
    "leaves": Text("diseases of apple leaves", ("scab", "rust")),
    "crops": Text("satellite pictures of crops", ("wheat", "maize")),
    "chest": Text("chest radiographs", ("pneumonia", "normal")),
    "cars": Text("photographs of cars"),
}


@pytest.fixture(scope="module")
def space() -> Recommender:
    return Recommender.from_published("linear_probe")


@pytest.fixture(scope="module")
def tower(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny open_clip model with random weights, laid out as on the hub."""
    return make_tower(tmp_path_factory.mktemp("towers") / "tiny-text", context_length=16)


@pytest.fixture(scope="module")
def sentences(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny sentence encoder with random weights, as `save_pretrained` writes it."""
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("sentences") / "tiny-bert"
    folder.mkdir()
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz"]
    vocabulary += [f"##{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"]
    (folder / "vocab.txt").write_text("\n".join(vocabulary))
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    BertModel(BertConfig(vocab_size=len(vocabulary), max_position_embeddings=64, **sizes)).save_pretrained(folder)
    return folder


def test_likeness__other_words__the_task_that_is_meant() -> None:
    known = KnownTexts(TEXTS, WordPieces())
    asked = {"leaves": "apples with scab", "crops": "wheat and maize from a satellite", "chest": "a radiograph"}
    for name, about in asked.items():
        likeness = known.likeness(Text(about))
        assert known.image_sets[int(likeness.argmax())] == name
        assert likeness.max() <= 1
    np.testing.assert_allclose(known.likeness(TEXTS["crops"])[known.image_sets.index("crops")], 1.0)
    assert not known.likeness(Text("guitars")).any()


sizes = st.floats(1, 1e6)


@given(sizes, st.lists(sizes, min_size=2, max_size=6, unique=True))
def test_alike_in_size__any_numbers__nearest_in_ratio_first(own: float, others: list[float]) -> None:
    alike = alike_in_size(np.array([own, np.nan]), np.column_stack([others, np.full(len(others), np.nan)]))
    apart = np.abs(np.log(np.array(others) / own))
    np.testing.assert_allclose(alike, np.exp(-apart))
    known = alike_in_size(np.array([own, 2.0]), np.column_stack([others, np.full(len(others), np.nan)]))
    np.testing.assert_allclose(known, (np.exp(-apart) + 0.5) / 2)
    assert alike_in_size(np.array([np.nan]), np.array([[own], [np.nan]])).tolist() == [1.0, 1.0]


def test_describe__as_many_images_as_a_known_task__counts_more() -> None:
    few = int(known_numbers().loc["cub200", "n_train"])
    told = {n: describe_task("photographs of birds", n_images=n) for n in (few, 100 * few, 10_000 * few)}
    shares = [each.shares["cub200"] for each in told.values()]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > 50 * shares[2] > 0
    nearest = {n: max(told.shares, key=lambda name: told.shares[name]) for n in (5_000, 80_000)
               for told in [describe_task("X-rays of the chest, fourteen findings", n_images=n)]}  # fmt: skip
    assert nearest == {5_000: "pneumonia", 80_000: "chestmnist"}


def test_likeness__ten_thousand_classes__description_keeps_half() -> None:
    known = KnownTexts(TEXTS, WordPieces())
    alone = known.likeness(Text("a radiograph of a chest"))
    crowd = known.likeness(Text("a radiograph of a chest", tuple(f"finding number {n}" for n in range(10_000))))
    assert known.image_sets[int(crowd.argmax())] == known.image_sets[int(alone.argmax())] == "chest"
    assert crowd.max() >= 0.5 * alone.max()


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_mixture__any_likeness__shares_that_a_covariance_may_have(likeness: list[float]) -> None:
    shares = mixture(np.array(likeness))
    assert (shares >= 0).all()
    assert shares.sum() < 1
    assert (np.argsort(shares, kind="stable") == np.argsort(np.square(likeness), kind="stable")).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"about": " "}, "the description is empty; say what the pictures show"),
        ({"about": "crops", "n_images": -1}, "-1 images; expected at least 1"),
        ({"about": "crops", "classes": ["wheat", " "]}, "the name of a class is empty"),
        ({"about": "crops", "classes": ["200"]}, "'200' is one class by name; give the names of all"),
        ({"about": "crops", "classes": ["wheat", "rye", "wheat"]}, "class 'wheat' is named twice"),
    ],
)
def test_describe__not_usable__one_clear_line(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        describe_task(**arguments)  # type: ignore[arg-type]


def test_describe__classes_beside_labels__refused_and_the_labels_count() -> None:
    images = load_known_embeddings()["eurosat"]
    with pytest.raises(InputError, match="the images have labels of 10 classes; leave the names of classes out"):
        describe_task("fields from above", classes=["wheat"], images=images)
    described = describe_task("fields from above", images=images)
    assert described.text.class_names == images.class_names
    assert described.name == images.name


def test_recommend__numbers_but_no_word__says_so(space: Recommender) -> None:
    ranking = space.recommend(describe_task("zzz qqq", n_images=1000), n=3)
    assert any("numbers alone place no task" in note for note in ranking.notes)
    assert not any("numbers alone" in note for note in space.recommend(describe_task("zzz qqq"), n=3).notes)


def test_texts__every_known_image_set__described() -> None:
    texts = load_texts()
    assert set(known_texts().image_sets) == set(texts)
    assert all(text.about for text in texts.values())


@pytest.mark.parametrize("about", ["农作物", "Zdjęcia lotnicze pól uprawnych", "12 34", "!?"])
def test_recommend__no_word_known__order_for_any_dataset_and_said(space: Recommender, about: str) -> None:
    task = describe_task(about, classes=["0", "1", "2"])
    ranking = space.recommend(task, n=5)
    assert ranking.ids == space.recommend(n=5).ids
    assert ranking.resemblance == 0
    assert not ranking.nearest_in_words
    assert any("no word of the description is known" in note for note in ranking.notes)
    assert any("numbers, which say nothing" in note for note in ranking.notes)


def test_recommend__words_alone__says_what_it_rests_on(space: Recommender) -> None:
    task = describe_task("X-rays of the chest, fourteen findings", n_images=80_000)
    ranking = space.recommend(task, n=3)
    assert ranking.nearest_in_words[0][0] == "chestmnist"
    document = ranking.to_dict()
    assert document["about"] == "X-rays of the chest, fourteen findings"
    assert document["nearest_in_words"][0] == {"task": "chestmnist", "share": task.shares["chestmnist"]}
    assert document["n_images"] is None
    assert "words: nearest tasks" in str(ranking)
    assert "80,000 images" in str(ranking)
    assert not any("no images given" in note for note in ranking.notes)
    first = space.explain(task, ranking.ids[0])
    assert first.score == pytest.approx(first.static + sum(part.value for part in first.contributions), abs=0.02)


def test_recommend__words_beside_images__images_come_first(space: Recommender) -> None:
    images = load_known_embeddings()["eurosat"]
    both = describe_task("fields and forests from above", images=images)
    seen, told = space.covariance(images), space.kernel_.to_described(space.image_sets_, both.shares)
    left = 1 - space.resemblance(images)
    np.testing.assert_allclose(space.covariance(both), seen + left * told)
    ranking = space.recommend(both, n=3)
    assert ranking.nearest_tasks == space.nearest_tasks(images)
    assert ranking.nearest_in_words
    assert ranking.n_images == images.n_images


def test_covariance__one_known_task_and_nothing_else__its_own(space: Recommender) -> None:
    name = space.image_sets_[3]
    found = space.kernel_.to_described(space.image_sets_, {name: 1.0})
    np.testing.assert_allclose(found, space.kernel_.between(space.image_sets_)[3])


@pytest.mark.parametrize("kind", ["tower", "sentences"])
def test_text_encoder__local_random_weights__rows_that_can_be_compared(
    kind: str, request: pytest.FixtureRequest, space: Recommender
) -> None:
    folder = request.getfixturevalue(kind)
    encoder = load_text_encoder(folder, device="cpu")
    rows = encoder.encode(["wheat and maize", "a cat", "", "wheat and maize"])
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), [1, 1, 0, 1], atol=1e-6)
    np.testing.assert_allclose(rows[0], rows[3], atol=1e-6)
    known = KnownTexts(TEXTS, encoder)
    np.testing.assert_allclose(known.likeness(TEXTS["cars"])[known.image_sets.index("cars")], 1.0, atol=1e-6)
    task = describe_task("aerial photographs of crops", classes=["wheat"], encoder=str(folder))
    assert task.encoder == folder.name
    assert space.recommend(task, n=2).nearest_in_words


def test_text_encoder__not_one__says_what_was_expected(tmp_path: Path, tower: Path) -> None:
    with pytest.raises(InputError, match=r"neither open_clip_config\.json nor the config\.json of transformers"):
        load_text_encoder(tmp_path)
    with pytest.raises(InputError, match="unknown open_clip model"):
        load_text_encoder("ViT-B-33/openai")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ArtifactError, match="cannot load (text encoder )?'"):
        load_text_encoder(tmp_path)
    broken = TextTower("broken", lambda texts: torch.full((len(texts), 3), torch.nan))
    with pytest.raises(InputError, match="features that are not finite"):
        broken.encode(["a"])
