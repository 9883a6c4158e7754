"""One bad model or image never takes the others along: it stands last or is left out, named, with its reason."""

from __future__ import annotations

import gc
import re
import weakref
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from fennec.checkpoints.encoders import Encoder
from fennec.errors import FennecError, InputError, ModelFailedError
from fennec.forward import foreign, scoring
from fennec.forward.features import extract_features
from fennec.forward.scoring import rerank, score_models
from fennec.images.datasets import ImageDataset
from fennec.images.open import open_dataset
from fennec.metrics import Score
from fennec.space.ranking import RankedModel, Ranking

N = 20  # images
Output = namedtuple("Output", ["logits", "hidden"])


@pytest.fixture
def images(tmp_path: Path, picture: Callable[..., Image.Image]) -> ImageDataset:
    """Two classes of ten images."""
    for label, name in enumerate(("a", "b")):
        (tmp_path / "set" / name).mkdir(parents=True)
        for index in range(N // 2):
            picture(100 * label + index).save(tmp_path / "set" / name / f"{index}.png")
    return open_dataset(tmp_path / "set")


def pixels(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.asarray(image.resize((8, 8)), dtype=np.float32).transpose(2, 0, 1).copy() / 255)


class Network(nn.Module):
    """Answers with whatever a function makes of its plain features."""

    def __init__(self, answer: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.answer = answer
        self.weight = nn.Parameter(torch.rand(1))  # no two have one fingerprint

    def forward(self, batch: Tensor) -> Any:
        return self.answer(torch.cat([batch.mean((2, 3)), batch.std((2, 3))], dim=1))


def encoder(name: str, answer: Callable[[Tensor], Any] = lambda x: x, transform: Any = pixels) -> Encoder:
    return Encoder(name, Network(answer), transform)


def raising(error: BaseException) -> Callable[[Any], Any]:
    def answer(_: Any) -> Any:
        raise error

    return answer


def deep(x: Tensor) -> Tensor:
    return deep(x)


class Mute(Exception):
    def __str__(self) -> str:
        raise ValueError("no words")


BROKEN: dict[str, tuple[Callable[[Tensor], Any], str]] = {
    "tuple": (lambda x: (x, x), "gives a tuple, not a tensor"),
    "list": (lambda x: [x], "gives a list, not a tensor"),
    "dict": (lambda x: {"features": x}, "gives a dict, not a tensor"),
    "named tuple": (lambda x: Output(x, x), "gives a Output, not a tensor"),
    "none": (lambda x: None, "gives a NoneType, not a tensor"),
    "text": (lambda x: "cat", "gives a str, not a tensor"),
    "array": (lambda x: x.numpy(), "gives a ndarray, not a tensor"),
    "number": (lambda x: 1.0, "gives a float, not a tensor"),
    "one value": (lambda x: x.mean(), r"shape \(\)"),
    "no feature axis": (lambda x: x[:, 0], r"shape \(20,\) for 20 pictures"),
    "five axes": (lambda x: x[:, :, None, None, None], r"shape \(20, 6, 1, 1, 1\)"),
    "no features": (lambda x: x[:, :0], r"shape \(20, 0\)"),
    "one row": (lambda x: x[:1], r"shape \(1, 6\) for 20 pictures"),
    "rows twice": (lambda x: torch.cat([x, x]), r"shape \(40, 6\) for 20 pictures"),
    "features first": (lambda x: x.T, r"shape \(6, 20\) for 20 pictures"),
    "complex": (lambda x: torch.complex(x, x), "complex numbers"),
    "nan": (lambda x: x / 0.0 * 0.0, "20 of the pictures, the first is a/0.png: the network gives NaN or infinite"),
    "infinite": (lambda x: x / 0.0, "NaN or infinite values"),
    "one value nan": (lambda x: torch.cat([x, torch.full_like(x[:, :1], torch.nan)], dim=1), "NaN or infinite values"),
    "runtime": (raising(RuntimeError("size 3 against 1\nmore lines")), r"failed \(RuntimeError: size 3 against 1\)"),
    "memory": (raising(MemoryError()), r"the forward pass failed \(MemoryError\)"),
    "gpu memory": (raising(torch.OutOfMemoryError("tried to allocate 900 GiB")), "OutOfMemoryError: tried to allocate"),
    "key": (raising(KeyError("pixel_values")), "KeyError: 'pixel_values'"),
    "assertion": (raising(AssertionError()), "AssertionError"),
    "stop": (raising(StopIteration()), "StopIteration"),
    "recursion": (deep, "RecursionError"),
    "exit": (raising(SystemExit(3)), "SystemExit: 3"),
    "mute": (raising(Mute()), r"failed \(Mute\)"),
    "not built": (raising(NotImplementedError("later")), "NotImplementedError: later"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_score_models__one_broken_network__last_with_its_reason(images: ImageDataset, kind: str) -> None:
    answer, reason = BROKEN[kind]
    models = [encoder("broken", answer), encoder("good"), encoder("other", lambda x: x[:, :4])]
    ranking = score_models(images, models, metrics=["logme", "ncc"])
    assert set(ranking.ids[:2]) == {"good", "other"}
    assert ranking.ids[2] == "broken"
    assert [model.method for model in ranking.models] == ["scored", "scored", "failed"]
    (note,) = [note for note in ranking.notes if note.startswith("broken: ")]
    assert "\n" not in note
    assert re.search(reason, note), note
    alone = score_models(images, models[1:], metrics=["logme", "ncc"])
    assert [model.scores for model in ranking.models[:2]] == [model.scores for model in alone.models]
    assert "broken" in ranking.to_frame()["model"].tolist()
    assert ranking.to_dict()["models"][2]["score"] is None


@pytest.mark.parametrize(
    "answer",
    [lambda x: x.half(), lambda x: (100 * x).long(), lambda x: x > 0.5, lambda x: x.double(), lambda x: x[:, None]],
    ids=["half", "whole numbers", "truth values", "double", "one token"],
)
def test_score_models__other_kinds_of_numbers__scored(images: ImageDataset, answer: Callable[[Tensor], Any]) -> None:
    ranking = score_models(images, [encoder("odd", answer), encoder("good")], metrics=["ncc"])
    assert {model.method for model in ranking.models} == {"scored"}


def test_score_models__one_input_channel__last_with_its_reason(images: ImageDataset) -> None:
    grey = Encoder("grey", nn.Sequential(nn.Conv2d(1, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()), pixels)
    ranking = score_models(images, [grey, encoder("good")], metrics=["logme"])
    assert ranking.ids == ("good", "grey")
    assert any("grey: the forward pass failed (RuntimeError: Given groups=1" in note for note in ranking.notes)


@pytest.mark.parametrize(
    ("transform", "reason"),
    [
        (raising(ValueError("no grey")), "fails on 20 of the pictures, .* its transform failed .ValueError: no grey"),
        (raising(SystemExit("bye")), "SystemExit: bye"),
        (lambda image: image, "its transform makes a Image; expected a tensor"),
        (lambda image: np.asarray(image), "its transform makes a ndarray"),
        (lambda image: torch.zeros(3, 8, 8 + image.getpixel((0, 0))[0] % 5), "shape .* and .*; it must resize or crop"),
        (lambda image: pixels(image)[0], "the forward pass failed"),
        (lambda image: pixels(image) * torch.nan, "NaN or infinite"),
    ],
)
def test_score_models__broken_transform__last_with_its_reason(
    images: ImageDataset, transform: Any, reason: str
) -> None:
    ranking = score_models(images, [encoder("bad", transform=transform), encoder("good")], metrics=["logme"])
    assert ranking.ids == ("good", "bad")
    assert re.search(reason, " ".join(ranking.notes))


def refuses(number: int, how: str) -> Callable[[Image.Image], Tensor]:
    """A transform that fails on the images whose first pixel is that of image `number` of class a."""
    bad = np.random.default_rng(number).integers(0, 256, (24, 32, 3), dtype=np.uint8)[0, 0].tolist()

    def transform(image: Image.Image) -> Tensor:
        if list(image.getpixel((0, 0))) == bad:
            if how == "raises":
                raise ZeroDivisionError("flat image")
            return pixels(image) * torch.inf
        return pixels(image)

    return transform


@pytest.mark.parametrize("how", ["raises", "infinite"])
def test_score_models__one_image_that_one_model_fails_on__left_out_for_all_and_said(
    images: ImageDataset, how: str
) -> None:
    models = [encoder("picky", transform=refuses(3, how)), encoder("good")]
    ranking = score_models(images, models, metrics=["logme", "etran"])
    assert {model.method for model in ranking.models} == {"scored"}
    assert ranking.n_images == N - 1
    assert any("picky fails on 1 images (a/3.png: " in note for note in ranking.notes)
    assert ranking.models[0].scores == pytest.approx(ranking.models[1].scores)  # the same images, the same features
    again = score_models(images, models, metrics=["logme", "etran"])  # out of the cache
    assert again.notes == ranking.notes
    assert [model.scores for model in again.models] == [model.scores for model in ranking.models]


def test_extract_features__images_refused_and_unreadable__rows_and_labels_stay_together(
    images: ImageDataset, tmp_path: Path
) -> None:
    (tmp_path / "set" / "a" / "1.png").write_bytes(b"junk")
    whole = extract_features(encoder("good"), images, batch_size=4)
    found = extract_features(encoder("picky", transform=refuses(3, "raises")), images, batch_size=4)
    assert [item for item, _ in found.skipped] == ["a/1.png"]
    assert [item for item, _ in found.refused] == ["a/3.png"]
    assert found.positions.tolist() == [position for position in range(N) if position not in (1, 3)]
    np.testing.assert_allclose(found.features, whole.features[[0, 1, *range(3, N - 1)]])
    assert found.labels is not None
    assert found.labels.tolist() == [0] * 8 + [1] * 10


@pytest.mark.parametrize("view", [lambda x: x[:, :4], lambda x: x[:, ::2], lambda x: x.flip(1)[:, 1:]])
def test_extract_features__network_gives_a_view__the_same_out_of_the_cache(
    images: ImageDataset, view: Callable[[Tensor], Tensor]
) -> None:
    model = encoder("view", view)
    expected = extract_features(model, images, cached=False).features
    for _ in range(2):
        np.testing.assert_array_equal(extract_features(model, images).features, expected)


def test_extract_features__other_width_in_another_batch__model_failed(images: ImageDataset) -> None:
    sizes = iter((6, 6, 4, 4, 4))
    with pytest.raises(ModelFailedError, match="gives 6 values for some pictures and 4 for others"):
        extract_features(encoder("moody", lambda x: x[:, : next(sizes)]), images, batch_size=5)


def test_extract_features__everything_fails__stops_early(images: ImageDataset) -> None:
    calls = []

    def transform(image: Image.Image) -> Tensor:
        calls.append(image)
        raise ValueError("never")

    with pytest.raises(ModelFailedError, match="it fails on 5 of the pictures"):
        extract_features(encoder("bad", transform=transform), images, batch_size=5, cached=False)
    assert len(calls) == 5


def test_score_models__interrupted__stops(images: ImageDataset) -> None:
    for broken in (
        encoder("stop", raising(KeyboardInterrupt())),
        encoder("stop", transform=raising(KeyboardInterrupt())),
    ):
        with pytest.raises(KeyboardInterrupt):
            score_models(images, [broken, encoder("good")], metrics=["logme"])


def test_score_models__all_fail__first_reason_with_its_name(images: ImageDataset) -> None:
    with pytest.raises(ModelFailedError, match="^one: the forward pass failed .KeyError: 'x'"):
        score_models(images, [encoder("one", raising(KeyError("x"))), encoder("two", deep)], metrics=["logme"])


def test_score_models__foreign_code_while_loading__last_with_its_reason(
    images: ImageDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "badnets.py").write_text("import sys\ndef leaves():\n    sys.exit('usage: badnets')\n")
    monkeypatch.chdir(tmp_path)
    ranking = score_models(images, ["badnets:leaves", encoder("good")], metrics=["logme"])
    assert ranking.ids == ("good", "badnets:leaves")
    assert "badnets:leaves: 'badnets:leaves' makes no network (SystemExit: usage: badnets)" in ranking.notes


def test_score_models__failed_model__nothing_of_its_pass_stays_in_memory(images: ImageDataset) -> None:
    held: list[weakref.ref[Tensor]] = []

    def answer(x: Tensor) -> Tensor:
        large = torch.zeros(10)
        held.append(weakref.ref(large))
        raise RuntimeError("half way")

    seen = []
    good = encoder("good", lambda x: (gc.collect(), seen.append(held[0]()), x)[2])
    score_models(images, [encoder("bad", answer), good], metrics=["logme"])
    assert seen == [None]


def test_score_models__no_readable_image__no_fault_of_the_models(images: ImageDataset, tmp_path: Path) -> None:
    for path in (tmp_path / "set").rglob("*.png"):
        path.write_bytes(b"junk")
    with pytest.raises(InputError, match="none of the 20 images of .* could be read"):
        score_models(images, [encoder("good")], metrics=["logme"])


def test_score_models__unreadable_images__counted_in_the_notes(images: ImageDataset, tmp_path: Path) -> None:
    for index in range(3):
        (tmp_path / "set" / "b" / f"{index}.png").write_bytes(b"version https://example.org/spec/v1\n")
    ranking = score_models(images, [encoder("good"), encoder("bad", deep)], metrics=["logme"])
    assert "3 images could not be read and were skipped" in ranking.notes
    assert ranking.n_images == N - 3
    assert [item for item, _ in ranking.skipped] == ["b/0.png", "b/1.png", "b/2.png"]
    assert ranking.to_dict()["skipped"][0][0] == "b/0.png"


def test_score_models__two_models_of_one_name__refused_or_counted_once(images: ImageDataset) -> None:
    with pytest.raises(InputError, match="two models are called 'net'; give each Encoder a name of its own"):
        score_models(images, [encoder("net"), encoder("net", lambda x: x[:, :2])], metrics=["logme"])
    one = encoder("net")
    assert score_models(images, [one, one, encoder("other")], metrics=["logme"]).n_candidates == 2


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("cuda error"), ValueError("fit failed"), InputError("x")]
)
def test_score_models__metric_fails_on_one_model__its_own_reason(
    images: ImageDataset, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    metric = scoring.find_metric("logme")

    def failing(features: Any, labels: Any, **options: Any) -> Score:
        if features.shape[1] == 4:
            raise error
        return Score(metric.function(features, labels, **options))

    monkeypatch.setitem(scoring.find_metric.__globals__["METRICS"], "logme", type(metric)(failing))
    ranking = score_models(images, [encoder("four", lambda x: x[:, :4]), encoder("good")], metrics=["logme"])
    assert ranking.ids == ("good", "four")
    assert any(note.startswith("logme of four is undefined: ") for note in ranking.notes)


@pytest.mark.parametrize("name", ["ens_sfda", "etran", "ncti"])
def test_score_models__set_metric_and_constant_features__the_others_are_scored(images: ImageDataset, name: str) -> None:
    models = [encoder("flat", torch.ones_like), encoder("good"), encoder("other", lambda x: x[:, :4])]
    ranking = score_models(images, models, metrics=[name])
    scores = {model.id: model.score for model in ranking.models}
    assert np.isfinite([scores["good"], scores["other"]]).all()
    assert ranking.ids[2] == "flat"


def test_score_models__features_saturate_a_metric__said_and_not_in_the_order(images: ImageDataset) -> None:
    wide = [
        encoder(name, lambda x, s=seed: torch.rand(len(x), 300, generator=torch.Generator().manual_seed(s)))
        for name, seed in (("one", 1), ("two", 2))
    ]
    ranking = score_models(images, wide, metrics=["sfda", "logme"])
    assert any("sfda of one, two: it saturates, 300 features for 20 samples" in note for note in ranking.notes)
    assert any("the order leaves out sfda: it does not tell these models apart" in note for note in ranking.notes)
    assert ranking.ids == score_models(images, wide, metrics=["logme"]).ids
    alone = score_models(images, wide, metrics=["h_score"])
    assert any("h_score of one, two: it saturates" in note and "regularised_h_score" in note for note in alone.notes)
    assert "h_score is 1 for all models that it is defined for: it does not tell them apart" in alone.notes
    few = score_models(images, wide, metrics=["sfda(pca_dim=2)"])
    assert not few.notes
    assert set(few.models[0].scores) == {"sfda(pca_dim=2)"}


@pytest.mark.parametrize("name", ["ncc", "emms", "transrate", "etran", "disco", "ped(knn)", "gbc(pca_dim=None)"])
def test_score_models__metric_that_flatters_noise__said_of_the_models_with_many_features(
    images: ImageDataset, name: str
) -> None:
    def many(x: torch.Tensor) -> torch.Tensor:
        return torch.rand(len(x), 300, generator=torch.Generator().manual_seed(1))

    models = [encoder("wide", many), encoder("few")]
    notes = [note for note in score_models(images, models, metrics=[name, "knn"]).notes if "noise" in note]
    assert notes == [notes[0]]
    assert notes[0].startswith(f"{name} of wide: it is fitted to 20 samples and scored on the same")
    assert ("'gbc(pca_dim=32)', " in notes[0]) == name.startswith("gbc")
    assert notes[0].endswith("knn, linear_probe, lead or more images")


def test_score_models__one_source_of_features_twice__tie_said(images: ImageDataset) -> None:
    ranking = score_models(images, [encoder("one"), encoder("copy")], metrics=["knn"])
    assert any("knn is" in note and "does not tell them apart" in note for note in ranking.notes)


def test_rerank__no_score_for_a_model__keeps_its_position_and_notes_stand_once() -> None:
    models = tuple(RankedModel(rank=i + 1, id=f"m{i}", score=-float(i), method="evidence") for i in range(3))
    unread = "2 images could not be read and were skipped"
    first = Ranking(task="t", hub="h", protocol="finetune", models=models, n_candidates=3, notes=(unread,))
    scored = Ranking(
        task="t", hub="leep", protocol="forward pass", n_candidates=2, notes=(unread, "leep of m0 is undefined: none"),
        models=(
            RankedModel(rank=1, id="m1", score=2.0, method="scored", scores={"leep": 2.0}),
            RankedModel(rank=2, id="m0", score=float("nan"), method="scored", scores={"leep": float("nan")}),
        ),
    )  # fmt: skip
    merged = rerank(first, scored)
    assert merged.ids == ("m0", "m1", "m2")
    assert [model.method for model in merged.models] == ["evidence", "evidence+scored", "evidence"]
    assert merged.notes.count(unread) == 1


def test_foreign__errors_on_purpose__pass_unchanged() -> None:
    with pytest.raises(FennecError, match="^mine$"), foreign.foreign("it"):
        raise FennecError("mine")
    assert foreign.one_line(ValueError("\n first\nsecond")) == "ValueError: first"
