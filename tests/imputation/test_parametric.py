"""The parametric part: which columns may be judged by what is observed of them, and how covariances are shrunk."""

import numpy as np
import torch

from skae._imputation.gaussian import fit_gaussian
from skae._imputation.parametric import SHRINKAGES, best_shrinkage, fit_parametric, missing_by_others


def pair(n=1000, seed=0):
    z = np.random.default_rng(seed).multivariate_normal([0, 0], [[1, 0.9], [0.9, 1]], size=n)
    return torch.from_numpy(z)


def test_columns_that_are_missing_by_others_are_found():
    x = pair()
    chance, by_other = (torch.ones(x.shape, dtype=torch.bool) for _ in range(2))
    chance[:, 1] = torch.from_numpy(np.random.default_rng(1).random(len(x)) < 0.6)
    by_other[:, 1] = x[:, 0] > torch.from_numpy(np.random.default_rng(2).normal(size=len(x)))
    for observed, expected in (chance, [False, False]), (by_other, [False, True]):
        assert missing_by_others(fit_gaussian(x, observed), x, observed).tolist() == expected
    # What is filled in has the mean that the column had, which that of the observed entries is far from.
    fills = fit_parametric(x, by_other, 0.001).fills(x, by_other)[:, :, 1]
    seen = by_other[:, 1]
    assert abs(float(x[seen, 1].mean() - x[:, 1].mean())) > 0.4
    assert all(abs(float(fill.mean() - x[:, 1].mean())) < 0.1 for fill in fills)


def test_columns_without_correlation_are_shrunk_more_than_those_with():
    def chosen(n, d, correlated):
        rng = np.random.default_rng(3)
        common = correlated * rng.normal(size=(n, 2)) @ rng.normal(size=(2, d))
        x = torch.from_numpy(common + rng.normal(size=(n, d)))
        held_out = torch.from_numpy(rng.random(x.shape) < 0.2)
        return best_shrinkage((x - x.mean(0)) / x.std(0), ~held_out[None], held_out[None])

    none, much = chosen(30, 20, 0.0), chosen(600, 8, 2.0)
    assert none in SHRINKAGES
    assert none > 0.1
    assert much < 0.03
