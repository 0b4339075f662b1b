"""Rows that are the same up to rounding, as after a way through float32 or text, or by another order of sums.

Of each row, a few random projections are kept, in units of the columns' mean magnitudes, and of these only where
in a small cell they lie: they tell the row from others, not what it holds. Whatever is no finite number, such as
words and missing cells, moves the projections by a hash, so that it has to be the same.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from scipy import sparse
from scipy.spatial import KDTree
from sklearn.utils import _safe_indexing

from .chunks import slices

N_PROJECTIONS = 4
CELL = 0.25  # in units of a row's projections
ROUNDING = 2e-6  # of columns' magnitudes, and of those of the row's own numbers
WIDEST = 0.01  # tolerance, in cells: beyond, other rows would be found by chance
FEW = 32  # rows, for which a tree of the others does not pay
_STEPS = 2.0**32  # of a cell


class Parts(NamedTuple):
    """Rows taken apart: finite numbers, (n, d), zero elsewhere, and a hash of what else there is, (n,) uint64."""

    numbers: np.ndarray | sparse.csr_array
    others: np.ndarray


def magnitudes(X, take_apart: Callable[..., Parts]) -> np.ndarray:
    """Return the mean magnitude of each column, one where it holds nothing else than zeros."""
    n_rows, total = X.shape[0], np.zeros(X.shape[1])
    with np.errstate(over="ignore"):
        for parts in _walk(X, take_apart):
            total += np.asarray(abs(parts.numbers).sum(axis=0)).ravel()
    return np.where(total > 0, np.minimum(total, np.finfo(np.float64).max) / n_rows, 1.0)


def positions(X, unit: np.ndarray, take_apart: Callable[..., Parts]) -> tuple[np.ndarray, np.ndarray]:
    """Return where in its cell each row's projections lie, (n, N_PROJECTIONS) uint32, and its tolerance, in cells.

    The tolerance, (n,), is infinite where it is so large that a row is like others by chance.
    """
    directions = np.random.RandomState(0).normal(size=(len(unit), N_PROJECTIONS))
    directions /= np.linalg.norm(directions, axis=0)
    each = [_positions(parts, unit, directions) for parts in _walk(X, take_apart)]
    where, tolerance = (np.concatenate(arrays) for arrays in zip(*each, strict=True))
    return where, tolerance


def _positions(parts: Parts, unit: np.ndarray, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    numbers = parts.numbers
    with np.errstate(over="ignore", invalid="ignore"):
        if not isinstance(numbers, np.ndarray):
            scaled = numbers.multiply(1 / unit).tocsr()
            squares = np.asarray(scaled.multiply(scaled).sum(axis=1)).ravel()
        else:
            scaled = numbers / unit
            squares = np.einsum("ij,ij->i", scaled, scaled)
        tolerance = ROUNDING / CELL * np.sqrt(1 + squares / len(unit))
        cells = scaled @ directions / CELL
        tolerance[~(tolerance < WIDEST)] = np.inf
        cells[~np.isfinite(tolerance)] = 0
    odd = 2 * np.random.RandomState(1).randint(2**63, size=N_PROJECTIONS, dtype=np.uint64) + np.uint64(1)
    moved = ((parts.others[:, np.newaxis] * odd) >> np.uint64(32)).astype(np.uint32)
    where = np.floor((cells - np.floor(cells)) * _STEPS).astype(np.uint64).astype(np.uint32)  # 2**32 is 0 again
    return where + moved, tolerance


def _walk(X, take_apart: Callable[..., Parts]) -> Iterator[Parts]:
    n_rows = X.shape[0]
    row_bytes = 16 * X.nnz // n_rows if sparse.issparse(X) else 8 * X.shape[1]
    for part in slices(n_rows, row_bytes):
        yield take_apart(_safe_indexing(X, part))


def narrowed(where: np.ndarray, tolerance: np.ndarray) -> float:
    """Return by what to multiply tolerances so that different rows are not like each other: at most 1.

    A thousandth of the rows, and two, may be: they may be the same up to rounding themselves.
    """
    where, tolerance = where[np.isfinite(tolerance)], tolerance[np.isfinite(tolerance)]
    if len(where) < 2:
        return 1.0
    distance = _tree(where).query(where / _STEPS, k=2, p=np.inf, distance_upper_bound=WIDEST)[0][:, 1]
    nearest = np.sort(distance / tolerance)
    return float(min(1.0, nearest[min(len(nearest) - 1, 2 + len(nearest) // 1000)] / 4))


def alike(where: np.ndarray, given: np.ndarray, tolerance: np.ndarray) -> np.ndarray:
    """Return which of the rows at ``where`` is nearest to each one given, (n,) int, -1 beyond its tolerance."""
    if len(given) > FEW:
        distance, nearest = _tree(where).query(given / _STEPS, p=np.inf, distance_upper_bound=WIDEST)
    else:
        each = [_distance(where, row) for row in given]
        distance, nearest = np.array([row.min() for row in each]), np.array([row.argmin() for row in each])
    return np.where(np.isfinite(tolerance) & (distance <= tolerance), nearest, -1)


def _tree(where: np.ndarray) -> KDTree:
    return KDTree(where / _STEPS, boxsize=1.0)


def _distance(where: np.ndarray, row: np.ndarray) -> np.ndarray:
    """Return the distance of one row from others, as that of the tree: cells have no edge."""
    return np.minimum(where - row, row - where).max(axis=1) / _STEPS  # uint32: differences wrap around
