"""Columns in different units: their means and standard deviations, in which bars are drawn."""

import warnings

import numpy as np
from scipy import sparse
from sklearn.utils.sparsefuncs import mean_variance_axis

from ._drawing import MOST_BARS
from ._rows import to_numpy

_LEAST_ROWS = 10
_LARGEST_RATIO = 10  # of standard deviations, within which bars can be compared as they are
_ROUNDING = 1e-12


def scales_of(X) -> tuple[np.ndarray, np.ndarray] | None:
    """Return means and standard deviations of columns whose scales differ much.

    None where they do not, or where there are too few rows to tell, columns that are no numbers, or so many that
    lines are drawn. The deviation of a constant column is infinite: no bar shows it.
    """
    n_rows, n_features = np.shape(X)
    if n_rows < _LEAST_ROWS or n_features > MOST_BARS:
        return None
    try:
        mean, deviation = _moments(X)
    except (TypeError, ValueError):  # texts, or missing values among objects
        return None
    varies = deviation > _ROUNDING * np.abs(mean)
    if not varies.any() or deviation[varies].max() <= _LARGEST_RATIO * deviation[varies].min():
        return None
    return mean, np.where(varies, deviation, np.inf)


def _moments(X) -> tuple[np.ndarray, np.ndarray]:
    if sparse.issparse(X):
        mean, variance = mean_variance_axis(X.tocsr().astype(np.float64), axis=0)
        return mean, np.sqrt(variance)
    rows = to_numpy(X).astype(np.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of columns without any value
        return np.nanmean(rows, axis=0), np.nanstd(rows, axis=0)
