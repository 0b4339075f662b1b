"""The posterior: its divergence against torch.distributions and integrals, its gradients against autograd."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from test_explicit import assert_steps_agree
from torch import distributions as td

from skae import VAESampler
from skae._bottleneck.gaussian import Posterior, divergence
from skae._networks.networks import bounded
from skae._objectives.penalties import Penalty
from skae._training.autograd import AutogradStep
from skae._training.explicit import ExplicitStep
from skae._training.fitting import Fit

N_ROWS, N_FEATURES = 23, 7


@pytest.mark.parametrize("width", [1, 2])
def test_divergence_equals_torch_distributions_and_the_integral(width):
    generator = torch.Generator().manual_seed(0)
    mean, log_variance = torch.randn(2, 5, width, dtype=torch.float64, generator=generator)
    ours = divergence(mean, log_variance).sum(1)
    q, p = td.Normal(mean, (0.5 * log_variance).exp()), td.Normal(torch.zeros(()).double(), 1.0)
    assert_allclose(ours, td.kl_divergence(q, p).sum(1), rtol=1e-12)
    axis = torch.linspace(-14, 14, 701, dtype=torch.float64)
    grid = torch.cartesian_prod(*[axis] * width).view(-1, 1, width)
    log_q, log_p = q.log_prob(grid).sum(2), p.log_prob(grid).sum(2)
    integral = (log_q.exp() * (log_q - log_p)).sum(0) * (axis[1] - axis[0]) ** width
    assert_allclose(ours, integral, rtol=1e-6)


def test_log_variance_is_bounded_smoothly():
    raw = torch.tensor([-1e9, -10.0, -0.1, 0.0, 0.1, 10.0, 1e9], dtype=torch.float64)
    assert_allclose(bounded(raw), [-10, -7.6159416, -0.0999967, 0, 0.0999967, 7.6159416, 10], rtol=1e-6)


# Both steps ------------------------------------------------------------------------------------------------


class ByAutograd(VAESampler):
    """The same estimator, whose penalty knows no closed form: it trains by autograd."""

    def _regularizer(self, fit):
        return Penalty(lambda x, code, row_weight: 0 * code.sum())


def unit_rows():
    return np.random.default_rng(0).uniform(0.01, 0.99, size=(N_ROWS, N_FEATURES))


def both_steps(**parameters):
    """An explicit and an autograd step on networks with the same random weights, and the same noise to come."""
    settings = {
        "n_components": 3,
        "hidden_layer_sizes": (6, 5),
        "activation": "tanh",
        "solver": "sgd",
        "momentum": 0.0,
        "learning_rate": 0.01,
        "random_state": 0,
        "dtype": "float64",
        **parameters,
    }
    fit, other = (Fit(estimator(**settings), unit_rows()) for estimator in (VAESampler, ByAutograd))
    assert isinstance(fit.step, ExplicitStep)
    assert isinstance(other.step, AutogradStep)
    fit.step.parameters.normal_(0, 0.5, generator=torch.Generator().manual_seed(1))
    fit.step.publish()
    other.encoder.load_state_dict(fit.encoder.state_dict())
    other.decoder.load_state_dict(fit.decoder.state_dict())
    return (fit.step, (fit.encoder, fit.decoder)), (other.step, (other.encoder, other.decoder))


LIKELIHOODS = ["gaussian", "bernoulli", "exponential", "poisson"]
MIXED = [("gaussian", [0, 4]), ("bernoulli", [1, 2]), ("poisson", [3, 6]), ("exponential", 5)]
LOSSES = ["squared_error", "absolute_error", "huber", "binary_cross_entropy"]


@pytest.mark.parametrize("n_mc_samples", [1, 3])
@pytest.mark.parametrize("likelihood", [*LIKELIHOODS, MIXED], ids=[*LIKELIHOODS, "mixed"])
def test_likelihoods(likelihood, n_mc_samples):
    pair = both_steps(likelihood=likelihood, n_mc_samples=n_mc_samples)
    assert_steps_agree(pair, sizes=(10, 10, 3))


@pytest.mark.parametrize("n_mc_samples", [1, 3])
@pytest.mark.parametrize("loss", LOSSES)
def test_plain_losses(loss, n_mc_samples):
    assert_steps_agree(both_steps(loss=loss, n_mc_samples=n_mc_samples), sizes=(10, 10, 3))


@pytest.mark.parametrize(
    "parameters",
    [
        {"beta": 0.0},
        {"beta": 4.0},
        {"free_bits": 0.3},
        {"free_bits": 1e3},
        {"beta": 0.3, "free_bits": 0.3, "n_mc_samples": 3},
        {"kl_warm_up": 2.0},
        {"kl_warm_up": 0.5, "beta": 3.0, "free_bits": 0.2},
        {"alpha": 0.1},
        {"code_activation": "tanh"},
        {"code_activation": "gelu", "n_mc_samples": 3},
        {"decoder_variance": 0.2},
        {"output_activation": "sigmoid"},
        {"hidden_layer_sizes": ()},
        {"hidden_layer_sizes": (), "loss": "squared_error", "activation": "identity"},
        {"decoder_hidden_layer_sizes": (4, 9), "activation": "relu"},
        {"n_components": 1},
    ],
    ids=str,
)
def test_terms_and_layers(parameters):
    assert_steps_agree(both_steps(**parameters), sizes=(10, 10, 1, 2))


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_mixed_precision_stays_close(likelihood):
    X = np.random.default_rng(0).uniform(size=(400, 12)).astype(np.float32)
    settings = {"likelihood": likelihood, "max_iter": 5, "tol": None, "random_state": 0, "batch_size": 40}
    full = VAESampler(3, dtype="float32", **settings).fit(X)
    mixed = VAESampler(3, dtype="bfloat16", **settings).fit(X)
    assert_allclose(mixed.loss_curve_, full.loss_curve_, rtol=0.03)
    assert not np.array_equal(mixed.loss_curve_, full.loss_curve_)


def sum_of_squares(reconstruction, target):
    return (reconstruction - target).square().sum(1)


def test_a_callable_is_the_loss_as_it_returns_it():
    X = unit_rows() - unit_rows().mean(0)  # a callable gets no centring
    settings = {"max_iter": 5, "tol": None, "random_state": 0, "batch_size": 10, "n_mc_samples": 2}
    ours = VAESampler(3, loss="squared_error", **settings).fit(X)
    theirs = VAESampler(3, loss=sum_of_squares, **settings).fit(X)
    assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-8)
    assert_allclose(ours.transform(X), theirs.transform(X), rtol=1e-6, atol=1e-8)
    assert_allclose(ours.score_samples(X), theirs.score_samples(X), rtol=1e-6)


@pytest.mark.parametrize("likelihood", [*LIKELIHOODS, MIXED], ids=[*LIKELIHOODS, "mixed"])
def test_which_step_is_taken(likelihood):
    assert isinstance(Fit(VAESampler(likelihood=likelihood), unit_rows()).step, ExplicitStep)
    assert isinstance(Fit(VAESampler(loss=sum_of_squares), unit_rows()).step, AutogradStep)


# The ledger ------------------------------------------------------------------------------------------------


def posterior(**parameters):
    settings = {"beta": 1.0, "n_draws": 1, "free_bits": 0.0, "warm_up": 0.0, "epochs_done": 0}
    generator = torch.Generator().manual_seed(0)
    return Posterior(10, dtype=torch.float64, generator=generator, **{**settings, **parameters})


def test_warm_up_weighs_the_gradient_and_not_the_loss():
    code, z = torch.ones(5, 2, dtype=torch.float64), torch.empty(5, 1, dtype=torch.float64)
    bridge, gradients, losses = posterior(warm_up=2.0, beta=3.0), [], []
    for _ in range(6):
        losses.append(bridge.forward(code, z, None))
        dcode = torch.empty_like(code)
        bridge.backward(code, torch.zeros_like(z), dcode, None)
        gradients.append(float(dcode[0, 0]))
    assert_allclose(gradients, 3 / 5 * np.array([0, 0.25, 0.5, 0.75, 1, 1]))
    assert all(torch.equal(loss, losses[0]) for loss in losses)


def test_held_out_rows_leave_no_note_and_get_the_same_noise():
    code, z = torch.ones(5, 2, dtype=torch.float64), torch.empty(5, 1, dtype=torch.float64)
    bridge, held_out = posterior(), []
    bridge.forward(code, z, None)
    for _ in range(2):
        with bridge.repeated():
            bridge.forward(code, z, None)
            held_out.append(z.clone())
    assert torch.equal(*held_out)
    bridge.forward(code, z, None)
    undisturbed = posterior()
    expected = torch.empty_like(z)
    undisturbed.forward(code, expected, None)
    undisturbed.forward(code, expected, None)
    assert torch.equal(z, expected)
    assert bridge.ledger.row_counts == [10]


def test_free_bits_count_on_the_mean_of_the_batch():
    mean = torch.tensor([[0.0, 3.0], [0.2, 1.0]], dtype=torch.float64)
    code = torch.cat([mean, torch.zeros_like(mean)], 1)
    bridge = posterior(free_bits=0.5)
    own = bridge.forward(code, torch.empty_like(mean), None)
    assert_allclose(own, [0.5 + 4.5, 0.5 + 0.5])
    assert_allclose(bridge.ledger.sums["kl"][0], 0.02 + 5.0)
