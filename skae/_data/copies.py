"""Rows that were entered again: copies, which tell nothing new, unlike rows that are equal by nature.

Where columns are discrete, different things may well be equal in all of them. Numbers that are measured finely are
not equal by chance. So equal rows are copies of one row if they hold a value that no other row has, in a column
most of whose values are those of a single row. (A column of counts has a few such values, its largest ones.)

Values tell nothing where one column alone varies, where discrete columns are mixed, as by PCA, or where a row is
a state of its own, such as a device switched off. So how often rows are there has to speak for copies, too: it is
the same number for half of the different rows or more, which is one, or how often a whole table was entered; a row
that is there more than `MOST` times as often is a state. What is taken for copies wrongly is then a small part.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy import sparse

from . import arrays
from .fingerprint import bits_of, hashes_of

MOST = 3
_MISSING = np.array([np.nan]).view(np.uint64)


def without_copies(X) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of the rows that are no copy of an earlier one, and which of these each row is; both int.

    X is of any container of rows.
    """
    n_rows = X.shape[0]
    _, first, which, counts = np.unique(hashes_of(X), return_index=True, return_inverse=True, return_counts=True)
    usual = np.bincount(counts).argmax()
    twice = np.flatnonzero((counts > 1) & (counts <= MOST * usual))
    copied = np.zeros(len(first), dtype=bool)
    if len(twice) and len(first) ** 2 > n_rows and 2 * (counts == usual).sum() >= len(first):
        copied[twice] = _hold_values_alone(X, first, twice)
    original = np.where(copied[which], first[which], np.arange(n_rows))
    return np.unique(original, return_inverse=True)


def _hold_values_alone(X, different: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Tell which of some rows hold a value of their own in a column that has mostly such values.

    ``rows`` are places among the numbers of the ``different`` rows of X.
    """
    alone, n_varying = np.zeros(len(different), dtype=bool), 0
    for places, bits in _columns(X, different):
        values, starts = _unique(np.sort(bits))
        n_varying += len(values) > 1
        of_one = np.diff(starts, append=len(bits)) == 1
        if 2 * of_one.sum() > len(values):
            of_one &= values != _MISSING
            alone[places[of_one[np.searchsorted(values, bits)]]] = True
        if n_varying > 1 and alone[rows].all():
            break
    return alone[rows] & (n_varying > 1)


def _unique(ordered: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the different ones of ordered values, and where each starts."""
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    return ordered[starts], starts


def _columns(X, rows: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield places among some rows, and 64 bits for what a column holds there, column by column.

    Of zeros of sparse rows, which many rows hold, two are enough.
    """
    places = np.arange(len(rows))
    if sparse.issparse(X):
        columns = X[rows].tocsc()
        for start, stop in zip(columns.indptr[:-1], columns.indptr[1:], strict=True):
            if stop > start:  # others do not vary
                stored = columns.indices[start:stop]
                zeros = _first_two_without(stored, len(rows))
                yield np.r_[stored, zeros], bits_of(np.r_[columns.data[start:stop], np.zeros(len(zeros))])
    elif hasattr(X, "columns"):
        for name in X.columns:
            yield places, bits_of(np.asarray(X[name])[rows])
    else:
        for column in _as_numpy(X).T:
            yield places, bits_of(column[rows])


def _first_two_without(stored: np.ndarray, n_rows: int) -> np.ndarray:
    """Return the first two of so many places that are not among those stored, or fewer where there are fewer."""
    first = np.arange(min(n_rows, len(stored) + 2))
    return np.setdiff1d(first, stored, assume_unique=True)[:2]


def _as_numpy(X: Any) -> np.ndarray:
    return arrays.to_numpy(X.detach() if hasattr(X, "detach") else X)
