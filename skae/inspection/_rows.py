"""Rows in whatever container they come: chosen by number, and as arrays."""

import numpy as np
from scipy import sparse
from sklearn.utils import _safe_indexing
from torch import Tensor


def to_numpy(X):
    """Turn rows of any container into a dense ndarray; None stays None."""
    if X is None or sparse.issparse(X):
        return X if X is None else X.toarray()
    return X.detach().cpu().numpy() if isinstance(X, Tensor) else np.asarray(X)


def row_numbers(rows, n_rows: int) -> np.ndarray:
    """Return the numbers of chosen rows, given as such or as a mask of all of them."""
    rows = np.asarray(rows)
    if rows.dtype == bool:
        if rows.shape != (n_rows,):
            raise ValueError(f"rows is a mask of shape {rows.shape}, but X has {n_rows} rows: one entry for each.")
        return np.flatnonzero(rows)
    if rows.size and rows.dtype.kind not in "iu":
        raise ValueError(
            f"rows holds {rows.ravel()[0]!r}, of dtype {rows.dtype}, but rows are chosen by their places in X, "
            "integers from 0, or by a mask, booleans."
        )
    numbers = rows.ravel().astype(int)
    for number in numbers[(numbers < -n_rows) | (numbers >= n_rows)]:
        raise ValueError(
            f"rows has {number}, but X has {n_rows} rows, from 0 to {n_rows - 1}, whatever its index."
        )
    return numbers % n_rows


def take(X, index):
    """Return rows by number or slice, in their own container."""
    return _safe_indexing(X.tocsr() if sparse.issparse(X) else X, index)
