"""What archi2vec says of the known architectures, stored: vectors and expected quality by name.

In: `data/architecture_vectors.npz`, made by `benchmark/architectures/train_archi2vec.py`. Out: `ArchitectureVectors`;
reading it needs neither torch nor a graph.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fennec.errors import ArtifactError, UnknownModelError, did_you_mean
from fennec.settings import data_dir

from .added import read_added

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]


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
        target = Path(path)
        partial = target.with_name(target.name + ".part")
        with partial.open("wb") as file:
            np.savez_compressed(
                file,
                names=np.array(self.names),
                vectors=self.vectors.astype(np.float32),
                quality=self.quality.astype(np.float32),
            )
        partial.replace(target)

    @classmethod
    def load(cls, path: str | Path) -> ArchitectureVectors:
        """Read what `save` wrote.

        Raises:
            ArtifactError: the file is missing or damaged.
        """
        try:
            with Path(path).open("rb") as raw, np.load(raw, allow_pickle=False) as file:
                names, vectors, quality = file["names"].tolist(), file["vectors"], file["quality"]
        except (OSError, ValueError, KeyError, zipfile.BadZipFile, EOFError) as error:
            raise ArtifactError(f"'{path}' holds no architecture vectors ({error})") from error
        return cls(tuple(names), vectors.astype(np.float64), quality.astype(np.float64))


@cache
def load_known_vectors() -> ArchitectureVectors:
    """Vectors of the architectures of timm, torchvision and open_clip, and of those that the user added."""
    known = ArchitectureVectors.load(data_dir() / "architecture_vectors.npz")
    new = {entry["backbone"]: entry for entry in read_added().values() if "vector" in entry}
    if not new:
        return known
    return ArchitectureVectors(
        (*known.names, *new),
        np.concatenate([known.vectors, np.array([entry["vector"] for entry in new.values()], dtype=np.float64)]),
        np.concatenate([known.quality, np.array([entry["quality"] for entry in new.values()], dtype=np.float64)]),
    )
