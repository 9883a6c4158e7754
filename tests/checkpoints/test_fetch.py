"""Weights are fetched before a network is built for them, and what was fetched is what is used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import huggingface_hub
import open_clip
import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn

from fennec.checkpoints.encoders import Encoder
from fennec.errors import OfflineError

BATCH = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    "model",
    [
        "timm:eva_giant_patch14_560.m30m_ft_in22k_in1k",
        "torchvision:vit_h_14.IMAGENET1K_SWAG_E2E_V1",
        "open_clip:ViT-bigG-14.laion2b_s39b_b160k",
    ],
)
def test_load__weights_out_of_reach__no_network_is_built(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def build(*arguments: Any, **options: Any) -> None:
        raise AssertionError("a network was built")

    def no_network(*arguments: Any, **options: Any) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(torchvision.models._api, "load_state_dict_from_url", no_network)
    for layer in (nn.Linear, nn.Conv2d):
        monkeypatch.setattr(layer, "__init__", build)
    with pytest.raises(OfflineError, match=f"cannot download '.*{model[-5:]}' .*; give local weights with --weights"):
        Encoder.load(model)


@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin"])
def test_load__weights_in_the_cache_of_the_hub__used(
    file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    torch.manual_seed(5)
    network = timm.create_model("test_resnet").eval()
    repository = tmp_path / "models--timm--test_resnet.r160_in1k"
    folder = repository / "snapshots" / "0123456789abcdef0123456789abcdef01234567"
    folder.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(folder.name)
    if file.endswith("safetensors"):
        save_file(network.state_dict(), folder / file)
    else:
        torch.save(network.state_dict(), folder / file)
    encoder = Encoder.load("timm:test_resnet.r160_in1k", device="cpu")
    with torch.inference_mode():
        torch.testing.assert_close(encoder(BATCH)[1], network(BATCH).softmax(dim=1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("architecture", ["densenet121", "shufflenet_v2_x0_5"])
def test_load__weights_that_torchvision_downloads__used(architecture: str, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(5)
    network = torchvision.models.get_model(architecture, weights=None).eval()
    fetched: list[str] = []

    def download(url: str, **options: Any) -> dict[str, torch.Tensor]:
        fetched.append(url)
        return network.state_dict()

    monkeypatch.setattr(torchvision.models._api, "load_state_dict_from_url", download)
    encoder = Encoder.load(f"torchvision:{architecture}.IMAGENET1K_V1", device="cpu")
    assert len(fetched) == 1
    with torch.inference_mode():
        torch.testing.assert_close(encoder(BATCH)[1], network(BATCH).softmax(dim=1), rtol=1e-4, atol=1e-5)


def test_load__weights_of_open_clip__fetched_once_before_the_tower(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(5)
    tower = open_clip.create_model("RN50", pretrained_image=False).eval()
    torch.save(tower.state_dict(), tmp_path / "weights.pt")
    config = {**open_clip.get_pretrained_cfg("RN50", "cc12m"), "file": str(tmp_path / "weights.pt")}
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED["RN50"], "cc12m", config)
    encoder = Encoder.load("open_clip:RN50.cc12m", device="cpu")
    batch = torch.rand(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(encoder(batch)[0], tower.visual(batch), rtol=1e-3, atol=1e-4)
