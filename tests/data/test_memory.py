"""Rows never take the memory of the dense matrix: neither what is in use, nor the heap of the process."""

import os
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.base import clone
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from skae import AutoencoderTransformer, DenoisingAutoencoder, SparseAutoencoder, StackedAutoencoder, VAESampler
from skae._data import rows as rows_module

# What NumPy and SciPy have in use --------------------------------------------------------------------------


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
    assert peak_bytes(getattr(estimator, method), X) < n_rows * n_features * 8 / 10


def test_dense_rows_are_not_copied():
    """Of 64 MB in float32, a fit and a transform take NumPy less than a tenth."""
    X = np.random.default_rng(0).normal(size=(20_000, 800)).astype(np.float32)
    model = AutoencoderTransformer(2, hidden_layer_sizes=(), max_iter=1, tol=None)
    assert peak_bytes(lambda X: model.fit(X).transform(X), X) < X.nbytes / 10


def peak_bytes(call, X):
    tracemalloc.start()
    try:
        call(X)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


# What the system counts ------------------------------------------------------------------------------------

GROWTH = """
import resource, sys
import numpy as np
from scipy import sparse
from skae import AutoencoderTransformer

kind, dtype = sys.argv[1:]
rng = np.random.default_rng(0)
if kind == "csr":
    n, d, n_entries = 6000, 20000, 60000
    entries = rng.random(n_entries, dtype=dtype), (rng.integers(0, n, n_entries), rng.integers(0, d, n_entries))
    X = sparse.csr_matrix(entries, shape=(n, d))
else:
    X = rng.random((1500, 30000), dtype=dtype)

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)

settings = {"hidden_layer_sizes": (32,), "max_iter": 1, "tol": None, "dtype": "float32", "random_state": 0}
model = AutoencoderTransformer(8, **settings).fit(X[:400])  # which allocates what any batch needs
for method in ("fit", "transform", "score", "score_samples", "reconstruct"):
    before = peak()
    result = getattr(model, method)(X)
    print(method, (peak() - before - getattr(result, "nbytes", 0)) / 1e6)
"""


@pytest.mark.parametrize(("kind", "dtype"), [("csr", "float64"), ("csr", "float32"), ("dense", "float64")])
def test_the_process_hardly_grows(kind, dtype):
    """With torch's own number of threads; holes in the heap count as well.

    In float32, the sparse rows would take 480 MB dense; a copy of the dense ones takes 180 MB.
    """
    pytest.importorskip("resource")
    all_threads = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    command = [sys.executable, "-c", GROWTH, kind, dtype]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=all_threads)
    growth = {method: float(megabytes) for method, megabytes in map(str.split, done.stdout.splitlines())}
    assert len(growth) == 5
    assert max(growth.values()) < 80, growth


# Casts -----------------------------------------------------------------------------------------------------


class Casts(TorchDispatchMode):
    """Notes operations that write to memory of another floating dtype than their operands', copies apart.

    On a processor torch allocates such a result a second time, in the operands' dtype.
    """

    def __init__(self, at_least):
        super().__init__()
        self.at_least, self.found, self.n_writes = at_least, set(), 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        written, read = [], []
        for position, argument in enumerate(func._schema.arguments):
            value = args[position] if position < len(args) else kwargs.get(argument.name)
            into = argument.alias_info is not None and argument.alias_info.is_write
            tensors = [x for x in tree_leaves(value) if isinstance(x, torch.Tensor) and x.numel() >= self.at_least]
            (written if into else read).extend(x.dtype for x in tensors if x.is_floating_point())
        self.n_writes += bool(written)
        if len({*written, *read}) > 1 and written and "copy_" not in func.name():
            self.found.add((func.name(), *map(str, (*written, *read))))
        return func(*args, **kwargs)


N_FEATURES = 40
FITTED = {
    "plain": AutoencoderTransformer(2),
    "contractive": AutoencoderTransformer(2, contractive=0.1, hidden_layer_sizes=()),
    "own_loss": AutoencoderTransformer(2, loss=lambda output, target: (output - target).square().mean(1)),
    "gaussian": DenoisingAutoencoder(2),
    "masking": DenoisingAutoencoder(2, noise="masking"),
    "salt_and_pepper": DenoisingAutoencoder(2, noise="salt_and_pepper"),
    "stacked": StackedAutoencoder(2, pretrain_max_iter=1, noise="gaussian"),
    "kl": SparseAutoencoder(2),
    "batch_topk": SparseAutoencoder(4, sparsity="batch_topk"),
    "vae": VAESampler(2),
}


@pytest.mark.parametrize("estimator", FITTED.values(), ids=FITTED)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("kind", ["csr", "dense"])
def test_no_operation_casts_what_it_writes(estimator, dtype, kind, monkeypatch):
    """For X in float64, whose batches are cast; in mixed precision, parameters are float32."""
    monkeypatch.setattr(rows_module, "SMALL_BYTES", 0)
    X = np.random.default_rng(0).poisson(0.5, size=(30, N_FEATURES)).astype(float)
    X = sparse.csr_array(X) if kind == "csr" else X
    estimator = clone(estimator).set_params(max_iter=1, batch_size=15, tol=None, dtype=dtype)
    with Casts(at_least=15 * N_FEATURES) as casts:
        estimator.fit(X).transform(X)
        estimator.score(X)
    assert not casts.found
    assert casts.n_writes > 10
