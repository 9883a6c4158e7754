"""A map of all architectures: archi2vec vectors in two dimensions (t-SNE), coloured by family.

    python benchmark/architectures/plot_architectures.py

Writes `architectures.png`.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import matplotlib as mpl
import numpy as np
from sklearn.manifold import TSNE

from fennec.architectures.build import family_of
from fennec.architectures.vectors import load_known_vectors

mpl.use("Agg")
from matplotlib import pyplot as plt

RESULTS = Path(__file__).parents[1] / "results"
N_COLOURS = 12  # families with a colour of their own


def main() -> None:
    """Draw."""
    known = load_known_vectors()
    unit = known.vectors / np.linalg.norm(known.vectors, axis=1, keepdims=True)
    distinct, row = np.unique(unit.round(6), axis=0, return_inverse=True)
    places = TSNE(2, metric="cosine", init="random", random_state=0).fit_transform(distinct)[row.ravel()]
    families = np.array([family_of(name) for name in known.names])
    large = [name for name, _ in Counter(families.tolist()).most_common(N_COLOURS)]
    figure, axes = plt.subplots(figsize=(9, 7), layout="constrained")
    rest = ~np.isin(families, large)
    axes.scatter(*places[rest].T, s=7, c="0.8", label="others")
    colours = plt.get_cmap("tab20").colors
    for index, name in enumerate(large):
        own = families == name
        axes.scatter(*places[own].T, s=16, color=colours[index], marker="osD^"[index % 4], label=name, linewidths=0)
    axes.set(xticks=[], yticks=[], title=f"{len(known.names):,} architectures by archi2vec")
    axes.legend(fontsize=8, ncols=2, frameon=False)
    figure.savefig(RESULTS / "architectures.png", dpi=110)


if __name__ == "__main__":
    main()
