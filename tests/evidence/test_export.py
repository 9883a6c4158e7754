"""The exported folder: read back equal, the same bytes every time, valid for others, whole or not at all."""

from __future__ import annotations

import json
import logging
from itertools import islice
from pathlib import Path

import pandas as pd
import pytest

from fennec.errors import DataError, InputError
from fennec.evidence import export
from fennec.evidence.export import COLUMNS, evidence_table, export_evidence
from fennec.evidence.scores import MINIATURES
from fennec.evidence.studies import load_evidence, load_studies


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_evidence(tmp_path_factory.mktemp("export") / "data")


def test_export__read_back__equal_to_the_evidence(folder: Path) -> None:
    found = pd.read_parquet(folder / "evidence.parquet")
    pd.testing.assert_frame_equal(found, evidence_table(), check_dtype=False)
    assert list(found) == list(COLUMNS)
    assert not found.isna().any().any()
    evidence = load_evidence()
    evidence = evidence[~evidence["weights"].astype(str).str.startswith(MINIATURES)]
    key = ["weights", "study", "task", "protocol", "metric", "budget"]
    both = found.merge(evidence.astype(dict.fromkeys(key, str)), on=key, suffixes=("", "_known"), validate="one_to_one")
    assert len(both) == len(found) == len(evidence)
    assert (both["value"] == both["value_known"]).all()
    licences = found.drop_duplicates("study").set_index("study")["licence"]
    assert all(licences[name] == load_studies()[name].licence for name in licences.index)
    assert not found["source"].str.contains("this one").any()


def test_export__twice__same_bytes_in_the_same_folder(folder: Path) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    export_evidence(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert sorted(before) == ["README.md", "croissant.json", "evidence.parquet"]
    assert [path.name for path in folder.parent.iterdir()] == ["data"]


def test_export__card__every_study_with_its_licence_and_every_column(folder: Path) -> None:
    card = (folder / "README.md").read_text(encoding="utf-8")
    for name, study in load_studies().items():
        assert (f"| {name} | {study.paper} |" in card) == study.shipped
    assert all(f"| `{column}` |" in card for column in COLUMNS)
    assert card.startswith("---\npretty_name:")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of rdflib, which mlcroissant uses
def test_export__croissant__valid_and_reads_the_table(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    croissant = pytest.importorskip("mlcroissant")
    with caplog.at_level(logging.WARNING):
        dataset = croissant.Dataset(jsonld=str(folder / "croissant.json"))
    assert caplog.messages == []  # neither an error nor a recommendation
    assert dataset.metadata.ctx.issues.report() == ""
    records = list(islice(dataset.records("results"), 3))
    first = evidence_table().iloc[0]
    assert records[0]["results/weights"].decode() == first["weights"]
    assert records[0]["results/value"] == pytest.approx(first["value"])
    (records_of,) = json.loads((folder / "croissant.json").read_text())["recordSet"]
    assert [field["name"] for field in records_of["field"]] == list(COLUMNS)


def test_export__foreign_files__refused_and_left(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(InputError, match=r"holds 'thesis.tex'; give a folder that is empty, new or an earlier export"):
        export_evidence(tmp_path)
    with pytest.raises(InputError, match="is a file"):
        export_evidence(tmp_path / "thesis.tex")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_export__fails_half_way__nothing_left_and_the_old_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = tmp_path / "data"
    old.mkdir()
    for name in ("README.md", "croissant.json", "evidence.parquet"):
        (old / name).write_text("old")
    files = iter([("evidence.parquet", b"new")])

    class Full(dict[str, bytes]):
        def items(self):  # type: ignore[override]
            yield next(files)
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(export, "exported_files", lambda: Full())
    with pytest.raises(OSError, match="No space left"):
        export_evidence(old)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
    assert [path.read_text() for path in old.iterdir()] == ["old"] * 3


def test_export__folder_with_a_page_of_somebody_else__left_alone(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(DataError, match=r"holds 'README.md'"):
        export_evidence(tmp_path)
    assert (tmp_path / "README.md").read_text() == "mine"
