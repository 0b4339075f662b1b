"""Conformal p-values: how many of the rows that a model has not seen are as odd as a new one.

With n such rows, the p-value of a row is (1 + how many of them are at least as odd) / (n + 1). Of a row that is
exchangeable with them, it is at most alpha with a probability of at most alpha, whatever the model
(V. Vovk, A. Gammerman and G. Shafer 2005, Algorithmic Learning in a Random World, Springer).
"""

import math
from collections.abc import Callable

import numpy as np
from scipy.stats import false_discovery_control

from .._support.warnings import warn


def p_values(oddness: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Return the p-value of each row by the oddness, sorted, of ``reference`` rows; NaN of NaN."""
    as_odd = len(reference) - np.searchsorted(reference, oddness, side="left")
    return np.where(np.isnan(oddness), np.nan, (1 + as_odd) / (1 + len(reference)))


def smallest(n_reference: int) -> float:
    """Return the smallest p-value that there can be, with so many rows to compare with."""
    return 1 / (1 + n_reference)


def rows_needed(alpha: float) -> int:
    """Return how many rows to compare with it takes for p-values of at most ``alpha``."""
    return math.ceil((1 - 1e-12) / alpha) - 1


def threshold(reference: np.ndarray, alpha: float) -> float:
    """Return the largest oddness with a p-value above ``alpha``: infinity, if all p-values are."""
    n = len(reference)
    n_allowed = math.floor(alpha * (1 + n))
    while (n_allowed + 1) / (1 + n) <= alpha:  # as p-values are rounded
        n_allowed += 1
    while n_allowed / (1 + n) > alpha:
        n_allowed -= 1
    return float(reference[-n_allowed]) if n_allowed else math.inf


def select(p: np.ndarray, alpha: float, n_reference: int, n_to_fit: Callable[[int], int] = int) -> np.ndarray:
    """Choose rows so that a share of at most ``alpha`` of them is expected to be normal (Benjamini, Hochberg).

    Warns where p-values cannot be small enough to choose any row; ``n_to_fit`` tells how many training rows there
    have to be for so many rows to compare with.
    """
    chosen = false_discovery_control(p, method="bh") <= alpha
    least = smallest(n_reference)
    n_odd = int((p <= least * (1 + 1e-9)).sum())
    if len(p) and not chosen.any() and (n_odd or least > alpha):
        level = alpha * max(1, n_odd) / len(p)
        warn(
            f"No row can be selected: with {n_reference} rows to compare with, the smallest p-value is "
            f"{least:.3g}, which {n_odd} of the {len(p)} rows have; to select so many it would have to be at "
            f"most alpha * {max(1, n_odd)} / {len(p)} = {level:.3g}. Fit to at least "
            f"{n_to_fit(rows_needed(level))} rows, raise alpha, or select among fewer rows."
        )
    return chosen
