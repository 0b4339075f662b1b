"""What is fitted, drawn and scored does not depend on torch's default dtype and device, which are the user's."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from estimators import (
    CLASSIFIERS,
    DETECTORS,
    EVERY_ESTIMATOR,
    IMPUTERS,
    MISSING,
    SPARSE_OUTPUT,
    TABULAR,
    assert_same,
    classifier,
    configured,
    labels,
    rows,
)
from scipy import sparse
from sklearn.base import clone

from skae import AutoencoderTransformer, TabularVAESampler

OTHERS = {**MISSING, **IMPUTERS, **DETECTORS, **TABULAR, **SPARSE_OUTPUT}
METHODS = (
    *("transform", "reconstruct", "score_samples", "score_features", "expected_values", "predict_proba"),
    *("p_values", "impute"),
)


@pytest.fixture(params=["dtype", "device"])
def in_both(request):
    """What calls a function under two default dtypes, or under the CPU and a device whose tensors hold nothing."""
    before = torch.get_default_dtype()

    def call(function):
        results = []
        for dtype in (torch.float32, torch.float64):
            torch.set_default_dtype(dtype)
            results.append(function())
        return results

    def call_on_devices(function):
        expected = function()
        with torch.device("meta"):
            return [expected, function()]

    yield call if request.param == "dtype" else call_on_devices
    torch.set_default_dtype(before)


def outputs(estimator, X):
    """All that a fitted estimator makes of rows, and draws."""
    found = {name: getattr(estimator, name)(X) for name in METHODS if callable(getattr(estimator, name, None))}
    if hasattr(estimator, "sample"):
        found["sample"] = estimator.sample(7, random_state=0)
    return {name: values.toarray() if sparse.issparse(values) else values for name, values in found.items()}


def assert_equal(pair):
    single, double = pair
    assert single
    assert single.keys() == double.keys()
    for name, values in single.items():
        assert_same(values, double[name])


def missing_where_taken(estimator, X):
    """Rows with missing entries where that is what the estimator is for."""
    if any(estimator is other for other in {**MISSING, **IMPUTERS}.values()):
        X = X.copy()
        X[::7, 1] = np.nan
    return X


@pytest.mark.parametrize(
    "estimator", [*EVERY_ESTIMATOR, *(pytest.param(estimator, id=name) for name, estimator in OTHERS.items())]
)
def test_results_do_not_depend_on_it(estimator, in_both):
    X = missing_where_taken(estimator, rows())
    assert_equal(in_both(lambda: outputs(clone(estimator).fit(X, labels(X)), X)))


def test_draws_of_a_table(in_both):
    r = np.random.default_rng(0)
    X = pd.DataFrame({"a": r.normal(size=60), "b": r.integers(5, size=60), "c": ["u", "v", None] * 20})

    def run():
        model = configured(TabularVAESampler).fit(X)
        drawn = model.impute(X, sample=True, random_state=0), model.sample(20, random_state=0, with_missing=True)
        return pd.concat(drawn)

    pd.testing.assert_frame_equal(*in_both(run), check_exact=True)


def test_portions(in_both):
    """The state of the solver, too."""

    def run():
        model = configured(AutoencoderTransformer)
        for _ in range(3):
            model.partial_fit(rows())
        return outputs(model, rows())

    assert_equal(in_both(run))


def test_sparse_rows(in_both):
    X = sparse.random_array((60, 200), density=0.02, format="csr", rng=0)
    assert_equal(in_both(lambda: outputs(configured(AutoencoderTransformer).fit(X), X)))


def test_semi_supervised_rows_that_are_projected(in_both):
    X = np.random.default_rng(0).normal(size=(60, 1100))
    y = np.where(np.arange(60) % 2, -1, np.arange(60) % 3)
    model = classifier(configured(AutoencoderTransformer, random_state=None), max_iter=2)
    assert_equal(in_both(lambda: outputs(clone(model).fit(X, y), X)))


def test_saved_estimators(in_both):
    """A state that was written under one default is that of a fit under the other."""
    for estimator in (*CLASSIFIERS.values(), configured(AutoencoderTransformer, dtype="float32")):
        model = clone(estimator).set_params(max_iter=2).fit(rows(), labels(rows()))
        assert_equal(in_both(lambda model=model: outputs(pickle.loads(pickle.dumps(model)), rows())))
