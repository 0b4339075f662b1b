"""What the units of an encoder do on the rows that it is trained on, and what is set by it: thresholds, bits."""

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .._bottleneck.winners import batch_cutoff
from .._data.chunks import chunk_rows, fold, spread, sum_rows
from .._data.rows import Rows
from .._data.training_data import TrainingData
from .._networks.blocks import Linear
from .._networks.networks import Encoder
from .._networks.selection import Threshold
from .._support.devices import sum_dtype
from .._support.ranks import current
from .._training.fitting import Fit

ACTIVE_VARIANCE = 0.01
ENOUGH_ROWS = 5_000
BOUNDED = ("sigmoid", "tanh")
SATURATED = math.log(9)  # the logit beyond which a logistic unit is within 0.1 of either end


class Activity(NamedTuple):
    """What units do over rows: tensors of shape (n_components,)."""

    mean: Tensor
    lowest: Tensor
    highest: Tensor

    def dead(self, code_activation: str, selecting: bool) -> Tensor:
        """Return which units tell no row from another.

        Those that can be zero are dead if they are zero for every row, bounded ones if their codes span less
        than 0.01, and others if they span less than a hundredth of what the widest unit does.
        """
        if selecting or code_activation == "relu":
            return (self.lowest == 0) & (self.highest == 0)
        span = self.highest - self.lowest
        return span < 0.01 if code_activation in BOUNDED else span <= 0.01 * span.max()


@torch.no_grad()
def activity(encode: Callable, rows: Rows, data: TrainingData, width: int, fit: Fit | None = None) -> Activity:
    """Measure what ``encode`` makes, ``width`` columns, of the training rows, which are served by ``rows``.

    With a fit, in `partial_fit`, also of the last rows before them.
    """
    ranks, weight = current(), data.row_weight()

    def term(index: Tensor, x: Tensor) -> tuple[Tensor, ...]:
        code = encode(x)
        if not ranks.rows_here(len(index)):
            nothing = torch.full_like(code[0], torch.inf)
            return torch.zeros_like(code[0], dtype=sum_dtype(code.device)), nothing, -nothing
        return sum_rows(code, None if weight is None else weight[index]), code.amin(0), code.amax(0)

    # Every rank takes part in each chunk: layers may normalize over all of its rows.
    batches = ranks.batches(data.train_rows, rows.chunk_rows(width))
    terms = (term(index, x) for index, x in rows.serve(batches))
    joins = torch.add, torch.minimum, torch.maximum
    totals = torch.tensor(float(data.n_train)), *fold(terms, *joins)
    n, sums, lowest, highest = totals if fit is None else fit.recent("activity", totals, torch.add, *joins)
    return Activity(sums / n, lowest, highest)


@torch.no_grad()
def freeze_threshold(encoder: Encoder, fit: Fit, n_active: int, width: int) -> None:
    """Set the encoder's threshold so that ``n_active`` units of a row are kept on average.

    It is the mean over large random batches of the magnitude that the largest units of each go down to. ``width``
    is the code's.
    """
    selection = encoder.selection
    if not isinstance(selection, Threshold):
        return
    ranks, rows, weight = current(), fit.inputs, fit.setup.data.row_weight()
    order = ranks.whole(fit.setup.data.train_rows)
    shuffled = order[torch.randperm(len(order), generator=torch.Generator().manual_seed(0)).to(order.device)]
    batches = shuffled.split(rows.chunk_rows(width, at_least=200))

    def term(index: Tensor, x: Tensor) -> Tensor:
        row_weight = None if weight is None else weight[index].unsqueeze(1)
        cutoff = batch_cutoff(encoder.forward_centred(x).abs(), row_weight, n_active)
        return ranks.batch_size(len(index)) * cutoff

    cutoffs = torch.stack([term(index, x) for index, x in rows.serve(map(ranks.mine, batches))]).sum()
    ranks.leave()
    # A hair lower, so that rounding in another precision does not lose the unit that stands at the threshold.
    n, cutoffs = fit.recent("threshold", (torch.tensor(float(len(order))), cutoffs), torch.add, torch.add)
    selection.threshold.copy_(cutoffs / n * (1 - 1e-4))


@torch.no_grad()
def active_units(encode: Callable[[Tensor], Tensor], fit: Fit) -> int:
    """Count the units whose posterior mean varies over training rows (Burda et al. 2016).

    Of many rows, some that are evenly spaced are enough, and spare what an epoch of encoding costs. ``encode``
    maps centred rows to both heads, (n, 2 n_components).
    """
    rows = fit.inputs
    some, dtype = spread(fit.setup.data.train_rows, ENOUGH_ROWS), sum_dtype(rows.device)
    means = (encode(x).chunk(2, 1)[0].to(dtype) for _, x in rows.chunks(some))
    sums, squares = fold(((sum_rows(m), sum_rows(m.square())) for m in means), torch.add, torch.add)
    totals = torch.tensor(float(current().count(len(some)))), sums, squares
    n, sums, squares = fit.recent("means", totals, torch.add, torch.add, torch.add)
    variance = squares / n - (sums / n).square()
    return int((variance > ACTIVE_VARIANCE).sum())


# Bits ------------------------------------------------------------------------------------------------------


@torch.no_grad()
def balance(encoder: Encoder, batches: Iterable[Tensor]) -> None:
    """Change the last layer so that logits are centred, uncorrelated and of variance one over batches of rows.

    Bits then start set for half of the rows each, and uncorrelated. Directions in which the logits do not vary,
    where there are more bits than directions, stay as they are.
    """
    linear: Any = encoder.blocks[-1].linear if encoder.own is None else None
    if not isinstance(linear, Linear):
        return  # units of a convolution share their weights, a user's module is as it is
    ranks = current()
    logits = torch.cat([ranks.gather_batch(encoder.forward_centred(rows).cpu()) for rows in batches]).double()
    mean = logits.mean(0)
    covariance = torch.cov(logits.t(), correction=0).reshape(len(mean), -1)
    if not covariance.isfinite().all():
        return  # training will say what is wrong
    variances, axes = torch.linalg.eigh(covariance)
    varies = variances > 1e-6 * variances[-1]
    scales = torch.where(varies, variances.clamp_min(1e-300).rsqrt(), 1.0)
    whiten = (axes * scales) @ axes.t()
    linear.weight.copy_(whiten @ linear.weight.cpu().double())
    linear.bias.copy_(whiten @ (linear.bias.cpu().double() - mean))


def bits_and_saturated(encoder: Encoder) -> Callable[[Tensor], Tensor]:
    """Return what maps centred rows to their bits and, side by side, to ones for units that are saturated."""

    def both(x: Tensor) -> Tensor:
        logits = encoder.forward_centred(x)
        return torch.cat([logits > 0, logits.abs() > SATURATED], 1).to(logits.dtype)

    return both


def pack(bits: Tensor) -> Tensor:
    """Pack bits, ones and zeros of any dtype, (n, n_bits), into bytes, the first bit highest: uint8.

    The last byte is filled up with zeros, as by `numpy.packbits`.
    """
    n_bytes = -(-bits.shape[1] // 8)
    padded = torch.nn.functional.pad(bits, (0, 8 * n_bytes - bits.shape[1])).to(torch.int32)
    values = 2 ** torch.arange(7, -1, -1, dtype=torch.int32, device=bits.device)
    return (padded.view(-1, n_bytes, 8) * values).sum(2).to(torch.uint8)


def some_rows(rows: Rows, order: Tensor) -> Iterator[Tensor]:
    """Yield rows numbered ``order`` in chunks: all of them if one chunk can hold them, else a thousand or more."""
    some = spread(order, max(1000, chunk_rows(rows.n_features * rows.dtype.itemsize)))
    return (x for _, x in rows.serve(current().batches(some, rows.chunk_rows())))
