"""Labels that are too many to be told apart by colours: others together, and values in ranges."""

import numpy as np
import pandas as pd
import pytest
from estimators import configured, detector, fitted, rows
from matplotlib.colors import to_rgb

from skae import AutoencoderTransformer
from skae.inspection import LatentDisplay, OutlierDisplay


def texts_of(panel):
    return [text.get_text() for text in panel.get_legend().get_texts()]


@pytest.fixture(scope="module")
def histograms():
    """Draw histograms of rows by labels; return what the legend says, and how many rows each colour has."""
    model = detector(n_estimators=2).fit(rows(100))

    def histograms_by(y, X=None):
        X = rows(len(y), seed=1) if X is None else X
        display = OutlierDisplay.from_estimator(model, X, y, rows=1)
        *texts, _ = texts_of(display.axes_[0])  # the threshold
        sizes = [int(sum(bar.get_height() for bar in bars)) for bars in display.axes_[0].containers]
        assert len({bars[0].get_facecolor() for bars in display.axes_[0].containers}) == len(texts) == len(sizes)
        return dict(zip(texts, sizes, strict=True))

    return histograms_by


def test_values_are_drawn_in_ranges(histograms):
    assert histograms(np.arange(40) / 2) == {"0 to 4.5": 10, "5 to 9.5": 10, "10 to 14.5": 10, "15 to 19.5": 10}
    assert histograms(np.arange(40)) == {"0 to 9": 10, "10 to 19": 10, "20 to 29": 10, "30 to 39": 10}
    named = pd.DataFrame(rows(30, seed=1), columns=[f"column {number}" for number in range(5)])
    model = detector(n_estimators=2).fit(named)
    display = OutlierDisplay.from_estimator(model, named, "column 2", rows=1)
    assert len(texts_of(display.axes_[0])) == 5


def test_values_that_are_missing_equal_or_near_each_other(histograms):
    assert histograms(np.r_[[0.5] * 25, [1.5] * 5]) == {"0.5": 25, "1.5": 5}
    assert histograms(np.r_[[0.5] * 20, np.arange(20)]) == {"0": 1, "0.5": 20, "1 to 9": 9, "10 to 19": 10}
    some = np.where(np.arange(40) % 4, np.arange(40) / 2, np.nan)
    assert histograms(some)["missing"] == 10
    near = 1000 + np.arange(40) / 1e4
    assert [*histograms(near)][:2] == ["1000 to 1000.001", "1000.001 to 1000.002"]
    assert histograms(np.r_[np.arange(29) / 2, np.inf])["11 to inf"] == 8


@pytest.mark.parametrize("kind", [str, int])
def test_rare_classes_are_drawn_as_one(histograms, kind):
    y = np.r_[np.repeat(np.arange(12), 2), np.arange(7), 7, 8].astype(kind)  # 9, 10 and 11 are rarer
    expected = dict.fromkeys(map(str, range(9)), 3) | {"others (3 classes)": 6}
    assert histograms(y) == expected
    assert "others" not in str(histograms(y[np.isin(y, y[:20])]))  # ten have a colour each


def test_codes_of_many_classes():
    codes, y = np.random.default_rng(0).normal(size=(200, 2)), np.arange(200) % 30
    y = np.array([f"class {number}" for number in np.where(y < 11, 29 - y, y)])  # 0 to 10 are not there
    y[:22] = [f"class {number}" for number in range(22)]
    display = LatentDisplay(codes, y=y, y_name="kind").plot()
    *texts, last = texts_of(display.axes_[0])
    assert last == "others (11 classes)"
    assert len(texts) == 19
    *classes, others = display.scatter_
    assert len(others.get_offsets()) == (~np.isin(y, texts)).sum() < 25
    colours = {to_rgb(points.get_facecolor()[0]) for points in display.scatter_}
    assert len(colours) == 20
    assert min(to_rgb(others.get_facecolor()[0])) > 0.75
    assert others.get_zorder() < min(points.get_zorder() for points in classes)
    display.figure_.canvas.draw()
    legend, panel = (part.get_window_extent() for part in (display.axes_[0].get_legend(), display.axes_[0]))
    assert panel.width > 200
    assert legend.y0 > 0
    assert legend.y1 < display.figure_.bbox.y1
    assert legend.x1 < display.figure_.bbox.x1


def test_a_legend_beside_a_small_panel_has_columns():
    from matplotlib import pyplot as plt

    model = fitted(configured(AutoencoderTransformer), rows(60))
    figure, axes = plt.subplots(2, 2, layout="constrained")
    y = [f"a class with a name too long for any legend, {number % 15}" for number in range(60)]
    LatentDisplay.from_estimator(model, rows(60), y, n_points=None, ax=axes[0, 0])
    figure.canvas.draw()
    legend = axes[0, 0].get_legend().get_window_extent()
    assert legend.height < 1.4 * axes[0, 0].get_window_extent().height
    assert max(map(len, texts_of(axes[0, 0]))) <= 30
