"""Files of weights: containers and wrappers opened, what does not fit refused, a head that is not there never used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision import models

from fennec.checkpoints.encoders import Encoder
from fennec.checkpoints.weights import fitted, read_weights
from fennec.errors import ArtifactError

NAME = "timm:test_resnet.r160_in1k"
State = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def state() -> State:
    torch.manual_seed(3)
    return dict(timm.create_model("test_resnet").state_dict())


def prefixed(state: State, prefix: str) -> State:
    return {f"{prefix}{key}": value for key, value in state.items()}


def other(state: State) -> State:
    return {key: value + 1 for key, value in state.items()}


def contents(state: State) -> dict[str, Any]:
    adam = {"state": {0: {"exp_avg": state["fc.weight"]}}, "param_groups": [{"lr": 0.1, "params": [0]}]}
    return {
        "plain": state,
        "model": {"model": state, "optimizer": adam, "epoch": 3},
        "state_dict": {"state_dict": state, "best_acc": 0.7},
        "ema before raw": {"model": other(state), "ema": state},
        "model_ema": {"state_dict": other(state), "model_ema": prefixed(state, "module.")},
        "teacher before student": {"student": prefixed(other(state), "module.backbone."),
                                   "teacher": prefixed(state, "backbone."), "epoch": 9},
        "nested": {"checkpoint": {"model": state}},
        "a name of one's own": {"my_weights": state, "step": 5},
        "data parallel": prefixed(state, "module."),
        "compiled": prefixed(state, "_orig_mod."),
        "both": prefixed(state, "module._orig_mod."),
        "backbone with another head": {**prefixed(state, "backbone."), "head.mlp.0.weight": torch.rand(3, 3)},
        "lightning": {"state_dict": {**prefixed(state, "model."), "loss.weight": torch.rand(4)}},
        "half precision": {key: value.half().float() for key, value in state.items()},
        "counters left out": {key: value for key, value in state.items() if "num_batches" not in key},
    }  # fmt: skip


@pytest.mark.parametrize("kind", list(contents({"fc.weight": torch.zeros(1)})))
def test_load__containers_and_wrappers__opened(kind: str, state: State, tmp_path: Path) -> None:
    torch.save(contents(state)[kind], tmp_path / "w.pth")
    encoder = Encoder.load(NAME, weights=tmp_path / "w.pth")
    for key, value in encoder.model.state_dict().items():
        torch.testing.assert_close(value, state[key], rtol=1e-3, atol=1e-3)
    assert encoder.has_head
    assert any("took" in note for note in encoder.notes) == ("before" in kind or kind == "model_ema")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"one": {"a": torch.zeros(1)}, "two": {"a": torch.zeros(1)}}, "its keys are one, two"),
        ({"epoch": 3, "args": "x"}, "its keys are epoch, args"),
        ({}, "it is empty"),
        ([1, 2], "no state dictionary.*it holds a list"),
    ],
)
def test_read_weights__nothing_that_can_be_told_apart__keys_named(content: Any, message: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(ArtifactError, match=message) as caught:
        read_weights(tmp_path / "w.pth")
    assert "\n" not in str(caught.value)


def test_load__two_backbones_that_fit__not_guessed(state: State, tmp_path: Path) -> None:
    torch.save({**prefixed(state, "encoder_q."), **prefixed(state, "encoder_k.")}, tmp_path / "w.pth")
    with pytest.raises(ArtifactError, match="several sets of weights of .*, behind 'encoder_k.', 'encoder_q.'; keep"):
        Encoder.load(NAME, weights=tmp_path / "w.pth")


def test_load__the_weights_twice_with_and_without_a_prefix__not_guessed(state: State, tmp_path: Path) -> None:
    torch.save({**other(state), **prefixed(state, "module.")}, tmp_path / "w.pth")
    with pytest.raises(ArtifactError, match="one in the open, one behind 'module.'; keep one of them"):
        Encoder.load(NAME, weights=tmp_path / "w.pth")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (nn.Sequential(nn.Linear(2, 2)), "a pickled network or other object, '.*Sequential', .*model.state_dict()"),
        ({"model": nn.Linear(2, 2), "epoch": 3}, "a pickled network or other object, '.*Linear'"),
        ({"w": torch.ones(2, 2, device="meta")}, "'w' is without values"),
    ],
)
def test_read_weights__no_plain_tensors__one_line(content: Any, message: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(ArtifactError, match=message) as caught:
        read_weights(tmp_path / "w.pth")
    assert "\n" not in str(caught.value)
    assert "only if you trust" not in str(caught.value)


@pytest.mark.filterwarnings("ignore")  # torch warns of the kinds of tensors that it is about to drop
@pytest.mark.parametrize("kind", ["quantised", "sparse"])
def test_read_weights__tensor_of_another_kind__one_line(kind: str, tmp_path: Path) -> None:
    plain = torch.ones(2, 2)
    odd = plain.to_sparse() if kind == "sparse" else torch.quantize_per_tensor(plain, 0.1, 0, torch.qint8)
    torch.save({"v": plain, "w": odd}, tmp_path / "w.pth")
    with pytest.raises(ArtifactError, match=f"'w' is {kind}; save plain tensors"):
        read_weights(tmp_path / "w.pth")


@pytest.mark.parametrize("kind", [torch.int8, torch.uint8, torch.int32])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_load__whole_numbers_for_weights__refused(kind: torch.dtype, suffix: str, state: State, tmp_path: Path) -> None:
    raw = {key: (40 * value).to(kind) if key == "conv1.0.weight" else value for key, value in state.items()}
    path = tmp_path / f"w{suffix}"
    save_file(raw, path) if suffix == ".safetensors" else torch.save(raw, path)
    name = str(kind).removeprefix("torch.")
    with pytest.raises(ArtifactError, match=rf"'conv1.0.weight' holds whole numbers \({name}\).*lacks its scale"):
        Encoder.load(NAME, weights=path)


@pytest.mark.parametrize("zipped", [True, False])
def test_read_weights__cut_anywhere__damaged(zipped: bool, state: State, tmp_path: Path) -> None:
    torch.save(state, tmp_path / "w.pth", _use_new_zipfile_serialization=zipped)
    whole = (tmp_path / "w.pth").read_bytes()
    for size in (0, 1, 2, 3, 10, 99, 1000, len(whole) // 2, len(whole) - 9):
        (tmp_path / "w.pth").write_bytes(whole[:size])
        with pytest.raises(ArtifactError, match="holds no weights .damaged, or not written by") as caught:
            read_weights(tmp_path / "w.pth")
        assert "\n" not in str(caught.value)


def test_load__file_of_a_larger_network__refused(tmp_path: Path) -> None:
    save_file(timm.create_model("resnet34").state_dict(), tmp_path / "w.safetensors")
    with pytest.raises(ArtifactError, match="does not hold weights of .*: 96 tensors have no place"):
        Encoder.load("timm:resnet18.a1_in1k", weights=tmp_path / "w.safetensors")
    with pytest.raises(ArtifactError, match="tensors have no place"):
        Encoder.load("torchvision:resnet18", weights=tmp_path / "w.safetensors")


@pytest.mark.parametrize("library", ["timm", "torchvision"])
def test_load__shapes_that_differ_or_tensors_that_lack__refused(library: str, tmp_path: Path) -> None:
    name = f"{library}:resnet18"
    state = dict(models.resnet18().state_dict())
    torch.save({**state, "conv1.weight": torch.rand(64, 3, 3, 3)}, tmp_path / "shape.pth")
    with pytest.raises(ArtifactError, match=r"1 have another shape, first 'conv1.weight', \(64, 3, 3, 3\) instead of"):
        Encoder.load(name, weights=tmp_path / "shape.pth")
    del state["layer1.0.conv1.weight"]
    torch.save(state, tmp_path / "lack.pth")
    with pytest.raises(ArtifactError, match="it lacks 1 tensors, first 'layer1.0.conv1.weight'"):
        Encoder.load(name, weights=tmp_path / "lack.pth")


@pytest.mark.parametrize("name", ["timm:resnet18", "torchvision:resnet18"])
def test_load__head_missing_or_of_another_size__features_without_a_source_head(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    state = dict(models.resnet18().state_dict())
    body = {key: value for key, value in state.items() if not key.startswith("fc.")}
    batch = torch.rand(2, 3, 64, 64)
    keys, features = [], []
    for content in (state, body, {**body, "fc.weight": torch.rand(7, 512), "fc.bias": torch.rand(7)},
                    {**body, "fc.0.weight": torch.rand(9, 512)}):  # fmt: skip
        torch.save(content, tmp_path / "w.pth")
        encoder = Encoder.load(name, weights=tmp_path / "w.pth")
        found, probs = encoder(batch)
        assert (probs is None) == (content is not state)
        assert any("no source head" in note for note in encoder.notes) == (content is not state)
        keys.append(encoder.fingerprint)
        features.append(found)
    for found in features[1:]:
        torch.testing.assert_close(found, features[0])
    assert len(set(keys[1:])) == 1  # the head that nobody trained is no part of it


def test_load__positions_of_another_size__said(tmp_path: Path) -> None:
    for side in (160, 192):
        save_file(timm.create_model("test_vit", img_size=side).state_dict(), tmp_path / f"{side}.safetensors")
    same, larger = (
        Encoder.load("timm:test_vit.r160_in1k", weights=tmp_path / f"{side}.safetensors") for side in (160, 192)
    )
    assert same.notes == ()
    assert larger.notes == ("resized to fit: 'pos_embed' from (1, 145, 64) to (1, 101, 64)",)


def test_load__first_layer_that_the_library_cannot_adapt__refused(tmp_path: Path) -> None:
    state = timm.create_model("resnet18").state_dict()
    torch.save({**state, "conv1.weight": state["conv1.weight"][:, :1]}, tmp_path / "w.pth")
    with pytest.raises(ArtifactError, match="w.pth' does not hold weights of 'timm:resnet18.a1_in1k'"):
        Encoder.load("timm:resnet18.a1_in1k", weights=tmp_path / "w.pth")


def test_load__inception__transform_input_and_auxiliary_classifiers(tmp_path: Path) -> None:
    state = models.inception_v3(weights=None, init_weights=False).state_dict()
    batch, found = torch.rand(2, 3, 299, 299), []
    for content in (state, {key: value for key, value in state.items() if not key.startswith("AuxLogits")}):
        torch.save(content, tmp_path / "w.pth")
        encoder = Encoder.load("torchvision:inception_v3", weights=tmp_path / "w.pth")
        assert encoder.model.transform_input is True
        found.append(encoder(batch))
    torch.testing.assert_close(found[0], found[1])
    assert found[1][1] is not None  # the head is in both files


def test_load__open_clip__activation_and_colours_of_the_tag_and_a_tower_alone(tmp_path: Path) -> None:
    import open_clip

    clip = open_clip.create_model("RN50", pretrained_text=False)
    torch.save({"epoch": 3, "model": prefixed(dict(clip.state_dict()), "module.")}, tmp_path / "whole.pt")
    torch.save(clip.visual.state_dict(), tmp_path / "tower.pt")
    one, two = (Encoder.load("open_clip:RN50.openai", weights=tmp_path / f"{name}.pt") for name in ("whole", "tower"))
    batch = torch.rand(1, 3, 224, 224)
    torch.testing.assert_close(one(batch)[0], two(batch)[0])
    torch.save({"positional_embedding": torch.zeros(3)}, tmp_path / "bad.pt")
    with pytest.raises(ArtifactError, match="does not hold weights of 'open_clip:RN50.openai'"):
        Encoder.load("open_clip:RN50.openai", weights=tmp_path / "bad.pt")


def test_load__transformers_without_or_with_another_head__no_source_head(tmp_path: Path) -> None:
    from transformers import (
        ViTConfig,
        ViTForImageClassification,
        ViTForMaskedImageModeling,
        ViTImageProcessor,
        ViTModel,
    )

    sizes = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 8, "image_size": 32}
    config = ViTConfig(num_hidden_layers=1, **sizes)
    batch = torch.rand(1, 3, 32, 32)
    for kind in (ViTModel, ViTForMaskedImageModeling):
        folder = tmp_path / kind.__name__
        kind(config).save_pretrained(folder)
        ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
        encoder, again = Encoder.load("hf:a/b", weights=folder), Encoder.load("hf:a/b", weights=folder)
        features, probs = encoder(batch)
        assert features.shape == (1, 16)
        assert probs is None
        assert "no source head" in encoder.notes[0]
        torch.testing.assert_close(again(batch)[0], features)
    deeper = ViTForImageClassification(ViTConfig(num_hidden_layers=2, **sizes)).state_dict()
    save_file({key: value.contiguous() for key, value in deeper.items()}, folder / "deeper.safetensors")
    with pytest.raises(ArtifactError, match="16 tensors have no place, first 'vit.encoder.layer.1|no place"):
        Encoder.load("hf:a/b", weights=folder / "deeper.safetensors")


class Own(nn.Module):
    """The head is registered first, so that its place says nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.head, self.body = nn.Linear(5, 4), nn.Linear(3 * 224 * 224, 5)

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        return self.head(torch.relu(self.body(batch.flatten(1))))


def test_load__own_network_and_a_file_without_its_head__found_by_running_it(tmp_path: Path) -> None:
    name = f"{__name__}:Own"
    state = dict(Own().state_dict())
    torch.save({key: value for key, value in state.items() if "head" not in key}, tmp_path / "body.pth")
    features, probs = Encoder.load(name, weights=tmp_path / "body.pth")(torch.rand(2, 3, 224, 224))
    assert features.shape == (2, 5)
    assert probs is None
    torch.save({key: value for key, value in state.items() if "body" not in key}, tmp_path / "head.pth")
    with pytest.raises(ArtifactError, match="it lacks 2 tensors, first 'body.weight'"):
        Encoder.load(name, weights=tmp_path / "head.pth")


def test_fitted__exact_file__every_tensor_as_it_is() -> None:
    network = nn.Linear(3, 2)
    state = {"weight": torch.ones(2, 3), "bias": torch.zeros(2)}
    ready, has_head = fitted(network, state, "net", "file", lambda model: ())
    assert has_head
    assert ready == state
