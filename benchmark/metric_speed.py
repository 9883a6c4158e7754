"""Time and memory of the metrics against obvious implementations of the published algorithms.

    python benchmark/metric_speed.py [--device cuda] [--seconds 60]

Same features in both, every run in a process of its own, stopped after --seconds. Writes `metric_speed.csv`
(metric, n, d, c, device, ours_s, reference_s, ours_mb, reference_mb): wall-clock seconds of a call after a
warm-up (short ones repeated, their median), megabytes on top of the data; inf where a run was stopped or ran
out of memory, empty where an algorithm is not defined. Sizes already in the file are kept, so a run can be interrupted;
a metric is not run on sizes above one that took it twice --seconds.
"""

from __future__ import annotations

import argparse
import ctypes
import multiprocessing
import resource
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import scipy.linalg
import torch
from scipy.special import softmax
from scipy.stats import multivariate_normal, spearmanr
from sklearn.covariance import LedoitWolf

from fennec import metrics

RESULTS = Path(__file__).parent / "results"
SIZES = [(n, d, c) for n in (500, 5_000, 20_000) for d in (512, 2_048) for c in (10, 100, 400) if n >= c]
REPEAT_S = 0.3  # a call is repeated until it took this long
COLUMNS = ["metric", "n", "d", "c", "device", "ours_s", "reference_s", "ours_mb", "reference_mb"]
Arrays = tuple[np.ndarray, np.ndarray, np.ndarray]


def make(n: int, d: int, c: int) -> Arrays:
    """Rectified features of overlapping classes with a decaying spectrum, labels, source probabilities."""
    generator = np.random.default_rng(0)
    y = generator.permutation(np.arange(n) % c)
    x = generator.standard_normal((c, d))[y] + 2 * generator.standard_normal((n, d))
    x = np.maximum(x * (np.arange(d) + 1.0) ** -0.25, 0.0)
    return x, y, softmax(generator.standard_normal((n, 1000)), axis=1)


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


def reference_sfda(x: np.ndarray, y: np.ndarray, _: np.ndarray) -> float:
    """Full generalised eigenvectors, twice."""
    shrinkage = 0.1
    trust = softmax(_posterior(x, y, shrinkage), axis=1)[np.arange(len(y)), y][:, None]
    means = np.stack([x[y == k].mean(0) for k in range(y.max() + 1)])
    others = (means.sum(0) - means) / y.max()
    harder = trust * x + (1 - trust) * others[y]
    return float(_posterior(harder, y, shrinkage)[np.arange(len(y)), y].mean())


def reference_disco(x: np.ndarray, y: np.ndarray, _: np.ndarray) -> float:
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


def reference_ped(x: np.ndarray, y: np.ndarray, _: np.ndarray) -> float:
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
    return reference_ncc(z * scale + shift, y, x)


def reference_logme(x: np.ndarray, y: np.ndarray, _: np.ndarray) -> float:
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


def reference_h_score(x: np.ndarray, y: np.ndarray, _: np.ndarray) -> float:
    """Pseudo-inverse of the covariance, covariance of every sample's class mean."""
    between = np.zeros_like(x)
    for k in range(y.max() + 1):
        between[y == k] = x[y == k].mean(0)
    return float(np.trace(np.linalg.pinv(np.cov(x.T), rcond=1e-15) @ np.cov(between.T)))


def reference_regularised(x: np.ndarray, y: np.ndarray, _: np.ndarray) -> float:
    """scikit-learn's Ledoit-Wolf and an inverse."""
    between = np.zeros_like(x)
    for k in range(y.max() + 1):
        between[y == k] = x[y == k].mean(0)
    model = LedoitWolf().fit(x - x.mean(0))
    return float(np.trace(np.linalg.pinv(model.covariance_) @ np.cov(between.T)) * (1 - model.shrinkage_))


def reference_transrate(x: np.ndarray, y: np.ndarray, _: np.ndarray) -> float:
    """Log determinants over the features."""
    z = x - x.mean(0)
    z = z / np.sqrt((z**2).mean())

    def rate(part: np.ndarray) -> float:
        return 0.5 * float(np.linalg.slogdet(np.eye(x.shape[1]) + part.T @ part / (len(part) * 1e-4))[1])

    return rate(z) - sum((y == k).mean() * rate(z[y == k]) for k in range(y.max() + 1))


def reference_gbc(x: np.ndarray, y: np.ndarray, _: np.ndarray) -> float:
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


def reference_parc(x: np.ndarray, y: np.ndarray, _: np.ndarray) -> float:
    """Correlations of all pairs of (at most 2,000) samples."""
    x, y = x[:2000], y[:2000]
    deviation = x.std(0)
    z = (x - x.mean(0)) / np.where(deviation > 0, deviation, 1)
    pairs = np.triu_indices(len(x), 1)
    unlike = 1 - np.corrcoef(np.eye(y.max() + 1)[y])
    return float(100 * spearmanr((1 - np.corrcoef(z))[pairs], unlike[pairs]).statistic)


def reference_ncc(x: np.ndarray, y: np.ndarray, _: np.ndarray) -> float:
    """A density per class."""
    logits = [-0.5 * ((x - x[y == k].mean(0)) ** 2).sum(1) + np.log((y == k).mean()) for k in range(y.max() + 1)]
    return float(softmax(np.stack(logits, 1), axis=1)[np.arange(len(y)), y].mean())


def reference_knn(x: np.ndarray, y: np.ndarray, _: np.ndarray) -> float:
    """All similarities, sorted whole."""
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    near = unit @ unit.T
    np.fill_diagonal(near, -np.inf)
    right = 0
    for n, order in enumerate(np.argsort(-near, axis=1)[:, :5]):
        votes = np.bincount(y[order], weights=(near[n, order] + 1) / 2, minlength=y.max() + 1)
        right += votes.argmax() == y[n]
    return right / len(y)


def reference_leep(_: np.ndarray, y: np.ndarray, probs: np.ndarray) -> float:
    """The joint table class by class, then sample by sample."""
    joint = np.stack([probs[y == k].sum(0) for k in range(y.max() + 1)]) / len(y)
    conditional = joint / joint.sum(0)
    return float(np.mean([np.log(conditional[label] @ row) for label, row in zip(y, probs, strict=True)]))


def reference_nce(_: np.ndarray, y: np.ndarray, probs: np.ndarray) -> float:
    """Counts of all pairs of label and source class."""
    source, total = probs.argmax(1), 0.0
    for z in range(probs.shape[1]):
        mass = (source == z).sum()
        for k in range(y.max() + 1):
            cell = ((source == z) & (y == k)).sum()
            if cell:
                total += cell / len(y) * np.log(cell / mass)
    return total


def reference_fda(x: np.ndarray, y: np.ndarray, _: np.ndarray) -> float:
    """Full singular value decomposition, full generalised eigenvectors."""
    from sklearn.decomposition import PCA

    z = PCA(min(32, *x.shape), svd_solver="full").fit_transform(x)
    return float(_posterior(z, y, 0.0)[np.arange(len(y)), y].mean())


def reference_etran(x: np.ndarray, y: np.ndarray, _: np.ndarray) -> float:
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


def reference_emms(x: np.ndarray, y: np.ndarray, _: np.ndarray) -> float:
    """Least squares by singular values of standardised features and labels."""
    z = (x - x.mean(0)) / (x.std(0) + 1e-8)
    targets = np.eye(y.max() + 1)[y]
    targets = (targets - targets.mean(0)) / (targets.std(0) + 1e-8)
    fitted = z @ scipy.linalg.lstsq(z, targets)[0]
    return float(-((fitted - targets) ** 2).sum() / len(y) * targets.shape[1])


def reference_lead(x: np.ndarray, y: np.ndarray, _: np.ndarray) -> float:
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


def reference_ncti(x: np.ndarray, y: np.ndarray, _: np.ndarray) -> float:
    """Full singular value decomposition, scikit-learn's discriminant, nuclear norms."""
    from sklearn.decomposition import PCA
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    z = PCA(min(64, *x.shape), svd_solver="full").fit_transform(x)
    model = LinearDiscriminantAnalysis().fit(z, y)
    projected, posterior = model.transform(z), model.predict_proba(z)
    within = sum(np.linalg.norm(posterior[y == k], "nuc") for k in range(y.max() + 1))
    simplex = np.linalg.norm(projected - projected.mean(0), "nuc")
    return float(simplex + posterior[np.arange(len(y)), y].mean() - np.log(within))


def reference_linear_probe(x: np.ndarray, y: np.ndarray, _: np.ndarray) -> float:
    """scikit-learn's logistic regression, its strength chosen within every fold."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
    search = GridSearchCV(model, {"logisticregression__C": [0.01, 0.1, 1.0, 10.0]}, cv=3)
    return float(cross_val_score(search, x, y, cv=5).mean())


References = Callable[[np.ndarray, np.ndarray, np.ndarray], float]
PAIRS: dict[str, tuple[Callable[..., Any], References]] = {
    "sfda": (lambda x, y, p, **o: metrics.sfda(x, y, **o), reference_sfda),
    "ped(ncc)": (lambda x, y, p, **o: metrics.ped(metrics.ncc)(x, y, **o), reference_ped),
    "disco": (lambda x, y, p, **o: metrics.disco(x, y, **o), reference_disco),
    "logme": (lambda x, y, p, **o: metrics.logme(x, y, **o), reference_logme),
    "h_score": (lambda x, y, p, **o: metrics.h_score(x, y, **o), reference_h_score),
    "regularised_h_score": (lambda x, y, p, **o: metrics.regularised_h_score(x, y, **o), reference_regularised),
    "transrate": (lambda x, y, p, **o: metrics.transrate(x, y, **o), reference_transrate),
    "gbc": (lambda x, y, p, **o: metrics.gbc(x, y, **o), reference_gbc),
    "parc": (lambda x, y, p, **o: metrics.parc(x, y, **o), reference_parc),
    "ncc": (lambda x, y, p, **o: metrics.ncc(x, y, **o), reference_ncc),
    "knn": (lambda x, y, p, **o: metrics.knn(x, y, **o), reference_knn),
    "fda": (lambda x, y, p, **o: metrics.fda(x, y, **o), reference_fda),
    "etran": (lambda x, y, p, **o: metrics.etran([x], y, **o), reference_etran),
    "emms": (lambda x, y, p, **o: metrics.emms(x, y, **o), reference_emms),
    "ncti": (lambda x, y, p, **o: metrics.ncti([x], y, **o), reference_ncti),
    "lead": (lambda x, y, p, **o: metrics.lead(x, y, **o), reference_lead),
    "linear_probe": (lambda x, y, p, **o: metrics.linear_probe(x, y, **o), reference_linear_probe),
    "leep": (lambda x, y, p, **o: metrics.leep(p, y, **o), reference_leep),
    "nce": (lambda x, y, p, **o: metrics.nce(p, y, **o), reference_nce),
}


def _child(pipe: Any, function: Callable[..., Any], size: tuple[int, int, int], device: str) -> None:
    options = {"device": device} if device else {}
    arrays = [make(60, 40, 3), make(*size)]
    if device == "cuda":  # features of a GPU pass are there already
        arrays = [(torch.as_tensor(x).cuda(), y, torch.as_tensor(p).cuda()) for x, y, p in arrays]
    function(*arrays[0], **options)  # loads code and starts threads, which is no part of the algorithm
    used = reset_peak(device)
    pipe.send("ready")
    spent: list[float] = []
    while sum(spent) < REPEAT_S:  # short ones again, for their median
        start = time.perf_counter()
        try:
            function(*arrays[1], **options)
        except (ValueError, np.linalg.LinAlgError):  # a reference that needs more samples of a class
            pipe.send((float("nan"), float("nan")))
            return
        if device == "cuda":
            torch.cuda.synchronize()
        spent.append(time.perf_counter() - start)
    pipe.send((float(np.median(spent)), max(peak(device) - used, 0) / 2**20))


def reset_peak(device: str) -> int:
    """Forget the peak of memory so far; bytes in use now."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    return psutil.Process().memory_info().rss


def peak(device: str) -> int:
    """Most bytes in use since."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measure(
    function: Callable[..., Any], size: tuple[int, int, int], limit: float, device: str = ""
) -> tuple[float, float]:
    """Seconds and megabytes of one call in a fresh process, inf when it was stopped."""
    context = multiprocessing.get_context("spawn" if device == "cuda" else "fork")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(theirs, function, size, device))
    process.start()
    theirs.close()
    try:
        ours.recv()
        result = ours.recv() if ours.poll(limit) else (float("inf"), float("inf"))
    except EOFError:  # killed for its memory
        result = (float("inf"), float("inf"))
    process.kill()
    process.join()
    return result


def too_long(table: pd.DataFrame, name: str, size: tuple[int, int, int], arguments: argparse.Namespace) -> bool:
    """Whether a size that is nowhere larger took more than twice the time of a reference."""
    smaller = (table[["n", "d", "c"]] <= size).all(axis=1)
    own = (table["metric"] == name) & (table["device"] == arguments.device)
    return bool((table.loc[smaller & own, "ours_s"] > 2 * arguments.seconds).any())


def main() -> None:
    """Measure what is missing, small sizes first, and write after each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seconds", type=float, default=60.0)
    arguments = parser.parse_args()
    target = RESULTS / "metric_speed.csv"
    table = pd.read_csv(target) if target.exists() else pd.DataFrame(columns=COLUMNS)
    done = set(zip(table["metric"], table["n"], table["d"], table["c"], table["device"], strict=True))
    for size in sorted(SIZES, key=lambda size: size[0] * size[1] * size[2]):
        for name, (function, reference) in PAIRS.items():
            if (name, *size, arguments.device) in done or too_long(table, name, size, arguments):
                continue
            ours = measure(function, size, 10 * arguments.seconds, "cuda" if arguments.device == "cuda" else "")
            theirs = measure(reference, size, arguments.seconds)
            row = pd.DataFrame(
                [(name, *size, arguments.device, ours[0], theirs[0], ours[1], theirs[1])], columns=COLUMNS
            )
            table = pd.concat([table, row], ignore_index=True) if len(table) else row
            table.round(6).to_csv(target, index=False)
            print(
                name,
                *size,
                f"ours {ours[0]:.3f} s {ours[1]:.0f} MB, reference {theirs[0]:.3f} s {theirs[1]:.0f} MB",
                flush=True,
            )


if __name__ == "__main__":
    main()
