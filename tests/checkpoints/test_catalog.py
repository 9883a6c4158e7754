from __future__ import annotations

import pytest

from fennec.checkpoints.catalog import load_catalog
from fennec.errors import InputError, UnknownModelError


def test_catalog__record__facts() -> None:
    record = load_catalog()["timm:resnet50.a1_in1k"]
    assert (record.library, record.architecture, record.tag, record.family) == (
        "timm",
        "resnet50",
        "a1_in1k",
        "resnet",
    )
    assert record.params == pytest.approx(23.51e6, rel=0.01)  # without the head
    assert record.license == "apache-2.0"


def test_catalog__every_id__library_architecture_tag() -> None:
    catalog = load_catalog()
    for model in catalog.ids:
        library, _, rest = model.partition(":")
        assert library in {
            "timm",
            "torchvision",
            "open_clip",
            "hf",
            "hub",
            "other",
            "lab24",
        }  # the last: benchmark/lab24/lab24.py
        assert rest.strip() == rest != ""
    assert len(set(catalog.ids)) == len(catalog)


@pytest.mark.parametrize("text", ["timm:resnet50.a1_in1k", "resnet50.a1_in1k"])
def test_find__id_or_short_name__canonical(text: str) -> None:
    assert load_catalog().find(text) == "timm:resnet50.a1_in1k"


def test_find__name_of_a_source__canonical() -> None:
    assert load_catalog().find("ViT-B-32/laion2b_s34b_b79k") == "timm:vit_base_patch32_clip_224.laion2b"


def test_find__misspelled__nearest_offered() -> None:
    with pytest.raises(UnknownModelError, match=r"unknown model 'resnet5O\.a1_in1k'; did you mean .*resnet50\.a1_in1k"):
        load_catalog().find("resnet5O.a1_in1k")
    with pytest.raises(UnknownModelError, match="did you mean"):
        load_catalog()["timm:resnet50.a1_in1"]


def test_where__condition__matches_every_row() -> None:
    catalog = load_catalog()
    chosen = catalog.where("params < 30e6 and license == 'apache-2.0'")
    assert 100 < len(chosen) < len(catalog)
    for model in chosen[::50]:
        record = catalog[model]
        assert record.params is not None
        assert record.params < 30e6
        assert record.license == "apache-2.0"


def test_where__text_method_and_membership__work() -> None:
    catalog = load_catalog()
    assert all("convnext" in model for model in catalog.where("architecture.str.startswith('convnext')"))
    assert catalog.where("family in ['levit'] and params.notna()")
    assert catalog.where("family.isin(['levit'])") == catalog.where("not family != 'levit'")
    assert catalog.where("params / 1e6 <= 3 or -params < -300e6") == catalog.where("(params <= 3e6) | (params > 3e8)")


def test_where__unknown_facts__satisfy_no_comparison_and_not_its_opposite() -> None:
    catalog = load_catalog()
    known = set(catalog.where("params < 5e6")) | set(catalog.where("not (params < 5e6)"))
    assert known == set(catalog.where("params.notna()")) == set(catalog.where("params != 1"))
    assert len(catalog.where("official")) + len(catalog.where("not official")) == len(catalog.where("official.notna()"))


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("parms < 3", "unknown column 'parms'.*did you mean 'params'"),
        ("params <", "cannot read"),
        ("params", "compares nothing"),
        ("1 < 2", "compares nothing"),
        ("'a' < 'b'", "compares nothing"),
        ("params < 9**9**9", "powers are not allowed"),
        ("params < 1 << 10**9", "powers are not allowed"),
        ("@x > 3", "cannot read"),
        ("__import__('os').system('true') == 0", "unknown column '__import__'|not allowed"),
        ("params.__class__ == 3", "not allowed"),
        ("params.to_csv('x') == 3", "not allowed"),
        ("[p for p in params] == 3", "unknown column|only comparisons"),
        ("license < 3", "compares license, a text, with 3"),
        ("terms == open", "stands in quotes: terms == 'open'"),
        ("params == nan", "satisfies no comparison"),
        ("params < 30e6 && license == 'mit'", "write 'and'"),
        ("license = 'mit'", "write =="),
        ("params < 1e999", "too large"),
        ("params < 0x" + "f" * 400, "too large"),
        ("(" * 1000 + "params < 3" + ")" * 1000, "2,010 characters"),
        ("not " * 100 + "params < 3", "30 levels"),
        ("params < 3 in x", "needs a list|cannot read"),
    ],
)
def test_where__bad_condition__one_line(condition: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_catalog().where(condition)
