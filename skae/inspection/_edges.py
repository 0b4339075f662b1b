"""Where bars of histograms begin and end: none is on both sides of a threshold."""

import math

import numpy as np

_THINNEST = 0.01  # of a bar of p-values


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
