"""Rows such as an exported model will be given: of what dtype, and with what in place of missing values."""

from typing import Any

import numpy as np

from .._data.arrays import is_nan
from .._data.markers import without_na
from ._graph import Graph

FLOATS = ("float32", "float64")


def plain_row(X: Any) -> Any:
    """Return the first row, as an array of float32 or float64, or as a frame of columns that skl2onnx knows."""
    if hasattr(X, "iloc"):
        return _plain(X[:1])
    if hasattr(X, "columns"):
        return X[:1]
    rows = without_na(np.atleast_1d(X)[:1])
    return rows if rows.dtype.name in FLOATS else rows.astype(np.float32 if rows.dtype == "float16" else float)


def _plain(frame: Any) -> Any:
    """Return a frame of pandas with plain columns in place of nullable ones of numbers, whose NA becomes NaN."""
    result = frame.copy()
    for number, dtype in enumerate(frame.dtypes):
        kind = getattr(dtype, "numpy_dtype", dtype)  # the nullable ones have it
        if kind is not dtype and getattr(kind, "kind", "") in "iuf":
            plain = np.float32 if kind == np.float32 else np.float64
            result.isetitem(number, frame.iloc[:, number].to_numpy(dtype=plain, na_value=np.nan))
    return result


def as_marked(graph: Graph, model: Any, x: str) -> str:
    """Return float32 values as float64 ones in which missing values are those that the model's number marks.

    In single precision, what stands for a missing value is the number next to it.
    """
    wide = graph.cast(x)
    marker = getattr(model, "missing_values", getattr(getattr(model, "autoencoder", None), "missing_values", None))
    if not isinstance(marker, int | float | np.number) or is_nan(marker) or float(np.float32(marker)) == marker:
        return wide
    return graph.where(graph.op("Equal", wide, float(np.float32(marker))), float(marker), wide)
