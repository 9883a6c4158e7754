"""Tries hostile inputs and counts by kind: `python -m tests.fuzz -n 300`, or one again: `--only pictures:17`.

Writes the rows of the kinds that were tried to `benchmark/results/fuzz.csv`.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"  # before huggingface_hub is imported
os.environ["FENNEC_DEVICE"] = "cpu"

import pandas as pd

from . import KINDS, sweep
from .archives import BOMBS
from .kept import keep

RESULTS = Path(__file__).parents[2] / "benchmark" / "results" / "fuzz.csv"


def main() -> None:
    """Parse, sweep, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-n", type=int, default=300, help="inputs of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", choices=list(KINDS), action="append", help="all by default")
    parser.add_argument("--only", help="KIND:NUMBER, one input again")
    asked = parser.parse_args()
    os.environ[BOMBS] = "1"
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"FENNEC_CACHE_DIR": f"{folder}/cache", "FENNEC_HOME": f"{folder}/home"}
        if asked.only:
            kind, _, number = asked.only.partition(":")
            print(sweep(kind, [int(number)], Path(folder), seed=asked.seed, say=print))
            return
        rows = [sweep(kind, range(asked.n), Path(folder), seed=asked.seed, say=print) for kind in asked.kind or KINDS]
    frame = pd.DataFrame([vars(row) for row in rows])
    print(frame.to_string(index=False))
    keep(frame, RESULTS)
    sys.exit(int(frame["wrong"].sum() > 0))


if __name__ == "__main__":
    main()
