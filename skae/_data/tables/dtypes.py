"""Dtypes of columns as plain values, which can be saved, and back."""

from typing import Any

import numpy as np

Plain = str | dict[str, Any]


def name_of(plain: Plain) -> str:
    """Return the name of a dtype, for messages."""
    if isinstance(plain, str):
        return plain
    return plain.get("name", "string" if "storage" in plain else "category")


def of_pandas(dtype: Any) -> Plain:
    """Return a dtype of pandas as a plain value: its name, or what else tells it."""
    import pandas

    if isinstance(dtype, pandas.CategoricalDtype):
        kind = None if dtype.categories is None else of_pandas(dtype.categories.dtype)
        values = None if dtype.categories is None else dtype.categories.tolist()
        return {"categories": values, "ordered": bool(dtype.ordered), "dtype": kind}
    if isinstance(dtype, pandas.StringDtype):
        return {"storage": dtype.storage, "is_na": dtype.na_value is pandas.NA}
    if isinstance(dtype, pandas.SparseDtype):
        fill = dtype.fill_value
        fill = None if pandas.isna(fill) else fill.item() if isinstance(fill, np.generic) else fill
        return {"name": str(dtype), "sparse": of_pandas(dtype.subtype), "fill": fill}
    if isinstance(dtype, pandas.ArrowDtype):
        import pyarrow

        schema = pyarrow.schema([pyarrow.field("", dtype.pyarrow_dtype)])
        return {"name": str(dtype), "arrow": schema.serialize().to_pybytes().hex()}
    return str(dtype)


def to_pandas(plain: Plain) -> Any:
    """Undo `of_pandas`."""
    import pandas

    if isinstance(plain, str):
        return pandas.api.types.pandas_dtype(plain)
    if "storage" in plain:
        return pandas.StringDtype(plain["storage"], na_value=pandas.NA if plain["is_na"] else np.nan)
    if "sparse" in plain:
        return pandas.SparseDtype(to_pandas(plain["sparse"]), np.nan if plain["fill"] is None else plain["fill"])
    if "arrow" in plain:
        import pyarrow

        schema = pyarrow.ipc.read_schema(pyarrow.py_buffer(bytes.fromhex(plain["arrow"])))
        return pandas.ArrowDtype(schema.field(0).type)
    if plain["categories"] is None:
        return pandas.CategoricalDtype(ordered=plain["ordered"])
    dtype = to_pandas(plain["dtype"])
    return pandas.CategoricalDtype(pandas.Index(plain["categories"], dtype=dtype), ordered=plain["ordered"])


def order_of(plain: Plain) -> list:
    """Return the categories of a dtype of pandas or polars that puts them into an order, of others none."""
    if isinstance(plain, str):
        return []
    if plain.get("ordered"):
        return plain["categories"] or []
    return plain["with"].get("categories", []) if "with" in plain else []


def with_others(known: list, others: list, order: list) -> list | None:
    """Return categories that have an order, with others in their places; None where these are not known."""
    together = {*known, *others}
    if not together.issubset(order) or [value for value in order if value in {*known}] != known:
        return None
    return [value for value in order if value in together]


def is_temporal_in_pandas(dtype: Any) -> bool:
    """Tell whether a dtype of pandas is one of dates, times, durations or periods."""
    import pandas

    if isinstance(dtype, pandas.ArrowDtype):
        import pyarrow

        return pyarrow.types.is_temporal(dtype.pyarrow_dtype)
    return dtype.kind in "mM" or isinstance(dtype, pandas.PeriodDtype)


def is_decimal_in_pandas(dtype: Any) -> bool:
    """Tell whether a dtype of pandas is one of decimal numbers, as Arrow has."""
    import pandas

    if not isinstance(dtype, pandas.ArrowDtype):
        return False
    import pyarrow

    return pyarrow.types.is_decimal(dtype.pyarrow_dtype)


def is_number_in_pandas(dtype: Any) -> bool:
    """Tell whether a dtype of pandas is one of real numbers."""
    return dtype.kind in "iuf" or is_decimal_in_pandas(dtype)


def numpy_of(dtype: Any) -> np.dtype:
    """Return the dtype of NumPy that numbers of a dtype of pandas have, of an extension or not."""
    if is_decimal_in_pandas(dtype):
        return np.dtype(np.float64)
    return np.dtype(getattr(dtype, "subtype", getattr(dtype, "numpy_dtype", dtype)))


def of_polars(dtype: Any) -> Plain:
    """Return a dtype of polars as a plain value: the name of its class, and what it is made with."""
    import polars

    name = type(dtype).__name__
    if isinstance(dtype, polars.Enum):
        return {"name": name, "with": {"categories": dtype.categories.to_list()}}
    if isinstance(dtype, polars.Decimal):
        return {"name": name, "with": {"precision": dtype.precision, "scale": dtype.scale}}
    if isinstance(dtype, polars.Categorical) and dtype != polars.Categorical():
        own = dtype.categories  # named ones, which newer versions have
        return {"name": name, "with": {}, "own": [own.name(), own.namespace(), str(own.physical())]}
    return {"name": name, "with": {}}


def to_polars(plain: Plain) -> Any:
    """Undo `of_polars`."""
    import polars

    assert isinstance(plain, dict)
    if "own" in plain:
        name, namespace, physical = plain["own"]
        return polars.Categorical(polars.Categories(name, namespace, getattr(polars, physical)))
    return getattr(polars, plain["name"])(**plain["with"])


def ends_of(dtype: np.dtype) -> tuple[Any, Any]:
    """Return the least and the largest number of a dtype of NumPy."""
    if dtype.kind == "b":
        return 0, 1
    if dtype.kind == "f":
        return float(np.finfo(dtype).min), float(np.finfo(dtype).max)
    return int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)


def ends_in_polars(dtype: Any) -> tuple[Any, Any]:
    """Return the least and the largest number of a dtype of polars, of integers or of floating numbers."""
    if dtype.is_float():
        return ends_of(np.dtype(str(dtype).lower()))
    n_bits = int(str(dtype).removeprefix("U").removeprefix("Int"))
    return (-(2 ** (n_bits - 1)), 2 ** (n_bits - 1) - 1) if dtype.is_signed_integer() else (0, 2**n_bits - 1)


def check_range(values: np.ndarray, lowest: Any, highest: Any) -> None:
    """Refuse values beyond the ends of a dtype of numbers, those of integers being rounded.

    Raises
    ------
    TypeError, ValueError
        If one is no number, or out of range.
    """
    is_integer = isinstance(highest, int)
    if not all(lowest <= (round(value) if is_integer else value) <= highest for value in values.tolist()):
        raise ValueError(f"out of range: {lowest} to {highest}")
