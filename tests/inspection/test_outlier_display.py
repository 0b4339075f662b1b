"""The display of outliers: what it draws is what the detector says."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from estimators import configured, detector, rows
from matplotlib.colors import to_rgba
from numpy.testing import assert_allclose
from sklearn.compose import make_column_transformer
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from skae import AutoencoderTransformer, TabularVAESampler, VAESampler
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
    assert labels[-1].get_text().startswith("d\n")  # the longest bar, at the top
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
    assert texts == ["0", "1", "threshold"]
    assert display.axes_[0].get_legend().get_title().get_text() == ""
    named = OutlierDisplay.from_estimator(model, new, pd.Series(y, name="kind"), rows=0)
    assert named.axes_[0].get_legend().get_title().get_text() == "kind"
    assert len(OutlierDisplay.from_estimator(model, new, rows=0).axes_) == 2


def test_names_of_features_that_a_step_makes():
    model = make_pipeline(PCA(3), detector()).fit(pd.DataFrame(rows(60), columns=NAMES))
    display = OutlierDisplay.from_estimator(model, pd.DataFrame(rows(20), columns=NAMES))
    assert list(display.feature_names) == ["pca0", "pca1", "pca2"]


def test_names_are_those_of_the_columns_that_arrive():
    """Also where as many arrive as there were, in another order."""
    swap = make_column_transformer(("passthrough", ["e", "d"]), remainder="passthrough")
    X = pd.DataFrame(rows(60), columns=NAMES)
    names = {
        "swapped": make_pipeline(swap, detector()),
        "components": make_pipeline(PCA(5), detector()),
        "unnamed": make_pipeline(FunctionTransformer(np.cbrt), detector()),
        "frames": make_pipeline(StandardScaler(), detector()).set_output(transform="pandas"),
    }
    found = {key: OutlierDisplay.from_estimator(model.fit(X), X).feature_names for key, model in names.items()}
    assert found["swapped"] == ["passthrough__e", "passthrough__d", *(f"remainder__{n}" for n in "abc")]
    assert found["components"] == [f"pca{i}" for i in range(5)]
    assert found["unnamed"] == found["frames"] == NAMES


# What is written beside the bars ---------------------------------------------------------------------------


def test_values_and_usual_ones_of_an_array():
    X, new = rows(61), rows(5, seed=1)
    model = detector().fit(X)
    display = OutlierDisplay.from_estimator(model, new, rows=[3, -1])
    assert_allclose(display.values, new[[3, 4]])
    assert_allclose(display.usual_values, np.median(X, axis=0))
    column = int(np.argmax(display.reasons[0]))
    free = model.expected_values(new[[3, 4]])
    assert_allclose(display.expected_values, free)
    usual = np.median(X[:, column])
    expected = f"x{column}\n{new[3, column]:.3g} (expected: {free[0, column]:.3g}, usual: {usual:.3g})"
    assert display.axes_[2].get_yticklabels()[-1].get_text() == expected
    assert [ax.get_title(loc="right").partition(",")[0] for ax in display.axes_[2:]] == ["row 3", "row 4"]


@pytest.mark.parametrize(
    "steps",
    [
        [StandardScaler()],
        [SimpleImputer(strategy="median"), StandardScaler()],
        [FunctionTransformer(np.cbrt, inverse_func=lambda z: z**3, feature_names_out="one-to-one")],
    ],
    ids=["scaler", "imputer", "function"],
)
def test_values_are_in_the_units_of_the_pipelines_input(steps):
    X, new = (1000 + 50 * pd.DataFrame(rows(n, seed=n), columns=NAMES) for n in (61, 30))
    new.iloc[7, 3] += 5000
    if len(steps) == 2:
        new.iloc[7, 0] = np.nan
    model = make_pipeline(*steps, detector()).fit(X)
    display = OutlierDisplay.from_estimator(model, new, rows=[7], n_features=5)
    assert_allclose(display.usual_values, X.median(), rtol=1e-9)
    assert "values as" not in display.axes_[2].get_xlabel()
    np.testing.assert_array_equal(display.values[0].astype(float), new.iloc[7])
    labels = [label.get_text() for label in display.axes_[2].get_yticklabels()]
    expected = model[-1].expected_values(model[:-1].transform(new.iloc[[7]]))
    free = np.asarray(steps[-1].inverse_transform(expected))[0, 3]
    assert labels[-1] == f"d\n{new.iloc[7, 3]:.0f} (expected: {free:.0f}, usual: {X['d'].median():.0f})"
    assert ("a\nmissing" in " ".join(labels)) == (len(steps) == 2)


@pytest.mark.parametrize(
    "step",
    [
        FunctionTransformer(np.cbrt, feature_names_out="one-to-one"),  # says that it is its own inverse
        PCA(5),
    ],
    ids=["wrong", "mixed"],
)
def test_values_are_in_the_units_of_the_detector_where_there_is_no_way_back(step):
    X, new = (1000 + 50 * pd.DataFrame(rows(n, seed=n), columns=NAMES) for n in (61, 30))
    model = make_pipeline(step, detector()).fit(X)
    display = OutlierDisplay.from_estimator(model, new, rows=[7])
    assert_allclose(display.values, np.asarray(model[:-1].transform(new))[[7]])
    assert_allclose(display.usual_values, np.median(model[:-1].transform(X), axis=0))
    assert_allclose(display.expected_values, model[-1].expected_values(model[:-1].transform(new.iloc[[7]])))
    assert display.axes_[2].get_xlabel().endswith(f"\nvalues as {type(step).__name__} returns them")


@pytest.mark.parametrize("output", ["default", "pandas"])
def test_values_behind_a_column_transformer_are_in_the_units_of_the_input(output):
    """Of the columns of each transformer that has a way back, through steps after it, too."""
    X, new = (1000 + 50 * pd.DataFrame(rows(n, seed=n), columns=NAMES) for n in (61, 30))
    X["kind"], new["kind"] = ["x", "y", "y"] * 20 + ["y"], ["x", "y"] * 15
    columns = make_column_transformer(
        (make_pipeline(SimpleImputer(), StandardScaler()), ["b", "a"]),
        (OneHotEncoder(sparse_output=False), ["kind"]),
        (FunctionTransformer(np.cbrt, feature_names_out="one-to-one"), ["c"]),
        ("drop", ["d"]),
        remainder="passthrough",
    )
    model = make_pipeline(columns, StandardScaler(), detector()).set_output(transform=output).fit(X)
    display = OutlierDisplay.from_estimator(model, new, rows=[7, 8])
    names = [name.rpartition("__")[2] for name in display.feature_names]
    assert names == ["b", "a", "kind_x", "kind_y", "c", "e"]
    found = pd.DataFrame(display.values.astype(float), columns=names)
    assert_allclose(found[["b", "a", "e"]], new.loc[[7, 8], ["b", "a", "e"]])
    assert_allclose(found[["kind_x", "kind_y"]], [[0, 1], [1, 0]])
    assert_allclose(found["c"], np.cbrt(new.loc[[7, 8], "c"]))
    usual = pd.Series(display.usual_values, index=names)
    assert_allclose(usual[["b", "a", "e"]], X[["b", "a", "e"]].median(), rtol=1e-6)
    assert (usual["kind_x"], usual["kind_y"]) == pytest.approx((0, 1))
    expected = model[-1].expected_values(model[:-1].transform(new.iloc[[7, 8]]))
    as_scaled = np.asarray(model[1].inverse_transform(expected))
    scaler = columns_of(model)["pipeline"][-1]
    assert_allclose(display.expected_values[:, :2], scaler.inverse_transform(as_scaled[:, :2]))
    assert_allclose(display.expected_values[:, 2:].astype(float), as_scaled[:, 2:])
    assert display.axes_[2].get_xlabel().endswith("\nvalues as FunctionTransformer returns them")


def columns_of(model):
    return model[0].named_transformers_


def test_prefixes_of_names_are_written_where_they_tell_columns_apart():
    X = pd.DataFrame(rows(61), columns=NAMES)
    written = []
    for chosen in (["c"], ["a"]):
        columns = make_column_transformer((StandardScaler(), ["a", "b"]), ("passthrough", chosen))
        model = make_pipeline(columns, detector()).fit(X)
        display = OutlierDisplay.from_estimator(model, X[:9], rows=[7])
        assert display.feature_names[0] == "standardscaler__a"
        written.append({label.get_text().partition("\n")[0] for label in display.axes_[2].get_yticklabels()})
    assert written == [{"a", "b", "c"}, {"standardscaler__a", "standardscaler__b", "passthrough__a"}]


def test_tables_of_categories():
    sampler = TabularVAESampler(2, hidden_layer_sizes=(8,), max_iter=3, random_state=0)
    X = pd.DataFrame(
        {
            "price in $ or in US$": np.arange(60) * 1000.0,
            "a colour whose name is much too long to be read": ["red"] * 40 + ["blue"] * 20,
            "is new": np.arange(60) % 3 == 0,
        },
        index=[f"customer {number}" for number in range(60)],
    )
    X.iloc[1, 0] = np.nan
    model = detector(sampler).fit(X)
    display = OutlierDisplay.from_estimator(model, X, rows=[1])
    labels = sorted(label.get_text() for label in display.axes_[2].get_yticklabels())
    assert labels == [
        "a colour whose …ong to be read\nred (usual: red)",
        "is new\nFalse (usual: False)",
        "price in \\$ or in US\\$\nmissing (usual: 30000)",
    ]
    assert display.axes_[2].get_title(loc="right").startswith("index customer 1 (row 1), p = ")
    assert display.axes_[2].get_xlabel() == "below the usual score, in nats"
    assert display.axes_[0].get_xlabel().startswith("score: log-likelihood in nats")
    display.figure_.canvas.draw()


@pytest.mark.parametrize(
    ("autoencoder", "score", "reason"),
    [
        (None, "score: minus the squared distance", "fall of the squared distance"),
        (configured(AutoencoderTransformer), "score: minus the mean squared error", "squared error"),
        (configured(VAESampler), "score: log-likelihood in nats", "squared error"),
    ],
)
def test_units(autoencoder, score, reason):
    model = detector(autoencoder).fit(rows())
    display = OutlierDisplay.from_estimator(model, rows(), n_features=2)
    assert display.axes_[0].get_xlabel().partition("\n")[0] == score
    assert display.axes_[2].get_xlabel() == f"{reason}\nthe 2 largest of 5 features"
    plain = OutlierDisplay(display.scores, -1.0, display.p_values, [3], display.reasons[:1], NAMES).plot()
    assert [plain.axes_[0].get_xlabel().partition("\n")[0], plain.axes_[2].get_xlabel()] == [
        "score",
        "contribution",
    ]
    assert sorted(label.get_text() for label in plain.axes_[2].get_yticklabels()) == NAMES


# Which rows, and where the threshold is --------------------------------------------------------------------


def test_rows_have_the_names_of_their_index(case):
    model, new = case
    by_number = OutlierDisplay.from_estimator(model, new, rows=[4])
    assert by_number.row_names == ["row 4"]
    named = OutlierDisplay.from_estimator(model, new.set_axis(np.arange(100, 130)), rows=[4])
    assert named.row_names == ["index 104 (row 4)"]
    assert named.rows == [4]
    levels = pd.MultiIndex.from_product([["north", "south"], range(15)])
    assert OutlierDisplay.from_estimator(model, new.set_axis(levels), rows=[16]).row_names == [
        "index south, 1 (row 16)"
    ]


def test_more_rows_than_panels(case):
    model, new = case
    with pytest.warns(UserWarning, match=r"There are 29 rows to explain, of which the 12 oddest.*max_rows=29"):
        display = OutlierDisplay.from_estimator(model, new, rows=np.arange(29))
    assert len(display.axes_) == 14
    assert display.axes_[2].get_title(loc="right").startswith("row 7,")
    assert len(display.rows) == len(display.reasons) == len(display.values) == 29
    assert len(display.plot(max_rows=29).axes_) == 31


@pytest.mark.parametrize("rate", [0.02, 0.3])
def test_the_line_is_at_the_threshold(rate):
    model, new = detector(false_alarm_rate=rate).fit(rows(100)), rows(50, seed=1)
    display = OutlierDisplay.from_estimator(model, new)
    [line] = display.axes_[0].lines
    assert line.get_xdata()[0] == model.offset_
    [of_rate] = display.axes_[1].lines
    assert of_rate.get_xdata()[0] == rate
    assert display.axes_[1].get_xlabel() == f"p-value\n(line: false_alarm_rate={rate:g})"
    assert ((display.scores < line.get_xdata()[0]) == (display.p_values <= rate)).all()


def test_no_rate_where_the_threshold_is_one_of_scores():
    display = OutlierDisplay.from_estimator(detector(contamination=0.1).fit(rows(100)), rows(50, seed=1))
    assert not display.axes_[1].lines
    assert display.axes_[1].get_xlabel() == "p-value"
    assert display.axes_[0].lines


def test_no_line_where_no_row_can_be_an_outlier():
    with pytest.warns(UserWarning, match="No row can be an outlier"):
        model = detector(false_alarm_rate=0.01).fit(rows())
    display = OutlierDisplay.from_estimator(model, rows())
    assert not display.axes_[0].lines
    assert display.axes_[0].get_title() == "no row can be an outlier"
    display.figure_.canvas.draw()


@pytest.mark.parametrize("rows_", [np.zeros(30, dtype=bool), []], ids=["mask", "numbers"])
def test_no_row_to_explain(case, rows_):
    display = OutlierDisplay.from_estimator(*case, rows=rows_)
    assert len(display.axes_) == 2
    assert display.axes_[1].get_title() == "no row to explain"
    assert OutlierDisplay.from_estimator(*case, rows=1).axes_[1].get_title() == ""


@pytest.mark.parametrize(
    "missing",
    [
        np.array(["a", "b", None], dtype=object),
        pd.Series(["a", "b", pd.NA], dtype="string"),
        np.array([1.0, 2.0, np.nan]),
    ],
    ids=["objects", "strings", "floats"],
)
def test_rows_without_a_label_are_grey(case, missing):
    model, new = case
    display = OutlierDisplay.from_estimator(model, new, np.asarray(missing)[np.arange(30) % 3])
    assert [text.get_text() for text in display.axes_[0].get_legend().get_texts()][-2:] == ["missing", "threshold"]
    for panel in display.axes_[:2]:
        assert [sum(bar.get_height() for bar in bars) for bars in panel.containers] == [10, 10, 10]
        assert panel.containers[-1][0].get_facecolor() == to_rgba("0.75")


def test_detectors_without_p_values():
    model = IsolationForest(n_estimators=5).fit(rows())
    with pytest.raises(TypeError, match="IsolationForest has no p_values"):
        OutlierDisplay.from_estimator(model, rows())


def test_rows_by_a_mask_and_numbers_that_are_not_there(case):
    model, new = case
    mask = np.arange(30) % 10 == 7
    display = OutlierDisplay.from_estimator(model, new, rows=mask)
    assert sorted(display.rows) == [7, 17, 27]
    assert (np.diff(display.scores[display.rows]) >= 0).all()  # the oddest first
    assert display.rows == OutlierDisplay.from_estimator(model, new, rows=[*mask]).rows
    assert OutlierDisplay.from_estimator(model, new, rows=[17, 7]).rows == [17, 7]
    with pytest.raises(ValueError, match=r"rows has 30, but X has 30 rows, from 0 to 29, whatever its index"):
        OutlierDisplay.from_estimator(model, new, rows=[1, 30])
    with pytest.raises(ValueError, match=r"rows is a mask of shape \(20,\), but X has 30 rows"):
        OutlierDisplay.from_estimator(model, new, rows=mask[:20])
    with pytest.raises(ValueError, match=r"rows holds .*'a'.*by their places in X"):
        OutlierDisplay.from_estimator(model, new, rows=["a"])
    with pytest.raises(ValueError, match=r"rows=-1 must be at least 0.*Pass \[-1\] for one row"):
        OutlierDisplay.from_estimator(model, new, rows=-1)
    with pytest.raises(ValueError, match=r"inconsistent numbers of samples: \[30, 20\]"):
        OutlierDisplay.from_estimator(model, new, mask[:20])
