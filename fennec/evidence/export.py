"""All results of all studies as a data set that stands alone: parquet, a data card, and Croissant metadata.

In: the evidence. Out: a folder of three files, the same bytes every time. Croissant 1.0: Akhtar et al. 2024,
arXiv:2403.19546.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fennec import __version__
from fennec.errors import DataError
from fennec.files import as_json, write_whole

from .scores import MINIATURES
from .studies import describe_studies, load_evidence, load_studies

if TYPE_CHECKING:
    import pandas as pd

TABLE, CARD, METADATA = "evidence.parquet", "README.md", "croissant.json"
TITLE = "Results of pre-trained vision models on tasks"
COLUMNS = {
    "weights": "Id of a set of weights, library:architecture.tag; ID@TASK was trained on the task itself.",
    "task": "Data set with its labels.",
    "study": "Published source of results; studies that repeat each other are named in the card.",
    "protocol": "How it was measured: finetune, linear_probe, zero_shot and so on; eval is ImageNet and its variants.",
    "metric": "What the value is, for example top1; knn_ before it reads features by their neighbours.",
    "budget": "What the task gave: full, 16 per class, 1000 images, 1 % or none; then schedule or side.",
    "head": "What was trained on frozen features, empty elsewhere.",
    "value": "The result, a fraction in [0, 1], higher is better.",
    "image_set": "Tasks of one image set use the same images and leak into each other.",
    "source": "Where the numbers were read: repository with commit, or who measured them.",
    "licence": "Licence of that source.",
}
_TYPES = {"value": "sc:Float"}
# The context that the standard prescribes, word by word.
_PLAIN = ("citeAs", "column", "equivalentProperty", "extract", "field", "fileObject", "fileProperty", "fileSet",
          "format", "includes", "isLiveDataset", "jsonPath", "key", "md5", "parentField", "path", "recordSet",
          "references", "regex", "repeated", "replace", "samplingRate", "separator", "source", "subField",
          "transform")  # fmt: skip
_CONTEXT: Mapping[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    **{word: f"cr:{word}" for word in _PLAIN},
}


def evidence_table() -> pd.DataFrame:
    """All results, one row a cell, in the columns `COLUMNS`, sorted; networks made for unit tests are left out."""
    evidence = load_evidence()
    frame = evidence.astype({name: str for name in evidence if name != "value"})
    frame = frame[~frame["weights"].str.startswith(MINIATURES)]
    studies = load_studies()
    source = {
        name: study.repository if study.repository.startswith("http") else study.paper
        for name, study in studies.items()
    }
    licence = {name: study.licence for name, study in studies.items()}
    frame = frame.assign(source=frame["study"].map(source), licence=frame["study"].map(licence))
    order = [name for name in COLUMNS if name != "value"]
    return frame.sort_values(order, ignore_index=True)[list(COLUMNS)]


def export_evidence(folder: str | Path) -> Path:
    """Write the folder, whole or not at all.

    Args:
        folder: made if need be; an earlier export there is replaced, anything else is left alone.

    Returns:
        The folder.

    Raises:
        DataError: the folder holds other files, or is a file.
        OSError: there is no room or no right to write; nothing is left behind.
    """
    folder = Path(folder).resolve()
    if folder.exists():
        held = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
        if not folder.is_dir() or (held and held != {TABLE, CARD, METADATA}):
            what = f"holds '{min(held - {TABLE, METADATA} or held)}'" if folder.is_dir() else "is a file"
            raise DataError(f"'{folder}' {what}; give a folder that is empty, new or an earlier export")
    partial, old = (folder.with_name(f"{folder.name}.{os.getpid()}.{end}") for end in ("part", "old"))
    try:
        for name, content in exported_files().items():
            write_whole(partial / name, content)
        if folder.exists():
            folder.replace(old)
        try:
            partial.replace(folder)
        except OSError:
            if old.exists():
                old.replace(folder)
            raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
    return folder


def exported_files() -> dict[str, bytes]:
    """The files of an export by name."""
    frame = evidence_table()
    table = _parquet(frame)
    card = data_card(frame, describe_studies()).encode()
    metadata = as_json(croissant(frame, table), ensure_ascii=False).encode() + b"\n"
    return {TABLE: table, CARD: card, METADATA: metadata}


def _parquet(frame: pd.DataFrame) -> bytes:
    """Text columns as dictionaries, and nothing about the program that wrote them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    fields = [(name, pa.float64() if name == "value" else pa.string()) for name in frame]
    table = pa.Table.from_pandas(frame, schema=pa.schema(fields), preserve_index=False).replace_schema_metadata(None)
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return bytes(buffer.getvalue())


def newest_source() -> str:
    """Day of the newest commit among the sources, `2026-08-20`: what the data are dated by."""
    days = [day for study in load_studies().values() for day in re.findall(r"\d{4}-\d{2}-\d{2}", study.repository)]
    return str(max(days))


def croissant(frame: pd.DataFrame, table: bytes) -> dict[str, Any]:
    """Croissant metadata of the table.

    Args:
        frame: what `evidence_table` gives.
        table: the same as a file.
    """
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": "fennec-evidence",
        "description": f"{TITLE}: {_sizes(frame)}. Facts and figures only, no images and no weights. "
        "Each row names its source and that source's licence.",
        "license": sorted(frame["licence"].unique()),
        "version": re.match(r"\d+\.\d+\.\d+", __version__)[0],  # type: ignore[index]  # a release always has three parts
        "datePublished": newest_source(),
        "creator": {"@type": "sc:Organization", "name": "Fennec"},
        "citeAs": "; ".join(dict.fromkeys(study.paper for study in load_studies().values() if study.shipped)),
        "keywords": ["computer vision", "transfer learning", "model selection", "benchmark"],
        "distribution": [
            {
                "@type": "cr:FileObject",
                "@id": TABLE,
                "name": TABLE,
                "contentUrl": TABLE,
                "contentSize": f"{len(table)} B",
                "encodingFormat": "application/x-parquet",
                "sha256": hashlib.sha256(table).hexdigest(),
            }
        ],
        "recordSet": [
            {
                "@type": "cr:RecordSet",
                "@id": "results",
                "name": "results",
                "description": "One row a cell: one set of weights on one task in one study.",
                "field": [
                    {
                        "@type": "cr:Field",
                        "@id": f"results/{name}",
                        "name": name,
                        "description": description,
                        "dataType": _TYPES.get(name, "sc:Text"),
                        "source": {"fileObject": {"@id": TABLE}, "extract": {"column": name}},
                    }
                    for name, description in COLUMNS.items()
                ],
            }
        ],
    }


def data_card(frame: pd.DataFrame, studies: pd.DataFrame) -> str:
    """The card: what it is, columns, studies with licences, and what to mind.

    Args:
        frame: what `evidence_table` gives.
        studies: what `describe_studies` gives.
    """
    cells = frame["study"].value_counts()
    papers = {name: study.paper for name, study in load_studies().items()}
    here = studies[studies["study"].isin(cells.index)]
    absent = studies.loc[~studies["study"].isin(cells.index), "study"]
    head = (
        f"---\npretty_name: {TITLE}\nlicense: other\nlicense_name: of-each-source\nlicense_link: README.md\n"
        "task_categories:\n- image-classification\n- image-feature-extraction\n- zero-shot-image-classification\n"
        "tags:\n- transfer-learning\n- model-selection\n- croissant\n"
        f"size_categories:\n- 10K<n<100K\nconfigs:\n- config_name: default\n  data_files: {TABLE}\n---\n"
    )
    rows = "".join(
        f"| {row['study']} | {papers[row['study']]} | {row['protocols']} | {row['models']} | {row['tasks']} "
        f"| {cells[row['study']]} | {row['licence']} | {row['repeats'] or '-'} |\n"
        for row in here.to_dict("records")
    )
    left_out = (
        f"\nNot in the table, because their licence keeps the values out: {', '.join(absent)}.\n" if len(absent) else ""
    )
    return f"""{head}
# {TITLE}

{_sizes(frame)}, put into one vocabulary
by Fennec {__version__}. Newest source: {newest_source()}. Facts and figures only: no images and no weights. Made by
`fennec evidence export`; the same installation makes the same bytes.

```python
import pandas as pd

results = pd.read_parquet("{TABLE}")
table = results.query("study == 'aitlas_arena'").pivot(index="weights", columns="task", values="value")
```

`{METADATA}` describes the table for programs (Croissant 1.0), with its hash.

## Columns

One row a cell. A column of a study is a task, protocol, metric and budget.

| column | what |
| --- | --- |
{"".join(f"| `{name}` | {text} |{chr(10)}" for name, text in COLUMNS.items())}
## What to mind

- Values of different studies, protocols, metrics or budgets are not comparable as they are; ranks within a column are.
- Studies that repeat each other (last column below) hold the same results in whole or in part. To judge a method on a
  study that it has not seen, leave out all that repeat it, and for a task all of its `image_set`.
- Failed runs (at or below chance, or one constant value, where the sources show it) are left out; of several metrics of
  a column one is kept. Most pairs of weights and task were never measured: {100 * _density(frame):.1f} % were.
- Where a study measured the same weights under several names, the best value counts. Networks made for unit tests are
  left out.
- `eval` is ImageNet and its variants, where most weights have seen the training images.

## Studies and licences

Each row keeps the licence of its source. Where none is stated, only facts are given here, and the paper is who to ask.

| study | paper | protocols | models | tasks | results | licence | repeats |
| --- | --- | --- | --- | --- | --- | --- | --- |
{rows}{left_out}"""


def _sizes(frame: pd.DataFrame) -> str:
    return (
        f"{len(frame):,} results of {frame['weights'].nunique():,} sets of weights on {frame['task'].nunique()} tasks "
        f"from {frame['study'].nunique()} studies"
    )


def _density(frame: pd.DataFrame) -> float:
    """Share of pairs of weights and task that have a result."""
    pairs = len(frame.drop_duplicates(["weights", "task"]))
    return pairs / (frame["weights"].nunique() * frame["task"].nunique())
