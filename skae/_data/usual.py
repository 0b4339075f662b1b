"""What is usual in each column of rows: the median of numbers, the most frequent of other values."""

from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.utils.sparsefuncs import csc_median_axis_0

from . import arrays
from .chunks import evenly
from .tables.frames import is_missing, objects

MOST_ROWS = 10_000  # that are looked at
_BLOCK = 256  # columns that are copied at once


def usual_values(X) -> np.ndarray:
    """Return the usual value of each column, (n_columns,), of at most `MOST_ROWS` rows, evenly spaced.

    Parameters
    ----------
    X : array of any namespace, scipy.sparse matrix or data frame of shape (n_rows, n_columns)

    Returns
    -------
    usual : ndarray of shape (n_columns,)
        Medians of what is not missing, float64, NaN where there is none; an object array if a column holds what
        is no number. Of such a column it is the most frequent value, the first of several, or None.
    """
    part = evenly(X.shape[0], MOST_ROWS)
    if hasattr(X, "columns"):
        return _together([_usual(column) for column in _columns(X, part)])
    if sparse.issparse(X):
        return csc_median_axis_0(X[part].tocsc())
    rows = arrays.to_numpy(X)[part]
    if rows.dtype.kind not in "biuf":
        return _together([_usual(column) for column in rows.T])
    blocks = [rows[:, start : start + _BLOCK] for start in range(0, rows.shape[1], _BLOCK)]
    return np.concatenate([_medians(block) for block in blocks])


def _columns(frame: Any, part: slice) -> Iterator[np.ndarray]:
    rows = frame.iloc[part] if hasattr(frame, "iloc") else frame[part]
    for number in range(rows.shape[1]):
        column = rows.iloc[:, number] if hasattr(rows, "iloc") else rows[:, number]
        values = column.to_numpy()
        yield values if values.dtype.kind in "iuf" else objects(column.to_list())


def _medians(rows: np.ndarray) -> np.ndarray:
    medians = np.median(rows, axis=0).astype(np.float64)
    for number in np.flatnonzero(np.isnan(medians)):
        seen = rows[~np.isnan(rows[:, number]), number]
        medians[number] = np.median(seen) if len(seen) else np.nan
    return medians


def _usual(column: np.ndarray) -> Any:
    if column.dtype.kind in "iuf":
        return float(_medians(column[:, np.newaxis])[0])
    seen = [value for value in column.tolist() if not is_missing(value)]
    if seen and all(
        isinstance(value, Real | Decimal) and not isinstance(value, bool | np.bool_) for value in seen
    ):
        return float(np.median(np.array(seen, dtype=np.float64)))
    try:
        most = [value for value, _ in Counter(seen).most_common(1)]
    except TypeError:  # of what cannot be counted, such as lists
        return None
    return _plain(most[0]) if most else None


def _plain(value: Any) -> Any:
    """Return a value as files can hold it."""
    value = value.item() if isinstance(value, np.generic) else value
    return value if isinstance(value, str | bool | int | float) else str(value)


def _together(values: list) -> np.ndarray:
    if all(isinstance(value, float) for value in values):
        return np.array(values)
    return objects(values)
