"""Tables as matrices and back: exact round trips, dtypes, holes, atoms, and what is refused."""

import datetime
import io

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from pandas.testing import assert_frame_equal, assert_series_equal
from scipy import sparse
from scipy.stats import kstest

from skae._data.tables.codec import TableCodec

RNG = np.random.default_rng(0)
N = 240


def fitted(table, **parameters):
    return TableCodec(**parameters).fit(table, np.random.default_rng(0))


def holes(values, dtype=None):
    """A pandas column with a tenth of its cells empty, the third one among them."""
    column = pd.Series(values, dtype=dtype)
    return column.mask(np.arange(len(column)) % 10 == 2)


CITIES, SIZES = np.array(["Rome", "Bonn", "Oslo"]), ["small", "middle", "large"]
FRAME = pd.DataFrame(
    {
        "age": RNG.integers(17, 90, N),
        "price": np.round(RNG.lognormal(3, 1, N), 2),
        "grade": RNG.choice([1.0, 1.3, 1.7, 2.0], N),
        "gain": np.where(RNG.random(N) < 0.8, 0, 50 * RNG.integers(1, 400, N)),
        "single": np.round(RNG.normal(size=N), 3).astype(np.float32),
        "visits": holes(RNG.poisson(20, N), "Int64"),
        "height": holes(np.round(RNG.normal(170, 9, N), 1)),
        "member": RNG.random(N) < 0.3,
        "maybe": holes(RNG.random(N) < 0.5, "boolean"),
        "city": CITIES[RNG.integers(0, 3, N)],
        "town": holes(CITIES[RNG.integers(0, 3, N)], object),
        "size": pd.Categorical(RNG.choice(SIZES, N), categories=[*SIZES, "unseen"], ordered=True),
        "code": pd.Categorical(RNG.choice([10, 20, 30], N)),
        "span": pd.cut(RNG.normal(size=N), [-9, -1, 1, 9]),
        "of one": np.full(N, 7),
    }
)
NOT_IN_POLARS = ["town", "span", "code"]


def polars_frame():
    frame = pl.from_pandas(FRAME.drop(columns=NOT_IN_POLARS)).with_columns(
        pl.Series(
            "town", [None if gone else str(v) for v, gone in zip(FRAME.town, FRAME.town.isna(), strict=True)]
        ),
        pl.Series("level", RNG.choice(SIZES, N), dtype=pl.Enum(SIZES)),
        pl.Series("small", RNG.integers(-100, 100, N), dtype=pl.Int8),
        pl.Series("money", np.round(RNG.normal(size=N), 2)).cast(pl.Decimal(10, 2)),
    )
    return frame.with_columns(pl.col("height").fill_nan(None))


def of_array(dtype):
    return np.column_stack([RNG.integers(0, 1000, N), RNG.integers(0, 3, N)]).astype(dtype)


# There and back -------------------------------------------------------------------------------------------------


def test_frames_of_pandas_come_back_as_they_were():
    codec = fitted(FRAME)
    matrix = codec.encode(FRAME)
    assert matrix.shape == (N, codec.width)
    back = codec.decode(matrix, FRAME.isna().to_numpy())
    assert_frame_equal(back, FRAME, check_exact=True)


def test_frames_of_polars_come_back_as_they_were():
    frame = polars_frame()
    codec = fitted(frame)
    missing = np.stack([column.is_null().to_numpy() for column in frame.get_columns()], 1)
    back = codec.decode(codec.encode(frame), missing)
    assert back.schema == frame.schema
    assert back.equals(frame)


@pytest.mark.parametrize("dtype", ["int64", "int8", "float64", "float32", "float16", "bool", "U3", "object"])
def test_arrays_come_back_as_they_were(dtype):
    X = (of_array("int64") % 100).astype(dtype)
    codec = fitted(X)
    back = codec.decode(codec.encode(X))
    assert back.dtype == X.dtype
    assert_array_equal(back, X)


def test_arrays_of_objects_hold_both():
    X = np.array(
        [[1, "a", None, 2.5, True], [2, "b", 3, 1.5, False], [3, None, 4, np.nan, True]] * 9, dtype=object
    )
    codec = fitted(X)
    missing = codec.missing(codec.encode(X))
    assert_array_equal(missing[:3], [[0, 0, 1, 0, 0], [0] * 5, [0, 1, 0, 1, 0]])
    back = codec.decode(codec.encode(X), missing)
    for cell, other, gone in zip(X.ravel(), back.ravel(), missing.ravel(), strict=True):
        assert gone or (cell == other and type(cell) is type(other))
    assert_array_equal(fitted(X.tolist()).encode(X.tolist()), codec.encode(X))


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e12])
@pytest.mark.parametrize("transform", ["quantile", "standard"])
def test_numbers_that_are_not_rounded_come_back_but_for_rounding(transform, scale):
    x = scale * RNG.standard_t(2, size=(3000, 1))
    codec = fitted(x, numeric_transform=transform)
    back = codec.decode(codec.encode(x))
    assert_allclose(back, x, rtol=1e-9, atol=1e-11 * scale)


@pytest.mark.parametrize(
    "numbers", [np.arange(60) * 0.05, np.cumsum(np.full(60, 0.1)), np.arange(1, 61) / 10 / 10]
)
@pytest.mark.parametrize("transform", ["quantile", "standard"])
def test_draws_are_rounded_as_products_of_rounded_numbers_are(numbers, transform):
    codec = fitted(numbers[:, None], numeric_transform=transform)
    drawn = codec.decode(np.random.default_rng(0).normal(size=(300, codec.width)))
    assert_allclose(np.abs(drawn - numbers).min(axis=1), 0, atol=1e-12)
    assert len(np.unique(drawn)) > 20


@pytest.mark.parametrize("scale", [1e-9, 1, 1e6, 1e12])
def test_numbers_of_many_digits_keep_them(scale):
    numbers = scale * np.random.default_rng(0).normal(size=(60, 1))
    codec = fitted(numbers)
    assert_allclose(codec.decode(codec.encode(numbers)), numbers, rtol=1e-11)


@pytest.mark.parametrize("transform", ["quantile", "standard"])
def test_any_matrix_gives_a_table_of_what_there_is(transform):
    """Every draw has the categories, the range and the rounding of the data."""
    codec = fitted(FRAME, numeric_transform=transform)
    drawn = codec.decode(np.random.default_rng(1).normal(size=(500, codec.width)) * 3)
    assert (drawn.dtypes == FRAME.dtypes).all()
    for name in FRAME:
        seen, new = FRAME[name].dropna(), drawn[name]
        if name in ("age", "price", "gain", "single", "visits", "height"):
            assert new.between(seen.min(), seen.max()).all()
        else:
            assert set(new) <= set(seen)
    assert (drawn.gain % 50 == 0).all()
    assert_array_equal(drawn.price, drawn.price.round(2))


def test_holes_are_filled_and_all_else_stays():
    codec = fitted(FRAME)
    other = codec.encode(FRAME.iloc[::-1].ffill().bfill())
    for frame in (FRAME, FRAME.set_index(FRAME.index * 2)):
        full = codec.fill(frame, other)
        assert not full.isna().any(axis=None)
        for name in frame:
            there = frame[name].notna()
            assert_series_equal(full.loc[there, name], frame.loc[there, name], check_exact=True)
        assert full.height.iloc[2] == FRAME.height.iloc[::-1].ffill().iloc[2]
    frame = polars_frame()
    codec = fitted(frame)
    other = frame.fill_null(strategy="backward").fill_null(strategy="forward")
    full = codec.fill(frame, codec.encode(other))
    assert full.null_count().sum_horizontal().item() == 0
    assert full.schema == frame.schema


# What columns become ----------------------------------------------------------------------------------------


def test_scores_are_standard_normal():
    """Rounded numbers are spread over what was rounded to them, where a generator is given."""
    x = np.rint(RNG.lognormal(3, 1, size=(5000, 1)))
    codec = fitted(x)
    assert codec.width == 1
    z = codec.encode(x, np.random.default_rng(1))[:, 0]
    assert kstest(z, "norm").pvalue > 0.01
    assert_array_equal(codec.decode(z[:, None]), x)
    order = np.argsort(x[:, 0], kind="stable")
    assert (np.diff(codec.encode(x)[order, 0]) >= 0).all()


def test_numbers_far_out_have_scores_far_out():
    x = RNG.normal(size=(1000, 1))
    for transform in ("quantile", "standard"):
        codec = fitted(x, numeric_transform=transform)
        z = codec.encode(np.array([[x.max()], [x.max() + 1], [100.0], [1e30], [1e300], [-1e300]]))[:, 0]
        assert (np.diff(z[:5]) >= 0).all()
        assert z[1] > z[0] + 0.5
        assert z[3] > z[2] + 5
        assert 10 < z[4] < 50
        assert -50 < z[5] < -10
        assert_array_equal(codec.decode(z[:, None])[[1, 5], 0], [x.max(), x.min()])


def test_a_frequent_number_is_a_category_of_its_own():
    gain = FRAME[["gain"]]
    codec = fitted(gain)
    matrix = codec.encode(gain)
    assert codec.width == 3
    assert_array_equal(matrix[:, 0], gain.gain == 0)
    assert_array_equal(matrix[:, :2].sum(1), 1)
    assert_array_equal(np.isnan(matrix[:, 2]), gain.gain == 0)
    assert codec.likelihood == [("categorical", (0, 1)), ("gaussian", (2,))]
    assert fitted(gain, atom_share=0.9).likelihood == [("gaussian", (0,))]


def test_numbers_of_few_values_are_categories():
    codec = fitted(FRAME[["grade", "of one"]])
    assert codec.likelihood == [("categorical", (0, 1, 2, 3)), ("categorical", (4,))]
    with pytest.warns(UserWarning, match=r"Column 'grade' holds values that fit did not see, such as 5\.0"):
        matrix = codec.encode(pd.DataFrame({"grade": [5.0, 1.3], "of one": [7, 7]}))
    assert_array_equal(codec.missing(matrix), [[True, False], [False, False]])


def test_few_rows_do_not_make_every_number_a_category():
    assert fitted(np.arange(8.0).reshape(-1, 1)).likelihood == [("gaussian", (0,))]


@pytest.mark.parametrize("chosen", [["code"], [1], [False, True], np.array([1])])
def test_categories_may_be_named(chosen):
    frame = pd.DataFrame({"x": np.arange(100.0), "code": np.arange(100) % 30})
    assert fitted(frame, categorical_features=chosen).likelihood == [
        ("categorical", tuple(range(1, 31))),
        ("gaussian", (0,)),
    ]
    for table in (frame, pl.from_pandas(frame)):
        codec = fitted(table, categorical_features=chosen)
        assert type(table)(codec.decode(codec.encode(table))).equals(table)
    assert len(fitted(frame, categorical_features=None).likelihood) == 1


def test_unknown_categories_are_missing_with_one_warning():
    codec = fitted(FRAME[["city", "town", "age"]])
    new = pd.DataFrame({"city": ["Rome", "Lima"], "town": ["Lima", None], "age": [40, 41]})
    with pytest.warns(
        UserWarning, match=r"'city' holds values .* 'Lima': they count as missing\. So does 1 other column\."
    ) as caught:
        matrix = codec.encode(new)
    assert len(caught) == 1
    assert_array_equal(codec.missing(matrix), [[False, True, False], [True, True, False]])


def test_other_kinds_of_tables_are_read_alike():
    frame = FRAME.drop(columns=NOT_IN_POLARS)
    codec = fitted(frame)
    matrix = codec.encode(frame)
    assert_array_equal(codec.encode(pl.from_pandas(frame)), matrix)
    assert_array_equal(codec.encode(frame.astype(object).to_numpy()), matrix)
    assert_array_equal(codec.encode(frame.astype({"age": float, "city": "category"})), matrix)


@pytest.mark.parametrize("make", [lambda: FRAME, polars_frame, lambda: of_array("float32")])
def test_what_is_learnt_can_be_saved_as_plain_values(make):
    table = make()
    codec = fitted(table)
    state = codec.to_plain()

    def walk(value):
        if isinstance(value, dict):
            [walk(part) for pair in value.items() for part in pair]
        elif isinstance(value, list | tuple):
            [walk(part) for part in value]
        else:
            assert value is None or type(value) in (str, int, float, bool, np.ndarray, pd.Interval), type(value)

    walk(state)
    restored = TableCodec.from_plain(state)
    matrix = codec.encode(table)
    assert_array_equal(restored.encode(table), matrix)
    first, second = codec.decode(matrix), restored.decode(matrix)
    assert_array_equal(first, second) if isinstance(table, np.ndarray) else first.equals(second)
    assert_array_equal(type(first), type(second))


# Refused --------------------------------------------------------------------------------------------------------


def column(values):
    return pd.DataFrame({"x": np.arange(len(values)), "y": values})


DATES = pd.date_range("2020-01-01", periods=3)
REFUSED = {
    "dates": (column(DATES), {}, ValueError, r"'y' holds dates.*datetime64.*TableVectorizer"),
    "periods": (column(DATES.to_period("M")), {}, ValueError, "'y' holds dates"),
    "polars dates": (pl.DataFrame({"y": [datetime.date(2020, 1, 1)]}), {}, ValueError, "'y' holds dates.*Date"),
    "polars lists": (pl.DataFrame({"y": [[1, 2]]}), {}, ValueError, "'y' holds dates, times or nested"),
    "array of dates": (np.array([["2020-01-01"]], dtype="M8[D]"), {}, ValueError, "0 holds dates"),
    "many": (
        column([f"id{i}" for i in range(256)]),
        {},
        ValueError,
        "'y' has 256 categories.*255.*OrdinalEncoder",
    ),
    "empty": (column([np.nan, None]), {}, ValueError, "'y' has no value at all"),
    "infinite": (column([1.0, np.inf]), {}, ValueError, "'y' contains infinity"),
    "unnamed": (
        column(["a", "b"]),
        {"categorical_features": ["x"]},
        ValueError,
        "'y' has dtype .* does not name it",
    ),
    "unknown name": (column([1, 2]), {"categorical_features": ["z"]}, ValueError, r"'z', but .*\['x', 'y'\]"),
    "unknown number": (
        column([1, 2]),
        {"categorical_features": [2]},
        ValueError,
        "has the number 2, but X has 2 columns",
    ),
    "mask": (column([1, 2]), {"categorical_features": [True]}, ValueError, r"mask of shape \(1,\).* 2 columns"),
    "word": (column([1, 2]), {"categorical_features": "all"}, ValueError, "'all' must be 'from_dtype'"),
    "dictionaries": (column([{}, {}]), {}, TypeError, "'y' holds .*dict.* must be a string or a number"),
    "tuples of lists": (column([([],), 1]), {}, ValueError, "'y' holds values that cannot be compared"),
    "doubled": (pd.DataFrame([[1, 2]], columns=["x", "x"]), {}, ValueError, "more than one column named 'x'"),
    "no rows": (FRAME[:0], {}, ValueError, r"0 sample\(s\)"),
    "no columns": (FRAME[[]], {}, ValueError, r"0 feature\(s\)"),
    "one-dimensional": (np.arange(3.0), {}, ValueError, "Expected 2D array.*Reshape your data"),
    "sparse": (sparse.csr_array(np.eye(3)), {}, TypeError, "sparse.*toarray"),
    "complex": (np.eye(2) * 1j, {}, ValueError, "Complex data not supported"),
}


@pytest.mark.parametrize(("table", "parameters", "error", "message"), REFUSED.values(), ids=REFUSED)
def test_refused(table, parameters, error, message):
    with pytest.raises(error, match=message):
        fitted(table, **parameters)


def test_other_columns_are_refused():
    codec = fitted(FRAME[["age", "city"]])
    with pytest.raises(ValueError, match="X has 1 columns, but 2"):
        codec.encode(FRAME[["age"]])
    with pytest.raises(ValueError, match=r"in their order: \['age', 'city'\]. Column 'city' is not"):
        codec.encode(FRAME[["city", "age"]])
    with pytest.raises(ValueError, match="'age' has dtype string, but held numbers"):
        codec.encode(FRAME[["age", "city"]].astype(str))
    with pytest.raises(ValueError, match="'age' contains infinity"):
        codec.encode(pd.DataFrame({"age": [np.inf], "city": ["Rome"]}))
    empty = pd.read_csv(io.StringIO("age,city\n,\n,Rome\n")).astype({"age": object})
    assert_array_equal(codec.missing(codec.encode(empty)), [[True, True], [True, False]])
