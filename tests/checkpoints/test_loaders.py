"""Every loader over many networks: a local file gives the features of the library's own loading, and its own key."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import timm
import torch
import transformers
from PIL import Image
from safetensors.torch import save_file
from timm.data.config import resolve_data_config
from timm.data.transforms_factory import create_transform
from torch import Tensor, nn
from torchvision import models

from fennec.checkpoints.encoders import Encoder

Expected = tuple[Encoder, Tensor, nn.Module]  # by Fennec, features by the library, the library's network

TIMM = (
    "test_resnet.r160_in1k", "test_vit.r160_in1k", "test_vit2.r160_in1k", "test_vit3.r160_in1k", "test_vit4.r160_in1k",
    "test_convnext.r160_in1k", "test_convnext2.r160_in1k", "test_convnext3.r160_in1k", "test_efficientnet.r160_in1k",
    "test_efficientnet_gn.r160_in1k", "test_efficientnet_ln.r160_in1k", "test_efficientnet_evos.r160_in1k",
    "test_byobnet.r160_in1k", "resnet14t.c3_in1k", "test_nfnet.r160_in1k", "resnet10t.c3_in1k", "resnet18.a1_in1k",
    "mobilenetv3_small_050.lamb_in1k", "tf_mobilenetv3_small_075.in1k", "mobilenetv4_conv_small.e2400_r224_in1k",
    "deit_tiny_distilled_patch16_224.fb_in1k", "levit_128s.fb_dist_in1k", "xcit_nano_12_p16_224.fb_in1k",
    "dla46x_c.in1k", "edgenext_xx_small.in1k", "regnetx_002.pycls_in1k", "lcnet_050.ra2_in1k",
    "mobilevit_xxs.cvnets_in1k", "ghostnet_100.in1k", "repvgg_a0.rvgg_in1k",
)  # fmt: skip
TORCHVISION = (
    "resnet18.IMAGENET1K_V1", "mobilenet_v3_small.IMAGENET1K_V1", "shufflenet_v2_x0_5.IMAGENET1K_V1",
    "mnasnet0_5.IMAGENET1K_V1", "densenet121.IMAGENET1K_V1", "squeezenet1_1.IMAGENET1K_V1", "googlenet.IMAGENET1K_V1",
    "inception_v3.IMAGENET1K_V1", "regnet_y_400mf.IMAGENET1K_V2", "efficientnet_b0.IMAGENET1K_V1",
)  # fmt: skip
OPEN_CLIP = ("RN50.openai", "ViT-B-32.openai", "MobileCLIP2-S0.dfndr2b")
HUGGING_FACE: dict[str, tuple[str, dict[str, Any]]] = {
    "ViT": ("ViTImageProcessor", {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
                                  "intermediate_size": 8, "image_size": 32, "hidden_act": "quick_gelu"}),
    "DeiT": ("DeiTImageProcessor", {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
                                    "intermediate_size": 8, "image_size": 32}),
    "ResNet": ("ConvNextImageProcessor", {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1]}),
    "ConvNext": ("ConvNextImageProcessor", {"hidden_sizes": [8, 16], "depths": [1, 1], "num_stages": 2}),
    "Dinov2": ("BitImageProcessor", {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
                                     "image_size": 28, "patch_size": 14}),
    "Swin": ("ViTImageProcessor", {"embed_dim": 8, "depths": [1], "num_heads": [2], "image_size": 32,
                                   "window_size": 4}),
}  # fmt: skip


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    """A picture with edges and colours, wider than high."""
    rows, columns = np.mgrid[0:240, 0:330]
    return Image.fromarray((np.stack([rows, columns, rows * columns // 50], axis=-1) % 256).astype(np.uint8))


def perturbed(model: nn.Module) -> nn.Module:
    """Every tensor moved by chance, so that nothing is what a network starts with."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if tensor.is_floating_point() and "var" not in name:
                tensor.add_(0.02 * torch.randn(tensor.shape, generator=generator))
    return model.eval()


def of_timm(name: str, folder: Path, photo: Image.Image) -> Expected:
    path = folder / "weights.pth"
    torch.save(perturbed(timm.create_model(name.partition(".")[0])).state_dict(), path)
    model = timm.create_model(name, pretrained=True, pretrained_cfg_overlay={"file": str(path)}).eval()
    batch = create_transform(**resolve_data_config({}, model=model))(photo)[None]
    with torch.inference_mode():
        features = model.forward_head(model.forward_features(batch), pre_logits=True)
    return Encoder.load(f"timm:{name}", weights=path), features, model


def of_torchvision(name: str, folder: Path, photo: Image.Image) -> Expected:
    architecture, _, tag = name.partition(".")
    version = models.get_model_weights(architecture)[tag]
    options = {"init_weights": False} if architecture in ("googlenet", "inception_v3") else {}
    state = perturbed(models.get_model(architecture, weights=None, **options)).state_dict()
    torch.save(state, folder / "weights.pth")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(version), "get_state_dict", lambda *_, **__: state)
        model = models.get_model(architecture, weights=version).eval()
    last: list[Tensor] = []
    linear = [layer for layer in model.modules() if isinstance(layer, nn.Linear)]
    if linear:
        linear[-1].register_forward_hook(lambda _, inputs, __: last.append(inputs[0]))
    with torch.inference_mode():
        output = model(version.transforms()(photo)[None])
    return Encoder.load(f"torchvision:{name}", weights=folder / "weights.pth"), last[0] if last else output, model


def of_open_clip(name: str, folder: Path, photo: Image.Image) -> Expected:
    architecture, _, tag = name.partition(".")
    config = open_clip.get_pretrained_cfg(architecture, tag)
    clip = open_clip.create_model(architecture, pretrained_text=False)
    save_file(
        {key: value.contiguous() for key, value in perturbed(clip).state_dict().items()}, folder / "w.safetensors"
    )
    clip, _, transform = open_clip.create_model_and_transforms(
        architecture,
        pretrained=str(folder / "w.safetensors"),
        force_quick_gelu=config.get("quick_gelu", False),
        image_mean=config["mean"],
        image_std=config["std"],
        image_interpolation=config["interpolation"],
        image_resize_mode=config["resize_mode"],
    )
    with torch.inference_mode():
        features = clip.eval().visual(transform(photo)[None])
    return Encoder.load(f"open_clip:{name}", weights=folder / "w.safetensors"), features, clip.visual


def of_transformers(name: str, folder: Path, photo: Image.Image) -> Expected:
    processor_name, settings = HUGGING_FACE[name]
    config = getattr(transformers, f"{name}Config")(num_labels=5, **settings)
    model = perturbed(getattr(transformers, f"{name}ForImageClassification")(config))
    model.save_pretrained(folder)
    side = settings.get("image_size", 64)
    sized = {"shortest_edge": side} if "ConvNext" in processor_name else {"height": side, "width": side}
    getattr(transformers, processor_name)(size=sized, image_mean=[0.4, 0.5, 0.6], crop_size=sized).save_pretrained(
        folder
    )
    processor = transformers.AutoImageProcessor.from_pretrained(folder)
    last: list[Tensor] = []
    linear = [layer for layer in model.modules() if isinstance(layer, nn.Linear)][-1]
    linear.register_forward_hook(lambda _, inputs, __: last.append(inputs[0]))
    with torch.inference_mode():
        model(**processor(images=photo, return_tensors="pt"))
    return Encoder.load(f"hf:nobody/{name.lower()}", weights=folder), last[0].flatten(1), model


LOADERS: dict[str, tuple[Callable[[str, Path, Image.Image], Expected], tuple[str, ...]]] = {
    "timm": (of_timm, TIMM),
    "torchvision": (of_torchvision, TORCHVISION),
    "open_clip": (of_open_clip, OPEN_CLIP),
    "hf": (of_transformers, tuple(HUGGING_FACE)),
}
ALL = [(library, name) for library, (_, names) in LOADERS.items() for name in names]


@pytest.mark.slow
@pytest.mark.parametrize(("library", "name"), ALL, ids=[":".join(pair) for pair in ALL])
def test_load__local_file__features_of_the_librarys_own_loading_and_a_key_of_its_own(
    library: str, name: str, tmp_path: Path, photo: Image.Image
) -> None:
    encoder, expected, _ = LOADERS[library][0](name, tmp_path, photo)
    features, _ = encoder(encoder.transform(photo)[None])
    expected = expected.mean(dim=(2, 3)) if expected.ndim == 4 else expected
    torch.testing.assert_close(features, expected.float(), rtol=1e-4, atol=1e-4)
    assert features.std() > 0
    key = encoder.fingerprint
    with torch.no_grad():
        weight = next(iter(encoder.model.parameters()))
        before = weight.clone()
        weight.mul_(1.0001)
        assert encoder.fingerprint != key
        weight.copy_(before)
    assert encoder.fingerprint == key
    transform, encoder.transform = encoder.transform, lambda image: 1.001 * transform(image)
    assert encoder.fingerprint != key
    encoder.transform = transform
    path, layer = next(pair for pair in encoder.model.named_modules() if isinstance(pair[1], nn.Conv2d))
    layer.stride = (layer.stride[0] + 1, layer.stride[1])
    assert encoder.fingerprint != key, path


def test_sweep__covers__every_loader_and_forty_networks() -> None:
    assert len(ALL) >= 40
    assert {library for library, _ in ALL} == {"timm", "torchvision", "open_clip", "hf"}
