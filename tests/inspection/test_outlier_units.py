"""Behind which steps `OutlierDisplay` writes values in the units of the table, whichever rows it explains."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from estimators import detector, rows
from numpy.testing import assert_allclose
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_breast_cancer
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    Binarizer,
    FunctionTransformer,
    MinMaxScaler,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
)

from skae.inspection import OutlierDisplay

NAMES = list("abcde")


@pytest.fixture(scope="module")
def skewed():
    """A pipeline behind `PowerTransformer`, the table that it is fitted to, and other rows."""
    X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    X = X.loc[y == 1].iloc[:, 10:20]
    return make_pipeline(PowerTransformer(), detector()).fit(X[:250]), X[:250], X[250:]


@pytest.mark.parametrize("factor", [5, 1000])
@pytest.mark.parametrize("which", ["a cell", "a column", "a row"])
def test_a_value_that_is_far_too_large_has_the_units_of_the_others(skewed, factor, which):
    """`PowerTransformer` makes nearly the same number of all of them: it cannot bring them back."""
    model, X, new = skewed
    new, column = new.copy(), X.columns.get_loc("smoothness error")
    chosen = {"a cell": ([0], [column]), "a column": (slice(None), [column]), "a row": ([0], slice(None))}[which]
    new.iloc[chosen] *= factor
    if which == "a row":
        new = new[:1]
    display = OutlierDisplay.from_estimator(model, new, rows=[0], n_features=10)
    assert_allclose(display.values.astype(float), new[:1])
    assert_allclose(display.usual_values, X.median(), rtol=0.01)
    if which == "a cell":
        expected = display.expected_values[0, column]
        assert abs(expected - X.iloc[:, column].median()) < 3 * X.iloc[:, column].std()


STEPS = {
    "clipped": [MinMaxScaler(clip=True)],
    "clipped in place": [FunctionTransformer(np.clip, kw_args={"min": 0, "max": 1300})],
    "two": [StandardScaler(), PowerTransformer()],
    "imputer without an inverse": [KNNImputer(), RobustScaler()],
    "positive": [PowerTransformer("box-cox")],
    "ranks of integers": [QuantileTransformer(n_quantiles=20)],
    "columns by name": [
        make_column_transformer(
            (SimpleImputer(), NAMES[:2]), remainder="passthrough", verbose_feature_names_out=False
        ),
        StandardScaler(),
    ],
}


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame], ids=["pandas", "polars"])
@pytest.mark.parametrize("steps", STEPS.values(), ids=STEPS)
def test_steps_with_a_way_back_for_most_values(steps, frame):
    X, new = np.split(np.round(1000 + 50 * rows(91)), [61])
    new[7, 3] = 60_000
    model = make_pipeline(*map(clone, steps), detector())
    if len(steps) == 2:  # whose second step takes a frame
        model.set_output(transform="pandas" if frame is pd.DataFrame else "polars")
    model.fit(frame(X, columns=NAMES) if frame is pd.DataFrame else frame(X, schema=NAMES))
    table = frame(new, columns=NAMES) if frame is pd.DataFrame else frame(new, schema=NAMES)
    for chosen in ([7], [0], [7, 0]):
        display = OutlierDisplay.from_estimator(model, table, rows=chosen)
        assert_allclose(display.values.astype(float), new[chosen])
        assert_allclose(display.usual_values, np.median(X, axis=0), atol=2)
        if chosen == [0]:
            assert_allclose(display.expected_values, new[chosen], atol=200)


def test_a_step_that_tells_fewer_values_apart_has_none():
    X = rows(61)
    model = make_pipeline(Binarizer(), detector()).fit(X)
    display = OutlierDisplay.from_estimator(model, rows(30, seed=1), rows=[3])
    assert set(display.values.ravel()) <= {0, 1}
