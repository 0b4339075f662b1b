"""Shares of corrections."""

import numpy as np
import pytest
import torch

from skae._imputation.imputation import share_of_mean
from skae._imputation.parametric import share


@pytest.mark.parametrize(("true", "expected"), [(0.4, 0.4), (1.7, 1.0), (-0.5, 0.0)])
def test_the_share_is_the_least_squares_one_between_nothing_and_all(true, expected):
    rng = np.random.default_rng(0)
    correction, noise = (torch.from_numpy(rng.normal(size=100_000)) for _ in range(2))
    assert share(correction, true * correction + noise) == pytest.approx(expected, abs=0.01)


def test_no_correction_has_no_share():
    assert share(torch.zeros(3), torch.ones(3)) == 0
    assert share(torch.zeros(0), torch.zeros(0)) == 0
    assert share_of_mean(0.5, torch.zeros(2, 3)) == 0.5


def test_the_share_of_a_mean_is_the_one_that_is_best_for_it():
    """Members that are what is right plus noise of their own: their mean deserves more than each."""
    rng = np.random.default_rng(1)
    right = torch.from_numpy(rng.normal(size=50_000))
    members = right + 1.5 * torch.from_numpy(rng.normal(size=(8, 50_000)))
    residual = right + torch.from_numpy(rng.normal(size=50_000))
    of_one = share(members.flatten(), residual.repeat(8))
    assert of_one == pytest.approx(1 / (1 + 1.5**2), abs=0.02)
    assert share_of_mean(of_one, members) == pytest.approx(share(members.mean(0), residual), abs=0.02)
