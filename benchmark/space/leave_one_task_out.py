"""Leave one task out on the eight hubs with images: every method, nested choice of hyper-parameters.

    python benchmark/space/leave_one_task_out.py [--proxy fennec-mini --proxy dav2-ViT-S-14]

Writes `leave_one_task_out.csv` (the bundled proxy), `leave_one_task_out_<proxy>.csv` (others), and
`hyperparameters.csv`: the mean gain of every grid point per hub over all tasks, from which the defaults
shipped with `Recommender` are taken, and the choice made without each image set.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pandas as pd

from fennec.evaluation.leave_one_task_out import EVALUATED_HUBS, GRID, METHODS, choose, gains, leave_one_task_out
from fennec.evidence.hubs import load_matrix
from fennec.space.model_prior import Effects
from fennec.tasks.embedding_files import load_known_embeddings

RESULTS = Path(__file__).parents[1] / "results"


def read_choices() -> dict[str, dict[str, Any]]:
    """What was chosen without each image set, as `splits` takes it."""
    table = pd.read_csv(RESULTS / "hyperparameters.csv").dropna(subset="without").set_index("without")
    names = [field.name for field in fields(Effects)]
    effects = {name: Effects(**row) for name, row in table[names].to_dict("index").items()}
    points = table[["length_scale", "specific", "noise"]].to_dict("index")
    return {name: {**point, "effects": effects[name]} for name, point in points.items()}


def main() -> None:
    """Evaluate and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--proxy", action="append")
    arguments = parser.parse_args()
    matrices = [load_matrix(name) for name in EVALUATED_HUBS]
    for proxy in arguments.proxy or ["fennec-mini", "dav2-ViT-S-14"]:
        embeddings = dict(load_known_embeddings(proxy))
        start = time.time()
        results = leave_one_task_out(
            matrices,
            embeddings,
            methods=tuple(METHODS),
            report=lambda text: print(text, file=sys.stderr, flush=True),
        )
        if proxy == "fennec-mini":
            table = gains(matrices, embeddings, without=None)
            rows = [
                {"without": "", **point, **dict(zip(EVALUATED_HUBS, row, strict=True))}
                for point, row in zip(GRID, table, strict=True)
            ]
            held = sorted({name for matrix in matrices for name in matrix.image_sets if name in embeddings})
            choices = {name: choose(matrices, embeddings, without=name) for name in held}
            rows += [
                {"without": name, **{key: value for key, value in choice.items() if key != "effects"},
                 **asdict(choice["effects"])}
                for name, choice in choices.items()
            ]  # fmt: skip
            pd.DataFrame(rows).round(5).to_csv(RESULTS / "hyperparameters.csv", index=False)
            print("defaults:", choose(matrices, embeddings), file=sys.stderr)
        name = "leave_one_task_out" + ("" if proxy == "fennec-mini" else f"_{proxy}")
        results.round(6).to_csv(RESULTS / f"{name}.csv", index=False)
        print(f"{proxy}: {time.time() - start:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
