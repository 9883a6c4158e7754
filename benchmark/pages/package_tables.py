"""What the package costs and where its data comes from: time, memory, documentation, sources of results."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
from layout import RESULTS, ROOT, markdown

from fennec.evidence.hubs import load_hubs
from fennec.evidence.studies import load_studies


def speed() -> str:
    """Seconds and memory, as measured."""
    results = pd.read_csv(RESULTS / "speed.csv")
    rows = []
    for what, size, seconds, mb, ratio in results.itertuples(index=False):
        time = f"{seconds:.2f} s" if seconds >= 0.1 else f"{1000 * seconds:.3g} ms"
        rows.append([what, f"{size:,}", time, f"{mb:.0f}", "" if np.isnan(ratio) else f"{ratio:.2f}"])
    return markdown(["what", "size", "time", "peak MB of the process", "times `import timm`"], rows)


def embed_many() -> str:
    """`fennec embed` on a thousand to a hundred thousand pictures."""
    results = pd.read_csv(RESULTS / "embed_many.csv")
    rows = [
        [row.layout, f"{row.n_images:,}", f"{row.seconds:.0f} s", f"{row.images_per_second:.0f}", f"{row.mb:.0f}",
         "yes" if row.same else "no"]
        for row in results.itertuples()
    ]  # fmt: skip
    return markdown(["pictures in", "number", "time", "a second", "peak MB", "the same embedding"], rows)


def stopped_requests() -> str:
    """What requests leave behind in the page."""
    results = pd.read_csv(RESULTS / "stopped_requests.csv")
    rows = [
        [row.after, str(row.requests), str(row.stopped), f"{row.mb:.0f}", str(row.threads), str(row.files)]
        for row in results.itertuples()
    ]
    return markdown(["after", "requests", "stopped", "MB", "threads", "files kept for an hour"], rows)


def scoring_time() -> str:
    """A pass through every model of a hub beside one recommendation."""
    results = pd.read_csv(RESULTS / "scoring_time.csv")
    rows = [[row.hub, str(row.models), f"{row.passes_s / 3600:.2g} h", f"{row.fennec_s:.1f} s", f"{row.times:,}"]
            for row in results.itertuples()]  # fmt: skip
    return markdown(["hub", "models", "forward passes of all", "fennec", "times faster"], rows)


def documentation() -> str:
    """Docstrings, examples, notebooks, wheel and imports."""
    results = pd.read_csv(RESULTS / "documentation.csv", keep_default_na=False)
    rows = [
        [row.what, f"{float(row.value):.2f} {row.unit}" if row.unit else f"{float(row.value):,.0f}"]
        for row in results.itertuples()
    ]
    return markdown(["what", "value"], rows)


def hostile_inputs() -> str:
    """What comes in from outside: how many inputs were answered in one clear line or used, and how many were not."""
    results = pd.read_csv(RESULTS / "fuzz.csv")
    rows = [[row.kind, str(row.tried), str(row.wrong), f"{row.slowest_seconds:.1f} s", f"{row.most_mb:.0f}"]
            for row in results.itertuples()]  # fmt: skip
    rows.append(["all", str(results["tried"].sum()), str(results["wrong"].sum()), "", ""])
    return markdown(["kind", "tried", "wrong", "slowest", "most MB added"], rows)


def changed_files() -> str:
    """Saved things that were changed: how many were refused in one line, used in full, or neither."""
    results = pd.read_csv(RESULTS / "fuzz_saved.csv")
    rows = [[str(cell) for cell in row] for row in results.itertuples(index=False)]
    rows.append(["all", *(str(total) for total in results.drop(columns="kind").sum())])
    return markdown(list(results.columns), rows)


def faults() -> str:
    """Faults of the machine while commands write: told in one line or ended by the signal, and mended afterwards."""
    results = pd.read_csv(RESULTS / "faults.csv")
    rows = [[str(cell) for cell in row] for row in results.itertuples(index=False)]
    return markdown(["command", "fault", "tried", "clear", "run again: as if nothing had been"], rows)


def giving_back() -> str:
    """What is exported, and what checks find in damaged files."""
    results = pd.read_csv(RESULTS / "giving_back.csv", keep_default_na=False)
    rows = [
        [row.what, row.found, row.wrong or "-", row.odd or "-", f"{row.seconds:.1f} s" if row.seconds else "-"]
        for row in results.itertuples()
    ]
    return markdown(["what", "found", "wrong", "odd", "time"], rows)


def sources() -> str:
    """Paper, repository and licence of every source of results, and the hubs made from it."""
    hubs: dict[str, list[str]] = {}
    for name, hub in load_hubs().items():
        hubs.setdefault(hub.source, []).append(f"`{name}`")
    rows = [
        [f"[{name}](../data/cards/{name}.md)", ", ".join(hubs.get(name, ["-"])), card["paper"],
         card["repository and commit"], card["licence of the repository"], card["protocol and budget"], card["size"]]
        for name, card in _cards().items()
    ]  # fmt: skip
    header = ["study", "hubs", "paper", "repository and commit", "licence", "protocol and budget", "size"]
    return markdown(header, rows).replace("---:", "---")


def caveats() -> str:
    """What to know about every source."""
    return "\n".join(f"- **{name}**: {card['caveats']}" for name, card in _cards().items())


def _cards() -> dict[str, dict[str, str]]:
    """Fields of every data card, by source."""
    return {
        path.stem: dict(re.findall(r"^\| ([^|]+?) \| (.+) \|$", path.read_text(encoding="utf-8"), re.MULTILINE))
        for path in (ROOT / "data" / "cards" / f"{name}.md" for name in load_studies())
    }


TABLES = (
    speed,
    embed_many,
    stopped_requests,
    scoring_time,
    documentation,
    giving_back,
    hostile_inputs,
    changed_files,
    faults,
    sources,
    caveats,
)
