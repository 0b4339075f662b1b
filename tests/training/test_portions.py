"""`partial_fit` by portions: what is learnt and measured depends on the rows, not on the calls."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone

from skae import (
    AdversarialAutoencoder,
    AutoencoderTransformer,
    DenoisingAutoencoder,
    SemanticHasher,
    SparseAutoencoder,
    VAESampler,
)

STILL = {"learning_rate": 1e-14, "random_state": 0}  # the networks stay as they are at first


def around(n, seed, mean=500.0):
    """Rows of five hidden causes."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 5)) @ np.random.default_rng(0).normal(size=(5, 20)) + mean


def in_portions(model, X, size, **data):
    for start in range(0, len(X), size):
        part = slice(start, start + size)
        model.partial_fit(X[part], **{name: rows[part] for name, rows in data.items()})
    return model


# The centre ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "estimator",
    [
        AutoencoderTransformer(8),
        AutoencoderTransformer(8, ordered=True),
        AutoencoderTransformer(8, normalization="batch", tied_weights=True),
        DenoisingAutoencoder(8),
        SparseAutoencoder(32, sparsity="topk", n_active=8),
        AdversarialAutoencoder(8),
        VAESampler(8),
    ],
    ids=str,
)
def test_a_first_portion_of_zeros_does_no_harm(estimator):
    """The centre was the first portion's for ever: R^2 was 0.04 after 300 portions, that of the VAE negative."""
    model = clone(estimator).set_params(learning_rate=5e-3, random_state=0).partial_fit(np.zeros((100, 20)))
    in_portions(model, around(6000, 1), 100)
    X = around(1000, 2)
    assert 1 - np.square(model.reconstruct(X) - X).sum() / np.square(X - X.mean(0)).sum() > 0.85
    assert_allclose(model.offset_, X.mean(0), atol=0.3)


def test_networks_that_cannot_follow_say_so():
    model = AutoencoderTransformer(2, image_shape=(4, 5), hidden_layer_sizes=(2,), random_state=0)
    model.partial_fit(np.zeros((100, 20)))
    with pytest.warns(UserWarning, match="outside the range.*Begin with a portion that is typical"):
        model.partial_fit(around(100, 0))
    in_portions(model, around(300, 1), 100)  # once is enough


@pytest.mark.filterwarnings("ignore:.* of these rows are more than 3 times")  # sorted ones lie apart
@pytest.mark.parametrize("size", [100, 37, 1])
def test_the_centre_is_the_mean_of_all_rows_seen(size):
    """Also of sorted ones, whose portions have means of their own."""
    X = np.sort(around(400, 0), axis=0)
    model = AutoencoderTransformer(4, hidden_layer_sizes=(8,), max_iter=1, tol=None, random_state=0).fit(X[:40])
    in_portions(model, X[40:], size)
    assert_allclose(model.offset_, X.mean(0), rtol=1e-9)


@pytest.mark.parametrize(
    "estimator",
    [
        AutoencoderTransformer(4, hidden_layer_sizes=(8, 6)),
        AutoencoderTransformer(4, ordered=True, hidden_layer_sizes=()),
        AutoencoderTransformer(4, tied_weights=True, normalization="layer"),
        DenoisingAutoencoder(4),
        SparseAutoencoder(8, sparsity="topk"),
        VAESampler(4, likelihood=[("gaussian", range(10)), ("exponential", range(10, 20))]),
    ],
    ids=str,
)
def test_networks_stay_the_same_maps_as_their_centre_moves(estimator):
    X = around(200, 0, mean=20.0)
    clean = {"X_clean": X - 1} if isinstance(estimator, DenoisingAutoencoder) else {}
    model = clone(estimator).set_params(random_state=0)
    for _ in range(3):
        model.partial_fit(X, **clean)
    codes, restored, offset = model.transform(X), model.reconstruct(X), model.offset_
    in_portions(model.set_params(learning_rate=1e-14), X + 1, 50, **clean)
    assert not np.array_equal(model.offset_, offset)
    rotated = estimator.get_params().get("ordered") and estimator.hidden_layer_sizes == ()  # to new axes
    if not rotated:
        assert_allclose(model.transform(X), codes, atol=1e-6)
    assert_allclose(model.reconstruct(X), restored, atol=1e-6)


def with_gaps(X, seed=0):
    """Rows with a quarter of the cells missing, and a column that only later rows have values in."""
    gaps = np.random.default_rng(seed).uniform(size=X.shape) < 0.25
    gaps[: len(X) // 2, 3] = True
    return np.where(gaps, np.nan, X)


@pytest.mark.parametrize("cls", [VAESampler, DenoisingAutoencoder])
def test_missing_cells_do_not_count(cls):
    """The centre and the scale are those of the cells seen; networks stay the same maps, of rows with gaps too."""
    X = with_gaps(around(300, 0, mean=20.0))
    model = in_portions(cls(4, missing_values=np.nan, random_state=0), X, 50)
    assert_allclose(model.offset_, np.nanmean(X, 0), rtol=1e-5)
    if cls is DenoisingAutoencoder:
        expected = (statistic(X, 0) for statistic in (np.nanstd, np.nanmin, np.nanmax, np.nanmean))
        for column, statistic in zip(model._column_statistics, expected, strict=True):
            assert_allclose(column, statistic, rtol=1e-5)
    codes, restored = model.transform(X), model.reconstruct(X)
    in_portions(model.set_params(learning_rate=1e-14), with_gaps(X + 1, 1), 50)
    assert (model.offset_ > np.nanmean(X, 0) + 0.3).all()
    assert_allclose(model.transform(X), codes, atol=1e-5)
    assert_allclose(model.reconstruct(X), restored, atol=1e-5)


@pytest.mark.filterwarnings("ignore:.* of these rows are more than 3 times")  # sorted ones lie apart
@pytest.mark.parametrize("noise", ["gaussian", "salt_and_pepper"])
def test_noise_has_the_scale_of_all_rows_seen(noise):
    X = np.sort(around(300, 0), axis=0)
    model = in_portions(DenoisingAutoencoder(4, noise=noise, random_state=0), X, 50)
    expected = X.std(0), X.min(0), X.max(0), X.mean(0)
    for column, statistic in zip(model._column_statistics, expected, strict=True):
        assert_allclose(column, statistic, rtol=1e-9)


# What is measured ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1797, 200, 50, 7])
@pytest.mark.parametrize("sparsity", ["topk", "batch_topk", "kl"])
def test_activity_is_that_of_all_portions(digits, sparsity, size):
    """`dead_fraction_` and `mean_activation_` described the last portion only."""
    settings = {"sparsity": sparsity, "n_active": None if sparsity == "kl" else 4, **STILL}
    model = in_portions(SparseAutoencoder(64, **settings), digits, size)
    codes = model.transform(digits)
    if sparsity != "batch_topk":  # whose threshold has moved between portions
        assert_allclose(model.mean_activation_, codes.mean(0), rtol=1e-5, atol=1e-8)
        dead = (codes == 0).all(0) if sparsity == "topk" else np.ptp(codes, axis=0) < 0.01
        assert model.dead_fraction_ == dead.mean()
    else:
        assert (codes > 0).sum() / len(codes) == pytest.approx(4, rel=0.15)


@pytest.mark.parametrize("size", [1797, 50])
def test_other_statistics_are_those_of_all_portions(digits, size):
    vae = in_portions(VAESampler(8, **STILL), digits, size)
    assert vae.n_active_units_ == (vae.transform(digits).var(0) > 0.01).sum() > 0
    hasher = in_portions(SemanticHasher(16, **STILL), digits, size)
    assert_allclose(hasher.bit_frequencies_, hasher.transform(digits).mean(0), atol=1e-6)
    ordered = in_portions(AutoencoderTransformer(4, ordered=True, **STILL), digits, size)
    errors = [np.square(digits - digits.mean(0)).sum()]
    codes = ordered.transform(digits)
    for k in range(1, 5):
        prefix = np.where(np.arange(4) < k, codes, 0)
        errors.append(np.square(ordered.inverse_transform(prefix) - digits).sum())
    assert_allclose(ordered.explained_variance_, -np.diff(errors) / len(digits), rtol=0.2, atol=0.1)


def test_rows_count_until_the_next_window_is_full():
    """A window ends at 2000 rows or more, of which those of `fit` may be the first."""
    portions = np.split(around(7200, 0), 8)
    model = SparseAutoencoder(16, sparsity="topk", max_iter=1, tol=None, **STILL)
    model.fit(portions[0])
    first_of_those_that_count = [0, 0, 0, 0, 3, 3, 3]
    for n, first in enumerate(first_of_those_that_count, 1):
        model.partial_fit(portions[n])
        codes = model.transform(np.concatenate(portions[first : n + 1]))
        assert_allclose(model.mean_activation_, codes.mean(0), rtol=1e-4, atol=1e-6)
        assert_array_equal(model.dead_units_, np.flatnonzero((codes == 0).all(0)))


def test_old_portions_are_forgotten(digits):
    """Units that have died since count as dead."""
    model = in_portions(SparseAutoencoder(32, sparsity="topk", **STILL), digits, 100)
    assert model.dead_fraction_ < 1
    model.encoder_[-2 if len(list(model.encoder_.children())) > 2 else -1][0].bias.data.fill_(-1e6)
    for _ in range(3):
        in_portions(model, digits, 100)
    assert model.dead_fraction_ == 1
    assert_array_equal(model.mean_activation_, 0)


# Warm-ups --------------------------------------------------------------------------------------------------


def test_a_warm_up_goes_by_rows():
    """The same batches in one portion or in a hundred."""
    X = np.random.default_rng(0).uniform(size=(3000, 10))
    settings = {"loss": "binary_cross_entropy", "batch_size": 20, "shuffle": False, "dtype": "float64"}
    one, many = (VAESampler(2, kl_warm_up=2.0, random_state=0, **settings) for _ in range(2))
    one.partial_fit(X)
    in_portions(many, X, 20)
    assert_allclose(many.transform(X), one.transform(X), rtol=1e-6, atol=1e-8)
