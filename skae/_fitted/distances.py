"""How far rows lie from a Gaussian that is fitted to others: Mahalanobis distances, and what each column adds.

With m the mean and C the covariance of the rows that the Gaussian is fitted to, S = C + ridge I, and d = x - m::

    squared distance of x                                d' S^-1 d
    by how much it falls when column j of x is free      (S^-1 d)_j^2 / (S^-1)_jj

A row that has helped to estimate C lies too close, the more so the fewer rows there are. `left_out` is the distance
from the Gaussian of the others, in closed form (the formula of Sherman and Morrison).
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .._data.chunks import fold

RIDGE = 0.02
MOST_COLUMNS = 2048  # beyond them, a matrix of columns by columns is too large: columns count one by one


class Gaussian(NamedTuple):
    """What distances are measured from, as plain arrays.

    Attributes
    ----------
    mean : ndarray of shape (d,)
    root : ndarray of shape (d, d) or (d,)
        S^-1 is ``root @ root.T``; (d,) is a diagonal.
    n_rows : int
        How many rows it is fitted to.
    """

    mean: np.ndarray
    root: np.ndarray
    n_rows: int


def fit_gaussian(parts: Iterable[Tensor], ridge: float = RIDGE) -> Gaussian:
    """Fit a Gaussian to rows, which come in parts of shape (n, d), float64; there are at least two rows."""

    def moments(rows: Tensor) -> tuple[Tensor, ...]:
        square = rows.square().sum(0) if rows.shape[1] > MOST_COLUMNS else rows.mT @ rows
        return torch.tensor(len(rows)), rows.sum(0), square

    n, total, square = fold(map(moments, parts), torch.add, torch.add, torch.add)
    mean = total / n
    if square.ndim == 1:
        variance = ((square - n * mean.square()) / (n - 1)).clamp_(min=0) + ridge
        return Gaussian(mean.numpy(), variance.rsqrt().numpy(), int(n))
    covariance = (square - n * torch.outer(mean, mean)) / (n - 1)
    covariance.diagonal().clamp_(min=0).add_(ridge)
    factor = torch.linalg.cholesky(covariance)
    root = torch.linalg.solve_triangular(factor, torch.eye(len(mean), dtype=factor.dtype), upper=False)
    return Gaussian(mean.numpy(), root.mT.contiguous().numpy(), int(n))


def squared_distance(gaussian: Gaussian, rows: Tensor) -> Tensor:
    """Return the squared distance of each row, (n,)."""
    return _whiten(gaussian, rows).square().sum(1)


def left_out(squared: Tensor, n_rows: int) -> Tensor:
    """Return what squared distances of rows that the Gaussian is fitted to were if it did not know the row.

    The ridge and the divisor of the covariance stay as they are.
    """
    share = n_rows / (n_rows - 1)
    return share**2 * squared / (1 - share * squared / (n_rows - 1))


def fall_when_free(gaussian: Gaussian, rows: Tensor) -> Tensor:
    """Return by how much the squared distance falls when one column is free to take any value, (n, d)."""
    root = torch.from_numpy(gaussian.root)
    if root.ndim == 1:
        return _whiten(gaussian, rows).square()
    return (_whiten(gaussian, rows) @ root.mT).square_().div_(root.square().sum(1))


def _whiten(gaussian: Gaussian, rows: Tensor) -> Tensor:
    deviation, root = rows - torch.from_numpy(gaussian.mean), torch.from_numpy(gaussian.root)
    return deviation * root if root.ndim == 1 else deviation @ root
