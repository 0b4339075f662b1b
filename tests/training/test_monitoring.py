"""What a run tells the outside: scikit-learn's callbacks, printed lines, and nothing unless asked."""

import numpy as np
import pytest
import torch
from estimators import assert_same, fourth_power, rows
from numpy.testing import assert_allclose
from recorder import Recorder
from sklearn.base import clone
from sklearn.callback import ProgressBar, ScoringMonitor
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skae import AdversarialAutoencoder, AutoencoderTransformer

X = rows()


def configured(**parameters):
    settings = {"max_iter": 4, "learning_rate": 1e-3, "random_state": 0, "batch_size": 20}
    return AutoencoderTransformer(2, **{**settings, **parameters})


PATHS = {
    "explicit": {},
    "autograd": {"loss": fourth_power},
    "contractive": {"contractive": 0.1},
    "tied": {"tied_weights": True},
    "early_stopping": {"early_stopping": True},
    "ordered": {"ordered": True},
}
every_path = pytest.mark.parametrize("parameters", PATHS.values(), ids=PATHS)


@every_path
def test_hooks_are_called_in_order_with_the_rows(parameters):
    recorder = Recorder()
    configured(**parameters).set_callbacks(recorder).fit(X)
    assert recorder.begun == ["setup", "fit", *["epoch"] * 4]
    assert recorder.ended == [*["epoch"] * 4, "fit", "teardown"]
    for given_X, given_y in recorder.arguments:
        assert_same(given_X, X)
        assert_same(given_y, X)


@every_path
def test_callbacks_do_not_change_the_fit(parameters):
    plain = configured(**parameters).fit(X)
    watched = configured(**parameters).set_callbacks(Recorder()).fit(X)
    assert_same(watched.transform(X), plain.transform(X))
    assert watched.loss_curve_ == plain.loss_curve_


@pytest.mark.parametrize("parameters", [{}, {"loss": fourth_power}, {"tied_weights": True}, {"ordered": True}])
def test_the_model_of_an_epoch_is_a_fit_that_stopped_there(parameters):
    """And it stays that: training on does not reach into it."""
    recorder = Recorder()
    configured(**parameters).set_callbacks(recorder).fit(X)
    for n_epochs, model in enumerate(recorder.models[:4], start=1):
        expected = configured(**parameters, max_iter=n_epochs).fit(X)
        assert_same(model.transform(X), expected.transform(X))
        assert_same(model.reconstruct(X), expected.reconstruct(X))
        assert model.n_iter_ == n_epochs
        assert model.loss_curve_ == expected.loss_curve_
        assert model.score(X) == expected.score(X)


@pytest.mark.parametrize(
    "estimator", [AutoencoderTransformer(2), AutoencoderTransformer(2, ordered=True), AdversarialAutoencoder(2)]
)
def test_steps_in_closed_form_leave_torchs_generator_alone(estimator):
    """Also while they train, so that fits in threads are of no concern to each other."""
    states = []

    class Watch(Recorder):
        def on_fit_task_end(self, *args, **kwargs):
            states.append(torch.get_rng_state())

    before = torch.get_rng_state()
    clone(estimator).set_params(max_iter=2, tol=None, random_state=0).set_callbacks(Watch()).fit(X)
    assert len(states) == 3
    assert all(torch.equal(state, before) for state in states)


@every_path
def test_a_callback_stops_the_fit(parameters):
    model = (
        configured(**{"tol": 1e-9, **parameters}).set_params(tol=1e-9).set_callbacks(Recorder(stop_after=2)).fit(X)
    )
    assert model.n_iter_ == 2
    expected = configured(**parameters, max_iter=2).fit(X)
    assert_same(model.transform(X), expected.transform(X))


@every_path
def test_an_interrupt_keeps_what_has_been_learnt(parameters):
    model = configured(**parameters).set_params(tol=1e-9).set_callbacks(Recorder(interrupt_after=2))
    with pytest.warns(UserWarning, match="interrupted after 2 epochs") as caught:
        model.fit(X)
    assert len(caught) == 1, "no ConvergenceWarning besides"
    assert model.n_iter_ == len(model.loss_curve_) == 2
    assert_same(model.transform(X), configured(**parameters, max_iter=2).fit(X).transform(X))


def test_an_interrupt_within_an_epoch_keeps_its_batches():
    """A loss of the user's own presses Ctrl-C in the second batch of the second epoch."""
    calls = []

    def loss(reconstruction, target):
        calls.append(len(target))
        if len(calls) == 5:
            raise KeyboardInterrupt
        return (reconstruction - target).abs().mean(1)

    model = configured(loss=loss)
    with pytest.warns(UserWarning, match="interrupted"):
        model.fit(X)
    assert calls == [20] * 5
    assert model.n_iter_ == len(model.loss_curve_) == 2
    assert np.isfinite(model.loss_curve_).all()
    assert np.isfinite(model.transform(X)).all()


def test_an_interrupt_before_anything_was_learnt_is_passed_on():
    def loss(reconstruction, target):
        raise KeyboardInterrupt

    model = configured().fit(X)
    codes = model.transform(X)
    with pytest.raises(KeyboardInterrupt):
        model.set_params(loss=loss).fit(X)
    assert_same(model.transform(X), codes)
    assert torch.is_grad_enabled()


def test_a_callback_that_fails_leaves_the_old_model():
    class Failing(Recorder):
        def on_fit_task_end(self, estimator, context):
            raise OSError("no space left")

    model = configured().fit(X)
    codes = model.transform(X)
    with pytest.raises(OSError, match="no space left"):
        model.set_callbacks(Failing()).fit(X)
    assert_same(model.transform(X), codes)


# scikit-learn's own callbacks ------------------------------------------------------------------------------


def alone(estimator):
    return estimator


def in_pipeline(estimator):
    return make_pipeline(StandardScaler(), estimator)


def in_search(estimator):
    return GridSearchCV(estimator, {"n_components": [1, 2]}, cv=2)


@pytest.mark.parametrize("wrap", [alone, in_pipeline, in_search])
def test_progress_bar(wrap, capsys, monkeypatch):
    pytest.importorskip("rich")
    monkeypatch.setenv("COLUMNS", "200")
    model = wrap(configured()).set_callbacks(ProgressBar(max_propagation_depth=None)).fit(X)
    printed = capsys.readouterr().out
    assert "AutoencoderTransformer" in printed
    assert "100%" in printed
    assert_same(model.transform(X), wrap(configured()).fit(X).transform(X))


def r_squared(estimator, X, y):
    return {"r2": estimator.score(X)}


@pytest.mark.parametrize("parameters", [{}, {"loss": fourth_power}])
def test_scoring_monitor(parameters):
    monitor = ScoringMonitor(scoring=r_squared)
    model = configured(**parameters).set_callbacks(monitor).fit(X)
    log = monitor.get_logs().data
    scores = [entry["r2"] for entry in log if entry["task_name"] == "epoch"]
    assert scores == [configured(**parameters, max_iter=n).fit(X).score(X) for n in (1, 2, 3, 4)]
    assert [entry["r2"] for entry in log if entry["task_name"] == "fit"] == [model.score(X)]


@pytest.mark.parametrize("wrap", [in_pipeline, in_search])
def test_scoring_monitor_within(wrap):
    monitor = ScoringMonitor(scoring=r_squared)
    wrap(configured().set_callbacks(monitor)).fit(X)
    scores = [
        entry["r2"]
        for log in monitor.get_logs(select="all")
        for entry in log.data
        if entry["task_name"] == "epoch"
    ]
    assert len(scores) == 4 * (1 if wrap is in_pipeline else 5)
    assert np.isfinite(scores).all()


def test_callbacks_survive_clone():
    recorder = Recorder()
    clone(configured().set_callbacks(recorder)).fit(X)
    assert recorder.ended.count("epoch") == 4


# Printed lines ---------------------------------------------------------------------------------------------


@every_path
@pytest.mark.parametrize("verbose", [0, False])
def test_silence(parameters, verbose, capfd):
    configured(**parameters, verbose=verbose).fit(X).partial_fit(X).score(X)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("early_stopping", [False, True])
def test_one_line_an_epoch(early_stopping, capsys):
    model = configured(verbose=1, early_stopping=early_stopping).fit(X)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    for n, (line, loss) in enumerate(zip(lines, model.loss_curve_, strict=True), start=1):
        assert f"{n}" in line
        assert f"{loss:.8f}" in line
        assert ("validation" in line) == early_stopping
    if early_stopping:
        assert_allclose([float(line.split()[-1]) for line in lines], model.validation_loss_curve_, atol=1e-8)
