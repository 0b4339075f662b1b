"""Walking over rows: every row once, chunks bounded in bytes, in memory that is used again; and sums over them."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy import sparse

from skae import AutoencoderTransformer, DenoisingAutoencoder, SparseAutoencoder
from skae._data import chunks as chunks_module
from skae._data.chunks import (
    CHUNK_BYTES,
    Buffer,
    Reader,
    chunks,
    fold,
    slices,
    spread,
    sum_rows,
    total,
)


def data(dtype=np.float64):
    return np.random.default_rng(0).poisson(0.7, size=(50, 6)).astype(dtype)


def with_duplicates(X):
    """CSR whose entries are each stored in two halves, as a caller's may be."""
    csr = sparse.csr_array(X)
    halves = [np.repeat(part, 2) for part in (csr.data / 2, csr.indices)]
    return sparse.csr_array((halves[0], halves[1], 2 * csr.indptr), shape=csr.shape)


KINDS = {
    "dense": torch.from_numpy,
    "fortran": lambda X: torch.from_numpy(X.T.copy()).T,
    "csr_matrix": sparse.csr_matrix,
    "csr_array": sparse.csr_array,
    "csr_duplicates": with_duplicates,
}


def copy_of(X):
    return X.clone() if isinstance(X, torch.Tensor) else X.copy()


def dense(X):
    return X.numpy() if isinstance(X, torch.Tensor) else X.toarray()


# Sizes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_rows", [0, 1, 7, 1000])
@pytest.mark.parametrize("row_bytes", [1, 8, CHUNK_BYTES // 3, CHUNK_BYTES, 5 * CHUNK_BYTES])
def test_slices_cover_all_rows_and_are_bounded_in_bytes(n_rows, row_bytes):
    covered = []
    for part in slices(n_rows, row_bytes):
        size = part.stop - part.start
        assert size >= 1
        assert size * row_bytes <= max(CHUNK_BYTES, row_bytes)
        covered += range(part.start, part.stop)
    assert covered == list(range(n_rows))


@pytest.mark.parametrize(("n", "at_most"), [(1, 5), (5, 5), (6, 5), (99, 5), (100, 1)])
def test_spread_out_numbers_come_from_everywhere(n, at_most):
    some = spread(torch.arange(n), at_most)
    assert 1 <= len(some) <= at_most
    steps = some.diff()
    assert (steps == steps[:1]).all()
    assert n - int(some[-1]) <= -(-n // at_most)


# Reading ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", KINDS)
def test_rows_are_read(kind, dtype):
    X = KINDS[kind](data(dtype))
    before, expected, reader = copy_of(X), data(dtype), Reader(X)
    for part in (slice(0, 3), slice(10, 50), slice(49, 50)):
        found = reader.run(part)
        assert found.dtype == torch.from_numpy(expected).dtype
        assert_allclose(found, expected[part], rtol=0)
    for index in ([3], [5, 5, 0], list(range(49, -1, -1))):
        assert_allclose(reader.gather(torch.tensor(index)), expected[index], rtol=0)
    gathered = reader.gather(torch.arange(50))
    gathered.zero_()  # may be written, unlike X
    assert (dense(X) == dense(before)).all()


def test_runs_of_dense_rows_are_views():
    X = torch.from_numpy(data())
    assert Reader(X).run(slice(2, 9)).data_ptr() == X[2].data_ptr()


@pytest.mark.parametrize("inference", [False, True])
def test_memory_is_allocated_once(inference):
    with torch.inference_mode(inference):
        buffer = Buffer(6, torch.float32)
        first = buffer(10)
        assert {buffer(n).data_ptr() for n in (10, 3, 7)} == {first.data_ptr()}
        assert buffer(7).shape == (7, 6)
        assert len(buffer(11)) == 11
    assert not buffer(11).is_inference(), "which autograd would refuse"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("row_bytes", [None, 1, 100])
def test_chunks_are_all_rows_one_after_the_other(kind, row_bytes, monkeypatch):
    monkeypatch.setattr(chunks_module, "CHUNK_BYTES", 500)
    X, covered, addresses = KINDS[kind](data()), [], set()
    for part, x in chunks(X, row_bytes):
        assert_allclose(x, data()[part], rtol=0)
        covered += range(part.start, part.stop)
        addresses.add(x.data_ptr())
        assert len(x) <= 500 // (48 if row_bytes is None else row_bytes)
    assert covered == list(range(50))
    assert len(addresses) == 1 or kind in ("dense", "fortran")


# Summing ---------------------------------------------------------------------------------------------------


def test_sums_of_float32_are_in_float64():
    values = torch.full((100_000, 1), 0.1, dtype=torch.float32)
    for weight in (None, torch.ones(100_000)):
        found = sum_rows(values, weight)
        assert found.dtype == torch.float64
        assert_allclose(found, [100_000 * float(values[0, 0])], rtol=1e-12)


def test_weights_count_rows(monkeypatch):
    monkeypatch.setattr(chunks_module, "CHUNK_BYTES", 500)
    X, weight = torch.from_numpy(data()), torch.arange(50) % 3
    repeated = X.repeat_interleave(weight, 0)
    assert_allclose(total(sum_rows(x, weight[part]) for part, x in chunks(X)), repeated.sum(0))


def test_fold_joins_each_place_in_its_own_way(monkeypatch):
    monkeypatch.setattr(chunks_module, "CHUNK_BYTES", 500)
    X = torch.from_numpy(data() - 1)
    terms = ((sum_rows(x), x.amin(0), x.amax(0)) for _, x in chunks(X))
    sums, lowest, highest = fold(terms, torch.add, torch.minimum, torch.maximum)
    assert_allclose(sums, X.sum(0))
    assert_allclose(lowest, X.amin(0))
    assert_allclose(highest, X.amax(0))


# What estimators make of it --------------------------------------------------------------------------------


@pytest.mark.parametrize("n_rows", [1, 3])
@pytest.mark.parametrize("chunk", [1, 100])
def test_results_do_not_depend_on_the_chunks(n_rows, chunk, monkeypatch):
    X = np.random.default_rng(0).normal(size=(40, 6))
    model = AutoencoderTransformer(2, max_iter=1, tol=None).fit(X)
    methods = ("transform", "reconstruct", "reconstruction_error", "score_samples", "score")
    whole = [getattr(model, method)(X) for method in methods]
    monkeypatch.setattr(chunks_module, "CHUNK_BYTES", chunk * n_rows)
    for method, expected in zip(methods, whole, strict=True):
        assert_allclose(getattr(model, method)(X), expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    ("estimator", "names"),
    [
        (SparseAutoencoder(4), ("mean_activation_", "dead_fraction_")),
        (AutoencoderTransformer(2, ordered=True, hidden_layer_sizes=()), ("explained_variance_", "components_")),
        (DenoisingAutoencoder(2, noise=lambda X, generator: X + 1), ("residual_variance_",)),
    ],
    ids=["sparse", "ordered", "denoising"],
)
@pytest.mark.parametrize("weighted", [False, True])
def test_what_is_measured_does_not_depend_on_the_chunks(estimator, names, weighted, monkeypatch):
    X = np.random.default_rng(0).normal(size=(40, 6))
    weight = np.random.default_rng(1).integers(0, 3, 40)
    takes_weights = weighted and not isinstance(estimator, DenoisingAutoencoder)
    settings = {"sample_weight": weight} if takes_weights else {}
    estimator.set_params(max_iter=2, tol=None, random_state=0)
    whole = estimator.fit(X, **settings)
    expected = [np.asarray(getattr(whole, name)) for name in names]
    monkeypatch.setattr(chunks_module, "CHUNK_BYTES", 150)
    again = estimator.fit(X, **settings)
    for name, value in zip(names, expected, strict=True):
        assert_allclose(getattr(again, name), value, rtol=1e-9, atol=1e-12, err_msg=name)
