"""Rows in whatever container they come: chosen by number, and as arrays; labels of rows, some of them missing."""

from numbers import Integral, Real

import numpy as np
from scipy import sparse
from sklearn.utils import _safe_indexing
from torch import Tensor

from .._data.tables.frames import is_missing, library_of
from .._support.texts import first_of
from ._texts import shortened


def to_numpy(X):
    """Turn rows of any container into a dense ndarray; None stays None."""
    if X is None or sparse.issparse(X):
        return X if X is None else X.toarray()
    return X.detach().cpu().numpy() if isinstance(X, Tensor) else np.asarray(X)


def row_numbers(rows, n_rows: int, X=None) -> np.ndarray:
    """Return the numbers of chosen rows, given as such, as a mask of all of them, or as labels of X's index."""
    rows = np.asarray(rows)
    index, chosen = X.index if library_of(X) == "pandas" else (), rows.ravel().tolist()
    if chosen and all(isinstance(row, str) for row in chosen) and any(isinstance(label, str) for label in index):
        return _numbers_of_labels(chosen, index)
    if rows.dtype == bool:
        if rows.shape != (n_rows,):
            raise ValueError(f"rows is a mask of shape {rows.shape}, but X has {n_rows} rows: one entry for each.")
        return np.flatnonzero(rows)
    if rows.size and rows.dtype.kind not in "iu":
        raise ValueError(
            f"rows holds {rows.ravel()[0]!r}, of dtype {rows.dtype}, but rows are chosen by their places in X, "
            "integers from 0, by a mask, booleans, or by strings in the index of a pandas frame."
        )
    numbers = rows.ravel().astype(int)
    for number in numbers[(numbers < -n_rows) | (numbers >= n_rows)]:
        raise ValueError(
            f"rows has {number}, but X has {n_rows} rows, from 0 to {n_rows - 1}, whatever its index."
        )
    return numbers % n_rows


def _numbers_of_labels(labels: list[str], index) -> np.ndarray:
    places: dict = {}
    for number, label in enumerate(index):
        places.setdefault(label, []).append(number)
    for label in labels:
        found = places.get(label, ())
        if len(found) != 1:
            has = f"rows {first_of(found)} have" if found else f"none has: it holds {first_of([*index])}"
            raise ValueError(
                f"rows has {label!r}, a label that one row must have in the index of X, but {has}. Pass labels "
                "that are there once, or places of rows in X, integers from 0."
            )
    return np.array([places[label][0] for label in labels])


def names_of_rows(X, numbers: np.ndarray, longest: int) -> list[str]:
    """Return what rows are called: by the index of a frame of pandas too, where that is not their numbers."""
    names = [f"row {number}" for number in numbers]
    if library_of(X) != "pandas" or [*X.index] == [*range(len(X))]:
        return names
    labels = [X.index[number] for number in numbers]  # of an index of several levels, tuples
    labels = [", ".join(map(str, label)) if isinstance(label, tuple) else str(label) for label in labels]
    return [f"index {shortened(label, longest)} ({name})" for label, name in zip(labels, names, strict=True)]


def take(X, index):
    """Return rows by number or slice, in their own container."""
    return _safe_indexing(X.tocsr() if sparse.issparse(X) else X, index)


def labels_of(y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the labels of rows, and a mask of those that are there.

    Labels are numbers where all that are there are; other objects become text, since these may have no order. What
    stands at missing ones means nothing.
    """
    if y.dtype.kind in "Mm":
        return y.astype(str), ~np.isnat(y)
    if y.dtype.kind != "O":
        return y, ~np.isnan(y) if y.dtype.kind == "f" else np.ones(len(y), dtype=bool)
    known = np.array([not is_missing(label) for label in y], dtype=bool)
    seen = y[known].tolist()
    are_real = all(isinstance(label, Real) and not isinstance(label, bool | np.bool_) for label in seen)
    if not seen or not are_real or (found := np.asarray(seen)).dtype.kind not in "iuf":
        return y.astype(str), known
    numbers = np.zeros(len(y), dtype=found.dtype)
    numbers[known] = found
    return numbers, known


def rows_to_explain(rows, scores: np.ndarray, X=None) -> np.ndarray:
    """Return the numbers of the rows to explain, the oddest first unless they are given one by one."""
    if not isinstance(rows, Integral):
        numbers = row_numbers(rows, len(scores), X)
        is_mask = np.asarray(rows).dtype == bool
        return numbers[np.argsort(scores[numbers], kind="stable")] if is_mask else numbers
    if rows < 0:
        raise ValueError(
            f"rows={rows} must be at least 0, the number of rows to explain. Pass [{rows}] for one row."
        )
    return np.argsort(scores, kind="stable")[:rows]


def rows_and_labels(estimator, X, y):
    """Return rows and labels; labels may be named, as a column of a data frame that was there in `fit` or not."""
    if not isinstance(y, str):
        return X, y
    names = [*getattr(X, "columns", ())]
    if y not in names:
        known = f"X has the columns {first_of(names)}" if names else "X is no data frame"
        raise ValueError(f"y={y!r} names no column: {known}. Give a column's name, or a value for each row.")
    is_feature = y in getattr(getattr(estimator, "best_estimator_", estimator), "feature_names_in_", [y])
    return X if is_feature else X[[name for name in names if name != y]], X[y]
