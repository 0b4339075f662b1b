"""The loop: order of rows, when it stops, which weights come back, and what it says about it."""

import itertools
import warnings

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from sklearn.exceptions import ConvergenceWarning

from skae import AutoencoderTransformer, SemanticHasher, VAESampler
from skae._objectives.losses import LOSSES
from skae._objectives.penalties import WarmUp
from skae._training.bottleneck import Bottleneck
from skae._training.history import History
from skae._training.loop import interruptible, walk
from skae._training.problem import DivergedError, Objective, Schedule, Served
from skae._training.step import Step


def train(step, rows, schedule, generator, **options):
    """Walk through the rows with the step of one model."""
    history = History(schedule.loss_unit)
    epochs = walk(step, rows, schedule, generator, history, **options)
    with interruptible(epochs):
        for index, losses in epochs:
            losses.append(step(index))
    return history


class ScriptedStep(Step):
    """A step that replays losses, epoch by epoch; its only parameter counts the batches taken."""

    def __init__(self, losses, held_out=None, bottleneck=None):
        super().__init__(Served(None), Objective(LOSSES["squared_error"], bottleneck=bottleneck), None)
        self.losses, self.held_out = losses, held_out
        self.parameters = torch.zeros(1)
        self.epoch, self.batches = 0, []

    def __call__(self, index):
        self.batches.append(index.tolist())
        self.parameters += 1
        return torch.tensor(self.losses[self.epoch] * len(index), dtype=torch.float64)

    def evaluate(self, index):
        return torch.tensor(self.held_out[self.epoch] * len(index), dtype=torch.float64)


class ScriptedMonitor:
    """Counts epochs for its step; may stop or interrupt after one of them."""

    def __init__(self, step, stop_after=None, interrupt_after=None):
        self.step, self.stop_after, self.interrupt_after = step, stop_after, interrupt_after

    def begin_epoch(self):
        pass

    def end_epoch(self, history):
        self.step.epoch += 1
        if self.step.epoch == self.interrupt_after:
            raise KeyboardInterrupt
        return self.step.epoch == self.stop_after


def run(
    losses, held_out=None, n_rows=4, batch_size=4, shuffle=True, seed=0, monitor=None, bottleneck=None, **schedule
):
    step = ScriptedStep(losses, held_out, bottleneck)
    history = train(
        step,
        torch.arange(n_rows),
        Schedule(max_iter=len(losses), batch_size=batch_size, shuffle=shuffle, **schedule),
        torch.Generator().manual_seed(seed),
        held_out=None if held_out is None else torch.arange(100, 103),
        monitor=ScriptedMonitor(step, **(monitor or {})),
    )
    return history, step


# Order -----------------------------------------------------------------------------------------------------


def epochs(step, n_per_epoch):
    starts = range(0, len(step.batches), n_per_epoch)
    return [list(itertools.chain(*step.batches[start : start + n_per_epoch])) for start in starts]


@pytest.mark.parametrize("shuffle", [False, True])
def test_every_row_is_seen_once_an_epoch(shuffle):
    _, step = run([3, 2, 1], n_rows=11, batch_size=5, shuffle=shuffle)
    assert [len(batch) for batch in step.batches] == [5, 5, 1] * 3
    for seen in epochs(step, 3):
        assert sorted(seen) == list(range(11))
        assert (seen == list(range(11))) == (not shuffle)


@pytest.mark.parametrize(("n_rows", "sizes"), [(11, [5, 6]), (12, [5, 5, 2]), (10, [5, 5]), (3, [3])])
def test_a_single_row_joins_the_batch_before_where_one_is_too_few(n_rows, sizes):
    step = ScriptedStep([1])
    schedule = Schedule(max_iter=1, batch_size=5, merge_single=True)
    train(step, torch.arange(n_rows), schedule, torch.Generator(), monitor=ScriptedMonitor(step))
    assert [len(batch) for batch in step.batches] == sizes
    assert sorted(itertools.chain(*step.batches)) == list(range(n_rows))


def test_the_order_is_new_each_epoch_and_the_seed_decides_it():
    orders = [epochs(run([3, 2, 1], n_rows=50, seed=seed)[1], 13) for seed in (0, 0, 1)]
    assert orders[0] == orders[1]
    assert orders[0] != orders[2]
    assert orders[0][0] != orders[0][1]


def test_losses_are_means_over_rows_not_over_batches():
    """Three batches of 5, 5 and 1 rows: a mean of batch means would be another number."""

    class ByRow(ScriptedStep):
        def __call__(self, index):
            super().__call__(index)
            return index.double().sum()

    step = ByRow([0])
    schedule = Schedule(max_iter=1, batch_size=5)
    generator = torch.Generator().manual_seed(0)
    history = train(step, torch.arange(11), schedule, generator, monitor=ScriptedMonitor(step))
    assert history.loss_curve == [5.0]


class Counting(Bottleneck):
    """Adds up two numbers over the rows of each batch, in memory that it uses again."""

    def __init__(self):
        super().__init__()
        self.total = torch.zeros((), dtype=torch.float64)

    def note(self, index):
        for name, factor in (("numbers", 1.0), ("halves", 0.5)):
            self.add(name, self.total.fill_(factor * float(index.sum())))


class Noting(ScriptedStep):
    """Has its bottleneck note the rows of each batch; presses Ctrl-C at one of them."""

    interrupt_at = None

    def __call__(self, index):
        if len(self.batches) == self.interrupt_at:
            raise KeyboardInterrupt
        self.objective.bottleneck.note(index)
        return super().__call__(index)

    def evaluate(self, index):
        with self.objective.bottleneck.held_out():
            self.objective.bottleneck.note(index + 1000)
        return super().evaluate(index)


def test_sums_of_the_bottleneck_are_means_over_the_rows_of_an_epoch():
    """Batches of 5, 5 and 1 rows; those held out are not counted."""
    step = Noting([3, 2, 1], [3, 2, 1], Counting())
    monitor, generator = ScriptedMonitor(step), torch.Generator().manual_seed(0)
    schedule = Schedule(max_iter=3, batch_size=5)
    history = train(step, torch.arange(11), schedule, generator, held_out=torch.arange(2), monitor=monitor)
    assert history.parts == {"numbers": [5.0] * 3, "halves": [2.5] * 3}


def test_an_epoch_cut_short_counts_with_the_rows_it_has_seen():
    step = Noting([3, 2], None, Counting())
    step.interrupt_at = 5
    schedule = Schedule(max_iter=2, batch_size=5, shuffle=False)
    history = train(step, torch.arange(11), schedule, torch.Generator(), monitor=ScriptedMonitor(step))
    assert history.loss_curve == [3.0, 2.0]
    assert history.parts["numbers"] == [5.0, 4.5]


# Warm-ups --------------------------------------------------------------------------------------------------


class NotingWarmUp(WarmUp):
    def __init__(self, strength, n_epochs):
        super().__init__(strength, n_epochs)
        self.told = []

    def advance(self, epochs):
        super().advance(epochs)
        self.told.append((epochs, self.value))


class Warming(Bottleneck):
    def __init__(self, n_epochs):
        super().__init__()
        self.warm_up = NotingWarmUp(2.0, n_epochs)


def test_a_bottleneck_is_told_how_far_training_has_come():
    """By rows, not by batches, and from where an earlier pass has left off."""
    bottleneck = Warming(2)
    run([2, 1], n_rows=10, batch_size=8, bottleneck=bottleneck, first_epoch=0.5)
    assert_allclose(bottleneck.warm_up.told, [(0.5, 0.5), (1.3, 1.3), (1.5, 1.5), (2.3, 2.0)])
    silent = Warming(0)
    run([2, 1], bottleneck=silent)
    assert silent.warm_up.told == []
    assert silent.warm_up.value == 2.0


@pytest.mark.parametrize("watch", ["training", "validation"])
@pytest.mark.parametrize(("first_epoch", "begins", "best"), [(0, 3, 2.0), (1, 2, 1.5), (3, 0, 1.0)])
def test_epochs_of_a_warm_up_are_neither_best_nor_flat(first_epoch, begins, best, watch):
    """Losses rise while more of the objective comes in: they are compared from its last epoch on."""
    losses = [3.0, 1.0, 1.5, 2.0, 2.5, *[2.5] * 20]
    losses, held_out = (losses, None) if watch == "training" else (np.ones(len(losses)), losses)
    schedule = {"tol": 1e-4, "n_iter_no_change": 3, "first_epoch": first_epoch}
    history, step = run(losses, held_out, n_rows=200, bottleneck=Warming(4), **schedule)
    watched = losses if held_out is None else held_out
    assert history.best_loss == best
    assert len(history.loss_curve) == begins + first_flat(watched[begins:], 1e-4, 3)
    if held_out is not None:
        assert float(step.parameters) == 50 * (held_out.index(best) + 1), "the weights of the best epoch"


# When it stops ---------------------------------------------------------------------------------------------


def first_flat(losses, tol, n):
    """The number of epochs after which the loss is flat, by the words of the documentation; None if never."""
    for end in range(2 * n, len(losses) + 1):
        before, now = np.mean(losses[end - 2 * n : end - n]), np.mean(losses[end - n : end])
        if before - now <= max(tol * (losses[0] - now), 0):
            return end
    return None


def falling(share, n_epochs=60, noise=0.0):
    """Losses from 5 towards 1, each nearer by a share of the way that is left."""
    draws = np.random.default_rng(0).normal(size=n_epochs)
    return 1 + 4 * (1 - share) ** np.arange(n_epochs) * (1 + noise * draws)


@pytest.mark.parametrize("scale", [1.0, 1e-9, 1e6])
@pytest.mark.parametrize(
    ("losses", "tol", "n_iter_no_change"),
    [
        ([5.0, *[1.0] * 59], 1e-4, 3),
        ([5.0, *[1.0] * 59], 0, 3),
        (falling(0.3), 0.01, 5),
        (falling(0.3), 1e-4, 5),
        (falling(0.1, noise=0.2), 0.01, 10),
        (np.linspace(2, 1, 60), 1e-3, 5),
        (np.arange(60.0), 1e-4, 4),
    ],
)
@pytest.mark.parametrize("watch", ["training", "validation"])
def test_tol_is_a_share_of_the_whole_improvement(losses, tol, n_iter_no_change, scale, watch):
    """Whatever the unit of the loss; rows held out have a loss at the start too."""
    losses = scale * np.asarray(losses)
    expected = first_flat([losses[0], *losses] if watch == "validation" else losses, tol, n_iter_no_change)
    losses, held_out = (losses, None) if watch == "training" else (np.ones(60), losses)
    history, _ = run(losses, held_out, n_rows=200, tol=tol, n_iter_no_change=n_iter_no_change)
    n_epochs = expected if expected is None or watch == "training" else expected - 1
    assert len(history.loss_curve) == (60 if n_epochs is None else n_epochs)
    assert history.converged == (n_epochs is not None)
    assert not history.stopped


def test_without_a_tolerance_training_goes_on():
    assert len(run([5.0, *[1.0] * 59], n_rows=200, tol=None)[0].loss_curve) == 60


def test_epochs_of_one_step_are_too_few_to_judge():
    """Of few rows an epoch is one step: means of fifty steps are compared."""
    history, _ = run([5.0] * 300, n_rows=4, tol=1e-3, n_iter_no_change=3)
    assert len(history.loss_curve) == 100


# The learning rate over the epochs ----------------------------------------------------------------------------


class NotingRate(ScriptedStep):
    learning_rate = 1.0

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.rates = []

    def set_rate(self, factor):
        self.rates.append(factor)


def rates_of(schedule, losses, **settings):
    step = NotingRate(losses)
    made = Schedule(max_iter=len(losses), batch_size=4, rates=schedule, **settings)
    history = train(step, torch.arange(40), made, torch.Generator(), monitor=ScriptedMonitor(step))
    return np.array(step.rates), history


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_the_rate_warms_up_and_falls_to_zero(schedule):
    """Over a hundred epochs of ten steps: five of warm-up; then, at once or from the middle, the fall."""
    rates, _ = rates_of(schedule, [1.0] * 100)
    steps = np.arange(1000)
    start, shape = (500, lambda u: 1 - u) if schedule == "linear" else (50, lambda u: (1 + np.cos(np.pi * u)) / 2)
    fall = shape(np.maximum(steps - start, 0) / (1000 - start))
    assert_allclose(rates, np.minimum((steps + 1) / 50, fall), rtol=1e-9)


def test_a_constant_rate_is_left_alone():
    assert len(rates_of("constant", [1.0] * 10)[0]) == 0


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_a_flat_loss_lets_the_rate_fall(schedule):
    """The fall takes as long as training has taken, and ends it."""
    rates, history = rates_of(schedule, [5.0, *[1.0] * 99], tol=1e-3, n_iter_no_change=5)
    assert len(history.loss_curve) == 22
    assert history.converged
    assert np.all(np.diff(rates[110:]) < 0)
    assert rates[-1] < 0.05


@pytest.mark.parametrize("held_out", [None, [3.0, 1.0, 3.0, 3.0, 2.0, 2.0]], ids=["training", "validation"])
@pytest.mark.parametrize(
    ("ending", "n_epochs"),
    [
        ({"tol": 1e-4, "n_iter_no_change": 2, "n_rows": 200}, 4),
        ({"tol": None}, 6),
        ({"tol": None, "monitor": {"stop_after": 4}}, 4),
        ({"tol": None, "monitor": {"interrupt_after": 3}}, 3),
    ],
    ids=["patience", "max_iter", "callback", "keyboard"],
)
def test_the_best_weights_come_back_however_it_ended(ending, n_epochs, held_out):
    """The second epoch is the best; without rows held out the last weights are kept."""
    history, step = run([3.0, 1.0, 3.0, 3.0, 2.0, 2.0], held_out, **ending)
    assert len(history.loss_curve) == n_epochs
    assert history.best_loss == 1.0
    n_batches = ending.get("n_rows", 4) // 4
    assert float(step.parameters) == n_batches * (n_epochs if held_out is None else 2)
    assert history.stopped == ("monitor" in ending)
    assert history.interrupted == ("interrupt_after" in ending.get("monitor", {}))


def test_an_interrupt_before_the_first_batch_is_passed_on():
    class Impatient(ScriptedMonitor):
        def begin_epoch(self):
            raise KeyboardInterrupt

    step = ScriptedStep([1.0])
    with pytest.raises(KeyboardInterrupt):
        train(step, torch.arange(4), Schedule(1, 4), torch.Generator(), monitor=Impatient(step))


@pytest.mark.parametrize("losses", [[1, float("nan"), 1], [1, float("inf"), 1]])
@pytest.mark.parametrize("watch", ["training", "validation"])
def test_a_loss_that_is_not_finite_names_its_epoch(losses, watch):
    losses, held_out = (losses, None) if watch == "training" else (np.ones(3), losses)
    with pytest.raises(DivergedError) as caught:
        run(losses, held_out)
    assert caught.value.epoch == 2


def test_weights_that_are_not_finite_are_an_error_too():
    class Exploding(ScriptedStep):
        def __call__(self, index):
            self.parameters.fill_(torch.inf)
            return torch.tensor(1.0)

    step = Exploding([1.0])
    with pytest.raises(DivergedError):
        train(step, torch.arange(4), Schedule(1, 4), torch.Generator(), monitor=ScriptedMonitor(step))


# What estimators say about it ------------------------------------------------------------------------------


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("tol", [1e-6, 1e-4])
def test_max_iter_before_convergence_warns(tol, early_stopping, wine):
    model = AutoencoderTransformer(2, max_iter=5, tol=tol, early_stopping=early_stopping, random_state=0)
    with pytest.warns(ConvergenceWarning, match="max_iter=5") as caught:
        model.fit(wine)
    assert len(caught) == 1


@pytest.mark.parametrize(
    "parameters",
    [{"tol": None, "max_iter": 3}, {"tol": 0, "max_iter": 3}, {"tol": 0.01, "max_iter": 1000}],
    ids=["none", "zero", "converged"],
)
@pytest.mark.parametrize("early_stopping", [False, True])
def test_no_warning_otherwise(parameters, early_stopping, wine):
    """Warnings are errors here; partial_fit never warns."""
    model = AutoencoderTransformer(2, early_stopping=early_stopping, random_state=0, **parameters).fit(wine)
    assert model.n_iter_ == 3 or 20 <= model.n_iter_ < 1000
    AutoencoderTransformer(2).partial_fit(wine)


@pytest.mark.parametrize(
    "parameters", [{"learning_rate": 1e200}, {"solver": "sgd", "learning_rate": 1e4}], ids=["adam", "sgd"]
)
def test_divergence_says_so(parameters, wine):
    X, learning_rate = wine, parameters["learning_rate"]
    with pytest.raises(ValueError, match="diverged") as caught:
        AutoencoderTransformer(2, random_state=0, **parameters).fit(X)
    message = str(caught.value)
    assert "epoch " in message
    assert f"{np.abs(X).max():.4g}" in message
    assert f"learning_rate={learning_rate:g}" in message
    assert "NaN" not in message


def test_early_stopping_keeps_the_best_held_out_loss(wine):
    """Few rows are soon learnt by heart. A rate at which nothing moves shows the loss of the weights kept."""
    X = wine[::4]
    settings = {"early_stopping": True, "validation_fraction": 0.3, "random_state": 0, "init": "glorot"}
    model = AutoencoderTransformer(4, learning_rate=1e-2, max_iter=150, **settings).fit(X)
    curve = model.validation_loss_curve_
    assert model.best_loss_ == min(curve) < 0.99 * curve[-1]
    model.set_params(warm_start=True, learning_rate=1e-15, max_iter=1).fit(X)
    assert_allclose(model.validation_loss_curve_[0], min(curve), rtol=1e-6)


def test_a_warm_start_is_not_left_for_worse_weights(wine):
    """Steps that throw the model away: what it started from is the best, and comes back."""
    settings = {"early_stopping": True, "random_state": 0, "warm_start": True}
    model = AutoencoderTransformer(5, **settings).fit(wine)
    before = model.transform(wine)
    with pytest.warns(UserWarning, match="warm start has changed nothing"):
        model.set_params(learning_rate=0.5, max_iter=3).fit(wine)
    assert_allclose(model.transform(wine), before, rtol=1e-6, atol=1e-9)
    assert model.best_loss_ < min(model.validation_loss_curve_)


@pytest.mark.parametrize(
    "model",
    [SemanticHasher(4, noise_warm_up=3), VAESampler(2, kl_warm_up=2), VAESampler(2, kl_warm_up=0.5)],
    ids=["hasher", "vae", "vae_half"],
)
def test_neither_is_one_whose_strength_had_to_warm_up(model, wine):
    watched = wine[::5]
    model.set_params(hidden_layer_sizes=8, learning_rate=0.01, max_iter=30, warm_start=True, random_state=0)
    best = model.fit(wine, X_val=watched).best_loss_
    before = model.transform(wine)
    model.set_params(learning_rate=1.0, max_iter=2).fit(wine, X_val=watched)
    assert_allclose(model.best_loss_, best, rtol=1e-6)
    assert_allclose(model.transform(wine), before, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_max_iter_of_warm_starts_is_not_warned_of_each_time(method, wine):
    model = AutoencoderTransformer(2, max_iter=1, tol=1e-4, warm_start=True, random_state=0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(4):
            getattr(model, method)(wine)
    assert len(caught) == (method == "fit")


@pytest.mark.parametrize(("early_stopping", "word"), [(True, "held-out rows was still"), (False, "is not known")])
def test_what_is_known_of_more_epochs_is_said(early_stopping, word, wine):
    model = AutoencoderTransformer(2, max_iter=5, tol=1e-6, early_stopping=early_stopping, random_state=0)
    with pytest.warns(ConvergenceWarning, match=word):
        model.fit(wine)
