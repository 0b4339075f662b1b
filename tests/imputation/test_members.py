"""The ensemble: closed-form gradients, members as single networks, importance weights."""

import math

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch import nn
from torch.distributions import Normal

from skae._imputation.members import LEAST_SCALE, Members, Shape, _LogDensity
from skae._networks.ensembles import draw_weights

SHAPE = Shape(3, 4, 2, (6, 5), "silu")


@pytest.fixture
def members():
    made = Members(SHAPE, torch.empty(sum(SHAPE.n_parameters), dtype=torch.float64))
    draw_weights((*made.encoder, *made.decoder), torch.Generator().manual_seed(0))
    made.flat += 0.05 * torch.from_numpy(np.random.default_rng(0).normal(size=len(made.flat)))
    return made


def normal(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


def test_log_density_and_its_gradient():
    output, x = normal(2, 3, 8).requires_grad_(), normal(1, 3, 4, seed=1)
    observed = (normal(2, 3, 4, seed=2) > 0).double()
    mean, raw = output.chunk(2, -1)
    density = Normal(mean, nn.functional.softplus(raw) + LEAST_SCALE).log_prob(x) + 0.5 * math.log(2 * math.pi)
    found = _LogDensity.apply(output, x, observed)
    assert_allclose(found.detach(), (density * observed).sum(-1).detach())
    assert torch.autograd.gradcheck(lambda o: _LogDensity.apply(o, x, observed), output)


def test_members_are_separate_networks(members):
    """Each is what torch's own layers make of its weights, and what it is alone."""
    inputs, noise = normal(3, 7, 8), normal(3, 5, 7, 2, seed=1)
    x, observed = normal(1, 7, 4, seed=2), (normal(1, 7, 4, seed=3) > 0).double()
    bounds = members.bound(inputs, x, observed, noise)
    for e in range(3):
        alone = members.one(e)
        assert_allclose(alone.bound(inputs[e : e + 1], x, observed, noise[e : e + 1])[0], bounds[e], rtol=1e-9)
    networks = []
    for layers in (members.encoder, members.decoder):
        modules = []
        for weight, bias in layers:
            linear = nn.Linear(*weight.shape[1:]).double()
            linear.load_state_dict({"weight": weight[1].T, "bias": bias[1, 0]})
            modules += [linear, nn.SiLU()]
        networks.append(nn.Sequential(*modules[:-1]))
    with torch.no_grad():
        mean, raw = networks[0](inputs[1]).chunk(2, -1)
        q = Normal(mean, torch.exp(4 * torch.tanh(raw / 8)))
        z = q.mean + q.stddev * noise[1]
        output, scale = networks[1](z).chunk(2, -1)
        p = Normal(output, nn.functional.softplus(scale) + LEAST_SCALE)
        log_p = ((p.log_prob(x) + 0.5 * math.log(2 * math.pi)) * observed).sum(-1)
        weights = log_p + (Normal(0, 1).log_prob(z) - q.log_prob(z)).sum(-1)
        assert_allclose(bounds[1], weights.logsumexp(0) - math.log(5), rtol=1e-9)


def test_means_weight_draws_by_how_well_they_explain_what_is_observed(members):
    x, filled, noise = normal(6, 4), normal(3, 6, 4, seed=1), normal(9, 2, seed=2)
    observed = normal(6, 4, seed=3) > 0
    found = members.means(x, observed[None], filled, noise)
    inputs = torch.cat([filled, observed.double().expand(3, 6, 4)], -1)
    weights, output = members.log_weights(inputs, x[None], observed[None].double(), noise[None, :, None])
    expected = (weights.softmax(1)[..., None] * output[..., :4]).sum(1)
    assert_allclose(found, expected, rtol=1e-9)


def test_draws_have_the_mean_of_the_means(members):
    n = 20_000
    one = members.one(0)
    x, filled = normal(1, 4).expand(n, 4), normal(1, 4, seed=1).expand(1, n, 4)
    observed = (normal(1, 4, seed=2) > 0).expand(1, n, 4)
    drawn = one.draw(x, observed, filled, 200, np.random.RandomState(0))
    mean = one.means(x[:1], observed[:, :1], filled[:, :1], normal(50_000, 2, seed=3))[0, 0]
    assert_allclose(drawn.mean(0), mean, atol=0.04)


def test_weights_are_told_from_biases(members):
    is_weight = Members(SHAPE, members.weights())
    assert all(layer.weight.all() and not layer.bias.any() for layer in (*is_weight.encoder, *is_weight.decoder))
