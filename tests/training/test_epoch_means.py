"""The parts of a loss that are kept beside it: means over the rows of each epoch."""

import numpy as np
import pytest
import torch
from estimators import configured, fourth_power, rows
from numpy.testing import assert_allclose
from recorder import Recorder

from skae import AdversarialAutoencoder, VAESampler

X = rows(61)
STILL = {"learning_rate": 1e-14, "batch_size": 20}  # three batches and one row over, by the same weights


def divergence(model, X):
    """The mean over rows of KL(q(z|x) || N(0, I))."""
    with torch.no_grad():
        mean, log_variance = model.encoder_(torch.as_tensor(X))
    return float((mean.square() + log_variance.exp() - 1 - log_variance).sum(1).mean() / 2)


@pytest.mark.parametrize("parameters", [{}, {"loss": fourth_power}, {"n_mc_samples": 2}])
def test_divergence_is_a_mean_over_rows_not_over_batches(parameters):
    model = configured(VAESampler, **STILL, **parameters).fit(X)
    assert_allclose(model.kl_curve_, [divergence(model, X)] * 4, rtol=1e-8)
    by_batch = np.mean([divergence(model, part) for part in (X[:20], X[20:40], X[40:60], X[60:])])
    assert abs(by_batch / divergence(model, X) - 1) > 1e-3


@pytest.mark.parametrize("parameters", [{}, {"loss": fourth_power}, {"kl_warm_up": 3.0}, {"beta": 0.3}])
@pytest.mark.parametrize("early_stopping", [False, True])
def test_the_parts_make_up_the_loss(early_stopping, parameters):
    """Of the rows trained on alone, and with the whole beta from the first epoch."""
    model = configured(VAESampler, batch_size=20, early_stopping=early_stopping, **parameters).fit(X)
    parts = np.array(model.reconstruction_curve_) + model.beta * np.array(model.kl_curve_)
    assert len(parts) == 4
    assert_allclose(parts, model.loss_curve_, rtol=1e-10)


@pytest.mark.parametrize(
    ("estimator_class", "curve"),
    [(VAESampler, "kl_curve_"), (AdversarialAutoencoder, "discriminator_loss_curve_")],
)
@pytest.mark.parametrize("parameters", [{}, {"loss": fourth_power}])
def test_curves_grow_with_the_epochs(estimator_class, curve, parameters):
    """As callbacks see them, and over the passes of partial_fit; a fit begins them anew."""
    recorder = Recorder()
    model = configured(estimator_class, batch_size=20, **parameters).set_callbacks(recorder).fit(X)
    found = getattr(model, curve)
    assert len(found) == len(set(found)) == 4
    assert [getattr(epoch, curve) for epoch in recorder.models[:4]] == [found[:n] for n in (1, 2, 3, 4)]
    passes = configured(estimator_class, batch_size=20, **parameters)
    for n in range(1, 5):
        passes.partial_fit(X)
        assert len(getattr(passes, curve)) == n
    assert_allclose(getattr(passes, curve), found, rtol=1e-12)
    assert getattr(passes.set_params(max_iter=2).fit(X), curve) == found[:2]


def test_an_interrupted_epoch_counts_with_the_rows_it_has_seen():
    calls = []

    def loss(reconstruction, target):
        calls.append(len(target))
        if len(calls) == 7:  # the third batch of the second epoch
            raise KeyboardInterrupt
        return fourth_power(reconstruction, target)

    model = configured(VAESampler, loss=loss, shuffle=False, **STILL)
    with pytest.warns(UserWarning, match="interrupted after 2 epochs"):
        model.fit(X)
    assert_allclose(model.kl_curve_, [divergence(model, X), divergence(model, X[:40])], rtol=1e-8)


def test_the_discriminators_loss_is_a_mean_over_rows():
    """Log 2 where it tells nothing apart, as its first weights hardly do."""
    model = configured(AdversarialAutoencoder, discriminator_learning_rate=1e-14, **STILL).fit(X)
    assert_allclose(model.discriminator_loss_curve_, [np.log(2)] * 4, rtol=0.2)
    assert np.ptp(model.discriminator_loss_curve_) > 0, "draws are new each time"
