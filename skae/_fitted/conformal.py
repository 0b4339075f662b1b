"""Conformal p-values: how many of the rows that a model has not seen are as odd as a new one.

With n such rows, the p-value of a row is (1 + how many of them are at least as odd) / (n + 1). Of a row that is
exchangeable with them, it is at most alpha with a probability of at most alpha, whatever the model
(V. Vovk, A. Gammerman and G. Shafer 2005, Algorithmic Learning in a Random World, Springer).
"""

import math

import numpy as np
from scipy.stats import false_discovery_control

from .._support.warnings import warn


def p_values(oddness: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Return the p-value of each row by the oddness, sorted, of ``reference`` rows."""
    as_odd = len(reference) - np.searchsorted(reference, oddness, side="left")
    return (1 + as_odd) / (1 + len(reference))


def threshold(reference: np.ndarray, alpha: float) -> float:
    """Return the largest oddness with a p-value above ``alpha``; if there is no other, above the smallest."""
    n_allowed = max(1, math.floor(alpha * (1 + len(reference)) * (1 + 1e-12)))
    return float(reference[-n_allowed])


def select(p: np.ndarray, alpha: float, n_reference: int) -> np.ndarray:
    """Choose rows so that a share of at most ``alpha`` of them is expected to be normal (Benjamini, Hochberg).

    Warns where p-values cannot be small enough to choose any row.
    """
    chosen = false_discovery_control(p, method="bh") <= alpha
    smallest = 1 / (1 + n_reference)
    n_odd = int((p <= smallest * (1 + 1e-9)).sum())
    if len(p) and not chosen.any() and (n_odd or smallest > alpha):
        needed = math.ceil(len(p) / (alpha * max(1, n_odd))) - 1
        warn(
            f"No row can be selected: with {n_reference} rows to compare with, the smallest p-value is "
            f"{smallest:.3g}, which {n_odd} of the {len(p)} rows have; to select so many it would have to be at "
            f"most alpha * {max(1, n_odd)} / {len(p)} = {alpha * max(1, n_odd) / len(p):.3g}. Fit to at least "
            f"{needed} rows, raise alpha, or select among fewer rows."
        )
    return chosen
