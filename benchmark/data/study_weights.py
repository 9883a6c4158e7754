"""Which weights a source means by a name: the one place that says so.

`weights_ids` maps (source, name) to a canonical id, `library:architecture.tag`. A catalog that knows more names
(`data/models.csv`, column `names`) is asked by the package when it loads the evidence; this is what holds for the rest.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from study_list import SOURCES

# Sources whose names have a table of their own: its column of ids, and the prefix of what it leaves open.
OWN_TABLES = {
    "fastai_timm_full": ("fastai_timm_full_models.csv", "id", "timm:"),
    "mieb_image": ("mieb_image_models.csv", "id", "hf:"),
    "heedless_backbones": ("heedless_backbones_models.csv", None, "other:heedless-backbones/"),
    "ssl_risk_imagenet_fewshot": ("ssl_risk_models.csv", None, "other:ssl-risk/"),
}

# Names that no table of the sources maps.
NAMED = {
    ("torchgeo_bench_geofm", "vit_large_patch16_dinov3"): "timm:vit_large_patch16_dinov3.lvd1689m",
    ("torchgeo_bench_geofm", "vit_large_patch16_dinov3sat"): "timm:vit_large_patch16_dinov3.sat493m",
}


def canonical_id(row: pd.Series) -> str:
    """`library:architecture.tag` of one row of the published model table."""
    raw, library = str(row["canonical_id"]), str(row["library"])
    if raw.startswith("timm/"):
        return "timm:" + raw.removeprefix("timm/")
    if raw.startswith("torchvision/"):
        return "torchvision:" + raw.removeprefix("torchvision/")
    if raw.startswith("open_clip/"):
        architecture, _, tag = raw.removeprefix("open_clip/").partition("/")
        return f"open_clip:{architecture}.{tag}" if tag else f"open_clip:{architecture}"
    if raw.startswith("hf/"):
        return "hf:" + raw.removeprefix("hf/")
    prefix = "hf" if library == "hf" else "other"
    return f"{prefix}:{raw.replace(' ', '/')}"


def published_models(shared: Path) -> pd.DataFrame:
    """The published model table with a column `id`, unique within a source."""
    models = pd.read_csv(shared / "transfer" / "models.csv", dtype=str, keep_default_na=False)
    models["id"] = models.apply(canonical_id, axis=1)
    twin = models.duplicated(["source", "id"], keep=False)
    models.loc[twin, "id"] = [
        row["id"] if row["model"] in row["id"] else f"{row['id']}@{row['model'].rpartition('@')[2]}"
        for _, row in models[twin].iterrows()
    ]
    return models


def weights_ids(shared: Path) -> dict[tuple[str, str], str]:
    """Canonical id of every (source, name); a name without its variant (`/rgb@64`) has the id without it."""
    models = published_models(shared)
    ids = {**NAMED, **{(row.source, row.model): row.id for row in models.itertuples()}}
    for source, (file, column, prefix) in OWN_TABLES.items():
        table = pd.read_csv(shared / "transfer" / file, dtype=str, keep_default_na=False)
        for row in table.to_dict("records"):
            known = row[column] if column else ""
            ids[source, row["model"]] = known or prefix + row["model"].replace(" ", "_")
    for source, spec in SOURCES.items():
        if spec.variant:
            strip = pd.Series([name for kind, name in ids if kind == source], dtype=str)
            for name, short in zip(strip, strip.str.replace(spec.variant, "", regex=True), strict=True):
                tail = name.removeprefix(short)
                ids.setdefault((source, short), ids[source, name].removesuffix(tail))
    return ids


def weights_of(ids: dict[tuple[str, str], str], source: str, name: str) -> str:
    """Canonical id of one name; a network trained on the task itself (`NAME@TASK`) keeps the task."""
    if (source, name) in ids:
        return ids[source, name]
    plain, _, task = name.rpartition("@")
    if (source, plain) in ids:
        return f"{ids[source, plain]}@{task}"
    return f"other:{source.replace('_', '-')}/{name.replace(' ', '_')}"
