"""Metrics that train something, as stock libraries or released code do it: the other half of `references.py`.

In: features (n, d), labels in [0, c). Out: the score. The first line of every docstring says what is imitated.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from scipy.special import softmax


def lead(x: np.ndarray, y: np.ndarray, _: np.ndarray) -> float:
    """Stock: scikit-learn's LinearSVC (liblinear); eigenvalues of the tangent kernel from a gradient per sample."""
    from sklearn.model_selection import cross_val_predict
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import LinearSVC

    z, c = StandardScaler().fit_transform(x), int(y.max()) + 1
    margins = cross_val_predict(LinearSVC(dual="auto"), z, y, cv=3, method="decision_function")
    start = softmax(margins, axis=1)[np.arange(len(y)), y]
    scores = []
    for seed in range(3):
        torch.manual_seed(seed)
        widths = (x.shape[1], 1024, 2048, c)
        layers = [torch.nn.Linear(a, b, bias=False, dtype=torch.float32) for a, b in pairwise(widths)]
        head = torch.nn.Sequential(layers[0], torch.nn.ReLU(), layers[1], torch.nn.ReLU(), layers[2])
        rates = []
        for k in range(c):
            gradients = []
            for row in torch.as_tensor(z[y == k][:64], dtype=torch.float32):
                found = torch.autograd.grad(head(row).sum(), list(head.parameters()))
                gradients.append(torch.cat([part.ravel() for part in found]))
            jacobian = torch.stack(gradients)
            rates.append(float(torch.linalg.eigvalsh(jacobian @ jacobian.T).mean()))
        left = np.exp(-np.array(rates))[y]
        scores.append(np.log(np.maximum(1 - left + left * start, 1e-12)).mean())
    return float(np.mean(scores))


def ncti(x: np.ndarray, y: np.ndarray, _: np.ndarray) -> float:
    """Released: scikit-learn's PCA with the solver that it chooses and its discriminant, nuclear norms."""
    from sklearn.decomposition import PCA
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    z = PCA(min(64, *x.shape), random_state=0).fit_transform(x)
    model = LinearDiscriminantAnalysis().fit(z, y)
    projected, posterior = model.transform(z), model.predict_proba(z)
    within = sum(np.linalg.norm(posterior[y == k], "nuc") for k in range(y.max() + 1))
    simplex = np.linalg.norm(projected - projected.mean(0), "nuc")
    return float(simplex + posterior[np.arange(len(y)), y].mean() - np.log(within))


def linear_probe(x: np.ndarray, y: np.ndarray, _: np.ndarray) -> float:
    """Stock: scikit-learn's logistic regression (L-BFGS), its strength chosen within every fold."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
    search = GridSearchCV(model, {"logisticregression__C": [0.01, 0.1, 1.0, 10.0]}, cv=3)
    return float(cross_val_score(search, x, y, cv=5).mean())
