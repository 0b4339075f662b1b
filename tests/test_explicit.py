"""The explicit step against the autograd step: same numbers, whatever is combined."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from skae import AutoencoderTransformer, DenoisingAutoencoder, StackedAutoencoder
from skae._networks.activations import ACTIVATIONS
from skae._objectives.losses import LOSSES
from skae._objectives.penalties import Penalty
from skae._training.autograd import AutogradStep
from skae._training.averaging import Averaged
from skae._training.explicit import ExplicitStep
from skae._training.fitting import Fit

N_ROWS, N_FEATURES = 23, 7
NAMES = sorted(ACTIVATIONS)


def unit_rows():
    """Rows in (0, 1), which every loss accepts."""
    return np.random.default_rng(0).uniform(0.01, 0.99, size=(N_ROWS, N_FEATURES))


def by_autograd(estimator_class):
    """Return the same estimator, whose penalty knows no closed form: it trains by autograd."""

    class ByAutograd(estimator_class):
        def _regularizer(self, fit):
            penalty = super()._regularizer(fit) or Penalty(lambda x, code, row_weight: 0 * code.sum())
            return penalty._replace(closed_form=None)

    return ByAutograd


def both_steps(sample_weight=None, *, estimator_class=AutoencoderTransformer, X_clean=None, **parameters):
    """Return an explicit and an autograd step on networks with the same random weights and biases."""
    settings = {
        "n_components": 3,
        "hidden_layer_sizes": (6, 5),
        "solver": "sgd",
        "momentum": 0.0,
        "learning_rate": 1.0,
        "random_state": 0,
        **parameters,
    }
    fit, other = (
        Fit(kind(**settings), unit_rows(), sample_weight=sample_weight, X_clean=X_clean)
        for kind in (estimator_class, by_autograd(estimator_class))
    )
    explicit, autograd = (f.step.step if isinstance(f.step, Averaged) else f.step for f in (fit, other))
    assert isinstance(explicit, ExplicitStep)
    assert isinstance(autograd, AutogradStep)
    explicit.parameters.normal_(0, 0.5, generator=torch.Generator().manual_seed(1))
    explicit.publish()
    other.encoder.load_state_dict(fit.encoder.state_dict())
    other.decoder.load_state_dict(fit.decoder.state_dict())
    return (explicit, (fit.encoder, fit.decoder)), (autograd, (other.encoder, other.decoder))


def values(networks):
    """All parameters, by network and name; a tied weight is its encoder's alone."""
    named = [(i, name, p) for i, network in enumerate(networks) for name, p in network.named_parameters()]
    return {(i, name): p.detach().clone().numpy() for i, name, p in named}


def assert_steps_agree(pair, sizes=(N_ROWS,), rtol=1e-5):
    """Compare the objective and what one unit step moves, which is the gradient, for batches of these sizes."""
    (explicit, ours), (autograd, theirs) = pair
    start = 0
    for size in sizes:
        index = torch.arange(start, start + size)
        before = values(ours), values(theirs)
        assert_allclose(explicit.evaluate(index), autograd.evaluate(index), rtol=1e-10)
        assert_allclose(explicit(index), autograd(index), rtol=1e-10)
        explicit.publish()
        after = values(ours), values(theirs)
        for name in before[0]:
            moved = [now[name] - then[name] for then, now in zip(before, after, strict=True)]
            assert_allclose(
                moved[0], moved[1], rtol=rtol, atol=rtol * np.abs(moved[1]).max() + 1e-14, err_msg=name
            )
        assert max(np.abs(after[1][name] - before[1][name]).max() for name in before[1]) > 1e-4
        start += size


@pytest.mark.parametrize("name", NAMES)
def test_hidden_activations(name):
    assert_steps_agree(both_steps(activation=name))


@pytest.mark.parametrize("name", NAMES)
def test_code_activations(name):
    assert_steps_agree(both_steps(code_activation=name))


@pytest.mark.parametrize("name", NAMES)
def test_output_activations(name):
    assert_steps_agree(both_steps(output_activation=name))


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("loss", sorted(LOSSES))
def test_losses(loss, tied):
    assert_steps_agree(both_steps(loss=loss, tied_weights=tied))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("hidden", [(), (6,), (6, 5, 4)])
def test_tied_weights(hidden, name):
    assert_steps_agree(
        both_steps(hidden_layer_sizes=hidden, tied_weights=True, activation=name, code_activation=name)
    )


@pytest.mark.parametrize("hidden", [(), 4, (9, 8, 6, 5)])
@pytest.mark.parametrize("decoder_hidden", [None, (), (4, 12)])
def test_depths(hidden, decoder_hidden):
    assert_steps_agree(both_steps(hidden_layer_sizes=hidden, decoder_hidden_layer_sizes=decoder_hidden))


@pytest.mark.parametrize("n_components", [1, 7, 20])
def test_widths_of_the_code(n_components):
    assert_steps_agree(both_steps(n_components=n_components, activation="gelu"))


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("solver", ["adam", "adamw", "sgd"])
def test_whole_steps_with_alpha(solver, tied):
    pair = both_steps(solver=solver, alpha=0.1, tied_weights=tied, learning_rate=0.01, momentum=0.9)
    assert_steps_agree(pair, sizes=(8, 8, 7))


@pytest.mark.parametrize("contractive", [0.0, 0.3])
@pytest.mark.parametrize("loss", sorted(LOSSES))
def test_sample_weights(loss, contractive):
    weight = np.random.default_rng(1).integers(0, 4, N_ROWS).astype(float)
    pair = both_steps(
        weight, loss=loss, contractive=contractive, hidden_layer_sizes=(), code_activation="sigmoid", alpha=0.01
    )
    assert_steps_agree(pair, sizes=(12, 11))


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("sizes", [(10, 10, 3), (22, 1), (1, 22), (1, 1, 1, 10, 10)])
def test_batches_of_several_sizes(sizes, tied):
    assert_steps_agree(both_steps(learning_rate=0.1, activation="silu", tied_weights=tied), sizes=sizes)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("code_activation", ["identity", "relu", "sigmoid", "logistic", "tanh"])
def test_contractive_closed_form(code_activation, tied):
    pair = both_steps(contractive=0.3, hidden_layer_sizes=(), code_activation=code_activation, tied_weights=tied)
    assert_steps_agree(pair, sizes=(N_ROWS,))


def own_noise(X, generator):
    return X * torch.empty_like(X).uniform_(generator=generator)


@pytest.mark.parametrize("loss", ["squared_error", "binary_cross_entropy"])
@pytest.mark.parametrize("noise", ["gaussian", "masking", "salt_and_pepper", own_noise])
@pytest.mark.parametrize("estimator_class", [DenoisingAutoencoder, StackedAutoencoder])
def test_noise(estimator_class, noise, loss):
    """From the same state of the generator, batch after batch, with held-out rows in between."""
    pair = both_steps(estimator_class=estimator_class, noise=noise, noise_level=0.5, loss=loss, learning_rate=0.1)
    (explicit, _), (autograd, _) = pair
    assert torch.equal(explicit.corrupt.generator.get_state(), autograd.corrupt.generator.get_state())
    assert_steps_agree(pair, sizes=(10, 9, 4))
    assert torch.equal(explicit.corrupt.generator.get_state(), autograd.corrupt.generator.get_state())


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("loss", sorted(LOSSES))
def test_pairs_of_noisy_and_clean_rows(loss, tied):
    X_clean = np.random.default_rng(1).uniform(size=(N_ROWS, N_FEATURES))
    pair = both_steps(estimator_class=DenoisingAutoencoder, X_clean=X_clean, loss=loss, tied_weights=tied)
    assert_steps_agree(pair)
    own, clean = both_steps(loss=loss, tied_weights=tied)[0][0], pair[0][0]
    index = torch.arange(N_ROWS)
    assert abs(own.evaluate(index) / clean.evaluate(index) - 1) > 1e-3, "the target is another one"


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
    step = Fit(AutoencoderTransformer(random_state=0, **parameters), unit_rows()).step
    assert isinstance(step, ExplicitStep if explicit else AutogradStep)


def squared_error(reconstruction, target):
    return (reconstruction - target).square().mean(1)


@pytest.mark.parametrize("solver", ["adam", "sgd"])
@pytest.mark.parametrize("early_stopping", [False, True])
def test_whole_fits(solver, early_stopping, wine):
    """A loss of the user's own takes the autograd step; with the same formula, the fit is the same."""
    X = wine[:121] - wine[:121].mean(0)  # batches of 20 leave one row over; a callable gets no centring
    settings = {
        "solver": solver,
        "batch_size": 20,
        "max_iter": 5,
        "tol": None,
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
    settings = {"max_iter": 10, "tol": None, "random_state": 0, "batch_size": 50, **parameters}
    full = AutoencoderTransformer(8, dtype="float32", **settings).fit(X)
    mixed = AutoencoderTransformer(8, dtype="bfloat16", **settings).fit(X)
    assert_allclose(mixed.loss_curve_, full.loss_curve_, rtol=0.02)
    assert not np.array_equal(mixed.loss_curve_, full.loss_curve_)
    assert abs(mixed.score(X) - full.score(X)) < 0.02
    assert {p.dtype for p in mixed.encoder_.parameters()} == {torch.float32}
