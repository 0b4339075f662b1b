"""How far rows lie from a Gaussian that is fitted to others: Mahalanobis distances, and what each column adds.

With m the mean of the rows that the Gaussian is fitted to, C their covariance, shrunk towards a multiple of the
identity, and S = C + ridge I, a row x has, with d = x - m::

    squared distance                                     d' S^-1 d
    by how much it falls when column j of x is free      (S^-1 d)_j^2 / (S^-1)_jj
    where column j then is                               x_j - (S^-1 d)_j / (S^-1)_jj

A row that has helped to estimate C lies too close, the more so the fewer rows there are. `left_out` is the
distance from the Gaussian of the others, in closed form (the formula of Sherman and Morrison).
"""

import itertools
import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch
from scipy.stats import chi2
from torch import Tensor

from .._data.arrays import as_tensor
from .._data.chunks import fold

CLOSEST = 0.75  # the share of rows that outliers are not among
N_CONCENTRATIONS = 3
TINY = 1e-6
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
    share : float
        What is left of their covariance after shrinking it.
    """

    mean: np.ndarray
    root: np.ndarray
    n_rows: int
    share: float


def fit_gaussian(parts: Iterable[Tensor], ridge: float) -> Gaussian:
    """Fit a Gaussian to rows, which come in parts of shape (n, d), float64; there are at least two rows.

    The covariance is shrunk as Ledoit and Wolf (2004) do.
    """
    parts = iter(parts)
    first = next(parts)
    centre = first.mean(0)  # near the mean, so that nothing cancels

    def moments(rows: Tensor) -> tuple[Tensor, ...]:
        rows = rows - centre
        squares = rows.square()
        second = squares.sum(0) if rows.shape[1] > MOST_COLUMNS else rows.mT @ rows
        return torch.tensor(len(rows)), rows.sum(0), second, squares.sum(1).square().sum()

    each = map(moments, itertools.chain([first], parts))
    n, total, second, fourth = fold(each, torch.add, torch.add, torch.add, torch.add)
    n_rows, mean = int(n), total / n
    if second.ndim == 1:
        variance = ((second - n * mean.square()) / (n - 1)).clamp_(min=0) + ridge
        return Gaussian((centre + mean).numpy(), variance.rsqrt().numpy(), n_rows, 1.0)
    covariance = (second - n * torch.outer(mean, mean)) / (n - 1)
    level, share = _shrink(covariance, float(fourth) / n_rows, n_rows)
    covariance.mul_(share).diagonal().add_((1 - share) * level + ridge)
    factor = torch.linalg.cholesky(covariance)
    root = torch.linalg.solve_triangular(factor, torch.eye(len(mean), dtype=factor.dtype), upper=False)
    return Gaussian((centre + mean).numpy(), root.mT.contiguous().numpy(), n_rows, share)


def fit_to_closest(rows: Tensor, ridge: float) -> Gaussian:
    """Fit a Gaussian to the three quarters of rows (n, d) that lie closest together: outliers do not widen it.

    They are found by the concentration steps of Rousseeuw and Van Driessen (1999), which start at all rows, and at
    the half that is closest to the median, column by column; the smaller of the two Gaussians is taken. Its
    covariance is raised to what it would be of all rows of a normal distribution. ``ridge`` is a share of the mean
    variance of all rows, for where most rows are the same.
    """
    n = len(rows)
    variances = rows.var(0)
    ridge = ridge * float(variances.mean()) + TINY
    median = rows.median(0).values
    spread = (rows - median).abs().median(0).values.square() + 1e-3 * variances + TINY
    central = ((rows - median).square() / spread).sum(1).argsort(stable=True)[: max(2, n // 2)]
    found = [_concentrate(rows, fit_gaussian([start], ridge), ridge) for start in (rows, rows[central])]
    smaller = min(found, key=_log_volume)
    return smaller._replace(root=smaller.root * math.sqrt(_share_of_variance(rows.shape[1])))


def _concentrate(rows: Tensor, gaussian: Gaussian, ridge: float) -> Gaussian:
    n_kept = max(2, math.ceil(CLOSEST * len(rows)))
    for _ in range(N_CONCENTRATIONS):
        kept = squared_distance(gaussian, rows).argsort(stable=True)[:n_kept]
        gaussian = fit_gaussian([rows[kept]], ridge)
    return gaussian


def _log_volume(gaussian: Gaussian) -> float:
    root = gaussian.root
    return -float(np.log(root if root.ndim == 1 else root.diagonal()).sum())


def _share_of_variance(n_columns: int) -> float:
    """Return what share of their variance normal rows keep where only those closest to the mean are kept."""
    within = chi2.cdf(chi2.ppf(CLOSEST, n_columns), n_columns + 2)
    return float(within / CLOSEST)


def _shrink(covariance: Tensor, fourth: float, n_rows: int) -> tuple[float, float]:
    """Return the mean variance, and the share of the covariance to keep; ``fourth`` is the mean of |d|^4."""
    level = float(covariance.diagonal().clamp_(min=0).mean())
    size = float(covariance.square().sum())
    spread = size - len(covariance) * level**2  # squared distance from the multiple of the identity
    noise = (fourth - size) / n_rows  # expected squared error of the covariance
    return level, 1.0 if spread <= 0 else 1.0 - min(max(noise, 0.0), spread) / spread


def squared_distance(gaussian: Gaussian, rows: Tensor) -> Tensor:
    """Return the squared distance of each row, (n,)."""
    return _whiten(gaussian, rows).square().sum(1)


def left_out(gaussian: Gaussian, rows: Tensor, as_new: Tensor) -> Tensor:
    """Return the squared distance of ``as_new`` from a Gaussian that does not know ``rows``, each on its own.

    It is fitted to ``rows``, among others. What is added to the covariance, the share that is left of it and its
    divisor stay as they are.
    """
    own, new, weight = _without(gaussian, rows, as_new)
    return new.square().sum(1) + weight[:, 0] * (own * new).sum(1).square()


def fall_when_free(gaussian: Gaussian, rows: Tensor, known: Tensor | None = None) -> Tensor:
    """Return by how much the squared distance falls when one column is free to take any value, (n, d).

    The distance is that from a Gaussian that does not know the rows ``known``, each on its own, if there are any.
    """
    pull, precision = _pull(gaussian, rows, known)
    return pull.square_().div_(precision)


def beyond(gaussian: Gaussian, rows: Tensor, known: Tensor | None = None) -> Tensor:
    """Return by how much each column is above the value that it takes when it is free, (n, d)."""
    pull, precision = _pull(gaussian, rows, known)
    return pull.div_(precision)


def along(
    gaussian: Gaussian, rows: Tensor, directions: Tensor, known: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return half the slope of the squared distance along m directions, (n, m, d), and half its curvature, (n, m).

    ``known`` is as for `fall_when_free`.
    """
    root = as_tensor(gaussian.root)
    white = directions * root if root.ndim == 1 else directions @ root
    if known is None:
        return (white * _whiten(gaussian, rows)[:, None]).sum(2), white.square().sum(2)
    own, new, weight = _without(gaussian, known, rows)
    on_own = (white * own[:, None]).sum(2)
    slope = (white * new[:, None]).sum(2) + weight * on_own * (own * new).sum(1, keepdim=True)
    return slope, white.square().sum(2) + weight * on_own.square()


def _pull(gaussian: Gaussian, rows: Tensor, known: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return S^-1 d of each row, (n, d), and the diagonal of S^-1, (d,) or of each row, (n, d)."""
    root = as_tensor(gaussian.root)

    def from_white(rows: Tensor) -> Tensor:
        return rows * root if root.ndim == 1 else rows @ root.mT

    precision = root.square() if root.ndim == 1 else root.square().sum(1)
    if known is None:
        return from_white(_whiten(gaussian, rows)), precision
    own, new, weight = _without(gaussian, known, rows)
    pull = from_white(new + weight * own * (own * new).sum(1, keepdim=True))
    return pull, precision + weight * from_white(own).square()


def _without(gaussian: Gaussian, known: Tensor, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return ``known``, (n, d), whitened, ``rows`` likewise, less the mean of the others, and weights, (n, 1).

    Without a known row, whitened k, the inverse of the covariance is that of white rows, I, plus weight * k k'.
    """
    n = gaussian.n_rows
    own = _whiten(gaussian, known)
    new = _whiten(gaussian, rows) + own / (n - 1)
    weight = gaussian.share * n / (n - 1) ** 2
    return own, new, weight / (1 - weight * own.square().sum(1, keepdim=True))


def _whiten(gaussian: Gaussian, rows: Tensor) -> Tensor:
    deviation, root = rows - as_tensor(gaussian.mean), as_tensor(gaussian.root)
    return deviation * root if root.ndim == 1 else deviation @ root
