"""What "auto" stands for, rows to watch that are given, and what is said of the values that were used."""

import numpy as np
import pytest
import torch
from estimators import configured, rows
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array
from sklearn import config_context
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skae import (
    AdversarialAutoencoder,
    AutoencoderClassifier,
    AutoencoderTransformer,
    DenoisingAutoencoder,
    SemanticHasher,
    SparseAutoencoder,
    StackedAutoencoder,
    TabularVAESampler,
    VAESampler,
)

NARROW = {"n_components": 2, "hidden_layer_sizes": (4,), "random_state": 0}


@pytest.mark.parametrize(
    ("n_rows", "batch_size", "held_out", "n_epochs"),
    [(12, 9, 3, 300), (100, 16, 25, 300), (600, 33, 60, 147), (3000, 64, 300, 58), (20000, 64, 2000, 20)],
)
def test_batches_epochs_and_rows_held_out(n_rows, batch_size, held_out, n_epochs):
    """The rows trained on decide: a sixteenth of them in a batch, 2500 steps, between 20 and 300 epochs."""
    if n_rows > 1000:  # enough to see what is planned
        return _planned(n_rows, batch_size, n_epochs)
    model = StackedAutoencoder(**NARROW, pretrain_max_iter=1).fit(rows(n_rows))
    assert (model.batch_size_, model.max_iter_, model.learning_rate_) == (batch_size, n_epochs, 0.01)
    assert model.n_iter_ == len(model.validation_loss_curve_) == n_epochs
    return None


def _planned(n_rows, batch_size, n_epochs):
    model = AutoencoderTransformer(**NARROW)
    n_trained = n_rows - n_rows // 10
    assert model._automatic.batch_size(n_trained) == batch_size
    assert model._automatic.max_iter(n_trained, batch_size) == n_epochs


@pytest.mark.parametrize(
    ("estimator", "sizes", "rate"),
    [
        (AutoencoderTransformer, 128, 0.01),
        (AutoencoderTransformer, 512, 0.0025),
        (StackedAutoencoder, (40, 256), 0.005),
        (VAESampler, (256, 40), 0.005),
        (SparseAutoencoder, 512, 0.001),
        (SparseAutoencoder, 2560, 0.0005),
    ],
)
def test_wide_hidden_layers_are_trained_at_a_lower_rate(estimator, sizes, rate):
    model = estimator(2, hidden_layer_sizes=sizes, max_iter=1, random_state=0).fit(rows())
    assert model.learning_rate_ == rate
    if estimator is AutoencoderTransformer:
        model.set_params(decoder_hidden_layer_sizes=1024).fit(rows())
        assert model.learning_rate_ == 0.00125


def test_tables_are_trained_at_a_lower_rate_too():
    for width, rate in ((256, 0.004), (1024, 0.00125)):
        model = TabularVAESampler(2, hidden_layer_sizes=(width,), max_iter=1, random_state=0).fit(rows())
        assert model.vae_.learning_rate_ == rate


def test_wide_networks_learn_as_well_as_they_can():
    """At 0.01, these leave twice the error."""
    X = load_digits().data[:600] / 16
    model = AutoencoderTransformer(
        8,
        hidden_layer_sizes=(784, 392),
        activation="tanh",
        output_activation="sigmoid",
        max_iter=60,
        random_state=0,
    )
    assert model.fit(X).score(X) > 0.95


def test_numbers_and_booleans_mean_what_they_say():
    settings = {"learning_rate": 0.002, "batch_size": 7, "max_iter": 3, "early_stopping": False}
    model = AutoencoderTransformer(**NARROW, **settings).fit(rows())
    assert (model.learning_rate_, model.batch_size_, model.max_iter_, model.n_iter_) == (0.002, 7, 3, 3)
    assert not hasattr(model, "validation_loss_curve_")
    assert not hasattr(AutoencoderTransformer(max_iter=3, **NARROW).fit(rows()), "validation_loss_curve_")
    assert (
        len(AutoencoderTransformer(max_iter=3, early_stopping=True, **NARROW).fit(rows()).validation_loss_curve_)
        == 3
    )


@pytest.mark.parametrize(
    "parameters",
    [{}, {"activation": "tanh"}, {"init": "he", "hidden_layer_sizes": (64, 32)}, {"loss": "absolute_error"}],
    ids=["plain", "tanh", "he", "absolute_error"],
)
def test_sgd_gets_near_adam_by_itself(parameters):
    """With heavy tails too, whose gradients it shortens, and in any unit."""
    rng = np.random.default_rng(0)
    tails = rng.standard_t(2, size=(200, 12)) @ rng.normal(size=(12, 12))
    for X, margin in ((load_digits().data[:200], 0.08), (1e-3 * tails, 0.15)):
        settings = {"n_components": 4, "max_iter": 60, "random_state": 0, **parameters}
        adam, sgd = (AutoencoderTransformer(solver=solver, **settings).fit(X) for solver in ("adam", "sgd"))
        assert sgd.learning_rate_ == 0.2
        assert sgd.score(X) > adam.score(X) - margin


@pytest.mark.parametrize(
    ("estimator_class", "parameters"),
    [
        (SparseAutoencoder, {"sparsity": "kl"}),
        (SparseAutoencoder, {"sparsity": "topk"}),
        (AdversarialAutoencoder, {}),
        (SemanticHasher, {}),
    ],
)
def test_sgd_gets_near_adam_in_long_runs_too(estimator_class, parameters):
    """At 0.001, which is Adam's rate there, R² hardly rose above 0."""
    X = load_digits().data[:300]
    models = [estimator_class(solver=s, random_state=0, **parameters).fit(X) for s in ("adam", "sgd")]
    adam, sgd = (model.score(X) for model in models)
    assert sgd > adam - 0.08
    assert sgd > 0.4


@pytest.mark.parametrize(
    "again",
    [
        lambda model: model.partial_fit(rows()),
        lambda model: model.set_params(early_stopping=False).fit(rows()),
        lambda model: model.set_params(early_stopping=False, warm_start=True).fit(rows()),
    ],
    ids=["partial_fit", "fit", "warm_start"],
)
def test_losses_of_rows_held_out_go_with_the_fit_that_held_them_out(again):
    """They stayed, and told of weights that were no more."""
    model = AutoencoderTransformer(max_iter=3, early_stopping=True, **NARROW).fit(rows())
    assert len(model.validation_loss_curve_) == 3
    assert not hasattr(again(model), "validation_loss_curve_")


def test_too_few_rows_to_hold_some_out_are_all_trained_on():
    """Automatically; whoever asks for it is told."""
    X = np.repeat(rows(1), 5, axis=0)
    assert not hasattr(AutoencoderTransformer(**NARROW).fit(X), "validation_loss_curve_")
    with pytest.raises(ValueError, match="early_stopping=True"):
        AutoencoderTransformer(early_stopping=True, **NARROW).fit(X)


def test_portions_have_no_end():
    """partial_fit keeps one rate, whatever the schedule."""
    one, other = (AutoencoderTransformer(**NARROW, learning_rate_schedule=name) for name in ("constant", "linear"))
    for _ in range(3):
        one.partial_fit(rows())
        other.partial_fit(rows())
    assert_allclose(one.transform(rows()), other.transform(rows()), rtol=0)
    assert (one.learning_rate_, one.batch_size_) == (1e-3, 60)


def test_the_classifier_says_what_it_used():
    model = AutoencoderClassifier(AutoencoderTransformer(max_iter=1, **NARROW)).fit(rows(), np.arange(60) % 2)
    assert (model.learning_rate_, model.batch_size_, model.max_iter_) == (1e-3, 60, 200)


class Heavy(AutoencoderTransformer):
    """A penalty whose gradients are long."""

    def _penalty(self, x, code):
        return 100 * code.square().sum(1)


def steep_encoder():
    encoder = torch.nn.Linear(5, 2)
    torch.nn.init.constant_(encoder.weight, 10.0)
    return encoder


@pytest.mark.parametrize(
    "estimator",
    [Heavy(**NARROW, max_iter=3), AutoencoderTransformer(2, encoder=steep_encoder(), max_iter=3, random_state=0)],
    ids=["penalty", "encoder"],
)
def test_gradients_of_own_terms_are_scaled_down_with_the_automatic_rate(estimator):
    X = rows()

    def codes(**parameters):
        return clone(estimator).set_params(**parameters).fit(X).transform(X)

    assert_array_equal(codes(), codes(max_grad_norm=0.5))
    assert not np.allclose(codes(), codes(max_grad_norm=1e6), rtol=1e-3)
    assert_array_equal(codes(learning_rate=0.01), codes(learning_rate=0.01, max_grad_norm=1e6))
    assert_array_equal(clone(estimator).partial_fit(X).transform(X), _one_pass(estimator, X))


def _one_pass(estimator, X):
    return clone(estimator).set_params(max_grad_norm=1e6).partial_fit(X).transform(X)


# Rows to watch -------------------------------------------------------------------------------------------------

WATCHED = {
    "explicit": configured(AutoencoderTransformer, learning_rate=0.01),
    "autograd": configured(AutoencoderTransformer, learning_rate=0.01, normalization="batch"),
    "stacked": configured(StackedAutoencoder, learning_rate=0.01, pretrain_max_iter=2),
    "denoising": configured(DenoisingAutoencoder, learning_rate=0.01),
    "variational": configured(VAESampler, learning_rate=0.01),
}


@pytest.mark.parametrize("estimator", WATCHED.values(), ids=WATCHED)
def test_rows_to_watch(estimator):
    """They are neither trained on nor part of the mean, and the best weights for them come back."""
    X, X_val = rows(60), rows(20, seed=1) + 1
    model = clone(estimator).fit(X, X_val=X_val)
    assert len(model.validation_loss_curve_) == 4
    assert_allclose(model.offset_, X.mean(0))
    if type(model) is AutoencoderTransformer:
        assert_allclose(model.best_loss_, model.reconstruction_error(X_val).mean(), rtol=1e-6)
    other = clone(estimator).fit(X, X_val=3 * X_val)
    assert other.loss_curve_ == model.loss_curve_
    assert other.validation_loss_curve_ != model.validation_loss_curve_


def test_rows_to_watch_without_early_stopping_are_only_watched():
    X, X_val = rows(60), rows(20, seed=1)
    watched = configured(AutoencoderTransformer, early_stopping=False, learning_rate=0.5).fit(X, X_val=X_val)
    plain = configured(AutoencoderTransformer, learning_rate=0.5).fit(X)
    assert_allclose(watched.transform(X), plain.transform(X))
    assert_allclose(watched.validation_loss_curve_[-1], watched.reconstruction_error(X_val).mean(), rtol=1e-6)


def test_rows_to_watch_go_through_a_pipeline():
    X, X_val = 5 + 3 * rows(60), 5 + 3 * rows(20, seed=1)
    with config_context(enable_metadata_routing=True):
        inner = configured(AutoencoderTransformer).set_fit_request(X_val=True)
        pipe = make_pipeline(StandardScaler(), inner, transform_input=["X_val"]).fit(X, X_val=X_val)
    scaler = StandardScaler().fit(X)
    direct = configured(AutoencoderTransformer).fit(scaler.transform(X), X_val=scaler.transform(X_val))
    assert pipe[-1].validation_loss_curve_ == direct.validation_loss_curve_


def test_rows_to_watch_are_checked():
    model = configured(AutoencoderTransformer)
    for X_val, said in (
        (rows(n_features=6), "X has 6 features"),
        (np.nan * rows(), "Input X contains NaN"),
        ([], ""),
    ):
        with pytest.raises(ValueError, match=f"^In X_val: {said}"):
            model.fit(rows(), X_val=X_val)
    with pytest.raises(TypeError, match=r"^In X_val: Sparse data"):
        configured(VAESampler, missing_values=np.nan).fit(rows(), X_val=csr_array(rows()))
    with pytest.raises(ValueError, match="X_val"):
        configured(DenoisingAutoencoder).fit(rows(), X_clean=rows(), X_val=rows())
