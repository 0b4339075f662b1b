"""Column statistics, results in the caller's kind of array, and the checks of what comes in."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn import config_context

from skae import AutoencoderTransformer
from skae._data import rows as rows_module
from skae._data.arrays import Output, column_means, extremes, to_torch, torch_dtype


def data(dtype=np.float64):
    return np.random.default_rng(0).poisson(0.7, size=(50, 6)).astype(dtype)


KINDS = {"dense": torch.from_numpy, "csr": sparse.csr_matrix, "fortran": lambda X: torch.from_numpy(X.T.copy()).T}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("weighted", [False, True])
def test_column_means(kind, dtype, weighted, monkeypatch):
    monkeypatch.setattr(rows_module, "CHUNK_BYTES", 500)  # several chunks
    X = data(dtype)
    weight = np.random.default_rng(1).integers(0, 4, 50).astype(float) if weighted else None
    means = column_means(KINDS[kind](X), None if weight is None else torch.from_numpy(weight))
    assert means.dtype == torch.float64
    assert_allclose(
        means, np.average(X.astype(float), axis=0, weights=weight), rtol=1e-6 if kind == "csr" else 1e-12
    )


def test_column_means_of_float32_sum_in_float64():
    X = np.full((100_000, 1), 0.1, dtype=np.float32)
    assert_allclose(column_means(torch.from_numpy(X), None), [float(X[0, 0])], rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shift", [-3.0, 0.0, 2.0])
def test_extremes(kind, shift):
    X = data() + shift
    assert extremes(KINDS[kind](X)) == (X.min(), X.max())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_outputs_follow_the_input(dtype):
    X = data(dtype)
    for given, kind in ((X, np.ndarray), (torch.from_numpy(X), torch.Tensor), (sparse.csr_matrix(X), np.ndarray)):
        output = Output(given, (50, 2))
        output.tensor.fill_(3)
        result = output.array()
        assert type(result) is kind
        assert torch_dtype(result) == torch.from_numpy(X).dtype
        assert result.shape == (50, 2)
        assert (result == 3).all()


def test_to_torch_views_memory():
    X = data()
    assert to_torch(X).data_ptr() == X.ctypes.data
    S = sparse.csr_matrix(X)
    assert to_torch(S) is S


@pytest.mark.parametrize("method", ["transform", "reconstruct", "reconstruction_error", "score", "partial_fit"])
def test_the_number_of_features_is_checked(method):
    model = AutoencoderTransformer(2, max_iter=1, tol=None).fit(data())
    with pytest.raises(ValueError, match="X has 5 features, but AutoencoderTransformer is expecting 6"):
        getattr(model, method)(data()[:, :5])


@pytest.mark.parametrize("method", ["transform", "inverse_transform", "reconstruct", "score"])
def test_another_array_namespace_than_fits_is_refused(method):
    model = AutoencoderTransformer(2, max_iter=1, tol=None)
    given = torch.from_numpy(data()[:, :2] if method == "inverse_transform" else data())
    with config_context(array_api_dispatch=True):
        model.fit(data())
        with pytest.raises(ValueError, match="torch"):
            getattr(model, method)(given)


@pytest.mark.parametrize("n_rows", [1, 3])
@pytest.mark.parametrize("chunk", [1, 100])
def test_results_do_not_depend_on_the_chunks(n_rows, chunk, monkeypatch):
    X = np.random.default_rng(0).normal(size=(40, 6))
    model = AutoencoderTransformer(2, max_iter=1, tol=None).fit(X)
    methods = ("transform", "reconstruct", "reconstruction_error", "score_samples", "score")
    whole = [getattr(model, method)(X) for method in methods]
    monkeypatch.setattr(rows_module, "CHUNK_BYTES", chunk * n_rows)
    for method, expected in zip(methods, whole, strict=True):
        assert_allclose(getattr(model, method)(X), expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    "weight",
    [np.full(50, -1.0), np.ones(49), np.full(50, np.nan), np.zeros(50)],
    ids=["negative", "length", "nan", "zero"],
)
def test_weights_that_are_none(weight):
    with pytest.raises(ValueError, match=r"(?i)weight"):
        AutoencoderTransformer(2).fit(data(), sample_weight=weight)
