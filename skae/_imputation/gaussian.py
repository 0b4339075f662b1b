"""A multivariate normal distribution of rows with missing entries: fitted by EM, and conditioned on what is known.

Everything is in float64 and in the precision form: given the observed entries of a row, the missing ones have the
covariance ``inv(P[m, m])``, with P the inverse covariance. What rows with the same entries missing share is
computed once for all of them.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .._data.chunks import slices


class Gaussian(NamedTuple):
    """A multivariate normal distribution: mean of shape (d,) and covariance of shape (d, d), float64."""

    mean: Tensor
    covariance: Tensor


class Group(NamedTuple):
    """Rows whose sets of missing columns are of about the same size.

    Attributes
    ----------
    columns : int64 Tensor of shape (n_patterns, m)
        Numbers of the missing columns of each pattern, then ``d`` for those that have fewer than m.
    rows : int64 Tensor of shape (n,)
        Numbers of the rows.
    pattern : int64 Tensor of shape (n,)
        Which pattern each row has.
    of_rows : int64 Tensor of shape (n, m)
        ``columns[pattern]``.
    """

    columns: Tensor
    rows: Tensor
    pattern: Tensor
    of_rows: Tensor


class Patterns:
    """The sets of columns that are missing together, and which rows have which, in groups of bounded memory.

    Parameters
    ----------
    observed : bool Tensor of shape (n, d)
    """

    def __init__(self, observed: Tensor) -> None:
        packed = np.packbits(observed.numpy(), axis=1)
        _, first, inverse = np.unique(packed, axis=0, return_index=True, return_inverse=True)
        missing = ~observed[torch.from_numpy(first)]
        # Sorted by how many entries are missing, so that little is padded.
        order = missing.sum(1).argsort(stable=True)
        rank = torch.empty_like(order)
        rank[order] = torch.arange(len(order))
        pattern = rank[torch.from_numpy(inverse).view(-1)]
        self.groups = list(_groups(missing[order], pattern))


def _groups(missing: Tensor, pattern: Tensor) -> Iterator[Group]:
    """Cut patterns (n_patterns, d) into groups, with the rows that have them."""
    rows = pattern.argsort(stable=True)
    counts = torch.bincount(pattern, minlength=len(missing))
    ends = [0, *counts.cumsum(0).tolist()]
    n_missing = missing.sum(1)
    widest = int(n_missing[-1]) if len(missing) else 0
    for part in slices(len(missing), 8 * max(1, widest) ** 2):
        here = missing[part]
        columns = torch.full((len(here), int(n_missing[part].max())), missing.shape[1])
        number, column = here.nonzero(as_tuple=True)
        columns[number, here.cumsum(1)[number, column] - 1] = column
        numbers = torch.arange(len(here)).repeat_interleave(counts[part])
        of_part = rows[ends[part.start] : ends[part.stop]]
        yield Group(columns, of_part, numbers, columns[numbers])


class Conditional(NamedTuple):
    """The missing entries of a group of rows, given the observed ones.

    Attributes
    ----------
    covariance : Tensor of shape (n_patterns, m, m)
        The identity where there is no column.
    mean : Tensor of shape (n, m)
        Zero where there is no column.
    log_likelihood : Tensor of shape (n,)
        Log-density of the observed entries, in nats.
    """

    covariance: Tensor
    mean: Tensor
    log_likelihood: Tensor


def condition(gaussian: Gaussian, x: Tensor, patterns: Patterns) -> Iterator[tuple[Group, Conditional]]:
    """Walk over rows (n, d), group by group; what ``x`` has where an entry is missing is not read."""
    d = len(gaussian.mean)
    precision = torch.zeros(d + 1, d + 1, dtype=torch.float64)
    root = torch.linalg.cholesky(gaussian.covariance)
    precision[:d, :d] = torch.cholesky_inverse(root)
    padded_mean = torch.cat([gaussian.mean, gaussian.mean.new_zeros(1)])
    for group in patterns.groups:
        eye = torch.eye(group.columns.shape[1], dtype=torch.float64)
        block = precision[group.columns[:, :, None], group.columns[:, None, :]]
        block = torch.where((group.columns < d)[:, :, None], block, eye)
        root_of_block = torch.linalg.cholesky(block)
        covariance = torch.cholesky_inverse(root_of_block)
        deviation = torch.cat([x[group.rows] - gaussian.mean, x.new_zeros(len(group.rows), 1)], 1)
        deviation.scatter_(1, group.of_rows, 0.0)
        pulls = deviation @ precision
        pull = pulls.gather(1, group.of_rows)
        step = torch.bmm(covariance[group.pattern], pull[:, :, None])[:, :, 0]
        # Of the observed entries, the precision is that of all without what those missing explain.
        distance = (deviation * pulls).sum(1) - (pull * step).sum(1)
        determinants = _log_determinant(root) + _log_determinant(root_of_block)[group.pattern]
        n_observed = (group.of_rows == d).sum(1) + d - group.of_rows.shape[1]
        log_likelihood = -0.5 * (distance + determinants + n_observed * math.log(2 * math.pi))
        yield group, Conditional(covariance, padded_mean[group.of_rows] - step, log_likelihood)


def _log_determinant(root: Tensor) -> Tensor:
    """Return the log-determinants of matrices with these Cholesky factors."""
    return 2 * root.diagonal(dim1=-2, dim2=-1).log().sum(-1)


def fill(gaussian: Gaussian, x: Tensor, observed: Tensor, patterns: Patterns | None = None) -> Tensor:
    """Return rows with their missing entries replaced by the conditional means."""
    return moments(gaussian, x, observed, patterns)[0]


def moments(
    gaussian: Gaussian, x: Tensor, observed: Tensor, patterns: Patterns | None = None
) -> tuple[Tensor, Tensor]:
    """Return conditional means and variances of all entries: those observed are themselves, with variance zero."""
    patterns = Patterns(observed) if patterns is None else patterns
    filled = _padded(torch.where(observed, x, 0.0))
    variance = torch.zeros_like(filled)
    for group, given in condition(gaussian, x, patterns):
        place = group.rows[:, None], group.of_rows
        filled[place] = given.mean
        variance[place] = given.covariance.diagonal(dim1=1, dim2=2)[group.pattern]
    return filled[:, :-1], variance[:, :-1]


def draw(gaussian: Gaussian, x: Tensor, observed: Tensor, noise: Tensor) -> Tensor:
    """Return rows with their missing entries drawn; ``noise`` is standard normal, (n, d)."""
    filled, noise = _padded(torch.where(observed, x, 0.0)), _padded(noise)
    for group, given in condition(gaussian, x, Patterns(observed)):
        root = torch.linalg.cholesky(given.covariance)[group.pattern]
        own = noise[group.rows].gather(1, group.of_rows)
        filled[group.rows[:, None], group.of_rows] = given.mean + torch.bmm(root, own[:, :, None])[:, :, 0]
    return filled[:, :-1]


def _padded(x: Tensor) -> Tensor:
    """Return rows with a column of zeros more, which the numbers of columns that are not there point to."""
    return torch.cat([x, x.new_zeros(len(x), 1)], 1)


def fit_gaussian(
    x: Tensor,
    observed: Tensor,
    *,
    shrinkage: float = 0.01,
    ridge: float = 1e-4,
    n_iter: int = 20,
    tol: float = 1e-3,
    start: Gaussian | None = None,
    patterns: Patterns | None = None,
) -> Gaussian:
    """Fit a Gaussian to the observed entries by EM (Dempster, Laird and Rubin 1977).

    Parameters
    ----------
    x : Tensor of shape (n, d)
        Standardised rows, float64.
    observed : bool Tensor of shape (n, d)
        Entries that are not observed are not read.
    shrinkage : float
        Each covariance S becomes ``(S + shrinkage * diag(S)) / (1 + shrinkage) + ridge * I``.
    ridge : float
    n_iter : int
        Largest number of iterations.
    tol : float
        They end once no entry of the mean and the covariance changes by more.
    start : Gaussian or None
        What to start from; None is independent columns.
    patterns : Patterns or None
        Those of ``observed``, if they are known.
    """
    patterns = Patterns(observed) if patterns is None else patterns
    known = torch.where(observed, x, 0.0)
    gaussian = _independent(known, observed, ridge) if start is None else start
    ridges = ridge * torch.eye(x.shape[1], dtype=torch.float64)
    for _ in range(n_iter):
        before, (mean, covariance) = gaussian, _step(gaussian, known, patterns)
        covariance = (covariance + shrinkage * covariance.diagonal().diag()) / (1 + shrinkage)
        gaussian = Gaussian(mean, covariance + ridges)
        if all(bool((new - old).abs().max() <= tol) for new, old in zip(gaussian, before, strict=True)):
            break
    return gaussian


def _independent(known: Tensor, observed: Tensor, least: float) -> Gaussian:
    n_known = observed.sum(0).clamp_min(1)
    mean = known.sum(0) / n_known
    variance = torch.where(observed, known - mean, 0.0).square().sum(0) / n_known
    return Gaussian(mean, variance.clamp_min(max(least, 1e-12)).diag())


def _step(gaussian: Gaussian, known: Tensor, patterns: Patterns) -> Gaussian:
    """Return mean and covariance of rows whose missing entries are distributed as the Gaussian says."""
    n, d = known.shape
    filled, scatter = _padded(known), known.new_zeros((d + 1) ** 2)
    for group, given in condition(gaussian, known, patterns):
        filled[group.rows[:, None], group.of_rows] = given.mean
        _add_covariances(scatter, group, given.covariance, known.new_ones(n), d)
    mean = filled[:, :d].mean(0)
    centred = filled[:, :d] - mean
    return Gaussian(mean, (centred.T @ centred + scatter.view(d + 1, d + 1)[:d, :d]) / n)


def _add_covariances(scatter: Tensor, group: Group, covariance: Tensor, weight: Tensor, d: int) -> None:
    """Add the covariances of rows, each times its weight, to a flat matrix (d + 1, d + 1)."""
    place = group.columns[:, :, None] * (d + 1) + group.columns[:, None, :]
    of_pattern = weight.new_zeros(len(group.columns)).index_add_(0, group.pattern, weight[group.rows])
    scatter.index_add_(0, place.flatten(), (covariance * of_pattern[:, None, None]).flatten())


class Prediction(NamedTuple):
    """What a Gaussian says of rows.

    Attributes
    ----------
    filled : Tensor of shape (n, d)
        Rows, with conditional means where an entry is missing.
    log_likelihood : Tensor of shape (n,)
        Log-densities of the observed entries, in nats.
    covariances : list of (Group, Tensor)
        The conditional covariances of each pattern.
    """

    filled: Tensor
    log_likelihood: Tensor
    covariances: list[tuple[Group, Tensor]]

    def moments(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean (d,), and the expected scatter around it (d, d), of the rows with weights (n,)."""
        d = self.filled.shape[1]
        scatter = self.filled.new_zeros((d + 1) ** 2)
        for group, covariance in self.covariances:
            _add_covariances(scatter, group, covariance, weight, d)
        mean = weight @ self.filled / weight.sum().clamp_min(1e-12)
        centred = self.filled - mean
        return mean, (centred * weight[:, None]).T @ centred + scatter.view(d + 1, d + 1)[:d, :d]


def predict(
    gaussian: Gaussian, x: Tensor, observed: Tensor, patterns: Patterns | None = None, *, to_fit: bool = False
) -> Prediction:
    """Return what a Gaussian says of rows; ``to_fit`` keeps the covariances, which take memory."""
    patterns = Patterns(observed) if patterns is None else patterns
    filled, log_likelihood = _padded(torch.where(observed, x, 0.0)), x.new_empty(len(x))
    covariances = []
    for group, given in condition(gaussian, x, patterns):
        filled[group.rows[:, None], group.of_rows] = given.mean
        log_likelihood[group.rows] = given.log_likelihood
        if to_fit:
            covariances.append((group, given.covariance))
    return Prediction(filled[:, :-1], log_likelihood, covariances)
