"""Tables that name pictures, and files of results, with anything in them that a program or a person may leave there."""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
from pathlib import Path

import pandas as pd

from fennec.cli.options import known_results
from fennec.evidence.own import own_matrix
from fennec.reports.console import print_frame

from .judge import Case, command, library
from .pictures import damaged, good_folder, read_all

ODD_CELLS = (
    "", " ", "\0", "nan", "NaN", "None", "-1", "1e400", "9" * 5000, "x" * 200_000, "'",
    '"', '""', "a\nb", "[/x]", "[b]",
    "=1+1", "@SUM(A1)", "<script>", "\u202e", "\ufeff", "../../../etc/passwd", "/dev/zero", "/", ".", "cat",
    "C:\\x.png",
    "http://localhost/x.png", "\ud800", "{0}", "%s", "a,b", "True", "[1, 2]", "{'a': 1}", "cat/good0.png" * 500,
    "\x1b[2J",
)  # fmt: skip
ODD_NUMBERS = ("1" + "0" * 400, "9" * 30, "inf", "-inf", "nan", "1e-400", "-0.1", "1.5", "0x1", "1_0", "true", "",
"½", "0.5%",
               "0,5", " 0.5 ", "1e400", "--1", "5" * 5000)  # fmt: skip


def _text(rng: random.Random, header: list[str], rows: list[list[str]]) -> bytes:
    """A table as text with mistakes in it."""
    separator = rng.choice((",", ",", ",", ";", "\t"))
    quote = rng.random() < 0.5
    lines = [separator.join(f'"{cell}"' if quote and cell else cell for cell in row) for row in (header, *rows)]
    for _ in range(rng.choice((0, 0, 1, 2))):
        lines.insert(
            rng.randrange(len(lines) + 1), rng.choice(("", "   ", "#", ",,,,,,", '"', "\0", "a" * 9999, "\ud800"))
        )
    text = rng.choice(("\n", "\n", "\r\n", "\r")).join(lines)
    data = text.encode(rng.choice(("utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-7")), "surrogatepass")
    return damaged(rng, data) if rng.random() < 0.2 else data


def manifests(rng: random.Random, folder: Path) -> Case:
    """A table of four good pictures with something wrong in it."""
    good_folder(folder)
    names = [f"{label}/good{index}.png" for label in ("cat", "dog") for index in (0, 1)]
    header = [rng.choice(("image", "path", "x", "file_name")), rng.choice(("label", "class", "y")), "split"]
    rows = [[name, name[:3], "train"] for name in names]
    for _ in range(rng.choice((0, 1, 2, 4))):
        rng.choice(rows)[rng.randrange(3)] = rng.choice(ODD_CELLS)
    if rng.random() < 0.2:
        header[rng.randrange(3)] = rng.choice((*ODD_CELLS, "image", "label"))
    if rng.random() < 0.1:
        rng.choice(rows).append("more")
    suffix = rng.choice((".csv", ".csv", ".tsv", ".jsonl", ".parquet"))
    path = folder / f"list{suffix}"
    what = f"{suffix} {header} {rows}"
    if suffix in (".csv", ".tsv"):
        path.write_bytes(_text(rng, header, rows))
    elif suffix == ".jsonl":
        path.write_bytes(_lines(rng, header, rows))
    else:
        kept = [[cell.encode("utf-8", "replace").decode() for cell in row[:3]] for row in rows]
        buffer = io.BytesIO()
        pd.DataFrame(kept, columns=["image", "label", rng.choice(("split", "extra"))]).to_parquet(buffer)
        content = buffer.getvalue()
        path.write_bytes(damaged(rng, content) if rng.random() < 0.7 else content)
    if rng.random() < 0.05:
        path.unlink()
        os.mkfifo(path)
    if rng.random() < 0.1:
        return Case(what, lambda: command("recommend", str(path), "-n", "1", "--json").wrong_json)
    return Case(what, lambda: library(lambda: read_all(path, bool, None)))


def _lines(rng: random.Random, header: list[str], rows: list[list[str]]) -> bytes:
    lines = [json.dumps(dict(zip(header, row, strict=False))) for row in rows]
    odd = ("[" * 100_000, "{}", "null", "1", "[]", '{"image": {}}', '{"image": ' + "9" * 5000 + "}", "NaN", "{", "\0",
           '{"image": "cat/good0.png", "label": ["a", "b"]}', '{"image": 1e400, "label": null}', "")  # fmt: skip
    for _ in range(rng.choice((0, 1, 2))):
        lines.insert(rng.randrange(len(lines)), rng.choice(odd))
    data = "\n".join(lines).encode()
    return damaged(rng, data) if rng.random() < 0.3 else data


def results(rng: random.Random, folder: Path) -> Case:
    """Results of models on tasks with something wrong in them: one line, or a table of them that is shown."""
    folder.mkdir(parents=True, exist_ok=True)
    header = ["model", "task", "value", *rng.choice(([], ["metric"], ["protocol"], ["budget"]))]
    models = ["timm:resnet18.a1_in1k", "mine:a", "mine:b"][: rng.choice((1, 3, 3, 3))]
    rows = [[model, task, f"{rng.random():.3f}", "top1"] for model in models for task in ("pets", "cars")]
    for _ in range(rng.choice((0, 1, 1, 3))):
        at = rng.randrange(4)
        rng.choice(rows)[at] = rng.choice(ODD_NUMBERS if at == 2 and rng.random() < 0.8 else ODD_CELLS)
    if rng.random() < 0.1:
        header[rng.randrange(3)] = rng.choice((*ODD_CELLS, "model", "value"))
    path = folder / f"ours{rng.choice(('.csv', '.csv', ' [b].csv'))}"
    path.write_bytes(_text(rng, header, [row[: len(header)] for row in rows]))
    if rng.random() < 0.03:
        path.unlink()
        rng.choice((os.mkfifo, Path.mkdir))(path)
    what = f"results {header} {rows}"
    if rng.random() < 0.05:
        good = str(good_folder(folder / "photos"))
        return Case(what, lambda: command("recommend", good, "--known", str(path), "-n", "1", "--json").wrong_json)
    return Case(what, lambda: library(lambda: _shown(path)))


def _shown(path: Path) -> str:
    """Read as results of one's own and as results on the new task, and shown as a table and as CSV."""
    said: list[str] = []
    frame = own_matrix(path, report=said.append).to_frame()
    with contextlib.redirect_stdout(io.StringIO()):
        for flags in ((False, False), (False, True), (True, False)):
            print_frame(frame, *flags, quiet=False)
    known_results(path)
    return "" if all(line.isprintable() and len(line) < 500 for line in said) else f"said {said}"[:300]
