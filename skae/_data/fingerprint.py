"""Telling whether rows are among those that a model was fitted to, without keeping them.

Rows that are the same bit for bit are told by a hash of each, those that are the same up to rounding by `rounded`.
"""

import hashlib
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _num_samples

from .chunks import slices
from .rounded import Parts, alike, magnitudes, narrowed, positions
from .tables.frames import is_missing

_ODD = np.uint64(0x9E3779B97F4A7C15)  # 2**64 over the golden ratio, as in Knuth's multiplicative hashing


def fingerprint(X) -> dict[str, Any]:
    """Return what tells rows from others, as plain arrays; of any container of rows.

    These are a hash of each row, sorted, and the numbers of the rows, (2, n) uint64; and for rows that are the
    same up to rounding, their `positions`, in the same order, the columns' `magnitudes`, and what tolerances are
    multiplied with.
    """
    hashes = hashes_of(X)
    order = np.argsort(hashes, kind="stable")
    hashes, unit = hashes[order], magnitudes(X, _take_apart)
    where, tolerance = positions(X, unit, _take_apart)
    first = _first(hashes)
    share = narrowed(where[order][first], tolerance[order][first])
    return {
        "hashes": np.stack([hashes, order.astype(np.uint64)]),
        "positions": where[order],
        "unit": unit,
        "share": share,
    }


def places(X, of_fit: Any) -> np.ndarray:
    """Return which row of a fingerprint each row is, (n,) int, -1 for others; equal rows by their order.

    Rows are equal if they are up to rounding. Fingerprints of older files know rows bit for bit, or none.
    """
    if isinstance(of_fit, np.ndarray):
        of_fit = {"hashes": of_fit}
    if not isinstance(of_fit, dict):
        return np.full(_num_samples(X), -1)
    known, numbers = of_fit["hashes"]
    given = hashes_of(X)
    start, stop = (np.searchsorted(known, given, side=side) for side in ("left", "right"))
    found = start < stop
    if "positions" in of_fit and not found.all():
        others, first = np.flatnonzero(~found), _first(known)
        where, tolerance = positions(_safe_indexing(X, others), of_fit["unit"], _take_apart)
        which = alike(of_fit["positions"][first], where, tolerance * of_fit["share"])
        others, which = others[which >= 0], which[which >= 0]
        found[others], start[others] = True, first[which]
        stop[others] = np.append(first, len(known))[which + 1]
    order = np.argsort(start, kind="stable")
    order = order[found[order]]
    start, stop = start[order], stop[order]
    turn = np.arange(len(order)) - np.searchsorted(start, start)
    result = np.full(len(given), -1)
    result[order] = numbers[np.minimum(start + turn, stop - 1)].astype(np.int64)
    return result


def _first(hashes: np.ndarray) -> np.ndarray:
    """Return where in sorted hashes those of each value begin."""
    return np.flatnonzero(np.r_[True, hashes[1:] != hashes[:-1]][: len(hashes)])


def _take_apart(rows: Any) -> Parts:
    if sparse.issparse(rows):
        numbers, bits = _split(rows.data.astype(np.float64))
        structure = rows.indices, rows.indptr
        others = sparse.csr_array((bits.view(np.float64), *structure), shape=rows.shape)
        return Parts(sparse.csr_array((numbers, *structure), shape=rows.shape), _of_stored(others))
    if hasattr(rows, "columns"):
        columns = [np.asarray(rows[name]) for name in rows.columns]
    else:
        rows = np.asarray(rows.detach().cpu() if hasattr(rows, "detach") else rows)
        columns = rows.T
    if not hasattr(rows, "columns") and rows.dtype.kind in "fiub":
        numbers, bits = _split(rows.astype(np.float64))
    else:
        bits = np.column_stack([bits_of(column) for column in columns])
        is_word = np.column_stack([_is_word(column) for column in columns])
        numbers, others = _split(np.where(is_word, np.uint64(0), bits).view(np.float64))
        bits = np.where(is_word, bits, others)
    is_plain = not bits.any()
    others = np.zeros(len(bits), np.uint64) if is_plain else _mixed(bits, _factors(bits.shape[1])).sum(axis=1)
    return Parts(numbers, others)


def _split(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return finite numbers, zero elsewhere, and the bits of those that are not finite, zero elsewhere."""
    is_finite = np.isfinite(numbers)
    if is_finite.all():
        return numbers, np.zeros(numbers.shape, np.uint64)
    return np.where(is_finite, numbers, 0.0), np.where(is_finite, np.uint64(0), bits_of(numbers))


def _is_word(column: np.ndarray) -> np.ndarray:
    """Tell which entries of a column hold no number, nor are missing."""
    if column.dtype.kind == "O":
        return np.array([_number(cell) is None for cell in column.tolist()], dtype=bool)
    return np.full(len(column), column.dtype.kind not in "fiub")


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
