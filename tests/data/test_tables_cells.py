"""Cells of tables: those observed stay bit for bit, integers of any size, every dtype there and back."""

import datetime
import decimal
import re

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from numpy.testing import assert_array_equal
from pandas.testing import assert_frame_equal

from skae._data.tables import frames
from skae._data.tables.codec import TableCodec

N = 60
RNG = np.random.default_rng(0)
INTEGERS, BITS, WORDS = RNG.integers(0, 100, N), RNG.integers(0, 2, N), RNG.choice(["a", "b", "cc"], N)
DECIMALS = [decimal.Decimal(int(value % 7)).scaleb(-2) for value in INTEGERS]
HOLE = np.arange(N) % 10 == 3


def fitted(table, **parameters):
    return TableCodec(**parameters).fit(table, np.random.default_rng(0))


def restored(codec):
    return TableCodec.from_plain(codec.to_plain())


def draws(codec, n=300):
    return codec.decode(3 * np.random.default_rng(1).normal(size=(n, codec.width)))


def cells(table, number=0):
    """A column as a list of Python's values."""
    if isinstance(table, pl.DataFrame):
        return table.to_series(number).to_list()
    return (table.iloc[:, number] if isinstance(table, pd.DataFrame) else table[:, number]).tolist()


def dtype_of(table):
    if isinstance(table, np.ndarray):
        return table.dtype
    return table.dtypes[0] if isinstance(table, pl.DataFrame) else table.dtypes.iloc[0]


# Integers that are too large for float64 -----------------------------------------------------------------------

IDS = [2**53 + 1 + i for i in range(N)]
LARGE = {
    "int64": (IDS, ["int64", "Int64", pd.ArrowDtype(pa.int64()), pd.SparseDtype("int64", 0), pl.Int64]),
    "negative": ([-value for value in IDS], ["int64", "Int64", pl.Int64]),
    "both ends": ([-(2**63), 2**63 - 1, *range(N - 2)], ["int64", "Int64", pd.ArrowDtype(pa.int64()), pl.Int64]),
    "ends of uint64": (
        [0, *(2**64 - 1 - i for i in range(N - 1))],
        ["uint64", "UInt64", pd.ArrowDtype(pa.uint64()), pl.UInt64],
    ),
    "hashes": (np.random.default_rng(2).integers(0, 2**63, N).tolist(), ["int64", pl.Int64]),
    "few": ([2**53 + 1 + i % 3 for i in range(N)], ["int64", "UInt64", pl.UInt64]),
    "often one": ([2**60 + 1 if i % 3 else 2**60 + 1 + i for i in range(N)], ["int64", pl.Int64]),
    "of any size": ([10**30 + 1 + i for i in range(N)], ["object"]),
}


def frame_of(values, dtype):
    if dtype == "object":
        return np.array([values, [0.5] * N], dtype=object).T
    if isinstance(dtype, type) and issubclass(dtype, pl.DataType):
        return pl.DataFrame({"id": pl.Series(values, dtype=dtype), "x": RNG.normal(size=N)})
    whole = np.array(values, dtype=np.uint64 if max(values) >= 2**63 else np.int64)
    return pd.DataFrame({"id": pd.Series(whole).astype(dtype), "x": RNG.normal(size=N)})


LARGE_COLUMNS = [
    pytest.param(values, dtype, id=f"{name}-{dtype}") for name, (values, kinds) in LARGE.items() for dtype in kinds
]


@pytest.mark.parametrize("transform", ["quantile", "standard"])
@pytest.mark.parametrize(("values", "dtype"), LARGE_COLUMNS)
def test_large_integers_come_back_and_draws_are_within_them(values, dtype, transform):
    table = frame_of(values, dtype)
    codec = restored(fitted(table, numeric_transform=transform))
    matrix = codec.encode(table)
    assert cells(codec.fill(table, matrix)) == values
    drawn = draws(codec)
    assert dtype_of(drawn) == dtype_of(table)
    assert min(values) <= min(cells(drawn)) <= max(cells(drawn)) <= max(values)
    if max(values) - min(values) < 2**53:
        assert cells(codec.decode(matrix)) == values
    assert codec.decode(matrix, given={codec.layout.names[0]: values[7]}).shape == table.shape
    assert set(cells(codec.decode(matrix, given={codec.layout.names[0]: values[7]}))) == {values[7]}


@pytest.mark.parametrize("dtype", ["int64", "uint64"])
def test_arrays_of_large_integers(dtype):
    ends = np.iinfo(dtype)
    X = np.array([[ends.max - i, ends.min + i, 7] for i in range(N)], dtype=dtype)
    codec = fitted(X)
    assert_array_equal(codec.fill(X, codec.encode(X)), X)
    assert_array_equal(codec.decode(codec.encode(X)), X)
    drawn = draws(codec)
    assert drawn.dtype == X.dtype
    assert (drawn >= X.min(0)).all()
    assert (drawn <= X.max(0)).all()


def test_large_integers_that_are_named_as_categories():
    values = [2**53 + 1 + i % 4 for i in range(N)]
    for table in (pd.DataFrame({"id": values}), pl.DataFrame({"id": values}), np.array(values)[:, None]):
        codec = fitted(table, categorical_features=[0])
        assert [*codec.categories.values()] == [sorted(set(values))]
        assert cells(codec.decode(codec.encode(table))) == values
        assert cells(codec.fill(table, codec.encode(table))) == values


def test_an_integer_too_large_for_any_number_is_named():
    with pytest.raises(ValueError, match="Column 1 holds an integer that is too large for float64"):
        fitted(np.array([[1, 10**400], [2, 3]], dtype=object))


# Observed cells ------------------------------------------------------------

FLOATS = np.where(np.arange(N) == 5, -0.0, np.r_[0.1, np.nextafter(1, 2), RNG.normal(size=N - 2)])


def pandas_with_holes():
    frame = pd.DataFrame({"double": FLOATS, "single": FLOATS.astype(np.float32), "half": FLOATS.astype("f2")})
    frame = frame.mask(np.tile(HOLE[:, None], 3))
    frame["whole"] = IDS
    frame["id"] = pd.array(IDS, dtype="Int64")
    frame["unsigned"] = pd.array([2**64 - 1 - i for i in range(N)], dtype="UInt64")
    frame["arrow"] = pd.array(IDS, dtype=pd.ArrowDtype(pa.int64()))
    frame["Float64"] = pd.array(FLOATS, dtype="Float64")
    frame["sparse"] = pd.arrays.SparseArray(np.where(HOLE, np.nan, BITS), fill_value=0)
    frame["mixed"] = pd.Series([True, 1.0, "1", b"1", 2**70] * (N // 5), dtype=object)
    frame["word"] = WORDS
    frame["maybe"] = pd.array(BITS.astype(bool), dtype="boolean")
    frame["kind"] = pd.Categorical(WORDS)
    for name in ("id", "unsigned", "arrow", "Float64", "mixed", "word", "maybe", "kind"):
        frame[name] = frame[name].mask(HOLE)
    return frame.set_axis(pd.Index([3] * N, name="same"))


def polars_with_holes():
    columns = {
        "double": pl.Series(FLOATS),
        "single": pl.Series(FLOATS, dtype=pl.Float32),
        "id": pl.Series(IDS, dtype=pl.Int64),
        "unsigned": pl.Series([2**64 - 1 - i for i in range(N)], dtype=pl.UInt64),
        "decimal": pl.Series([decimal.Decimal(2**80 + i) for i in range(N)], dtype=pl.Decimal(38, 3)),
        "word": pl.Series(WORDS),
        "enum": pl.Series(WORDS, dtype=pl.Enum(["cc", "b", "a"])),
        "kind": pl.Series(WORDS, dtype=pl.Categorical),
        "bit": pl.Series(BITS, dtype=pl.Boolean),
        "binary": pl.Series([word.encode() for word in WORDS]),
    }
    observed = pl.Series(~HOLE)
    holes = {
        name: values.zip_with(observed, pl.Series([None] * N, dtype=values.dtype))
        for name, values in columns.items()
    }
    return pl.DataFrame(holes | {"whole": IDS, "object": pl.Series([1, "a", 2.5] * (N // 3), dtype=pl.Object)})


def array_with_holes(dtype):
    if dtype == "object":
        X = np.array([IDS, WORDS.tolist(), FLOATS.tolist(), [True, "a", 1.5] * (N // 3)], dtype=object).T
        X[HOLE] = None
        return X
    X = np.column_stack([FLOATS, RNG.normal(size=N)]).astype(dtype)
    X[HOLE, 0] = np.nan
    return X


@pytest.mark.parametrize(
    "table",
    [pandas_with_holes(), polars_with_holes(), *map(array_with_holes, ["f8", "f4", "f2", ">f8", "object"])],
    ids=["pandas", "polars", "f8", "f4", "f2", ">f8", "object"],
)
def test_observed_cells_stay_bit_for_bit(table):
    codec = restored(fitted(table))
    copied = table.clone() if isinstance(table, pl.DataFrame) else table.copy()
    full = codec.fill(table, np.random.default_rng(1).normal(size=(N, codec.width)))
    for number in range(table.shape[1]):
        for old, new in zip(cells(table, number), cells(full, number), strict=True):
            if pd.isna(old):
                assert not pd.isna(new)
            else:
                assert type(old) is type(new)
                assert repr(old) == repr(new)
    if isinstance(table, pd.DataFrame):
        assert full.index.equals(table.index)
        assert (full.dtypes == table.dtypes).all()
        assert_frame_equal(table, copied, check_exact=True)
    elif isinstance(table, pl.DataFrame):
        assert full.schema == table.schema
    else:
        assert full.dtype == table.dtype


def test_columns_keep_their_name_and_attributes():
    frame = pd.DataFrame({"a": FLOATS, "b": FLOATS}).rename_axis(columns="kind")
    frame.attrs["source"] = "here"
    full = fitted(frame).fill(frame, np.zeros((N, 2)))
    assert full.columns.name == "kind"
    assert full.attrs == frame.attrs


# What a column without a value is filled with ------------------------------------------------------------


@pytest.mark.parametrize("name", ["word", "number"])
@pytest.mark.parametrize(
    "column",
    [
        pd.Series([np.nan] * 3),
        pd.Series([None] * 3, dtype=object),
        pd.Series([None] * 3, dtype="str"),
        pd.Series([None] * 3, dtype="Int64"),
        pd.Series([pd.NaT] * 3),
        pd.Series(pd.Categorical([None] * 3, categories=["z"])),
        pl.Series([None] * 3),
        pl.Series([None] * 3, dtype=pl.String),
        pl.Series([None] * 3, dtype=pl.Float64),
        pl.Series([None] * 3, dtype=pl.Date),
        pl.Series([None] * 3, dtype=pl.Enum(["z"])),
        np.full(3, np.nan),
        np.full(3, None),
    ],
    ids=lambda column: f"{type(column).__module__.split('.')[0]}-{column.dtype}",
)
def test_a_column_without_a_value_takes_any(name, column):
    codec = fitted(pd.DataFrame({"word": WORDS, "number": INTEGERS}))
    other = {"number": [1, 2, 3]} if name == "word" else {"word": ["a", "b", "a"]}
    if isinstance(column, np.ndarray):
        whole = np.empty((3, 2), dtype=column.dtype if name == "word" else object)
        whole[:, 1 - (name == "word")], whole[:, int(name == "word")] = column, next(iter(other.values()))
        table = whole
    else:
        library = pd if isinstance(column, pd.Series) else pl
        table = library.DataFrame({n: other.get(n, column) for n in ("word", "number")})
    matrix = codec.encode(pd.DataFrame({"word": ["cc"] * 3, "number": [INTEGERS[0]] * 3}))
    full = codec.fill(table, matrix)
    assert cells(full, 0 if name == "word" else 1) == ["cc" if name == "word" else INTEGERS[0]] * 3


NARROW = {
    "UInt8": pd.array([1, None, 3], dtype="UInt8"),
    "arrow": pd.array([1, None, 3], dtype=pd.ArrowDtype(pa.int8())),
    "float16": np.array([1, np.nan, 3], dtype=np.float16),
    "array": np.array([[1], [np.nan], [3]], dtype=np.float16),
    "pl.UInt8": pl.Series([1, None, 3], dtype=pl.UInt8),
    "pl.UInt128": pl.Series([1, None, 3], dtype=pl.UInt128),
    "pl.Float32": pl.Series([1.5, None, 3], dtype=pl.Float32),
    "pl.Decimal": pl.Series([decimal.Decimal("1.5"), None, decimal.Decimal(3)], dtype=pl.Decimal(3, 1)),
}


@pytest.mark.parametrize("largest", [70_000, 1e39])
@pytest.mark.parametrize("column", NARROW.values(), ids=NARROW)
def test_a_dtype_that_is_too_narrow_for_what_is_filled_in_gets_wider(column, largest):
    codec = fitted(np.full((N, 1), largest, dtype=type(largest)))
    if isinstance(column, pl.Series):
        table = column.to_frame("0")
    else:
        table = column if getattr(column, "ndim", 1) == 2 else pd.DataFrame({0: column})
    there = [value for value in cells(table) if not frames.is_missing(value)]
    filled = cells(codec.fill(table, np.ones((3, codec.width))))
    assert [value for value in filled if value != largest] == there
    assert filled.count(largest) == 3 - len(there)


def test_a_category_beyond_the_dtype_of_an_array_is_written_in_full():
    codec = fitted(np.array([[300], [5]] * 9), categorical_features=[0])
    assert codec.fill(np.array([[7], [5]], dtype=np.int8), np.array([[0.0, 1]] * 2)).tolist() == [[300], [5]]


def test_categories_that_a_dtype_lacks_are_added():
    codec = fitted(pd.DataFrame({"w": WORDS}))
    matrix = codec.encode(pd.DataFrame({"w": ["cc", "cc"]}))
    frame = pd.DataFrame({"w": pd.Categorical(["a", None])})
    assert codec.fill(frame, matrix)["w"].tolist() == ["a", "cc"]
    frame = pl.DataFrame({"w": pl.Series(["a", None], dtype=pl.Enum(["a"]))})
    assert codec.fill(frame, matrix)["w"].to_list() == ["a", "cc"]
    array = np.array([["a"], ["?"]])
    with pytest.warns(UserWarning, match="did not see, such as '\\?'"):
        codec.encode(array)
    assert codec.fill(array, matrix)[:, 0].tolist() == ["a", "cc"]


def test_decimals_of_arrow_are_numbers_as_those_of_polars():
    prices = [decimal.Decimal(int(value)).scaleb(-2) for value in INTEGERS]
    kind = pa.decimal128(5, 2)
    table = pd.DataFrame({"price": pd.array([*prices[:-1], None], dtype=pd.ArrowDtype(kind))})
    codec = restored(fitted(table))
    assert codec.categories == {}
    matrix = codec.encode(table)
    assert_array_equal(matrix, restored(fitted(pl.from_pandas(table))).encode(pl.from_pandas(table)))
    back, filled = codec.decode(matrix), codec.fill(table, np.zeros_like(matrix))
    assert cells(back)[:-1] == cells(filled)[:-1] == prices[:-1]
    assert isinstance(cells(filled)[-1], decimal.Decimal)
    assert dtype_of(back) == dtype_of(filled) == dtype_of(table)


def test_decimals_that_are_nan_are_missing():
    column = np.array([[decimal.Decimal("NaN") if gone else decimal.Decimal(1)] for gone in HOLE])
    codec = fitted(column)
    assert_array_equal(codec.missing(codec.encode(column))[:, 0], HOLE)


def test_categories_that_an_ordered_dtype_lacks_get_their_place():
    order = ["low", "mid", "high", "never"]
    words = np.resize(order[:3], N)
    ordered = pd.DataFrame({"w": pd.Categorical(words, order, ordered=True)})
    holes = pd.DataFrame({"w": pd.Categorical(["low", None, "high"], ["low", "high"], ordered=True)})
    enum, enum_holes = (
        pl.DataFrame({"w": pl.Series(values, dtype=pl.Enum(categories))})
        for values, categories in ((words.tolist(), order), (["low", None, "high"], ["low", "high"]))
    )
    for table in (ordered, enum):
        codec = fitted(table)
        matrix = codec.encode(ordered.assign(w="mid").iloc[:3])
        filled = codec.fill(holes, matrix)["w"]
        assert filled.tolist() == ["low", "mid", "high"]
        assert filled.dtype == pd.CategoricalDtype(order[:3], ordered=True)
        filled = codec.fill(enum_holes, matrix)["w"]
        assert filled.to_list() == ["low", "mid", "high"]
        assert filled.dtype == pl.Enum(order[:3])
    codec = fitted(pd.DataFrame({"w": words}))  # which knows no order
    filled = codec.fill(holes, codec.encode(ordered.assign(w="mid").iloc[:3]))["w"]
    assert filled.tolist() == ["low", "mid", "high"]
    assert not filled.cat.ordered


# Dtypes ------------------------------------------------------------


def arrow(values, kind):
    return pd.Series(pd.array(values, dtype=pd.ArrowDtype(kind)))


SPARSE = [("float64", 0), ("float64", np.nan), ("float32", 1), ("int64", 0), ("int8", 7)]
PANDAS = {
    **{
        kind: pd.Series(INTEGERS).astype(kind)
        for kind in ("int8", "uint16", "float16", "Int8", "UInt64", "Float32")
    },
    **{f"sparse {kind} {fill}": pd.Series(BITS).astype(pd.SparseDtype(kind, fill)) for kind, fill in SPARSE},
    **{f"sparse bool {fill}": pd.Series(BITS == 1).astype(pd.SparseDtype(bool, fill)) for fill in (False, True)},
    "sparse object": pd.Series(pd.arrays.SparseArray(WORDS.astype(object), fill_value="a")),
    **{
        kind: pd.Series(WORDS).astype(kind) for kind in ("object", "string[python]", "string[pyarrow]", "category")
    },
    **{kind: pd.Series(BITS == 1).astype(kind) for kind in ("bool", "boolean")},
    "arrow string": arrow(WORDS.tolist(), pa.string()),
    "arrow large": arrow(WORDS.tolist(), pa.large_string()),
    "arrow dictionary": arrow(WORDS.tolist(), pa.dictionary(pa.int32(), pa.string())),
    "arrow binary": arrow([word.encode() for word in WORDS], pa.binary()),
    "arrow bool": arrow((BITS == 1).tolist(), pa.bool_()),
    "arrow int": arrow(INTEGERS.tolist(), pa.int16()),
    "arrow float": arrow(INTEGERS.tolist(), pa.float32()),
    "arrow decimal": arrow(DECIMALS, pa.decimal128(5, 2)),
    "categories of integers": pd.Series(pd.Categorical(BITS)),
    "categories of Int64": pd.Series(pd.Categorical(pd.array(BITS, dtype="Int64"))),
    "categories of arrow": pd.Series(pd.Categorical(arrow(WORDS.tolist(), pa.string()))),
    "categories of dates": pd.Series(pd.Categorical(pd.Timestamp(2020, 1, 1) + pd.to_timedelta(BITS, unit="D"))),
    "intervals": pd.Series(pd.arrays.IntervalArray.from_arrays(BITS * 1.0, BITS + 1.0)),
    "decimals": pd.Series(DECIMALS, dtype=object),
}
POLARS = {
    **{
        str(kind): pl.Series(INTEGERS).cast(kind)
        for kind in (pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64)
    },
    **{
        str(kind): pl.Series(INTEGERS).cast(kind) for kind in (pl.Int128, pl.Float32, pl.Float64, pl.Decimal(9, 1))
    },
    "bool": pl.Series(BITS == 1),
    "string": pl.Series(WORDS),
    "categorical": pl.Series(WORDS, dtype=pl.Categorical),
    "enum": pl.Series(WORDS, dtype=pl.Enum(["cc", "d", "a", "b"])),
    "binary": pl.Series([word.encode() for word in WORDS]),
    "object": pl.Series(WORDS.tolist(), dtype=pl.Object),
    "mixed": pl.Series([1, "a", 2.5] * (N // 3), dtype=pl.Object),
}
if hasattr(pl, "Categories"):
    POLARS["named categories"] = pl.Series(WORDS).cast(pl.Categorical(pl.Categories("animals", "all", pl.UInt8)))
COLUMNS = {f"pandas {n}": c.to_frame("c") for n, c in PANDAS.items()}
COLUMNS |= {f"polars {n}": c.to_frame("c") for n, c in POLARS.items()}


@pytest.mark.parametrize("table", COLUMNS.values(), ids=COLUMNS)
def test_every_dtype_comes_back(table):
    codec = restored(fitted(table))
    matrix = codec.encode(table)
    for back in (codec.decode(matrix), codec.fill(table, matrix)):
        assert dtype_of(back) == dtype_of(table)
        assert cells(back) == cells(table)
    drawn = draws(codec)
    assert dtype_of(drawn) == dtype_of(table)
    assert set(cells(drawn)) <= set(range(101)) | set(cells(table))


HAS_HOLES = re.compile("Int|UInt|Float|polars|string|category|arrow|boolean|float64|categories|intervals")


@pytest.mark.parametrize("name", [name for name in COLUMNS if HAS_HOLES.search(name)])
def test_every_dtype_comes_back_with_holes(name):
    table, missing = COLUMNS[name], HOLE[:, None]
    if isinstance(table, pl.DataFrame):
        listed = [None if gone else value for value, gone in zip(cells(table), HOLE, strict=True)]
        holes = pl.DataFrame({"c": pl.Series(listed, dtype=dtype_of(table))})
    elif isinstance(dtype_of(table), pd.SparseDtype):
        dense = np.where(HOLE, np.nan, table["c"].sparse.to_dense())
        holes = pd.DataFrame({"c": pd.arrays.SparseArray(dense, dtype=dtype_of(table))})
    else:
        holes = table.mask(missing)
    codec = restored(fitted(holes))
    matrix = codec.encode(holes)
    for back in (codec.decode(matrix, missing), codec.fill(holes, np.zeros_like(matrix))):
        assert dtype_of(back) == dtype_of(table)
        assert [v for v, gone in zip(cells(back), HOLE, strict=True) if not gone] == [
            v for v, gone in zip(cells(table), HOLE, strict=True) if not gone
        ]
    assert_array_equal([pd.isna(value) for value in cells(codec.decode(matrix, missing))], HOLE)
    assert not any(pd.isna(value) for value in cells(codec.fill(holes, np.zeros_like(matrix))))


REFUSED = {
    "complex": (
        pd.DataFrame({"y": BITS * 1j}),
        ValueError,
        "Complex data not supported: column 'y' has dtype comp",
    ),
    "complex cells": (
        pd.DataFrame({"y": pd.Series([1j, "a"])}),
        ValueError,
        "Complex .*: column 'y' holds 1j.*real",
    ),
    "complex in polars": (
        pl.DataFrame({"y": pl.Series([1j, 2j], dtype=pl.Object)}),
        ValueError,
        "Complex .*: column 'y' holds 1j",
    ),
    "complex of NumPy": (
        np.array([[1], [np.complex64(1j)]], dtype=object),
        ValueError,
        "Complex .*: column 0 holds",
    ),
    "arrow dates": (arrow([datetime.date(2020, 1, 1)], pa.date32()).to_frame("y"), ValueError, "'y' holds dates"),
    "arrow times": (
        arrow([datetime.time(1)], pa.time64("us")).to_frame("y"),
        ValueError,
        "'y' holds dates, times",
    ),
    "arrow lists": (arrow([[1]], pa.list_(pa.int64())).to_frame("y"), TypeError, "'y' holds"),
    "objects of lists": (pl.DataFrame({"y": pl.Series([[1], [2]], dtype=pl.Object)}), TypeError, "'y' holds .1."),
    "no dtype": (pl.DataFrame({"y": [None, None]}), ValueError, "'y' has no value at all"),
    "records": (np.zeros((3, 1), dtype=[("a", int)]), TypeError, r"array of dtype .*astype\(object\)"),
}


@pytest.mark.parametrize(("table", "error", "message"), REFUSED.values(), ids=REFUSED)
def test_refused_by_name(table, error, message):
    with pytest.raises(error, match=message):
        fitted(table)


def test_a_dtype_that_cannot_be_made_again_is_refused_at_fit(monkeypatch):
    from skae._data.tables import dtypes

    frame = pd.DataFrame({"x": INTEGERS, "y": pd.Categorical(WORDS)})
    monkeypatch.setattr(dtypes, "to_pandas", lambda plain: np.dtype("int64"))
    with pytest.raises(
        TypeError, match=r"'y' has dtype category, of which no new column can be made .*Convert it"
    ):
        fitted(frame)
    monkeypatch.setattr(
        dtypes, "to_pandas", lambda plain: np.dtype("object" if isinstance(plain, dict) else plain)
    )
    with pytest.raises(TypeError, match=r"'y' has dtype category, .*come back with another"):
        fitted(frame)


# Other types than in fit ------------------------------------------------------------


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame, lambda d: np.array([*d.values()], dtype=object).T])
def test_columns_of_other_types_are_named(make):
    name = 0 if isinstance(make({"a": [1]}), np.ndarray) else "a"
    words, numbers = make({"a": WORDS.tolist()}), make({"a": INTEGERS.tolist()})
    with pytest.raises(ValueError, match=f"Column {name!r} has dtype .*, but held numbers in fit. Convert it"):
        fitted(numbers).encode(words)
    for other in (numbers, make({"a": [1.5, None] * 3})):
        for read in (fitted(words).encode, lambda table: fitted(words).fill(table, np.zeros((len(table), 3)))):
            with pytest.raises(
                ValueError, match=f"Column {name!r} has dtype .* holds .*'a'. Convert it to values"
            ):
                read(other)
    chosen = fitted(make({"a": BITS.tolist()}), categorical_features=[0])
    with pytest.raises(ValueError, match=f"Column {name!r} .* holds 'x', but held other values in fit"):
        chosen.encode(make({"a": ["x", "y"]}))
    assert_array_equal(chosen.encode(make({"a": [True, False]})), chosen.encode(make({"a": [1.0, 0.0]})))


def test_numbers_among_objects_are_numbers_where_fit_saw_some():
    """As in one row of a frame that is made a frame of."""
    frame = pd.DataFrame(
        {"a": FLOATS, "b": INTEGERS, "c": WORDS.astype(object), "d": pd.array(IDS, dtype="Int64")}
    )
    codec = fitted(frame)
    for number in range(len(frame)):
        row = frame.iloc[number].to_frame().T
        assert row["a"].dtype == object
        assert_array_equal(codec.encode(row), codec.encode(frame.iloc[[number]]))
    holes = frame.astype(object)
    holes.loc[1, ["a", "b"]] = None, pd.NA
    filled = codec.fill(holes, codec.encode(frame))
    assert filled.dtypes.eq(object).all()
    assert filled.notna().all(axis=None)
    assert cells(filled.drop(index=1), 0) == cells(frame.drop(index=1), 0)
    for wrong in ("1.5", True):
        with pytest.raises(ValueError, match="Column 'a' has dtype object, but held numbers in fit"):
            codec.encode(holes.assign(a=pd.Series([wrong] * len(holes), dtype=object)))


def test_given_numbers_come_back_as_given():
    frame = pd.DataFrame({"a": FLOATS, "b": INTEGERS, "c": BITS.astype(float), "d": FLOATS.astype(np.float32)})
    for table in (frame, pl.from_pandas(frame), frame[["a", "b", "c"]].to_numpy()):
        codec = fitted(table)
        for number, values in enumerate([(1.0, 0.1, 1 / 3, -0.0), (50, 3.0), (0, 1)]):
            name = codec.layout.names[number]
            for value in values:
                back = codec.decode(np.zeros((2, codec.width)), given={name: value})
                assert cells(back, number) == [value] * 2
    assert codec.row_of({0: np.float32(0.5)}).shape == (codec.width,)
    codec = fitted(frame)
    assert_array_equal(codec.decode(np.zeros((1, codec.width)), given={"d": 0.1})["d"], np.float32([0.1]))
    with pytest.raises(ValueError, match=r"given\['b'\]=2.5 is no integer, but the column holds integers"):
        codec.row_of({"b": 2.5})
    large = fitted(pd.DataFrame({"id": IDS}))
    with pytest.raises(ValueError, match=rf"={2**53} is outside of what the column holds: {IDS[0]} to {IDS[-1]}"):
        large.row_of({"id": 2**53})
