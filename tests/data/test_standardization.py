"""Standardized rows against scikit-learn's, and rows as if they had not been measured."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn.preprocessing import StandardScaler

from skae._data.standardization import Standardization


def table(n_rows=30):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_rows, 5)) * [1, 1e6, 1e-6, 1, 1] + [1e9, 0, 3, 0, 0]
    X[:, 3], X[:, 4] = -0.1, 0.0
    return X


def test_in_units_of_the_deviation():
    X = table()
    standardization = Standardization.measure(X)
    assert_allclose(standardization(X)[:, :3], StandardScaler().fit_transform(X[:, :3]), rtol=1e-5, atol=1e-6)
    assert_allclose(standardization(X)[:, 3:], 0, atol=1e-12)
    assert_allclose(standardization.scale[3:], [1e-5, 1.0])  # constant columns: a share of their value, or one
    assert standardization(X).dtype == np.float32


def test_sparse_rows_stay_sparse():
    X = sparse.random_array((40, 6), density=0.3, rng=0, format="csr")
    standardization = Standardization.measure(X)
    scaled = standardization(X)
    assert sparse.issparse(scaled)
    assert scaled.nnz == X.nnz
    assert_allclose(scaled.toarray(), X.toarray() / X.toarray().std(0), rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_rows_as_new_ones(dtype):
    """Each is where a new row is that the standardization of the others takes to the same place."""
    X = table().astype(dtype)
    X[:, 1] = 0
    X[3, 1], X[:2, 4] = 7, 1  # a column that only row 3 makes vary, and one of two ones
    whole = Standardization.measure(X)
    found = (whole.as_new(torch.from_numpy(X)).numpy() - whole.mean) / whole.scale
    for i in range(len(X)):
        others = Standardization.measure(np.delete(X, i, 0))
        expected = (X[i] - others.mean) / others.scale
        assert_allclose(found[i], expected, rtol=1e-4, atol=1e-6)
