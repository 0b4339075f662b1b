"""Frames asked for by `set_output` or the global configuration change what comes out, never what is computed."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from estimators import (
    CLASSIFIERS,
    CONFIGURATIONS,
    DETECTORS,
    IMPUTERS,
    MISSING,
    TABULAR,
    assert_same,
    configured,
    detector,
    labels,
    rows,
)
from sklearn import config_context
from sklearn.base import clone

from skae import AutoencoderTransformer, TabularVAESampler
from skae.inspection import LatentDisplay, OutlierDisplay

METHODS = (
    *("transform", "reconstruct", "score_samples", "score_features", "expected_values", "predict_proba"),
    *("p_values", "impute", "denoise", "reconstruction_error"),
)
SOME = ("default", "denoising", "stacked", "vae", "hasher", "adversarial", "sparse_topk")
CASES = {
    **{name: CONFIGURATIONS[name] for name in SOME},
    "classifier": clone(CLASSIFIERS["classifier"]).set_params(max_iter=2),
    "missing": MISSING["vae_missing"],
    **IMPUTERS,
    **DETECTORS,
    **TABULAR,
}
kinds = pytest.mark.parametrize("kind", ["pandas", "polars"])


def table():
    """Numbers, categories and holes, with an index of its own."""
    r = np.random.default_rng(0)
    X = pd.DataFrame({"a": r.normal(size=60), "b": r.integers(5, size=60), "c": ["u", "v", None] * 20})
    return X.set_index(np.arange(60) + 100)


def outputs(estimator, X):
    """What a fitted estimator makes of rows, draws and decodes, as arrays."""
    found = {name: getattr(estimator, name)(X) for name in METHODS if callable(getattr(estimator, name, None))}
    if hasattr(estimator, "sample"):
        found["sample"] = estimator.sample(7, random_state=0)
    if hasattr(estimator, "inverse_transform"):
        Z = np.ascontiguousarray(found["transform"])  # the order of a frame's numbers would round otherwise
        found["inverse_transform"] = estimator.inverse_transform(Z)
    return {name: np.asarray(values) for name, values in found.items()}


@kinds
@pytest.mark.parametrize("estimator", [pytest.param(estimator, id=name) for name, estimator in CASES.items()])
def test_global_configuration(estimator, kind):
    X = pd.DataFrame(rows(), columns=list("abcde"))
    plain = outputs(clone(estimator).fit(X, labels(X)), X)
    with config_context(transform_output=kind):
        framed = outputs(clone(estimator).fit(X, labels(X)), X)
    assert plain.keys() == framed.keys()
    for name, values in plain.items():
        assert_same(framed[name], values)


@kinds
@pytest.mark.parametrize("container", [pd.DataFrame, pl.DataFrame])
def test_tables(container, kind):
    X = table() if container is pd.DataFrame else pl.from_pandas(table())
    plain = configured(TabularVAESampler).fit(X)
    with config_context(transform_output=kind):
        sampler = configured(TabularVAESampler).fit(X)
        Z = sampler.transform(X)
        assert type(Z) is type(pd.DataFrame() if kind == "pandas" else pl.DataFrame())
        assert list(Z.columns) == ["tabularvaesampler0", "tabularvaesampler1"]
        decoded, drawn = sampler.inverse_transform(np.ascontiguousarray(Z)), sampler.sample(5, random_state=0)
        LatentDisplay.from_estimator(sampler, X, n_points=None)
        OutlierDisplay.from_estimator(detector(configured(TabularVAESampler, random_state=None)).fit(X), X)
    assert_same(np.asarray(Z), plain.transform(X))
    assert type(decoded) is type(drawn) is container
    assert decoded.equals(plain.inverse_transform(plain.transform(X)))
    assert drawn.equals(plain.sample(5, random_state=0))


def test_index_and_own_setting():
    X = table()
    sampler = configured(TabularVAESampler).fit(X)
    with config_context(transform_output="pandas"):
        assert sampler.transform(X).index.equals(X.index)
        sampler.set_output(transform="default")
        assert type(sampler.transform(X)) is np.ndarray
    sampler.vae_.set_output(transform="polars")  # as users may, of what is theirs to look at
    decoded = sampler.inverse_transform(sampler.transform(X))
    assert list(decoded.columns) == ["a", "b", "c"]


@kinds
def test_members_that_return_frames(kind):
    """Numbers of frames may be read-only."""
    X = pd.DataFrame(rows(), columns=list("abcde"))
    member = configured(AutoencoderTransformer, random_state=None)
    plain = detector(member).fit(X)
    framed = detector(clone(member).set_output(transform=kind)).fit(X)
    OutlierDisplay.from_estimator(framed, X)
    for name in ("expected_values", "score_features", "score_samples"):
        assert_same(getattr(framed, name)(X), getattr(plain, name)(X))
    with config_context(transform_output=kind):
        assert_same(plain.expected_values(X), framed.expected_values(X))
