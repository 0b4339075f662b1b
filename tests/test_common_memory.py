"""What every estimator holds on to after a fit, and how much it takes while it works."""

import subprocess
import sys
import tracemalloc
from functools import partial

import numpy as np
import pytest
import torch
from estimators import (
    CONTINUING,
    EVERY_ESTIMATOR,
    classifier,
    configured,
    fitted,
    labels,
    row_methods,
    rows,
)
from holdings import n_bytes, reachable
from scipy import sparse
from sklearn.base import clone, is_classifier
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import skae._data.chunks as chunks_module
from skae import AutoencoderTransformer, VAESampler
from skae._data.rows import Rows
from skae._data.training_data import TrainingData
from skae._training.fitting import Fit
from skae._training.optimizers import Optimizer
from skae._training.setup import Run
from skae._training.step import Step

# After a fit -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("estimator", EVERY_ESTIMATOR)
def test_neither_rows_nor_solver_are_kept(estimator):
    """What stays after a fit does not grow with the rows; weights lose their gradients and their solver."""
    few, many = (fitted(estimator, rows(n)) for n in (1000, 2000))
    kept = reachable(many)
    assert n_bytes(kept) == n_bytes(reachable(few)) > 0
    assert not [thing for thing in kept if isinstance(thing, Optimizer | Rows | TrainingData | Run | Fit | Step)]
    assert not [thing for thing in kept if isinstance(thing, torch.Generator)]
    for network in (many.encoder_, many.head_ if is_classifier(many) else many.decoder_):
        assert all(p.grad is None for p in network.parameters())


@pytest.mark.parametrize("estimator", CONTINUING)
def test_a_fit_ends_what_partial_fit_carries_on(estimator):
    model = clone(estimator).partial_fit(rows())
    assert (
        n_bytes(reachable(model)) > n_bytes(reachable(model.fit(rows()))) == n_bytes(reachable(fitted(estimator)))
    )


# While it works --------------------------------------------------------------------------------------------

PEAKS = """
import resource, sys
import numpy as np
from scipy import sparse
from skae import *
n, d, per_row = 4000, 20000, 40
rng = np.random.default_rng(0)
columns, ends = rng.integers(0, d, n * per_row), np.arange(0, n * per_row + 1, per_row)
X = sparse.csr_matrix((rng.random(n * per_row, dtype=np.float32), columns, ends), shape=(n, d))
X.sum_duplicates()
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
settings = {"hidden_layer_sizes": (8,), "max_iter": 1, "tol": None, "random_state": 0}
stacked = StackedAutoencoder(4, pretrain_max_iter=1, **settings)
for model in (AutoencoderTransformer(4, **settings), stacked, DenoisingAutoencoder(4, **settings)):
    model.fit(X[:400])
    before = peak()
    model.fit(X).transform(X)
    print((peak() - before) / (4 * n * d))
"""


def test_sparse_rows_never_take_the_memory_of_dense_ones():
    """As the system counts it: also memory that is free again, but in pieces."""
    pytest.importorskip("resource")
    done = subprocess.run([sys.executable, "-c", PEAKS], capture_output=True, text=True, check=True)
    shares = [float(line) for line in done.stdout.split()]
    assert len(shares) == 3
    assert max(shares) < 0.3


class Largest(TorchDispatchMode):
    """Notes the largest tensor that an operation makes; views and results of ``out=`` are not made."""

    n_bytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        def storages(tree):
            return [x.untyped_storage() for x in tree_leaves(tree) if isinstance(x, torch.Tensor)]

        there = {storage.data_ptr() for storage in storages((args, kwargs))}
        result = func(*args, **(kwargs or {}))
        made = [storage.nbytes() for storage in storages(result) if storage.data_ptr() not in there]
        self.n_bytes = max(self.n_bytes, *made, 0)
        return result


def chosen(more):
    """One estimator of each class, and those named: these tests take their time."""
    first = {type(p.values[0]): p.id for p in reversed(EVERY_ESTIMATOR) if p.id != "classifier"}
    return [p for p in EVERY_ESTIMATOR if p.id in {*first.values(), *more.split()}]


def peak_bytes(call):
    """Return the most that a call takes of NumPy's memory, its result included."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


WIDE = configured(AutoencoderTransformer, hidden_layer_sizes=(200,))
STREAMED = [
    *chosen("images images_vae classifier_images ordered_linear sparse_batch_topk"),
    pytest.param(WIDE, id="wide"),
    pytest.param(classifier(WIDE), id="classifier_wide"),
]


@pytest.mark.parametrize("estimator", STREAMED)
def test_results_are_streamed_into_one_array(estimator, monkeypatch):
    """Beside the result, a call takes chunks that are bounded in bytes, however many the rows are."""
    X = np.tile(rows(60), (100, 1))
    model = fitted(estimator, X[:60], max_iter=1)
    if isinstance(model, VAESampler):
        model.set_params(n_importance_samples=2)
    chunk, one_column = 1 << 13, 8 * len(X)
    monkeypatch.setattr(chunks_module, "CHUNK_BYTES", chunk)
    codes = model.transform(X)
    calls = dict.fromkeys(row_methods(model), X)
    results = {"transform": codes.nbytes, "reconstruct": X.nbytes, "predict_proba": 3 * one_column}
    if not is_classifier(model):
        calls |= {"inverse_transform": codes.astype(float), "score": X}
        results["inverse_transform"] = X.nbytes
    for name, given in calls.items():
        call = partial(getattr(model, name), given)
        with Largest() as largest:
            call()
        assert largest.n_bytes <= 5 * chunk < one_column, name
        # Scores are minus the errors, or their mean: two columns.
        peak = min(peak_bytes(call) for _ in range(2))  # another thread may allocate meanwhile
        assert peak < results.get(name, 2 * one_column) + 3 * chunk, name


SPARSELY = [
    *chosen("ordered ordered_linear masking stacked_denoising sparse_batch_topk contractive_deep"),
    pytest.param(configured(AutoencoderTransformer, loss="binary_cross_entropy"), id="probabilities"),
    pytest.param(configured(VAESampler, likelihood="bernoulli"), id="vae_bernoulli"),
    pytest.param(configured(VAESampler, beta=1e3), id="vae_collapsed"),
]


@pytest.mark.filterwarnings("ignore:Training ended with a loss")  # of one epoch
@pytest.mark.parametrize("estimator", SPARSELY)
def test_sparse_rows_are_never_dense_all_at_once(estimator, monkeypatch):
    """Dense, these rows take 10 MB; no call takes a third of that, though some take batches of 200 rows."""
    X = sparse.random_array((1250, 1000), density=1e-3, rng=np.random.default_rng(0), format="csr")
    monkeypatch.setattr(chunks_module, "CHUNK_BYTES", 1 << 17)
    few = {"batch_size": 12, "max_iter": 1, "pretrain_max_iter": 1, "n_importance_samples": 2, "noise_warm_up": 0}
    model = clone(estimator)
    if is_classifier(model):
        few |= {f"autoencoder__{name}": value for name, value in few.items()}
    model.set_params(**{name: value for name, value in few.items() if name in model.get_params()})
    calls = {"fit": partial(model.fit, X, labels(X))}
    for name in ("partial_fit", "transform", "reconstruction_error", "score_samples", "predict"):
        calls |= {name: partial(getattr(model, name), X)} if hasattr(model, name) else {}
    calls["score"] = partial(model.score, X, labels(X))
    third = 8 * X.shape[0] * X.shape[1] / 3
    for name, call in calls.items():
        assert peak_bytes(call) < third, name


@pytest.mark.parametrize("tied_weights", [False, True])
def test_sorting_codes_takes_no_matrix_of_features_by_features(tied_weights):
    X = np.random.default_rng(0).normal(size=(30, 1000))
    settings = {"hidden_layer_sizes": (), "ordered": True, "tied_weights": tied_weights}
    with Largest() as largest:
        configured(AutoencoderTransformer, max_iter=1, **settings).fit(X)
    assert largest.n_bytes < 8 * 1000 * 1000 / 4
