"""What is exported is what is known, and what is wrong with a file of results is found.

    python benchmark/data/giving_back.py

Writes `giving_back.csv`: the exported folder validated and read back, the page of all results, how far published
studies agree (no two that repeat each other), and checks of files that are damaged on purpose, all made from the
fine-tuning results of one study with a point of noise (seed 0).
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import mlcroissant
import numpy as np
import pandas as pd

from fennec.errors import FennecError
from fennec.evidence.agreement import published_agreement
from fennec.evidence.check import check_results
from fennec.evidence.export import evidence_table, export_evidence
from fennec.reports.leaderboard import leaderboard_html

RESULTS = Path(__file__).parents[1] / "results"
STUDY = "transfergraph_hf"


def exported(folder: Path) -> Iterator[tuple[str, str, float]]:
    """Facts of the exported folder and of the page."""
    start = time.perf_counter()
    made = export_evidence(folder / "all")
    yield "export", f"{sum(path.stat().st_size for path in made.iterdir()) / 1e6:.2f} MB", time.perf_counter() - start
    before = {path.name: path.read_bytes() for path in made.iterdir()}
    start = time.perf_counter()
    export_evidence(made)
    same = before == {path.name: path.read_bytes() for path in made.iterdir()}
    yield "exported again", "same bytes" if same else "other bytes", time.perf_counter() - start
    start = time.perf_counter()
    equal = pd.read_parquet(made / "evidence.parquet").equals(evidence_table())
    yield "read back", "equal" if equal else "not equal", time.perf_counter() - start
    start = time.perf_counter()
    dataset = mlcroissant.Dataset(jsonld=str(made / "croissant.json"))
    said = dataset.metadata.ctx.issues.report()
    n_records = sum(1 for _ in dataset.records("results"))
    yield "read by mlcroissant", f"{n_records:,} records, {said or 'no issues'}", time.perf_counter() - start
    start = time.perf_counter()
    page = leaderboard_html()
    yield "page of all results", f"{len(page.encode()) / 1e6:.2f} MB", time.perf_counter() - start
    pairs = published_agreement()
    pairs = pairs[~pairs["repeats"]]
    for measure, where in (("same_tasks", "on the same tasks"), ("overall", "over all tasks")):
        known = pairs[measure].dropna()
        text = f"{len(known)}: median {known.median():.2f}, 95 % above {known.quantile(0.05):.2f}"
        yield f"pairs of published studies {where}", text, 0.0


def files() -> dict[str, bytes]:
    """Files of results by what is the matter with them."""
    frame = evidence_table()
    frame = frame[frame["study"] == STUDY].rename(columns={"weights": "model"})[["model", "task", "metric", "value"]]
    generator = np.random.default_rng(0)
    good = frame.assign(value=(frame["value"] + generator.normal(0, 0.01, len(frame))).clip(0, 1).round(4))
    some = generator.random(len(good)) < 0.1
    percent = good.assign(value=(100 * good["value"]).round(2))
    one = good["model"].iloc[0]
    many = pd.DataFrame({"model": np.arange(50_000) % 500, "task": np.arange(50_000) // 500})
    written: Callable[..., str] = lambda table, **options: table.to_csv(index=False, **options)  # noqa: E731
    return {
        "nothing": written(good).encode(),
        "semicolons and decimal commas": written(good, sep=";", decimal=",").encode(),
        "Latin-1": written(good.replace({"model": {one: "modèle"}})).encode("latin-1"),
        "percent": written(percent[percent["value"] > 1]).encode(),
        "percent and fractions mixed": written(
            good.assign(value=good["value"].where(~some, percent["value"]))
        ).encode(),
        "a name of several weights": written(good.replace({"model": {one: "resnet50"}})).encode(),
        "every cell twice, a tenth of them another value": written(
            pd.concat([good, good.assign(value=good["value"].where(~some, good["value"] / 2))])
        ).encode(),
        "one model": written(good[good["model"] == one]).encode(),
        "one value throughout": written(good.assign(value=0.5)).encode(),
        "the results of the study again": written(frame).encode(),
        "contradicts all others (1 - value)": written(good.assign(value=1 - good["value"])).encode(),
        "50,000 lines of unknown models": written(
            many.assign(model="net" + many["model"].astype(str), value=generator.random(50_000).round(4))
        ).encode(),
        "no text": b"PK\x03\x04" + bytes(100),
    }


def main() -> None:
    """Write the table."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows += [("give", *row[:2], "", "", row[2]) for row in exported(folder)]
        for what, content in files().items():
            path = folder / "ours.csv"
            path.write_bytes(content)
            start = time.perf_counter()
            try:
                checked = check_results(path)
            except FennecError:
                rows.append(("check", what, "refused", "", "", time.perf_counter() - start))
                continue
            seconds = time.perf_counter() - start
            kinds = {
                level: ", ".join(dict.fromkeys(found.kind for found in checked.findings if found.level == level))
                for level in ("wrong", "odd")
            }
            verdict = "usable" if checked.is_usable else "to be mended"
            rows.append(("check", what, verdict, kinds["wrong"], kinds["odd"], seconds))
    table = pd.DataFrame(rows, columns=["part", "what", "found", "wrong", "odd", "seconds"])
    table.round({"seconds": 2}).to_csv(RESULTS / "giving_back.csv", index=False, lineterminator="\n")


if __name__ == "__main__":
    main()
