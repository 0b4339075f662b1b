"""The panels of `OutlierDisplay`: what is written and where, so that it can be read."""

import numpy as np
import pandas as pd
import pytest
from estimators import detector, rows
from numpy.testing import assert_array_equal
from sklearn.datasets import load_breast_cancer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, PowerTransformer

from skae.inspection import OutlierDisplay

LABELS = {
    "none": None,
    "two": np.arange(30) % 2,
    "many": np.arange(30),
    "long": [f"rows of kind {number % 4}" for number in range(30)],
}


@pytest.mark.parametrize("y", LABELS.values(), ids=LABELS)
@pytest.mark.parametrize("has_threshold", [True, False], ids=["threshold", "no threshold"])
def test_the_legend_is_above_lines_and_bars(y, has_threshold):
    display = OutlierDisplay.from_estimator(detector().fit(rows(100)), rows(30, seed=1), y, rows=1)
    if not has_threshold:
        display.threshold = -np.inf  # as with too few training rows
    panel = display.plot().axes_[0]
    display.figure_.canvas.draw()
    legend, box = panel.get_legend(), panel.get_window_extent()
    above = (legend or panel.title).get_window_extent()
    assert box.y1 - 1 <= above.y0 < above.y1 <= display.figure_.bbox.y1
    assert box.height > 100  # of the figure's pixels, as without a legend
    texts = [panel.get_title(), legend.get_title().get_text() if legend else ""]
    assert ("no row can be an outlier" in texts) == (not has_threshold)


DOUBLED = FunctionTransformer(lambda X: 2 * X, lambda X: X / 2, validate=True)


@pytest.mark.parametrize("before", [[], [DOUBLED]], ids=["alone", "after a step that takes only numbers"])
def test_expected_values_that_a_step_cannot_bring_back(before):
    """PowerTransformer returns numbers below a bound only, where its exponent is negative."""
    X, y = load_breast_cancer(return_X_y=True)
    model = make_pipeline(*before, PowerTransformer(), detector()).fit(X[y == 1, :10])
    display = OutlierDisplay.from_estimator(model, X[y == 0, :10], n_features=10)
    np.testing.assert_allclose(display.values, X[y == 0, :10][display.rows])
    is_out = ~np.isfinite(display.expected_values)
    assert is_out.any(axis=1).all()
    for number, panel in enumerate(display.axes_[2:]):
        labels = dict(text.get_text().split("\n") for text in panel.get_yticklabels())
        for column, name in enumerate(display.feature_names):
            assert "(expected: " in labels[name]
            assert ("(expected: out of range, usual: " in labels[name]) == is_out[number, column]


def test_labels_may_be_named_as_a_column():
    X = load_breast_cancer(as_frame=True).data.iloc[:120, :4].assign(group=np.arange(120) % 2)
    model = detector(n_estimators=2).fit(X[:80])
    by_name, by_values = (
        OutlierDisplay.from_estimator(model, X[80:], y, rows=1) for y in ("group", X["group"][80:])
    )
    assert_array_equal(by_name.labels, by_values.labels)


def test_rows_may_be_chosen_by_labels_of_the_index():
    names = [f"B{i:03}" for i in range(30)]
    model, new = detector().fit(rows(60)), pd.DataFrame(rows(30, seed=1), index=names)
    for chosen in (["B020", "B010"], pd.Series(["B020", "B010"]), np.array(["B020", "B010"])):
        display = OutlierDisplay.from_estimator(model, new, rows=chosen)
        assert display.rows == [20, 10]
        assert display.row_names == ["index B020 (row 20)", "index B010 (row 10)"]
    with pytest.raises(ValueError, match=r"rows has 'B999', a label .* none has: it holds B000, .*Pass labels"):
        OutlierDisplay.from_estimator(model, new, rows=["B010", "B999"])
    with pytest.raises(ValueError, match=r"rows has 'B010', a label that one row must have .* rows 10, 11 have"):
        OutlierDisplay.from_estimator(model, new.rename({"B011": "B010"}), rows=["B010"])
    with pytest.raises(ValueError, match=r"rows holds np\.str_\('B010'\).*in the index of a pandas frame"):
        OutlierDisplay.from_estimator(model, new.to_numpy(), rows=["B010"])
