from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.utils.estimator_checks import parametrize_with_checks

from fennec.errors import InputError
from fennec.space.factorize import MaskedNMF, MaskedSVD, condition

MEMBERS = [MaskedNMF(3), MaskedSVD(3, ridge=1e-6)]
every = pytest.mark.parametrize("factorizer", MEMBERS, ids=lambda member: type(member).__name__)


def low_rank(seed: int = 0, shape: tuple[int, int] = (30, 12), rank: int = 3) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return generator.uniform(0.1, 1, (shape[0], rank)) @ generator.uniform(0.1, 1, (rank, shape[1]))


@parametrize_with_checks([MaskedNMF(2, max_iter=50), MaskedSVD(2)])
def test_factorizer__scikit_learn_contract(estimator: object, check: object) -> None:
    check(estimator)


@every
def test_factorizer__planted_low_rank__completed(factorizer: MaskedSVD) -> None:
    truth = low_rank()
    hidden = np.random.default_rng(1).random(truth.shape) < 0.15
    seen = np.where(hidden, np.nan, truth)
    factorizer.set_params(max_iter=5000, tol=1e-10).fit(seen)
    completed = factorizer.transform(seen) @ factorizer.components_
    assert np.abs(completed - truth)[hidden].mean() < 0.2 * np.abs(truth - truth.mean(axis=0)).mean()


@every
def test_factorizer__one_row_or_all__same_vectors(factorizer: MaskedSVD) -> None:
    matrix = np.where(np.random.default_rng(2).random((30, 12)) < 0.2, np.nan, low_rank(2))
    factorizer.fit(matrix)
    together = factorizer.transform(matrix)
    alone = np.concatenate([factorizer.transform(matrix[row : row + 1]) for row in range(len(matrix))])
    np.testing.assert_allclose(together, alone, atol=1e-10)


@every
def test_factorizer__fitted_twice__same_result_and_input_unchanged(factorizer: MaskedSVD) -> None:
    matrix = low_rank(3)
    before, state = matrix.copy(), np.random.get_state()[1].copy()  # noqa: NPY002 - the global state is the point
    one = factorizer.fit(matrix).components_.copy()
    two = factorizer.fit(matrix).components_
    np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(matrix, before)
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


@every
@pytest.mark.parametrize("n_known", [4, 30])
def test_fold_in_task__known_cells__recover_the_column(factorizer: MaskedSVD, n_known: int) -> None:
    truth = low_rank(4, (30, 13))
    factorizer.fit(truth[:, :12])
    vectors = factorizer.transform(truth[:, :12])
    column = np.full(30, np.nan)
    column[:n_known] = truth[:n_known, 12]
    folded = vectors @ factorizer.fold_in_task(vectors, column, noise=1e-6)
    prior = vectors @ factorizer.components_.mean(axis=1)
    unknown = slice(4, None)
    assert np.corrcoef(folded[unknown], truth[unknown, 12])[0, 1] > 0.95
    assert np.abs(folded - truth[:, 12])[unknown].mean() < np.abs(prior - truth[:, 12])[unknown].mean()


@every
def test_fold_in_task__nothing_known__prior_mean(factorizer: MaskedSVD) -> None:
    matrix = low_rank(5)
    vectors = factorizer.fit(matrix).transform(matrix)
    np.testing.assert_allclose(
        factorizer.fold_in_task(vectors, np.full(30, np.nan)), factorizer.components_.mean(axis=1)
    )


@every
def test_fold_in_task__wrong_shape__input_error(factorizer: MaskedSVD) -> None:
    matrix = low_rank(6)
    vectors = factorizer.fit(matrix).transform(matrix)
    with pytest.raises(InputError, match="shapes"):
        factorizer.fold_in_task(vectors, np.zeros(3))


def test_masked_svd__complete_matrix__is_the_truncated_svd() -> None:
    matrix = np.random.default_rng(7).standard_normal((20, 8))
    factorizer = MaskedSVD(3, ridge=0.0, max_iter=5000, tol=1e-12).fit(matrix)
    left, values, right = np.linalg.svd(matrix, full_matrices=False)
    expected = left[:, :3] * values[:3] @ right[:3]
    np.testing.assert_allclose(factorizer.transform(matrix) @ factorizer.components_, expected, atol=1e-6)


def test_masked_nmf__complete_matrix__as_good_as_scikit_learn() -> None:
    from sklearn.decomposition import NMF

    matrix = low_rank(8) + 0.05 * np.random.default_rng(8).random((30, 12))
    ours = MaskedNMF(3, max_iter=5000, tol=1e-9).fit(matrix)
    theirs = NMF(3, max_iter=5000, tol=1e-9, init="nndsvda").fit(matrix)
    error = np.linalg.norm(matrix - ours.transform(matrix) @ ours.components_)
    assert (ours.components_ >= 0).all()
    assert error < 1.05 * theirs.reconstruction_err_


def test_condition__scalar__by_hand() -> None:
    mean, covariance, density = condition(
        np.array([1.0]), np.array([[4.0]]), np.array([[1.0]]), np.array([3.0]), noise=4.0
    )
    assert mean[0] == pytest.approx(2.0)
    assert covariance[0, 0] == pytest.approx(2.0)
    assert density == pytest.approx(norm(1.0, np.sqrt(8.0)).logpdf(3.0))
