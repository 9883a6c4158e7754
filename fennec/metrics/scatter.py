"""Class means, scatter and principal components: the linear algebra that the metrics share."""

from __future__ import annotations

from collections.abc import Iterator

import scipy.linalg
import torch
from torch import Tensor

from .contract import Batch, Undefined, one_thread

BLOCK = 1024  # rows taken at a time, so that a large set of features is never copied whole
PANEL = 256  # columns of a symmetric product computed at a time


def class_sums(batch: Batch) -> Tensor:
    """Sum of the features of every class, shape (n_classes, n_features)."""
    sums = torch.zeros(batch.n_classes, batch.x.shape[1], dtype=batch.x.dtype, device=batch.x.device)
    return sums.index_add_(0, batch.y, batch.x)


def class_means(batch: Batch) -> Tensor:
    """Mean features of every class, shape (n_classes, n_features)."""
    return class_sums(batch) / batch.counts[:, None]


def class_variances(batch: Batch, means: Tensor) -> Tensor:
    """Variance of every feature within every class, divisor n, shape (n_classes, n_features)."""
    sums = torch.zeros_like(means)
    for rows, block in centred_blocks(batch.x, means, batch.y):
        sums.index_add_(0, batch.y[rows], block.square_())
    return sums / batch.counts[:, None]


def deviations(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation, divisor n, of every feature, each of shape (n_features,)."""
    mean = x.mean(dim=0)
    squares = torch.zeros_like(mean)
    for _, block in centred_blocks(x, mean):
        squares += block.square_().sum(dim=0)
    return mean, (squares / len(x)).sqrt()


def centred_blocks(x: Tensor, centres: Tensor, y: Tensor | None = None) -> Iterator[tuple[slice, Tensor]]:
    """Blocks of rows, each as a slice and a fresh tensor of the samples less their centre."""
    for start in range(0, len(x), BLOCK):
        rows = slice(start, start + BLOCK)
        yield rows, x[rows] - (centres if y is None else centres[y[rows]])


def gram(x: Tensor) -> Tensor:
    """x'x, shape (n_features, n_features); little more than one of its triangles is computed."""
    n_features = x.shape[1]
    square = torch.empty(n_features, n_features, dtype=x.dtype, device=x.device)
    for start in range(0, n_features, PANEL):
        end = start + PANEL
        torch.mm(x[:, start:end].T, x[:, start:], out=square[start:end, start:])
        square[end:, start:end] = square[start:end, end:].T
    return square


def scatter(x: Tensor, centres: Tensor, y: Tensor | None = None) -> Tensor:
    """Sum of the outer products of samples less a centre, shape (n_features, n_features).

    Args:
        x: shape (n_samples, n_features).
        centres: of all samples, shape (n_features,), or of every class, shape (n_classes, n_features).
        y: the class of every sample, for the latter.
    """
    total = torch.zeros(x.shape[1], x.shape[1], dtype=x.dtype, device=x.device)
    for _, block in centred_blocks(x, centres, y):
        total += gram(block)
    return total


def principal_components(x: Tensor, n_components: int, *, exact: bool = True) -> Tensor:
    """Scores of the leading principal components, largest first, shape (n_samples, n_kept).

    As many as asked for, as there are samples, or as there are features, whichever is least; components
    without variance are zero.

    Args:
        x: shape (n_samples, n_features).
        n_components: how many at most.
        exact: eigenvectors of the smaller Gram matrix; otherwise the rough randomised decomposition that the
            released code of several methods takes (one power iteration, seed 1919), on the CPU.
    """
    kept = min(n_components, *x.shape)
    if not exact:
        from sklearn.decomposition import PCA

        reducer = PCA(kept, svd_solver="randomized", iterated_power=1, random_state=1919)
        return torch.as_tensor(reducer.fit_transform(x.cpu().numpy()), dtype=x.dtype, device=x.device)
    mean = x.mean(dim=0)
    if x.shape[0] >= x.shape[1]:
        _, vectors = _leading(scatter(x, mean), kept)
        return x @ vectors - mean @ vectors
    values, vectors = _leading(gram((x - mean).T), kept)
    return torch.as_tensor(vectors * values.clamp_min(0.0).sqrt())


def gram_basis(x: Tensor) -> tuple[Tensor, Tensor]:
    """Right singular vectors and squared singular values that are not zero up to rounding.

    Args:
        x: shape (n_samples, n_features); transposed, the left ones come back.

    Returns:
        Vectors, shape (n_features, rank), and squared singular values, shape (rank,).
    """
    return spectrum(gram(x), max(x.shape))


def spectrum(square: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Eigenvectors and eigenvalues that are not zero up to the rounding of a product over `size` terms."""
    with one_thread():
        values, vectors = torch.linalg.eigh(square)
    kept = values > values[-1] * size * torch.finfo(square.dtype).eps
    return (vectors, values) if kept.all() else (vectors[:, kept], values[kept])


def regular_factor(square: Tensor, ridge: float, unit: float) -> tuple[Tensor, float]:
    """Cholesky factor of a positive matrix plus a ridge, which grows tenfold until there is a factor.

    Args:
        square: symmetric, shape (size, size); gets the ridge added in place.
        ridge: first value on the diagonal.
        unit: what the ridge is measured by; the first to try after 0 is 1e-10 of it.

    Returns:
        Lower triangle and the ridge in it.

    Raises:
        Undefined: a ridge of a thousandth of the unit is not enough.
    """
    diagonal = square.diagonal()
    diagonal += ridge
    rounding = len(square) * torch.finfo(square.dtype).eps
    while True:
        factor, failed = torch.linalg.cholesky_ex(square)
        # a pivot that is all rounding passes now and then, and makes a direction of noise count most
        if not failed and float(factor.diagonal().min()) ** 2 > rounding * float(diagonal.max()):
            return factor, ridge
        if ridge > 1e-3 * unit:
            raise Undefined("the scatter is singular")
        larger = max(10 * ridge, 1e-10 * unit)
        diagonal += larger - ridge
        ridge = larger


def _leading(square: Tensor, n_kept: int) -> tuple[Tensor, Tensor]:
    """The largest eigenvalues, descending, and their eigenvectors; may overwrite the matrix."""
    size = len(square)
    with one_thread():
        if square.device.type == "cpu" and size >= 4 * n_kept:  # so few do not need all the others
            found = scipy.linalg.eigh(
                square.numpy().T, subset_by_index=(size - n_kept, size - 1), overwrite_a=True, check_finite=False
            )
            values, vectors = (torch.from_numpy(part) for part in found)
        else:
            values, vectors = torch.linalg.eigh(square)
    return values[-n_kept:].flip(0), vectors[:, -n_kept:].flip(1)
