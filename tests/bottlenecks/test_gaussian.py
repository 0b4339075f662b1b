"""The Gaussian bottleneck: its divergence against torch.distributions and integrals, its gradients by autograd."""

import functools

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from step_parity import assert_steps_agree, both_fits, unit_rows
from torch import distributions as td

from skae import VAESampler
from skae._bottleneck.gaussian import GaussianBottleneck
from skae._networks.activations import bounded
from skae._training.autograd import AutogradStep
from skae._training.explicit import ExplicitStep
from skae._training.fitting import fit_networks, prepare
from skae._training.setup import Mode


def gaussian(*, seed=0, **parameters):
    settings = {"beta": 1.0, "n_draws": 1, "free_bits": 0.0, "warm_up": 0.0, **parameters}
    return GaussianBottleneck(dtype=torch.float64, generator=torch.Generator().manual_seed(seed), **settings)


def through(bottleneck, code):
    """What an explicit step would send to the decoder."""
    z = code.new_empty(bottleneck.n_passes * len(code), code.shape[1] // 2)
    bottleneck.forward(code, z, None)
    return z


@pytest.mark.parametrize("width", [1, 2])
def test_divergence_equals_torch_distributions_and_the_integral(width):
    generator = torch.Generator().manual_seed(0)
    mean, raw = torch.randn(2, 5, width, dtype=torch.float64, generator=generator)
    bottleneck = gaussian()
    through(bottleneck, torch.cat([mean, raw], 1))
    ours = bottleneck.own_loss(torch.tensor(0.0))
    q, p = td.Normal(mean, (0.5 * bounded(raw)).exp()), td.Normal(torch.zeros(()).double(), 1.0)
    assert_allclose(ours, td.kl_divergence(q, p).sum(1), rtol=1e-12)
    axis = torch.linspace(-14, 14, 701, dtype=torch.float64)
    grid = torch.cartesian_prod(*[axis] * width).view(-1, 1, width)
    log_q, log_p = q.log_prob(grid).sum(2), p.log_prob(grid).sum(2)
    integral = (log_q.exp() * (log_q - log_p)).sum(0) * (axis[1] - axis[0]) ** width
    assert_allclose(ours, integral, rtol=1e-6)


def test_log_variance_is_bounded_smoothly():
    raw = torch.tensor([-1e9, -10.0, -0.1, 0.0, 0.1, 10.0, 1e9], dtype=torch.float64)
    assert_allclose(bounded(raw), [-10, -7.6159416, -0.0999967, 0, 0.0999967, 7.6159416, 10], rtol=1e-6)


def test_draws_have_the_mean_and_the_variance_of_the_code():
    mean, raw = torch.tensor([[3.0, -1.0]]).double(), torch.tensor([[1.0, -2.0]]).double()
    bottleneck = gaussian(n_draws=3)
    draws = through(bottleneck, torch.cat([mean, raw], 1).expand(20_000, -1))
    for part in draws.view(3, 20_000, 2):
        assert_allclose(part.mean(0), mean[0], atol=0.05)
        assert_allclose(part.var(0), bounded(raw)[0].exp(), rtol=0.05)
    assert np.abs(np.corrcoef(draws.view(3, -1)[:, ::2]) - np.eye(3)).max() < 0.03, "each draw for itself"


# Both steps ------------------------------------------------------------------------------------------------


both_steps = functools.partial(both_fits, estimator_class=VAESampler, activation="tanh", learning_rate=0.01)


LIKELIHOODS = ["gaussian", "bernoulli", "exponential", "poisson"]
MIXED = [("gaussian", [0, 4]), ("bernoulli", [1, 2]), ("poisson", [3, 6]), ("exponential", 5)]
LOSSES = ["squared_error", "absolute_error", "huber", "binary_cross_entropy"]


@pytest.mark.parametrize("n_mc_samples", [1, 3])
@pytest.mark.parametrize("likelihood", [*LIKELIHOODS, MIXED], ids=[*LIKELIHOODS, "mixed"])
def test_likelihoods(likelihood, n_mc_samples):
    pair = both_steps(likelihood=likelihood, n_mc_samples=n_mc_samples)
    assert_steps_agree(*pair, sizes=(10, 10, 3))


@pytest.mark.parametrize("n_mc_samples", [1, 3])
@pytest.mark.parametrize("loss", LOSSES)
def test_plain_losses(loss, n_mc_samples):
    assert_steps_agree(*both_steps(loss=loss, n_mc_samples=n_mc_samples), sizes=(10, 10, 3))


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
    assert_steps_agree(*both_steps(**parameters), sizes=(10, 10, 1, 2))


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
    assert isinstance(prepare(VAESampler(likelihood=likelihood), unit_rows(), Mode.FRESH).step, ExplicitStep)
    assert isinstance(prepare(VAESampler(loss=sum_of_squares), unit_rows(), Mode.FRESH).step, AutogradStep)


# Weights ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", [None, "huber", sum_of_squares], ids=["likelihood", "huber", "own"])
def test_weights_of_one_change_nothing(loss):
    """Both parts of the loss are noted as without weights."""
    X = unit_rows()
    settings = {"loss": loss, "max_iter": 4, "tol": None, "batch_size": 10, "n_mc_samples": 2, "random_state": 0}
    plain = VAESampler(3, **settings).fit(X)
    weighted = fit_networks(VAESampler(3, **settings), X, sample_weight=np.ones(len(X)))
    for name in ("reconstruction_curve_", "kl_curve_", "loss_curve_"):
        assert_allclose(getattr(weighted, name), getattr(plain, name), rtol=1e-9)
    assert_allclose(weighted.transform(X), plain.transform(X), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("loss", [None, sum_of_squares], ids=["explicit", "autograd"])
def test_the_parts_of_a_weighted_loss_add_up_to_it(loss):
    X = np.random.default_rng(0).normal(size=(30, 4))
    weight = np.random.default_rng(1).integers(0, 4, 30).astype(float)
    settings = {"loss": loss, "max_iter": 3, "tol": None, "batch_size": 10, "random_state": 0}
    model = fit_networks(VAESampler(2, **settings), X, sample_weight=weight)
    assert_allclose(np.add(model.reconstruction_curve_, model.kl_curve_), model.loss_curve_, rtol=1e-9)


def test_free_bits_count_rows_by_their_weight():
    """A unit's divergence is 0.5 of the rows that count once, and 2 of the row that counts three times."""
    code = torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [2.0, 0.0]], dtype=torch.float64)
    for free_bits, counted in ((1.2, True), (1.3, False)):  # around (3 * 0.5 + 3 * 2) / 6 = 1.25
        bottleneck = gaussian(free_bits=free_bits)
        z, weight = code.new_empty(4, 1), torch.tensor([[1.0], [1.0], [1.0], [3.0]], dtype=torch.float64)
        bottleneck.forward(code, z, weight / weight.mean())
        own = bottleneck.own_loss(torch.tensor(0.0))
        assert_allclose(own, [0.5, 0.5, 0.5, 2.0] if counted else [free_bits] * 4)


def test_learned_variances_are_those_of_the_rows_that_count():
    """Half of the rows, far more scattered, have weight zero."""
    X = np.random.default_rng(0).normal(size=(200, 3)) * np.repeat([[1.0], [30.0]], 100, axis=0)
    settings = {"max_iter": 300, "tol": None, "learning_rate": 0.05, "beta": 50.0, "random_state": 0}
    weight = np.repeat([2.0, 0.0], 100)
    weighted = fit_networks(VAESampler(1, **settings), X, sample_weight=weight)
    alone = VAESampler(1, **settings).fit(X[:100])
    plain = VAESampler(1, **settings).fit(X)
    ours, few, all_ = (model.decoder_.variance.detach().numpy() for model in (weighted, alone, plain))
    assert_allclose(ours, few, rtol=0.1)
    assert (all_ > 10 * ours).all()


# Over epochs -----------------------------------------------------------------------------------------------


def test_warm_up_weighs_the_gradient_and_not_the_loss():
    code = torch.ones(5, 2, dtype=torch.float64)
    bottleneck, gradients, losses = gaussian(warm_up=2.0, beta=3.0), [], []
    for epochs in (0, 0.5, 1, 1.5, 2, 2.5):
        bottleneck.warm_up.advance(epochs)
        z = through(bottleneck, code)
        losses.append(bottleneck.own_loss(torch.tensor(0.0)).clone())
        dcode = torch.empty_like(code)
        bottleneck.backward(code, torch.zeros_like(z), dcode, None)
        gradients.append(float(dcode[0, 0]))
    assert_allclose(gradients, 3 / 5 * np.array([0, 0.25, 0.5, 0.75, 1, 1]))
    assert all(torch.equal(loss, losses[0]) for loss in losses)


def test_both_parts_of_the_loss_are_noted():
    bottleneck, code = gaussian(beta=3.0), torch.ones(5, 2, dtype=torch.float64)
    for reconstruction in (2.0, 5.0):
        through(bottleneck, code)
        own = bottleneck.own_loss(torch.tensor(reconstruction)).clone()
    noted = bottleneck.take_sums()
    assert noted["reconstruction"] == 7
    assert_allclose(noted["kl"], 2 * own.sum() / 3, err_msg="without beta")
    assert bottleneck.take_sums() == {}


def test_held_out_rows_leave_no_note_and_get_the_same_noise():
    code = torch.ones(5, 2, dtype=torch.float64)
    bottleneck, held_out, noise = gaussian(), [], torch.tensor(1.0)
    through(bottleneck, code)
    bottleneck.own_loss(noise)
    for _ in range(2):
        with bottleneck.held_out():
            held_out.append(through(bottleneck, code))
            bottleneck.own_loss(noise)
    assert torch.equal(*held_out)
    after = through(bottleneck, code)
    undisturbed = gaussian()
    through(undisturbed, code)
    assert torch.equal(after, through(undisturbed, code))
    assert bottleneck.take_sums()["reconstruction"] == 1


def test_free_bits_count_on_the_mean_of_the_batch():
    mean = torch.tensor([[0.0, 3.0], [0.2, 1.0]], dtype=torch.float64)
    bottleneck = gaussian(free_bits=0.5)
    through(bottleneck, torch.cat([mean, torch.zeros_like(mean)], 1))
    assert_allclose(bottleneck.own_loss(torch.tensor(0.0)), [0.5 + 4.5, 0.5 + 0.5])
    assert_allclose(bottleneck.take_sums()["kl"], 0.02 + 5.0)
