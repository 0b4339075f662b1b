"""The configurations that the contract tests walk through; a new estimator joins with one line."""

import inspect

import numpy as np
import pytest
from sklearn.base import clone

import skae
from skae import AutoencoderTransformer, BaseAutoencoder, VAESampler


def fourth_power(reconstruction, target):
    """A loss of the user's own, one value for each row."""
    return (reconstruction - target).pow(4).mean(1)


def configured(estimator_class, **parameters):
    """A fast configuration; tol=None because a ConvergenceWarning is an error here."""
    settings = {"n_components": 2, "hidden_layer_sizes": (8,), "max_iter": 4, "tol": None, "random_state": 0}
    return estimator_class(**{**settings, **parameters})


CONFIGURATIONS = {
    "default": configured(AutoencoderTransformer),
    "early_stopping": configured(AutoencoderTransformer, early_stopping=True, validation_fraction=0.2),
    "tied": configured(AutoencoderTransformer, tied_weights=True, activation="elu"),
    "contractive_deep": configured(AutoencoderTransformer, contractive=0.1, activation="tanh"),
    "contractive_shallow": configured(
        AutoencoderTransformer, contractive=0.1, hidden_layer_sizes=(), code_activation="sigmoid"
    ),
    "huber_alpha": configured(AutoencoderTransformer, loss="huber", alpha=0.01),
    "linear": configured(AutoencoderTransformer, hidden_layer_sizes=()),
    "sgd": configured(AutoencoderTransformer, solver="sgd"),
    "own_loss": configured(AutoencoderTransformer, loss=fourth_power),
    "vae": configured(VAESampler),
    "vae_draws": configured(VAESampler, n_mc_samples=3, code_activation="tanh", kl_warm_up=2, free_bits=0.1),
    "vae_early_stopping": configured(VAESampler, early_stopping=True, validation_fraction=0.2, beta=0.5),
    "vae_loss": configured(VAESampler, loss="squared_error", alpha=0.01, hidden_layer_sizes=()),
    "vae_own_loss": configured(VAESampler, loss=fourth_power),
}

# Trained in float32, rows and their weights agree to 1e-7 only: scikit-learn's check of that leaves these out.
SINGLE_PRECISION = {
    "float32": configured(AutoencoderTransformer, dtype="float32"),
    "vae_float32": configured(VAESampler, dtype="float32", decoder_variance=0.5),
}

ESTIMATORS = [
    pytest.param(estimator, id=name) for name, estimator in {**CONFIGURATIONS, **SINGLE_PRECISION}.items()
]

# Those whose score is R^2 and whose rows score minus their error; the others have a likelihood.
BY_ERROR = [p for p in ESTIMATORS if type(p.values[0]).score_samples is BaseAutoencoder.score_samples]
# Those that draw nothing for each batch, so that rows alone tell what a step does.
NOISELESS = [p for p in ESTIMATORS if not isinstance(p.values[0], VAESampler)]

PUBLIC_CLASSES = [
    value
    for name in skae.__all__
    if inspect.isclass(value := getattr(skae, name)) and value is not skae.BaseAutoencoder
]


def rows(n_samples=60, n_features=5, seed=0):
    """Rows near a plane, so that two codes are worth having; float64."""
    rng = np.random.default_rng(seed)
    plane = rng.normal(size=(n_samples, 2)) @ rng.normal(size=(2, n_features))
    return plane + 0.1 * rng.normal(size=(n_samples, n_features))


def assert_same(first, second):
    """Equal bit for bit, and of one dtype."""
    first, second = np.asarray(first), np.asarray(second)
    assert first.dtype == second.dtype
    np.testing.assert_array_equal(first, second)


def fitted(estimator, X=None, **parameters):
    """A fitted copy."""
    return clone(estimator).set_params(**parameters).fit(rows() if X is None else X)


def assert_same_model(first, second):
    """Same networks and same history, bit for bit."""
    for name in ("encoder_", "decoder_"):
        one, other = (getattr(model, name).state_dict() for model in (first, second))
        assert list(one) == list(other)
        for key in one:
            assert_same(one[key], other[key])
    for name in ("loss_curve_", "n_iter_", "n_features_in_", "best_loss_", "n_parameters_"):
        assert_same(getattr(first, name), getattr(second, name))
