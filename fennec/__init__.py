"""Which pre-trained vision model should I fine-tune on my data?

`load_matrix`, `Recommender`, `embed_task` are the three steps; everything else serves them. Names are
imported when they are first used, so that `import fennec` stays fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0.dev0"

_HOME = {
    "ArchitectureGraph": "graph",
    "Catalog": "catalog",
    "Encoder": "encoders",
    "Explanation": "ranking",
    "FeatureSet": "features",
    "FennecError": "errors",
    "ModelRecord": "catalog",
    "Prediction": "recommender",
    "Proxy": "proxy",
    "Ranking": "ranking",
    "Recommender": "recommender",
    "TaskEmbedding": "task",
    "TransferMatrix": "matrix",
    "embed_task": "task",
    "extract_features": "features",
    "graph_of": "graph",
    "load_catalog": "catalog",
    "load_hubs": "hubs",
    "load_known_embeddings": "embeddings",
    "load_matrix": "hubs",
    "load_tasks": "hubs",
    "open_dataset": "datasets",
    "read_results": "matrix",
    "rerank": "scoring",
    "score_models": "scoring",
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
    "TaskEmbedding",
    "TransferMatrix",
    "__version__",
    "embed_task",
    "extract_features",
    "graph_of",
    "load_catalog",
    "load_hubs",
    "load_known_embeddings",
    "load_matrix",
    "load_tasks",
    "open_dataset",
    "read_results",
    "rerank",
    "score_models",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'fennec' has no attribute '{name}'")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)


def __dir__() -> list[str]:
    return list(__all__)
