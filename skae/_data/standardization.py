"""Rows in units of their columns' standard deviations."""

import numpy as np
import torch
from scipy import sparse

from . import arrays
from .chunks import chunks, column_statistics


def column_scales(X) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and unit of each column of validated rows: the standard deviation, if the column varies.

    A constant column is its own unit, or one if it is zero.
    """
    deviation, lowest, highest, mean = (np.asarray(a, float) for a in column_statistics(arrays.to_torch(X)))
    constant = np.where(lowest == 0, 1.0, np.abs(lowest))
    return mean, np.where((highest > lowest) & (deviation > 0), deviation, constant)


def standardized(X, mean: np.ndarray, scale: np.ndarray):
    """Return validated rows in these units, in single precision: dense ones centred, sparse ones not."""
    if sparse.issparse(X):
        return sparse.csr_array(X @ sparse.diags_array(1 / scale)).astype(np.float32)
    result = np.empty(X.shape, np.float32)
    centre, unit = torch.from_numpy(mean), torch.from_numpy(scale)
    for part, rows in chunks(arrays.to_torch(X)):
        result[part] = ((rows - centre) / unit).numpy()
    return result
