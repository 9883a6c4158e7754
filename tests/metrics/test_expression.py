"""Metrics as they are typed: names, options, one around another."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fennec import metrics
from fennec.errors import InputError
from fennec.metrics import METRICS, find_metric, split_metrics


@pytest.fixture
def batch() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    y = np.arange(60) % 3
    return generator.normal(size=(3, 10))[y] + generator.normal(size=(60, 10)), y


@pytest.mark.parametrize(
    ("typed", "called"),
    [
        ("logme", lambda x, y: metrics.logme(x, y)),
        ("sfda()", lambda x, y: metrics.sfda(x, y)),
        ("sfda(pca_dim=4)", lambda x, y: metrics.sfda(x, y, pca_dim=4)),
        (" sfda( pca_dim = 4 ) ", lambda x, y: metrics.sfda(x, y, pca_dim=4)),
        ("fda(pca_dim=None)", lambda x, y: metrics.fda(x, y, pca_dim=None)),
        ("knn(n_neighbors=3, cosine=False)", lambda x, y: metrics.knn(x, y, n_neighbors=3, cosine=False)),
        ("logme(compat='thuml')", lambda x, y: metrics.logme(x, y, compat="thuml")),
        ("ped(sfda(pca_dim=4))", lambda x, y: metrics.ped(metrics.sfda)(x, y, pca_dim=4)),
        ("ped(logme, n_sigma=0.3)", lambda x, y: metrics.ped(metrics.logme, n_sigma=0.3)(x, y)),
        ("ped(logme, stiffness=2)", lambda x, y: metrics.ped(metrics.logme, stiffness=2)(x, y)),
        ("ped(ped(ncc))", lambda x, y: metrics.ped(metrics.ped(metrics.ncc))(x, y)),
    ],
)
def test_find_metric__options__as_if_called_with_them(typed: str, called, batch: tuple) -> None:  # type: ignore[no-untyped-def]
    assert find_metric(typed).function(*batch) == called(*batch)


def test_find_metric__options__takes_and_target_stay() -> None:
    assert find_metric("ens_sfda(ratio=0)").takes == "set"
    assert find_metric("logme_regression(compat='thuml')").target == "targets"


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("sfda(pca=3)", "'sfda' has no option 'pca'; did you mean 'pca_dim'"),
        ("knn(zzz=3)", "'knn' has no option 'zzz'; it has n_neighbors, cosine"),
        ("leep(zzz=3)", "'leep' has no option 'zzz'; it has none"),
        ("knn(device='cuda')", "'knn' has no option 'device'"),
        ("emms(embeddings=[1])", "'emms' has no option 'embeddings'"),
        ("ped(logme, reference=[1])", "'ped' has no option 'reference'"),
        ("ped(logme, metric=1)", "'ped' has no option 'metric'"),
        ("sfda(pca_dim='a')", "pca_dim of 'sfda' is 'a'; expected a whole number or None"),
        ("sfda(pca_dim=3.5)", "pca_dim of 'sfda' is 3.5; expected a whole number or None"),
        ("sfda(pca_dim=True)", "pca_dim of 'sfda' is True; expected a whole number or None"),
        ("sfda(pca_dim=0)", "pca_dim of 'sfda' is 0; expected a finite number of at least 1"),
        ("sfda(pca_dim=-3)", "at least 1"),
        ("lead(time=-1)", "at least 0"),
        ("lead(time=1e999)", "time of 'lead' is inf; expected a finite number"),
        ("knn(cosine=1)", "cosine of 'knn' is 1; expected True or False"),
        ("logme(compat='x')", "compat of 'logme' is 'x'; expected 'thuml' or None"),
        ("sfda(knn)", "only ped is put around another metric"),
        ("ped", "PED composes with metrics of features and labels, such as ped.sfda."),
        ("ped(n_sigma=0.3)", "PED composes"),
        ("ped(etran)", "PED composes"),
        ("ped(logm)", "unknown metric 'logm'; did you mean 'logme'"),
        ("ped(sfda(pca=3))", "'sfda' has no option 'pca'"),
        ("sfda(pca_dim=3, pca_dim=4)", "cannot read the metric"),
        ("sfda(32)", "cannot read the metric"),
        ("ped(sfda, knn)", "cannot read the metric"),
        ("sfda(pca_dim=32", "cannot read the metric"),
        ("knn(n_neighbors=open('x'))", "cannot read the metric"),
        ("knn(n_neighbors=__import__('os').getpid())", "cannot read the metric"),
        ("knn(**{})", "cannot read the metric"),
        ("a.b(c=1)", "cannot read the metric"),
        ("", "cannot read the metric"),
    ],
)
def test_find_metric__unusable__one_line(typed: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        find_metric(typed)
    assert "\n" not in str(caught.value)


def test_find_metric__every_option_with_its_default__accepted() -> None:
    for name, metric in METRICS.items():
        for option, parameter in inspect.signature(metric.function).parameters.items():
            if parameter.kind is inspect.Parameter.KEYWORD_ONLY and option not in ("device", "embeddings"):
                find_metric(f"{name}({option}={parameter.default!r})")


def test_split_metrics__commas_in_brackets__belong_to_the_metric() -> None:
    assert split_metrics("a, ped(b(c=1, d=2), e=3) ,,f") == ["a", "ped(b(c=1, d=2), e=3)", "f"]
    assert split_metrics(" , ") == []
    for text in ("a(b", "a)b(", "a(,", "x,sfda(pca_dim=32))"):
        with pytest.raises(InputError, match="brackets do not match"):
            split_metrics(text)


@given(st.text(max_size=30))
def test_find_metric__any_text__a_metric_or_one_line(text: str) -> None:
    try:
        for part in split_metrics(text):
            find_metric(part)
    except InputError:
        return
