"""Obvious implementations of the published algorithms, to measure ours against.

In: features (n, d), labels in [0, c), source probabilities, of which each takes what it needs. Out: the score.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import scipy.linalg
import torch
from scipy.special import softmax
from scipy.stats import multivariate_normal, spearmanr
from sklearn.covariance import LedoitWolf


def _posterior(x: np.ndarray, y: np.ndarray, shrinkage: float) -> np.ndarray:
    c, d = y.max() + 1, x.shape[1]
    means = np.stack([x[y == k].mean(0) for k in range(c)])
    priors = np.bincount(y) / len(y)
    within = sum(priors[k] * np.cov(x[y == k].T, ddof=0) for k in range(c))
    total = np.cov(x.T, ddof=0)
    within = (1 - shrinkage) * within + shrinkage * np.trace(within) / d * np.eye(d)
    total = (1 - shrinkage) * total + shrinkage * np.trace(total) / d * np.eye(d)
    _, vectors = scipy.linalg.eigh(total - within, within)
    coefficients = means @ vectors @ vectors.T
    return np.asarray(softmax(x @ coefficients.T - 0.5 * np.diag(means @ coefficients.T) + np.log(priors), axis=1))


def sfda(x: np.ndarray, y: np.ndarray, _: np.ndarray) -> float:
    """Full generalised eigenvectors, twice."""
    shrinkage = 0.1
    trust = softmax(_posterior(x, y, shrinkage), axis=1)[np.arange(len(y)), y][:, None]
    means = np.stack([x[y == k].mean(0) for k in range(y.max() + 1)])
    others = (means.sum(0) - means) / y.max()
    harder = trust * x + (1 - trust) * others[y]
    return float(_posterior(harder, y, shrinkage)[np.arange(len(y)), y].mean())


def disco(x: np.ndarray, y: np.ndarray, _: np.ndarray) -> float:
    """Full singular value decompositions and one density per class and group."""
    from sklearn.decomposition import PCA

    z = PCA(min(128, *x.shape), svd_solver="full").fit_transform(x)
    u, s, v = np.linalg.svd(z, full_matrices=False)
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


def ped(x: np.ndarray, y: np.ndarray, _: np.ndarray) -> float:
    """Six steps with tensors of all pairs of classes, then class means."""
    c = y.max() + 1
    shift, scale = x.mean(0), np.maximum(x.std(0), 1e-3)
    z = (x - shift) / scale
    for _ in range(6):
        means = np.stack([z[y == k].mean(0) for k in range(c)])
        radii = np.array([np.sqrt(z[y == k].var(0).sum()) for k in range(c)])
        gaps = means[:, None] - means[None]
        distance = np.linalg.norm(gaps, axis=2)
        force = np.maximum(0.6 * (radii[:, None] + radii) - distance, 0)
        direction = gaps / np.where(distance > 0, distance, 1)[..., None]
        z = z + (np.minimum(0.005 * force, force)[..., None] * direction).sum(1)[y]
    return ncc(z * scale + shift, y, x)


def logme(x: np.ndarray, y: np.ndarray, _: np.ndarray) -> float:
    """Thin singular value decomposition, one fixed point per class."""
    n, d = x.shape
    u, s, _v = np.linalg.svd(x, full_matrices=False)
    sigma, evidence = s**2, []
    for k in range(y.max() + 1):
        t = (y == k).astype(float)
        a = (u.T @ t) ** 2
        rest, alpha, beta = t @ t - a.sum(), 1.0, 1.0
        for _ in range(11):
            ratio = alpha / beta
            gamma = (sigma / (sigma + ratio)).sum()
            m2, res = (sigma * a / (ratio + sigma) ** 2).sum(), (a / (1 + sigma / ratio) ** 2).sum() + rest
            alpha, beta = gamma / (m2 + 1e-5), (n - gamma) / (res + 1e-5)
            if abs(alpha / beta - ratio) / ratio <= 1e-3:
                break
        evidence.append((d / 2 * np.log(alpha) + n / 2 * np.log(beta) - 0.5 * np.log(alpha + beta * sigma).sum()
                         - (d - len(s)) / 2 * np.log(alpha) - beta / 2 * res - alpha / 2 * m2) / n)  # fmt: skip
    return float(np.mean(evidence) - 0.5 * np.log(2 * np.pi))


def h_score(x: np.ndarray, y: np.ndarray, _: np.ndarray) -> float:
    """Pseudo-inverse of the covariance, covariance of every sample's class mean."""
    between = np.zeros_like(x)
    for k in range(y.max() + 1):
        between[y == k] = x[y == k].mean(0)
    return float(np.trace(np.linalg.pinv(np.cov(x.T), rcond=1e-15) @ np.cov(between.T)))


def regularised_h_score(x: np.ndarray, y: np.ndarray, _: np.ndarray) -> float:
    """scikit-learn's Ledoit-Wolf and an inverse."""
    between = np.zeros_like(x)
    for k in range(y.max() + 1):
        between[y == k] = x[y == k].mean(0)
    model = LedoitWolf().fit(x - x.mean(0))
    return float(np.trace(np.linalg.pinv(model.covariance_) @ np.cov(between.T)) * (1 - model.shrinkage_))


def transrate(x: np.ndarray, y: np.ndarray, _: np.ndarray) -> float:
    """Log determinants over the features."""
    z = x - x.mean(0)
    z = z / np.sqrt((z**2).mean())

    def rate(part: np.ndarray) -> float:
        return 0.5 * float(np.linalg.slogdet(np.eye(x.shape[1]) + part.T @ part / (len(part) * 1e-4))[1])

    return rate(z) - sum((y == k).mean() * rate(z[y == k]) for k in range(y.max() + 1))


def gbc(x: np.ndarray, y: np.ndarray, _: np.ndarray) -> float:
    """A coefficient per pair of classes."""
    from sklearn.decomposition import PCA

    z = PCA(min(64, *x.shape), svd_solver="full").fit_transform(x)
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
    """Correlations of all pairs of (at most 2,000) samples."""
    x, y = x[:2000], y[:2000]
    deviation = x.std(0)
    z = (x - x.mean(0)) / np.where(deviation > 0, deviation, 1)
    pairs = np.triu_indices(len(x), 1)
    unlike = 1 - np.corrcoef(np.eye(y.max() + 1)[y])
    return float(100 * spearmanr((1 - np.corrcoef(z))[pairs], unlike[pairs]).statistic)


def ncc(x: np.ndarray, y: np.ndarray, _: np.ndarray) -> float:
    """A density per class."""
    logits = [-0.5 * ((x - x[y == k].mean(0)) ** 2).sum(1) + np.log((y == k).mean()) for k in range(y.max() + 1)]
    return float(softmax(np.stack(logits, 1), axis=1)[np.arange(len(y)), y].mean())


def knn(x: np.ndarray, y: np.ndarray, _: np.ndarray) -> float:
    """All similarities, sorted whole."""
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    near = unit @ unit.T
    np.fill_diagonal(near, -np.inf)
    right = 0
    for n, order in enumerate(np.argsort(-near, axis=1)[:, :5]):
        votes = np.bincount(y[order], weights=(near[n, order] + 1) / 2, minlength=y.max() + 1)
        right += votes.argmax() == y[n]
    return right / len(y)


def leep(_: np.ndarray, y: np.ndarray, probs: np.ndarray) -> float:
    """The joint table class by class, then sample by sample."""
    joint = np.stack([probs[y == k].sum(0) for k in range(y.max() + 1)]) / len(y)
    conditional = joint / joint.sum(0)
    return float(np.mean([np.log(conditional[label] @ row) for label, row in zip(y, probs, strict=True)]))


def nce(_: np.ndarray, y: np.ndarray, probs: np.ndarray) -> float:
    """Counts of all pairs of label and source class."""
    source, total = probs.argmax(1), 0.0
    for z in range(probs.shape[1]):
        mass = (source == z).sum()
        for k in range(y.max() + 1):
            cell = ((source == z) & (y == k)).sum()
            if cell:
                total += cell / len(y) * np.log(cell / mass)
    return total


def fda(x: np.ndarray, y: np.ndarray, _: np.ndarray) -> float:
    """Full singular value decomposition, full generalised eigenvectors."""
    from sklearn.decomposition import PCA

    z = PCA(min(32, *x.shape), svd_solver="full").fit_transform(x)
    return float(_posterior(z, y, 0.0)[np.arange(len(y)), y].mean())


def etran(x: np.ndarray, y: np.ndarray, _: np.ndarray) -> float:
    """Eigenvectors of the within-class scatter that cancel, and the energy by a full sort."""
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
    """Least squares by singular values of standardised features and labels."""
    z = (x - x.mean(0)) / (x.std(0) + 1e-8)
    targets = np.eye(y.max() + 1)[y]
    targets = (targets - targets.mean(0)) / (targets.std(0) + 1e-8)
    fitted = z @ scipy.linalg.lstsq(z, targets)[0]
    return float(-((fitted - targets) ** 2).sum() / len(y) * targets.shape[1])


def lead(x: np.ndarray, y: np.ndarray, _: np.ndarray) -> float:
    """scikit-learn's support vector machine, and eigenvalues of the tangent kernel from a gradient per sample."""
    from sklearn.model_selection import cross_val_predict
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import LinearSVC

    z, c = StandardScaler().fit_transform(x), int(y.max()) + 1
    margins = cross_val_predict(LinearSVC(), z, y, cv=3, method="decision_function")
    start = softmax(margins, axis=1)[np.arange(len(y)), y]
    scores = []
    for seed in range(3):
        torch.manual_seed(seed)
        widths = (x.shape[1], 1024, 2048, c)
        layers = [torch.nn.Linear(a, b, bias=False, dtype=torch.float64) for a, b in pairwise(widths)]
        head = torch.nn.Sequential(layers[0], torch.nn.ReLU(), layers[1], torch.nn.ReLU(), layers[2])
        rates = []
        for k in range(c):
            gradients = []
            for row in torch.as_tensor(z[y == k][:64]):
                found = torch.autograd.grad(head(row).sum(), list(head.parameters()))
                gradients.append(torch.cat([part.ravel() for part in found]))
            jacobian = torch.stack(gradients)
            rates.append(float(torch.linalg.eigvalsh(jacobian @ jacobian.T).mean()))
        left = np.exp(-np.array(rates))[y]
        scores.append(np.log(np.maximum(1 - left + left * start, 1e-12)).mean())
    return float(np.mean(scores))


def ncti(x: np.ndarray, y: np.ndarray, _: np.ndarray) -> float:
    """Full singular value decomposition, scikit-learn's discriminant, nuclear norms."""
    from sklearn.decomposition import PCA
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    z = PCA(min(64, *x.shape), svd_solver="full").fit_transform(x)
    model = LinearDiscriminantAnalysis().fit(z, y)
    projected, posterior = model.transform(z), model.predict_proba(z)
    within = sum(np.linalg.norm(posterior[y == k], "nuc") for k in range(y.max() + 1))
    simplex = np.linalg.norm(projected - projected.mean(0), "nuc")
    return float(simplex + posterior[np.arange(len(y)), y].mean() - np.log(within))


def linear_probe(x: np.ndarray, y: np.ndarray, _: np.ndarray) -> float:
    """scikit-learn's logistic regression, its strength chosen within every fold."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
    search = GridSearchCV(model, {"logisticregression__C": [0.01, 0.1, 1.0, 10.0]}, cv=3)
    return float(cross_val_score(search, x, y, cv=5).mean())
