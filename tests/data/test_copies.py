"""Rows that were entered again beside rows that are equal by nature, as the outlier detector sees them."""

import numpy as np
import pandas as pd
import pytest
import torch
from estimators import configured, detector, rows
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.datasets import load_breast_cancer

from skae import AutoencoderOutlierDetector, VAESampler
from skae._data.copies import without_copies


@pytest.fixture(scope="module")
def counts():
    """Rows of two columns of counts, of which the largest ones are there once."""
    X = np.random.default_rng(0).poisson(3, (300, 2)).astype(float)
    assert len(np.unique(X, axis=0)) < 70
    return X


@pytest.mark.parametrize("n_copies", [2, 5])
def test_the_rate_of_false_alarms_holds_whatever_was_entered_again(n_copies):
    X = load_breast_cancer().data[load_breast_cancer().target == 1]
    rates = []
    for seed in range(3):
        generator = np.random.default_rng(seed)
        order = generator.permutation(len(X))
        given = generator.permutation(np.repeat(X[order[:180]], n_copies, axis=0))
        model = AutoencoderOutlierDetector(n_estimators=6, random_state=seed).fit(given)
        rates.append((model.predict(X[order[180:]]) == -1).mean())
    assert np.mean(rates) < 0.09  # .05, and two standard errors


@pytest.mark.parametrize(
    "kind",
    [np.asarray, pd.DataFrame, sparse.csr_array, torch.from_numpy, np.float32],
    ids=["array", "frame", "sparse", "tensor", "float32"],
)
@pytest.mark.parametrize("autoencoder", [None, configured(VAESampler, random_state=None)], ids=["own", "given"])
def test_copies_change_nothing(kind, autoencoder):
    X, again = rows(60), [3, 3, 40, 7]
    once, model = (detector(autoencoder).fit(kind(given)) for given in (X, np.vstack([X, X[again]])))
    new = kind(rows(20, seed=1))
    assert_array_equal(model.p_values(new), once.p_values(new))
    # Rows of frames are laid out by columns, or by rows where some are taken: sums may differ in the last bits.
    assert_allclose(model.score_samples(new), once.score_samples(new), rtol=1e-6)
    assert_allclose(model.offset_, once.offset_, rtol=1e-6)
    assert_allclose(model.left_out_scores_, once.left_out_scores_[np.r_[:60, again]], rtol=1e-6)
    assert_array_equal(model.usual_values_, once.usual_values_)
    for seen, of_once in zip(model.estimators_samples_, once.estimators_samples_, strict=True):
        assert_array_equal(np.unique(np.r_[:60, again][seen]), of_once)
        assert_array_equal(np.isin(np.arange(60, 64), seen), np.isin(again, of_once))


def test_copies_are_judged_as_their_originals():
    X = rows(60)
    X[5, 2] = 8.0
    model, once = detector().fit(np.vstack([X, X[[5, 5]]])), detector().fit(X)
    p = model.p_values(np.vstack([X[[5, 5]], X]), left_out=True)
    assert_array_equal(p[[0, 1, 7]], np.repeat(once.p_values(X[[5]], left_out=True), 3))
    assert_array_equal(model.score_features(X, left_out=True), once.score_features(X, left_out=True))


@pytest.mark.parametrize("scale", [1.0, 0.37])
def test_equal_counts_are_different_things(counts, scale):
    numbers, which = without_copies(counts * scale)
    assert_array_equal(numbers, np.arange(300))
    assert_array_equal(which, np.arange(300))
    model = detector().fit(counts * scale)
    assert len({len(seen) for seen in model.estimators_samples_}) == 1  # row by row
    assert model._reference().size == np.isfinite(model.left_out_scores_).sum()


def test_one_column_and_few_kinds_tell_no_copies(counts):
    binary = (counts > 3) @ [[0.3, 0.7], [0.9, -0.2]]  # mixed, as by PCA
    constant = np.column_stack([counts[:, 0], np.full(300, 2.5)])
    words = np.random.default_rng(1).choice(["a", "b", "c"], (300, 2)).astype(object)
    one_hot = np.eye(6)[np.random.default_rng(1).integers(6, size=300)]
    for X in (counts[:, :1], constant, binary, one_hot, pd.DataFrame(words), sparse.csr_array(one_hot)):
        assert len(without_copies(X)[0]) == 300


def test_counts_that_are_mixed_and_states_are_no_copies(counts):
    mixed = counts @ [[0.8, 0.6], [-0.6, 0.8]]
    assert len(without_copies(mixed)[0]) == 300
    X = np.random.default_rng(0).normal(size=(300, 4))
    X[:60] = 0.0
    X[80] = X[90]
    assert_array_equal(np.setdiff1d(np.arange(300), without_copies(X)[0]), [90])
    new = np.random.default_rng(1).normal(size=(300, 4))
    new[:60] = 0.0
    assert (detector().fit(X).predict(new) == -1).mean() < 0.1


def test_a_column_of_fine_numbers_tells_copies(counts):
    amount = np.where(np.arange(300) % 3, np.random.default_rng(2).lognormal(size=300), 0)  # many zeros
    X = np.column_stack([counts, amount])
    given = np.vstack([X, X[[1, 1, 2]], X[[0]]])  # the last has no amount: another one may well be as it is
    words = pd.DataFrame(given).assign(word=np.where(given[:, 0] > 3, "many", "few"))
    for table in (given, words, sparse.csr_array(given), torch.tensor(given)):
        numbers, which = without_copies(table)
        assert_array_equal(numbers, np.r_[:300, 303])
        assert_array_equal(which[-4:], [1, 1, 2, 300])


def test_too_few_rows_without_their_copies():
    with pytest.raises(ValueError, match="n_samples=3, without copies of rows, and max_samples"):
        detector().fit(rows(3)[[0, 1, 2, 0, 1, 2, 0]])


def test_missing_cells_are_no_values_of_their_own():
    X = np.random.default_rng(0).normal(size=(50, 3))
    X[[4, 9]] = np.nan
    assert len(without_copies(X)[0]) == 50
    X[[5, 8], 1:] = np.nan
    X[8, 0] = X[5, 0]
    assert_array_equal(np.setdiff1d(np.arange(50), without_copies(X)[0]), [8])
