"""Conformal p-values against their definition, and what they are for."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from skae._fitted.conformal import p_values, rows_needed, select, smallest, threshold


def test_p_values_by_counting():
    rng = np.random.default_rng(0)
    reference = np.sort(rng.integers(0, 10, 40).astype(float))  # with ties
    new = np.array([-1.0, 3.0, 3.5, 9.0, 20.0, np.inf])
    expected = [(1 + (reference >= value).sum()) / 41 for value in new]
    assert_allclose(p_values(new, reference), expected)


@pytest.mark.parametrize("n", [5, 18, 19, 20, 39, 100, 999])
def test_above_the_threshold_are_the_small_p_values(n):
    reference = np.sort(np.random.default_rng(n).normal(size=n))
    new = np.concatenate([reference, reference + 1e-9, [-9, 9]])
    p = p_values(new, reference)
    for alpha in (0.05, 0.3, 1 / 3, 1 - 1e-13, *np.arange(1, n + 1) / (n + 1)):
        np.testing.assert_array_equal(new > threshold(reference, alpha), p <= alpha)


@pytest.mark.parametrize("alpha", [0.05, 0.07, 0.1, 1 / 3, 0.01, 0.001])
def test_rows_needed_for_small_p_values(alpha):
    needed = rows_needed(alpha)
    assert smallest(needed) <= alpha * (1 + 1e-12)
    assert smallest(needed - 1) > alpha
    assert np.isinf(threshold(np.arange(needed - 1.0), alpha))
    assert np.isfinite(threshold(np.arange(float(needed)), alpha))


def test_the_share_of_small_p_values_among_exchangeable_rows():
    rng = np.random.default_rng(0)
    p = np.concatenate([p_values(rng.normal(size=50), np.sort(rng.normal(size=30))) for _ in range(400)])
    for alpha in (0.05, 0.1, 0.5):
        assert abs((p <= alpha).mean() - np.floor(31 * alpha) / 31) < 0.02


def test_selection():
    reference = np.arange(999.0)
    p = p_values(np.array([2000.0, 2000, 10, 20, 500, 600, 700, 800, 900, 990]), reference)
    assert select(p, 0.1, 999).tolist() == [True, True, *[False] * 7, True]
    assert not select(p[2:6], 0.1, 999).any()  # and nothing is said, since nothing is odd


@pytest.mark.parametrize(("n_reference", "alpha", "needed"), [(30, 0.1, 499), (5, 0.1, 499)])
def test_too_few_rows_to_select_any(n_reference, alpha, needed):
    reference = np.arange(float(n_reference))
    p = p_values(np.concatenate([[1e9], np.zeros(49)]), reference)
    least = 1 / (1 + n_reference)
    with pytest.warns(UserWarning, match=f"smallest p-value is {least:.3g}.*at least {needed} rows"):
        assert not select(p, alpha, n_reference).any()
    reference = np.arange(float(needed))
    p = p_values(np.concatenate([[1e9], np.zeros(49)]), reference)
    assert select(p, alpha, needed).tolist() == [True, *[False] * 49]  # as the message says
