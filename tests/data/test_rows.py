"""Rows on their way into the networks: right values, whatever their kind."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy import sparse

from skae import AutoencoderTransformer
from skae._data import chunks as chunks_module
from skae._data import rows as rows_module
from skae._data.rows import Rows, codings

CPU = torch.device("cpu")


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


@pytest.mark.parametrize("is_sparse", [False, True])
@pytest.mark.parametrize("width", [0, 100])
def test_numbered_rows_come_in_chunks_of_the_same_memory(is_sparse, width, monkeypatch):
    monkeypatch.setattr(chunks_module, "CHUNK_BYTES", 500)
    X, offset = data(np.float64), torch.full((6,), 0.5, dtype=torch.float64)
    rows = Rows(sparse.csr_matrix(X) if is_sparse else torch.from_numpy(X), offset, torch.float32, CPU)
    order, numbers, addresses = torch.randperm(50, generator=torch.Generator().manual_seed(0))[:33], [], set()
    for index, x in rows.chunks(order, width):
        assert_allclose(x, X[index.numpy()] - 0.5, rtol=1e-6)
        assert len(x) <= 500 // (4 * max(6, width)) or len(x) == 1
        numbers.append(index)
        addresses.add(x.data_ptr())
    assert torch.equal(torch.cat(numbers), order)
    assert len(addresses) == 1
    assert [len(x) for _, x in rows.chunks(order, width, at_least=30)] == [30, 3]


@pytest.mark.parametrize("chunk", [1, 100, 1 << 22])
@pytest.mark.parametrize("prepared", [True, False])
def test_what_changes_rows_comes_last(chunk, prepared, monkeypatch):
    monkeypatch.setattr(chunks_module, "CHUNK_BYTES", chunk)
    monkeypatch.setattr(rows_module, "SMALL_BYTES", 1 << 22 if prepared else 0)
    X, offset = data(np.float64), torch.ones(6, dtype=torch.float64)
    for kind in (torch.from_numpy, sparse.csr_matrix):
        rows = Rows(kind(X), offset, torch.float32, CPU, change=torch.square)
        assert_allclose(rows.batch(torch.tensor([7, 0, 7])), np.square(X[[7, 0, 7]] - 1), rtol=1e-6)
        assert_allclose(rows[3:9], np.square(X[3:9] - 1), rtol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_codings_are_what_the_network_makes_of_all_rows(dtype, monkeypatch):
    monkeypatch.setattr(chunks_module, "CHUNK_BYTES", 500)
    X, network = data(np.float64), torch.nn.Linear(6, 9).to(dtype)
    mapped = codings(network, Rows(sparse.csr_matrix(X), None, dtype, CPU))
    with torch.no_grad():
        expected = network(torch.from_numpy(X).to(dtype))
    assert_allclose(mapped.batch(torch.arange(50)), expected, rtol=1e-5, atol=1e-6)
    assert not mapped.batch(torch.arange(50)).requires_grad
