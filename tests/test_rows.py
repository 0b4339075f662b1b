"""Rows on their way into the networks: right values, whatever their kind, and never all of them dense."""

import tracemalloc

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy import sparse

from skae import AutoencoderTransformer
from skae._data import rows as rows_module
from skae._data.rows import CHUNK_BYTES, Rows, as_tensor, slices

CPU = torch.device("cpu")


@pytest.mark.parametrize("n_rows", [0, 1, 7, 1000])
@pytest.mark.parametrize("row_bytes", [1, 8, CHUNK_BYTES // 3, CHUNK_BYTES, 5 * CHUNK_BYTES])
def test_chunks_cover_all_rows_and_are_bounded_in_bytes(n_rows, row_bytes):
    covered = []
    for part in slices(n_rows, row_bytes):
        size = part.stop - part.start
        assert size >= 1
        assert size * row_bytes <= max(CHUNK_BYTES, row_bytes)
        covered += range(part.start, part.stop)
    assert covered == list(range(n_rows))


def data(dtype):
    return np.random.default_rng(0).poisson(0.7, size=(50, 6)).astype(dtype)


@pytest.mark.parametrize("small", [True, False], ids=["prepared", "gathered"])
@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("is_sparse", [False, True])
@pytest.mark.parametrize("given", [np.float32, np.float64])
@pytest.mark.parametrize("wanted", [torch.float32, torch.float64])
def test_gather(given, wanted, is_sparse, centred, small, monkeypatch):
    if not small:
        monkeypatch.setattr(rows_module, "SMALL_BYTES", 0)
    X = data(given)
    offset = torch.linspace(-1, 1, 6, dtype=torch.float64).to(torch.from_numpy(X).dtype) if centred else None
    rows = Rows(sparse.csr_matrix(X) if is_sparse else torch.from_numpy(X), offset, wanted, CPU)
    expected = X - offset.numpy() if centred else X
    tolerance = 1e-6 if wanted == torch.float32 else 1e-12
    for index in ([3], [5, 5, 0], list(range(49, -1, -1))):
        wide = torch.full((len(index), 16), 7.0, dtype=wanted)
        rows.gather(torch.tensor(index), out=wide[:, :6])
        assert_allclose(wide[:, :6], expected[index], rtol=tolerance)
        assert (wide[:, 6:] == 7).all()
    assert rows[10:20].dtype == wanted
    assert_allclose(rows[10:20], expected[10:20], rtol=tolerance)
    assert_allclose(X, data(given), rtol=0)


@pytest.mark.parametrize("small", [True, False], ids=["prepared", "gathered"])
@pytest.mark.parametrize("wanted", [torch.float32, torch.float64])
def test_bfloat16_batches(wanted, small, monkeypatch):
    """In mixed precision the buffers are bfloat16 beside rows of float32."""
    if not small:
        monkeypatch.setattr(rows_module, "SMALL_BYTES", 0)
    X = data(np.float64)
    out = torch.empty(50, 6, dtype=torch.bfloat16)
    Rows(torch.from_numpy(X), torch.full((6,), 0.5, dtype=torch.float64), wanted, CPU).gather(
        torch.arange(50), out
    )
    assert_allclose(out.double(), X - 0.5, rtol=1e-2)


def test_the_offset_is_subtracted_before_the_cast(monkeypatch):
    """1e9 + N(0, 1) has no information left in float32; in float64 it has all."""
    X = 1e9 + np.random.default_rng(0).normal(size=(1000, 3))
    offset = torch.from_numpy(X.mean(0))
    for small_bytes in (0, 1 << 22):
        monkeypatch.setattr(rows_module, "SMALL_BYTES", small_bytes)
        out = torch.empty(1000, 3)
        Rows(torch.from_numpy(X), offset, torch.float32, CPU).gather(torch.arange(1000), out)
        assert_allclose(out, X - X.mean(0), atol=1e-6)


@pytest.mark.parametrize("dtype", ["auto", "float32", "float64", "bfloat16"])
def test_a_column_far_from_zero_survives(dtype):
    """Three columns from two factors: two codes restore them, though their mean is a billion."""
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(300, 2)) @ rng.normal(size=(2, 3))
    settings = {"hidden_layer_sizes": (), "learning_rate": 0.02, "max_iter": 100, "tol": None, "random_state": 0}
    model = AutoencoderTransformer(2, dtype=dtype, **settings).fit(1e9 + noise)
    assert model.score(1e9 + noise) > 0.99
    reference = AutoencoderTransformer(2, dtype=dtype, **settings).fit(noise)
    tolerance = {"bfloat16": 0.2, "float32": 1e-3}.get(dtype, 1e-4)
    assert_allclose(model.transform(1e9 + noise), reference.transform(noise), atol=tolerance)
    assert_allclose(model.reconstruct(1e9 + noise) - 1e9, reference.reconstruct(noise), atol=tolerance)


def test_views_share_memory_and_are_not_written():
    X = data(np.float64)
    X.setflags(write=False)
    tensor = as_tensor(X)
    assert tensor.data_ptr() == X.ctypes.data
    assert_allclose(tensor, X, rtol=0)
    assert not X.flags.writeable


@pytest.mark.parametrize("method", ["fit", "partial_fit", "transform", "reconstruction_error", "score"])
def test_sparse_rows_are_never_dense_all_at_once(method):
    """Dense, these rows take 320 MB; peaks stay below a tenth of that, early stopping included."""
    n_rows, n_features = 2000, 20_000
    X = sparse.random_array((n_rows, n_features), density=1e-3, rng=np.random.default_rng(0), format="csr")
    estimator = AutoencoderTransformer(
        2, hidden_layer_sizes=(), batch_size=50, max_iter=1, tol=None, early_stopping=True
    )
    if method not in ("fit", "partial_fit"):
        estimator.fit(X[:50])
    tracemalloc.start()
    try:
        getattr(estimator, method)(X)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < n_rows * n_features * 8 / 10


def test_dense_rows_are_not_copied():
    """Of 64 MB in float32, a fit and a transform take NumPy less than a tenth."""
    X = np.random.default_rng(0).normal(size=(20_000, 800)).astype(np.float32)
    tracemalloc.start()
    try:
        AutoencoderTransformer(2, hidden_layer_sizes=(), max_iter=1, tol=None).fit(X).transform(X)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < X.nbytes / 10
