"""Grids of decoded codes."""

from statistics import NormalDist

import numpy as np
import pytest
from estimators import CONFIGURATIONS, configured, fitted, rows
from numpy.testing import assert_allclose
from sklearn.decomposition import PCA

from skae import AutoencoderTransformer, VAESampler
from skae.inspection import (
    LatentDisplay,
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


# Axes of the display ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "ticks"),
    [
        ([-0.9163, -0.1402, 0.6359], ["-0.92", "-0.14", "0.64"]),
        ([-7.45, -0.0412, 12.34], ["-7", "0", "12"]),
        ([99.98, 100.04, 100.1], ["99.98", "100.04", "100.10"]),
        ([-0.04, 0.0, 2.5], ["-0.04", "0.00", "2.50"]),
        ([0.0, 0.0, 0.0], ["0", "0", "0"]),
        ([1.2e-6, 3.4e-6, 1.2e-5], ["1.2e-06", "3.4e-06", "1.2e-05"]),
        ([3.0, 3.0, 3.0], ["3.0", "3.0", "3.0"]),
    ],
)
def test_ticks_have_one_number_of_decimals(values, ticks):
    grid = np.zeros((3, 3, 2))
    display = LatentDisplay(rows()[:, :2], grid=grid, grid_values=(values, [0.0, 1.0, 2.0])).plot()
    assert [text.get_text() for text in display.axes_[1].get_xticklabels()] == ticks
    assert [text.get_text() for text in display.axes_[1].get_yticklabels()] == ["0.0", "1.0", "2.0"]


@pytest.fixture(scope="module")
def one_factor():
    """Rows that one unit has all to say of."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(300, 1)) * [1.0, -1.0, 2.0, 0.5, 1.0] + 0.3 * rng.normal(size=(300, 5))


@pytest.mark.parametrize("width", [2, 3])
def test_an_axis_that_is_an_inactive_unit_is_told_once(one_factor, width):
    model = VAESampler(width, hidden_layer_sizes=(), beta=3.0, max_iter=60, random_state=0).fit(one_factor)
    assert model.n_active_units_ == 1
    still = [number for number in range(width) if model.transform(one_factor)[:, number].var() < 0.01]
    active = next(number for number in range(width) if number not in still)
    with pytest.warns(UserWarning, match=rf"inactive units: component {still[0]} \(deviation 0\.0") as caught:
        LatentDisplay.from_estimator(model, one_factor, components=(active, still[0]))
    (warning,) = caught
    assert "Train longer (max_iter) or lower beta, which is 3." in str(warning.message)
    assert f"component {active}" not in str(warning.message)
    if width == 3:
        with pytest.warns(UserWarning, match=f"component {still[0]} .* and component {still[1]} ") as caught:
            LatentDisplay.from_estimator(model, one_factor, components=still)
        assert len(caught) == 1


def test_rows_that_are_alike_make_no_unit_inactive(one_factor):
    """Warnings are errors here."""
    model = fitted(configured(VAESampler, max_iter=60, learning_rate=0.01, beta=0.1), one_factor)
    assert model.n_active_units_ == 2
    LatentDisplay.from_estimator(model, one_factor)
    LatentDisplay.from_estimator(model, np.repeat(one_factor[:1], 9, axis=0))
    tied = AutoencoderTransformer(2, hidden_layer_sizes=(), max_iter=1, random_state=0).fit(one_factor)
    LatentDisplay.from_estimator(tied, one_factor / 1000)
