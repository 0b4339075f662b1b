"""Rows held out for early stopping: how many, which, and never a copy on both sides."""

import warnings

import numpy as np
import pytest
import torch
from estimators import PUBLIC_CLASSES, configured
from scipy import sparse
from sklearn.base import clone
from sklearn.model_selection import KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skae import (
    AutoencoderTransformer,
    BaseAutoencoder,
    DenoisingAutoencoder,
    SparseAutoencoder,
    StackedAutoencoder,
    VAESampler,
)
from skae._data.split import far_beyond, hold_out


def split(X, weight=None, fraction=0.1, seed=0):
    X = X if sparse.issparse(X) else torch.as_tensor(X)
    weight = torch.ones(X.shape[0]) if weight is None else torch.as_tensor(weight)
    return hold_out(X, weight, fraction, torch.Generator().manual_seed(seed)).numpy()


def distinct_rows(n_samples=500):
    return np.random.default_rng(0).normal(size=(n_samples, 4))


@pytest.mark.parametrize("fraction", [0.002, 0.1, 0.25, 0.5, 0.9])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_fraction_is_held_out(fraction, dtype):
    assert split(distinct_rows().astype(dtype), fraction=fraction).sum() == round(500 * fraction)


def test_the_seed_decides():
    X = distinct_rows()
    assert (split(X) == split(X)).all()
    both = split(X, seed=0) & split(X, seed=1)
    assert both.sum() < 20, "two draws of 50 from 500 share 5 rows on average"


def test_the_order_of_the_rows_does_not_matter():
    X = distinct_rows()
    order = np.random.default_rng(1).permutation(500)
    assert (split(X[order]) == split(X)[order]).all()


def test_every_row_is_as_likely_as_another():
    X = distinct_rows(100)
    X[0] = 0  # whose bits are no random numbers
    times = sum(split(X, fraction=0.3, seed=seed).astype(int) for seed in range(300))
    assert abs(times.mean() - 90) < 1e-9
    assert times.min() > 60
    assert times.max() < 120  # four standard deviations of a binomial on either side


@pytest.mark.parametrize("n_equal", [101, 400, 900])
@pytest.mark.parametrize("value", [0.0, 1.5])
def test_equal_rows_of_more_than_the_fraction_are_trained_on(n_equal, value):
    """They could only be held out whole; of the others, the fraction is."""
    X = np.random.default_rng(0).normal(size=(1000, 4))
    X[:n_equal] = value
    for seed in range(5):
        held_out = split(X, seed=seed)
        assert not held_out[:n_equal].any()
        assert held_out.sum() == np.ceil((1000 - n_equal) / 10)


def test_smaller_groups_of_equal_rows_do_not_overrun_the_fraction_far():
    X = np.repeat(distinct_rows(100), 8, axis=0)
    sizes = [split(X, seed=seed).sum() for seed in range(20)]
    assert min(sizes) == max(sizes) == 80


@pytest.mark.parametrize(
    "X",
    [
        np.arange(400.0).reshape(-1, 1),
        np.eye(400),
        np.round(distinct_rows(400), 1),
        np.repeat(2.0 ** np.arange(-200, 200).reshape(-1, 1), 3, axis=1),
    ],
    ids=["integers", "one_hot", "rounded", "powers_of_two"],
)
def test_round_numbers_are_told_apart(X):
    """Their bits end in zeros: a weak hash would take different rows for copies, and hold out too many."""
    X = np.unique(X, axis=0)
    assert [split(X, seed=seed).sum() for seed in range(100)] == [-(-len(X) // 10)] * 100


def test_copies_stay_together():
    X = np.repeat(distinct_rows(60), 5, axis=0)
    held_out = split(X, fraction=0.2).reshape(60, 5)
    assert (held_out.all(1) == held_out.any(1)).all()
    assert held_out.any(1).sum() == 12


def test_integer_weights_are_repeated_rows():
    X = distinct_rows(60)
    weight = np.random.default_rng(0).integers(0, 5, 60)
    repeated = split(np.repeat(X, weight, axis=0), fraction=0.2)
    assert (np.repeat(split(X, weight, fraction=0.2), weight) == repeated).all()


@pytest.mark.parametrize("unit", [1e-300, 1e-12, 1 / 500, 1e307])
def test_the_unit_of_weights_does_not_matter(unit):
    X, weight = distinct_rows(), np.random.default_rng(1).integers(0, 4, 500).astype(np.float64)
    np.testing.assert_array_equal(split(X, unit * weight), split(X, weight))
    AutoencoderTransformer(2, max_iter=1, early_stopping=True).fit(
        X.astype(np.float32), sample_weight=unit * weight
    )


def test_rows_of_weight_zero_are_never_held_out():
    weight = np.arange(500) % 2
    held_out = split(distinct_rows(), weight, fraction=0.2)
    assert not held_out[weight == 0].any()
    assert held_out.sum() == 50


def test_sparse_rows_split_as_dense_ones():
    X = np.random.default_rng(0).poisson(0.3, size=(300, 20)).astype(float)
    assert (split(sparse.csr_matrix(X)) == split(X)).all()


def with_both_zeros():
    """Rows that are there three times, of which zeros differ in nothing but their sign."""
    X = np.repeat(np.round(distinct_rows(100) * np.array([3, 3, 0.5, 0.5])), 3, axis=0)
    return np.where((X == 0) & (np.random.default_rng(1).random(X.shape) < 0.5), -0.0, X)


def test_zeros_of_either_sign_are_equal():
    X = with_both_zeros()
    held_out = split(X, fraction=0.2)
    assert np.signbit(X[X == 0]).any()
    np.testing.assert_array_equal(held_out, split(X + 0.0, fraction=0.2))
    np.testing.assert_array_equal(held_out, split(sparse.csr_array(X), fraction=0.2))
    _, kind = np.unique(X, axis=0, return_inverse=True)
    assert set(kind[held_out]).isdisjoint(kind[~held_out])


def test_the_sign_of_zeros_changes_no_model():
    X = with_both_zeros()
    settings = {"max_iter": 3, "early_stopping": True, "validation_fraction": 0.3, "init": "glorot"}
    model = AutoencoderTransformer(2, random_state=0, **settings)
    fits = [clone(model).fit(rows) for rows in (X, X + 0.0, sparse.csr_array(X))]
    np.testing.assert_array_equal(fits[0].transform(X), fits[1].transform(X))
    np.testing.assert_allclose(fits[0].transform(X), fits[2].transform(X), rtol=1e-6, atol=1e-8)


def test_missing_values_of_either_sign_are_equal():
    """The NaN of 0 / 0 has another sign than `numpy.nan` on most processors."""
    X = np.where(np.random.default_rng(1).random((300, 4)) < 0.2, np.nan, distinct_rows(300))
    signed = np.where(np.isnan(X), np.copysign(np.nan, np.random.default_rng(2).normal(size=X.shape)), X)
    np.testing.assert_array_equal(split(signed, fraction=0.2), split(X, fraction=0.2))


@pytest.mark.parametrize("X", [np.ones((1, 3)), np.ones((20, 3))], ids=["one_row", "equal_rows"])
def test_too_few_rows(X):
    estimator = AutoencoderTransformer(early_stopping=True, validation_fraction=0.25)
    with pytest.raises(ValueError, match=rf"n_samples={len(X)}\b.*validation_fraction=0.25"):
        estimator.fit(X)
    assert not hasattr(estimator, "encoder_")


@pytest.mark.parametrize(
    "estimator_class", [c for c in PUBLIC_CLASSES if issubclass(c, BaseAutoencoder)], ids=lambda c: c.__name__
)
def test_inner_validation_holds_out_of_the_rows_given_to_fit(estimator_class):
    """In a cross-validation, neither training nor early stopping sees a row of the fold that is scored."""
    X = np.arange(60.0).reshape(-1, 1) * [1.0, 0.5, 2.0]
    seen = {True: set(), False: set()}

    def recording(reconstruction, target):
        seen[reconstruction.requires_grad] |= set(target[:, 0].tolist())
        return (reconstruction - target).abs().mean(1)

    folds = []

    def scoring(estimator, X_test, y=None):
        folds.append((seen[True].copy(), seen[False].copy(), set(X_test[:, 0])))
        seen[True].clear()
        seen[False].clear()
        return 0.0

    model = configured(estimator_class, loss=recording, early_stopping=True, validation_fraction=0.25, max_iter=1)
    cv = KFold(3, shuffle=True, random_state=0)
    cross_val_score(make_pipeline(FunctionTransformer(), model), X, cv=cv, scoring=scoring)
    assert len(folds) == 3
    for trained, held_out, scored in folds:
        assert len(held_out) == 10
        assert not trained & held_out
        assert trained | held_out == set(X[:, 0]) - scored


@pytest.mark.parametrize("shuffle", [False, True])
def test_rows_held_out_are_not_trained_on(shuffle):
    """A loss of our own sees which rows come with gradients, and which without."""
    X = np.arange(60.0).reshape(-1, 1) * [1.0, 0.5]
    seen = {True: [], False: []}

    def recording(reconstruction, target):
        seen[reconstruction.requires_grad] += target[:, 0].tolist()
        return (reconstruction - target).abs().mean(1)

    settings = {"max_iter": 4, "tol": None, "batch_size": 7, "shuffle": shuffle, "learning_rate": 1e-5}
    AutoencoderTransformer(1, loss=recording, early_stopping=True, validation_fraction=0.25, **settings).fit(X)
    trained, held_out = set(seen[True]), set(seen[False])
    assert len(held_out) == 15
    assert not trained & held_out
    assert trained | held_out == set(X[:, 0])
    assert len(seen[True]) == 4 * 45
    assert len(seen[False]) == 5 * 15  # the weights at the start are a candidate


# A few rows, many times over --------------------------------------------------------------------------------


def kinds(n_kinds, n_rows=600):
    return np.eye(n_kinds)[np.random.default_rng(0).permutation(np.arange(n_rows) % n_kinds)]


@pytest.mark.parametrize(
    "cls", [AutoencoderTransformer, DenoisingAutoencoder, SparseAutoencoder, StackedAutoencoder, VAESampler]
)
def test_kinds_of_rows_are_not_held_out_whole(cls):
    X = kinds(6)
    model = cls(5, random_state=0).fit(X)
    assert not hasattr(model, "validation_loss_curve_")
    assert model.reconstruction_error(X).mean() < 0.05 * X.var(axis=0).mean()


@pytest.mark.parametrize("n_kinds", [6, 200])
def test_weights_count_as_repeated_rows(n_kinds):
    X = np.random.default_rng(0).normal(size=(n_kinds, 4))
    many = np.repeat(X, 6, axis=0)
    base = AutoencoderTransformer(2, random_state=0)
    repeated, weighted = base.fit(many), clone(base).fit(X, sample_weight=np.full(n_kinds, 6.0))
    for model in (repeated, weighted):
        assert hasattr(model, "validation_loss_curve_") == (n_kinds == 200)


def test_it_is_told_where_it_was_asked_for():
    settings = {"max_iter": 2, "random_state": 0}
    with pytest.warns(UserWarning, match="holds out 100 rows of X, but fewer than 10 different ones"):
        AutoencoderTransformer(3, early_stopping=True, **settings).fit(kinds(6))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        AutoencoderTransformer(3, early_stopping=True, **settings).fit(distinct_rows(30))
        AutoencoderTransformer(3, early_stopping=True, **settings).fit(kinds(6), X_val=kinds(6, 60))


# Rows far beyond the others --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [torch.from_numpy, sparse.csr_matrix], ids=["dense", "csr"])
@pytest.mark.parametrize(("highest", "far"), [(2.0, [0, 1, 2]), (90.0, [0, 2])])
def test_rows_beyond_the_range_of_the_others_by_more_than_its_width_are_told(kind, highest, far):
    X = np.random.default_rng(0).uniform(1, 2, size=(40, 3))
    X[:, 2] = 5.0
    X[0, 0], X[1, 1], X[2, 2], X[3, 0] = 3.5, -0.5, 5.1, 2.5
    X[30, 1] = highest  # of a row that is trained on
    held_out = torch.arange(40) < 10
    assert far_beyond(kind(X), held_out, ~held_out).nonzero()[:, 0].tolist() == far


def test_missing_values_are_beyond_no_range():
    X = torch.rand(20, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    X[:, 1] = torch.nan
    X[0, 0] = torch.nan
    held_out = torch.arange(20) < 6
    assert not far_beyond(X, held_out, ~held_out).any()


def test_where_most_rows_are_beyond_the_others_none_is_told():
    X = torch.eye(30, dtype=torch.float64)  # such as words that one document each has
    held_out = torch.arange(30) < 8
    assert not far_beyond(X, held_out, ~held_out).any()
