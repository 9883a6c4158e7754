"""A file of results is read whatever program wrote it, and refused in one line where it is no table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fennec.errors import InputError
from fennec.evidence.matrix import read_results
from fennec.evidence.results import Findings, cut, read_cells

COLUMNS = ("model", "task", "value")


@pytest.mark.parametrize(
    ("content", "notes"),
    [
        (b"model,task,value\nn\xc3\xa9t,a,0.5\n", ()),
        (b"\xef\xbb\xbfmodel,task,value\r\nn\xc3\xa9t,a,0.5\r\n", ()),
        ("model;task;value\nnét;a;0,5\n".encode("latin-1"), ("Windows-1252: line 2", "semicolons", "decimal commas")),
        (' Task\tVALUE\tModel\n\na\t"0,5"\tnét\n'.encode(), ("tabs", "decimal commas")),
        ("model|task|value|\nnét|a|0.5|\n".encode("utf-16"), ("UTF-16", "bars")),
    ],
)
def test_read_cells__written_by_any_program__same_cells(tmp_path: Path, content: bytes, notes: tuple[str, ...]) -> None:
    path = tmp_path / "ours.csv"
    path.write_bytes(content)
    file = read_cells(path, COLUMNS)
    assert file.frame[list(COLUMNS)].to_numpy().tolist() == [["nét", "a", "0.5"]]
    assert len(file.notes) == len(notes)
    for note, part in zip(file.notes, notes, strict=True):
        assert part in note
    assert read_results(path)["value"].tolist() == [0.5]


def test_read_cells__empty_lines_and_quoted_breaks__lines_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "ours.csv"
    path.write_text('model,task,value\n\n"two\nlines",a,0.5\n\nb,a,\n')
    frame = read_cells(path, COLUMNS).frame
    assert frame.index.tolist() == [3, 6]
    assert frame["value"].tolist() == ["0.5", None]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\n \n", "is empty"),
        (b"model,task,value\n", "a header but no results"),
        (b"PK\x03\x04\x00\x00", "no text, byte 4 is zero"),
        (b"model,task,value\nn,a,0,93\n", "line 2 has 4 columns, the header has 3; a decimal comma needs quotes"),
        (b"model,task,value,Value\nn,a,1,2\n", "two columns 'value'"),
        (b"model,score\nn,1\n", r"no column 'task' \(it has model, score\)"),
        (b'model,task,value\n"' + b"x" * 200_000 + b'",a,1\n', "line 2 is not a readable CSV"),
    ],
)
def test_read_cells__no_table__one_short_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "ours.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        read_cells(path, COLUMNS)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400 + len(str(path))


def test_read_cells__any_bytes__cells_or_one_line(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    path = tmp_path / "ours.csv"
    good = b"model,task,value\nresnet50.a1_in1k,pets,0.9\nother,cars,0.8\n"
    alphabet = np.frombuffer(b',;\t|"\n\r\x00\xff\xe9 0.9%-', dtype=np.uint8)
    refused = []
    for _ in range(200):
        content = np.frombuffer(good, dtype=np.uint8).copy()
        places = generator.integers(0, len(content), generator.integers(1, 8))
        content[places] = generator.choice(alphabet, len(places))
        path.write_bytes(content.tobytes())
        try:
            frame = read_cells(path, COLUMNS).frame
        except InputError as error:
            refused.append(str(error))
            continue
        assert set(COLUMNS) <= set(frame)
        assert frame.index.is_monotonic_increasing
    assert 20 < len(refused) < 180
    assert not any("\n" in error for error in refused)


def test_cut__long_and_steering__short_and_plain() -> None:
    assert cut("a" * 70) == "a" * 60 + "..."
    assert "\x1b" not in cut("\x1b[2J[/red]")
    found = Findings([])
    found.add("odd", "name", "x" * 9999)
    assert len(found.found[0].text) < 600
