"""Codes, and a grid of decoded codes beside them."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from estimators import CLASSIFIERS, configured, fitted, labels, rows
from inspected import drawn, heights, variational
from matplotlib.colors import to_rgb, to_rgba
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_digits
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skae import AutoencoderTransformer, DenoisingAutoencoder, TabularVAESampler
from skae.inspection import LatentDisplay, ReconstructionDisplay, SampleDisplay, latent_grid

SHAPE = (8, 8)


@pytest.fixture(scope="module", name="X")
def _images():
    return load_digits().data[:120]


@pytest.fixture(scope="module")
def y():
    return load_digits().target[:120]


@pytest.fixture(scope="module")
def model(X):
    """A pipeline on digits."""
    return make_pipeline(StandardScaler(), configured(DenoisingAutoencoder)).fit(X)


@pytest.fixture(scope="module")
def tabular():
    """A pipeline on rows that are no images, which samples too."""
    return make_pipeline(StandardScaler(), variational()).fit(rows())


def test_codes_by_class_and_the_grid(X, y, model):
    display = LatentDisplay.from_estimator(model, X, y, n_points=4, image_shape=SHAPE)
    Z = model.transform(X)
    for digit, points in zip(range(10), display.scatter_, strict=True):
        assert_allclose(points.get_offsets(), Z[y == digit])
    texts = [text.get_text() for text in display.axes_[0].get_legend().get_texts()]
    assert texts == [str(digit) for digit in range(10)]
    grid = latent_grid(model, X, n_points=4)
    sheet = drawn(display.axes_[1])
    assert sheet.shape == (36, 36)
    for i, j in np.ndindex(4, 4):  # rows of the image go down, the vertical component goes up
        top, left = 9 * (3 - i) + 1, 9 * j + 1
        assert_allclose(sheet[top : top + 8, left : left + 8], grid[i, j].reshape(SHAPE))
    assert display.axes_[1].images[0].get_clim() == (0, 16)
    left, right, bottom, top = display.axes_[1].images[0].get_extent()
    assert_allclose((right - left, top - bottom), (4, 4))
    assert_allclose(left + 5 * (right - left) / 36, display.axes_[1].get_xticks()[0])  # images above their labels
    assert_allclose(top - 32 * (top - bottom) / 36, display.axes_[1].get_yticks()[0])
    ticks = [text.get_text() for text in display.axes_[1].get_xticklabels()]
    assert_allclose([float(tick) for tick in ticks], display.grid_values[0], atol=0.05)
    assert [ax.get_xlabel() for ax in display.axes_] == ["component 0"] * 2


def test_codes_by_value_and_without_a_grid():
    data = rows()
    model = fitted(configured(AutoencoderTransformer, n_components=3), data)
    values = data[:, 0]
    display = LatentDisplay.from_estimator(model, data, values, components=(2, 0), n_points=None)
    assert display.axes_.shape == (1,)
    assert_allclose(display.scatter_[0].get_offsets(), model.transform(data)[:, [2, 0]])
    assert_allclose(display.scatter_[0].get_array(), values)
    assert display.axes_[0].get_xlabel() == "component 2 of 3"
    assert display.axes_[0].get_ylabel() == "component 0 of 3"
    words = np.array(["cat", "dog"])[labels(data) % 2]
    assert len(LatentDisplay.from_estimator(model, data, words, n_points=2).scatter_) == 2
    counts = np.arange(len(data))  # too many values to be classes
    assert_allclose(
        LatentDisplay.from_estimator(model, data, counts, n_points=None).scatter_[0].get_array(), counts
    )
    clf = fitted(CLASSIFIERS["classifier_stacked"])
    assert LatentDisplay.from_estimator(clf, data, n_points=None).grid is None
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        LatentDisplay.from_estimator(model, data, [0, 1, 2])
    with pytest.raises(ValueError, match="two different components of a code that has 1"):
        LatentDisplay.from_estimator(fitted(configured(AutoencoderTransformer, n_components=1)), data)


def test_a_grid_of_rows_that_are_no_images(tabular):
    display = LatentDisplay.from_estimator(tabular, rows(), n_points=3, spacing="normal")
    grid = latent_grid(tabular, rows(), n_points=3, spacing="normal")
    # The component that is not drawn stays at its mean in both.
    assert_allclose(heights(display.cells_[2, 1]), grid[2, 1], rtol=1e-6)
    assert_allclose(display.grid_values[0], [-1.959964, 0, 1.959964], atol=1e-6)


@pytest.mark.parametrize(
    ("before", "words"),
    [
        (make_column_transformer((StandardScaler(), [0, 1, 2])), "a ColumnTransformer, has no inverse_transform,"),
        (SimpleImputer(), "a SimpleImputer, has no inverse_transform that works here .*add_indicator"),
        (None, "AutoencoderClassifier has no inverse_transform to decode with"),
    ],
    ids=["columns", "imputer", "classifier"],
)
def test_where_nothing_can_be_decoded_the_codes_are_drawn_alone(before, words):
    data = rows()
    last = clone(CLASSIFIERS["classifier"]) if before is None else configured(AutoencoderTransformer)
    model = make_pipeline(before or StandardScaler(), last).fit(data, labels(data))
    with pytest.warns(UserWarning, match=f"The codes are drawn alone.*{words}") as caught:
        display = LatentDisplay.from_estimator(model, data, labels(data))
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert display.grid is None
    assert display.axes_.shape == (1,)
    codes = model.transform(data)[:, :2]
    assert_allclose(np.concatenate([points.get_offsets() for points in display.scatter_]).sum(0), codes.sum(0))
    LatentDisplay.from_estimator(model, data, n_points=None)  # without a word


def test_tables_with_categories_are_drawn_as_codes_and_refused_as_rows():
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"size": rng.normal(size=90), "kind": rng.choice(["a", "b"], 90)})
    kind = table["kind"].where(table.index > 3)  # some are missing
    sampler = TabularVAESampler(2, hidden_layer_sizes=(8,), max_iter=2, random_state=0).fit(table)
    with pytest.warns(UserWarning, match=r"The codes are drawn alone.*such as categories"):
        display = LatentDisplay.from_estimator(sampler, table, kind)
    assert sum(len(points.get_offsets()) for points in display.scatter_) == 90
    for display, shown in ((SampleDisplay, 4), (ReconstructionDisplay, table[:4])):
        with pytest.raises(TypeError, match="TableDisplay draws such tables"):
            display.from_estimator(sampler, shown)


def test_bars_have_the_colours_of_their_features():
    names = ["height", "width", "weight", "price", "age"]
    frame = pd.DataFrame(rows(), columns=names)
    model = make_pipeline(StandardScaler(), configured(AutoencoderTransformer)).fit(frame)
    display = LatentDisplay.from_estimator(model, frame, n_points=3)
    legend = display.axes_[1].get_legend()
    assert [text.get_text() for text in legend.get_texts()] == names
    colors = [patch.get_facecolor() for patch in legend.get_patches()]
    for cell in display.cells_.flat:
        assert [bar.get_facecolor() for bar in cell.patches] == colors
        assert len(cell.get_xticks()) == 0
    assert len(set(colors)) == 5
    plain = LatentDisplay.from_estimator(model, frame, n_points=3, bar_kw={"color": "red"})
    assert plain.axes_[1].get_legend() is None
    assert plain.cells_[0, 0].patches[1].get_facecolor() == (1, 0, 0, 1)


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame])
def test_colours_by_a_column_that_was_not_there_in_fit(make):
    columns = pd.DataFrame(rows(30), columns=list("abcde")).to_dict("list")
    X, kind = make(columns), ["x", "y"] * 15
    model = configured(AutoencoderTransformer, n_components=2).fit(X)
    display = LatentDisplay.from_estimator(model, make({"kind": kind, **columns}), "kind", n_points=None)
    assert display.y_name == "kind"
    assert_array_equal(display.y, kind)
    assert_allclose(display.codes, model.transform(X))


def test_colours_by_a_column_of_the_frame():
    frame = pd.DataFrame(rows(), columns=list("abcde"))
    model = fitted(configured(AutoencoderTransformer), frame)
    display = LatentDisplay.from_estimator(model, frame, "b", n_points=None)
    assert_allclose(display.scatter_[0].get_array(), frame["b"])
    with pytest.raises(ValueError, match=r"y='z' names no column: X has the columns a, b, c, d, e"):
        LatentDisplay.from_estimator(model, frame, "z")
    with pytest.raises(ValueError, match=r"y='b' names no column: X is no data frame"):
        LatentDisplay.from_estimator(model, frame.to_numpy(), "b")


def test_an_error_says_how_many_columns_it_does_not_name():
    frame = pd.DataFrame(rows(60, 12), columns=list("abcdefghijkl"))
    model = fitted(configured(AutoencoderTransformer), frame)
    with pytest.raises(ValueError, match=r"X has the columns a, b, .*, j and 2 more\. Give"):
        LatentDisplay.from_estimator(model, frame, "z")


@pytest.mark.parametrize("kind", ["classes", "values"])
@pytest.mark.parametrize("name", ["income", "US$ a$", 3])
def test_colours_are_titled_by_the_name_of_the_column(kind, name):
    frame = pd.DataFrame(rows(60), columns=["a", "b", "c", "d", name] if name != 3 else range(5))
    if kind == "classes":
        frame[name] = (frame[name] > 0).astype(float)
    model = fitted(configured(AutoencoderTransformer), frame)
    for y in [frame[name], *([name] if isinstance(name, str) else [])]:
        display = LatentDisplay.from_estimator(model, frame, y, n_points=None)
        legend, bars = display.axes_[0].get_legend(), display.axes_[0].child_axes
        (title,) = [legend.get_title().get_text()] if kind == "classes" else [bar.get_ylabel() for bar in bars]
        assert title.replace("\\$", "$") == str(name)
    plain = LatentDisplay.from_estimator(model, frame, frame[name].to_numpy(), n_points=None)
    legend, bars = plain.axes_[0].get_legend(), plain.axes_[0].child_axes
    assert (legend.get_title().get_text() if kind == "classes" else bars[0].get_ylabel()) == ""


@pytest.mark.parametrize("layout", [None, "constrained"])
def test_the_colour_bar_stands_between_its_panel_and_the_next(layout):
    from matplotlib import pyplot as plt

    codes = np.random.default_rng(0).normal(size=(60, 2))
    figure, axes = plt.subplots(2, 2, layout=layout, figsize=(8, 6))
    for ax in axes.flat:
        LatentDisplay(codes, y=codes[:, 0] * 1e4, y_name="a measure").plot(ax)
    axes[1, 0].legend([plt.Line2D([], [])], ["wide"], loc="center left", bbox_to_anchor=(1.5, 0.5))
    figure.canvas.draw()
    for left, right in axes:
        panel, bar = left.get_window_extent(), left.collections[0].colorbar.ax.get_window_extent()
        assert 0 < bar.x0 - panel.x1 < 0.1 * panel.width
        assert_allclose((bar.y0, bar.y1), (panel.y0, panel.y1))
        end = left.collections[0].colorbar.ax.get_tightbbox().x1  # of its numbers and its label
        assert end < right.yaxis.get_tightbbox().x0
        assert panel.width > 100


# Rows without a class or a value ---------------------------------------------------------------------------


def texts_of(legend):
    return [text.get_text() for text in legend.get_texts()]


@pytest.fixture(scope="module")
def plain():
    return fitted(configured(AutoencoderTransformer), rows(60))


@pytest.mark.parametrize(
    ("values", "label"),
    [
        (np.where(np.arange(60) % 3, np.arange(60) / 7, np.nan), "missing"),
        (pd.Series(np.arange(60)).mask(np.arange(60) % 3 == 0).astype("Int64"), "missing"),
        (np.where(np.arange(60) % 3, np.arange(60) / 7, np.inf), "infinite"),
        (np.r_[np.nan, np.inf, np.arange(58) / 7], "missing or infinite"),
    ],
    ids=["floats", "nullable integers", "infinite", "both"],
)
def test_rows_without_a_value_are_grey(plain, values, label):
    display = LatentDisplay.from_estimator(plain, rows(60), values, n_points=None, scatter_kw={"cmap": "magma"})
    [points] = display.scatter_
    display.figure_.canvas.draw()
    has_none = ~np.isfinite(pd.Series(values).to_numpy(dtype=float, na_value=np.nan))
    assert len(points.get_offsets()) == 60
    assert ((points.get_facecolors()[:, :3] == to_rgba("0.75")[:3]).all(1) == has_none).all()
    assert points.get_clim() == pytest.approx((values[~has_none].min(), values[~has_none].max()))
    legend = display.axes_[0].get_legend()
    assert texts_of(legend) == [label]
    assert not legend.get_window_extent().overlaps(display.axes_[0].title.get_window_extent())


def test_no_legend_of_missing_values_where_there_are_none(plain):
    display = LatentDisplay.from_estimator(plain, rows(60), rows(60)[:, 0], n_points=None)
    assert display.axes_[0].get_legend() is None


@pytest.mark.parametrize(
    ("y", "classes"),
    [
        (np.array(["b", None, "a"], dtype=object), ["a", "b"]),
        (pd.Categorical(["b", None, "a"]), ["a", "b"]),
        (np.array([2, np.nan, 1]), ["1.0", "2.0"]),
        (np.array([2, pd.NA, 1], dtype=object), ["1", "2"]),
        (pd.array([True, pd.NA, False], dtype="boolean"), ["False", "True"]),
        (np.array(["2025-01-02", "NaT", "2025-01-01"], dtype="M8[D]"), ["2025-01-01", "2025-01-02"]),
    ],
    ids=["objects", "categorical", "floats", "integers", "nullable booleans", "dates"],
)
def test_rows_without_a_class_are_grey(plain, y, classes):
    place = np.arange(60) % 3
    display = LatentDisplay.from_estimator(plain, rows(60), np.asarray(y)[place], n_points=None)
    assert texts_of(display.axes_[0].get_legend()) == [*classes, "missing"]
    codes = plain.transform(rows(60))
    for points, which in zip(display.scatter_, (2, 0, 1), strict=True):
        assert_allclose(points.get_offsets(), codes[place == which])
    assert_allclose(display.scatter_[-1].get_facecolors()[0, :3], to_rgba("0.75")[:3])


@pytest.mark.parametrize("nothing", [np.nan, None], ids=["numbers", "objects"])
def test_all_missing(plain, nothing):
    display = LatentDisplay.from_estimator(plain, rows(60), [nothing] * 60, n_points=None)
    assert len(display.scatter_[0].get_offsets()) == 60
    assert texts_of(display.axes_[0].get_legend()) == ["missing"]
    assert display.scatter_[0].colorbar is None


@pytest.mark.parametrize("n_classes", [3, 17, 20])
def test_no_class_has_the_colour_of_missing_ones(n_classes):
    codes, y = np.random.default_rng(0).normal(size=(60, 2)), np.r_[np.arange(59.0) % n_classes, np.nan]
    display = LatentDisplay(codes, y=y).plot()
    *classes, missing = ((to_rgb(s.get_facecolor()[0])) for s in display.scatter_)
    assert missing == to_rgb("0.75")
    assert len(set(classes)) == n_classes
    assert all(max(colour) - min(colour) > 0.1 or max(colour) < 0.55 for colour in classes)
