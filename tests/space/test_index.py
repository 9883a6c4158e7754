from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fennec.space.index import ModelIndex, top_k


@given(arrays(float, st.integers(1, 40), elements=st.integers(0, 5).map(float)), st.integers(1, 50))
def test_top_k__ties_and_any_size__like_a_stable_sort(scores: np.ndarray, n: int) -> None:
    np.testing.assert_array_equal(top_k(scores, n), np.argsort(-scores, kind="stable")[:n])


def test_model_index__inverted_file__finds_nearly_all_of_the_exact_top() -> None:
    generator = np.random.default_rng(0)
    vectors = generator.standard_normal((20_000, 16))
    exact, indexed = ModelIndex(vectors), ModelIndex(vectors, exact=False)
    assert exact.is_exact
    assert not indexed.is_exact
    queries = generator.standard_normal((20, 16))
    shared = [len(set(exact.search(query, 10)) & set(indexed.search(query, 10))) for query in queries]
    assert np.mean(shared) >= 9


def test_model_index__more_asked_than_there__all() -> None:
    assert len(ModelIndex(np.eye(3)).search(np.ones(3), 10)) == 3
