"""The discriminator and its pull: gradients against autograd, in both steps; what is learnt when."""

import numpy as np
import pytest
import torch
from estimators import fourth_power
from numpy.testing import assert_allclose
from step_parity import assert_close, both_fits, modes, unit_rows, values
from torch.nn import functional as F

from skae import AdversarialAutoencoder
from skae._bottleneck.adversary import Adversary, Discriminator
from skae._training.autograd import AutogradStep
from skae._training.explicit import ExplicitStep
from skae._training.fitting import prepare
from skae._training.optimizers import SGD
from skae._training.setup import Mode


def discriminator(*hidden, width=3):
    made = Discriminator((width, *hidden, 1), torch.Generator().manual_seed(0), torch.float64, torch.device("cpu"))
    made.parameters.normal_(0, 0.5, generator=torch.Generator().manual_seed(1))
    return made


def codes(n=7, width=3, seed=2):
    return torch.randn(n, width, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("hidden", [(), (5,), (6, 4)], ids=str)
def test_its_gradients_are_those_of_autograd(hidden):
    made, draws, given = discriminator(*hidden), codes(seed=3), codes()
    total = made.differentiate(draws, given)
    parameters = made.parameters.clone().requires_grad_()

    def logits(z):
        start = 0
        for i, (fan_in, fan_out) in enumerate(zip(made.widths[:-1], made.widths[1:], strict=True)):
            size = (fan_in + 1) * fan_out
            weight = parameters[start : start + size].view(fan_in + 1, fan_out)
            z, start = z @ weight[:-1] + weight[-1], start + size
            z = z if i == len(hidden) else F.leaky_relu(z, 0.01)
        return z[:, 0]

    loss = (F.softplus(-logits(draws)).mean() + F.softplus(logits(given)).mean()) / 2
    loss.backward()
    assert_allclose(total / len(given), loss.item(), rtol=1e-10)
    assert_allclose(made.gradient, parameters.grad, rtol=1e-5, atol=1e-12)
    z = given.clone().requires_grad_()
    F.softplus(-logits(z)).sum().backward()
    assert_allclose(made.pull(given), z.grad, rtol=1e-5, atol=1e-12)
    assert_allclose(made.logits(given), logits(given).detach(), rtol=1e-10)


def test_small_batches_between_large_ones():
    made = discriminator(5)
    expected = made.pull(codes()).clone()
    made.differentiate(codes(40), codes(40))
    made.differentiate(codes(2), codes(2))
    assert_allclose(made.pull(codes()), expected)


PARAMETERS = [
    {},
    {"adversarial_weight": 0.0},
    {"adversarial_weight": 30.0, "discriminator_noise": 0.0},
    {"n_discriminator_steps": 3, "discriminator_hidden_layer_sizes": (9, 4)},
    {"discriminator_hidden_layer_sizes": ()},
    {"prior": [(-1, 0.3), ([1, 0, 2], [1, 2, 0.5])]},
    {"loss": "binary_cross_entropy"},
    {"loss": "huber", "tied_weights": True, "alpha": 0.1},
    {"hidden_layer_sizes": (), "code_activation": "tanh"},
]


@pytest.mark.parametrize("parameters", PARAMETERS, ids=str)
def test_both_steps_agree(parameters):
    """Batch after batch, with rows held out in between: networks, discriminators and draws stay together."""
    fits = both_fits(estimator_class=AdversarialAutoencoder, learning_rate=0.1, **parameters)
    for start, stop in ((0, 10), (10, 20), (20, 23), (0, 10)):
        index, losses = torch.arange(start, stop), []
        for fit in fits:
            with modes(fit):
                losses.append([float(fit.step.evaluate(index)), float(fit.step(index))])
        assert_allclose(*losses, rtol=1e-8)
        ours, theirs = (fit.objective.bottleneck for fit in fits)
        assert_allclose(ours.discriminator.parameters, theirs.discriminator.parameters, rtol=1e-5, atol=1e-9)
        assert torch.equal(ours.generator.get_state(), theirs.generator.get_state())
        assert_close(*map(values, fits), rtol=1e-5)


def test_the_pull_is_in_proportion_to_the_reconstruction_loss():
    """The gradient of the codes is that of loss + (loss, held fixed) weight mean softplus(-D)."""
    fit, _ = both_fits(estimator_class=AdversarialAutoencoder, adversarial_weight=2.0, discriminator_noise=0.0)
    with modes(fit):
        fit.step.differentiate(torch.arange(9))
    encoder, decoder = fit.encoder, fit.decoder
    weight = encoder.blocks[-1].linear.weight
    x = torch.tensor(unit_rows()[:9] - unit_rows().mean(0)) / np.sqrt(unit_rows().var(0).mean())
    code = encoder.forward_centred(x)
    loss = (decoder.forward_centred(code) - x).square().mean()
    total = loss + loss.detach() * 2.0 * F.softplus(-fit.objective.bottleneck.discriminator.logits(code)).mean()
    (expected,) = torch.autograd.grad(total, weight, retain_graph=True)
    ours = fit.step.encoder[-1].gradient[:-1].t()
    assert_allclose(ours, expected, rtol=1e-5, atol=1e-9)
    (without,) = torch.autograd.grad(loss, weight)
    assert (without - expected).abs().max() > 1e-3


def adversary(**parameters):
    made, generator = discriminator(5), torch.Generator().manual_seed(0)
    solver = SGD(*made.flat, learning_rate=0.1)
    settings = {"weight": 1.0, "noise": 0.3, "n_steps": 2, **parameters}
    return Adversary(made, solver, lambda n, g: codes(n), generator=generator, **settings)


def test_rows_held_out_teach_nobody():
    bottleneck, z = adversary(), torch.empty(7, 3, dtype=torch.float64)
    bottleneck.forward(codes(), z, None)
    before = bottleneck.discriminator.parameters.clone(), bottleneck.generator.get_state()
    (noted,) = bottleneck.take_sums().values()
    with bottleneck.held_out():
        bottleneck.forward(codes(seed=9), z, None)
        assert_allclose(z, codes(seed=9))
        assert_allclose(bottleneck.forward_autograd(codes(seed=9), None), codes(seed=9))
        assert bottleneck.own_loss(torch.tensor(7.0)) is None
    assert torch.equal(bottleneck.discriminator.parameters, before[0])
    assert torch.equal(bottleneck.generator.get_state(), before[1])
    assert noted > 0
    assert bottleneck.take_sums() == {}


def test_it_takes_as_many_steps_as_it_is_told():
    """And notes their mean loss: of a solver that does nothing, that of one step."""
    expected = float(discriminator(5).differentiate(codes(), codes()))
    for n_steps in (1, 3):
        bottleneck, updates = adversary(n_steps=n_steps, noise=0.0), []
        bottleneck.solver.update = lambda updates=updates: updates.append(1)
        bottleneck.forward(codes(), torch.empty(7, 3, dtype=torch.float64), None)
        assert len(updates) == n_steps
        assert_allclose(bottleneck.take_sums()["discriminator"], expected)


def test_which_step_is_taken():
    for loss, kind in (("squared_error", ExplicitStep), (fourth_power, AutogradStep)):
        assert isinstance(prepare(AdversarialAutoencoder(2, loss=loss), unit_rows(), Mode.FRESH).step, kind)


def test_mixed_precision_stays_close():
    X = np.random.default_rng(0).normal(size=(400, 12)).astype(np.float32)
    settings = {"max_iter": 5, "tol": None, "random_state": 0, "batch_size": 40}
    full = AdversarialAutoencoder(3, dtype="float32", **settings).fit(X)
    mixed = AdversarialAutoencoder(3, dtype="bfloat16", **settings).fit(X)
    own = AdversarialAutoencoder(3, dtype="bfloat16", loss=lambda o, t: (o - t).square().mean(1), **settings)
    for model in (mixed, own.fit(X - X.mean(0))):
        assert_allclose(model.loss_curve_, full.loss_curve_, rtol=0.03)
        assert_allclose(model.discriminator_loss_curve_, full.discriminator_loss_curve_, rtol=0.05)
