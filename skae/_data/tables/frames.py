"""Tables taken apart into columns, and put together again: data frames of pandas and polars, and arrays."""

import sys
from collections.abc import Iterator, Sequence
from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse
from sklearn.utils._missing import is_pandas_na, is_scalar_nan

from ..remedies import is_date, refuse_dates, refuse_doubled, refuse_lazy
from . import dtypes

NUMBER, CATEGORY, DATE = "number", "category", "date"


class Column(NamedTuple):
    """One column of a table.

    Attributes
    ----------
    name : str or object
    kind : str
        ``NUMBER``, ``CATEGORY`` (booleans and strings too) or ``DATE``, by the dtype.
    values : ndarray of shape (n_rows,)
        float64 for numbers, object for others; whatever stands at missing cells.
    missing : bool ndarray of shape (n_rows,)
    dtype : str or dict
        As the table has it, as a plain value.
    is_single : bool
        Whether it holds numbers in single precision.
    """

    name: Any
    kind: str
    values: np.ndarray
    missing: np.ndarray
    dtype: dtypes.Plain
    is_single: bool = False

    def as_category(self) -> "Column":
        """Return the column with its values as categories."""
        return self if self.kind == CATEGORY else self._replace(kind=CATEGORY, values=self.values.astype(object))


class Layout(NamedTuple):
    """What a table looks like, so that another can be made that looks the same. Plain values.

    Attributes
    ----------
    library : str
        "pandas", "polars" or "numpy".
    names : tuple
    dtypes : tuple
        Of the columns, as plain values.
    dtype : str or None
        Of an array as a whole.
    """

    library: str
    names: tuple
    dtypes: tuple
    dtype: str | None = None


def library_of(table: Any) -> str:
    """Return which library a table belongs to: "pandas", "polars" or, for all else, "numpy"."""
    for library in ("pandas", "polars"):
        module = sys.modules.get(library)
        if module is not None and isinstance(table, module.DataFrame):
            return library
    return "numpy"


def read(table: Any) -> tuple[list[Column], Layout]:
    """Take a table apart.

    Raises
    ------
    TypeError
        If it is sparse, or holds what is neither a number nor a category.
    ValueError
        If it is not two-dimensional, has no rows or no columns, or two columns have one name.
    """
    library = library_of(table)
    table = as_table(table)
    for n, what in zip(table.shape, ("sample", "feature"), strict=True):
        if n == 0:
            raise ValueError(
                f"Found array with 0 {what}(s) (shape={table.shape}) while a minimum of 1 is required."
            )
    columns = [*{"pandas": _of_pandas, "polars": _of_polars, "numpy": _of_array}[library](table)]
    names = tuple(column.name for column in columns)
    refuse_doubled(names)
    dtype = table.dtype.str if library == "numpy" else None
    return columns, Layout(library, names, tuple(column.dtype for column in columns), dtype)


def as_table(table: Any) -> Any:
    """Return data frames as they are, and all else as an array.

    Raises
    ------
    TypeError, ValueError
        If it is a lazy frame, sparse, complex, or not two-dimensional.
    """
    refuse_lazy(table)
    if scipy.sparse.issparse(table):
        raise TypeError("X is sparse, but a table must be a data frame or a dense array. Use X.toarray().")
    if library_of(table) != "numpy":
        return table
    array = np.asarray(table)
    if array.dtype.kind in "US" and not isinstance(table, np.ndarray):  # lists, where numbers became strings
        array = np.asarray(table, dtype=object)
    if array.dtype.kind == "c":
        raise ValueError("Complex data not supported: X must hold numbers and categories.")
    if array.ndim != 2:
        raise ValueError(
            f"Expected 2D array, got an array of shape {array.shape} instead. Reshape your data: X.reshape(-1, 1) "
            "if it is a single feature, X.reshape(1, -1) if it is a single sample."
        )
    return array


def _of_pandas(table: Any) -> Iterator[Column]:
    for number, name in enumerate(table.columns):
        series = table.iloc[:, number]
        dtype, missing = dtypes.of_pandas(series.dtype), series.isna().to_numpy(dtype=bool)
        is_plain, kind = isinstance(dtype, str), series.dtype.kind
        if kind in "mM" or str(dtype).startswith("period"):
            yield Column(name, DATE, series.to_numpy(dtype=object), missing, dtype)
        elif kind in "iuf" and is_plain:
            values = series.to_numpy(dtype=np.float64, na_value=np.nan)
            is_single = getattr(series.dtype, "itemsize", 8) < 8 and kind == "f"
            yield Column(name, NUMBER, values, missing | np.isnan(values), dtype, is_single)
        else:
            yield Column(name, CATEGORY, _checked(name, series.to_numpy(dtype=object), missing), missing, dtype)


def _of_polars(table: Any) -> Iterator[Column]:
    import polars

    for series in table.get_columns():
        dtype, missing = dtypes.of_polars(series.dtype), series.is_null().to_numpy()
        if series.dtype.is_numeric():
            values = np.array(series.cast(polars.Float64).to_numpy(), dtype=np.float64)
            is_single = series.dtype == polars.Float32
            yield Column(series.name, NUMBER, values, missing | np.isnan(values), dtype, is_single)
        else:
            kind = DATE if series.dtype.is_temporal() or series.dtype.is_nested() else CATEGORY
            values = objects(series.to_list())
            yield Column(series.name, kind, values, missing, dtype)


def _of_array(table: np.ndarray) -> Iterator[Column]:
    kind = {"b": CATEGORY, "U": CATEGORY, "S": CATEGORY, "M": DATE, "m": DATE}.get(table.dtype.kind, NUMBER)
    for number in range(table.shape[1]):
        values = table[:, number]
        if table.dtype.kind == "O":
            missing = np.array([is_missing(value) for value in values.tolist()], dtype=bool)
            yield _of_objects(number, values, missing)
        elif kind == NUMBER:
            is_single = table.dtype.kind == "f" and table.dtype.itemsize < 8
            numbers = values.astype(np.float64)
            yield Column(number, kind, numbers, np.isnan(numbers), table.dtype.str, is_single)
        else:
            yield Column(number, kind, values.astype(object), np.zeros(len(values), dtype=bool), table.dtype.str)


def is_missing(value: Any) -> bool:
    return value is None or is_pandas_na(value) or is_scalar_nan(value)


def _of_objects(name: Any, values: np.ndarray, missing: np.ndarray) -> Column:
    """Return a column of an array of objects: numbers if all are."""
    seen = values[~missing].tolist()
    if not all(isinstance(value, Real) and not isinstance(value, bool | np.bool_) for value in seen):
        return Column(name, CATEGORY, _checked(name, values, missing), missing, "|O")
    numbers = np.full(len(values), np.nan)
    numbers[~missing] = values[~missing].astype(np.float64)
    are_integers = bool(seen) and all(isinstance(value, Integral) for value in seen)
    return Column(name, NUMBER, numbers, missing, "<i8" if are_integers else "<f8")


def _checked(name: Any, values: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """Refuse containers and dates, which no category is."""
    for value in values[~missing].tolist():
        if is_date(value):
            refuse_dates([repr(name)])
        if isinstance(value, dict | list | set | np.ndarray):
            raise TypeError(
                f"Column {name!r} holds {value!r}, of type {type(value).__name__}, but the argument must be a "
                "string or a number. Drop the column, or make columns of numbers and strings of it."
            )
    return values


def objects(values: Sequence) -> np.ndarray:
    """Return an object array, also of values that NumPy would take apart."""
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


# Back ------------------------------------------------------------------------------------------------------

Cells = tuple[np.ndarray, np.ndarray]  # the values of a column, and where there is none


def write(columns: Sequence[Cells], layout: Layout, like: Any = None) -> Any:
    """Make a table like the one that was read, from the values of each column and from where there is none.

    A frame of pandas has the index of the one ``like`` which it is, if that is given.
    """
    if layout.library == "pandas":
        frame = _to_pandas(columns, layout)
        return frame if like is None else frame.set_axis(like.index)
    if layout.library == "polars":
        return _to_polars(columns, layout)
    return _to_array(columns, layout)


def _to_array(columns: Sequence[Cells], layout: Layout) -> np.ndarray:
    assert layout.dtype is not None
    whole = np.dtype(layout.dtype)
    holes = any(missing.any() for _, missing in columns)
    if holes and whole.kind in "iu":  # which have no missing value
        whole = np.dtype(np.float64)
    result = np.empty((len(columns[0][0]), len(columns)), dtype=whole)
    for number, ((values, missing), dtype) in enumerate(zip(columns, layout.dtypes, strict=True)):
        own = np.dtype(dtype)
        values = np.where(missing, values[~missing][:1] if (~missing).any() else 0, values)
        result[:, number] = (np.rint(values) if own.kind in "iu" else values).astype(own)
        if missing.any():
            result[missing, number] = np.nan
    return result


def _to_pandas(columns: Sequence[Cells], layout: Layout) -> Any:
    import pandas

    series = {}
    for number, ((values, missing), plain) in enumerate(zip(columns, layout.dtypes, strict=True)):
        dtype, has_missing = dtypes.to_pandas(plain), bool(missing.any())
        if dtype.kind in "iuf":
            if has_missing and dtype.kind in "iu" and isinstance(dtype, np.dtype):
                dtype = np.dtype(np.float64)  # NumPy's integers have no missing value
            numbers = np.where(missing, np.nan, values).astype(np.float64)
            series[number] = pandas.Series(np.rint(numbers) if dtype.kind in "iu" else numbers).astype(dtype)
        else:
            cells = objects([None if gone else value for value, gone in _pairs(values, missing)])
            series[number] = pandas.Series(cells, dtype=object).astype(dtype)
    frame = pandas.DataFrame(series)
    frame.columns = [*layout.names]
    return frame


def _to_polars(columns: Sequence[Cells], layout: Layout) -> Any:
    import polars

    series = []
    for (values, missing), name, plain in zip(columns, layout.names, layout.dtypes, strict=True):
        dtype = dtypes.to_polars(plain)
        if dtype.is_integer():
            values = np.rint(values.astype(np.float64))
        listed = [None if gone else value for value, gone in _pairs(values, missing)]
        written = polars.Float64 if dtype.is_numeric() else dtype
        series.append(polars.Series(name, listed, dtype=written).cast(dtype))
    return polars.DataFrame(series)


def _pairs(values: np.ndarray, missing: np.ndarray) -> Iterator[tuple[Any, bool]]:
    return zip(values.tolist(), missing.tolist(), strict=True)
