"""Tables taken apart into columns: data frames of pandas and polars, and arrays."""

import sys
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse
from sklearn.utils._missing import is_pandas_na, is_scalar_nan

from ..markers import unmasked
from ..remedies import is_date, refuse_dates, refuse_doubled, refuse_lazy
from . import dtypes

NUMBER, CATEGORY, DATE = "number", "category", "date"
LARGEST_EXACT = 2**53  # of integers in float64
COMPLEX = "Complex data not supported"
TWO_COLUMNS = "Make columns of the real and the imaginary parts."


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
    is_integer : bool
        Whether it holds integers.
    exact : ndarray of shape (n_rows,) or None
        Where some are too large for float64, the integers as those of Python, with 0 at missing cells.
    """

    name: Any
    kind: str
    values: np.ndarray
    missing: np.ndarray
    dtype: dtypes.Plain
    is_single: bool = False
    is_integer: bool = False
    exact: np.ndarray | None = None

    def as_category(self) -> "Column":
        """Return the column with its values as categories."""
        if self.kind == CATEGORY:
            return self
        if self.exact is not None:
            values = self.exact
        elif self.is_integer:
            values = np.where(self.missing, 0, self.values).astype(np.int64).astype(object)
        else:
            values = self.values.astype(object)
        return self._replace(kind=CATEGORY, values=values)

    def as_numbers(self) -> "Column":
        """Return the column with its values as numbers, where all of them are: those of objects may be."""
        return _of_objects(self.name, self.values, self.missing)._replace(dtype=self.dtype)


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
    levels : tuple or None
        What the levels of pandas' column names are called: of a MultiIndex several.
    """

    library: str
    names: tuple
    dtypes: tuple
    dtype: str | None = None
    levels: tuple | None = None


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
        If it is complex, not two-dimensional, has no rows or no columns, or two columns have one name.
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
    levels = tuple(table.columns.names) if library == "pandas" else None
    return columns, Layout(library, names, tuple(column.dtype for column in columns), dtype, levels)


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
    array = np.asarray(unmasked(table))
    if array.dtype.kind in "US" and not isinstance(table, np.ndarray):  # lists, where numbers became strings
        array = np.asarray(table, dtype=object)
    if array.dtype.kind == "c":
        raise ValueError(f"{COMPLEX}: X has dtype {array.dtype}. {TWO_COLUMNS}")
    if array.dtype.kind not in "biufOUSMm":
        raise TypeError(f"X is an array of dtype {array.dtype}, which no table can have. Use X.astype(object).")
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
        kind = series.dtype.kind
        if kind == "c":
            raise ValueError(f"{COMPLEX}: column {name!r} has dtype {series.dtype}. {TWO_COLUMNS}")
        if dtypes.is_temporal_in_pandas(series.dtype):
            yield Column(name, DATE, series.to_numpy(dtype=object), missing, dtype)
        elif dtypes.is_number_in_pandas(series.dtype):
            values = series.to_numpy(dtype=np.float64, na_value=np.nan)
            is_single = dtypes.numpy_of(series.dtype).itemsize < 8 and kind == "f"
            yield _of_numbers(name, values, missing, dtype, is_single, kind in "iu", series.tolist)
        else:
            values = _checked(name, series.to_numpy(dtype=object), missing, hasattr(series, "cat"))
            yield Column(name, CATEGORY, values, missing, dtype)


def _of_polars(table: Any) -> Iterator[Column]:
    import polars

    for series in table.get_columns():
        dtype, missing = dtypes.of_polars(series.dtype), series.is_null().to_numpy()
        if series.dtype.is_numeric():
            values = np.array(series.cast(polars.Float64).to_numpy(), dtype=np.float64)
            is_single = series.dtype.is_float() and series.dtype != polars.Float64
            yield _of_numbers(
                series.name, values, missing, dtype, is_single, series.dtype.is_integer(), series.to_list
            )
        else:
            kind = DATE if series.dtype.is_temporal() or series.dtype.is_nested() else CATEGORY
            values = objects(series.to_list())
            if kind == CATEGORY:
                _checked(series.name, values, missing)
            yield Column(series.name, kind, values, missing, dtype)


def _of_array(table: np.ndarray) -> Iterator[Column]:
    kind = {"b": CATEGORY, "U": CATEGORY, "S": CATEGORY, "M": DATE, "m": DATE}.get(table.dtype.kind, NUMBER)
    for number in range(table.shape[1]):
        values, missing = table[:, number], np.zeros(len(table), dtype=bool)
        if table.dtype.kind == "O":
            missing = np.array([is_missing(value) for value in values.tolist()], dtype=bool)
            yield _of_objects(number, values, missing)
        elif kind == NUMBER:
            is_single = table.dtype.kind == "f" and table.dtype.itemsize < 8
            numbers, is_integer = values.astype(np.float64), table.dtype.kind in "iu"
            yield _of_numbers(number, numbers, missing, table.dtype.str, is_single, is_integer, values.tolist)
        else:
            yield Column(number, kind, values.astype(object), missing, table.dtype.str)


def _of_numbers(
    name: Any,
    values: np.ndarray,
    missing: np.ndarray,
    dtype: dtypes.Plain,
    is_single: bool,
    is_integer: bool,
    listed: Callable[[], list],
) -> Column:
    """Return a column of numbers; ``listed`` returns them as they are in the table."""
    missing, exact = missing | np.isnan(values), None
    if is_integer and np.abs(values).max(where=~missing, initial=0) >= LARGEST_EXACT:
        pairs = zip(listed(), missing.tolist(), strict=True)
        exact = objects([0 if gone else int(value) for value, gone in pairs])
    return Column(name, NUMBER, values, missing, dtype, is_single, is_integer, exact)


def is_missing(value: Any) -> bool:
    if isinstance(value, Decimal):
        return value.is_nan()
    return value is None or is_pandas_na(value) or is_scalar_nan(value)


def _of_objects(name: Any, values: np.ndarray, missing: np.ndarray) -> Column:
    """Return a column of an array of objects: numbers if all are."""
    seen = values[~missing].tolist()
    if not all(isinstance(value, Real) and not isinstance(value, bool | np.bool_) for value in seen):
        return Column(name, CATEGORY, _checked(name, values, missing), missing, "|O")
    numbers = np.full(len(values), np.nan)
    try:
        numbers[~missing] = values[~missing].astype(np.float64)
    except OverflowError:
        raise ValueError(
            f"Column {name!r} holds an integer that is too large for float64. Divide the column, or replace it."
        ) from None
    is_integer = bool(seen) and all(isinstance(value, Integral) for value in seen)
    return _of_numbers(name, numbers, missing, "<i8" if is_integer else "<f8", False, is_integer, values.tolist)


def _checked(name: Any, values: np.ndarray, missing: np.ndarray, named: bool = False) -> np.ndarray:
    """Refuse containers, complex numbers and, unless the dtype has ``named`` them categories, dates."""
    for value in values[~missing].tolist():
        if is_date(value) and not named:
            refuse_dates([repr(name)])
        if isinstance(value, complex | np.complexfloating):
            raise ValueError(f"{COMPLEX}: column {name!r} holds {value!r}. {TWO_COLUMNS}")
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
