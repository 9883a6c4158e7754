"""Leave one task out on the eight hubs with images: every method.

    python benchmark/space/leave_one_task_out.py [--proxy fennec-mini --proxy dav2-ViT-S-14]

Writes `leave_one_task_out.csv` (the bundled proxy) and `leave_one_task_out_<proxy>.csv` (others): hub, task, method,
measure, value. No result on the images of the held-out task counts, in any study.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from fennec.evaluation.leave_one_task_out import EVALUATED_HUBS, METHODS, leave_one_task_out
from fennec.evidence.hubs import load_matrix
from fennec.tasks.embedding_files import load_known_embeddings

RESULTS = Path(__file__).parents[1] / "results"


def main() -> None:
    """Evaluate and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--proxy", action="append")
    arguments = parser.parse_args()
    matrices = [load_matrix(name) for name in EVALUATED_HUBS]
    for proxy in arguments.proxy or ["fennec-mini", "dav2-ViT-S-14"]:
        start = time.time()
        results = leave_one_task_out(
            matrices,
            load_known_embeddings(proxy),
            methods=tuple(METHODS),
            report=lambda text: print(text, file=sys.stderr, flush=True),
        )
        name = "leave_one_task_out" + ("" if proxy == "fennec-mini" else f"_{proxy}")
        results.round(6).to_csv(RESULTS / f"{name}.csv", index=False)
        print(f"{proxy}: {time.time() - start:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
