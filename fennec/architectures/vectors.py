"""What archi2vec says of the known architectures, stored: vectors and expected quality by name.

In: `data/architecture_vectors.npz`, made by `benchmark/architectures/train_archi2vec.py`. Out: `ArchitectureVectors`;
reading it needs neither torch nor a graph.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fennec.errors import ArtifactError, UnknownModelError, did_you_mean
from fennec.files import read_file, write_whole
from fennec.settings import data_dir
from fennec.typed import Table, check_different, check_tensors

from .added import added_models, read_added

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]
LIMIT = 10**9  # bytes of the file
SCHEMA = {"vectors": Table(("architectures", "components")), "quality": Table(("architectures",))}


@dataclass(frozen=True, eq=False)
class ArchitectureVectors:
    """Architectures as vectors.

    Attributes:
        names: `library:architecture`.
        vectors: shape (n_architectures, n_components).
        quality: what archi2vec expects of each, in standard deviations of ImageNet results (`quality.py`),
            shape (n_architectures,).
    """

    names: tuple[str, ...]
    vectors: Floats
    quality: Floats

    @cached_property
    def position(self) -> dict[str, int]:
        """Row of every name."""
        return {name: row for row, name in enumerate(self.names)}

    @cached_property
    def centred_quality(self) -> dict[str, float]:
        """Quality around its median over the architectures, by name."""
        return dict(zip(self.names, (self.quality - np.median(self.quality)).tolist(), strict=True))

    def find(self, name: str) -> int:
        """Row of an architecture.

        Raises:
            UnknownModelError: there is none of this name; the nearest names are offered.
        """
        if name not in self.position:
            raise UnknownModelError(f"no graph of an architecture '{name}'{did_you_mean(name, self.names)}")
        return self.position[name]

    def nearest(self, vector: Floats, *, n: int = 10, same: bool = True) -> list[tuple[str, float]]:
        """The n architectures most like one, with their cosine similarity, equal networks once.

        Args:
            vector: shape (n_components,).
            n: how many at most.
            same: whether networks with this very vector count.
        """
        unit = self.vectors / np.linalg.norm(self.vectors, axis=1, keepdims=True)
        similarity = unit @ (vector / np.linalg.norm(vector))
        found: dict[bytes, tuple[str, float]] = {}
        for row in np.argsort(-similarity, kind="stable"):
            if same or not np.array_equal(self.vectors[row], vector):
                found.setdefault(self.vectors[row].tobytes(), (self.names[row], float(similarity[row])))
            if len(found) == n:
                break
        return list(found.values())

    def similar(self, name: str, *, n: int = 10) -> pd.DataFrame:
        """The n architectures most like a known one: columns architecture, similarity (cosine) and quality.

        Raises:
            UnknownModelError: there is none of this name.
        """
        import pandas as pd

        found = self.nearest(self.vectors[self.find(name)], n=n, same=False)
        frame = pd.DataFrame(found, columns=["architecture", "similarity"])
        return frame.assign(quality=[self.quality[self.position[other]] for other in frame["architecture"]])

    def save(self, path: str | Path) -> None:
        """Write to a compressed file (to a temporary name, then renamed)."""
        file = io.BytesIO()
        np.savez_compressed(
            file,
            names=np.array(self.names),
            vectors=self.vectors.astype(np.float32),
            quality=self.quality.astype(np.float32),
        )
        write_whole(Path(path), file.getvalue())

    @classmethod
    def load(cls, path: str | Path) -> ArchitectureVectors:
        """Read what `save` wrote.

        Raises:
            ArtifactError: the file is missing or damaged.
        """
        try:
            with np.load(io.BytesIO(read_file(Path(path), limit=LIMIT)), allow_pickle=False) as file:
                found = {name: file[name] for name in file.files}
            names = tuple(map(str, np.atleast_1d(found.pop("names", np.zeros(0)))))
            check_tensors(found, SCHEMA, {"architectures": len(names)})
            check_different(names=names)
        except (OSError, ValueError, ArtifactError, zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise ArtifactError(f"'{path}' holds no architecture vectors ({error})") from error
        return cls(names, found["vectors"].astype(np.float64), found["quality"].astype(np.float64))


@cache
def load_known_vectors() -> ArchitectureVectors:
    """Vectors of the architectures of timm, torchvision and open_clip, and of those that the user added."""
    known = ArchitectureVectors.load(data_dir() / "architecture_vectors.npz")
    new = {entry["backbone"]: entry for entry in read_added().values() if "vector" in entry}
    if not new:
        return known
    for name, entry in new.items():
        if len(entry["vector"]) != known.vectors.shape[1]:
            raise ArtifactError(
                f"'{added_models()}' is damaged (the vector of '{name}' has {len(entry['vector'])} numbers; expected "
                f"{known.vectors.shape[1]}); remove it and add the models again"
            )
    return ArchitectureVectors(
        (*known.names, *new),
        np.concatenate([known.vectors, np.array([entry["vector"] for entry in new.values()], dtype=np.float64)]),
        np.concatenate([known.quality, np.array([entry["quality"] for entry in new.values()], dtype=np.float64)]),
    )
