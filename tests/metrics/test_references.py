"""Every metric against a slow, obvious reference."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp, softmax
from scipy.stats import multivariate_normal, spearmanr
from sklearn.covariance import LedoitWolf
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import BayesianRidge, LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from fennec import metrics
from fennec.errors import InputError
from fennec.metrics.contract import prepare, scored
from fennec.metrics.lead import class_rates
from fennec.metrics.linear_models import fit_linear, folds, predict
from fennec.metrics.ped import push_apart
from tests.metrics.conftest import blobs, source_probs


def reference_posteriors(x: np.ndarray, y: np.ndarray, shrinkage: float) -> np.ndarray:
    """Linear discriminant with an explicit inverse."""
    classes = range(y.max() + 1)
    means = np.stack([x[y == c].mean(0) for c in classes])
    priors = np.array([(y == c).mean() for c in classes])
    within = sum(p * np.cov(x[y == c].T, ddof=0) for c, p in zip(classes, priors, strict=True))
    d = x.shape[1]
    inverse = np.linalg.inv((1 - shrinkage) * within + shrinkage * np.trace(within) / d * np.eye(d))
    logits = np.array([[row @ inverse @ m - 0.5 * m @ inverse @ m for m in means] for row in x]) + np.log(priors)
    return np.asarray(softmax(logits, axis=1))


def reference_sfda(x: np.ndarray, y: np.ndarray) -> float:
    means = np.stack([x[y == c].mean(0) for c in range(y.max() + 1)])
    within = sum((y == c).mean() * np.cov(x[y == c].T, ddof=0) for c in range(y.max() + 1))
    left = within @ np.ones(len(within))
    for _ in range(3):
        right = within @ left / np.linalg.norm(within @ left)
        left = within @ right / np.linalg.norm(within @ right)
    shrinkage = max(np.exp(-5 * left @ within @ right), 1e-10)
    trust = softmax(reference_posteriors(x, y, shrinkage), axis=1)
    harder = np.empty_like(x)
    for n, label in enumerate(y):
        others = np.delete(means, label, axis=0).mean(0)
        harder[n] = trust[n, label] * x[n] + (1 - trust[n, label]) * others
    return float(np.mean(reference_posteriors(harder, y, shrinkage)[np.arange(len(y)), y]))


shapes = st.tuples(st.integers(20, 60), st.integers(2, 12), st.integers(2, 4), st.integers(0, 10_000))


@settings(max_examples=15, deadline=None)
@given(shapes)
def test_sfda__explicit_inverse_and_loops(shape: tuple[int, int, int, int]) -> None:
    n, d, c, seed = shape
    x, y = blobs(n, d, c, seed=seed)
    assert metrics.sfda(x, y) == pytest.approx(reference_sfda(x, y), rel=1e-7)


def test_sfda__fewer_samples_than_features__same_as_the_large_inverse() -> None:
    x, y = blobs(30, 50, 3, seed=2)
    x = 0.2 * x
    assert metrics.sfda(x, y) == pytest.approx(reference_sfda(x, y), rel=1e-6)


@settings(max_examples=15, deadline=None)
@given(shapes)
def test_fda__scikit_learn(shape: tuple[int, int, int, int]) -> None:
    n, d, c, seed = shape
    x, y = blobs(n, d, c, seed=seed)
    expected = LinearDiscriminantAnalysis(solver="lsqr").fit(x, y).predict_proba(x)[np.arange(n), y].mean()
    assert metrics.fda(x, y, pca_dim=None) == pytest.approx(expected, rel=1e-6)


def test_ped__pairwise_loops() -> None:
    x, y = blobs(50, 5, 4, apart=0.5)
    generic = np.random.default_rng(4).standard_normal((80, 5)) * 2 + 1
    shift, scale = generic.mean(0), np.maximum(generic.std(0), 1e-3)
    z, first = (x - shift) / scale, None
    for _ in range(6):
        means = [z[y == c].mean(0) for c in range(4)]
        radii = [np.sqrt(z[y == c].var(0).sum()) for c in range(4)]
        move = np.zeros((4, 5))
        for i in range(4):
            for j in range(4):
                if i != j:
                    gap = np.linalg.norm(means[i] - means[j])
                    force = max(0.6 * (radii[i] + radii[j]) - gap, 0.0)
                    move[i] += min(0.005 * force, force) * (means[i] - means[j]) / gap
        first = np.abs(move).sum() if first is None else first
        if not np.abs(move).sum() / first > 0.5:
            break
        z = z + move[y]
    moved = push_apart(prepare(x, y), torch.as_tensor(generic), n_sigma=0.6).numpy()
    np.testing.assert_allclose(moved, z * scale + shift, rtol=1e-10)
    composed = metrics.ped(metrics.logme, n_sigma=0.6, reference=generic)(x, y)
    assert composed == pytest.approx(metrics.logme(z * scale + shift, y), rel=1e-9)


def test_ped__nothing_overlaps_or_means_coincide__defined() -> None:
    x, y = blobs(40, 4, 2, apart=100.0)
    assert metrics.ped(metrics.ncc)(x, y) == metrics.ncc(x, y)
    twins = np.concatenate([x[:20], x[:20]])
    assert np.isfinite(metrics.ped(metrics.sfda)(twins, np.repeat([0, 1], 20)))


@settings(max_examples=10, deadline=None)
@given(shapes)
def test_disco__explicit_groups(shape: tuple[int, int, int, int]) -> None:
    n, d, c, seed = shape
    x, y = blobs(n, d, c, seed=seed)
    z = PCA(min(128, n, d), svd_solver="full").fit_transform(x)
    u, s, v = np.linalg.svd(z, full_matrices=False)
    width = max(len(s) // 8, 1)
    expected = 0.0
    for start in range(0, min(len(s) - width + 1, 8 * width), width):
        part = (u[:, start : start + width] * s[start : start + width]) @ v[start : start + width]
        logits = np.stack(
            [np.log((y == k).mean()) - 0.5 * ((part - part[y == k].mean(0)) ** 2).sum(1) for k in range(c)], axis=1
        )
        expected += s[start : start + width].sum() / s.sum() * softmax(logits, axis=1)[np.arange(n), y].mean()
    assert metrics.disco(x, y) == pytest.approx(expected, rel=1e-7)


def test_disco__hard_examples__lower_score() -> None:
    x, y = blobs(200, 10, 4)
    assert metrics.disco(x, y, hard_share=0.3) < metrics.disco(x, y)
    assert metrics.disco(x, y, hard_share=1.0) == pytest.approx(metrics.disco(x, y))
    assert "hard_share" in metrics.disco(x, y, hard_share=2.0).reason
    scaled = metrics.disco(5 * x, y, unit_scale=True)
    assert scaled == pytest.approx(metrics.disco(x, y, unit_scale=True), rel=1e-9)


def test_disco_regression__least_squares_per_group() -> None:
    x, _ = blobs(50, 16, 3)
    targets = np.random.default_rng(0).standard_normal((50, 2)) + x[:, :2]
    z = PCA(16, svd_solver="full").fit_transform(x)
    s = np.linalg.norm(z, axis=0)
    centred = targets - targets.mean(0)
    expected = 0.0
    for start in range(0, 16, 2):
        group = z[:, start : start + 2]
        rest = centred - group @ np.linalg.lstsq(group, centred, rcond=None)[0]
        expected -= s[start : start + 2].sum() / s.sum() * (rest**2).mean()
    assert metrics.disco_regression(x, targets) == pytest.approx(expected, rel=1e-9)
    with pytest.raises(InputError, match="targets have 49 rows; expected 50"):
        metrics.disco_regression(x, targets[:49])


@pytest.mark.parametrize(("n", "d"), [(60, 8), (20, 30)])
def test_logme__evidence_of_the_posterior_by_determinants(n: int, d: int) -> None:
    """At the optimum, the evidence of y ~ N(0, X X' / alpha + I / beta)."""
    x, y = blobs(n, d, 3)
    scores = []
    for label in range(3):
        t = (y == label).astype(float)
        grid = [(a, b) for a in np.logspace(-3, 3, 61) for b in np.logspace(-2, 4, 61)]
        values, vectors = np.linalg.eigh(x @ x.T)
        own = (vectors.T @ t) ** 2
        best = max(
            -0.5 * (np.log(values.clip(0) / a + 1 / b) + own / (values.clip(0) / a + 1 / b)).sum()
            - n / 2 * np.log(2 * np.pi)
            for a, b in grid
        )
        scores.append(best / n)
    assert metrics.logme(x, y) == pytest.approx(np.mean(scores), abs=0.02)
    t = (y == 0).astype(float)
    ridge = BayesianRidge(fit_intercept=False, alpha_1=0, alpha_2=0, lambda_1=0, lambda_2=0, tol=1e-9, max_iter=5000)
    ridge.set_params(compute_score=True).fit(x, t)
    assert metrics.logme_regression(x, t) == pytest.approx(ridge.scores_[-1] / n, abs=5e-3)


def test_leep_and_nce__dictionaries_of_counts() -> None:
    x, y = blobs(50, 5, 3)
    probs = source_probs(x)
    joint = np.array([[probs[y == k, z].sum() / 50 for z in range(6)] for k in range(3)])
    conditional = joint / joint.sum(axis=0)
    expected = np.mean([np.log(sum(conditional[y[n], z] * probs[n, z] for z in range(6))) for n in range(50)])
    assert metrics.leep(probs, y) == pytest.approx(expected)
    entropy, hard = 0.0, probs.argmax(1)
    for n in range(50):
        same = hard == hard[n]
        entropy += np.log((y[same] == y[n]).mean()) / 50
    assert metrics.nce(probs, y) == pytest.approx(entropy)
    empty = np.concatenate([probs, np.zeros((50, 2))], axis=1)  # source classes without any mass
    assert metrics.leep(empty, y) == pytest.approx(expected)


def test_nleep__planted_clusters__knows_them() -> None:
    x, y = blobs(150, 4, 3, apart=8.0)
    assert metrics.nleep(x, y) > 0.99
    assert metrics.nleep(x, y, log=True) == pytest.approx(0.0, abs=0.02)


@settings(max_examples=10, deadline=None)
@given(shapes)
def test_h_score__pseudo_inverse_of_full_covariances(shape: tuple[int, int, int, int]) -> None:
    n, d, c, seed = shape
    x, y = blobs(n, d, c, seed=seed)
    expected_means = np.stack([x[y == label].mean(0) for label in y])
    raw = np.trace(np.linalg.pinv(np.cov(x.T)) @ np.cov(expected_means.T))
    assert metrics.h_score(x, y) == pytest.approx(raw, rel=1e-6)
    model = LedoitWolf().fit(x - x.mean(0))
    shrunk = np.trace(np.linalg.inv(model.covariance_) @ np.cov(expected_means.T) * (1 - model.shrinkage_))
    assert metrics.regularised_h_score(x, y) == pytest.approx(shrunk, rel=1e-6)


def test_regularised_h_score__fewer_samples_than_features__full_inverse() -> None:
    x, y = blobs(20, 45, 3)
    model = LedoitWolf().fit(x - x.mean(0))
    means = np.stack([x[y == label].mean(0) for label in y])
    shrunk = np.trace(np.linalg.inv(model.covariance_) @ np.cov(means.T) * (1 - model.shrinkage_))
    assert metrics.regularised_h_score(x, y) == pytest.approx(shrunk, rel=1e-7)


@pytest.mark.parametrize(("n", "d"), [(60, 8), (20, 30)])
def test_transrate__log_determinants(n: int, d: int) -> None:
    x, y = blobs(n, d, 3)
    z = (x - x.mean(0)) / np.sqrt(((x - x.mean(0)) ** 2).mean())

    def rate(part: np.ndarray) -> float:
        return 0.5 * float(np.linalg.slogdet(np.eye(d) + part.T @ part / (len(part) * 1e-4))[1])

    expected = rate(z) - sum((y == c).mean() * rate(z[y == c]) for c in range(3))
    assert metrics.transrate(x, y) == pytest.approx(expected, rel=1e-9)


def test_gbc__overlap_of_normal_densities_by_integration() -> None:
    """The Bhattacharyya coefficient is the integral of the square root of two densities."""
    x, y = blobs(60, 1, 2)
    grid = np.linspace(-15, 15, 20_001)
    densities = [multivariate_normal(x[y == c].mean(), x[y == c].var()).pdf(grid) for c in range(2)]
    coefficient = np.trapezoid(np.sqrt(densities[0] * densities[1]), grid)
    assert metrics.gbc(x, y, pca_dim=None, diagonal=True) == pytest.approx(-2 * coefficient, rel=1e-6)
    assert metrics.gbc(x, y, pca_dim=None) == pytest.approx(-2 * coefficient, rel=1e-6)


def test_parc__spearman_over_all_pairs() -> None:
    x, y = blobs(40, 6, 4)
    pairs = np.triu_indices(40, 1)
    z = (x - x.mean(0)) / x.std(0)
    unlike = y[pairs[0]] != y[pairs[1]]
    expected = 100 * spearmanr((1 - np.corrcoef(z))[pairs], unlike).statistic
    assert metrics.parc(x, y) == pytest.approx(expected, rel=1e-9)
    assert metrics.parc(x, y, max_samples=20) == metrics.parc(x, y, max_samples=20)
    assert "no correlation" in metrics.parc(x[:, :1], y).reason


def test_emms__least_squares_and_simplex_by_search() -> None:
    x, y = blobs(60, 5, 3)
    tables = np.random.default_rng(0).standard_normal((3, 4, 2))
    embeddings = tables[y]
    z = (x - x.mean(0)) / x.std(0)
    e = (embeddings - embeddings.mean(0)) / embeddings.std(0)
    fitted = z @ np.linalg.lstsq(z, e.mean(2), rcond=None)[0]
    free = np.linalg.lstsq(e.reshape(-1, 2), fitted.ravel(), rcond=None)[0]
    candidates = np.linspace(0, 1, 100_001)
    first = candidates[((candidates - free[0]) ** 2 + (1 - candidates - free[1]) ** 2).argmin()]
    mixed = first * e[..., 0] + (1 - first) * e[..., 1]
    expected = -((fitted - mixed) ** 2).sum() / 60 * 4
    assert metrics.emms(x, y, embeddings=embeddings) == pytest.approx(expected, rel=1e-4)
    with pytest.raises(InputError, match="embeddings have shape"):
        metrics.emms(x, y, embeddings=embeddings[:, :, 0])
    wide, labels = blobs(20, 30, 3)
    assert metrics.emms(wide, labels) < -1e-6


def test_knn__scikit_learn_leave_one_out() -> None:
    x, y = blobs(80, 6, 3)
    for metric, cosine in (("cosine", True), ("euclidean", False)):
        right = 0
        for n in range(80):
            rest = np.delete(np.arange(80), n)
            right += KNeighborsClassifier(1, metric=metric).fit(x[rest], y[rest]).predict(x[n : n + 1])[0] == y[n]
        assert metrics.knn(x, y, n_neighbors=1, cosine=cosine) == pytest.approx(right / 80)


def test_ncc__leave_one_out_by_loops_and_densities() -> None:
    x, y = blobs(40, 5, 3)
    right = 0
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    for n in range(40):
        rest = np.arange(40) != n
        centres = np.stack([unit[rest & (y == c)].sum(0) for c in range(3)])
        right += (centres @ unit[n] / np.linalg.norm(centres, axis=1)).argmax() == y[n]
    assert metrics.ncc(x, y, cosine=True) == pytest.approx(right / 40)
    logs = np.stack([multivariate_normal(x[y == c].mean(0)).logpdf(x) + np.log((y == c).mean()) for c in range(3)])
    expected = np.exp(logs[y, np.arange(40)] - logsumexp(logs, axis=0)).mean()
    assert metrics.ncc(x, y) == pytest.approx(expected, rel=1e-9)


def test_linear_probe__scikit_learn_on_the_same_folds() -> None:
    x, y = blobs(90, 6, 3)
    right = 0
    for fit, held in folds(torch.as_tensor(y), 5, random_state=0):
        scaler = StandardScaler().fit(x[fit])
        probe = LogisticRegression(C=0.1, tol=1e-8, max_iter=2000).fit(scaler.transform(x[fit]), y[fit])
        right += (probe.predict(scaler.transform(x[held])) == y[held]).sum()
    assert metrics.linear_probe(x, y, strength=0.1) == pytest.approx(right / 90)
    assert metrics.linear_probe(x, y) >= metrics.linear_probe(x, y, strength=0.01) - 0.1


@pytest.mark.parametrize(("n", "d"), [(80, 5), (30, 60)])
def test_fit_linear__liblinear(n: int, d: int) -> None:
    x, y = blobs(n, d, 3)
    features, labels = torch.as_tensor(x), torch.as_tensor(y)
    weights = fit_linear(features, labels, 3, loss="squared_hinge", strength=1.0)
    machine = LinearSVC(C=1.0, tol=1e-7, max_iter=100_000, dual=n < d).fit(x, y)
    np.testing.assert_allclose(weights[:-1].T, machine.coef_, atol=1e-4)
    np.testing.assert_allclose(weights[-1], machine.intercept_, atol=1e-4)
    again = fit_linear(features, labels, 3, loss="squared_hinge", strength=1.0, start=weights)
    np.testing.assert_allclose(again, weights, atol=1e-4)


@pytest.mark.parametrize(("n", "d"), [(80, 5), (30, 60)])
@pytest.mark.parametrize("strength", [0.1, 10.0])
def test_fit_linear__scikit_learn_logistic(n: int, d: int, strength: float) -> None:
    x, y = blobs(n, d, 3)
    features, labels = torch.as_tensor(x), torch.as_tensor(y)
    model = LogisticRegression(C=strength, tol=1e-9, max_iter=5000).fit(x, y)

    def cost(probs: np.ndarray, weights: np.ndarray) -> float:
        return float(0.5 * (np.asarray(weights) ** 2).sum() - strength * np.log(probs[np.arange(n), y]).sum())

    start = fit_linear(features, labels, 3, loss="cross_entropy", strength=0.01)
    for first in (None, start):
        weights = fit_linear(features, labels, 3, loss="cross_entropy", strength=strength, start=first)
        probs = torch.softmax(predict(features, weights), dim=1).numpy()
        np.testing.assert_allclose(probs, model.predict_proba(x), atol=5e-3)
        assert cost(probs, weights[:-1]) <= (1 + 1e-5) * cost(model.predict_proba(x), model.coef_)


def test_lead__real_optimum__as_with_liblinear(monkeypatch: pytest.MonkeyPatch) -> None:
    def liblinear(x: torch.Tensor, y: torch.Tensor, n_classes: int, **_: object) -> torch.Tensor:
        machine = LinearSVC(C=1.0, tol=1e-7, max_iter=100_000, dual=True).fit(x.numpy(), y.numpy())
        return torch.as_tensor(np.vstack([machine.coef_.T, machine.intercept_]))

    for n, d in ((120, 16), (60, 100)):
        x, y = blobs(n, d, 4, apart=0.5)
        score = metrics.lead(x, y, n_heads=1)
        with monkeypatch.context() as patch:
            patch.setattr(sys.modules["fennec.metrics.lead"], "fit_linear", liblinear)
            assert score == pytest.approx(metrics.lead(x, y, n_heads=1), rel=1e-3)


def test_metric__threads__given_back_and_one_inside() -> None:
    before = torch.get_num_threads()
    seen: list[int] = []

    @scored
    def probe(features: np.ndarray) -> float:
        seen.append(torch.get_num_threads())
        return float(features.sum())

    try:
        torch.set_num_threads(2)
        assert probe(np.ones((4, 4))) == 16.0
        assert probe(np.broadcast_to(1.0, (2**12, 2**10))) == 2.0**22
        assert seen == [1, 2]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@given(st.lists(st.integers(0, 4), min_size=6, max_size=40), st.integers(2, 4))
def test_folds__any_labels__each_sample_once_classes_spread(labels: list[int], n_folds: int) -> None:
    y = torch.as_tensor(np.unique(labels, return_inverse=True)[1])
    held = [part for _, part in folds(y, n_folds, random_state=0)]
    assert sorted(torch.cat(held).tolist()) == list(range(len(y)))
    counts = np.array([np.bincount(y[part], minlength=5) for part in held])
    assert (counts.max(0) - counts.min(0)).max() <= 1


def test_lead__rates_by_automatic_differentiation(monkeypatch: pytest.MonkeyPatch) -> None:
    """The trace of the tangent kernel is the mean squared norm of the gradients of the summed logits."""
    monkeypatch.setattr(sys.modules["fennec.metrics.lead"], "HIDDEN", (7, 9))
    x, y = blobs(12, 5, 2)
    batch = prepare(x, y)
    generator = torch.Generator().manual_seed(3)
    w3, w2, w1 = (
        torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_(True)
        for shape in ((9, 2), (7, 9), (5, 7))
    )
    expected = np.zeros(2)
    for row, label in zip(batch.x, batch.y, strict=True):
        hidden = ((2 / 5) ** 0.5 * row @ w1).clamp_min(0)
        logits = (1 / 9) ** 0.5 * ((2 / 7) ** 0.5 * hidden @ w2).clamp_min(0) @ w3
        gradients = torch.autograd.grad(logits.sum(), (w1, w2, w3))
        expected[label] += sum(float(g.square().sum()) for g in gradients) / 2 / (y == int(label)).sum()
    np.testing.assert_allclose(class_rates(batch, random_state=3), expected, rtol=1e-6)
