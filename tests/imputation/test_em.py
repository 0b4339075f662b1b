"""A Gaussian with missing entries, against closed forms."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy.stats import multivariate_normal

from skae._imputation.gaussian import Gaussian, Patterns, draw, fill, fit_gaussian, moments, predict


@pytest.fixture
def known():
    rng = np.random.default_rng(0)
    root = rng.normal(size=(5, 5))
    return Gaussian(torch.from_numpy(rng.normal(size=5)), torch.from_numpy(root @ root.T + 0.1 * np.eye(5)))


@pytest.fixture
def table(known):
    rng = np.random.default_rng(1)
    x = torch.from_numpy(rng.multivariate_normal(*numbers(known), size=300))
    observed = torch.from_numpy(rng.random(x.shape) < 0.6)
    observed[0], observed[1] = True, False
    return x, observed


def numbers(gaussian):
    return gaussian.mean.numpy(), gaussian.covariance.numpy()


def regression(known, x, seen):
    """The conditional mean and covariance of what is not seen, from the covariance of what is."""
    mean, covariance = numbers(known)
    o, m = np.flatnonzero(seen), np.flatnonzero(~seen)
    weights = covariance[np.ix_(m, o)] @ np.linalg.inv(covariance[np.ix_(o, o)])
    return m, mean[m] + weights @ (x[o] - mean[o]), covariance[np.ix_(m, m)] - weights @ covariance[np.ix_(o, m)]


def test_missing_entries_are_regressed_on_the_observed_ones(known, table):
    x, observed = table
    means, variances = moments(known, torch.where(observed, x, torch.nan), observed)
    for i, seen in enumerate(observed.numpy()):
        m, mean, covariance = regression(known, x[i].numpy(), seen)
        assert_allclose(means[i, m], mean, rtol=1e-9, atol=1e-9)
        assert_allclose(variances[i, m], np.diag(covariance), rtol=1e-9)
        assert_allclose(means[i, seen], x[i, seen])
        assert not variances[i, seen].any()
    assert_allclose(fill(known, x, observed), means)


def test_draws_have_the_conditional_distribution(known):
    n = 20_000
    x, observed = torch.ones(n, 5, dtype=torch.float64), torch.ones(n, 5, dtype=torch.bool)
    observed[:, [1, 3]] = False
    noise = torch.from_numpy(np.random.default_rng(2).normal(size=(n, 5)))
    drawn = draw(known, x, observed, noise)
    m, mean, covariance = regression(known, np.ones(5), observed[0].numpy())
    scale = np.sqrt(np.diag(covariance))
    assert_allclose((drawn[:, m].numpy().mean(0) - mean) / scale, 0, atol=0.03)
    assert_allclose(
        np.cov(drawn[:, m].numpy().T) / np.outer(scale, scale), covariance / np.outer(scale, scale), atol=0.03
    )
    assert (drawn[:, [0, 2, 4]] == 1).all()


def test_log_likelihood_is_that_of_the_observed_entries(known, table):
    x, observed = table
    found = predict(known, torch.where(observed, x, torch.nan), observed).log_likelihood
    for i, seen in enumerate(observed.numpy()):
        marginal = known.mean[seen].numpy(), known.covariance[seen][:, seen].numpy()
        expected = multivariate_normal(*marginal).logpdf(x[i, seen].numpy()) if seen.any() else 0.0
        assert_allclose(found[i], expected, rtol=1e-7, atol=1e-12)


def test_em_never_lowers_the_likelihood(table):
    x, observed = table
    found = []
    for n_iter in range(25):
        fitted = fit_gaussian(x, observed, shrinkage=0, ridge=0, n_iter=n_iter, tol=0)
        found.append(float(predict(fitted, x, observed).log_likelihood.sum()))
    steps = np.diff(found)
    assert (steps > -1e-9 * abs(found[0])).all()
    assert steps[0] > 10
    assert steps[-1] < 0.1


def test_em_of_complete_rows_is_their_mean_and_covariance(table):
    x, _ = table
    fitted = fit_gaussian(x, torch.ones(x.shape, dtype=torch.bool), shrinkage=0, ridge=0)
    assert_allclose(fitted.mean, x.mean(0), rtol=1e-9)
    assert_allclose(fitted.covariance, np.cov(x.numpy().T, bias=True), rtol=1e-9)


def test_em_finds_what_rows_were_drawn_from(known):
    rng = np.random.default_rng(3)
    x = torch.from_numpy(rng.multivariate_normal(*numbers(known), size=5000))
    observed = torch.from_numpy(rng.random(x.shape) < 0.7)
    fitted = fit_gaussian(x, observed, shrinkage=0, ridge=0, n_iter=100, tol=1e-6)
    scale = known.covariance.diagonal().sqrt()
    assert_allclose((fitted.mean - known.mean) / scale, 0, atol=0.06)
    assert_allclose((fitted.covariance - known.covariance) / torch.outer(scale, scale), 0, atol=0.06)


def test_shrinkage_keeps_more_columns_than_rows_apart():
    x = torch.from_numpy(np.random.default_rng(4).normal(size=(10, 40)))
    observed = torch.from_numpy(np.random.default_rng(5).random(x.shape) < 0.8)
    fitted = fit_gaussian(x, observed, shrinkage=1.0)
    assert torch.linalg.eigvalsh(fitted.covariance).min() > 1e-4
    assert fill(fitted, x, observed).isfinite().all()


def test_rows_with_the_same_entries_missing_share_a_pattern(table):
    x, observed = table
    twice = Patterns(torch.cat([observed, observed]))
    once = Patterns(observed)
    assert sum(len(g.columns) for g in twice.groups) == sum(len(g.columns) for g in once.groups)
    assert sum(len(g.rows) for g in twice.groups) == 2 * len(x)
