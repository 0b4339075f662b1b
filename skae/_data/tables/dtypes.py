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
    return str(dtype)


def to_pandas(plain: Plain) -> Any:
    """Undo `of_pandas`."""
    import pandas

    if isinstance(plain, str):
        return pandas.api.types.pandas_dtype(plain)
    if "storage" in plain:
        return pandas.StringDtype(plain["storage"], na_value=pandas.NA if plain["is_na"] else np.nan)
    if plain["categories"] is None:
        return pandas.CategoricalDtype(ordered=plain["ordered"])
    dtype = to_pandas(plain["dtype"])
    return pandas.CategoricalDtype(pandas.Index(plain["categories"], dtype=dtype), ordered=plain["ordered"])


def of_polars(dtype: Any) -> Plain:
    """Return a dtype of polars as a plain value: the name of its class, and what it is made with."""
    import polars

    name = type(dtype).__name__
    if isinstance(dtype, polars.Enum):
        return {"name": name, "with": {"categories": dtype.categories.to_list()}}
    if isinstance(dtype, polars.Decimal):
        return {"name": name, "with": {"precision": dtype.precision, "scale": dtype.scale}}
    return {"name": name, "with": {}}


def to_polars(plain: Plain) -> Any:
    """Undo `of_polars`."""
    import polars

    assert isinstance(plain, dict)
    return getattr(polars, plain["name"])(**plain["with"])
