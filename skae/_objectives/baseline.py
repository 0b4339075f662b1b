"""What column means alone achieve: the loss that training has to beat, and the scale that penalties go with."""

from typing import NamedTuple

import torch
from torch import Tensor

from .._data.chunks import fold, spread, sum_rows, total
from .._data.training_data import TrainingData
from .._support.ranks import current
from .losses import Loss

MOST_ROWS = 10_000  # that are measured: enough for two digits
_INVERSE_LINKS = {"identity": lambda mean: mean, "sigmoid": lambda mean: torch.logit(mean, 1e-6)}


class Baseline(NamedTuple):
    """Rows that are all reconstructed as their column means.

    Attributes
    ----------
    loss : float
        Mean over rows, for the data as they were given. A user's function, which may watch the rows that it is
        called with, is not called: it is taken for a squared error.
    deviation : float
        Root of the mean over columns of their variance, in units of the data.
    """

    loss: float
    deviation: float


@torch.no_grad()
def baseline(loss: Loss, data: TrainingData, numbers: Tensor | None = None) -> Baseline:
    """Measure the column means as reconstructions of rows, which are weighted: by default of the training rows."""
    rows, weight = data.targets() or data.inputs(), data.row_weight()
    some = spread(data.train_rows if numbers is None else numbers, MOST_ROWS)
    width = 16 * rows.n_features  # of what is made of a row: little enough for the cache

    def weight_of(index: Tensor) -> Tensor | None:
        return None if weight is None else weight[index]

    variance = rows.variance(some, weight) if loss.is_squared_error else None
    if variance is not None:  # known without making the rows dense
        squared, width = data.target_unit**2 * float(variance.mean()), rows.n_features
        return Baseline(squared if loss.mean_over_features else width * squared, squared**0.5)
    ranks = current()
    n = ranks.count(len(some)) if weight is None else float(ranks.sum(weight[some].sum()))
    mean = total(sum_rows(x, weight_of(index)) for index, x in rows.chunks(some, width)) / n
    output = _INVERSE_LINKS[loss.link](mean).to(rows.dtype)

    def measured(index: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        share = weight_of(index)
        squares = sum_rows((x - mean).square_(), share)
        if loss.entrywise is None:
            return squares.mean(), squares
        losses = loss.per_row(output.expand_as(x), x, None if share is None else share[:, None])
        return sum_rows(losses), squares

    losses, squares = fold((measured(*chunk) for chunk in rows.chunks(some, width)), torch.add, torch.add)
    return Baseline(
        data.target_unit ** (loss.degree or 0) * float(losses) / n,
        data.target_unit * float((squares / n).mean().sqrt()),
    )
