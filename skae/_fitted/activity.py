"""How much the units of a fitted encoder do on the rows that it was trained on."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from .._bottleneck.winners import batch_cutoff
from .._data.chunks import fold, spread, sum_rows, total
from .._data.rows import Rows
from .._networks.networks import Encoder
from .._networks.selection import Threshold
from .._support.devices import sum_dtype

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


@torch.no_grad()
def activity(encode: Callable, rows: Rows, order: Tensor, weight: Tensor | None, width: int) -> Activity:
    """Measure what ``encode`` makes, ``width`` columns, of the rows numbered ``order``.

    ``rows`` are centred; ``weight``, of all rows or None, has mean one over those numbered.
    """

    def term(index: Tensor, x: Tensor) -> tuple[Tensor, ...]:
        code = encode(x)
        return sum_rows(code, None if weight is None else weight[index]), code.amin(0), code.amax(0)

    terms = (term(index, x) for index, x in rows.chunks(order, width))
    sums, lowest, highest = fold(terms, torch.add, torch.minimum, torch.maximum)
    return Activity(sums / len(order), lowest, highest)


@torch.no_grad()
def freeze_threshold(encoder: Encoder, rows: Rows, order: Tensor, weight: Tensor | None, n_active: int) -> None:
    """Set the encoder's threshold so that ``n_active`` units of a row are kept on average.

    It is the mean over large random batches of the magnitude that the largest units of each go down to.
    """
    selection, width = encoder.selection, encoder.blocks[-1].linear.bias.numel()
    if not isinstance(selection, Threshold):
        return
    shuffled = order[torch.randperm(len(order), generator=torch.Generator().manual_seed(0)).to(order.device)]

    def term(index: Tensor, x: Tensor) -> Tensor:
        row_weight = None if weight is None else weight[index].unsqueeze(1)
        return len(index) * batch_cutoff(encoder.forward_centred(x).abs(), row_weight, n_active)

    cutoffs = total(term(index, x) for index, x in rows.chunks(shuffled, width, at_least=200))
    # A hair lower, so that rounding in another precision does not lose the unit that stands at the threshold.
    selection.threshold.copy_(cutoffs / len(order) * (1 - 1e-6))


@torch.no_grad()
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
    some, dtype = spread(trained, ENOUGH_ROWS), sum_dtype(rows.device)
    means = (encode(x).chunk(2, 1)[0].to(dtype) for _, x in rows.chunks(some))
    sums, squares = fold(((sum_rows(m), sum_rows(m.square())) for m in means), torch.add, torch.add)
    variance = squares / len(some) - (sums / len(some)).square()
    return int((variance > ACTIVE_VARIANCE).sum())
