"""The display of outliers: what it draws is what the detector says."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from estimators import detector, rows
from numpy.testing import assert_allclose
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skae.inspection import OutlierDisplay

NAMES = ["a", "b", "c", "d", "e"]


@pytest.fixture(scope="module")
def case():
    """A pipeline that ends in a detector, and rows, one of them odd in the feature "d"."""
    X = pd.DataFrame(rows(100), columns=NAMES)
    new = pd.DataFrame(rows(30, seed=1), columns=NAMES)
    new.loc[7, "d"] += 300
    return make_pipeline(StandardScaler(), detector()).fit(X), new


def test_scores_p_values_and_reasons(case):
    model, new = case
    display = OutlierDisplay.from_estimator(model, new, rows=2, n_features=3)
    assert display.rows[0] == 7
    assert len(display.axes_) == 4
    assert_allclose(display.scores, model.score_samples(new))
    assert_allclose(display.p_values, model[-1].p_values(model[:-1].transform(new)))
    assert_allclose(display.axes_[0].lines[0].get_xdata(), model[-1].offset_)
    assert sum(bar.get_height() for bar in display.axes_[1].patches) == 30
    bars, labels = display.axes_[2].patches, display.axes_[2].get_yticklabels()
    assert [label.get_text() for label in labels][-1] == "d"  # the longest bar, at the top
    assert bars[-1].get_width() == max(display.reasons[0])
    assert len(bars) == 3


def test_chosen_rows_labels_and_axes_of_the_callers(case):
    model, new = case
    y = np.arange(30) % 2
    figure, axes = plt.subplots(1, 3)
    display = OutlierDisplay.from_estimator(model, new, y, rows=[4], ax=axes)
    assert display.figure_ is figure
    assert display.rows == [4]
    texts = [text.get_text() for text in display.axes_[0].get_legend().get_texts()]
    assert texts == ["0", "1"]
    assert len(OutlierDisplay.from_estimator(model, new, rows=0).axes_) == 2


def test_names_of_features_that_a_step_makes():
    model = make_pipeline(PCA(3), detector()).fit(pd.DataFrame(rows(60), columns=NAMES))
    display = OutlierDisplay.from_estimator(model, pd.DataFrame(rows(20), columns=NAMES))
    assert list(display.feature_names) == ["x0", "x1", "x2"]


def test_detectors_without_p_values():
    model = IsolationForest(n_estimators=5).fit(rows())
    with pytest.raises(TypeError, match="IsolationForest has no p_values"):
        OutlierDisplay.from_estimator(model, rows())


def test_rows_by_a_mask_and_numbers_that_are_not_there(case):
    model, new = case
    mask = np.arange(30) % 10 == 7
    assert OutlierDisplay.from_estimator(model, new, rows=mask).rows == [7, 17, 27]
    with pytest.raises(ValueError, match=r"rows has 30, but X has 30 rows, from 0 to 29, whatever its index"):
        OutlierDisplay.from_estimator(model, new, rows=[1, 30])
    with pytest.raises(ValueError, match=r"rows is a mask of shape \(20,\), but X has 30 rows"):
        OutlierDisplay.from_estimator(model, new, rows=mask[:20])
