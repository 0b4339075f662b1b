"""Several starts of one fit, of which the best is kept, against fits from one."""

import warnings

import numpy as np
import pytest
import torch
from estimators import CONFIGURATIONS, assert_same_model, rows
from numpy.testing import assert_allclose
from recorder import Recorder
from sklearn.base import clone

from skae import AutoencoderTransformer
from skae._training import joint

SETTINGS = {"hidden_layer_sizes": (8,), "n_components": 2, "max_iter": 4, "tol": None, "batch_size": 16}
SETTINGS["init"] = "he"


def kept_loss(model):
    return model.best_loss_ if hasattr(model, "validation_loss_curve_") else model.loss_


@pytest.mark.parametrize(
    "name",
    ["default", "early_stopping", "stacked_logistic", "own_loss", "sparse_topk", "vae", "hasher", "adversarial"],
)
def test_the_best_of_several_starts(name):
    """The loss kept is the smallest of starts, of which the first is the start of a single fit."""
    estimator = clone(CONFIGURATIONS[name]).set_params(init="glorot")
    kept = []
    for seed in range(3):
        single = clone(estimator).set_params(random_state=seed).fit(rows())
        models = [clone(estimator).set_params(random_state=seed, n_init=n).fit(rows()) for n in (1, 2, 4)]
        assert_same_model(models[0], single)
        assert {model.n_iter_ for model in models} == {single.n_iter_}
        kept.append([kept_loss(model) for model in models])
    one, two, four = np.transpose(kept)
    assert (two <= one * (1 + 1e-6)).all()
    assert (four <= two * (1 + 1e-6)).all()
    assert (four < one * (1 - 1e-4)).any()


@pytest.mark.parametrize("early_stopping", [False, True])
def test_starts_trained_at_once_are_those_trained_one_by_one(early_stopping, monkeypatch):
    estimator = AutoencoderTransformer(**SETTINGS, n_init=4, random_state=0, early_stopping=early_stopping)
    together = clone(estimator).fit(rows())
    monkeypatch.setattr(joint, "MOST_MULTIPLY_ADDS", 0)
    alone = clone(estimator).fit(rows())
    assert_allclose(together.loss_curve_, alone.loss_curve_, rtol=1e-8)
    assert_allclose(together.transform(rows()), alone.transform(rows()), rtol=1e-8)


def test_starts_with_callbacks_and_lines(capsys):
    """They are trained one after the other then, with the same result."""
    plain = AutoencoderTransformer(**SETTINGS, n_init=3, random_state=0)
    expected, recorder = clone(plain).fit(rows()), Recorder()
    watched = clone(plain).set_callbacks(recorder).fit(rows())
    printed = clone(plain).set_params(verbose=1).fit(rows())
    for model in watched, printed:
        assert_allclose(model.transform(rows()), expected.transform(rows()), rtol=1e-8)
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("Start")] == ["Start 1 of 3", "Start 2 of 3", "Start 3 of 3"]
    assert len(lines) == 3 + 3 * 4
    assert recorder.begun.count("epoch") == recorder.ended.count("epoch") == 12


def test_a_callback_stops_all_starts():
    recorder = Recorder(stop_after=6)
    model = AutoencoderTransformer(**SETTINGS, n_init=3, random_state=0).set_callbacks(recorder).fit(rows())
    assert recorder.ended.count("epoch") == 6
    assert [name for name in recorder.begun if name.startswith("start")] == ["start-1", "start-2"]
    assert np.isfinite(model.transform(rows())).all()


def test_an_interrupt_keeps_the_best_so_far():
    recorder = Recorder(interrupt_after=6)
    model = AutoencoderTransformer(**SETTINGS, n_init=3, random_state=0).set_callbacks(recorder)
    with pytest.warns(UserWarning, match="Training was interrupted"):
        model.fit(rows())
    assert np.isfinite(model.transform(rows())).all()


def test_a_start_that_diverges_does_not_count():
    """One of three begins at weights whose squares overflow; where all do, the error is that of a single fit."""
    drawn = []

    class Wild(AutoencoderTransformer):
        def _initialize_weights(self, setup, encoder, decoder):
            drawn.append(None)
            if len(drawn) in bad:
                with torch.no_grad():
                    decoder.blocks[-1].linear.weight.fill_(1e200)

    bad = {1}
    model = Wild(**SETTINGS, n_init=3, random_state=0).fit(rows())
    assert len(drawn) == 3
    assert np.isfinite(model.loss_)
    drawn.clear()
    bad = {1, 2, 3}
    with pytest.raises(ValueError, match="Training diverged"):
        Wild(**SETTINGS, n_init=3, random_state=0).fit(rows())


def test_warm_starts_and_portions_start_once():
    model = AutoencoderTransformer(**SETTINGS, n_init=3, random_state=3, warm_start=True).fit(rows())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        other = clone(model).set_params(n_init=1).fit(rows())
        other.encoder_.load_state_dict(model.encoder_.state_dict())
        other.decoder_.load_state_dict(model.decoder_.state_dict())
        assert_same_model(model.fit(rows()), other.fit(rows()))
    parts = [clone(model).set_params(n_init=n).partial_fit(rows()) for n in (1, 3)]
    assert_same_model(*parts)
