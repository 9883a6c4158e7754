"""All studies: values in range, one main metric a column, cards, repeats, masks, and the hubs as they always were."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fennec.checkpoints.catalog import load_catalog
from fennec.errors import InputError, UnknownTaskError
from fennec.evidence.hubs import MINIATURES, load_hubs, load_matrix
from fennec.evidence.studies import (
    EVIDENCE,
    PROTOCOLS,
    describe_studies,
    find_study,
    load_costs,
    load_evidence,
    load_studies,
    load_tasks,
)
from fennec.settings import data_dir

COLUMN = ["study", "task", "protocol", "metric", "budget"]
# Digest of every cell of a hub (model as its source says, task, value), taken when each study was a file of its own.
HUB_CELLS = json.loads((Path(__file__).parent / "hub_cells.json").read_text())


def raw() -> pd.DataFrame:
    """The file itself, models as the sources name them."""
    frame = pd.read_parquet(data_dir() / "evidence.parquet")
    return frame.astype({name: str for name in frame if name != "value"})


def cells_of(hub: str) -> pd.DataFrame:
    """Cells of a hub in the file."""
    entry, frame = load_hubs()[hub], raw()
    here = (frame["study"] == entry.source) & (frame["protocol"] == entry.protocol) & (frame["budget"] == entry.budget)
    return frame[here & frame["task"].isin(entry.tasks)] if entry.tasks else frame[here]


def test_evidence__words_and_values__in_the_vocabulary() -> None:
    evidence = load_evidence()
    assert tuple(evidence) == EVIDENCE
    assert evidence["value"].between(0, 1).all()
    assert set(evidence["protocol"]) <= set(PROTOCOLS)
    labels = r"full|none|\d+ per class|\d+ %|\d+ images"
    allowed = re.compile(rf"({labels})(, \d+ epochs)?(, \d+ px)?(, all bands)?")
    assert all(allowed.fullmatch(budget) for budget in evidence["budget"].unique())
    untrained = evidence["protocol"].isin(["zero_shot", "eval", "clustering", "retrieval"])
    assert (evidence["budget"].astype(str).str.startswith("none") == untrained).all()
    probes = evidence["protocol"] == "linear_probe"
    assert (evidence.loc[probes, "head"] != "").all()
    assert not evidence.isna().any().any()


def test_evidence__no_cell_twice_no_column_twice() -> None:
    evidence = load_evidence()
    assert not evidence.duplicated(["weights", *COLUMN]).any()
    columns: dict[tuple, tuple] = {}
    for column, cells in evidence.groupby(COLUMN, observed=True):
        content = (column[0], *sorted(zip(cells["weights"], cells["value"], strict=True)))
        assert content not in columns, (column, columns.get(content))
        columns[content] = column


def test_evidence__one_main_metric_for_task_protocol_budget_and_way_of_reading_features() -> None:
    columns = load_evidence()[COLUMN].drop_duplicates().astype(str)
    neighbours = columns["metric"].str.startswith("knn_")
    assert (
        not columns.assign(neighbours=neighbours)
        .duplicated(["study", "task", "protocol", "budget", "neighbours"])
        .any()
    )


def test_evidence__every_column_has_an_order_to_learn_from() -> None:
    frame = raw()
    assert (frame.groupby(COLUMN)["model"].nunique() >= 3).all()
    assert (frame.groupby("study")["model"].nunique() >= 8).sum() >= len(set(frame["study"])) - 1
    assert set(frame["study"]) == {name for name, study in load_studies().items() if study.shipped}


def test_evidence__same_weights_under_two_names__best_value() -> None:
    frame = raw().query("study == 'openclip_zeroshot'")
    twice = frame.groupby("weights")["model"].transform("nunique") > 1
    assert twice.any()
    best = frame[twice].groupby(["weights", *COLUMN])["value"].max()
    found = load_evidence().query("study == 'openclip_zeroshot'").astype(dict.fromkeys(["weights", *COLUMN], str))
    found = found.set_index(["weights", *COLUMN])["value"]
    pd.testing.assert_series_equal(found[best.index], best)


def test_evidence__every_model__the_weights_that_the_catalog_says() -> None:
    catalog = load_catalog()
    called = {(source, name): model for model in catalog.ids for source in catalog[model].names
              for name in catalog[model].names[source]}  # fmt: skip
    pairs = raw()[["study", "model", "weights"]].drop_duplicates()
    for study, model, weights in pairs.itertuples(index=False):
        assert called.get((study, model), weights) == weights
        own, _, task = weights.rpartition("@")
        assert weights in catalog.ids or (own in catalog.ids and model.endswith(f"@{task}"))


def test_load_evidence__again__fast() -> None:
    load_evidence()
    load_evidence.cache_clear()
    start = time.process_time()
    load_evidence()
    assert time.process_time() - start < 0.5  # 0.1 s on an idle machine


@pytest.mark.parametrize("name", load_studies())
def test_card__of_every_study__says_where_it_comes_from(name: str) -> None:
    card = (data_dir() / "cards" / f"{name}.md").read_text(encoding="utf-8")
    fields = "paper|repository and commit|licence of the repository|protocol and budget|metric|unit|repeats|caveats"
    for field in fields.split("|"):
        assert re.search(rf"^\| {field} \| \S.* \|$", card, re.MULTILINE), field
    study = load_studies()[name]
    assert study.title
    assert study.licence in card
    assert study.repository in card


def test_cards__of_every_study_and_every_other_table__no_other() -> None:
    tables = {"models", "throughput", "recipes"}
    assert {path.stem for path in (data_dir() / "cards").glob("*.md")} == {*load_studies(), *tables}


def test_repeats__groups__whole_and_mutual() -> None:
    studies = load_studies()
    for name, study in studies.items():
        assert name not in study.repeats
        for other in study.repeats:
            assert {*studies[other].repeats, other} == {*study.repeats, name}
    together = {"openclip_retrieval", "lovm_zeroshot", "swab_zeroshot", "clip_benchmark_zeroshot"}
    assert together <= set(studies["openclip_zeroshot"].repeats)
    assert studies["parc_all"].repeats == ("parc_controlled",)
    assert "imagenet_x" in studies["imagenet_testbed"].repeats


def test_repeats__cells_that_agree__only_inside_a_group() -> None:
    evidence = load_evidence()
    key = ["weights", "task", "protocol", "budget"]
    both = evidence.merge(evidence, on=key, suffixes=("", "_other"))
    both = both[both["study"].astype(str) < both["study_other"].astype(str)]
    both["equal"] = (both["value"] - both["value_other"]).abs() <= 0.0011
    pairs = both.groupby(["study", "study_other"], observed=True)["equal"].agg(["size", "mean"])
    for one, other in pairs[(pairs["size"] >= 8) & (pairs["mean"] >= 0.5)].index:
        assert other in load_studies()[one].repeats


def test_study__licence_forbids__no_values() -> None:
    closed = [name for name, study in load_studies().items() if not study.shipped]
    assert closed == ["imagenet_x"]
    assert not set(closed) & set(load_evidence()["study"])
    with pytest.raises(InputError, match="not in the package: its licence is CC-BY-NC"):
        load_matrix("imagenet_x")


def test_describe_studies__every_study_counted() -> None:
    table = describe_studies().set_index("study")
    assert list(table.index) == list(load_studies())
    assert table["cells"].sum() == len(load_evidence())
    assert table.loc["mieb_image", "protocols"] == "linear_probe, zero_shot, clustering, retrieval"


def test_find_study__unknown__nearest_offered() -> None:
    with pytest.raises(UnknownTaskError, match="unknown study 'mieb_imag'; did you mean 'mieb_image'"):
        find_study("mieb_imag")


def test_load_matrix__whole_study__protocol_chosen_and_one_column_a_task() -> None:
    matrix = load_matrix("mieb_image", protocol="linear_probe")
    assert (matrix.protocol, matrix.name, matrix.n_tasks) == ("linear_probe", "mieb_image", 22)
    assert set(matrix.metrics) == {"top1", "lrap"}
    detection = load_matrix("heedless_backbones", protocol="detection")
    assert set(detection.metrics) == {"box_mAP"}
    with pytest.raises(InputError, match="several protocols; give --protocol, one of"):
        load_matrix("mieb_image")
    with pytest.raises(InputError, match="measured by finetune, not by zero_shot"):
        load_matrix("fastai_timm_full", protocol="zero_shot")


@pytest.mark.parametrize("name", load_hubs())
def test_hub__cells__as_they_were(name: str) -> None:
    cells = cells_of(name).sort_values(["model", "task"])
    lines = "".join(f"{row.model}\t{row.task}\t{row.value:.6f}\n" for row in cells.itertuples())
    assert hashlib.sha256(lines.encode()).hexdigest() == HUB_CELLS[name]


@pytest.mark.parametrize("name", load_hubs())
def test_hub__matrix__is_its_cells_under_canonical_ids(name: str) -> None:
    cells = cells_of(name)
    cells = cells[~cells["weights"].str.startswith(MINIATURES)]
    expected = cells.pivot_table(index="weights", columns="task", values="value", aggfunc="max")
    matrix = load_matrix(name)
    assert matrix.models == tuple(expected.index)
    assert matrix.tasks == tuple(expected.columns)
    np.testing.assert_allclose(matrix.performance, expected, rtol=1e-12)


def test_tasks__of_all_studies__with_facts() -> None:
    tasks = load_tasks()
    assert set(load_evidence()["task"]) <= set(tasks.index)
    measured = tasks.loc[sorted(set(load_evidence()["task"]))]
    assert measured[["title", "domain", "granularity", "image_size", "image_set"]].notna().all().all()


def test_costs__of_fine_tuning__positive() -> None:
    costs = load_costs()
    assert costs[["study", "weights", "task"]].notna().all().all()
    assert (costs["fit_seconds"] > 0).all()
    assert costs["gpu_mem_gb"].between(0, 80, inclusive="neither").all()
    assert costs["sd"].between(0, 0.2).all()
    assert (costs["runs"] >= 1).all()


@pytest.mark.shared
def test_evidence__every_cell__stands_in_its_source_and_no_flagged_one(shared: Path) -> None:
    """The sources read anew, without the script: a cell has its model, its task's value, and no flag."""
    flags = pd.concat(pd.read_csv(shared / "transfer" / name) for name in ("flags.csv", "flags_new.csv"))
    flagged = set(zip(flags["source"], flags["model"], flags["task"], flags["value"].round(4), strict=True))
    for study, cells in raw().groupby("study"):
        if study == "lab24":
            continue
        source = pd.read_csv(shared / "transfer" / f"{study}.csv", keep_default_na=False)
        pairs = source[["model", "value"]].itertuples(index=False)
        published = {(model, round(float(value), 3)) for model, value in pairs}
        shorter = {re.sub(r"(/rgb|/msi|/allbands)?(@\d+)?$", "", model) for model, _ in published}
        for row in cells.itertuples():
            model = row.model.removesuffix(f"@{row.task}")
            value = round(row.value * 100, 3)
            assert (model, value) in published or model in shorter, row
            assert (study, model, row.task, round(row.value * 100, 4)) not in flagged, row


@pytest.mark.shared
def test_build_studies__again__same_tables(shared: Path, tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    repeats = tmp_path / "repeats.csv"
    command = [sys.executable, root / "benchmark/data/build_studies.py", "--shared", shared]
    subprocess.run(
        [*map(str, command), "--output", str(tmp_path / "data"), "--repeats", str(repeats)],
        check=True,
        capture_output=True,
    )
    made = [path for path in (tmp_path / "data").rglob("*") if path.is_file()]
    assert len(made) > len(load_studies())
    for path in made:
        kept = data_dir() / path.relative_to(tmp_path / "data")
        if path.suffix == ".parquet":  # its bytes say which version wrote it
            pd.testing.assert_frame_equal(pd.read_parquet(path), pd.read_parquet(kept))
        else:
            assert path.read_bytes() == kept.read_bytes(), path.name
    assert repeats.read_bytes() == (root / "benchmark/results/repeats.csv").read_bytes()
