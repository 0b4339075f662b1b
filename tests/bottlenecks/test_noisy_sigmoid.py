"""The noisy sigmoid: normal noise before the logistic function, which grows over epochs; held-out rows as bits."""

import functools

import pytest
import torch
from numpy.testing import assert_allclose
from step_parity import N_ROWS, assert_steps_agree, both_fits, unit_rows

from skae import SemanticHasher
from skae._bottleneck.noisy_sigmoid import NoisySigmoid
from skae._objectives.penalties import WarmUp
from skae._training.fitting import prepare
from skae._training.setup import Mode

LOSSES = ["squared_error", "absolute_error", "huber", "binary_cross_entropy"]

both_steps = functools.partial(
    both_fits,
    estimator_class=SemanticHasher,
    n_bits=5,
    hidden_layer_sizes=(6,),
    activation="tanh",
    learning_rate=0.1,
    noise_warm_up=2,
)


@pytest.mark.parametrize("noise_level", [0.0, 1.0, 20.0])
@pytest.mark.parametrize("loss", LOSSES)
def test_both_steps(loss, noise_level):
    """Batch after batch while the noise grows, with held-out rows in between."""
    fits = both_steps(loss=loss, noise_level=noise_level)
    for epochs in (0.0, 0.8, 2.0):
        for fit in fits:
            fit.objective.bottleneck.warm_up.advance(epochs)
        assert_steps_agree(*fits, sizes=(10, 9, 4))
        assert [fit.objective.bottleneck.warm_up.value for fit in fits] == [noise_level * epochs / 2] * 2


@pytest.mark.parametrize(
    "parameters", [{"hidden_layer_sizes": ()}, {"alpha": 0.1}, {"n_bits": 1}, {"noise_warm_up": 0}], ids=str
)
def test_both_steps_of_other_networks(parameters):
    assert_steps_agree(*both_steps(**parameters), sizes=(N_ROWS,))


def noisy_sigmoid(level=3.0):
    return NoisySigmoid(WarmUp(level, 0), torch.Generator().manual_seed(0))


def test_noise_is_normal_and_stands_before_the_logistic_function():
    code, z = torch.full((50_000, 1), 0.7, dtype=torch.float64), torch.empty(50_000, 1, dtype=torch.float64)
    noisy_sigmoid().forward(code, z, None)
    logits = torch.logit(z)
    assert abs(float(logits.mean()) - 0.7) < 0.05
    assert abs(float(logits.std()) - 3) < 0.05


def test_held_out_rows_are_judged_by_their_bits():
    noisy, code = noisy_sigmoid(), torch.tensor([[-0.1, 0.0, 0.1]], dtype=torch.float64)
    z, undisturbed, expected = (torch.empty_like(code) for _ in range(3))
    with noisy.held_out():
        noisy.forward(code, z, None)
        assert noisy.forward_autograd(code, None).tolist() == z.tolist() == [[0, 0, 1]]
    noisy.forward(code, undisturbed, None)
    noisy_sigmoid().forward(code, expected, None)
    assert torch.equal(undisturbed, expected)


@pytest.mark.parametrize("passes", [0, 1, 6])
def test_noise_grows_evenly_and_then_stays(passes):
    """Steps of a half, a quarter and a quarter of the rows, after some passes of partial_fit."""
    X = unit_rows()[:20]
    model = SemanticHasher(3, noise_level=8.0, noise_warm_up=4, random_state=0)
    for _ in range(passes):
        model.partial_fit(X)
    fit = prepare(model, X, Mode.INCREMENTAL)
    before = fit.setup.seen.passes.n_epochs
    assert before == passes
    levels = []
    for epoch in range(6):
        for part in (0, 0.5, 0.75):
            fit.objective.bottleneck.warm_up.advance(before + epoch + part)
            levels.append(fit.objective.bottleneck.warm_up.value)
    expected = [2 * min(4, passes + epoch + part) for epoch in range(6) for part in (0, 0.5, 0.75)]
    assert_allclose(levels, expected)


def test_the_noise_of_a_fit_grows_with_its_epochs(monkeypatch):
    """From batch to batch of a fit, and from pass to pass of partial_fit."""
    X, levels = unit_rows()[:20], []
    draw = NoisySigmoid.forward

    def watched(self, *arguments):
        levels.append(self.warm_up.value)
        draw(self, *arguments)

    monkeypatch.setattr(NoisySigmoid, "forward", watched)
    settings = {"noise_level": 8.0, "noise_warm_up": 4, "batch_size": 10, "tol": None, "random_state": 0}
    SemanticHasher(3, max_iter=6, **settings).fit(X)
    expected = [2 * min(4, epoch + part) for epoch in range(6) for part in (0, 0.5)]
    assert_allclose(levels[:12], expected)  # what follows measures the loss
    levels.clear()
    model = SemanticHasher(3, **settings)
    for _ in range(6):
        model.partial_fit(X)
    assert_allclose(levels, expected)
