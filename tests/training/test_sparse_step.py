"""Networks trained on CSR rows as they are stored, against the same rows made dense."""

import pickle

import numpy as np
import pytest
from estimators import CONFIGURATIONS
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn.base import clone

from skae import AutoencoderTransformer
from skae._training import sparse_step


@pytest.fixture(autouse=True)
def served(monkeypatch):
    """Let small rows be read as they are stored; return how many batches were."""
    monkeypatch.setattr(sparse_step, "LEAST_COLUMNS", 1)
    monkeypatch.setattr(sparse_step, "MOST_DENSITY", 1)
    counts, stored = [], sparse_step.SparseStep._stored

    def counting(self, index):
        batch = stored(self, index)
        counts.append(batch is not None)
        return batch

    monkeypatch.setattr(sparse_step.SparseStep, "_stored", counting)
    return counts


def mostly_zero():
    X = np.random.default_rng(0).uniform(0.1, 0.9, size=(60, 5))
    return np.where(np.random.default_rng(1).random(X.shape) < 0.6, 0, X)


READ = [
    "default",
    "falling_rate",
    "early_stopping",
    "contractive_shallow",
    "huber_alpha",
    "linear",
    "sgd",
    "ordered",
]
READ += ["ordered_linear", "sparse_kl", "sparse_topk", "vae", "vae_draws", "hasher", "adversarial", "stacked"]
AS_BEFORE = [
    "tied",
    "sparse_winner_take_all",
    "denoising",
]  # the weights also decode, or what is restored is not what is read


WITHOUT_DENSE_ROWS = ["default", "falling_rate", "early_stopping", "contractive_shallow", "linear", "sgd"]
WITHOUT_DENSE_ROWS += ["ordered_linear", "sparse_kl", "hasher", "adversarial", "stacked"]


@pytest.fixture
def multiplied(monkeypatch):
    """Return the number of rows of each batch whose squared error came from products of parameters."""
    sizes, sum_and_gradient = [], sparse_step.SparseOutput.sum_and_gradient

    def counting(self, p, *arguments):
        sizes.append(len(p.h))
        return sum_and_gradient(self, p, *arguments)

    monkeypatch.setattr(sparse_step.SparseOutput, "sum_and_gradient", counting)
    return sizes


@pytest.mark.parametrize("name", READ + AS_BEFORE)
def test_csr_rows_train_the_networks_that_dense_rows_do(name, served, multiplied):
    estimator, X = clone(CONFIGURATIONS[name]).set_params(batch_size=16, max_iter=3), mostly_zero()
    dense = clone(estimator).fit(X)
    assert not served
    read = clone(estimator).fit(sparse.csr_array(X))
    assert_allclose(read.loss_curve_, dense.loss_curve_, rtol=1e-9)
    assert_allclose(read.transform(X), dense.transform(X), rtol=1e-6, atol=1e-8)
    assert bool(served) == (name in READ)
    assert all(served)
    assert bool(multiplied) == (name in WITHOUT_DENSE_ROWS)


def test_small_batches_make_rows_dense_for_the_last_layer(served, multiplied):
    X = mostly_zero()
    settings = {"hidden_layer_sizes": 18, "batch_size": 16, "max_iter": 5, "early_stopping": False}
    base = AutoencoderTransformer(2, random_state=0, **settings)
    read = clone(base).fit(sparse.csr_array(X))
    assert_allclose(read.loss_curve_, clone(base).fit(X).loss_curve_, rtol=1e-9)
    assert set(multiplied) == {16}  # of 18 hidden units; the last batch of an epoch has 12


@pytest.mark.parametrize("constant", [1.0, 1e4])
def test_columns_far_from_zero(constant, served, multiplied):
    X = np.column_stack([mostly_zero(), np.full(60, constant)]).astype(np.float32)
    base = AutoencoderTransformer(2, hidden_layer_sizes=6, max_iter=20, dtype="float32", random_state=0)
    dense, read = clone(base).fit(X), clone(base).fit(sparse.csr_array(X))
    assert_allclose(read.loss_curve_, dense.loss_curve_, rtol=1e-3)
    assert bool(multiplied) == (constant == 1)


def test_weights_and_other_rows_to_watch(served, multiplied):
    X, weight = mostly_zero(), np.random.default_rng(0).integers(0, 3, size=60)
    base = AutoencoderTransformer(2, hidden_layer_sizes=6, max_iter=5, early_stopping=True, random_state=0)
    given = {"sample_weight": weight, "X_val": X[:20]}
    dense, read = clone(base).fit(X, **given), clone(base).fit(sparse.csr_array(X), **given)
    assert_allclose(read.loss_curve_, dense.loss_curve_, rtol=1e-9)
    assert_allclose(read.validation_loss_curve_, dense.validation_loss_curve_, rtol=1e-9)
    assert multiplied
    assert set(served) == {True, False}  # those to watch are dense


def test_portions_of_both_kinds(served):
    X = mostly_zero()
    dense, read = (AutoencoderTransformer(2, hidden_layer_sizes=6, random_state=0) for _ in range(2))
    for kind in (sparse.csr_array, np.asarray, sparse.csr_array):
        dense.partial_fit(X)
        read.partial_fit(kind(X))
    assert_allclose(read.transform(X), dense.transform(X), rtol=1e-7, atol=1e-9)
    assert set(served) == {True, False}


@pytest.mark.filterwarnings("ignore:.*of these rows are more than")
@pytest.mark.parametrize("name", READ)
def test_portions_with_centres_of_their_own(name, served):
    """The first layer took each portion for one with the first one's centre, and trained another network."""
    portions = [np.where(mostly_zero() == 0, 0, mostly_zero() * size) for size in (1, 3, 0.5, 2)]
    portions[1:3] = portions[1][:45], portions[2][:7]
    dense, read, saved = (clone(CONFIGURATIONS[name]).set_params(batch_size=16) for _ in range(3))
    for X in portions * 2:
        dense.partial_fit(X)
        read.partial_fit(sparse.csr_array(X))
        saved = pickle.loads(pickle.dumps(saved.partial_fit(sparse.csr_array(X))))
    for model in (read, saved):
        assert_allclose(model.loss_curve_, dense.loss_curve_, rtol=1e-9)
        assert_allclose(model.transform(X), dense.transform(X), rtol=1e-6, atol=1e-8)
    assert served
    assert all(served)


def test_float32_rows():
    X = mostly_zero().astype(np.float32)
    base = AutoencoderTransformer(2, hidden_layer_sizes=6, max_iter=3, tol=None, random_state=0, init="glorot")
    assert_allclose(clone(base).fit(sparse.csr_array(X)).transform(X), clone(base).fit(X).transform(X), atol=1e-4)
