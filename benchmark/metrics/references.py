"""The metrics as their released code computes them, written anew from the papers and with the tricks of that code.

In: features (n, d), labels in [0, c), source probabilities, of which each takes what it needs. Out: the score. The
first line of every docstring says what is imitated; `machines.py` holds those that train something.
"""

from __future__ import annotations

import numpy as np
import scipy.linalg
from scipy.special import softmax
from scipy.stats import multivariate_normal, spearmanr
from sklearn.covariance import LedoitWolf


def _posterior(x: np.ndarray, y: np.ndarray, shrinkage: float | None) -> tuple[np.ndarray, float]:
    """Discriminant by all generalised eigenvectors, class by class; shrinkage from six products where it is None."""
    c, d = y.max() + 1, x.shape[1]
    means, within, priors = np.zeros((c, d)), np.zeros((d, d)), np.zeros(c)
    for k in range(c):
        own = x[y == k]
        means[k], priors[k] = own.mean(0), len(own) / len(x)
        within += priors[k] * np.atleast_2d(np.cov(own.T, ddof=0))
    total = np.cov(x.T, ddof=0)
    if shrinkage is None:
        left = within @ np.ones(d)
        for _ in range(3):
            right = within @ left
            right /= np.linalg.norm(right)
            left = within @ right
            left /= np.linalg.norm(left)
        shrinkage = max(np.exp(-5 * (left @ within @ right)), 1e-10)
    within = (1 - shrinkage) * within + shrinkage * np.trace(within) / d * np.eye(d)
    total = (1 - shrinkage) * total + shrinkage * np.trace(total) / d * np.eye(d)
    _, vectors = scipy.linalg.eigh(total - within, within)
    coefficients = means @ vectors @ vectors.T
    odds = x @ coefficients.T - 0.5 * np.diag(means @ coefficients.T) + np.log(priors)
    return np.asarray(softmax(odds, axis=1)), shrinkage


def sfda(x: np.ndarray, y: np.ndarray, _: np.ndarray) -> float:
    """Released: scipy's generalised eigenproblem and a covariance per class, twice."""
    posterior, shrinkage = _posterior(x, y, None)
    trust = softmax(posterior, axis=1)[np.arange(len(y)), y][:, None]
    means = np.stack([x[y == k].mean(0) for k in range(y.max() + 1)])
    harder = np.empty_like(x)
    for k in range(len(means)):
        own = y == k
        others = (means.sum(0) - means[k]) / (len(means) - 1)
        harder[own] = trust[own] * x[own] + (1 - trust[own]) * others
    return float(_posterior(harder, y, shrinkage)[0][np.arange(len(y)), y].mean())


def disco(x: np.ndarray, y: np.ndarray, _: np.ndarray) -> float:
    """Released: randomised PCA, full (not thin) singular vectors, scipy's density per class and group."""
    from sklearn.decomposition import PCA

    z = PCA(min(128, *x.shape), svd_solver="randomized", iterated_power=1, random_state=1919).fit_transform(x)
    u, s, v = np.linalg.svd(z)
    width, score = len(s) // 8, 0.0
    for start in range(0, 8 * width, width):
        part = (u[:, start : start + width] * s[start : start + width]) @ v[start : start + width]
        logits = []
        for k in range(y.max() + 1):
            density = multivariate_normal(part[y == k].mean(0), np.eye(part.shape[1]))
            logits.append(density.logpdf(part) + np.log((y == k).mean()))
        ncc = softmax(np.stack(logits, 1), axis=1)[np.arange(len(y)), y].mean()
        score += s[start : start + width].sum() / s.sum() * ncc
    return float(score)


def ped(x: np.ndarray, y: np.ndarray, probs: np.ndarray) -> float:
    """Released: up to six steps with tensors of all pairs of classes and loops over classes, then SFDA."""
    c, first = y.max() + 1, None
    shift, scale = x.mean(0), np.maximum(x.std(0), 1e-3)
    for _ in range(6):
        z = (x - shift) / scale
        means = np.stack([z[y == k].mean(0) for k in range(c)])
        radii = np.array([np.sqrt(z[y == k].var(0).sum()) for k in range(c)])
        gaps = means[:, None] - means[None]
        distance = np.linalg.norm(gaps, axis=2)
        force = np.maximum(0.6 * (radii[:, None] + radii) - distance, 0)
        direction = gaps / np.where(distance > 0, distance, 1)[..., None]
        move = (np.minimum(0.005 * force, force)[..., None] * direction).sum(1)
        first = np.abs(move).sum() if first is None else first
        if not np.abs(move).sum() / first > 0.5:
            break
        for k in range(c):
            z[y == k] += move[k]
        x = z * scale + shift
    return sfda(x, y, probs)


def logme(x: np.ndarray, y: np.ndarray, _: np.ndarray) -> float:
    """Released: truncated decomposition by the smaller Gram matrix, vectorised evidence, its stopping rule."""
    n, d = x.shape
    if n > d:
        values, v = np.linalg.eigh(x.T @ x)
        kept = np.sqrt(values.clip(0)) > 1e-10
        s, v = np.sqrt(values[kept]), v[:, kept]
        u = x @ v / s
    else:
        u, s, _v = np.linalg.svd(x, full_matrices=False)
        u, s = u[:, s > 1e-10], s[s > 1e-10]
    sigma, evidence = s[:, None] ** 2, []
    for k in range(y.max() + 1):
        t = (y == k).astype(float)[:, None]
        a = (u.T @ t) ** 2
        rest, alpha, beta = float((t**2).sum() - a.sum()), 1.0, 1.0
        for _ in range(11):
            ratio = alpha / beta
            gamma = (sigma / (sigma + ratio)).sum()
            m2, res = (sigma * a / (ratio + sigma) ** 2).sum(), (a / (1 + sigma / ratio) ** 2).sum() + rest
            alpha, beta = gamma / (m2 + 1e-5), (n - gamma) / (res + 1e-5)
            if abs(alpha / beta - ratio) / ratio <= 1e-3:
                break
        evidence.append((d / 2 * np.log(alpha) + n / 2 * np.log(beta) - 0.5 * np.log(alpha + beta * sigma).sum()
                         - beta / 2 * res - alpha / 2 * m2) / n)  # fmt: skip
    return float(np.mean(evidence) - 0.5 * np.log(2 * np.pi))


def h_score(x: np.ndarray, y: np.ndarray, _: np.ndarray) -> float:
    """Released: pseudo-inverse of the covariance, covariance of every sample's class mean."""
    between = np.zeros_like(x)
    for k in range(y.max() + 1):
        between[y == k] = x[y == k].mean(0)
    return float(np.trace(np.linalg.pinv(np.cov(x.T), rcond=1e-15) @ np.cov(between.T)))


def regularised_h_score(x: np.ndarray, y: np.ndarray, _: np.ndarray) -> float:
    """Released: scikit-learn's Ledoit-Wolf and a pseudo-inverse."""
    between = np.zeros_like(x)
    for k in range(y.max() + 1):
        between[y == k] = x[y == k].mean(0)
    model = LedoitWolf().fit(x - x.mean(0))
    return float(np.trace(np.linalg.pinv(model.covariance_) @ np.cov(between.T)) * (1 - model.shrinkage_))


def transrate(x: np.ndarray, y: np.ndarray, _: np.ndarray) -> float:
    """Released: a log determinant over the features for every class."""
    z = x - x.mean(0)
    z = z / np.sqrt((z**2).mean())

    def rate(part: np.ndarray) -> float:
        return 0.5 * float(np.linalg.slogdet(np.eye(x.shape[1]) + part.T @ part / (len(part) * 1e-4))[1])

    return rate(z) - sum((y == k).mean() * rate(z[y == k]) for k in range(y.max() + 1))


def gbc(x: np.ndarray, y: np.ndarray, _: np.ndarray) -> float:
    """Released: scikit-learn's PCA with the solver that it chooses, a coefficient per pair of classes."""
    from sklearn.decomposition import PCA

    z = PCA(min(64, *x.shape), random_state=0).fit_transform(x)
    means = [z[y == k].mean(0) for k in range(y.max() + 1)]
    variances = [np.maximum(z[y == k].var(0), 1e-4).mean() for k in range(y.max() + 1)]
    total = 0.0
    for i, (m, v) in enumerate(zip(means, variances, strict=True)):
        for j, (o, w) in enumerate(zip(means, variances, strict=True)):
            if i != j:
                pooled = (v + w) / 2
                distance = ((m - o) ** 2 / pooled).sum() / 8 + 0.5 * np.log(pooled / np.sqrt(v * w))
                total -= np.exp(-distance)
    return float(total)


def parc(x: np.ndarray, y: np.ndarray, _: np.ndarray) -> float:
    """Released: correlations of all pairs of (at most 2,000) samples, scipy's Spearman."""
    x, y = x[:2000], y[:2000]
    deviation = x.std(0)
    z = (x - x.mean(0)) / np.where(deviation > 0, deviation, 1)
    pairs = np.triu_indices(len(x), 1)
    unlike = 1 - np.corrcoef(np.eye(y.max() + 1)[y])
    return float(100 * spearmanr((1 - np.corrcoef(z))[pairs], unlike[pairs]).statistic)


def ncc(x: np.ndarray, y: np.ndarray, _: np.ndarray) -> float:
    """Plain: a density per class."""
    logits = [-0.5 * ((x - x[y == k].mean(0)) ** 2).sum(1) + np.log((y == k).mean()) for k in range(y.max() + 1)]
    return float(softmax(np.stack(logits, 1), axis=1)[np.arange(len(y)), y].mean())


def knn(x: np.ndarray, y: np.ndarray, _: np.ndarray) -> float:
    """Stock: scikit-learn's brute-force neighbours by cosine, a vote per sample."""
    from sklearn.neighbors import NearestNeighbors

    distance, order = NearestNeighbors(n_neighbors=6, metric="cosine", algorithm="brute").fit(x).kneighbors(x)
    votes = np.zeros((len(y), y.max() + 1))
    np.add.at(votes, (np.arange(len(y))[:, None], y[order[:, 1:]]), 1 - distance[:, 1:] / 2)
    return float((votes.argmax(1) == y).mean())


def leep(_: np.ndarray, y: np.ndarray, probs: np.ndarray) -> float:
    """Released: the joint table class by class, then one product for all samples."""
    joint = np.stack([probs[y == k].sum(0) for k in range(y.max() + 1)]) / len(y)
    expected = probs @ (joint / joint.sum(0)).T
    return float(np.log(expected[np.arange(len(y)), y]).mean())


def nce(_: np.ndarray, y: np.ndarray, probs: np.ndarray) -> float:
    """Released: counts of all pairs of label and source class, sample by sample."""
    joint = np.zeros((y.max() + 1, probs.shape[1]))
    for label, source in zip(y, probs.argmax(1), strict=True):
        joint[label, source] += 1 / len(y)
    joint = joint[:, joint.sum(0) > 0]
    return float((joint * np.log(joint / joint.sum(0) + 1e-20)).sum())


def fda(x: np.ndarray, y: np.ndarray, _: np.ndarray) -> float:
    """Released: randomised PCA of one power iteration, all generalised eigenvectors."""
    from sklearn.decomposition import PCA

    z = PCA(min(32, *x.shape), svd_solver="randomized", iterated_power=1, random_state=1919).fit_transform(x)
    return float(_posterior(z, y, 0.0)[0][np.arange(len(y)), y].mean())


def etran(x: np.ndarray, y: np.ndarray, _: np.ndarray) -> float:
    """Released: eigenvectors of the within-class scatter that cancel, energy by a full sort."""
    c = y.max() + 1
    means = np.stack([x[y == k].mean(0) for k in range(c)])
    within = sum((y == k).mean() * np.cov(x[y == k].T, ddof=0) for k in range(c))
    _, vectors = np.linalg.eigh(within)
    coefficients = means @ vectors @ vectors.T
    logits = x @ coefficients.T - 0.5 * np.diag(means @ coefficients.T) + np.log(np.bincount(y) / len(y))
    posterior = softmax(logits, axis=1)[np.arange(len(y)), y].mean()
    energy = np.sort(np.log(np.exp(x - x.max()).sum(1)) + x.max())
    return float(posterior + energy[: max(len(y) // 200, 1)].mean())


def emms(x: np.ndarray, y: np.ndarray, _: np.ndarray) -> float:
    """Released: least squares by singular values of standardised features and labels."""
    z = (x - x.mean(0)) / (x.std(0) + 1e-8)
    targets = np.eye(y.max() + 1)[y]
    targets = (targets - targets.mean(0)) / (targets.std(0) + 1e-8)
    fitted = z @ scipy.linalg.lstsq(z, targets)[0]
    return float(-((fitted - targets) ** 2).sum() / len(y) * targets.shape[1])
