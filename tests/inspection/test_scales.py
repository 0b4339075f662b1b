"""Bars of columns in different units: deviations from the mean, in standard deviations."""

import numpy as np
import pandas as pd
import pytest
from estimators import configured, rows
from inspected import heights, variational
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, StandardScaler

from skae import AutoencoderTransformer
from skae.inspection import (
    FeatureDisplay,
    LatentDisplay,
    PreferredInputDisplay,
    ReconstructionDisplay,
    SampleDisplay,
    TopActivationDisplay,
)

NAMES = ["height", "width", "weight", "price", "age"]
UNITS = np.array([1.0, 1000.0, 1.0, 30.0, 0.1])


@pytest.fixture(scope="module", name="X")
def _table():
    return pd.DataFrame(rows() * UNITS + 5 * UNITS, columns=NAMES)


@pytest.fixture(scope="module")
def model(X):
    return make_pipeline(StandardScaler(), variational()).fit(X)


def scaled(values, X):
    X = np.asarray(X)
    return (np.asarray(values) - X.mean(axis=0)) / X.std(axis=0)


def test_cells_of_the_grid(X, model):
    display = LatentDisplay.from_estimator(model, X, n_points=3)
    for i, j in np.ndindex(3, 3):
        assert_allclose(heights(display.cells_[i, j]), scaled(display.grid[i, j], X), rtol=1e-5)
    assert display.axes_[1].get_title() == "decoded codes, in\nstandard deviations from the mean"
    assert display.cells_[0, 0].get_ylim()[1] < 10


@pytest.mark.parametrize("n_samples", [120, 9])
def test_samples_by_each_other(model, n_samples):
    """Of few, more are drawn to tell by."""
    display = SampleDisplay.from_estimator(model, n_samples, random_state=0)
    drawn = (
        display.samples if n_samples == 120 else SampleDisplay.from_estimator(model, 100, random_state=0).samples
    )
    assert_allclose([heights(panel) for panel in display.axes_], scaled(display.samples, drawn), rtol=1e-5)
    assert display.axes_[0].get_ylabel() == "standard deviations\nfrom the mean"


@pytest.mark.parametrize("n_samples", [12, 9])
def test_given_samples_by_each_other(model, n_samples):
    samples = SampleDisplay.from_estimator(model, n_samples, random_state=0).samples
    display = SampleDisplay.from_samples(pd.DataFrame(samples, columns=NAMES))
    drawn = scaled(samples, samples) if n_samples >= 10 else samples
    assert_allclose([heights(panel) for panel in display.axes_], drawn, rtol=1e-5)
    labels = {12: ["standard deviations\nfrom the mean", ""], 9: ["", ""]}[n_samples]
    assert [panel.get_ylabel() for panel in display.axes_[:2]] == labels


def test_rows_by_all_rows(X, model):
    display = ReconstructionDisplay.from_estimator(model, X, n_samples=3)
    assert_allclose([heights(panel) for panel in display.axes_[0]], scaled(X[:3], X), rtol=1e-5)
    assert_allclose(
        [heights(panel) for panel in display.axes_[1]], scaled(display.reconstructions, X), rtol=1e-4, atol=1e-6
    )
    assert display.axes_[0, 0].get_ylabel() == "input\nstandard deviations\nfrom the mean"
    display = TopActivationDisplay.from_estimator(model, X, units=[1], n_samples=2)
    assert_allclose([heights(panel) for panel in display.axes_[0]], scaled(display.samples[0], X), rtol=1e-5)
    display = PreferredInputDisplay.from_estimator(model, X, units=[1], random_state=0)
    assert_allclose(heights(display.axes_[0]), scaled(display.inputs[0], X), rtol=1e-5)
    display = ReconstructionDisplay.from_arrays(X, X)
    assert_allclose(heights(display.axes_[0, 0]), scaled(X, X)[0], rtol=1e-5)


@pytest.mark.parametrize("kind", ["bar", "line"])
def test_rows_in_one_unit_and_lines_are_drawn_as_they_are(X, model, kind):
    if kind == "bar":
        X = pd.DataFrame(rows() * [1, 2, 3, 4, 0], columns=NAMES)  # a constant column is no reason
        model = make_pipeline(StandardScaler(), variational()).fit(X)
    display = LatentDisplay.from_estimator(model, X, n_points=2, kind=kind)
    cell = display.cells_[0, 0]
    drawn = heights(cell) if kind == "bar" else cell.lines[0].get_ydata()
    assert_allclose(drawn, display.grid[0, 0])
    assert display.axes_[1].get_title() == "decoded codes"


def test_constant_columns_have_no_bar_and_missing_values_no_weight():
    X = rows() * UNITS
    X[:, 2] = 3
    model = make_pipeline(StandardScaler(), variational()).fit(X)
    display = ReconstructionDisplay.from_estimator(model, X, n_samples=2)
    assert heights(display.axes_[0, 0])[2] == 0
    assert display.axes_[0, 0].get_ylim()[1] < 10
    holes = np.where(np.arange(X.size).reshape(X.shape) % 7, X, np.nan)
    holes[:2] = X[:2]
    model = make_pipeline(StandardScaler(), variational(missing_values=np.nan)).fit(holes)
    bars = heights(ReconstructionDisplay.from_estimator(model, holes, n_samples=2).axes_[0, 1])
    deviation = np.where(np.arange(5) == 2, np.inf, np.nanstd(holes, axis=0))
    assert_allclose(bars, (X[1] - np.nanmean(holes, axis=0)) / deviation, rtol=1e-6)


def test_rows_in_lists():
    X = rows() * UNITS
    model = make_pipeline(StandardScaler(), variational()).fit(X)
    display = LatentDisplay.from_estimator(model, X.tolist(), n_points=2)
    assert_allclose(heights(display.cells_[0, 0]), scaled(display.grid[0, 0], X), rtol=1e-5)


def test_sparse_rows():
    X = np.maximum(rows(), 0) * UNITS
    model = make_pipeline(MaxAbsScaler(), configured(AutoencoderTransformer)).fit(sparse.csr_matrix(X))
    display = LatentDisplay.from_estimator(model, sparse.csr_matrix(X), n_points=2)
    assert_allclose(heights(display.cells_[0, 0]), scaled(display.grid[0, 0], X), rtol=1e-5)


def test_rows_that_may_be_square_images_have_a_hint():
    def labels(n_columns, n_rows=8, **options):
        X = pd.DataFrame(rows(40, n_columns), columns=[f"c{i}" for i in range(n_columns)])
        X = X if options.pop("named", False) else X.to_numpy()
        display = ReconstructionDisplay.from_arrays(X[:n_rows], X[:n_rows] + 1, **options)
        return [panel.get_xlabel() for panel in display.axes_.flat]

    hint = "columns (image_shape draws images)"
    for n_columns in (16, 64):
        assert labels(n_columns) == [""] * 8 + [hint] + [""] * 7
    for n_columns, options in ((9, {}), (63, {}), (64, {"named": True}), (64, {"kind": "line"})):
        assert not any(labels(n_columns, **options))
    assert not any(labels(64, image_shape=(8, 8)))
    filters = FeatureDisplay(rows(5, 64), range(5)).plot().axes_
    assert [panel.get_xlabel() for panel in filters] == ["", "", "", hint, ""]
