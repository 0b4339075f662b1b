"""What a step is given: the rows, and the objective; and what the loop is given: when to stop."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from torch import Tensor

from .._data.corruption import Corruption
from .._data.hiding import Hiding
from .._data.rows import Rows
from .._objectives.losses import Loss
from .._objectives.penalties import Penalty
from .bottleneck import Bottleneck
from .dropout import Dropout


class Served(NamedTuple):
    """The rows that steps are taken on.

    Attributes
    ----------
    rows : Rows
        The inputs, centred.
    targets : Rows or None
        What to reconstruct; None reconstructs the inputs.
    row_weight : Tensor of shape (n_rows,) or None
        Weights of mean one over the rows trained on.
    entry_weight : Rows or None
        Weights of the targets' entries; an entry of weight zero is as good as missing.
    """

    rows: Rows
    targets: Rows | None = None
    row_weight: Tensor | None = None
    entry_weight: Rows | None = None


class Objective(NamedTuple):
    """What is minimised, and how.

    Attributes
    ----------
    loss : Loss
    corruption : Corruption or None
        Noise on the inputs, drawn anew for each batch; targets stay clean.
    bottleneck : Bottleneck or None
    penalties : sequence of Penalty
    projections : sequence of callables (weight)
        Called after each update with the decoder's weights of each unit of the code, (n_components, fan_out), to
        change them in place.
    dropout : Dropout or None
        Of hidden units.
    hiding : Hiding or None
        What is hidden from rows whose missing entries are marked.
    loss_unit : float
        What the objective is multiplied by to be one of the data as they were given.
    input_unit : float
        What inputs are multiplied by for penalties to see them as they were given, but for the centre.
    """

    loss: Loss
    corruption: Corruption | None = None
    bottleneck: Bottleneck | None = None
    penalties: Sequence[Penalty] = ()
    projections: Sequence[Callable[[Tensor], object]] = ()
    dropout: Dropout | None = None
    hiding: Hiding | None = None
    loss_unit: float = 1.0
    input_unit: float = 1.0

    @property
    def is_plain(self) -> bool:
        """Whether there is nothing but the loss."""
        others = self.corruption, self.bottleneck, self.dropout, self.hiding
        return not self.penalties and not self.projections and all(other is None for other in others)


class Schedule(NamedTuple):
    """When to stop, and how to walk through the rows."""

    max_iter: int
    batch_size: int
    shuffle: bool = True
    tol: float | None = None
    n_iter_no_change: int = 10
    rates: str = "constant"  # or a name of `SCHEDULES`
    keeps_best: bool = True  # whether the weights that are best for the rows held out come back
    patience: int | None = None  # epochs without a better one for these, after which training ends
    to_beat: float = math.inf  # a loss of these that has to be beaten first
    first_epoch: float = 0  # how many have passed before, for warm-ups
    length: float = 1  # what an epoch counts for in these: a portion of rows is not one
    merge_single: bool = False  # a last batch of one row joins the one before: batch normalization needs two
    loss_unit: float = 1.0  # what losses are multiplied by in reports


class DivergedError(ArithmeticError):
    """The loss or a weight stopped being finite; ``epoch`` says when."""

    def __init__(self, epoch: int) -> None:
        super().__init__(epoch)
        self.epoch = epoch
