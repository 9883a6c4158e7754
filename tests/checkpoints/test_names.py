"""Names as people write them: addresses, prefixes, names of old releases, and names that mean several things."""

from __future__ import annotations

import re

import pytest

from fennec.checkpoints.catalog import load_catalog
from fennec.checkpoints.encoders import Encoder
from fennec.checkpoints.names import current_timm_name, plain_name
from fennec.errors import InputError, OfflineError, UnknownModelError
from fennec.tasks.proxy import Proxy

MODEL = "timm:resnet50.a1_in1k"
SPELLINGS = (
    "timm/resnet50.a1_in1k",
    "hf-hub:timm/resnet50.a1_in1k",
    "hf_hub:timm/resnet50.a1_in1k",
    "hf:timm/resnet50.a1_in1k",
    "hf-hub:timm/resnet50.a1_in1k@main",
    " https://huggingface.co/timm/resnet50.a1_in1k ",
    "http://www.huggingface.co/timm/resnet50.a1_in1k/",
    "https://huggingface.co/timm/resnet50.a1_in1k/tree/main",
    "https://huggingface.co/timm/resnet50.a1_in1k/blob/main/model.safetensors",
    "https://huggingface.co/timm/resnet50.a1_in1k?library=timm#model-usage",
    "huggingface.co/timm/resnet50.a1_in1k",
    "https://hf.co/models/timm/resnet50%2Ea1_in1k",
)


@pytest.mark.parametrize("text", SPELLINGS)
def test_plain_name__any_spelling__the_same_model_everywhere(text: str) -> None:
    assert plain_name(text) == MODEL
    assert load_catalog().find(text) == MODEL
    with pytest.raises(OfflineError, match="cannot download 'timm:resnet50.a1_in1k'"):
        Encoder.load(text)
    with pytest.raises(OfflineError, match="cannot download 'timm:resnet50.a1_in1k'"):
        Proxy.load(text)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("https://huggingface.co/microsoft/resnet-50/tree/main", "hf:microsoft/resnet-50"),
        ("hf-hub:laion/CLIP-ViT-B-32-laion2B-s34B-b79K", "hf:laion/CLIP-ViT-B-32-laion2B-s34B-b79K"),
        ("hf-hub:timm/ViT-B-16-SigLIP", "hf:timm/ViT-B-16-SigLIP"),  # of open_clip, in timm's organisation
        ("https://docs.pytorch.org/vision/main/models/generated/torchvision.models.vit_b_16.html",
         "torchvision:vit_b_16"),
        ("ViT-B-32/laion2b_s34b_b79k", "ViT-B-32/laion2b_s34b_b79k"),
        ("mynets:small", "mynets:small"),
    ],
)  # fmt: skip
def test_plain_name__other_libraries__theirs_or_untouched(text: str, name: str) -> None:
    assert plain_name(text) == name
    assert plain_name(name) == name


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("https://huggingface.co/datasets/ylecun/mnist", "no page of a model"),
        ("https://huggingface.co/timm", "no page of a model"),
        ("https://example.org/timm/resnet50.a1_in1k", "no page of a model"),
        ("https://huggingface.co/timm/resnet50.a1_in1k/tree/v2", "revision 'v2'"),
        ("hf-hub:timm/resnet50.a1_in1k@abc123", "revision 'abc123'"),
    ],
)
def test_plain_name__no_model_or_other_revision__one_line(text: str, message: str) -> None:
    for read in (plain_name, load_catalog().find, Encoder.load, Proxy.load):
        with pytest.raises(InputError, match=message) as caught:
            read(text)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["resnet50", "timm:resnet50", "vit_base_patch16_224", "hf-hub:timm/resnet50"])
def test_find__several_sets_of_weights__asked_back(text: str) -> None:
    for read in (load_catalog().find, Encoder.load):
        with pytest.raises(UnknownModelError, match=r"means \d+ sets of weights: .*give the whole id"):
            read(text)


@pytest.mark.parametrize("text", ["torchvision:resnet50", "open_clip:RN50", "timm:resnet18"])
def test_load__asked_back__every_offer_is_a_name_everywhere(text: str) -> None:
    with pytest.raises(UnknownModelError, match="give the whole id") as asked:
        Encoder.load(text)
    offers = re.findall(r"\w+:[\w.-]+(?=[,;]| and)", str(asked.value))
    assert len(offers) > 1
    for offer in offers:
        assert load_catalog().find(offer) == load_catalog().find(offer.upper())
        for name in {offer, offer.lower()}:
            with pytest.raises(OfflineError, match="cannot download"):
                Encoder.load(name)


@pytest.mark.parametrize(
    "text", ["open_clip:ViT-B-32/openai", "open_clip:vit-b-32.OpenAI", "openai/clip-vit-base-patch32"]
)
def test_load__spelt_as_elsewhere__known(text: str) -> None:
    assert load_catalog().find(text) == load_catalog().find("open_clip:ViT-B-32.openai")
    with pytest.raises(OfflineError, match="cannot download"):
        Encoder.load(text)


def test_find__one_set_of_weights__taken() -> None:
    assert load_catalog().find("timm:resnet10t") == "timm:resnet10t.c3_in1k"


def test_find__names_that_timm_gave_up__by_its_own_table() -> None:
    from timm.models import _registry

    catalog = load_catalog()
    table = _registry.get_deprecated_models()
    assert len(table) > 100
    tagged = {old: new for old, new in table.items() if f"timm:{new}" in catalog}
    assert len(tagged) > 100
    for old, new in list(tagged.items())[::10]:
        assert current_timm_name(old) == new
        assert catalog.find(f"timm:{old}") == f"timm:{new}"
    assert catalog.find("vit_base_patch16_224_in21k") == "timm:vit_base_patch16_224.augreg_in21k"
    with pytest.raises(OfflineError, match="convnext_tiny.fb_in22k_ft_in1k"):
        Encoder.load("timm:convnext_tiny_in22ft1k")


def test_open_clip__proxy_by_catalog_id_or_repository__the_same_tower() -> None:
    for spec in ("ViT-B-32/laion2b_s34b_b79k", "open_clip:ViT-B-32.laion2b_s34b_b79k"):
        with pytest.raises(OfflineError, match="cannot download 'ViT-B-32/laion2b_s34b_b79k'"):
            Proxy.load(spec)
    with pytest.raises(OfflineError, match="ViT-B-16-SigLIP/webli"):
        Encoder.load("https://huggingface.co/timm/ViT-B-16-SigLIP")
