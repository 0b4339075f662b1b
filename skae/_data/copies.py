"""Rows that were entered again: copies, which tell nothing new, unlike rows that are equal by nature.

Where columns are discrete, different things may well be equal in all of them. Numbers that are measured finely are
not equal by chance. So equal rows are copies of one row if they hold a value that no other row has, in a column
most of whose values are those of a single row. (A column of counts has a few such values, its largest ones.) Where
only one column varies, each value is that of a single row; and where there are fewer different rows than times
that each of them is there, they are kinds. Neither tells anything: equal rows are then taken for different things.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy import sparse

from . import arrays
from .fingerprint import bits_of, hashes_of

_MISSING = np.array([np.nan]).view(np.uint64)


def without_copies(X) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of the rows that are no copy of an earlier one, and which of these each row is; both int.

    X is of any container of rows.
    """
    n_rows = X.shape[0]
    _, first, which, counts = np.unique(hashes_of(X), return_index=True, return_inverse=True, return_counts=True)
    twice = np.flatnonzero(counts > 1)
    copied = np.zeros(len(first), dtype=bool)
    if len(twice) and len(first) ** 2 > n_rows:
        copied[twice] = _hold_values_alone(X, first, twice)
    original = np.where(copied[which], first[which], np.arange(n_rows))
    return np.unique(original, return_inverse=True)


def _hold_values_alone(X, different: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Tell which of some rows hold a value of their own in a column that has mostly such values.

    ``rows`` are places among the numbers of the ``different`` rows of X.
    """
    alone, n_varying = np.zeros(len(rows), dtype=bool), 0
    for bits in _columns(X, different):
        values, which, counts = np.unique(bits, return_inverse=True, return_counts=True)
        n_varying += len(values) > 1
        of_one = (counts == 1) & (values != _MISSING)
        if 2 * of_one.sum() > len(values):
            alone |= of_one[which[rows]]
        if n_varying > 1 and alone.all():
            break
    return alone & (n_varying > 1)


def _columns(X, rows: np.ndarray) -> Iterator[np.ndarray]:
    """Yield 64 bits for each entry of a column, column by column, of some rows."""
    if sparse.issparse(X):
        for_columns = X[rows].tocsc()
        for number in np.flatnonzero(np.diff(for_columns.indptr)):  # others do not vary
            yield bits_of(for_columns[:, [number]].toarray().ravel())
    elif hasattr(X, "columns"):
        for name in X.columns:
            yield bits_of(np.asarray(X[name])[rows])
    else:
        for column in _as_numpy(X).T:
            yield bits_of(column[rows])


def _as_numpy(X: Any) -> np.ndarray:
    return arrays.to_numpy(X.detach() if hasattr(X, "detach") else X)
