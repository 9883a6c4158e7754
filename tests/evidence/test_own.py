"""A user's own results: one clear line for every way in which a file can be wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from fennec.checkpoints.catalog import load_catalog
from fennec.errors import DataError, InputError
from fennec.evidence.own import own_matrix


def write(folder: Path, text: str) -> Path:
    path = folder / "ours.csv"
    path.write_text(text)
    return path


def test_own_matrix__any_name_of_a_checkpoint__its_id(tmp_path: Path) -> None:
    said: list[str] = []
    path = write(tmp_path, "model,task,value\nresnet50.a1_in1k,pets,0.9\nhf:facebook/deit-tiny-patch16-224,pets,0.8\n")
    matrix = own_matrix(path, report=said.append)
    catalog = load_catalog()
    expected = {catalog.find("resnet50.a1_in1k"), catalog.find("timm:deit_tiny_patch16_224.fb_in1k")}
    assert set(matrix.models) == expected
    assert (matrix.protocol, matrix.name, said) == ("finetune", "ours", [])


def test_own_matrix__no_known_checkpoint__said_in_one_line(tmp_path: Path) -> None:
    said: list[str] = []
    matrix = own_matrix(write(tmp_path, "model,task,value\nmine,a,0.9\nyours,a,0.8\n"), report=said.append)
    assert matrix.models == ("mine", "yours")
    (line,) = said
    assert "none of its 2 models is known; the others keep their names: unknown model 'mine'" in line


def test_own_matrix__one_misspelled__nearest_offered(tmp_path: Path) -> None:
    said: list[str] = []
    text = "model,task,value\ntimm:resnet50.a1_in1k,a,0.9\ntimm:resnet5O.a2_in1k,a,0.8\nnets:small,a,0.7\n"
    own_matrix(write(tmp_path, text), report=said.append)
    (line,) = said
    assert "2 of its 3 models is known" in line or "unknown model 'timm:resnet5O.a2_in1k'; did you mean" in line


def test_own_matrix__name_of_several_weights__line_and_candidates(tmp_path: Path) -> None:
    text = "model;task;value\nnosuch9;a;0,9\nresnet50;a;0,8\n"  # the unknown name before it hides nothing
    with pytest.raises(DataError, match=r"ours.csv line 3: 'resnet50' means 19 sets of weights: timm:resnet50"):
        own_matrix(write(tmp_path, text))


def test_own_matrix__protocol_of_the_file__taken_and_checked(tmp_path: Path) -> None:
    path = write(tmp_path, "model,task,value,protocol\nm:a,t,0.9,linear_probe\nm:b,t,0.8,linear_probe\n")
    assert own_matrix(path).protocol == "linear_probe"
    with pytest.raises(InputError, match="says protocol 'linear_probe', not finetune; leave out --protocol"):
        own_matrix(path, protocol="finetune")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("m:a,t,0.9,finetune\nm:b,t,0.8,zero_shot\n", "mixes protocols: line 2 has 'finetune', line 3 has 'zero_shot'"),
        ("m:a,t,0.9,finetune\nm:b,t,0.8,\n", "line 3 has ''; one file, one protocol"),
        ("m:a,t,0.9,tuned\nm:b,t,0.8,tuned\n", "line 2: protocol is 'tuned'; there are finetune"),
        ("m:a,t,0.9,finetune\nm:b,t,81.5,finetune\n", "line 3: value is 81.5, but line 2 has 0.9; percentages and"),
        ("m:a,t,0.9,finetune\nm:a,t,0.8,finetune\n", "lines 2 and 3 disagree on model 'm:a', task 't': 0.9 and 0.8"),
        (
            "resnet50.a1_in1k,t,0.9,finetune\ntimm:resnet50.a1_in1k,t,0.8,finetune\n",
            "'resnet50.a1_in1k' and 'timm:resnet50.a1_in1k' are the same weights, timm:resnet50.a1_in1k, and disagree",
        ),
    ],
)
def test_own_matrix__bad_file__one_clear_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        own_matrix(write(tmp_path, "model,task,value,protocol\n" + text))
    assert "\n" not in str(caught.value)


def test_own_matrix__same_line_twice__once(tmp_path: Path) -> None:
    text = "model,task,value\nm:a,t,0.9\nm:a,t,0.9\nresnet50.a1_in1k,t,0.8\ntimm:resnet50.a1_in1k,t,0.8\n"
    assert own_matrix(write(tmp_path, text)).performance.tolist() == [[0.9], [0.8]]


def test_own_matrix__mixed_metrics_or_budgets__refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="task 't' mixes metrics"):
        own_matrix(write(tmp_path, "model,task,value,metric\nm:a,t,0.9,top1\nm:b,t,0.8,top5\n"))
    with pytest.raises(InputError, match="mixes budgets: line 2 has 'full', line 4 has '16 per class'"):
        own_matrix(write(tmp_path, "model,task,value,budget\nm:a,t,0.9,full\nm:b,t,0.8,full\nm:a,u,0.8,16 per class\n"))


def test_own_matrix__lines_of_the_file__as_an_editor_counts_them(tmp_path: Path) -> None:
    text = 'model,task,value\n\n"m:a\n",t,0.9\n\n\nm:b,t,oops\n'
    with pytest.raises(InputError, match=r"ours.csv line 7: value is 'oops'"):
        own_matrix(write(tmp_path, text))
    with pytest.raises(InputError, match=r"line 4 has 4 columns, the header has 3"):
        own_matrix(write(tmp_path, "model,task,value\n\nm:a,t,0.9\nm:b,t,0,9\n"))
    with pytest.raises(InputError, match=r"task 't' mixes metrics, 'top1' in line 3 and 'top5' in line 5"):
        own_matrix(write(tmp_path, "model,task,value,metric\n\nm:a,t,0.9,top1\n\nm:b,t,0.8,top5\n"))


def test_own_matrix__results_that_tell_nothing__said(tmp_path: Path) -> None:
    said: list[str] = []
    own_matrix(write(tmp_path, "model,task,value\nm:a,t,0.9\nm:b,t,0.9\nm:a,u,0.9\n"), report=said.append)
    assert [line.partition(": ")[2] for line in said] == [
        "one result only of u, which tells no model from another",
        "the same result of all models of t, which tells no model from another",
    ]


@pytest.mark.parametrize("value", ["1" + "0" * 400, "9" * 50_000, "1_0", "0x1", "½", "1e400"])
def test_own_matrix__number_of_any_size__one_short_line(tmp_path: Path, value: str) -> None:
    with pytest.raises(InputError, match="line 3: value is") as caught:
        own_matrix(write(tmp_path, f"model,task,value\nm:a,t,0.9\nm:b,t,{value}\n"))
    assert len(str(caught.value)) < 400


def test_own_matrix__a_quote_that_is_not_closed__line_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="line 3 is not a readable CSV .*; a quote that is opened must be closed"):
        own_matrix(write(tmp_path, 'model,task,value\na,t,0.5\n"b,t,0.4\nc,t,0.3\n'))
