"""The plausible range of each column: what is beyond it is no value of the column but a slip, and teaches nothing.

How far the tails of a column reach is extrapolated from its bulk, for each side of the median. All is measured in
ranks, of which a few gross values change nothing, so that tails may be as heavy as they like.
"""

from typing import NamedTuple

import numpy as np
import torch
from scipy.special import ndtri

from .._data.chunks import spread
from .gaussian import fill, fit_gaussian
from .normal_scores import NormalScores

CHANCE = 1e-4  # with which a column without slips has a value beyond
CHANCE_OF_ROWS = 1e-2  # the same, of values that are far out for a normal distribution
MOST_SHARE = 0.02  # of a column's values that may be slips: of more, they are a part of it
LEAST_DISTANCES = 15  # to extrapolate from; with fewer, tails are taken for those of a Cauchy distribution
LEAST_ROWS = 20  # for the only value that is another than all others of its column to be left out
HEAVIER = 1.25  # than their bulk tells, tails may become further out
STANDARD_ERRORS = 1.0  # by which a score contradicts the others of its row
MOST_ROWS = 2000  # that doubtful values are judged by
MOST_WORK = 1e9  # multiply-adds of an iteration of EM for it
ROUNDING = 1e-12


class Range(NamedTuple):
    """What is plausible: the lowest and the highest value of each column, (d,), both included."""

    lowest: np.ndarray
    highest: np.ndarray

    @classmethod
    def of(cls, pairs: list[tuple[float, float]]) -> "Range":
        """Return the range with these limits of the columns."""
        return cls(*np.reshape(pairs, (-1, 2)).T)

    def holds(self, X: np.ndarray) -> np.ndarray:
        """Tell which entries of rows (n, d) are plausible; NaN are not."""
        return (self.lowest <= X) & (self.highest >= X)


def plausible_range(X: np.ndarray) -> Range:
    """Return the plausible range of rows (n, d), float64, NaN where an entry is missing.

    First each column is judged by itself. Values that are far out for a normal distribution, though not for the
    column, are then compared with what the others of their row say.
    """
    with np.errstate(over="ignore"):
        reaches = [_reaches(column[~np.isnan(column)]) for column in X.T]
        limits = [_limits(column, far) for column, (_, far) in zip(X.T, reaches, strict=True)]
        known = np.where(Range.of(limits).holds(X), X, np.nan)
        near = Range.of([near for near, _ in reaches])
        doubtful = ~near.holds(X) & ~np.isnan(known)
        if doubtful.any():
            some, residuals, contradicted = _residuals(known, np.asarray(doubtful.any(axis=1)))
            doubtful &= contradicted
            for number in np.flatnonzero(doubtful.any(axis=0)):
                judged = known[:, number], residuals[:, number], some, doubtful[:, number]
                limits[number] = _narrowed(*judged, limits[number])
    return Range.of(limits)


def _limits(column: np.ndarray, far: tuple[float, float]) -> tuple[float, float]:
    """Return the limits, or none where more values are beyond them than can be slips."""
    column = column[~np.isnan(column)]
    n_beyond = int(((column < far[0]) | (column > far[1])).sum())
    return far if n_beyond <= _most_slips(len(column)) else (-np.inf, np.inf)


def _most_slips(n: int) -> int:
    return int(np.ceil(MOST_SHARE * n))


def _slips_among(distances: np.ndarray, column: np.ndarray) -> int:
    """Return how many of the distances may be slips: of those of few values, a tenth."""
    return min(_most_slips(len(column)), max(1, len(distances) // 10))


def _reaches(column: np.ndarray, chance: float = CHANCE) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return the limits of a column if it were normal, and those that fit its tails."""
    centre = float(np.median(column))
    deviation = column - centre
    rounding = ROUNDING * max(abs(centre), float(np.median(np.abs(column))))
    both = np.sort(np.abs(deviation[np.abs(deviation) > rounding]))
    if not len(both) or (len(both) == 1 and len(column) >= LEAST_ROWS):
        only = (centre - rounding, centre + rounding)
        return only, only
    chance, n_slips, reaches = chance / len(column), _slips_among(both, column), []
    for side in (-deviation, deviation):
        own = np.sort(side[side > rounding])
        reaches.append(_reach(own if len(own) >= LEAST_DISTANCES + n_slips else both, n_slips, chance))
    (near_below, far_below), (near_above, far_above) = reaches
    return (centre - near_below, centre + near_above), (centre - far_below, centre + far_above)


def _reach(distances: np.ndarray, n_slips: int, chance: float) -> tuple[float, float]:
    """Return how far from the median values may be: if they are normal, and if tails are heavy.

    Distances r and the absolute normal scores z of their ranks are on a curve. It is fitted to the upper half,
    save for what may be slips, in two ways: as ``log r = a + b z``, lognormal tails; and as
    ``log(r / z) = a + b z^2 / 2``, Tukey's h distribution, which has normal tails and those of powers. The nearer
    reach holds.

    Parameters
    ----------
    distances : ndarray of shape (n,)
        Ascending, above zero.
    n_slips : int
        How many of the largest may be slips.
    chance : float
        With which a value may be beyond.
    """
    n, most = len(distances), _score(chance)
    few = n - n_slips < LEAST_DISTANCES
    bulk = np.arange(n // 2 if n > 3 else 0, n - n_slips)
    if n < 2:
        return np.inf, np.inf
    z, r = _score(1 - (bulk + 0.5) / n), np.log(distances[bulk])
    near = float((r - np.log(z)).max() + np.log(most))
    if few:
        far = float((r - np.log(z) - z**2 / 2).max() + np.log(most) + most**2 / 2)
        return np.exp(far), np.exp(far)
    lognormal = _line(z, r, most)
    heavy = _line(z**2 / 2, r - np.log(z), most**2 / 2, HEAVIER) + np.log(most)
    return np.exp(near), np.exp(max(near, min(lognormal, heavy)))


def _score(tail):
    """Return the absolute normal score beyond which there is this much, on both sides."""
    return -ndtri(tail / 2)


def _line(x: np.ndarray, y: np.ndarray, where: float, steeper: float = 1.0) -> float:
    """Return the value of the line of least squares, if it does not fall, made steeper by a factor."""
    centred = x - x.mean()
    slope = max(0.0, float(centred @ y / (centred @ centred)))
    return float(y.mean() + steeper * slope * (where - x.mean()))


def _residuals(X: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return what entries differ by from what the others of their row say, by a Gaussian of normal scores.

    It is fitted to some of the rows. What is returned is their numbers; the residuals of these rows and of the
    wanted ones, NaN elsewhere; and whether the others contradict, that is, the score is not what they say, either.
    """
    some = _some_rows(np.isnan(X))
    maps_of, fitted_to = _as_tensors(X[some])
    maps = NormalScores.of(maps_of, fitted_to, torch.zeros(X.shape[1], dtype=torch.bool))
    fitted = fit_gaussian(maps.to_scores(maps_of), fitted_to)
    rows = np.union1d(some, np.flatnonzero(wanted))
    x, observed = _as_tensors(X[rows])
    scores = maps.to_scores(x)
    precision = torch.linalg.inv(fitted.covariance)
    pull = (fill(fitted, scores, observed) - fitted.mean) @ precision
    said = maps.to_values(scores - pull / precision.diagonal()).numpy()
    result, contradicted = np.full(X.shape, np.nan), np.zeros(X.shape, dtype=bool)
    result[rows] = np.where(observed, X[rows] - said, np.nan)
    contradicted[rows] = pull.abs() > STANDARD_ERRORS * precision.diagonal().sqrt()
    return some, result, contradicted


def _some_rows(missing: np.ndarray) -> np.ndarray:
    """Return the numbers of as many rows as a Gaussian is quickly fitted to."""
    work = max(1.0, float((missing.sum(axis=1) ** 3.0).mean()))
    most = int(min(MOST_ROWS, max(200, MOST_WORK / work)))
    return spread(torch.arange(len(missing)), most).numpy()


def _as_tensors(X: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Return rows, and which of their entries are observed."""
    return torch.from_numpy(np.nan_to_num(X)), torch.from_numpy(~np.isnan(X))


def _narrowed(
    column: np.ndarray, residual: np.ndarray, some: np.ndarray, doubtful: np.ndarray, limits: tuple[float, float]
) -> tuple[float, float]:
    """Return limits without the outermost doubtful values whose residuals are implausible beside some rows'."""
    known = ~np.isnan(column)
    beside = residual[some]
    beside = beside[~np.isnan(beside)]
    if not len(beside):
        return limits
    _, (lowest, highest) = _reaches(beside, CHANCE_OF_ROWS * len(beside) / int(known.sum()))
    above = column > np.median(column[known])  # what others say is even further out is not odd
    odd = doubtful & np.where(above, residual > highest, residual < lowest)
    inner, odd_values = column[known & ~odd], column[odd]
    below, above = odd_values[odd_values < inner.min()], odd_values[odd_values > inner.max()]
    if len(below) + len(above) > _most_slips(int(known.sum())):
        return limits
    return (
        max(limits[0], (below.max() + inner.min()) / 2) if len(below) else limits[0],
        min(limits[1], (above.min() + inner.max()) / 2) if len(above) else limits[1],
    )
