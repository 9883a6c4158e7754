"""Which pre-trained vision model should I fine-tune on my data?

`load_matrix`, `Recommender`, `embed_task` are the three steps; everything else serves them. Names are
imported when they are first used, so that `import fennec` stays fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0.dev0"

_HOME = {
    "ArchitectureGraph": "architectures.graph",
    "Catalog": "checkpoints.catalog",
    "Encoder": "checkpoints.encoders",
    "Explanation": "space.shortlist",
    "FeatureSet": "forward.features",
    "FennecError": "errors",
    "ModelRecord": "checkpoints.catalog",
    "Prediction": "space.transfer_space",
    "Proxy": "tasks.proxy",
    "Ranking": "space.ranking",
    "Recommender": "space.recommender",
    "TaskDescription": "tasks.words",
    "TaskEmbedding": "tasks.embedding",
    "TransferMatrix": "evidence.matrix",
    "describe_task": "tasks.words",
    "embed_task": "tasks.embedding",
    "extract_features": "forward.features",
    "graph_of": "architectures.graph",
    "load_catalog": "checkpoints.catalog",
    "load_evidence": "evidence.studies",
    "load_hubs": "evidence.hubs",
    "load_known_embeddings": "tasks.embedding_files",
    "load_matrix": "evidence.hubs",
    "load_studies": "evidence.studies",
    "load_tasks": "evidence.studies",
    "open_dataset": "images.open",
    "open_pictures": "images.open",
    "read_results": "evidence.matrix",
    "rerank": "forward.scoring",
    "score_models": "forward.scoring",
    "search": "trials.loop",
}

__all__ = [
    "ArchitectureGraph",
    "Catalog",
    "Encoder",
    "Explanation",
    "FeatureSet",
    "FennecError",
    "ModelRecord",
    "Prediction",
    "Proxy",
    "Ranking",
    "Recommender",
    "TaskDescription",
    "TaskEmbedding",
    "TransferMatrix",
    "__version__",
    "describe_task",
    "embed_task",
    "extract_features",
    "graph_of",
    "load_catalog",
    "load_evidence",
    "load_hubs",
    "load_known_embeddings",
    "load_matrix",
    "load_studies",
    "load_tasks",
    "open_dataset",
    "open_pictures",
    "read_results",
    "rerank",
    "score_models",
    "search",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'fennec' has no attribute '{name}'")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)


def __dir__() -> list[str]:
    return list(__all__)
