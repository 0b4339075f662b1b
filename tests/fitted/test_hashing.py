"""Codes on their way to bits: the noisy logistic bridge, balanced first logits, packing."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from test_explicit import N_ROWS, assert_steps_agree, by_autograd, unit_rows

from skae import SemanticHasher
from skae._fitted.hashing import NoisyLogistic, balance, pack
from skae._networks.building import build, initialize
from skae._networks.networks import Architecture
from skae._training.autograd import AutogradStep
from skae._training.explicit import ExplicitStep
from skae._training.fitting import Fit

LOSSES = ["squared_error", "absolute_error", "huber", "binary_cross_entropy"]


def both_steps(**parameters):
    """An explicit and an autograd step on networks with the same random weights, and the same noise to come."""
    settings = {"n_bits": 5, "hidden_layer_sizes": (6,), "activation": "tanh", "solver": "sgd", "momentum": 0.0}
    settings |= {"learning_rate": 0.1, "noise_warm_up": 2, "random_state": 0, **parameters}
    kinds = SemanticHasher, by_autograd(SemanticHasher)
    fit, other = (Fit(kind(**settings), unit_rows()) for kind in kinds)
    assert isinstance(fit.step, ExplicitStep)
    assert isinstance(other.step, AutogradStep)
    fit.step.parameters.normal_(0, 0.5, generator=torch.Generator().manual_seed(1))
    fit.step.publish()
    other.encoder.load_state_dict(fit.encoder.state_dict())
    other.decoder.load_state_dict(fit.decoder.state_dict())
    return (fit.step, (fit.encoder, fit.decoder)), (other.step, (other.encoder, other.decoder))


@pytest.mark.parametrize("noise_level", [0.0, 1.0, 20.0])
@pytest.mark.parametrize("loss", LOSSES)
def test_both_steps(loss, noise_level):
    """Batch after batch while the noise grows, with held-out rows in between."""
    assert_steps_agree(both_steps(loss=loss, noise_level=noise_level), sizes=(10, 9, 4))


@pytest.mark.parametrize(
    "parameters", [{"hidden_layer_sizes": ()}, {"alpha": 0.1}, {"n_bits": 1}, {"noise_warm_up": 0}], ids=str
)
def test_both_steps_of_other_networks(parameters):
    assert_steps_agree(both_steps(**parameters), sizes=(N_ROWS,))


def bridge(level=3.0):
    return NoisyLogistic(lambda n: level, torch.Generator().manual_seed(0))


def test_noise_is_normal_and_stands_before_the_logistic_function():
    code, z = torch.full((50_000, 1), 0.7, dtype=torch.float64), torch.empty(50_000, 1, dtype=torch.float64)
    bridge().forward(code, z, None)
    logits = torch.logit(z)
    assert abs(float(logits.mean()) - 0.7) < 0.05
    assert abs(float(logits.std()) - 3) < 0.05


def test_held_out_rows_are_judged_by_their_bits():
    noisy, code = bridge(), torch.tensor([[-0.1, 0.0, 0.1]], dtype=torch.float64)
    z, undisturbed, expected = (torch.empty_like(code) for _ in range(3))
    with noisy.repeated():
        noisy.forward(code, z, None)
        assert noisy.through(code, None)[0].tolist() == z.tolist() == [[0, 0, 1]]
    noisy.forward(code, undisturbed, None)
    bridge().forward(code, expected, None)
    assert torch.equal(undisturbed, expected)


@pytest.mark.parametrize("n_bits", [1, 4, 9])
@pytest.mark.parametrize("hidden", [(), (6,)])
def test_first_logits_are_balanced_and_uncorrelated(hidden, n_bits):
    X = torch.tensor(np.random.default_rng(0).exponential(size=(400, 5)))  # skewed
    encoder, decoder = build(Architecture(5, (*hidden, n_bits), (*hidden, 5)))
    initialize((encoder, decoder), torch.Generator().manual_seed(0))
    encoder = encoder.double()
    balance(encoder, X.split(150))
    with torch.no_grad():
        logits = encoder.core(X).numpy()
    assert_allclose(logits.mean(0), 0, atol=1e-6)
    covariance = np.cov(logits.T, ddof=0).reshape(n_bits, n_bits)
    variances = np.linalg.eigvalsh(covariance)
    rank = min(n_bits, *(hidden or (5,)))
    assert_allclose(variances[-rank:], 1, atol=1e-4)
    assert_allclose(variances[:-rank], 0, atol=1e-4)


def test_equal_rows_can_be_balanced():
    encoder, _ = build(Architecture(3, (2,), (3,)))
    initialize((encoder,), torch.Generator().manual_seed(0))
    balance(encoder, [torch.ones(10, 3)])
    assert all(torch.isfinite(p).all() for p in encoder.parameters())


@pytest.mark.parametrize("passes", [0, 1, 6])
def test_noise_grows_evenly_and_then_stays(passes):
    """Steps of a half, a quarter and a quarter of the rows, after some passes of partial_fit."""
    X = unit_rows()[:20]
    model = SemanticHasher(3, noise_level=8.0, noise_warm_up=4, random_state=0)
    for _ in range(passes):
        model.partial_fit(X)
    drawn = Fit(model, X, start=model if passes else None, one_pass=True).bridge
    levels = [drawn._level(n) for _ in range(6) for n in (10, 5, 5)]
    expected = [2 * min(4, passes + epoch + part) for epoch in range(6) for part in (0, 0.5, 0.75)]
    assert_allclose(levels, expected)


@pytest.mark.parametrize("n_bits", [1, 7, 8, 9, 16, 37])
def test_pack_is_packbits(n_bits):
    bits = np.random.default_rng(0).integers(0, 2, size=(20, n_bits))
    for dtype in (torch.uint8, torch.float32, torch.float64):
        packed = pack(torch.tensor(bits, dtype=dtype))
        assert packed.dtype == torch.uint8
        np.testing.assert_array_equal(packed.numpy(), np.packbits(bits, axis=1))
