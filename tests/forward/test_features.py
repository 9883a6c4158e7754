"""Candidate models: loading from local weights, the cut before the head, one pass with a cache."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.models import resnet18

from fennec.checkpoints.encoders import Encoder
from fennec.errors import ArtifactError, FennecError, InputError, OfflineError, UnknownModelError
from fennec.forward.features import extract_features
from fennec.images.open import open_dataset


class Tiny(nn.Module):
    """Two linear layers, the last one the head."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body, self.head = nn.Linear(3 * 16, 5), nn.Linear(5, 4)
        self.calls = 0

    def forward(self, batch: Tensor) -> Tensor:
        self.calls += len(batch)
        return self.head(torch.relu(self.body(batch.flatten(1))))


def pixels(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.asarray(image.resize((4, 4)), dtype=np.float32).transpose(2, 0, 1).copy() / 255)


def tiny(**options: object) -> Encoder:
    return Encoder("tiny", Tiny(), pixels, **options)  # type: ignore[arg-type]


def test_encoder__any_module__input_of_the_last_linear_layer() -> None:
    encoder = tiny()
    batch = torch.rand(6, 3, 4, 4)
    features, probs = encoder(batch)
    expected = torch.relu(encoder.model.body(batch.flatten(1))).detach()
    torch.testing.assert_close(features, expected)
    assert probs is not None
    torch.testing.assert_close(probs, torch.softmax(encoder.model.head(expected), dim=1).detach())
    torch.testing.assert_close(probs.sum(dim=1), torch.ones(6))


def test_encoder__module_without_a_head__output_averaged_over_positions() -> None:
    convolution = nn.Conv2d(3, 7, 3)
    features, probs = Encoder("convolution", convolution, pixels)(torch.rand(2, 3, 8, 8))
    assert features.shape == (2, 7)
    assert probs is None
    tokens = Encoder("tokens", nn.Flatten(2), pixels)(torch.rand(2, 3, 8, 8))[0]
    assert tokens.shape == (2, 64)


def test_encoder__memory_runs_out__batch_halved(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = tiny()
    forward, sizes = encoder._forward, []

    def limited(batch: Tensor) -> tuple[Tensor, Tensor | None]:
        sizes.append(len(batch))
        if len(batch) > 2:
            raise torch.OutOfMemoryError("no memory")
        return forward(batch)

    batch = torch.rand(7, 3, 4, 4)
    expected = encoder(batch)
    monkeypatch.setattr(encoder, "_forward", limited)
    features, probs = encoder(batch)
    torch.testing.assert_close(features, expected[0])
    torch.testing.assert_close(probs, expected[1])
    assert sizes[0] == 7
    monkeypatch.setattr(encoder, "_forward", lambda batch: (_ for _ in ()).throw(torch.OutOfMemoryError("none")))
    with pytest.raises(torch.OutOfMemoryError):
        encoder(batch)


@pytest.mark.parametrize("name", ["test_resnet.r160_in1k", "test_vit.r160_in1k", "test_convnext.r160_in1k"])
def test_load__timm_from_a_local_file__penultimate_features(name: str, tmp_path: Path) -> None:
    model = timm.create_model(name.partition(".")[0])
    save_file({key: value.contiguous() for key, value in model.state_dict().items()}, tmp_path / "w.safetensors")
    encoder = Encoder.load(f"timm:{name}", weights=tmp_path / "w.safetensors")
    size = encoder.transform(Image.new("RGB", (200, 200))).shape[-1]
    batch = torch.rand(2, 3, size, size)
    features, probs = encoder(batch)
    model.eval()
    with torch.inference_mode():
        torch.testing.assert_close(probs, torch.softmax(model(batch), dim=1), rtol=1e-4, atol=1e-6)
        expected = model.forward_head(model.forward_features(batch), pre_logits=True)
    torch.testing.assert_close(features, expected, rtol=1e-4, atol=1e-5)


def test_load__timm_file_without_or_with_another_head__features_and_no_source_head(tmp_path: Path) -> None:
    whole = timm.create_model("test_resnet").eval()
    batch = torch.rand(1, 3, 160, 160)
    for n_classes in (0, 7):
        model = timm.create_model("test_resnet", num_classes=n_classes)
        model.load_state_dict({k: v for k, v in whole.state_dict().items() if not k.startswith("fc.")}, strict=False)
        torch.save({"state_dict": model.state_dict()}, tmp_path / "w.pth")
        encoder = Encoder.load("timm:test_resnet.r160_in1k", weights=tmp_path / "w.pth")
        features, probs = encoder(batch)
        assert probs is None
        assert "no source head" in encoder.notes[0]
        with torch.inference_mode():
            expected = whole.forward_head(whole.forward_features(batch), pre_logits=True)
        torch.testing.assert_close(features, expected, rtol=1e-4, atol=1e-5)


def test_load__torchvision_from_a_local_file__penultimate_features(tmp_path: Path) -> None:
    model = resnet18()
    torch.save(model.state_dict(), tmp_path / "w.pth")
    encoder = Encoder.load("torchvision:resnet18.imagenet1k_v1", weights=tmp_path / "w.pth")
    features, probs = encoder(torch.rand(1, 3, 64, 64))
    assert features.shape == (1, 512)
    assert probs is not None
    assert probs.shape == (1, 1000)


def test_load__open_clip_from_a_local_file__image_tower(tmp_path: Path) -> None:
    import open_clip

    model = open_clip.create_model("RN50", pretrained=None)
    torch.save(model.state_dict(), tmp_path / "w.pt")
    encoder = Encoder.load("open_clip:RN50.openai", weights=tmp_path / "w.pt")
    features, probs = encoder(torch.rand(1, 3, 224, 224))
    assert features.shape == (1, 1024)
    assert probs is None


def test_load__hugging_face_from_a_local_folder__penultimate_features(tmp_path: Path) -> None:
    from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

    config = ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, image_size=32, num_labels=5
    )
    ViTForImageClassification(config).save_pretrained(tmp_path)
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(tmp_path)
    encoder = Encoder.load("hf:google/vit-base-patch16-224", weights=tmp_path)
    batch = torch.stack([encoder.transform(Image.new("RGB", (50, 40), "red"))])
    features, probs = encoder(batch)
    assert batch.shape == (1, 3, 32, 32)
    assert features.shape == (1, 16)
    assert probs is not None
    assert probs.shape == (1, 5)


@pytest.mark.parametrize(
    ("model", "error", "message"),
    [
        ("timm:resnet5O.a1_in1k", InputError, "unknown timm model .*did you mean"),
        ("timm:resnet50.a9_in1k", InputError, "no weights .*did you mean"),
        ("torchvision:resnet5O", InputError, "unknown torchvision model 'resnet5O'; did you mean"),
        ("torchvision:resnet50.v9", InputError, "no weights 'v9'"),
        ("open_clip:ViT-B-32.opnai", InputError, "unknown open_clip model .*did you mean"),
        ("hf:microsoft/resnet-50", OfflineError, "cannot download .* --weights"),
        ("other:resnet18_cifar", FennecError, "cannot be run here|unknown model"),
        ("not-a-model", UnknownModelError, "unknown model"),
        ("timm:test_resnet.r160_in1k", OfflineError, "cannot download .* --weights MODEL=FILE"),
    ],
)
def test_load__unusable_name__one_line(model: str, error: type[FennecError], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        Encoder.load(model)
    assert "\n" not in str(caught.value)


def test_load__unusable_weights__one_line(tmp_path: Path) -> None:
    name = "timm:test_resnet.r160_in1k"
    with pytest.raises(ArtifactError, match="no weights of .* at"):
        Encoder.load(name, weights=tmp_path / "none.pth")
    for file, content in (("w.safetensors", b"xx"), ("w.pth", b"xx")):
        (tmp_path / file).write_bytes(content)
        with pytest.raises(ArtifactError, match="holds no weights"):
            Encoder.load(name, weights=tmp_path / file)
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(ArtifactError, match="no state dictionary"):
        Encoder.load(name, weights=tmp_path / "list.pth")
    other = timm.create_model("test_vit")
    torch.save(other.state_dict(), tmp_path / "other.pth")
    with pytest.raises(ArtifactError, match="lacks .* tensors|does not hold weights"):
        Encoder.load(name, weights=tmp_path / "other.pth")


def test_encoder__device_that_is_not_here__one_line() -> None:
    with pytest.raises(InputError, match="device 'cuda:7' cannot be used here"):
        tiny(device="cuda:7")


def test_extract_features__dataset__rows_labels_and_second_pass_free(image_folder: Path) -> None:
    encoder = tiny()
    dataset = open_dataset(image_folder)
    first = extract_features(encoder, dataset, batch_size=4)
    assert first.features.shape == (6, 5)
    assert first.labels is not None
    assert first.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert encoder.model.calls == 6
    again = extract_features(encoder, dataset, batch_size=4)
    assert encoder.model.calls == 6
    np.testing.assert_array_equal(first.features, again.features)
    np.testing.assert_array_equal(first.probs, again.probs)
    alone = extract_features(encoder, dataset, batch_size=1)
    np.testing.assert_allclose(alone.features, first.features, rtol=1e-5, atol=1e-6)


def test_extract_features__other_weights_preprocessing_or_pixels__computed_again(image_folder: Path) -> None:
    dataset = open_dataset(image_folder)
    extract_features(tiny(), dataset)
    other = tiny()
    with torch.no_grad():
        other.model.body.weight.add_(1.0)
    other = Encoder("tiny", other.model, pixels)
    for encoder in (other, tiny(preprocessing={"size": 5})):
        encoder.model.calls = 0
        extract_features(encoder, dataset)
        assert encoder.model.calls == 6
    Image.new("RGB", (20, 20), "red").save(image_folder / "cat" / "0.png")
    same = tiny()
    extract_features(same, dataset)
    assert same.model.calls == 6


def test_extract_features__interrupted__goes_on_where_it_stopped(image_folder: Path) -> None:
    dataset = open_dataset(image_folder)
    encoder = tiny()
    forward = encoder._split

    def interrupted(batch: Tensor) -> tuple[Tensor, Tensor | None]:
        if encoder.model.calls >= 4:
            raise KeyboardInterrupt
        return forward(batch)

    encoder._split = interrupted
    with pytest.raises(KeyboardInterrupt):
        extract_features(encoder, dataset, batch_size=2)
    encoder._split = forward
    extract_features(encoder, dataset, batch_size=2)
    assert encoder.model.calls == 6


def test_extract_features__damaged_cache__computed_again(image_folder: Path, tmp_path: Path) -> None:
    from fennec.settings import cache_dir

    dataset = open_dataset(image_folder)
    expected = extract_features(tiny(), dataset)
    files = list((cache_dir() / "features").rglob("*.safetensors"))
    assert files
    for file in files:
        file.write_bytes(b"cut")
    np.testing.assert_array_equal(extract_features(tiny(), dataset).features, expected.features)


def test_extract_features__unreadable_images__skipped_with_their_labels(image_folder: Path) -> None:
    (image_folder / "cat" / "1.png").write_bytes(b"junk")
    found = extract_features(tiny(), open_dataset(image_folder))
    assert found.labels is not None
    assert found.labels.tolist() == [0, 0, 1, 1, 1]
    assert len(found.skipped) == 1
