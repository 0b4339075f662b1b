"""The explicit step against the autograd step: same numbers, whatever is combined."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from step_parity import N_FEATURES, N_ROWS, assert_steps_agree, both_fits, modes, unit_rows

from skae import AutoencoderTransformer, DenoisingAutoencoder, StackedAutoencoder
from skae._networks.activations import ACTIVATIONS
from skae._objectives.losses import LOSSES
from skae._training.autograd import AutogradStep
from skae._training.explicit import ExplicitStep
from skae._training.fitting import prepare
from skae._training.setup import Mode

NAMES = sorted(ACTIVATIONS)


@pytest.mark.parametrize("name", NAMES)
def test_hidden_activations(name):
    assert_steps_agree(*both_fits(activation=name))


@pytest.mark.parametrize("name", NAMES)
def test_code_activations(name):
    assert_steps_agree(*both_fits(code_activation=name))


@pytest.mark.parametrize("name", NAMES)
def test_output_activations(name):
    assert_steps_agree(*both_fits(output_activation=name))


@pytest.mark.parametrize("name", ["relu", "tanh", "gelu"])
@pytest.mark.parametrize("settings", [{}, {"tied_weights": True}, {"ordered": True}], ids=["", "tied", "ordered"])
def test_dropout(name, settings):
    """Both steps draw the same masks; rows held out are evaluated without."""
    ours, theirs = both_fits(activation=name, dropout=0.3, **settings)
    assert_steps_agree(ours, theirs, sizes=(10, 10, 3))
    with modes(ours):
        losses = [float(ours.step.evaluate(torch.arange(N_ROWS))) for _ in range(2)]
    assert losses[0] == losses[1]


@pytest.mark.parametrize("max_grad_norm", [1e-3, 1e3])
def test_long_gradients_are_scaled_down(max_grad_norm):
    """A step of plain gradient descent with rate one is as long as its gradient."""
    ours, theirs = both_fits(max_grad_norm=max_grad_norm)
    free, _ = both_fits()
    steps = []
    for fit in (ours, theirs, free):
        before = fit.step.parameters.clone()
        with modes(fit):
            fit.step(torch.arange(N_ROWS))
        steps.append(torch.linalg.vector_norm(fit.step.parameters - before).item())
    assert_allclose(steps[:2], min(max_grad_norm, steps[2]), rtol=1e-10)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("loss", sorted(LOSSES))
def test_losses(loss, tied):
    assert_steps_agree(*both_fits(loss=loss, tied_weights=tied))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("hidden", [(), (6,), (6, 5, 4)])
def test_tied_weights(hidden, name):
    assert_steps_agree(
        *both_fits(hidden_layer_sizes=hidden, tied_weights=True, activation=name, code_activation=name)
    )


@pytest.mark.parametrize("hidden", [(), 4, (9, 8, 6, 5)])
@pytest.mark.parametrize("decoder_hidden", [None, (), (4, 12)])
def test_depths(hidden, decoder_hidden):
    assert_steps_agree(*both_fits(hidden_layer_sizes=hidden, decoder_hidden_layer_sizes=decoder_hidden))


@pytest.mark.parametrize("n_components", [1, 7, 20])
def test_widths_of_the_code(n_components):
    assert_steps_agree(*both_fits(n_components=n_components, activation="gelu"))


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("solver", ["adam", "adamw", "sgd"])
def test_whole_steps_with_alpha(solver, tied):
    pair = both_fits(solver=solver, alpha=0.1, tied_weights=tied, learning_rate=0.01, momentum=0.9)
    assert_steps_agree(*pair, sizes=(8, 8, 7))


@pytest.mark.parametrize("contractive", [0.0, 0.3])
@pytest.mark.parametrize("loss", sorted(LOSSES))
def test_sample_weights(loss, contractive):
    weight = np.random.default_rng(1).integers(0, 4, N_ROWS).astype(float)
    pair = both_fits(
        weight, loss=loss, contractive=contractive, hidden_layer_sizes=(), code_activation="sigmoid", alpha=0.01
    )
    assert_steps_agree(*pair, sizes=(12, 11))


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("sizes", [(10, 10, 3), (22, 1), (1, 22), (1, 1, 1, 10, 10)])
def test_batches_of_several_sizes(sizes, tied):
    assert_steps_agree(*both_fits(learning_rate=0.1, activation="silu", tied_weights=tied), sizes=sizes)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("code_activation", ["identity", "relu", "sigmoid", "logistic", "tanh"])
def test_contractive_closed_form(code_activation, tied):
    pair = both_fits(contractive=0.3, hidden_layer_sizes=(), code_activation=code_activation, tied_weights=tied)
    assert_steps_agree(*pair, sizes=(N_ROWS,))


def own_noise(X, generator):
    return X * torch.empty_like(X).uniform_(generator=generator)


@pytest.mark.parametrize("loss", ["squared_error", "binary_cross_entropy"])
@pytest.mark.parametrize("noise", ["gaussian", "masking", "salt_and_pepper", own_noise])
@pytest.mark.parametrize("estimator_class", [DenoisingAutoencoder, StackedAutoencoder])
def test_noise(estimator_class, noise, loss):
    """From the same state of the generator, batch after batch, with held-out rows in between."""
    pair = both_fits(estimator_class=estimator_class, noise=noise, noise_level=0.5, loss=loss, learning_rate=0.1)
    states = [fit.objective.corruption.generator.get_state() for fit in pair]
    assert torch.equal(*states)
    assert_steps_agree(*pair, sizes=(10, 9, 4))
    after = [fit.objective.corruption.generator.get_state() for fit in pair]
    assert torch.equal(*after)
    assert not torch.equal(states[0], after[0])


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("loss", sorted(LOSSES))
def test_pairs_of_noisy_and_clean_rows(loss, tied):
    X_clean = np.random.default_rng(1).uniform(size=(N_ROWS, N_FEATURES))
    pair = both_fits(estimator_class=DenoisingAutoencoder, X_clean=X_clean, loss=loss, tied_weights=tied)
    assert_steps_agree(*pair)
    own, clean = both_fits(loss=loss, tied_weights=tied)[0], pair[0]
    losses = []
    for fit in (own, clean):
        with modes(fit):
            losses.append(float(fit.step.evaluate(torch.arange(N_ROWS))))
    assert abs(losses[0] / losses[1] - 1) > 1e-3, "the target is another one"


@pytest.mark.parametrize(
    ("parameters", "explicit"),
    [
        ({}, True),
        ({"tied_weights": True, "alpha": 0.1}, True),
        ({"contractive": 0.1, "hidden_layer_sizes": (), "code_activation": "tanh"}, True),
        ({"contractive": 0.1}, False),
        ({"contractive": 0.1, "hidden_layer_sizes": (), "code_activation": "gelu"}, False),
        ({"loss": lambda o, t: (o - t).abs().mean(1)}, False),
        ({"encoder": torch.nn.Linear(N_FEATURES, 16)}, False),
    ],
)
def test_which_step_is_taken(parameters, explicit):
    step = prepare(AutoencoderTransformer(random_state=0, **parameters), unit_rows(), Mode.FRESH).step
    assert isinstance(step, ExplicitStep if explicit else AutogradStep)


def squared_error(reconstruction, target):
    return (reconstruction - target).square().mean(1)


@pytest.mark.parametrize("solver", ["adam", "sgd"])
@pytest.mark.parametrize("early_stopping", [False, True])
def test_whole_fits(solver, early_stopping, wine):
    """A loss of the user's own takes the autograd step; with the same formula, the fit is the same."""
    X = wine[:121] - wine[:121].mean(0)  # batches of 20 leave one row over; a callable gets no centring
    X /= np.sqrt(X.var(0).mean())  # nor rows divided by their unit
    settings = {
        "solver": solver,
        "init": "glorot",
        "learning_rate": 1e-3,
        "batch_size": 20,
        "max_iter": 5,
        "random_state": 0,
        "early_stopping": early_stopping,
    }
    ours = AutoencoderTransformer(3, **settings).fit(X)
    theirs = AutoencoderTransformer(3, loss=squared_error, **settings).fit(X)
    assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-8)
    assert_allclose(ours.transform(X), theirs.transform(X), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("parameters", [{}, {"tied_weights": True}, {"loss": squared_error}])
def test_bfloat16_stays_close(parameters, digits):
    X = digits[:600].astype(np.float32)
    settings = {"learning_rate": 1e-3, "max_iter": 10, "random_state": 0, "batch_size": 50, **parameters}
    full = AutoencoderTransformer(8, dtype="float32", **settings).fit(X)
    mixed = AutoencoderTransformer(8, dtype="bfloat16", **settings).fit(X)
    assert_allclose(mixed.loss_curve_, full.loss_curve_, rtol=0.02)
    assert not np.array_equal(mixed.loss_curve_, full.loss_curve_)
    assert abs(mixed.score(X) - full.score(X)) < 0.02
    assert {p.dtype for p in mixed.encoder_.parameters()} == {torch.float32}
