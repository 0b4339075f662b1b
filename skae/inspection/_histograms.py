"""Histograms: bars by labels, and where they end: none is on both sides of a threshold."""

import math
from typing import Any

import numpy as np

from ._groups import for_bars

_THINNEST = 0.01  # of a bar of p-values
_EXACT = 2**50  # halves of integers up to this are numbers of double precision


def edges_at(low: float, high: float, bins: int, threshold: float) -> np.ndarray:
    """Return the edges of ``bins`` bars, one of them at a threshold between the ends, if it is there."""
    if not low < threshold < high or bins < 2:
        return np.union1d(np.linspace(low, high, bins + 1), [threshold] if low < threshold < high else [])
    left = min(max(round(bins * (threshold - low) / (high - low)), 1), bins - 1)
    return np.r_[np.linspace(low, threshold, left + 1)[:-1], np.linspace(threshold, high, bins - left + 1)]


def edges_of_p_values(bins: int, rate: float | None) -> np.ndarray:
    """Return the edges of bars from 0 to 1, ``bins`` or more, so that one is at the rate of false alarms."""
    if rate is None:
        return np.linspace(0, 1, bins + 1)
    width = rate / math.ceil(rate * bins)
    if width < _THINNEST:
        return np.union1d(np.linspace(0, 1, bins + 1), [rate])
    n = math.ceil(1 / width - 1e-9)  # the last one may be thinner
    return np.r_[np.arange(n) * width, 1.0]


def edges_of(values: np.ndarray, bins: int) -> np.ndarray:
    """Return the edges of ``bins`` bars or fewer; of integers, each bar has room for as many of them."""
    low, high = values.min(), values.max()
    if not np.array_equal(values, np.round(values)) or max(-low, high) > _EXACT:
        return np.histogram_bin_edges(values, bins)
    n_values = -(-(high - low + 1) // bins)  # in a bar
    return low - 0.5 + n_values * np.arange(-(-(high - low + 1) // n_values) + 1)


def histogram(ax, values: np.ndarray, edges: np.ndarray, labels: Any, hist_kw: dict | None) -> None:
    """Draw a histogram, stacked by labels if there are any; that of values without a label is grey."""
    options, parts = {"stacked": True, **(hist_kw or {})}, [values]
    if labels is not None:
        groups = for_bars(labels)
        parts = [values[group.rows] for group in groups]
        options = {"label": [g.name for g in groups], "color": [g.colour for g in groups], **options}
    ax.hist(parts, edges, **options)
