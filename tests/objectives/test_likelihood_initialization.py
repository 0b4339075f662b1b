"""Where a fit with a likelihood starts: at each column's own mean and variance."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from skae import VAESampler


def started(X, likelihood="gaussian", **parameters):
    """A model that has not learnt: the steps are too small."""
    settings = {"max_iter": 1, "tol": None, "random_state": 0, "learning_rate": 1e-12, "dtype": "float64"}
    return VAESampler(2, likelihood=likelihood, **{**settings, **parameters}).fit(np.asarray(X))


def test_variances_start_at_the_columns_own():
    X = np.random.default_rng(0).normal(size=(500, 3)) * [1e-6, 1.0, 1e6] + [0, 1e6, 0]
    assert_allclose(started(X).decoder_.variance.detach(), 1.0001 * X.var(0), rtol=1e-3)


def test_variance_of_a_constant_column_starts_small_and_stays_above_the_floor():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 1)) + 0.1 * rng.normal(size=(500, 3))
    X[:, 1] = 1e5 / 3
    model = started(X)
    assert_allclose(model.decoder_.variance[1].detach(), 0.02 * X[:, [0, 2]].var(0).mean(), rtol=0.02)
    assert_allclose(model.reconstruct(X)[:, 1], X[:, 1], rtol=1e-12)
    model.set_params(max_iter=600, learning_rate=0.01, warm_start=True, batch_size=500).fit(X)
    variance = model.decoder_.variance.detach()
    assert 0.01 < variance[1] / X[:, [0, 2]].var(0).mean() < 0.012
    assert model.sample(1000, random_state=0)[:, 1].std() < 0.12


def test_nothing_but_constants():
    X = np.full((20, 3), 7.0)
    model = started(X)
    assert_allclose(model.decoder_.variance.detach(), 1.0001)
    assert model.n_active_units_ == 0


def test_a_given_variance_is_kept():
    X = np.random.default_rng(0).normal(size=(50, 3))
    model = started(X, decoder_variance=0.3, learning_rate=1e-2)
    assert_allclose(model.decoder_.variance, 0.3)
    assert model.decoder_.log_variance is None
    model.set_params(decoder_variance=0.4, warm_start=True).fit(X)
    assert_allclose(model.decoder_.variance, 0.4)
    with pytest.raises(ValueError, match="decoder_variance"):
        VAESampler(decoder_variance=0.0).fit(X)


@pytest.mark.parametrize(
    ("likelihood", "X"),
    [
        ("bernoulli", np.tile([[0.9, 0.1], [0.7, 0.3]], (10, 1))),
        ("poisson", np.tile([[500, 1], [700, 3]], (10, 1))),
        ("exponential", np.tile([[500, 1], [700, 3]], (10, 1))),
        ("categorical", np.repeat(np.eye(2), [15, 5], axis=0)),
        ([("gaussian", 0), ("poisson", 1)], np.tile([[-500, 1], [-700, 3]], (10, 1))),
    ],
)
def test_outputs_start_at_the_columns_means(likelihood, X):
    """Also where the link is a logarithm, so that large counts need not be reached step by step."""
    model = started(X, likelihood)
    origin = model.inverse_transform(np.zeros((1, 2)))
    assert_allclose(origin[0], X.mean(0), rtol=1e-6)
    assert_allclose(model.offset_, [X[:, 0].mean() if isinstance(likelihood, list) else 0, 0])
