"""Columns put together as tables, and holes of tables filled: data frames of pandas and polars, and arrays."""

from collections.abc import Iterator, Sequence
from numbers import Number
from typing import Any

import numpy as np

from . import dtypes
from .frames import Column, Layout, as_table, library_of, objects, read

Cells = tuple[np.ndarray, np.ndarray]  # the values of a column, and a mask of rows


def write(columns: Sequence[Cells], layout: Layout, like: Any = None) -> Any:
    """Make a table like the one that was read, from the values of each column and from where there is none.

    A frame of pandas has the index of the frame ``like`` which it is, if that is one of pandas.
    """
    if layout.library == "pandas":
        frame = _to_pandas(columns, layout)
        return frame.set_axis(like.index) if library_of(like) == "pandas" else frame
    if layout.library == "polars":
        return _to_polars(columns, layout)
    return _to_array(columns, layout)


def check(column: Column, values: np.ndarray, layout: Layout, number: int) -> None:
    """Check that a column can be made again of values, with its dtype.

    Raises
    ------
    TypeError
        If not; it names the column.
    """
    own = layout._replace(names=(layout.names[number],), dtypes=(layout.dtypes[number],))
    try:
        back = write([(values, np.zeros(len(values), dtype=bool))], own)
        if column.missing.any():
            write([(values, np.ones(len(values), dtype=bool))], own)
        is_same = layout.library == "numpy" or read(back)[1].dtypes == own.dtypes
        problem = "" if is_same else ": they come back with another"
    except Exception as error:  # whatever a library has against one of its own dtypes
        problem = f" ({type(error).__name__}: {error})"
    if problem:
        raise TypeError(
            f"Column {column.name!r} has dtype {dtypes.name_of(column.dtype)}, of which no new column can be made"
            f"{problem}. Convert it to numbers, strings or categories first, for instance with astype or cast."
        )


def fill(table: Any, holes: Sequence[Cells], layout: Layout) -> Any:
    """Return a copy of a table in which masked cells of each column have the values of that column.

    All other cells, and dtypes that can hold the values, stay as they are. Categories that a dtype with an order
    lacks are put where they are in that of the ``layout``.
    """
    library = library_of(table)
    if library == "numpy":
        return _fill_array(table, holes)
    orders = [dtypes.order_of(dtype) for dtype in layout.dtypes]
    return {"pandas": _fill_pandas, "polars": _fill_polars}[library](table, holes, orders)


# Arrays -------------------------------------------------------------------------------------------------------


def _to_array(columns: Sequence[Cells], layout: Layout) -> np.ndarray:
    assert layout.dtype is not None
    whole = np.dtype(layout.dtype)
    holes = any(missing.any() for _, missing in columns)
    if holes and whole.kind in "iu":  # which have no missing value
        whole = np.dtype(np.float64)
    result = np.empty((len(columns[0][0]), len(columns)), dtype=whole)
    for number, ((values, missing), dtype) in enumerate(zip(columns, layout.dtypes, strict=True)):
        own = np.dtype(dtype)
        if whole.kind == "O" and own.kind == "i" and values.dtype == object:  # of any size
            result[:, number] = objects([round(value) for value in values.tolist()])
        else:
            result[:, number] = _as_numbers(values, own) if own.kind in "iuf" else values.astype(own)
        if missing.any():
            result[missing, number] = np.nan
    return result


def _fill_array(table: Any, holes: Sequence[Cells]) -> np.ndarray:
    result = np.array(as_table(table))
    for number, (values, gone) in enumerate(holes):
        if not gone.any():
            continue
        new = values[gone]
        if result.dtype.kind in "US":
            result = result.astype(np.result_type(result, np.array(new.tolist(), dtype=result.dtype.kind)))
        elif result.dtype.kind in "biuf":
            try:
                dtypes.check_range(new, *dtypes.ends_of(result.dtype))
                new = _as_numbers(new, result.dtype)
            except TypeError:  # a column without a number, of strings in fit
                result = result.astype(object)
            except ValueError:
                result = result.astype(np.result_type(result, np.array(new.tolist())))
        result[gone, number] = new
    return result


# Frames of pandas ---------------------------------------------------------------------------------------------


def _to_pandas(columns: Sequence[Cells], layout: Layout) -> Any:
    import pandas

    series = {}
    for number, ((values, missing), plain) in enumerate(zip(columns, layout.dtypes, strict=True)):
        dtype = dtypes.to_pandas(plain)
        if dtypes.is_number_in_pandas(dtype):
            series[number] = _number_series(values, missing, dtype)
        else:
            cells = objects([None if gone else value for value, gone in _pairs(values, missing)])
            series[number] = pandas.Series(cells, dtype=object).astype(dtype)
    frame = pandas.DataFrame(series)
    frame.columns = [*layout.names]
    levels = layout.levels or (None,)  # layouts of earlier versions have none
    if len(levels) > 1:
        frame.columns = pandas.MultiIndex.from_tuples(layout.names)
    return frame.rename_axis(columns=[*levels])


def _number_series(values: np.ndarray, missing: np.ndarray, dtype: Any) -> Any:
    import pandas

    numbers = _as_numbers(values, dtypes.numpy_of(dtype))
    if not missing.any():
        return pandas.Series(numbers).astype(dtype)
    is_sparse = isinstance(dtype, pandas.SparseDtype)
    if not (is_sparse or isinstance(dtype, np.dtype)):
        return pandas.Series(numbers).astype(dtype).mask(missing)
    if numbers.dtype.kind in "iu":  # which have no missing value
        numbers = numbers.astype(np.float64)
    numbers[missing] = np.nan
    return pandas.Series(numbers).astype(
        pandas.SparseDtype(numbers.dtype, dtype.fill_value) if is_sparse else numbers.dtype
    )


def _fill_pandas(table: Any, holes: Sequence[Cells], orders: list[list]) -> Any:
    import pandas

    result = table.copy()
    for number, ((values, gone), order) in enumerate(zip(holes, orders, strict=True)):
        if not gone.any():
            continue
        series = table.iloc[:, number]
        try:
            filled = _filled(series, values[gone], gone, order)
        except (TypeError, ValueError):  # a dtype that cannot hold the values
            cells = series.to_numpy(dtype=object, copy=True)
            cells[gone] = values[gone]
            filled = pandas.Series(cells.tolist()).array
        result.isetitem(number, pandas.Series(filled, index=table.index, dtype=filled.dtype))
    return result


def _filled(series: Any, new: np.ndarray, gone: np.ndarray, order: Sequence = ()) -> Any:
    """Return the cells of a column of pandas with ``new`` ones where others are gone."""
    import pandas

    dtype = series.dtype
    if isinstance(dtype, pandas.SparseDtype):
        return pandas.array(_filled(series.sparse.to_dense(), new, gone), dtype=dtype)
    if isinstance(dtype, pandas.CategoricalDtype):
        others = [value for value in dict.fromkeys(new.tolist()) if value not in dtype.categories]
        series = _with_categories(series, others, [*order]) if others else series
    elif dtype.kind == "b" or dtypes.is_number_in_pandas(dtype):
        dtypes.check_range(new, *dtypes.ends_of(dtypes.numpy_of(dtype)))
        new = _as_numbers(new, dtypes.numpy_of(dtype))
        if dtypes.is_decimal_in_pandas(dtype):
            new = pandas.array(new).astype(dtype)
    elif dtypes.is_temporal_in_pandas(dtype):
        raise TypeError("a column without a date")
    cells = series.to_numpy(copy=True) if isinstance(dtype, np.dtype) else series.array.copy()
    cells[gone] = new
    return cells


def _with_categories(series: Any, others: list, order: list) -> Any:
    """Return a column of categories with others too; where their place in its order is unknown, it has none."""
    if series.cat.ordered:
        categories = dtypes.with_others(series.cat.categories.tolist(), others, order)
        if categories is not None:
            return series.cat.set_categories(categories)
        series = series.cat.as_unordered()
    return series.cat.add_categories(others)


# Frames of polars ---------------------------------------------------------------------------------------------


def _to_polars(columns: Sequence[Cells], layout: Layout) -> Any:
    import polars

    return polars.DataFrame(
        [
            _polars_series(values, missing, dtypes.to_polars(plain)).alias(name)
            for (values, missing), name, plain in zip(columns, layout.names, layout.dtypes, strict=True)
        ]
    )


def _polars_series(values: np.ndarray, missing: np.ndarray, dtype: Any) -> Any:
    import polars

    listed = [None if gone else value for value, gone in _pairs(values, missing)]
    if dtype.is_integer():
        lowest, highest = dtypes.ends_in_polars(dtype)
        listed = [value if value is None else min(max(round(value), lowest), highest) for value in listed]
    if dtype == polars.Boolean:
        listed = [value if value is None else bool(value) for value in listed]
    if dtype.is_float() or dtype.is_decimal():
        listed = [value if value is None else float(value) for value in listed]
        return polars.Series(listed, dtype=polars.Float64).cast(dtype)
    return polars.Series(listed, dtype=dtype)


def _fill_polars(table: Any, holes: Sequence[Cells], orders: list[list]) -> Any:
    import polars

    result = []
    for series, (values, gone), order in zip(table.get_columns(), holes, orders, strict=True):
        if gone.all() and not _takes(series.dtype, values):
            series = polars.Series(series.name, values.tolist())
        elif gone.any():
            dtype = series.dtype
            if isinstance(dtype, polars.Enum):
                known = dtype.categories.to_list()
                others = [value for value in dict.fromkeys(values[gone].tolist()) if value not in known]
                dtype = polars.Enum(dtypes.with_others(known, others, order) or [*known, *others])
            elif not _takes(dtype, values[gone]):
                dtype, values = _wider(series, values, gone)
            series = series.cast(dtype).zip_with(polars.Series(~gone), _polars_series(values, ~gone, dtype))
        result.append(series)
    return polars.DataFrame(result)


def _wider(series: Any, values: np.ndarray, gone: np.ndarray) -> tuple[Any, np.ndarray]:
    """Return a dtype of polars for a column and values that it cannot hold, and the values for it."""
    import polars

    if not (series.dtype.is_numeric() and all(isinstance(value, Number) for value in values.tolist())):
        return polars.String, objects([str(value) for value in values.tolist()])  # fit saw numbers beside strings
    if not series.dtype.is_integer():
        return polars.Float64, values
    return polars.Series([*series.drop_nulls().to_list(), *values[gone].tolist()], strict=False).dtype, values


def _takes(dtype: Any, values: np.ndarray) -> bool:
    """Tell whether a column of polars without a value takes these."""
    if dtype.is_temporal():
        return False
    try:
        if dtype.is_integer() or dtype.is_float():
            dtypes.check_range(values, *dtypes.ends_in_polars(dtype))
        return _polars_series(values, np.zeros(len(values), dtype=bool), dtype).null_count() == 0
    except Exception:  # polars has several kinds, also of its own
        return False


# Cells --------------------------------------------------------------------------------------------------------


def _as_numbers(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Return numbers in a dtype of NumPy: rounded if it is one of integers, and within its range.

    Raises
    ------
    TypeError
        If a value is no number.
    """
    if values.dtype == object and not all(isinstance(value, Number | np.bool_) for value in values.tolist()):
        raise TypeError("strings are no numbers")
    if dtype.kind == "b":
        return values.astype(bool)
    if dtype.kind == "f":
        ends = np.finfo(dtype)
        return values.astype(np.result_type(np.float64, dtype)).clip(ends.min, ends.max).astype(dtype)
    lowest, highest = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
    if values.dtype == np.int64:
        return values.clip(max(lowest, -(2**63)), min(highest, 2**63 - 1)).astype(dtype)
    return np.array([min(max(round(value), lowest), highest) for value in values.tolist()], dtype=dtype)


def _pairs(values: np.ndarray, missing: np.ndarray) -> Iterator[tuple[Any, bool]]:
    return zip(values.tolist(), missing.tolist(), strict=True)
