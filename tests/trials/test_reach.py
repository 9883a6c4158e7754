"""Models are out of reach only where no server answers and no cache has them."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants

from fennec.errors import OfflineError
from fennec.trials import loop, reach
from fennec.trials.reach import is_here, out_of_reach, refusal

from .conftest import Lab, Look

MODELS = [
    "timm:resnet50.a1_in1k",
    "timm:vgg11.tv_in1k",
    "timm:no_such_network.x",
    "timm:gcvit_base.in1k",  # not on the Hub
    "open_clip:ViT-B-32.laion2b_s34b_b79k",
    "open_clip:RN50.openai",
    "torchvision:resnet50.IMAGENET1K_V1",
    "hf:microsoft/resnet-50",
    "mynets:small",
]


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No server answers and every cache is empty; gives the folder of the caches."""
    monkeypatch.setattr(reach, "refusal", lambda server: "no route")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "torch"))
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def cached(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"0")


def test_out_of_reach__nothing_cached__all_but_own_and_local(nobody: Path) -> None:
    found = out_of_reach(MODELS, ["timm:vgg11.tv_in1k"])
    assert found.keys() == {*MODELS} - {"timm:vgg11.tv_in1k", "mynets:small"}
    assert found["hf:microsoft/resnet-50"] == "https://huggingface.co cannot be reached (no route)"
    assert found["torchvision:resnet50.IMAGENET1K_V1"].startswith("https://download.pytorch.org cannot be reached")


@pytest.mark.parametrize(
    ("model", "file"),
    [
        ("timm:resnet50.a1_in1k", "hub/models--timm--resnet50.a1_in1k/snapshots/1f/model.safetensors"),
        ("hf:microsoft/resnet-50", "hub/models--microsoft--resnet-50/snapshots/1f/pytorch_model.bin"),
        (
            "open_clip:ViT-B-32.laion2b_s34b_b79k",
            "hub/models--laion--CLIP-ViT-B-32-laion2B-s34B-b79K/snapshots/1f/open_clip_model.safetensors",
        ),
        ("torchvision:resnet50.IMAGENET1K_V1", "torch/checkpoints/resnet50-0676ba61.pth"),
    ],
)
def test_is_here__weights_in_the_cache__yes(nobody: Path, model: str, file: str) -> None:
    assert not is_here(model)
    cached((nobody / file).with_name("config.json"))
    assert not is_here(model)
    cached(nobody / file)
    assert is_here(model)
    assert model not in out_of_reach(MODELS)


def test_out_of_reach__servers_answer_or_are_not_needed__nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(reach, "refusal", lambda server: asked.append(server) or "")
    assert out_of_reach(MODELS) == {}
    assert sorted(asked) == ["https://download.pytorch.org", "https://huggingface.co"]
    assert out_of_reach(["mynets:small"]) == out_of_reach(MODELS[:1], MODELS) == {}
    assert len(asked) == 2


@pytest.fixture
def server() -> Iterator[str]:
    """One that answers every question with 'forbidden'."""

    class Answers(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_error(403)

        def log_message(self, *_: object) -> None: ...

    with http.server.HTTPServer(("127.0.0.1", 0), Answers) as found:
        threading.Thread(target=found.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{found.server_port}"
        found.shutdown()


def test_refusal__of_a_server_and_of_none(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert refusal(server) == ""
    assert "refused" in refusal("http://127.0.0.1:9")
    monkeypatch.setattr(constants, "ENDPOINT", server)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert refusal(server) == "HF_HUB_OFFLINE is set"


def gone(*names: str) -> dict[str, str]:
    return dict.fromkeys(names, "https://hub cannot be reached (no route)")


def test_search__some_out_of_reach__tries_the_rest_and_says_so_once(
    look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = Lab()
    beyond = ("model08", "model09")
    monkeypatch.setattr(loop, "out_of_reach", lambda models, _: gone(*beyond))
    found = look("99 models", lab)
    assert sorted(lab.measured) == [f"model{index:02d}" for index in range(8)]
    assert found.stopped == "every candidate that can be had was tried"
    assert found.notes == (
        "https://hub cannot be reached (no route): 2 of 10 candidates are not on this machine and were left out; the "
        "same command tries them where there is a network",
    )
    assert str(found).count("cannot be reached") == 1
    monkeypatch.setattr(loop, "out_of_reach", lambda *_: {})
    again = Lab()
    look("99 models", again)
    assert sorted(again.measured) == sorted(beyond)


def test_search__all_out_of_reach__one_line_and_nothing_is_spent(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    lab = Lab()
    monkeypatch.setattr(loop, "out_of_reach", lambda models, _: gone(*models))
    with pytest.raises(OfflineError, match="cannot be reached .*of none of the 10 candidates .*--weights MODEL=FILE"):
        look("99 models", lab)
    assert not lab.measured


def test_search__network_lost_on_the_way__costs_one_try_and_no_result(
    look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Lost(Lab):
        def __call__(self, job, device):  # type: ignore[no-untyped-def]
            record = super().__call__(job, device)
            if len(self.measured) < 3:
                return record
            monkeypatch.setattr(loop, "out_of_reach", lambda models, _: gone(*models))
            return {**record, "status": "failed", "error": "OfflineError", "message": "cannot download"}

    lab = Lost()
    found = look("5 models", lab)
    assert len(lab.measured) == 3
    assert [trial.error for trial in found.trials] == ["", ""]
    assert found.spent == 2
    assert "8 of 10 candidates are not on this machine" in found.notes[0]


def test_search__server_answers_but_has_no_such_weights__a_failure_as_any(look: Look) -> None:
    class Gated(Lab):
        def __call__(self, job, device):  # type: ignore[no-untyped-def]
            record = super().__call__(job, device)
            refused = {"status": "failed", "error": "OfflineError", "message": "401"}
            return {**record, **refused} if len(self.measured) == 1 else record

    found = look("3 models", Gated())
    assert [trial.error for trial in found.trials] == ["OfflineError", "", ""]
