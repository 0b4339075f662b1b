"""Rows without any value, of which nothing can be said."""

from typing import Any

import numpy as np
from scipy import sparse
from torch import Tensor

from . import arrays
from .tables.frames import is_missing, objects


def is_empty(x: Tensor) -> Tensor:
    """Tell which rows of a tensor have no value at all, (n, 1)."""
    return x.isnan().all(1, keepdim=True)


def empty_rows(X: Any, marker: Any = np.nan) -> np.ndarray:
    """Tell which rows hold nothing but missing values, (n_rows,).

    Parameters
    ----------
    X : array of any namespace, scipy.sparse matrix or data frame of shape (n_rows, n_columns)
    marker : object
        What else than NaN and None stands for a missing value.
    """
    result = np.zeros(X.shape[0], dtype=bool)
    if sparse.issparse(X):
        return result
    rows = X if hasattr(X, "columns") else arrays.to_numpy(X)
    left = np.arange(len(result))
    for number in range(X.shape[1]):
        left = left[_missing(_column(rows, number), left, marker)]
        if not len(left):
            break
    result[left] = True
    return result


def _column(rows: Any, number: int) -> np.ndarray:
    if isinstance(rows, np.ndarray):
        return rows[:, number]
    column = rows.iloc[:, number] if hasattr(rows, "iloc") else rows[:, number]
    values = column.to_numpy()
    return values if values.dtype.kind in "biuf" else objects(column.to_list())


def _missing(column: np.ndarray, rows: np.ndarray, marker: Any) -> np.ndarray:
    values = column[rows]
    if values.dtype.kind == "f":
        return np.isnan(values) | (values == marker)
    if values.dtype.kind in "biu":
        return values == marker
    seen = (is_missing(value) or bool(value == marker) for value in values.tolist())
    return np.fromiter(seen, dtype=bool, count=len(values))
