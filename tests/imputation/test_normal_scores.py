"""Columns as normal scores, and back."""

import numpy as np
import torch
from numpy.testing import assert_allclose
from scipy.special import ndtr

from skae._imputation.normal_scores import MOST_KNOTS, NormalScores


def fitted(*columns):
    x = torch.from_numpy(np.stack(columns, 1))
    observed = ~x.isnan()
    return NormalScores.of(x, observed, torch.zeros(x.shape[1], dtype=torch.bool)), torch.where(observed, x, 0.0)


def test_scores_are_normal_and_keep_the_order():
    skewed = np.random.default_rng(0).lognormal(size=2000)
    maps, x = fitted(skewed, -skewed)
    scores = maps.to_scores(x)
    assert_allclose(scores.mean(0), 0, atol=0.01)
    assert_allclose(scores.std(0), 1, atol=0.01)
    assert (scores[:, 0].argsort() == x[:, 0].argsort()).all()
    assert_allclose(scores[:, 0], -scores[:, 1], atol=0.02)


def test_values_come_back():
    x = np.random.default_rng(1).lognormal(size=300)
    maps, rows = fitted(x, np.round(x))
    assert_allclose(maps.to_values(maps.to_scores(rows)), rows, rtol=1e-9)


def test_equal_values_have_one_score_in_the_middle_of_their_ranks():
    maps, _ = fitted(np.array([0.0, 0, 0, 1, np.nan]))
    assert_allclose(ndtr(maps.to_scores(torch.tensor([[0.0], [1.0]], dtype=torch.float64))), [[0.375], [0.875]])


def test_nothing_leaves_the_range_that_was_seen():
    maps, _ = fitted(np.linspace(-1, 2, 50))
    assert_allclose(maps.to_values(torch.tensor([[-9.0], [9.0]], dtype=torch.float64)), [[-1], [2]])
    far = maps.to_scores(torch.tensor([[-1e9], [1e9]], dtype=torch.float64))
    assert_allclose(ndtr(far), [[0.01], [0.99]])


def test_expectations_are_means_over_the_scores_distribution():
    maps, _ = fitted(np.random.default_rng(2).lognormal(size=500))
    mean, variance = torch.full((1, 1), 0.3, dtype=torch.float64), torch.full((1, 1), 0.5, dtype=torch.float64)
    draws = 0.3 + np.sqrt(0.5) * np.random.default_rng(3).normal(size=(200_000, 1))
    expected = float(maps.to_values(torch.from_numpy(draws)).mean())
    assert_allclose(maps.expectation(mean, variance), expected, rtol=0.02)
    assert_allclose(maps.expectation(mean, torch.zeros_like(variance)), maps.to_values(mean))


def test_columns_of_one_value_are_constant():
    maps, _ = fitted(np.full(4, 7.0))
    assert_allclose(maps.to_values(torch.tensor([[-1.0], [2.0]], dtype=torch.float64)), [[7], [7]])


def test_columns_that_are_left_as_they_are():
    x = torch.from_numpy(np.random.default_rng(5).lognormal(size=(50, 2)))
    maps = NormalScores.of(x, torch.ones(x.shape, dtype=torch.bool), torch.tensor([False, True]))
    scores = maps.to_scores(x)
    assert_allclose(scores[:, 1], x[:, 1])
    assert not np.allclose(scores[:, 0], x[:, 0])
    assert_allclose(maps.to_values(scores), x)
    assert_allclose(maps.expectation(scores, torch.ones_like(scores))[:, 1], x[:, 1])


def test_long_columns_keep_few_knots():
    x = np.random.default_rng(4).normal(size=20_000)
    maps, rows = fitted(x)
    assert len(maps.knots[0]) == MOST_KNOTS
    assert_allclose(maps.to_values(maps.to_scores(rows)), rows, atol=1e-6)
