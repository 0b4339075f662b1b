"""The display of an imputation: what it draws is what was observed, and what the imputer fills in."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from estimators import IMPUTERS, MISSING, TABULAR, rows
from numpy.testing import assert_allclose
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.impute import KNNImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skae.inspection import ImputationDisplay

NAMES = ["a", "b", "c", "d", "e"]


@pytest.fixture(scope="module")
def holes():
    X = rows(100)
    X[np.random.default_rng(0).random(X.shape) < [0.1, 0.0, 0.4, 0.2, 0.3]] = np.nan
    return pd.DataFrame(X, columns=NAMES)


def imputer():
    return clone(IMPUTERS["imputer"])


def test_what_is_observed_and_what_is_filled_in(holes):
    model = imputer().fit(holes)
    display = ImputationDisplay.from_estimator(model, holes, features=3)
    assert display.feature_names == ["c", "d", "e"]  # those with the most missing values
    assert len(display.axes_) == 4
    filled, missing = model.transform(holes), holes.isna().to_numpy()
    for place, column in enumerate((2, 3, 4)):
        assert_allclose(display.observed[place], holes.to_numpy()[~missing[:, column], column])
        assert_allclose(display.imputed[place], filled[missing[:, column], column])
    assert_allclose(display.errors, model.imputation_error_[2:])
    bars = display.axes_[-1].patches
    deviations = np.array([values.std() for values in display.observed])
    assert_allclose([bar.get_width() for bar in bars], display.errors / deviations)
    areas = [bar.get_height() * bar.get_width() for bar in display.axes_[0].patches]
    assert_allclose(sum(areas), 2)


def test_columns_that_are_chosen_and_axes_of_the_callers(holes):
    model = imputer().fit(holes)
    figure, axes = plt.subplots(1, 3)
    display = ImputationDisplay.from_estimator(model, holes, features=["e", 1], ax=axes)
    assert display.figure_ is figure
    assert display.feature_names == ["e", "b"]
    assert len(display.imputed[1]) == 0
    with pytest.raises(ValueError, match=r"names \['z'\], which are not among the 5 columns"):
        ImputationDisplay.from_estimator(model, holes, features=["z"])


def test_pipelines_and_columns_that_are_left_out(holes):
    X = holes.assign(b=np.nan)
    pipe = make_pipeline(StandardScaler(), imputer().set_params(add_indicator=True), LogisticRegression())
    with np.errstate(all="ignore"):  # the scaler divides by no values
        pipe.fit(X, np.arange(100) % 2)
    display = ImputationDisplay.from_estimator(pipe, X)
    assert display.feature_names == ["a", "c", "d", "e"]
    filled = pipe[:2].transform(X)[:, :4]
    assert_allclose(display.imputed[3], filled[X["e"].isna(), 3])
    assert len(display.errors) == 4


def test_names_where_a_step_puts_columns_into_another_order(holes):
    swap = make_column_transformer(
        ("passthrough", ["e", "d"]), remainder="passthrough", verbose_feature_names_out=False
    )
    display = ImputationDisplay.from_estimator(make_pipeline(swap, KNNImputer()).fit(holes), holes)
    for name, observed in zip(display.feature_names, display.observed, strict=True):
        assert_allclose(observed, holes[name].dropna())


@pytest.mark.parametrize("model", [KNNImputer(), *MISSING.values()], ids=lambda model: type(model).__name__)
def test_other_imputers_show_no_errors(model, holes):
    model = clone(model).fit(holes)
    display = ImputationDisplay.from_estimator(model, holes, features=2)
    assert display.errors is None
    assert len(display.axes_) == 2
    fill = getattr(model, "impute", model.transform)
    assert_allclose(display.imputed[0], np.asarray(fill(holes))[holes["c"].isna(), 2])


def test_missing_values_of_pandas(holes):
    model = imputer().set_params(missing_values=pd.NA).fit(holes)
    display = ImputationDisplay.from_estimator(model, holes, features=["c"])
    assert_allclose(np.sort(display.observed[0]), np.sort(holes["c"].dropna()))


def test_another_mark(holes):
    marked = holes.fillna(-999.0)
    model = imputer().set_params(missing_values=-999.0)
    display = ImputationDisplay.from_estimator(model.fit(marked), marked, features=["c"])
    assert_allclose(np.sort(display.observed[0]), np.sort(holes["c"].dropna()))


def test_estimators_without_an_imputer(holes):
    with pytest.raises(TypeError, match="StandardScaler contains no imputer"):
        ImputationDisplay.from_estimator(StandardScaler().fit(holes), holes)


def test_samplers_of_tables_are_no_imputers_of_numbers(holes):
    sampler = make_pipeline(KNNImputer(), clone(TABULAR["tabular"])).fit(holes)
    with pytest.raises(TypeError, match="TabularVAESampler contains no imputer"):
        ImputationDisplay.from_estimator(sampler[-1], holes)
    assert ImputationDisplay.from_estimator(sampler, holes).feature_names


def test_rows_without_missing_values(holes):
    model = imputer().fit(holes)
    with pytest.raises(ValueError, match=r"features=8 chooses none: X has no value.*missing_values=nan"):
        ImputationDisplay.from_estimator(model, holes.fillna(0.0))
    display = ImputationDisplay.from_estimator(model, holes.fillna(0.0), features=["a"])
    assert [len(values) for values in (display.observed[0], display.imputed[0])] == [100, 0]


def test_an_error_says_how_many_columns_it_does_not_name():
    rng = np.random.default_rng(0)
    X = np.where(rng.uniform(size=(40, 23)) < 0.1, np.nan, rng.normal(size=(40, 23)))
    with pytest.raises(ValueError, match=r"fills: x0, x1, .*, x19 and 3 more\. Pass"):
        ImputationDisplay.from_estimator(KNNImputer().fit(X), X, features=["z"])
