"""Telling whether rows are those that a model was fitted to, without keeping them."""

from typing import Any

import joblib
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _num_samples

from .chunks import slices

Fingerprint = tuple[int, str, str]


def fingerprint(X) -> Fingerprint:
    """Return how many rows there are, a hash of three of them, and one of all; of any container of rows."""
    parts = [_hash(_safe_indexing(X, part)) for part in slices(_num_samples(X), 8 * X.shape[1])]
    return _num_samples(X), _of_three(X), joblib.hash(parts)


def has_fingerprint(X, of_fit: tuple | None, *, in_all: bool = False) -> bool:
    """Tell whether rows are those of a fingerprint, by three of them or all; None stands for the lack of one.

    Fingerprints of older files do not know all rows.
    """
    if of_fit is None or _num_samples(X) != of_fit[0] or _of_three(X) != of_fit[1]:
        return False
    return not in_all or fingerprint(X) == tuple(of_fit)


def _of_three(X) -> str:
    n = _num_samples(X)
    return _hash(_safe_indexing(X, sorted({0, n // 2, n - 1})))


def _hash(rows: Any) -> str:
    return joblib.hash(rows.detach().cpu().numpy() if hasattr(rows, "detach") else rows, coerce_mmap=True)
