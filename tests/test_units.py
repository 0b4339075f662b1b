"""The unit of X decides nothing where the objective has none: not the split, not the training, not the score."""

import numpy as np
import pytest
from estimators import CONFIGURATIONS, CONVOLUTIONAL, INEXACT_WEIGHTS, MISSING, configured, rows
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_digits

from skae import (
    AdversarialAutoencoder,
    AutoencoderTransformer,
    DenoisingAutoencoder,
    SemanticHasher,
    SparseAutoencoder,
    StackedAutoencoder,
    VAESampler,
)
from skae._data.split import hold_out

# Their objective adds up terms in several units, or is a user's own, in units of X.
HAVE_A_UNIT = {"huber_alpha", "contractive_deep", "contractive_shallow", "images_contractive", "sparse_kl"}
HAVE_A_UNIT |= {"vae_loss", "vae_float32", "vae_student_t", "hasher_watched", "adversarial_mixture"}
HAVE_A_UNIT |= {"ordered_linear"}  # its codes are coordinates
OTHERS = {
    "absolute_error": configured(AutoencoderTransformer, loss="absolute_error", solver="sgd"),
    "one_portion_at_a_time": configured(AutoencoderTransformer, learning_rate="auto", batch_size="auto"),
    "callable_noise": configured(DenoisingAutoencoder, noise=lambda X, generator: X * 0.5),
}
UNITLESS = [
    pytest.param(estimator, id=name)
    for name, estimator in {**CONFIGURATIONS, **INEXACT_WEIGHTS, **CONVOLUTIONAL, **OTHERS, **MISSING}.items()
    if name not in HAVE_A_UNIT and not callable(estimator.loss) and hasattr(estimator, "partial_fit")
]


def assert_same_in_units(model, X, other, unit):
    """Equal to the last bit, which a power of two changes none of."""
    Z = model.transform(X)
    if isinstance(model, VAESampler):  # variances are in units of the data, and round otherwise
        assert_allclose(Z, other.transform(X * unit), atol=1e-5 if model.dtype == "float32" else 1e-9)
        shift = np.log(unit) * (~np.isnan(X)).sum(1)
        assert_allclose(model.score_samples(X), other.score_samples(X * unit) + shift, rtol=1e-6, atol=1e-5)
        atol = 1e-6 if model.dtype == "float32" else 1e-12
        assert_allclose(model.inverse_transform(Z), other.inverse_transform(Z) / unit, atol=atol)
        assert_allclose(model.loss_curve_, other.loss_curve_ - np.mean(shift), rtol=1e-5)
        return
    assert_array_equal(Z, other.transform(X * unit))
    assert_array_equal(model.inverse_transform(Z), other.inverse_transform(Z) / unit)
    degree = 1 if model.loss == "absolute_error" else 2
    assert_array_equal(model.loss_curve_, np.divide(other.loss_curve_, unit**degree))
    if hasattr(model, "validation_loss_curve_"):
        assert_array_equal(model.validation_loss_curve_, np.divide(other.validation_loss_curve_, unit**degree))
        assert model.best_loss_ == other.best_loss_ / unit**degree


@pytest.mark.filterwarnings("ignore:The warm start has changed nothing:UserWarning")
@pytest.mark.parametrize("estimator", UNITLESS)
def test_fits_do_not_depend_on_the_unit(estimator):
    X, unit = rows(), 1 / 16
    if estimator._takes_missing:
        X = X.copy()
        X[::7, 1] = np.nan
    one, other = clone(estimator).fit(X), clone(estimator).fit(X * unit)
    assert_same_in_units(one, X, other, unit)
    for _ in range(2):  # the unit stays that of the first rows
        one.partial_fit(X[:20])
        other.partial_fit(X[:20] * unit)
    assert_allclose(one.transform(X), other.transform(X * unit), atol=1e-4 if one.dtype == "float32" else 1e-9)
    for model, scale in ((one, 1), (other, unit)):
        model.set_params(warm_start=True).fit(3 * X[:40] * scale)
    assert_same_in_units(one, X, other, unit)


def test_pairs_have_a_unit_for_each_side():
    rng = np.random.default_rng(0)
    clean = rng.normal(size=(200, 3)) @ rng.normal(size=(3, 8))
    X = clean + 0.3 * rng.normal(size=clean.shape)
    settings = {"max_iter": 20, "learning_rate": 0.01, "n_components": 3}
    one, other = configured(DenoisingAutoencoder, **settings), configured(DenoisingAutoencoder, **settings)
    one.fit(X, X_clean=clean)
    other.fit(X / 1024, X_clean=8 * clean)
    assert_array_equal(one.denoise(X), other.denoise(X / 1024) / 8)
    assert_array_equal(one.loss_curve_, np.divide(other.loss_curve_, 64))
    assert_array_equal(
        one.partial_fit(X, X_clean=clean).transform(X),
        other.partial_fit(X / 1024, X_clean=8 * clean).transform(X / 1024),
    )


def test_denoising_measures_its_residuals_in_units_of_the_data():
    X = rows()
    one, other = (configured(DenoisingAutoencoder).fit(X * unit) for unit in (1, 8))
    assert_array_equal(one.residual_variance_ * 64, other.residual_variance_)
    assert_allclose(one.sample(5, random_state=0) * 8, other.sample(5, random_state=0), rtol=1e-12)


def test_components_are_in_units_of_the_data():
    X = 50 * rows()
    model = configured(SparseAutoencoder, sparsity="topk", hidden_layer_sizes=()).fit(X)
    added = model.inverse_transform(np.eye(2)) - model.inverse_transform(np.zeros((1, 2)))
    assert_allclose(model.components_, added, rtol=1e-6, atol=1e-9)


def test_the_explained_variance_of_units_is_in_squared_units_of_the_data():
    X = rows()
    settings = {"n_components": 3, "ordered": True}
    one, other = (configured(AutoencoderTransformer, **settings).fit(X * unit) for unit in (1, 8))
    assert_array_equal(one.explained_variance_ * 64, other.explained_variance_)


def with_penalty(solver):
    class Penalised(AutoencoderTransformer):
        def _penalty(self, x, code):
            return code.square().sum(1)

    return configured(Penalised, solver=solver, alpha=3.0, max_iter=1, learning_rate=1e-12, init="glorot")


@pytest.mark.parametrize("solver", ["adam", "adamw"])
def test_penalties_are_added_to_the_loss_in_units_of_the_data(solver):
    """Half of alpha times the squares of the weights, and what a class adds."""
    X = 50 * rows()
    model = with_penalty(solver).fit(X)
    networks = (model.encoder_, model.decoder_)
    squares = sum(float(p.detach().square().sum()) for n in networks for p in n.parameters() if p.ndim > 1)
    own = np.square(model.transform(X)).sum(1).mean()
    assert model.loss_ == pytest.approx(model.reconstruction_error(X).mean() + 1.5 * squares + own, rel=1e-6)


@pytest.mark.parametrize("sparsity", ["kl", "l1"])
def test_the_weight_of_sparsity_is_that_of_the_objective_as_reported(sparsity):
    X = 50 * rows()
    model = configured(SparseAutoencoder, sparsity=sparsity, max_iter=1, learning_rate=1e-12).fit(X)
    Z = model.transform(X)
    mean, t = Z.mean(0), 0.1
    term = (t * np.log(t / mean) + (1 - t) * np.log((1 - t) / (1 - mean))).sum()
    term = np.abs(Z).sum(1).mean() if sparsity == "l1" else term
    error = model.reconstruction_error(X).mean()
    assert model.loss_ == pytest.approx(error + model.sparsity_weight_ * term, rel=1e-6)


def test_warm_starts_keep_the_objective_as_documented():
    """With alpha after a fit without it."""
    X = 50 * rows()
    model = configured(AutoencoderTransformer, warm_start=True).fit(X)
    model.set_params(alpha=3.0, learning_rate=1e-12, max_iter=1).fit(X)
    networks = (model.encoder_, model.decoder_)
    squares = sum(float(p.detach().square().sum()) for n in networks for p in n.parameters() if p.ndim > 1)
    expected = model.reconstruction_error(X).mean() + 1.5 * squares
    assert model.loss_ == pytest.approx(expected, rel=1e-6)


def test_constant_and_tiny_data_have_a_unit_too():
    for X in (np.full((30, 3), 7.0), 1e-30 * rows(), (1e-25 * rows()).astype(np.float32)):
        model = configured(AutoencoderTransformer).fit(X)
        assert np.isfinite(model.reconstruct(X)).all()


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_rows_are_held_out_whatever_their_unit(dtype):
    import torch

    X = np.random.default_rng(0).normal(size=(300, 20)).astype(dtype)
    weight = torch.ones(300)

    def chosen(factor):
        generator = torch.Generator().manual_seed(0)
        return hold_out(torch.from_numpy(X * dtype(factor)), weight, 0.2, generator).numpy()

    expected = chosen(1)
    assert_array_equal(expected, chosen(0.25))
    for factor in (1e-3, 30, 1e6):  # a rounding may move a row
        assert (expected == chosen(factor)).mean() > 0.98


DIGITS = load_digits().data[:400] / 16
TRIED = {
    "adam": AutoencoderTransformer(8),
    "sgd": AutoencoderTransformer(8, solver="sgd"),
    "huber": AutoencoderTransformer(8, loss="huber"),
    "tanh": AutoencoderTransformer(8, activation="tanh", tied_weights=True),
    "denoising": DenoisingAutoencoder(8),
    "stacked": StackedAutoencoder(8, hidden_layer_sizes=(32,), pretrain_max_iter=10),
    "topk": SparseAutoencoder(32, sparsity="topk"),
    "l1": SparseAutoencoder(32, sparsity="l1"),
    "adversarial": AdversarialAutoencoder(8),
    "hasher": SemanticHasher(16),
    "vae": VAESampler(8),
}


@pytest.mark.parametrize("name", TRIED)
def test_a_thousandth_of_the_data_is_learnt_as_well(name):
    scores = []
    for factor in (1, 1e-3):
        model = clone(TRIED[name]).set_params(max_iter=20, early_stopping=True, random_state=0)
        model.fit(DIGITS * factor)
        restored = model.inverse_transform(model.transform(DIGITS * factor)) / factor
        scores.append(1 - ((restored - DIGITS) ** 2).sum() / ((DIGITS - DIGITS.mean(0)) ** 2).sum())
    assert scores[0] > 0.1
    assert abs(scores[0] - scores[1]) < 0.01
