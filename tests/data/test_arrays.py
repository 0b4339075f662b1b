"""Results in the caller's kind of array, and the checks of what comes in."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn import config_context

from skae import AutoencoderTransformer
from skae._data.arrays import Output, as_tensor, to_torch, torch_dtype


def data(dtype=np.float64):
    return np.random.default_rng(0).poisson(0.7, size=(50, 6)).astype(dtype)


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


def test_views_of_read_only_memory_leave_it_so():
    X = data()
    X.setflags(write=False)
    tensor = as_tensor(X)
    assert tensor.data_ptr() == X.ctypes.data
    assert_allclose(tensor, X, rtol=0)
    assert not X.flags.writeable


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


@pytest.mark.parametrize(
    "weight",
    [np.full(50, -1.0), np.ones(49), np.full(50, np.nan), np.zeros(50)],
    ids=["negative", "length", "nan", "zero"],
)
def test_weights_that_are_none(weight):
    with pytest.raises(ValueError, match=r"(?i)weight"):
        AutoencoderTransformer(2).fit(data(), sample_weight=weight)
