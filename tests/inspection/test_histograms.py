"""Bars of histograms."""

import numpy as np
import pytest
from estimators import detector
from numpy.testing import assert_allclose
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

from skae.inspection import OutlierDisplay
from skae.inspection._histograms import edges_at, edges_of, edges_of_p_values


@pytest.mark.parametrize("threshold", [-3.0, -2.9, 0.0, 6.9, 7.0, 9.0, -np.inf, np.nan])
@pytest.mark.parametrize("bins", [1, 2, 20])
def test_one_edge_is_at_the_threshold(threshold, bins):
    edges = edges_at(-3.0, 7.0, bins, threshold)
    assert (np.diff(edges) > 0).all()
    assert_allclose(edges[[0, -1]], [-3, 7])
    assert (threshold in edges) == (-3 <= threshold <= 7)
    assert len(edges) == bins + 1 + (bins == 1 and -3 < threshold < 7)


@pytest.mark.parametrize("rate", [0.05, 0.02, 0.03, 0.1, 0.001, 0.3, 0.99, None])
def test_one_edge_of_p_values_is_at_the_rate(rate):
    edges = edges_of_p_values(20, rate)
    assert (np.diff(edges) > 1e-6).all()
    assert_allclose(edges[[0, -1]], [0, 1])
    assert len(edges) >= 21
    assert rate is None or np.abs(edges - rate).min() < 1e-9


def test_outliers_are_drawn_on_their_side_of_the_threshold():
    """Also where they are so few that the scale of the others is drawn."""
    X = load_breast_cancer().data
    train, test = train_test_split(X, random_state=0)
    model = detector(n_estimators=10, false_alarm_rate=0.02).fit(train)
    n_odd = int((model.predict(test) == -1).sum())
    assert 0 < n_odd < 0.02 * len(test) + 1
    display = OutlierDisplay.from_estimator(model, test, rows=1)
    left, below = (
        sum(bar.get_height() for bar in axes.patches if bar.get_x() + bar.get_width() <= end + 1e-9)
        for axes, end in zip(display.axes_, (model.offset_, 0.02), strict=False)
    )
    assert left == below == n_odd


@pytest.mark.parametrize(
    ("values", "edges"),
    [
        ([1, 5, 3], [0.5, 1.5, 2.5, 3.5, 4.5, 5.5]),
        ([0, 11], [-0.5, 2.5, 5.5, 8.5, 11.5]),  # 12 values in at most 5 bars
        ([7], [6.5, 7.5]),
        ([-2, 3], [-2.5, -0.5, 1.5, 3.5]),
        ([0.5, 3], np.linspace(0.5, 3, 6)),
        ([0, 1e300], np.linspace(0, 1e300, 6)),
    ],
)
def test_bars_of_integers_have_as_many_of_them(values, edges):
    assert_allclose(edges_of(np.array(values, dtype=float), 5), edges)
