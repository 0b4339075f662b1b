"""The mixture: conditional means and draws by Bayes' rule, and groups found in spite of missing entries."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy.stats import multivariate_normal

from skae._imputation import parametric
from skae._imputation.gaussian import Gaussian, Patterns, fill, fit_gaussian
from skae._imputation.mixture import Mixture, fit_mixture

MEANS = np.array([[-3.0, 0.0, 1.0], [1.0, 2.0, -1.0], [2.0, -3.0, 0.0]])
WEIGHTS = np.array([0.5, 0.3, 0.2])


@pytest.fixture(scope="module")
def mixture():
    rng = np.random.default_rng(0)
    roots = np.tril(rng.normal(size=(3, 3, 3))) * 0.3 + 0.5 * np.eye(3)
    covariances = roots @ roots.transpose(0, 2, 1)
    components = tuple(
        Gaussian(torch.from_numpy(m), torch.from_numpy(c)) for m, c in zip(MEANS, covariances, strict=True)
    )
    return Mixture(components, torch.from_numpy(np.log(WEIGHTS)))


def test_missing_entries_get_their_conditional_means(mixture):
    x = np.array([[-0.5, 0.7, np.nan], [1.5, np.nan, -0.4], [np.nan, np.nan, np.nan], [0.0, 1.0, 2.0]])
    expected = x.copy()
    for row in expected:
        seen = ~np.isnan(row)
        joint, means = [], []
        for (mean, covariance), weight in zip(mixture.components, WEIGHTS, strict=True):
            m, c = mean.numpy(), covariance.numpy()
            density = multivariate_normal(m[seen], c[np.ix_(seen, seen)]).pdf(row[seen]) if seen.any() else 1.0
            joint.append(weight * density)
            slope = c[np.ix_(~seen, seen)] @ np.linalg.inv(c[np.ix_(seen, seen)])
            means.append(m[~seen] + slope @ (row - m)[seen])
        row[~seen] = np.average(means, axis=0, weights=joint)
    observed = torch.from_numpy(~np.isnan(x))
    assert_allclose(
        mixture.fill(torch.from_numpy(np.nan_to_num(x)), observed, Patterns(observed)), expected, atol=1e-12
    )


def test_draws_have_the_mean_of_what_is_filled_in_and_more_spread_than_a_component(mixture):
    n = 20_000
    x, observed = (
        torch.tensor([[0.0, 0.5, 0.0]]).double().expand(n, 3),
        torch.tensor([[False, True, False]]).expand(n, 3),
    )
    rng = np.random.default_rng(0)
    drawn = mixture.draw(
        x, observed, torch.from_numpy(rng.uniform(size=n)), torch.from_numpy(rng.normal(size=(n, 3)))
    )
    filled = mixture.fill(x[:1], observed[:1], Patterns(observed[:1]))
    assert_allclose(drawn.mean(0), filled[0], atol=0.06)
    assert (drawn[:, 1] == 0.5).all()
    assert drawn[:, 0].var() > 1.5 * max(float(one.covariance[0, 0]) for one in mixture.components)


def test_groups_are_found_and_tell_what_is_missing():
    rng = np.random.default_rng(1)
    group = rng.choice(3, size=300, p=WEIGHTS)
    truth = torch.from_numpy(MEANS[group] + 0.3 * rng.normal(size=(300, 3)))
    observed = torch.from_numpy(rng.random((300, 3)) > 0.3)
    whole = fit_gaussian(truth, observed)
    fitted = fit_mixture(truth, observed, whole, 0.01)
    found = np.stack([one.mean.numpy() for one in fitted.components])
    nearest = np.linalg.norm(found[:, None] - MEANS, axis=2)
    assert (nearest.min(axis=0) < 0.25).all()
    assert_allclose(fitted.log_weights.exp().numpy()[nearest.argmin(axis=0)], WEIGHTS, atol=0.08)
    by_mixture = fitted.fill(torch.where(observed, truth, 0.0), observed, Patterns(observed))
    errors = [
        float((one - truth)[~observed].square().mean()) for one in (by_mixture, fill(whole, truth, observed))
    ]
    assert errors[0] < 0.6 * errors[1]


def test_tables_that_would_take_long_go_without(monkeypatch):
    rng = np.random.default_rng(2)
    x, observed = torch.from_numpy(rng.normal(size=(60, 4))), torch.from_numpy(rng.random((60, 4)) > 0.3)
    assert parametric.fit_parametric(x, observed, 0.01).mixture is not None
    monkeypatch.setattr(parametric, "MOST_WORK_OF_MIXTURE", 10)
    models = parametric.fit_parametric(x, observed, 0.01)
    fills = models.fills(x, observed)
    assert models.mixture is None
    assert parametric.Shares.of(fills, x, ~observed).mixture == 0
