"""Statistics of columns, whatever the kind of X, against NumPy's."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy import sparse

from skae import AutoencoderTransformer
from skae._data import chunks as chunks_module
from skae._data.chunks import column_means, column_statistics, count_rows, extremes, pooled
from skae._objectives.baseline import baseline
from skae._objectives.losses import loss_by
from skae._training.fitting import prepare
from skae._training.setup import Mode

KINDS = {"dense": torch.from_numpy, "csr": sparse.csr_matrix, "fortran": lambda X: torch.from_numpy(X.T.copy()).T}


@pytest.fixture(autouse=True)
def _several_chunks(monkeypatch):
    monkeypatch.setattr(chunks_module, "CHUNK_BYTES", 500)


def data(dtype=np.float64):
    return np.random.default_rng(0).poisson(0.7, size=(50, 6)).astype(dtype)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("weighted", [False, True])
def test_column_means(kind, dtype, weighted):
    X = data(dtype)
    weight = np.random.default_rng(1).integers(0, 4, 50).astype(float) if weighted else None
    means = column_means(KINDS[kind](X), None if weight is None else torch.from_numpy(weight))
    assert means.dtype == torch.float64
    expected = np.average(X.astype(float), axis=0, weights=weight)
    assert_allclose(means, expected, rtol=1e-6 if kind == "csr" else 1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shift", [-3.0, 0.0, 2.0])
def test_extremes(kind, shift):
    X = data() + shift
    assert extremes(KINDS[kind](X)) == (X.min(), X.max())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_column_statistics(kind, dtype):
    X = data(dtype) * [1, 2, 3, 4, 5, 0]
    X = X.astype(dtype)
    deviation, lowest, highest, mean = column_statistics(KINDS[kind](X))
    exact = X.astype(float)
    assert_allclose(deviation, exact.std(0), rtol=1e-5)
    assert_allclose(mean, exact.mean(0), rtol=1e-5)
    assert_allclose(lowest, X.min(0), rtol=0)
    assert_allclose(highest, X.max(0), rtol=0)
    assert all(isinstance(column, np.ndarray) for column in (deviation, lowest, highest, mean))


def test_deviations_far_from_zero():
    X = 1e9 + np.random.default_rng(0).normal(size=(500, 2))
    assert_allclose(column_statistics(torch.from_numpy(X))[0], X.std(0), rtol=1e-9)


@pytest.mark.parametrize("gaps", [False, True])
def test_statistics_of_portions_are_pooled(gaps):
    """Also of columns that have no value in the first portion, or in a later one."""
    X = data() + np.array([0, 5, -5, 1e3, 0, 0])
    if gaps:
        X[np.random.default_rng(0).uniform(size=X.shape) < 0.3] = np.nan
        X[:20, 1] = X[20:30, 2] = X[30:, 3] = np.nan
    known, n = None, 0
    for portion in map(torch.from_numpy, (X[:20], X[20:30], X[30:])):
        found, count = column_statistics(portion, gaps), count_rows(portion, gaps)
        known, n = found if known is None else pooled(known, n, found, count), n + count
    for column, expected in zip(known, (np.nanstd, np.nanmin, np.nanmax, np.nanmean), strict=True):
        assert_allclose(column, expected(X, 0), rtol=1e-12)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loss", ["squared_error", "absolute_error"])
def test_csr_rows_are_measured_as_dense_ones_are(loss, weighted, monkeypatch):
    """The unit, and what column means achieve: a squared error needs no dense rows for it."""
    monkeypatch.setattr(chunks_module, "CHUNK_BYTES", 200_000)  # several parts
    X = sparse.random(4000, 300, 0.4, format="csr", random_state=0)
    weight = np.random.default_rng(0).random(4000) if weighted else None
    model = AutoencoderTransformer(2, loss=loss, max_iter=1, init="glorot", dtype="float64", random_state=0)
    found = []
    for rows in (X, X.toarray()):
        setup = prepare(model, rows, Mode.FRESH, sample_weight=weight).setup
        found.append([setup.data.unit, *baseline(loss_by(loss).in_unit(setup.data.target_unit), setup.data)])
    np.testing.assert_allclose(found[0], found[1], rtol=1e-8)
