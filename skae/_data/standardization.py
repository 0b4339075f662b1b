"""Rows in units of their columns' standard deviations."""

from typing import NamedTuple

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from . import arrays
from .chunks import chunks, column_statistics
from .magnitude import SMALLEST, check_columns

SHARE_OF_CONSTANT = 1e-4  # that is the unit of a column that does not vary


class Standardization(NamedTuple):
    """Mean and unit of each column: the standard deviation, if the column varies.

    That of a constant column is one if it is zero, else a ten-thousandth of its value: another value, such as the
    next year, is far away, and float32's rounding of the same one is not.

    Attributes
    ----------
    mean, scale : ndarray of shape (n_features,)
    n_rows : int
        How many rows have been measured.
    """

    mean: np.ndarray
    scale: np.ndarray
    n_rows: int

    @classmethod
    def measure(cls, X) -> "Standardization":
        """Measure validated rows.

        Raises
        ------
        ValueError
            If numbers are so large or small that their squares cannot be represented.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            measured = column_statistics(arrays.to_torch(X))
        deviation, lowest, highest, mean = (np.asarray(a, float) for a in measured)
        check_columns(deviation, lowest, highest)
        varies = (highest > lowest) & (deviation > 0)
        return cls(mean, np.where(varies, deviation, _unit_of_constant(mean)), X.shape[0])

    def __call__(self, X):
        """Return validated rows in these units, in single precision: dense ones centred, sparse ones not."""
        if sparse.issparse(X):
            return sparse.csr_array(X @ sparse.diags_array(1 / self.scale)).astype(np.float32)
        result = np.empty(X.shape, np.float32)
        for part, rows in chunks(arrays.to_torch(X)):
            result[part] = self._standardized(rows).numpy()
        return result

    def as_new(self, rows: Tensor) -> Tensor:
        """Return measured rows where rows would lie that have not been measured, each on its own; float64.

        They are as far from the mean, in units of the deviation, as each is from that of the other rows.
        """
        n, mean, scale = self.n_rows, arrays.as_tensor(self.mean), arrays.as_tensor(self.scale)
        z = self._standardized(rows)
        left = (1 - z.square() / (n - 1)).clamp_(min=0)  # of the variance, without the row
        constant = torch.from_numpy(_unit_of_constant(((n * mean - rows.double()) / (n - 1)).numpy())) / scale
        deviation = torch.where(left > 1e-9, (left * (n / (n - 1))).sqrt(), constant)
        return z.mul_(n / (n - 1)).div_(deviation).mul_(scale).add_(mean)

    def _standardized(self, rows: Tensor) -> Tensor:
        return rows.cpu().double().sub(arrays.as_tensor(self.mean)).div_(arrays.as_tensor(self.scale))


def _unit_of_constant(value: np.ndarray) -> np.ndarray:
    unit = SHARE_OF_CONSTANT * np.abs(value)
    return np.where(unit < SMALLEST, 1.0, unit)
