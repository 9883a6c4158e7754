"""Which studies repeat one another: said by their authors, or seen in the numbers.

Numbers are compared by `fennec.evidence.agreement`. Leaving a study out means leaving its whole group out.
"""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from fennec.evidence.agreement import is_repeat

# Groups that their sources name, whatever the numbers: models, images and harness are shared.
DECLARED = (
    ("openclip_zeroshot", "openclip_retrieval", "openclip_multilingual_retrieval", "lovm_zeroshot", "swab_zeroshot",
     "clip_benchmark_zeroshot", "scaling_laws_openclip_zeroshot", "mobileclip_zeroshot"),
    ("parc_all", "parc_controlled"),
    ("imagenet_testbed", "imagenet_x"),
)  # fmt: skip


def repeats_of(studies: list[str], table: pd.DataFrame) -> Mapping[str, tuple[str, ...]]:
    """For every study, the others of its group: declared, or measured to agree; groups that touch become one."""
    group = {study: {study} for study in studies}
    links = [*DECLARED, *table.loc[is_repeat(table), ["study", "other"]].itertuples(index=False)]
    for link in links:
        together = set().union(*(group[study] for study in link if study in group))
        for study in together:
            group[study] = together
    return {study: tuple(sorted(group[study] - {study})) for study in studies}
