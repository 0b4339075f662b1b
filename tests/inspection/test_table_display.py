"""Drawn tables beside real ones: measures against SciPy's, panels, and what is refused."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import polars as pl
import pytest
from estimators import configured
from numpy.testing import assert_allclose
from scipy.stats import f_oneway, spearmanr
from scipy.stats.contingency import association

from skae import TabularVAESampler, VAESampler
from skae.inspection import TableDisplay


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(0)
    pet = rng.integers(0, 3, 200)
    frame = pd.DataFrame({"age": rng.normal(5 + pet, 1).round(1), "pet": np.array(["cat", "dog", "owl"])[pet]})
    frame["weight"] = (frame.age * 2 + rng.normal(size=200)).round(1)
    frame["tame"] = rng.random(200) < pet / 3 + 0.1
    frame.loc[:20, "weight"] = np.nan
    frame["same"] = 1
    return frame


def test_associations_are_those_of_scipy(frame):
    ties = TableDisplay.from_tables(frame, frame).associations_[0]
    there = frame.dropna()
    assert_allclose(ties, ties.T)
    assert_allclose(ties[0, 2], abs(spearmanr(there.age, there.weight).statistic))
    table = pd.crosstab(frame.pet, frame.tame).to_numpy()
    assert_allclose(ties[1, 3], association(table, method="cramer"))
    ranks = frame.age.rank()
    groups = [ranks[frame.pet == pet] for pet in ("cat", "dog", "owl")]
    f, within = f_oneway(*groups).statistic, 197 / 2
    assert_allclose(ties[0, 1] ** 2, f / (f + within))
    assert np.isnan(ties[4]).all()  # a constant has none, not even with itself
    assert_allclose(ties.diagonal()[:4], 1)


@pytest.mark.parametrize("make", [pd.DataFrame, pl.from_pandas], ids=["pandas", "polars"])
def test_panels(frame, make):
    sampler = configured(TabularVAESampler).fit(frame)
    display = TableDisplay.from_estimator(sampler, make(frame), random_state=0)
    assert [ax.get_xlabel() or ax.get_title() for ax in display.axes_] == [
        *frame.columns,
        "associations, real",
        "associations, drawn",
    ]
    assert len(display.axes_[1].patches) == 6
    assert [text.get_text() for text in display.axes_[0].get_legend().get_texts()] == ["real", "drawn"]
    assert_allclose(sum(bar.get_height() for bar in display.axes_[1].patches[:3]), 1)
    assert display.drawn.isna().sum().sum() > 0 if make is pd.DataFrame else True
    few = display.plot(n_columns=1, n_categories=1)
    assert len(few.axes_) == 3
    _, ax = plt.subplots()
    assert display.plot(ax=ax).figure_ is ax.figure


def test_models_of_matrices_draw_no_tables(frame):
    model = configured(VAESampler).fit(frame[["age", "same"]])
    with pytest.raises(TypeError, match=r"VAESampler does not draw tables\. Pass a fitted"):
        TableDisplay.from_estimator(model, frame)


def wide(n_columns):
    names = [f"c{i}" for i in range(n_columns)]
    return pd.DataFrame(np.random.default_rng(0).normal(size=(30, n_columns)), columns=names)


def test_columns_without_a_panel_are_told():
    display = TableDisplay.from_tables(wide(13), wide(13))
    assert display.axes_[-3].get_xlabel() == "c9\nthe first 10 of 13 columns\n(n_columns draws more)"
    assert display.plot(n_columns=13).axes_[-3].get_xlabel() == "c12"
    assert len(display.plot(n_columns=0).axes_) == 2


@pytest.mark.parametrize(("n_columns", "is_named"), [(12, True), (25, True), (26, False)])
def test_ties_have_names_and_a_colour_bar(n_columns, is_named):
    *_, real, drawn = TableDisplay.from_tables(wide(n_columns), wide(n_columns)).axes_
    names = [f"c{i}" for i in range(n_columns)] if is_named else []
    for ticks in (real.get_xticklabels(), drawn.get_yticklabels()):
        assert [tick.get_text() for tick in ticks] == names
    assert drawn.images[0].colorbar.ax.get_ylabel() == "strength"
    assert real.images[0].colorbar is None
