"""Distances from Gaussians against their definitions, row by row."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from sklearn.covariance import ledoit_wolf

from skae._fitted import distances
from skae._fitted.distances import beyond, fall_when_free, fit_gaussian, fit_to_closest, left_out, squared_distance

RIDGE = 0.02


def rows(n_rows, n_columns, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n_rows, n_columns)) @ rng.normal(size=(n_columns, n_columns)) + 3


def fitted(X, n_parts=1):
    return fit_gaussian(torch.from_numpy(X).chunk(n_parts), RIDGE)


def covariance(X, share, level=None):
    """What a Gaussian's covariance is by definition."""
    sample = np.atleast_2d(np.cov(X.T))
    level = np.trace(sample) / len(sample) if level is None else level
    return share * sample + ((1 - share) * level + RIDGE) * np.eye(len(sample))


@pytest.mark.parametrize(("n_rows", "n_columns"), [(30, 5), (12, 20), (200, 1)])
@pytest.mark.parametrize("n_parts", [1, 5])
def test_distances_and_falls(n_rows, n_columns, n_parts):
    X, new = rows(n_rows, n_columns), rows(7, n_columns, seed=1)
    gaussian = fitted(X, n_parts)
    inverse = np.linalg.inv(covariance(X, gaussian.share))
    deviation = new - X.mean(0)
    squared = np.einsum("ij,jk,ik->i", deviation, inverse, deviation)
    assert_allclose(squared_distance(gaussian, torch.from_numpy(new)), squared, rtol=1e-8)

    fall = fall_when_free(gaussian, torch.from_numpy(new)).numpy()
    for j in range(n_columns):  # the smallest distance, over all values of column j
        others = np.arange(n_columns) != j
        rest = deviation[:, others]
        inner = np.linalg.inv(covariance(X, gaussian.share)[others][:, others])
        free = np.einsum("ij,jk,ik->i", rest, inner, rest)
        assert_allclose(fall[:, j], squared - free, rtol=1e-6, atol=1e-8 * squared.max())
        least = new.copy()
        least[:, j] -= beyond(gaussian, torch.from_numpy(new)).numpy()[:, j]
        assert_allclose(squared_distance(gaussian, torch.from_numpy(least)), free, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(("n_rows", "n_columns"), [(2, 3), (12, 20), (60, 4)])
def test_left_out_is_the_distance_from_the_others(n_rows, n_columns):
    """Whose covariance keeps the divisor, and what is added to it; the row itself may have moved."""
    X, moved = rows(n_rows, n_columns), rows(n_rows, n_columns, seed=1)
    gaussian = fitted(X)
    level = np.trace(np.atleast_2d(np.cov(X.T))) / n_columns
    expected, of_moved = [], []
    for i in range(n_rows):
        others = np.delete(X, i, 0)
        scatter = (others - others.mean(0)).T @ (others - others.mean(0)) / (n_rows - 1)
        own = gaussian.share * scatter + ((1 - gaussian.share) * level + RIDGE) * np.eye(n_columns)
        for row, found in ((X[i], expected), (moved[i], of_moved)):
            deviation = row - others.mean(0)
            found.append(deviation @ np.linalg.solve(own, deviation))
    X, moved = torch.from_numpy(X), torch.from_numpy(moved)
    assert_allclose(left_out(gaussian, X, X), expected, rtol=1e-8)
    assert_allclose(left_out(gaussian, X, moved), of_moved, rtol=1e-8)
    assert (left_out(gaussian, X, X) > squared_distance(gaussian, X)).all()


@pytest.mark.parametrize(("n_rows", "n_columns"), [(12, 20), (60, 4)])
def test_falls_from_the_others(n_rows, n_columns):
    """By the distance that is least: a column that takes the value it is to have."""
    X, moved = (torch.from_numpy(rows(n_rows, n_columns, seed=seed)) for seed in (0, 1))
    gaussian = fitted(X.numpy())
    fall, above = (measure(gaussian, moved, X) for measure in (fall_when_free, beyond))
    for j in range(n_columns):
        free, near = moved.clone(), moved.clone()
        free[:, j] -= above[:, j]
        near[:, j] -= 1.01 * above[:, j]
        least = left_out(gaussian, X, free)
        assert_allclose(left_out(gaussian, X, moved) - least, fall[:, j], rtol=1e-6, atol=1e-8)
        assert (left_out(gaussian, X, near) > least).all()


def test_the_covariance_is_shrunk_as_ledoit_and_wolf_do():
    for n_rows, n_columns in ((1000, 10), (300, 100)):
        X = rows(n_rows, n_columns)
        _, shrinkage = ledoit_wolf(X)
        assert_allclose(1 - fitted(X, 3).share, shrinkage, rtol=0.05)


def test_without_variance():
    """Constant rows: the ridge alone is left, and far from zero nothing cancels."""
    X = np.full((5, 3), 1e6)
    gaussian = fitted(X)
    assert_allclose(squared_distance(gaussian, torch.from_numpy(X)), 0, atol=1e-6)
    assert_allclose(squared_distance(gaussian, torch.from_numpy(X + 1)), 3 / RIDGE, rtol=1e-6)


def test_many_columns_count_one_by_one(monkeypatch):
    monkeypatch.setattr(distances, "MOST_COLUMNS", 4)
    X, new = rows(50, 5), rows(7, 5, seed=1)
    gaussian = fitted(X, 3)
    each = (new - X.mean(0)) ** 2 / (X.var(0, ddof=1) + RIDGE)
    assert_allclose(fall_when_free(gaussian, torch.from_numpy(new)), each, rtol=1e-8)
    assert_allclose(squared_distance(gaussian, torch.from_numpy(new)), each.sum(1), rtol=1e-8)


@pytest.mark.parametrize("n_columns", [1, 3, 12])
def test_the_closest_rows_tell_the_variance_of_all(n_columns):
    """Of normal rows; and a fifth of them that lie together elsewhere change next to nothing."""
    X = torch.from_numpy(rows(4000, n_columns))
    distance = squared_distance(fit_to_closest(X, 0.0), X)
    assert_allclose(distance.mean(), n_columns, rtol=0.12)
    odd = 10 * X.std(0) + X.mean(0) + 0.1 * X[:800]
    with_odd = fit_to_closest(torch.cat([X, odd]), 0.0)
    assert_allclose(squared_distance(with_odd, X).mean(), n_columns, rtol=0.5)
    others = squared_distance(fit_gaussian([torch.cat([X, odd])], 0.0), odd)
    assert squared_distance(with_odd, odd).mean() > 5 * others.mean()


def test_rows_most_of_which_are_the_same_have_finite_distances():
    X = torch.zeros(40, 3, dtype=torch.float64)
    X[:4] = torch.arange(12).reshape(4, 3)
    distance = squared_distance(fit_to_closest(X, RIDGE), X)
    assert torch.isfinite(distance).all()
    assert distance[:4].min() > 10 * distance[4:].max()
    assert torch.isfinite(squared_distance(fit_to_closest(X[4:], RIDGE), X)).all()
