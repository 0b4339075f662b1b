"""Expected values beyond the rows of `fit` are written as such; the numbers themselves stay plain."""

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
from estimators import configured, detector, rows
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, PowerTransformer, StandardScaler

from skae import TabularVAESampler
from skae.inspection import OutlierDisplay

BACKWARDS = FunctionTransformer(np.negative, inverse_func=np.negative, feature_names_out="one-to-one")
STEPS = {"none": [], "scaler": [StandardScaler()], "backwards": [BACKWARDS], "power": [PowerTransformer()]}


def written(display):
    """Return the expected value of each feature of the first row that is explained, as it is written."""
    labels = [tick.get_text().split("\n") for tick in display.axes_[2].get_yticklabels()]
    return {name: beside.split("expected: ")[1].split(",")[0] for name, beside in labels}


@pytest.mark.parametrize("steps", STEPS.values(), ids=STEPS)
def test_what_is_beyond_the_rows_of_fit_is_written_as_such(steps):
    """In the units of the values."""
    X, new = 10 + 3 * rows(90), 10 + 3 * rows(9, seed=1)
    new[4, 2] = 3000
    model = make_pipeline(*steps, detector()).fit(X)
    display = OutlierDisplay.from_estimator(model, new, rows=[4])
    assert_allclose(display.bounds, [X.min(0), X.max(0)], rtol=1e-5)
    given, odd = (steps[0].transform(X), steps[0].transform(new[[4]])) if steps else (X, new[[4]])
    expected, low, high = model[-1].expected_values(odd)[0], given.min(0), given.max(0)
    if BACKWARDS in steps:
        expected, low, high = -expected, -high, -low
    texts, n_beyond = written(display), 0
    for column, value in enumerate(expected):
        text = texts[f"x{column}"]
        if value < low[column] or value > high[column]:
            n_beyond += 1
            bound = display.bounds[int(value > high[column]), column]
            assert text in (f"{'above' if value > high[column] else 'below'} {bound:.3g}", "out of range")
        else:
            assert text == f"{display.expected_values[0, column]:.3g}"
    assert n_beyond
    assert "out of range" not in texts.values() or "PowerTransformer()" in map(str, steps)


def test_numbers_stay_plain():
    X, new = rows(90), rows(9, seed=1)
    new[4, 2] = 3000
    model = detector().fit(X)
    display = OutlierDisplay.from_estimator(model, new, rows=[4])
    assert_allclose(display.expected_values, model.expected_values(new[[4]]))
    assert ((display.expected_values < X.min(0)) | (display.expected_values > X.max(0))).any()
    again = OutlierDisplay.from_estimator(pickle.loads(pickle.dumps(model)), new, rows=[4])
    assert written(again) == written(display)


def test_sparse_rows():
    X = sparse.random_array((90, 5), density=0.4, rng=np.random.default_rng(0), format="csr")
    display = OutlierDisplay.from_estimator(detector().fit(X), X[:30] * 2, rows=1)
    assert_allclose(display.bounds, [X.toarray().min(0), X.toarray().max(0)], rtol=1e-6)


def test_a_constant_column_is_not_beyond_itself():
    X = rows(90)
    X[:, 1] = 0.1
    display = OutlierDisplay.from_estimator(detector().fit(X), X + 0.0, rows=[3])
    assert written(display)["x1"] == "0.1"


def objects(X):
    return X.astype(object).where(X.notna(), pd.NA).to_numpy()


MAKES = {
    "array": np.asarray,
    "objects": objects,
    "pandas": pd.DataFrame,
    "nullable": pd.DataFrame.convert_dtypes,
    "polars": pl.from_pandas,
}


@pytest.mark.parametrize("make", MAKES.values(), ids=MAKES)
def test_missing_values(make):
    X = pd.DataFrame(rows(60), columns=list("abcde"))
    X.iloc[::7, 2] = np.nan
    X["e"] = (1000 * X["e"]).round().astype(int)
    model = detector(configured(TabularVAESampler)).fit(make(X))
    display = OutlierDisplay.from_estimator(model, make(X), rows=1)
    assert_allclose(display.bounds, [X.min(), X.max()], rtol=1e-6)


def test_tables_with_categories_have_none():
    X = pd.DataFrame(rows(60), columns=list("abcde")).assign(kind=["x", "y", "y"] * 20)
    model = detector(configured(TabularVAESampler)).fit(X)
    assert OutlierDisplay.from_estimator(model, X, rows=1).bounds is None
