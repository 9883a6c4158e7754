"""The file of models that the user added: records of the catalog, and vectors of new architectures.

In: `FENNEC_HOME/added_models.json`, written by `checkpoints/add.py`. Out: its entries by model, for the catalog and for
the known architecture vectors.
"""

from __future__ import annotations

import json
from typing import Any

from fennec.errors import ArtifactError
from fennec.settings import home_dir


def read_added() -> dict[str, dict[str, Any]]:
    """Added models by id: the fields of a catalog record, and of a new network its `vector` and `quality`.

    Raises:
        ArtifactError: the file is damaged.
    """
    path = home_dir() / "added_models.json"
    if not path.exists():
        return {}
    try:
        added = json.loads(path.read_text(encoding="utf-8"))
        return {str(model): dict(entry) for model, entry in added.items()}
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise ArtifactError(f"'{path}' is damaged ({error}); remove it and add the models again") from error
