"""`data/models.csv`: every set of weights once, facts that are counted, words of one vocabulary."""

from __future__ import annotations

import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import open_clip
import pandas as pd
import pytest
import timm
import torchvision

from fennec.architectures.graph import load_known_graphs
from fennec.checkpoints.catalog import LIBRARIES, load_catalog, read_names
from fennec.checkpoints.vocabulary import images_in, in_words, load_subjects, load_vocabulary
from fennec.errors import InputError, UnknownModelError
from fennec.evidence.studies import load_tasks
from fennec.settings import data_dir

ROOT = Path(__file__).parents[2]
COSTS = ROOT / "benchmark" / "results" / "costs_at_size.csv"

SAME = [
    ("timm:convnext_xxlarge.clip_laion2b_soup", "open_clip:convnext_xxlarge.laion2b_s34b_b82k_augreg_soup"),
    ("timm:convnext_large.fb_in22k", "hf:facebook/convnext-large-224-22k"),
    ("timm:resnet50.tv_in1k", "torchvision:resnet50.IMAGENET1K_V1"),
    ("timm:regnety_160.tv2_in1k", "torchvision:regnet_y_16gf.IMAGENET1K_V2"),
    ("timm:efficientnet_b0.ra_in1k", "torchvision:efficientnet_b0.IMAGENET1K_V1"),
    ("timm:vit_so400m_patch14_siglip_378.webli", "open_clip:ViT-SO400M-14-SigLIP-384.webli"),
    ("timm:vit_so400m_patch14_siglip_378.webli", "hf:google/siglip-so400m-patch14-384"),
    ("timm:vit_large_patch14_clip_quickgelu_336.openai", "hf:openai/clip-vit-large-patch14-336"),
    ("timm:vit_large_patch14_clip_quickgelu_336.openai", "timm:vit_large_patch14_clip_336.openai"),
    ("timm:vit_base_patch14_reg4_dinov2.lvd142m", "other:dinov2/dinov2_vitb14_reg"),
    ("timm:swin_large_patch4_window7_224.ms_in22k_ft_in1k", "hf:microsoft/swin-large-patch4-window7-224"),
    ("timm:resnet50.tv_in1k", "parc_all/resnet50/imagenet"),
    ("timm:resnet18.tv_in1k", "fastai_timm_full/resnet18"),
    ("timm:convnext_base.fb_in1k", "timm:convnext_base.fb_in1k@288"),  # only tested at another size
]
OTHER = [  # the same network, other weights
    ("timm:resnet50.tv_in1k", "timm:resnet50.tv2_in1k"),
    ("timm:convnext_base.fb_in22k_ft_in1k", "timm:convnext_base.fb_in22k_ft_in1k_384"),
    ("timm:vit_so400m_patch14_siglip_378.webli_ft_in1k", "timm:vit_so400m_patch14_siglip_gap_378.webli_ft_in1k"),
    ("open_clip:ViT-B-16-plus-240.laion400m_e31", "open_clip:ViT-B-16-plus-240.laion400m_e32"),
    ("hf:facebook/convnext-base-384", "hf:facebook/convnext-base-224"),
]


@pytest.mark.parametrize(("model", "name"), SAME)
def test_find__another_name_of_the_weights__one_id(model: str, name: str) -> None:
    assert load_catalog().find(name) == model
    assert name in load_catalog()[model].all_names


@pytest.mark.parametrize(("one", "other"), OTHER)
def test_find__weights_that_differ__two_ids(one: str, other: str) -> None:
    assert load_catalog().find(one) != load_catalog().find(other)


def test_names__whole_ones__mean_one_row_each() -> None:
    owners = defaultdict(set)
    for model in load_catalog().ids:
        for name in load_catalog()[model].all_names:
            owners[name].add(model)
    assert not {name: models for name, models in owners.items() if len(models) > 1}
    assert all(load_catalog().find(name) == model for name, (model,) in owners.items())


@pytest.mark.parametrize(
    ("text", "model"),
    [
        ("hf-hub:timm/resnet50.a1_in1k", "timm:resnet50.a1_in1k"),
        ("https://huggingface.co/facebook/dinov2-base", "timm:vit_base_patch14_dinov2.lvd142m"),
        ("facebook/dinov2-base", "timm:vit_base_patch14_dinov2.lvd142m"),
        ("torchvision:resnet18.imagenet1k_v1", "timm:resnet18.tv_in1k"),
        ("open_clip:ViT-B-16/dfn2b", "timm:vit_base_patch16_clip_224.dfn2b"),
        ("timm:vit_pe_spatial_base_patch16_512", "timm:vit_pe_spatial_base_patch16_512.fb"),  # its only weights
    ],
)
def test_find__as_people_write_it__id(text: str, model: str) -> None:
    assert load_catalog().find(text) == model


def test_find__every_name_of_the_libraries__a_row_that_loads() -> None:
    catalog = load_catalog()
    names = [f"open_clip:{architecture}.{tag}" for architecture, tag in open_clip.list_pretrained()]
    names += [f"timm:{name}" for name in timm.list_models(pretrained=True)]
    for architecture in torchvision.models.list_models(torchvision.models):
        weights = torchvision.models.get_model_weights(architecture)
        names += [f"torchvision:{architecture}.{one.name}" for one in weights]
    assert len(names) > 2000
    for name in names:
        assert catalog[catalog.find(name)].library in ("timm", "torchvision", "open_clip"), name


def test_find__short_name_of_many__lists_some_and_counts_all() -> None:
    with pytest.raises(
        UnknownModelError, match=r"'resnet50' means \d+ sets of weights: timm:resnet50.* and \d+ more; give the"
    ):
        load_catalog().find("resnet50")
    assert load_catalog().resolve("our_own_net") == "our_own_net"


def test_costs__every_counted_row__as_its_graph() -> None:
    graphs, frame = load_known_graphs(), load_catalog().frame
    table = pd.read_csv(COSTS).set_index(["backbone", "input_size"])
    counted = frame[frame["counted"] & ~frame.index.str.startswith("lab24:")]
    assert len(counted) > 2600
    assert counted["backbone"].isin([*graphs, ""]).all()
    for model, row in counted.iterrows():
        at_size = (row["backbone"] or model, row["input_size"])
        if not row["backbone"]:
            params, gmacs = table.loc[at_size]
        elif at_size in table.index:
            params, gmacs = table.loc[at_size]
            assert params == pytest.approx(graphs[row["backbone"]].params, rel=0.02)  # but for positions
        else:
            params, gmacs = graphs[row["backbone"]].params, graphs[row["backbone"]].gmacs
        assert row["params"] == pytest.approx(params, rel=0.01), model
        assert row["gmacs"] == pytest.approx(gmacs, rel=0.01, abs=1e-3), model


def test_costs__what_loads_without_a_source__all_counted() -> None:
    frame = load_catalog().frame
    assert frame.loc[frame["library"].isin(["timm", "torchvision", "open_clip"]), "counted"].all()


@pytest.mark.parametrize(
    ("model", "params"),
    [
        ("timm:resnet18d.ra2_in1k", 11.2e6),
        ("timm:convnext_tiny.in12k", 27.8e6),
        ("timm:vit_so400m_patch14_siglip_378.webli", 428e6),
        ("open_clip:convnext_xxlarge.laion2b_s34b_b82k_augreg", 843e6),
        ("open_clip:ViT-B-32.laion400m_e31", 87.5e6),
    ],
)
def test_params__image_tower_without_head(model: str, params: float) -> None:
    assert load_catalog()[load_catalog().find(model)].params == pytest.approx(params, rel=0.005)


@pytest.mark.parametrize(("column", "kind"), [("pretraining_data", "data"), ("pretraining_method", "method")])
def test_vocabulary__closed__no_other_word_used(column: str, kind: str) -> None:
    table = pd.read_csv(data_dir() / "vocabulary.csv")
    words = table.loc[table["kind"] == kind, "word"]
    used = {word for text in load_catalog().frame[column] for word in text.split("+")}
    assert used <= set(words)
    assert words.is_unique
    assert list(words) == list(load_vocabulary(kind))


def test_pretraining_images__largest_set_seen() -> None:
    for model in load_catalog().ids:
        record = load_catalog()[model]
        assert record.pretraining_images == images_in(f"{record.pretraining_data}+{record.finetuned_on}"), model


@pytest.mark.parametrize(
    ("text", "kind", "expected"),
    [
        ("imagenet-22k", "data", "imagenet-21k"),
        ("ImageNet-21k + imagenet-1k", "data", "imagenet-21k+imagenet-1k"),
        ("laion2b", "data", "laion-2b"),
        ("ssl:mae", "method", "mae"),
        ("", "data", ""),
    ],
)
def test_in_words__usual_spellings__one_word(text: str, kind: str, expected: str) -> None:
    assert in_words(text, kind) == expected


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("imagenet-12", "data", "no pre-training data 'imagenet-12'; did you mean 'imagenet-12k'"),
        ("our scans", "data", "no pre-training data 'our scans'.*'other' stands for data without a word"),
        ("superwised", "method", "no pre-training method 'superwised'; did you mean 'supervised'"),
    ],
)
def test_in_words__no_such_word__nearest_offered(text: str, kind: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        in_words(text, kind)


@pytest.mark.parametrize(
    ("model", "data", "method", "tuned"),
    [
        ("timm:convnext_base.fb_in22k_ft_in1k", "imagenet-21k", "supervised", "imagenet-1k"),
        ("timm:vit_base_patch16_224.augreg_in21k", "imagenet-21k", "supervised", ""),
        ("timm:beit_base_patch16_224.in22k_ft_in22k_in1k", "imagenet-21k", "beit", "imagenet-21k+imagenet-1k"),
        ("timm:convnextv2_base.fcmae_ft_in22k_in1k", "imagenet-1k", "fcmae", "imagenet-21k+imagenet-1k"),
        ("timm:vit_large_patch14_clip_336.openai_ft_in12k_in1k", "wit-400m", "clip", "imagenet-12k+imagenet-1k"),
        ("timm:tf_efficientnet_b7.ns_jft_in1k", "jft-300m", "semi-supervised", "imagenet-1k"),
        ("timm:vit_base_patch16_dinov3.lvd1689m", "lvd-1689m", "dinov3", ""),
        ("timm:deit_tiny_distilled_patch16_224.fb_in1k", "imagenet-1k", "supervised+distilled", ""),
        ("hf:microsoft/beit-base-patch16-224-pt22k", "imagenet-21k", "beit", ""),
        ("hf:nateraw/vit-base-beans", "imagenet-21k", "supervised", "beans"),
    ],
)
def test_pretraining__of_known_weights(model: str, data: str, method: str, tuned: str) -> None:
    record = load_catalog()[load_catalog().find(model)]
    assert (record.pretraining_data, record.pretraining_method, record.finetuned_on) == (data, method, tuned)


def test_more_data__same_network_of_timm__never_a_tie() -> None:
    frame = load_catalog().frame
    timm = frame[frame["library"].eq("timm") & frame["pretraining_images"].notna()]
    smallest = timm["pretraining_data"].eq("imagenet-1k") & timm["finetuned_on"].isin(["", "imagenet-1k"])
    pairs = 0
    for _, rows in timm.groupby(["architecture", "input_size"]):
        few, more = rows[smallest[rows.index]], rows[~smallest[rows.index]]
        more = more[more["finetuned_on"].str.endswith("imagenet-1k")]
        pairs += len(few) * len(more)
        if len(few) and len(more):
            assert more["pretraining_images"].min() > few["pretraining_images"].max()
    assert pairs > 87


def test_official__strangers_fine_tunes_only__not() -> None:
    frame = load_catalog().frame
    strangers = frame[~frame["official"].astype(bool)]
    assert strangers["library"].eq("hf").all()
    assert 200 < len(strangers) < 260
    assert load_catalog()["hf:nvidia/mit-b0"].official
    record = load_catalog()["hf:nateraw/vit-base-beans"]
    assert (record.official, record.publisher) == (False, "nateraw")
    assert record.parent == "timm:vit_base_patch16_224.orig_in21k"
    parents = strangers["parent"][strangers["parent"].ne("")]
    assert len(parents) > 100
    assert parents.isin(frame.index).all()


def test_license__where_it_is_known__with_its_source() -> None:
    frame = load_catalog().frame
    published = frame[~frame.index.str.startswith("lab24:")]
    assert (published["license"].ne("") == published["license_source"].ne("")).all()
    assert frame.loc[frame["library"].isin(["timm", "torchvision", "open_clip"]), "license"].ne("").mean() > 0.98


def test_candidates__no_unit_test_networks__zero_shot_those_of_open_clip() -> None:
    catalog = load_catalog()
    assert any(catalog[model].architecture.startswith("test_") for model in catalog.ids)
    for protocol in ("finetune", "linear_probe", "zero_shot"):
        chosen = catalog.candidates(protocol)
        assert len(chosen) > 100
        assert not any(":test_" in model for model in chosen)
    assert all("open_clip" in catalog[model].names for model in catalog.candidates("zero_shot"))


@pytest.mark.shared
def test_names__every_model_of_every_source__resolves(shared: Path) -> None:
    known = {
        (place, name)
        for text in load_catalog().frame["names"]
        for place, names in read_names(text).items()
        if place not in LIBRARIES
        for name in names
    }
    rates = "timm_throughput"  # of architectures, not of weights
    for path in sorted((shared / "transfer").glob("*.csv")):
        if path.stem in ("models", "tasks", "flags", "flags_new", rates) or path.stem.endswith("_models"):
            continue
        models = pd.read_csv(path, dtype=str, keep_default_na=False, usecols=["model"])["model"].unique()
        assert {(path.stem, model) for model in models} <= known, path.stem


@pytest.mark.shared
def test_build_models__from_the_published_tables__same_bytes(shared: Path, tmp_path: Path) -> None:
    script = ROOT / "benchmark" / "data" / "build_models.py"
    command = [sys.executable, str(script), "--shared", str(shared), "--output", str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True)
    assert (tmp_path / "models.csv").read_bytes() == (data_dir() / "models.csv").read_bytes()


def test_vocabulary__subjects__in_the_words_of_the_known_tasks() -> None:
    domains = " ".join(load_tasks()["domain"].dropna())
    subjects = frozenset().union(*load_subjects().values())
    assert {"satellite", "histopathology", "animals"} <= subjects
    nowhere = {subject for subject in subjects if subject not in domains}
    assert nowhere == {"people", "documents", "segmentation"}, nowhere  # no known task shows these
