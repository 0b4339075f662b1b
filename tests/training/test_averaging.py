"""The running mean of weights: which it is, when it is there, and that training goes on without it."""

import copy

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from recorder import Recorder
from sklearn.base import clone
from sklearn.datasets import load_digits
from torch import nn

from skae import AdversarialAutoencoder, AutoencoderTransformer
from skae._bottleneck.adversary import Adversary
from skae._bottleneck.nested_dropout import NestedDropout
from skae._objectives.losses import LOSSES
from skae._training.problem import Objective, Served
from skae._training.step import Step


class Walk(Step):
    """A step that moves its one weight by as much as it is told, and keeps the mean of where it has been."""

    class Solver:
        """Moves by the gradient."""

        learning_rate = 1.0

        def __init__(self, parameters, gradient, is_weight):
            self.parameters, self.gradient = parameters, gradient

        def update(self):
            self.parameters += self.gradient

        def state(self):
            return {}

        def load_state(self, state):
            pass

    def __init__(self, trained=False):
        super().__init__(Served(None), Objective(LOSSES["squared_error"]), self.Solver, averages=True)
        self.parameters, self.gradient = torch.zeros(2, 1, dtype=torch.float64)
        self.module = float("nan")
        self._begin(torch.ones(1))
        if trained:
            self.average.trust()

    def differentiate(self, index):
        self.gradient.copy_(index)
        return index.sum()

    def _evaluate(self, index):
        return self.parameters[0].clone()

    def _store(self, parameters):
        self.module = float(parameters)


def walk(step, moves):
    """Take steps; return the place after each, and the mean that is shown then."""
    places, means = [], []
    for move in moves:
        step(torch.tensor([move], dtype=torch.float64))
        places.append(float(step.parameters))
        means.append(float(step.evaluate(torch.zeros(1))))
    return np.array(places), np.array(means)


MOVES = np.random.default_rng(0).normal(size=900)


def test_training_goes_on_from_where_it_was():
    places, means = walk(Walk(), MOVES)
    assert_allclose(places, MOVES.cumsum())
    assert means[0] == places[0]
    assert not np.isclose(means[1:], places[1:]).any()


def test_mean_reaches_back_a_tenth_of_the_steps_and_at_most_fifty():
    _, means = walk(Walk(), np.ones(900))  # the lag behind the last place is how far back it reaches
    lag = np.arange(1, 901) - means
    assert_allclose(lag[[9, 99, 299]], [0.9, 9, 27], rtol=0.1)
    assert_allclose(lag[899], 49, rtol=0.01)


def test_mean_is_nearer_than_the_last_weights():
    generator = np.random.default_rng(0)
    step = Walk()
    last, mean = [], []
    for _ in range(3000):  # a rate of 0.2 towards zero, with noise
        place = last[-1] if last else 0.0
        step(torch.tensor([-0.2 * place + generator.normal()], dtype=torch.float64))
        last.append(float(step.parameters))
        mean.append(float(step.evaluate(torch.zeros(1))))
    assert np.std(mean[500:]) < 0.5 * np.std(last[500:])


@pytest.mark.parametrize("method", ["publish", "release", "snapshot"])
def test_modules_get_the_mean(method):
    step = Walk()
    places, means = walk(Walk(), MOVES[:20])
    for move in MOVES[:20]:
        step(torch.tensor([move], dtype=torch.float64))
    found = getattr(step, method)()
    assert means[-1] == (float(found) if method == "snapshot" else step.module) != places[-1]
    step(torch.zeros(1, dtype=torch.float64))
    assert float(step.parameters) == places[-1]


def test_weights_that_were_trained_before_are_left_by_and_by():
    places, means = walk(Walk(trained=True), np.ones(200))
    assert means[0] == pytest.approx(0.02 * places[0])
    assert_allclose(places[-1] - means[-1], 49, rtol=0.03)


def test_state_carries_on():
    first, second = Walk(), Walk()
    expected = walk(Walk(), MOVES[:40])
    walk(first, MOVES[:15])
    first.release()
    second.assign(first.snapshot())  # the mean
    second.load_state(copy.deepcopy(first.state()))
    walk(first, MOVES[:5])
    places, means = walk(second, MOVES[15:40])
    assert_allclose(places, expected[0][15:])
    assert_allclose(means, expected[1][15:])


def test_state_of_weights_that_have_been_changed_since_is_dropped():
    first, second = Walk(), Walk()
    walk(first, MOVES[:15])
    second.load_state(first.state())
    assert walk(second, [1.0])[0] == [1.0]


def test_assigned_weights_are_mean_and_place_at_once():
    step = Walk()
    walk(step, MOVES[:15])
    step.assign(torch.tensor([7.0], dtype=torch.float64))
    assert float(step.evaluate(torch.zeros(1))) == 7
    places, means = walk(step, [1.0])
    assert places == [8.0]
    assert 7 < means[0] < 8


STEADY = {"learning_rate": 1e-3, "batch_size": 200}
ESTIMATORS = {
    "ordered": AutoencoderTransformer(4, ordered=True, **STEADY),
    "own_decoder": AutoencoderTransformer(4, ordered=True, decoder=nn.Linear(4, 64), **STEADY),
    "batch_normalization": AutoencoderTransformer(4, ordered=True, normalization="batch", **STEADY),
    "adversarial": AdversarialAutoencoder(4, **STEADY),
}
every_estimator = pytest.mark.parametrize("estimator", ESTIMATORS.values(), ids=ESTIMATORS)


@pytest.fixture(scope="module")
def digits():
    return load_digits().data[:400] / 16


@every_estimator
def test_passes_are_a_fit(estimator, digits):
    fitted = clone(estimator).set_params(max_iter=4, tol=None, random_state=0).fit(digits)
    passes = clone(estimator).set_params(random_state=0)
    for _ in range(4):
        passes.partial_fit(digits)
    assert_allclose(passes.transform(digits), fitted.transform(digits), atol=1e-10)


@every_estimator
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_few_more_rows_do_not_throw_a_model_away(estimator, method, digits):
    """After a fit the solver is new, and its first steps are as long as any."""
    model = clone(estimator).set_params(max_iter=100, tol=None, random_state=0, warm_start=True).fit(digits)
    before = model.reconstruction_error(digits).mean()
    getattr(model.set_params(max_iter=1), method)(digits[:200])
    assert model.reconstruction_error(digits).mean() < 1.05 * before


@every_estimator
def test_passes_start_from_the_networks_as_they_are(estimator, digits):
    model = clone(estimator).set_params(random_state=0).partial_fit(digits)
    with torch.no_grad():
        for parameter in model.encoder_.parameters():
            parameter.zero_()
    model.set_params(learning_rate=1e-12).partial_fit(digits)
    assert_allclose(model.transform(digits), 0, atol=1e-6)


@pytest.mark.parametrize("name", ["ordered", "adversarial"])
def test_the_mean_restores_better_than_the_last_weights(name, digits, monkeypatch):
    """From epoch to epoch, at a rate at which single steps are noisy."""

    def errors():
        recorder = Recorder()
        settings = {"learning_rate": 0.01, "batch_size": 10, "max_iter": 30, "tol": None, "random_state": 0}
        clone(ESTIMATORS[name]).set_params(**settings).set_callbacks(recorder).fit(digits)
        return [epoch.reconstruction_error(digits).mean() for epoch in recorder.models[15:30]]

    kept = errors()
    for bottleneck in (NestedDropout, Adversary):
        monkeypatch.setattr(bottleneck, "averages_weights", False)
    last = errors()
    assert np.mean(kept) < 0.95 * np.mean(last)
    assert np.abs(np.diff(kept)).mean() < 0.5 * np.abs(np.diff(last)).mean()


def test_held_out_rows_are_judged_by_the_weights_that_are_kept(digits):
    settings = {"learning_rate": 0.01, "early_stopping": True, "max_iter": 30, "tol": None}
    model = AutoencoderTransformer(4, ordered=True, random_state=0, **settings).fit(digits)
    # What the units explain of the held-out rows is measured at the end, and gives the squared error of prefixes.
    total = model.explained_variance_[0] / model.explained_variance_ratio_[0]
    n, n_features = 40, 64
    errors = (total - model.explained_variance_.cumsum()) * (n - 1) / (n * n_features)
    assert_allclose(errors.mean(), model.best_loss_)
