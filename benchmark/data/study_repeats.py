"""Which studies repeat one another: said by their authors, or seen in the numbers.

Two studies repeat each other where the same weights on the same task under the same protocol have nearly the same
value in both, so that one of them would give the other away. Leaving a study out means leaving its whole group out.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import pandas as pd

NEARLY = 0.0011  # a tenth of a point and rounding
FEWEST_CELLS = 8  # fewer shared cells may agree by chance
SHARE = 0.5  # of the shared cells

# Groups that their sources name, whatever the numbers: models, images and harness are shared.
DECLARED = (
    ("openclip_zeroshot", "openclip_retrieval", "openclip_multilingual_retrieval", "lovm_zeroshot", "swab_zeroshot",
     "clip_benchmark_zeroshot", "scaling_laws_openclip_zeroshot", "mobileclip_zeroshot"),
    ("parc_all", "parc_controlled"),
    ("imagenet_testbed", "imagenet_x"),
)  # fmt: skip


def agreement(evidence: pd.DataFrame) -> pd.DataFrame:
    """Share of common cells with nearly the same value, one row per pair of studies with common cells.

    Args:
        evidence: study, weights, task, protocol, budget and value of every cell.

    Returns:
        study, other, protocol, cells in common, share that agrees, median difference; most alike first.
    """
    cells = evidence.groupby(["study", "weights", "task", "protocol", "budget"], observed=True)["value"].max()
    wide = {study: rows.droplevel("study") for study, rows in cells.groupby("study")}
    rows = []
    for one, two in combinations(sorted(wide), 2):
        both = pd.concat([wide[one], wide[two]], axis=1, join="inner", keys=["one", "two"])
        for protocol, common in both.groupby(level="protocol"):
            difference = (common["one"] - common["two"]).abs()
            share = (difference <= NEARLY).mean()
            rows.append((one, two, protocol, len(common), round(share, 4), round(difference.median(), 5)))
    columns = ["study", "other", "protocol", "common_cells", "share_equal", "median_difference"]
    table = pd.DataFrame(rows, columns=columns)
    return table.sort_values(
        ["share_equal", "common_cells", "study"], ascending=[False, False, True], ignore_index=True
    )


def repeats_of(studies: list[str], table: pd.DataFrame) -> Mapping[str, tuple[str, ...]]:
    """For every study, the others of its group: declared, or measured to agree; groups that touch become one."""
    group = {study: {study} for study in studies}
    enough = (table["common_cells"] >= FEWEST_CELLS) & (table["share_equal"] >= SHARE)
    links = [*DECLARED, *table.loc[enough, ["study", "other"]].itertuples(index=False)]
    for link in links:
        together = set().union(*(group[study] for study in link if study in group))
        for study in together:
            group[study] = together
    return {study: tuple(sorted(group[study] - {study})) for study in studies}
