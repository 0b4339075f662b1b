"""Rows never take the memory of the dense matrix: neither what is in use, nor the heap of the process."""

import os
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from scipy import sparse

from skae import AutoencoderTransformer

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

method, kind, dtype = sys.argv[1:]
rng = np.random.default_rng(0)
if kind == "csr":
    n, d, n_entries = 6000, 20000, 60000
    entries = rng.random(n_entries, dtype=dtype), (rng.integers(0, n, n_entries), rng.integers(0, d, n_entries))
    X = sparse.csr_matrix(entries, shape=(n, d))
else:
    X = rng.random((1500, 30000), dtype=dtype)

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)

settings = {"hidden_layer_sizes": (32,), "max_iter": 4, "tol": None, "dtype": "float32", "random_state": 0}
model = AutoencoderTransformer(8, **settings).fit(X[:400])  # which allocates what any batch needs
before = peak()
result = getattr(model, method)(X)
print((peak() - before - getattr(result, "nbytes", 0)) / 1e6)
"""


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    ("method", "kind"),
    [
        ("fit", "csr"),
        ("fit", "dense"),
        *((method, "csr") for method in ("transform", "reconstruct", "score", "score_samples")),
    ],
)
def test_the_process_hardly_grows(method, kind, dtype):
    """With torch's own number of threads; holes in the heap count as well.

    In float32, the sparse rows would take 480 MB dense; a copy of the dense ones takes 180 MB.
    """
    pytest.importorskip("resource")
    command = [sys.executable, "-c", GROWTH, method, kind, dtype]
    all_threads = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=all_threads)
    assert float(done.stdout) < 80
