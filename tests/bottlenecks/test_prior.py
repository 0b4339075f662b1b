"""Priors of codes: what is drawn has the moments that were asked for, and what is no prior is refused."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy import stats

from skae._bottleneck.prior import draw, prior

LIKE = torch.empty(0, dtype=torch.float64)


def drawn(given, n=20_000, width=2, like=LIKE):
    generator = torch.Generator().manual_seed(0)
    return draw(prior(given, width), n, width, like, generator).numpy()


def test_normal():
    codes = drawn("normal")
    assert all(stats.kstest(column, "norm").pvalue > 0.01 for column in codes.T)
    assert abs(np.corrcoef(codes.T)[0, 1]) < 0.03


@pytest.mark.parametrize(
    ("covariance", "matrix"),
    [
        (0.5, [[0.5, 0], [0, 0.5]]),
        ([0.5, 2], [[0.5, 0], [0, 2]]),
        ([[1.0, -0.9], [-0.9, 1.0]], [[1, -0.9], [-0.9, 1]]),
        ([[1.0, 1.0], [1.0, 1.0]], [[1, 1], [1, 1]]),
        (0, np.zeros((2, 2))),
    ],
)
@pytest.mark.parametrize("mean", [3, [3, 3]])
def test_one_normal_distribution(mean, covariance, matrix):
    codes = drawn([(mean, covariance)])
    assert_allclose(codes.mean(0), 3, atol=0.05)
    assert_allclose(np.cov(codes.T), matrix, atol=0.05)


def test_mixtures_are_equally_likely_and_have_the_density_of_their_parts():
    parts = [([-3, 0], 0.25), ([3, 0], [1, 0.04]), ([0, 4], [[0.3, 0.2], [0.2, 0.3]])]
    codes = drawn(parts)
    edges = np.linspace(-6, 6, 25)
    found = np.histogram2d(*codes.T, bins=(edges, edges))[0] / len(codes)
    fine = np.linspace(-6, 6, 241)[:-1] + 0.025
    grid = np.stack(np.meshgrid(fine, fine, indexing="ij"), -1)
    density = np.mean([stats.multivariate_normal(m, c).pdf(grid) for m, c in parts], axis=0)
    expected = density.reshape(24, 10, 24, 10).sum((1, 3)) * 0.05**2
    assert np.abs(found - expected).sum() / 2 < 0.05


def test_dtype_and_seed():
    for given in ("normal", [(0, 1), (1, 2)], lambda n, generator: torch.rand(n, 2, generator=generator)):
        codes = drawn(given, 5, like=LIKE.float())
        assert codes.dtype == np.float32
        assert_allclose(drawn(given, 5, like=LIKE.float()), codes)


def test_a_function_of_ones_own():
    def ring(n, generator):
        angle = 2 * np.pi * torch.rand(n, generator=generator)
        return np.stack([angle.cos().numpy(), angle.sin().numpy()], 1)

    assert_allclose(np.linalg.norm(drawn(ring), axis=1), 1, rtol=1e-6)
    with pytest.raises(ValueError, match=r"prior=.*returned shape \(4, 3\) for n=4.*\(4, 2\)"):
        drawn(lambda n, generator: torch.zeros(n, 3), 4)


@pytest.mark.parametrize(
    "given",
    [
        [([0, 0, 0], 1)],
        [(0, [1, 2, 3])],
        [(0, [[1, 2], [0, 1]])],
        [(0, -1)],
        [(0, [[1, 2], [2, 1]])],
        [(0, 1, 2)],
        [(np.nan, 1)],
        [(0, np.inf)],
        [("a", 1)],
        [3],
    ],
)
def test_what_is_no_mixture(given):
    with pytest.raises(ValueError, match=r"prior holds .*\(mean, covariance\).*n_components=2"):
        prior(given, 2)


def test_a_mixture_of_nothing():
    with pytest.raises(ValueError, match="at least one"):
        prior([], 2)
