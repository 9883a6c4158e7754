"""How well is a study foretold that nobody has seen, from all the others?

    python benchmark/space/leave_one_study_out.py

Writes `leave_one_study_out.csv` (study, protocol, n_models, task, method, measure, value) and
`leave_one_study_out_choices.csv` (without, setting, mean over the other studies). The effects of general quality are
chosen for every left-out study from six settings by the mean weighted tau over the other studies, each foretold without
itself and without the left-out one (`GeneralQuality.left_out`, exact).
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from fennec.checkpoints.catalog import load_catalog
from fennec.evaluation.leave_one_study_out import Judged, judged_studies, leave_one_study_out
from fennec.evidence.scores import load_scores, study_name
from fennec.space.alike import Effects
from fennec.space.process import QUALITY, GeneralQuality
from fennec.tasks.embedding_files import load_known_embeddings

RESULTS = Path(__file__).parents[1] / "results"
SETTINGS: dict[str, Effects] = {
    "default": QUALITY,
    "less own": replace(QUALITY, same=0.05, parent=0.05),
    "more family": replace(QUALITY, family=0.3),
    "more facts": replace(QUALITY, facts=0.2),
    "pre-training": replace(QUALITY, pretraining=0.1),
    "more in common": replace(QUALITY, common=0.4, protocol=0.2),
}


def choices(cases: list[Judged]) -> pd.DataFrame:
    """Mean weighted tau over the other studies, by left-out study and setting."""
    groups = sorted({study_name(case.study) for case in cases})
    rows = []
    for setting, effects in SETTINGS.items():
        general = GeneralQuality(effects).fit(load_scores(), load_catalog())
        for left in groups:
            taus = []
            for case in cases:
                if study_name(case.study) != left:
                    found = general.left_out([left, case.study])
                    own = found["study"].eq(study_name(case.study)) & found["protocol"].eq(case.protocol)
                    expected = found[own].set_index("weights")["expected"].reindex(case.models).to_numpy()
                    taus.append(case.mean_tau(expected))
            rows.append((left, setting, float(np.mean(taus))))
        print(setting, f"{np.mean([row[2] for row in rows if row[1] == setting]):.4f}", file=sys.stderr, flush=True)
    return pd.DataFrame(rows, columns=["without", "setting", "mean"])


def main() -> None:
    """Choose, leave every study out once, and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=RESULTS / "leave_one_study_out.csv")
    output = parser.parse_args().output
    cases = judged_studies()
    table = choices(cases)
    table.round(5).to_csv(output.with_name(f"{output.stem}_choices.csv"), index=False)
    best = table.loc[table.groupby("without")["mean"].idxmax()].set_index("without")["setting"].map(SETTINGS)
    results = leave_one_study_out(
        cases,
        load_known_embeddings(),
        effects=best.to_dict(),
        report=lambda text: print(text, file=sys.stderr, flush=True),
    )
    results.round(5).to_csv(output, index=False)


if __name__ == "__main__":
    main()
