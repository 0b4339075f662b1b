"""What rows give away of themselves: their unit, columns in another one, images in another order than said."""

import math
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from .._support.devices import sum_dtype
from .._support.ranks import current
from .chunks import (
    SMALL_CHUNKS,
    Reader,
    chunk_rows,
    column_statistics,
    evenly,
    fold,
    moments_of_csr,
    spread,
    sum_rows,
)
from .magnitude import WITHIN_SINGLE, deviation_error

MOST_ROWS = 10_000  # that columns are measured on
MOST_IMAGES = 200
FEWEST_ROWS = 10  # fewer say nothing of units
NEARLY_ALL = 0.95
DIGITS, LARGEST = 30, 100  # of a unit: binary ones, and the power of two that single precision holds with ease
GAP, WIDER, MUCH_WIDER = 3, 10, 100  # what tells other units from columns of which each varies less than the last


def unit(X: Any, offset: Tensor | None, weight: Tensor | None) -> float:
    """Return the deviation of rows around ``offset``, to nine digits; 1 where they have none.

    It is the root of the mean over columns of their variance; missing entries are left out.

    Parameters
    ----------
    X : Tensor or scipy.sparse CSR matrix of shape (n, d)
    offset : Tensor of shape (d,) or None
    weight : Tensor of shape (n,) or None

    Raises
    ------
    ValueError
        If they vary by too little, or by too much, for what is divided by it and multiplied again.
    """
    weight = None if weight is None else weight.cpu()
    used = torch.arange(X.shape[0]) if weight is None else (weight > 0).nonzero()[:, 0]
    reader = Reader(X)

    def squares(index: Tensor) -> tuple[Tensor, Tensor]:
        x = reader.gather(index.to(reader.device))
        x = x if offset is None else x - offset.to(x)
        share = None if weight is None else weight[index]
        return sum_rows(_squared(x), share).sum(), sum_rows(~x.isnan(), share).sum()

    some = spread(used, MOST_ROWS)
    if sparse.issparse(X):
        mean, variance = moments_of_csr(X, weight, some)
        centre = 0.0 if offset is None else offset.to(mean)
        deviation = math.sqrt(float((variance + (mean - centre).square()).double().mean()))
    else:
        parts = some.split(chunk_rows(SMALL_CHUNKS * X.shape[1]))
        total, n = fold((squares(index) for index in parts), torch.add, torch.add)
        deviation = math.sqrt(float(total) / max(float(n), 1.0))
    _check_deviation(deviation, reader, some, offset)
    if not 0 < deviation < math.inf:
        return 1.0
    mantissa, exponent = math.frexp(deviation)
    return math.ldexp(round(mantissa * 2**DIGITS), min(max(exponent, -LARGEST), LARGEST) - DIGITS)


def _limits(X: Any, device: torch.device) -> tuple[float, float]:
    """Return the least and the largest deviation whose square, and what is made with it, has all its digits.

    CSR rows are measured in their own dtype.
    """
    least, most = WITHIN_SINGLE
    squares = sum_dtype(device)
    if sparse.issparse(X) and "float64" not in str(X.dtype):
        squares = torch.float32
    info = torch.finfo(squares)
    return max(least, math.sqrt(info.tiny)), min(most, math.sqrt(info.max))


def _check_deviation(deviation: float, reader: Reader, rows: Tensor, offset: Tensor | None) -> None:
    """Refuse rows that do vary, but by too little or too much.

    Raises
    ------
    ValueError
        With the deviation and the largest magnitude.
    """

    def largest(index: Tensor) -> tuple[Tensor, Tensor]:
        x = reader.gather(index.to(reader.device)).nan_to_num().to(sum_dtype(reader.device))
        apart = x if offset is None else x - offset.to(x)
        return apart.abs().amax().cpu(), x.abs().amax().cpu()

    least, most = _limits(reader.X, reader.device)
    if least <= deviation <= most:
        return
    parts = rows.split(chunk_rows(SMALL_CHUNKS * reader.X.shape[1]))
    apart, magnitude = (float(found) for found in fold(map(largest, parts), torch.maximum, torch.maximum))
    rounding = 8 * torch.finfo(reader.dtype).eps * magnitude  # of the mean
    if apart > rounding:
        squares_fit = 0 < deviation < math.inf
        raise deviation_error(deviation if squares_fit else apart, magnitude, least, most)


def _squared(x: Tensor) -> Tensor:
    """Return the squares of what is not missing, 0 elsewhere, in the precision for sums."""
    return x.nan_to_num(posinf=math.inf, neginf=-math.inf).to(sum_dtype(x.device)).square_()


def dominant_columns(X: Any, power: int) -> list[int]:
    """Return the few columns that carry nearly all of a loss because they are in other units than the rest.

    A quarter of the columns at most, and each ten times as wide, from its minimum to its maximum, as the median of
    the others, and either a hundred times, or three times as wide as any. Columns in equal units may vary by
    different amounts; their ranges differ less, and by degrees.

    Parameters
    ----------
    X : Tensor or scipy.sparse CSR matrix of shape (n, d)
    power : int
        Of the deviation that the loss grows with: 2 for the squared error, 1 for the absolute one.
    """
    if current().count(X.shape[0]) < FEWEST_ROWS:
        return []
    deviation, lowest, highest, _ = column_statistics(X[evenly(X.shape[0], MOST_ROWS)])
    width = np.nan_to_num(np.asarray(highest, dtype=np.float64) - np.asarray(lowest, dtype=np.float64))
    share = np.where(width > 0, np.nan_to_num(np.asarray(deviation, dtype=np.float64)), 0.0)
    n_varying = int((share > 0).sum())
    if n_varying < 4:
        return []
    share = (share / share.max()) ** power
    order = np.argsort(-share, kind="stable")
    n_carrying = 1 + int(np.searchsorted(share[order].cumsum() / share.sum(), NEARLY_ALL))
    carrying, others = order[:n_carrying], order[n_carrying:n_varying]
    if n_carrying > n_varying // 4:
        return []
    narrowest, usual = width[carrying].min(), np.median(width[others])
    apart = narrowest >= MUCH_WIDER * usual or narrowest >= max(WIDER * usual, GAP * width[others].max())
    return sorted(carrying.tolist()) if apart else []


def looks_channels_first(X: Any, shape: tuple[int, int, int]) -> bool:
    """Tell whether images said to be (height, width, channels) plainly are (channels, height, width).

    Neighbouring pixels are alike in images. In both directions they are far more so in the second order then: what
    the first takes for neighbours is as many pixels apart as there are channels.
    """
    height, width, channels = shape
    if channels < 2 or min(height, width) < 4:
        return False
    some = spread(torch.arange(X.shape[0]), MOST_IMAGES)
    images = Reader(X).gather(some).double().cpu()
    last, first = images.view(-1, height, width, channels), images.view(-1, channels, height, width)
    pairs = ((first.diff(dim=2), last.diff(dim=1)), (first.diff(dim=3), last.diff(dim=2)))
    return all(_mean_square(one) < 0.7 * _mean_square(other) for one, other in pairs)


def _mean_square(x: Tensor) -> float:
    return float(x.square().mean())


def counting_weights(weight: Tensor) -> Tensor:
    """Return weights as numbers of equal rows that each row stands for, in a range that any precision can hold.

    Of weights whose mean over rows is below one, such as shares that add up to one, only ratios matter: they are
    made to be one on average, as where no weights are given.
    """
    ranks = current()
    largest = float(ranks.maximum(weight.amax(0, keepdim=True).cpu()))
    if not 1e-30 < largest < 1e30:
        weight = weight / largest
    n_rows, total = ranks.count(int((weight > 0).sum())), float(ranks.sum(weight.double().sum().cpu()))
    return weight * (n_rows / total) if total < n_rows else weight
