"""Does the recommender say what an expert would say? Ten statements, held against the lists that it gives.

    python benchmark/space/expectations.py

The shipped spaces with default settings, lists of ten. Families are told by names and facts of the catalog, here and
nowhere in the ranking: the statements are a test, not rules. Writes `expectations.csv` (no, list, result, detail):
result is `holds` or `fails`, detail says what decided, the parts that fail after `no:`.

What the statements leave open is read strictly. "Without large pre-training" is nothing beyond the images of
ImageNet-1k, as far as anybody knows. Several "of" some families are models of them, as in E5, which asks for families
beside; the detail says how many different ones they are of. The nine sets of E3 and E4 are those of E1, E7 and E10. A
network at two input sizes is one network, a family with a version number the family without it. A transformer has
attention in its operator graph, a convolutional network has none. Of MAE are weights that nothing was trained after.
E2 and E8 are about expected scores: the gain of size is the best score of all models minus that of the best under 30
M parameters.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from fennec.architectures.graph import KINDS, load_known_graphs
from fennec.checkpoints.catalog import ModelRecord, load_catalog
from fennec.space.ranking import RankedModel
from fennec.space.recommender import Recommender
from fennec.tasks.embedding import TaskEmbedding
from fennec.tasks.embedding_files import load_known_embeddings

RESULTS = Path(__file__).parents[1] / "results"
IMAGENET_1K = 1_281_167  # images
ANY = "any data"
NATURAL = ("oxford_pets", "oxford_flowers102", "food101", "dtd", "caltech101")
FAR = ("eurosat", "resisc45", "pcam", "svhn")
NINE = (*NATURAL, "svhn", "gtsrb", "eurosat", "pcam")
SIZES = {"under 6 M": "params < 6e6", "under 30 M": "params < 30e6", "under 100 M": "params < 100e6", "any size": None}

# Words of the statements, as patterns of "NETWORK | WEIGHTS | DATA by METHOD" in lower case.
LARGE = r"imagenet-(12k|21k)"
CONVNEXT_TINY = {"ConvNeXt-Tiny": rf"convnext_tiny\b.*{LARGE}"}
SMALL_OF_NOTE = {
    "EfficientNetV2-S": r"(tf_)?efficientnet_?v2_(rw_)?s\b",
    "Swin-T/S": r"swin(_?v2|_s3)?_(cr_)?(tiny|small|t|s)(_|\b)",
    "ViT-S or DeiT3-S of 21k": r"(vit|deit3)_small.*imagenet-21k",
    "CAFormer-S18": r"caformer_s18\b",
    "TinyViT-21M": r"tiny_vit_21m",
    "MaxViT-T": r"maxvit(_rmlp)?_t(iny)?(_|\b)",
    "Hiera-T/S": r"hiera_(tiny|small)",
    "RegNetY": r"regnet_?y_",
    "ResNet(XT)-50 of a modern recipe": r"(resnet50|resnext50_32x4d) \| (a[123]h?|b[12]k|c[12]|d|ram?|tv2)_in1k",
}
OLD = {
    "VGG": r"vgg",
    "AlexNet": r"alexnet",
    "SqueezeNet": r"squeezenet",
    "MNASNet": r"(sem)?mnasnet",
    "ShuffleNet": r"shufflenet",
    "GoogLeNet": r"googlenet",
    "ResNet-18/34": r"resnet(18|34)",
    "MobileNetV1/V2": r"mobilenet_?v[12](_|\b)",
    "unit test": r"test_",
}
DINO = {"DINO": r".* by dino"}
SIGLIP = {"SigLIP": r".* by siglip"}
CLIP = {"CLIP": r".* by clip"}
BIG_OF_NOTE = {
    "ConvNeXt": r"convnext",
    "Swin": r"swin",
    "CAFormer": r"caformer",
    "BEiT": r"beit",
    "EVA": r"eva(02)?_",
    "MaxViT": r"maxvit",
    **DINO,
    **SIGLIP,
}
MIDDLE_OF_NOTE = {
    **BIG_OF_NOTE,
    "Hiera": r"hiera_",
    "EfficientNetV2": r"(tf_)?efficientnet_?v2",
    "DeiT3 or ViT with CLIP or 21k": r"(deit3|vit)_.*(imagenet-21k| by clip)",
}
ANY_OF_NOTE = {**BIG_OF_NOTE, "CLIP ViT": r"vit_.* by clip"}
BASE = {"ViT-B or DeiT-B": r"(vit|deit3?)_b(ase)?_"}
TINY_OF_NOTE = {
    "MobileNetV3/V4": r"(tf_)?mobilenet_?v[34]",
    "EfficientNet-B0/Lite": r"(tf_)?efficientnet_(b0|lite)",
    "EdgeNeXt": r"edgenext",
    "MobileViT": r"mobilevit",
    "EfficientViT": r"efficientvit",
    "FastViT": r"fastvit",
    "RepViT": r"repvit",
    "TinyViT-5M": r"tiny_vit_5m",
    "ViT-Ti": r"vit_(pe_\w+_)?tiny",
    "LeViT": r"levit",
    "ConvNeXt-Atto/Femto/Pico": r"convnext(v2)?_(atto|femto|pico)",
    "EfficientFormer": r"efficientformer",
}
PROBED_OF_NOTE = {"DINOv2 or v3": r".* by dinov[23]"}
CAPTIONED_OF_NOTE = {**SIGLIP, "PE": r".* by perception-encoder", "EVA-CLIP": r"eva.* by clip"}
MAE = {"MAE": r".* by mae\b"}

Check = tuple[bool, str]
Row = tuple[str, list[Check]]


@cache
def space(protocol: str) -> Recommender:
    """The shipped space."""
    return Recommender.from_published(protocol)


@cache
def tasks() -> Mapping[str, TaskEmbedding | None]:
    """What is asked about, by image set."""
    return {ANY: None, **load_known_embeddings()}


@cache
def top(task: str = ANY, size: str = "any size", *, n: int = 10, protocol: str = "finetune") -> tuple[RankedModel, ...]:
    """What is recommended."""
    return space(protocol).recommend(tasks()[task], n=n, where=SIZES[size]).models


def expected_scores(task: str = ANY) -> pd.DataFrame:
    """Facts of all candidates for fine-tuning, with what is expected of them (`score`)."""
    tuned = space("finetune")
    return load_catalog().frame.loc[list(tuned.models_)].assign(score=tuned.predict(tasks()[task]).scores)


def fact(model: RankedModel) -> ModelRecord:
    """The record of a model, which every candidate has."""
    if model.record is None:
        raise ValueError(f"{model.id} is recommended but not in the catalog; make data/spaces again")
    return model.record


def word(model: RankedModel, words: Mapping[str, str]) -> str:
    """The first of some words that holds for a model, empty if none does."""
    record = fact(model)
    name = record.architecture.replace("-", "_")
    data = "+".join(filter(None, [record.pretraining_data, record.finetuned_on]))
    described = f"{name} | {record.tag} | {data} by {record.pretraining_method}".lower()
    return next((name for name, pattern in words.items() if re.match(pattern, described)), "")


def are(models: tuple[RankedModel, ...], words: Mapping[str, str]) -> list[RankedModel]:
    """Those for which a word holds."""
    return [model for model in models if word(model, words)]


def large(model: RankedModel) -> bool:
    """Whether it is known to have seen more than ImageNet-1k."""
    return (fact(model).pretraining_images or 0) > IMAGENET_1K


def network(model: RankedModel) -> str:
    """Network without its input size, and without the windows that go with it."""
    record = fact(model)
    return re.sub(rf"(_window\d+(to\d+)?)?[_-](\d+to)?{record.input_size}(?=_|$)", "", record.architecture)


def family(model: RankedModel) -> str:
    """Family without its version."""
    return re.sub(r"(v\d?|\d+)$", "", fact(model).family)


def kind(model: RankedModel) -> str:
    """By operators: a single attention is a way of pooling, a single convolution cuts patches."""
    found = Counter(KINDS[index] for index in load_known_graphs()[fact(model).backbone].kinds)
    if found["attention"] + found["matmul"] > 1:
        return "transformer"
    return "convolutional" if found["conv"] > 1 else "other"


def named(models: list[RankedModel]) -> str:
    """Names of models with their ranks."""
    return ", ".join(f"{model.rank} {model.id}" for model in models) or "none"


def counted(models: list[RankedModel], words: Mapping[str, str]) -> str:
    """How many models each word holds for."""
    counts = Counter(word(model, words) for model in models)
    return ", ".join(f"{n} {name}" for name, n in counts.items()) or "none"


def small() -> Iterator[Row]:
    """E1: under 30 M parameters, natural images."""
    for task in (ANY, *NATURAL):
        models = top(task, "under 30 M")
        wanted, others, old = (are(models, words) for words in (CONVNEXT_TINY, SMALL_OF_NOTE, OLD))
        checks = [
            (
                any(model.rank <= 5 for model in wanted),
                f"ConvNeXt-Tiny of 12k or 21k in the first five: {named(wanted)}",
            ),
            (bool(others), f"another family of note: {counted(others, SMALL_OF_NOTE)}"),
            (not old, f"old networks: {named(old)}"),
        ]
        yield task, checks


def more_data() -> Iterator[Row]:
    """E2: more data stand above ImageNet-1k only."""
    facts = expected_scores().reset_index()
    facts = facts[facts["library"].eq("timm")]
    more = facts["pretraining_images"].gt(IMAGENET_1K)
    only = facts["pretraining_data"].eq("imagenet-1k") & ~more
    pairs = facts[more].merge(facts[only], on=["architecture", "input_size"], suffixes=("", "_1k"))
    won, tied = pairs["score"] > pairs["score_1k"], pairs["score"] == pairs["score_1k"]
    recipe = pairs["tag"].str.split("_").str[0].eq(pairs["tag_1k"].str.split("_").str[0])
    lost = [f"{one} below {other}" for one, other in pairs.loc[~won & ~tied, ["id", "id_1k"]].to_numpy()]
    checks = [
        (
            won.mean() >= 0.9,
            f"{won.sum()} of {len(pairs)} pairs won, {tied.sum()} tied, "
            f"{won[recipe].sum()} of {recipe.sum()} of one recipe; lost: {', '.join(lost) or 'none'}",
        )
    ]
    yield "all pairs of timm", checks


def of_note(models: tuple[RankedModel, ...], words: Mapping[str, str], n_plain: int) -> list[Check]:
    """Three models of families of note, and few without large pre-training."""
    found, plain = are(models, words), [model for model in models if not large(model)]
    return [
        (len(found) >= 3, f"{len(found)} of families of note: {counted(found, words)}"),
        (len(plain) <= n_plain, f"without pre-training beyond ImageNet-1k: {named(plain)}"),
    ]


def middle() -> Iterator[Row]:
    """E3: under 100 M parameters."""
    for task in (ANY, *NINE):
        models = top(task, "under 100 M")
        base = [model for model in are(models, BASE) if not large(model)]
        checks = [
            *of_note(models, MIDDLE_OF_NOTE, 3),
            (not base, f"ViT-B or DeiT-B of ImageNet-1k only: {named(base)}"),
        ]
        yield task, checks


def any_size() -> Iterator[Row]:
    """E4: any size."""
    for task in (ANY, *NINE):
        yield task, of_note(top(task), ANY_OF_NOTE, 2)


def tiny() -> Iterator[Row]:
    """E5: under 6 M parameters."""
    for task in (ANY, "oxford_pets", "oxford_flowers102"):
        found = are(top(task, "under 6 M"), TINY_OF_NOTE)
        text = counted(found, TINY_OF_NOTE)
        checks = [
            (len(found) >= 6, f"{len(found)} of note: {text}"),
            (len({word(model, TINY_OF_NOTE) for model in found}) >= 3, "three families of them"),
        ]
        yield task, checks


def probe() -> Iterator[Row]:
    """E6: linear probe."""
    models, tuned = top(protocol="linear_probe"), {model.id for model in top()}
    common = [model for model in models if model.id in tuned]
    masked = are(top(n=50, protocol="linear_probe"), MAE)
    masked = [model for model in masked if not fact(model).finetuned_on]
    dino, captioned = are(models, PROBED_OF_NOTE), are(models, CAPTIONED_OF_NOTE)
    checks = [
        (len(common) <= 3, f"{len(common)} in common with fine-tuning: {named(common)}"),
        (bool(dino), f"DINOv2 or v3: {named(dino)}"),
        (bool(captioned), f"SigLIP, PE or EVA-CLIP: {named(captioned)}"),
        (not masked, f"MAE in the first fifty: {named(masked)}"),
    ]
    yield ANY, checks


def probe_by_task() -> Iterator[Row]:
    """E7: linear probes of animals and plants, and of characters and signs."""
    animals, signs = ("oxford_pets", "oxford_flowers102"), ("svhn", "gtsrb")
    lists = {task: top(task, protocol="linear_probe") for task in (*animals, *signs)}
    for task in animals:
        dino = are(lists[task], DINO)
        yield task, [(any(model.rank <= 3 for model in dino), f"DINO in the first three: {named(dino)}")]
    for task in signs:
        dino, captioned = are(lists[task], DINO), are(lists[task], {**CLIP, **SIGLIP})
        before = bool(captioned) and (not dino or captioned[0].rank < dino[0].rank)
        yield task, [(before, f"CLIP or SigLIP {named(captioned[:1])}, before DINO {named(dino[:1])}")]
    shared = {
        f"{one} and {other}": len({model.id for model in lists[one]} & {model.id for model in lists[other]})
        for one, other in product(animals, signs)
    }
    text = ", ".join(f"{n} {pair}" for pair, n in shared.items())
    yield "the two against the two", [(max(shared.values()) < 10, f"in common of ten: {text}")]


def gain_of_size() -> Iterator[Row]:
    """E8: size gains less far from ImageNet."""
    gains = {}
    for task in (*FAR, *NATURAL):
        facts = expected_scores(task)
        gains[task] = facts["score"].max() - facts.loc[facts["params"] < 30e6, "score"].max()
    far, natural = (np.mean([gains[task] for task in tasks]) for tasks in (FAR, NATURAL))
    each = ", ".join(f"{task} {gain:.2f}" for task, gain in gains.items())
    checks = [
        (far < natural, f"gain in expected score {far:.3f} far from ImageNet, {natural:.3f} on natural images ({each})")
    ]
    yield "four against five sets", checks


def no_siblings() -> Iterator[Row]:
    """E9: ten suggestions are not ten siblings."""
    lists = [*((ANY, size) for size in SIZES), ("oxford_pets", "under 30 M"), ("eurosat", "under 100 M")]
    for task, size in (*lists, ("pcam", "any size")):
        models = top(task, size)
        name, n = Counter(map(network, models)).most_common(1)[0]
        families, kinds = Counter(map(family, models)), Counter(map(kind, models))
        checks = [
            (n <= 3, f"at most {n} of one network ({name})"),
            (len(families) >= 3, f"families: {', '.join(f'{n} {name}' for name, n in families.items())}"),
            (
                min(kinds["convolutional"], kinds["transformer"]) > 0,
                f"{kinds['convolutional']} convolutional, {kinds['transformer']} transformers",
            ),
        ]
        yield f"{task}, {size}", checks


def affordable() -> Iterator[Row]:
    """E10: no giant for nothing, licences known, no stranger's fine-tune."""
    for task in (ANY, "oxford_pets", "svhn", "eurosat", "pcam"):
        models = top(task)
        enough = max(model.performance or 0.0 for model in top(task, "under 100 M"))
        giants = [model for model in models if (fact(model).params or 0) > 500e6]
        idle = [model for model in giants if (model.performance or 0.0) - enough <= 0.01]
        licensed = [model for model in models if fact(model).license not in ("", "unknown")]
        strange = [model for model in models if not fact(model).official and fact(model).finetuned_on]
        best = max((model.performance or 0.0 for model in giants), default=np.nan)
        checks = [
            (
                not idle,
                f"{len(giants)} above 500 M, the best expected at {100 * best:.1f} %, the best under 100 M at "
                f"{100 * enough:.1f} %; within a point of it: {named(idle)}",
            ),
            (len(licensed) >= 8, f"licence known for {len(licensed)}"),
            (not strange, f"strangers' fine-tunes: {named(strange)}"),
        ]
        yield task, checks


STATEMENTS: dict[str, Callable[[], Iterator[Row]]] = {
    "E1": small,
    "E2": more_data,
    "E3": middle,
    "E4": any_size,
    "E5": tiny,
    "E6": probe,
    "E7": probe_by_task,
    "E8": gain_of_size,
    "E9": no_siblings,
    "E10": affordable,
}


def judged(no: str) -> pd.DataFrame:
    """One statement on its lists: columns no, list, result, detail."""
    rows = [
        (no, where, "holds" if all(ok for ok, _ in checks) else "fails",
         "; ".join(text if ok else f"no: {text}" for ok, text in checks))
        for where, checks in STATEMENTS[no]()
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["no", "list", "result", "detail"])


def main() -> None:
    """Judge and write."""
    table = pd.concat([judged(no) for no in STATEMENTS])
    table.to_csv(RESULTS / "expectations.csv", index=False)


if __name__ == "__main__":
    main()
