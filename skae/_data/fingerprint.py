"""Telling whether rows are among those that a model was fitted to, without keeping them: by a hash of each."""

import hashlib
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _num_samples

from .chunks import slices
from .tables.frames import is_missing

_ODD = np.uint64(0x9E3779B97F4A7C15)  # 2**64 over the golden ratio, as in Knuth's multiplicative hashing


def fingerprint(X) -> np.ndarray:
    """Return a hash of each row, sorted, and the numbers of the rows, (2, n) uint64; of any container of rows."""
    hashes = hashes_of(X)
    order = np.argsort(hashes, kind="stable")
    return np.stack([hashes[order], order.astype(np.uint64)])


def places(X, of_fit: Any) -> np.ndarray:
    """Return which row of a fingerprint each row is, (n,) int, -1 for others; equal rows by their order.

    Fingerprints of older files, of another form, know no row.
    """
    if not isinstance(of_fit, np.ndarray):
        return np.full(_num_samples(X), -1)
    known, numbers = of_fit
    given, order = fingerprint(X)
    first, last = (np.searchsorted(known, given, side=side) for side in ("left", "right"))
    place = first + np.arange(len(given)) - np.searchsorted(given, given)
    found = np.empty(len(given), dtype=np.int64)
    found[order] = np.where(first < last, numbers[np.minimum(place, last - 1)].astype(np.int64), -1)
    return found


def hashes_of(X) -> np.ndarray:
    """Return a hash of each row, (n,) uint64, of any container of rows."""
    return np.concatenate([_hashes(_safe_indexing(X, part)) for part in slices(_num_samples(X), 8 * X.shape[1])])


def _hashes(rows: Any) -> np.ndarray:
    if hasattr(rows, "columns"):
        numbers = np.column_stack([bits_of(np.asarray(rows[name])) for name in rows.columns])
    elif sparse.issparse(rows):
        return _of_stored(rows.tocsr())
    else:
        rows = np.asarray(rows.detach().cpu() if hasattr(rows, "detach") else rows)
        is_plain = rows.dtype.kind in "fiub"
        numbers = _bits(rows) if is_plain else np.column_stack([bits_of(column) for column in rows.T])
    return _mixed(numbers, _factors(numbers.shape[1])).sum(axis=1)


def _of_stored(rows: sparse.csr_array) -> np.ndarray:
    """Hash rows by their stored entries: zeros count nothing in dense rows, too."""
    mixed = _mixed(_bits(rows.data), _factors(rows.shape[1])[rows.indices])
    total = np.concatenate([np.zeros(1, np.uint64), np.cumsum(mixed)])
    return total[rows.indptr[1:]] - total[rows.indptr[:-1]]


def bits_of(column: np.ndarray) -> np.ndarray:
    """Return 64 bits for each entry of a column of any kind."""
    if column.dtype.kind in "fiub":
        return _bits(column)
    if column.dtype.kind != "O":
        return _of_words(column.astype(str))
    # Numbers are objects only where there are cells in the same column that are none: in other rows.
    numbers = [_number(cell) for cell in column.tolist()]
    is_word = np.array([number is None for number in numbers], dtype=bool)
    result = _bits(np.array([0.0 if number is None else number for number in numbers]))
    result[is_word] = _of_words(column[is_word].astype(str))
    return result


def _number(cell: Any) -> float | None:
    """Return a number, NaN for a missing cell, and None for one that holds something else."""
    if is_missing(cell):
        return np.nan
    if not isinstance(cell, Real | Decimal | np.bool_):
        return None
    try:
        return float(cell)
    except OverflowError:
        return None


def _of_words(words: np.ndarray) -> np.ndarray:
    different, which = np.unique(words, return_inverse=True)
    encoded = (word.encode(errors="surrogatepass") for word in different)
    hashes = [int.from_bytes(hashlib.blake2b(word, digest_size=8).digest(), "big") for word in encoded]
    return np.array(hashes, dtype=np.uint64)[which.ravel()]


def _bits(numbers: np.ndarray) -> np.ndarray:
    exact = np.ascontiguousarray(numbers.astype(np.float64) + 0.0)  # one zero for both signs
    exact[np.isnan(exact)] = np.nan  # likewise
    return exact.view(np.uint64)


def _factors(n_columns: int) -> np.ndarray:
    """Return an odd factor for each column, the first ones whatever their number."""
    return np.random.RandomState(0).randint(2**63, size=n_columns, dtype=np.uint64) * 2 + 1


def _mixed(bits: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """Mix the bits of numbers, so that sums over columns tell rows apart; 0 stays 0."""
    mixed = (bits ^ (bits >> np.uint64(32))) * factors
    mixed ^= mixed >> np.uint64(29)
    return mixed * _ODD
