"""Grids of decoded codes."""

from statistics import NormalDist

import numpy as np
import pytest
from estimators import CONFIGURATIONS, configured, fitted, rows
from numpy.testing import assert_allclose
from sklearn.decomposition import PCA

from skae import AutoencoderTransformer
from skae.inspection import (
    latent_grid,
)


@pytest.fixture(scope="module", name="X")
def _rows():
    return rows(60)


def test_grid_of_the_plane(X):
    model = fitted(CONFIGURATIONS["default"], X)
    Z = model.transform(X)
    grid, codes = latent_grid(model, X, n_points=5, coverage=0.8, return_codes=True)
    ends = np.quantile(Z, [0.1, 0.9], axis=0)
    for i, j in np.ndindex(5, 5):  # the first axis is the second component
        expected = ends[0] + (ends[1] - ends[0]) * np.array([j, i]) / 4
        assert_allclose(codes[i, j], expected)
        assert_allclose(grid[i, j], model.inverse_transform(expected[None])[0])


def test_grid_spacings(X):
    model = fitted(configured(AutoencoderTransformer, n_components=4), X)
    Z = model.transform(X)
    _, codes = latent_grid(model, X, components=(3, 1), spacing="quantile", n_points=3, return_codes=True)
    assert_allclose(codes[0, :, 3], np.quantile(Z[:, 3], [0.025, 0.5, 0.975]))
    assert_allclose(codes[:, 0, 1], np.quantile(Z[:, 1], [0.025, 0.5, 0.975]))
    assert_allclose(codes[..., [0, 2]], np.broadcast_to(Z.mean(0)[[0, 2]], (3, 3, 2)))
    _, codes = latent_grid(model, spacing="normal", coverage=0.9, n_points=3, return_codes=True)
    assert_allclose(codes[0, :, 0], [NormalDist().inv_cdf(p) for p in (0.05, 0.5, 0.95)], atol=1e-12)
    assert_allclose(codes[..., 2:], 0)
    at = np.arange(4.0)
    _, codes = latent_grid(model, extent=(-1, 1, 5, 7), at=at, n_points=3, return_codes=True)
    assert_allclose(codes[2], [[-1, 7, 2, 3], [0, 7, 2, 3], [1, 7, 2, 3]])


def test_a_grid_of_pca(X):
    pca = PCA(2).fit(X)
    grid, codes = latent_grid(pca, X, return_codes=True)
    assert_allclose(grid, pca.mean_ + codes @ pca.components_)
