"""How much the units of a fitted encoder do on the rows that it was trained on."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from .._bottleneck.winners import batch_cutoff
from .._data.rows import Rows, chunk_rows
from .._networks.networks import Encoder
from .._networks.selection import Threshold

ACTIVE_VARIANCE = 0.01
ENOUGH_ROWS = 5_000
BOUNDED = ("sigmoid", "tanh")


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


def _codes(encode: Callable, rows: Rows, order: Tensor, width: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield chunks of row numbers and the codes of those rows."""
    size = max(200, chunk_rows(rows.dtype.itemsize * max(width, rows.n_features)))
    for index in order.split(size):
        yield index, encode(rows.batch(index))


@torch.no_grad()
def activity(encode: Callable, rows: Rows, order: Tensor, weight: Tensor | None, width: int) -> Activity:
    """Measure what ``encode`` makes, ``width`` columns, of the rows numbered ``order``.

    ``rows`` are centred; ``weight``, of all rows or None, has mean one over those numbered.
    """
    precision = torch.float32 if rows.device.type == "mps" else torch.float64
    total = torch.zeros(width, dtype=precision, device=rows.device)
    lowest, highest = total + torch.inf, total - torch.inf

    for index, code in _codes(encode, rows, order, width):
        code = code.to(total.dtype)
        total += code.sum(0) if weight is None else weight[index].to(total.dtype) @ code
        lowest, highest = torch.minimum(lowest, code.amin(0)), torch.maximum(highest, code.amax(0))
    return Activity(total / len(order), lowest, highest)


@torch.no_grad()
def freeze_threshold(encoder: Encoder, rows: Rows, order: Tensor, weight: Tensor | None, n_active: int) -> None:
    """Set the encoder's threshold so that ``n_active`` units of a row are kept on average.

    It is the mean over large random batches of the magnitude that the largest units of each go down to.
    """
    selection, width = encoder.selection, encoder.blocks[-1].linear.bias.numel()
    if not isinstance(selection, Threshold):
        return
    shuffled = order[torch.randperm(len(order), generator=torch.Generator().manual_seed(0)).to(order.device)]
    total = torch.zeros_like(selection.threshold)
    for index, code in _codes(encoder.forward_centred, rows, shuffled, width):
        row_weight = None if weight is None else weight[index].unsqueeze(1)
        total += len(index) * batch_cutoff(code.abs(), row_weight, n_active)
    # A hair lower, so that rounding in another precision does not lose the unit that stands at the threshold.
    selection.threshold.copy_(total / len(order) * (1 - 1e-6))


def active_units(encode: Callable[[Tensor], Tensor], rows: Rows, trained: Tensor) -> int:
    """Count the units whose posterior mean varies over training rows (Burda et al. 2016).

    Of many rows, some that are evenly spaced are enough, and spare what an epoch of encoding costs.

    Parameters
    ----------
    encode : callable (x) -> Tensor of shape (n, 2 n_components)
        From centred rows to both heads.
    rows : Rows
    trained : int64 Tensor
        Numbers of the training rows.
    """
    some = trained[:: -(-len(trained) // ENOUGH_ROWS)]
    total = squares = torch.zeros(())
    dtype = torch.float32 if rows.device.type == "mps" else torch.float64
    with torch.no_grad():
        for index in some.split(chunk_rows(rows.n_features * 8)):
            mean = encode(rows.batch(index)).chunk(2, 1)[0].to(dtype)
            total, squares = mean.sum(0) + total, mean.square().sum(0) + squares
    variance = squares / len(some) - (total / len(some)).square()
    return int((variance > ACTIVE_VARIANCE).sum())
