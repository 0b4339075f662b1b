"""The running mean of weights: which it is, when it is there, and that training goes on without it."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from sklearn.datasets import load_digits
from torch import nn

from skae import AutoencoderTransformer
from skae._averaging import Averaged


class Walk:
    """A step that moves its one weight by as much as it is told."""

    needs_two_rows, multiply_adds = False, 0

    def __init__(self):
        self.parameters, self.published = torch.zeros(1, dtype=torch.float64), None

    def __call__(self, index):
        self.parameters += index
        return index.sum()

    def evaluate(self, index):
        return self.parameters[0].clone()

    def load(self, parameters):
        self.parameters.copy_(parameters)

    restore = load

    def snapshot(self):
        return self.parameters.clone()

    def publish(self):
        self.published = float(self.parameters)

    release = publish


def walk(averaged, moves):
    """Take steps; return the place after each, and the mean that is shown then."""
    places, means = [], []
    for move in moves:
        averaged(torch.tensor([move], dtype=torch.float64))
        places.append(float(averaged.step.parameters))
        means.append(float(averaged.evaluate(torch.zeros(1))))
    return np.array(places), np.array(means)


MOVES = np.random.default_rng(0).normal(size=900)


def test_training_goes_on_from_where_it_was():
    places, means = walk(Averaged(Walk()), MOVES)
    assert_allclose(places, MOVES.cumsum())
    assert means[0] == places[0]
    assert not np.isclose(means[1:], places[1:]).any()


def test_mean_reaches_back_a_tenth_of_the_steps_and_at_most_fifty():
    _, means = walk(Averaged(Walk()), np.ones(900))  # the lag behind the last place is how far back it reaches
    lag = np.arange(1, 901) - means
    assert_allclose(lag[[9, 99, 299]], [0.9, 9, 27], rtol=0.1)
    assert_allclose(lag[899], 49, rtol=0.01)


def test_mean_is_nearer_than_the_last_weights():
    generator = np.random.default_rng(0)
    step = Walk()
    averaged = Averaged(step)
    last, mean = [], []
    for _ in range(3000):  # a rate of 0.2 towards zero, with noise
        averaged.evaluate(torch.zeros(1))
        place = last[-1] if last else 0.0
        averaged(torch.tensor([-0.2 * place + generator.normal()], dtype=torch.float64))
        last.append(float(step.parameters))
        mean.append(float(averaged.evaluate(torch.zeros(1))))
    assert np.std(mean[500:]) < 0.5 * np.std(last[500:])


@pytest.mark.parametrize("method", ["publish", "release"])
def test_modules_get_the_mean(method):
    averaged = Averaged(Walk())
    places, means = walk(averaged, MOVES[:20])
    getattr(averaged, method)()
    assert averaged.step.published == means[-1] == float(averaged.snapshot())
    averaged(torch.zeros(1, dtype=torch.float64))
    assert float(averaged.step.parameters) == places[-1]


def test_state_carries_on():
    whole, first, second = (Averaged(Walk()) for _ in range(3))
    expected = walk(whole, MOVES[:40])
    walk(first, MOVES[:15])
    first.release()
    second.step.load(first.snapshot())
    carried_on = Averaged(second.step)  # which finds the mean in its place
    carried_on.load(first.state())
    places, means = walk(carried_on, MOVES[15:40])
    assert_allclose(places, expected[0][15:])
    assert_allclose(means, expected[1][15:])


@pytest.mark.parametrize("parameters", [{}, {"decoder": nn.Linear(4, 64)}, {"normalization": "batch"}], ids=str)
def test_passes_are_a_fit(parameters):
    X = load_digits().data[:300] / 16
    settings = {"ordered": True, "max_iter": 4, "tol": None, "random_state": 0, **parameters}
    fitted, passes = AutoencoderTransformer(4, **settings).fit(X), AutoencoderTransformer(4, **settings)
    for _ in range(4):
        passes.partial_fit(X)
    assert_allclose(passes.transform(X), fitted.transform(X), atol=1e-10)


def test_held_out_rows_are_judged_by_the_weights_that_are_kept():
    X = load_digits().data[:400] / 16
    settings = {"learning_rate": 0.01, "early_stopping": True, "max_iter": 30, "tol": None}
    model = AutoencoderTransformer(4, ordered=True, random_state=0, **settings).fit(X)
    # What the units explain of the held-out rows is measured at the end, and gives the squared error of prefixes.
    total = model.explained_variance_[0] / model.explained_variance_ratio_[0]
    n, n_features = 40, 64
    errors = (total - model.explained_variance_.cumsum()) * (n - 1) / (n * n_features)
    assert_allclose(errors.mean(), model.best_loss_)
