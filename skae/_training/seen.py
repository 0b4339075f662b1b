"""What `partial_fit` has seen so far: centre, and columns' statistics, are those of all portions together."""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._data.chunks import pooled, pooled_ranges
from .._data.training_data import TrainingData
from .._networks.centring import can_recentre
from .._support.warnings import warn

LEAST_ROWS = 10  # whose range says where rows are
PORTIONS_EPOCH = 2000  # rows that count as an epoch for warm-ups, unless the first portion comes again


class Seen:
    """What was seen before these rows, and with them.

    Parameters
    ----------
    setup : Setup
        Of a fit, or of a portion for `partial_fit`.

    Attributes
    ----------
    n_before : ndarray of shape (2, 1), or (2, n_features) where entries may be missing
        How many inputs and targets the centre is the mean of so far. Infinite for files that do not tell.
    few_before : bool
        Whether portions go on after too few rows to tell how wide these are.
    follows : bool
        Whether the centre of the networks can move; if not, `warn_after_pass` speaks of rows elsewhere.
    passes : Passes or None
        How many epochs the portions amount to; None in `fit`.
    shift : tuple of two Tensors of shape (n_features,), or None
        How far the centres of inputs and targets move, in which networks are still to follow: as the same maps,
        or, where they move to rows that lie beyond all rows before, along with the rows.
    """

    def __init__(self, setup: Any) -> None:
        data, previous, goes_on = setup.data, setup.previous, setup.goes_on
        known = getattr(previous, "_seen", {"n_rows": np.full((2, 1), np.inf)}) if goes_on else {}
        self._counts = data.counts()
        self.n_before: np.ndarray = known.get("n_rows", np.zeros_like(self._counts))
        self._goes_on = goes_on
        self.few_before = goes_on and bool(self.n_before.max() < LEAST_ROWS)
        self.shift: tuple[Tensor, Tensor] | None = None
        self._ranges: Any = known.get("ranges")
        self._statistics = getattr(previous, "_column_statistics", None)
        self.follows = not goes_on or can_recentre(previous.encoder_, previous.decoder_)
        self._stays_behind = False
        self.passes: Passes | None = None
        if not setup.has_end:
            self.passes = Passes(data, known.get("passes"), setup.n_passes_before)

    def move_centre(self, data: TrainingData, fixed: tuple[int, ...]) -> None:
        """Move the centres of the data, which are those of the rows before, to the means of all rows seen so far.

        Those of ``fixed`` columns stay. Rows beyond all rows before, such as data after a portion of zeros, start
        the means anew.
        """
        if data.offset is None:
            return
        ranges = np.stack(data.statistics()[1:3])
        ranges[:, list(fixed)] = 0
        starts_anew, is_first = False, not self.n_before.any()
        if self._ranges is not None:
            known = self.n_before[0] > 0, self._counts[0] > 0
            enough = self.n_before.max() >= LEAST_ROWS
            starts_anew = enough and self._beyond(data, np.logical_and(*known), fixed)
            self._ranges = np.stack(pooled_ranges(self._ranges, ranges, *known))
        elif is_first:  # otherwise after `fit`, whose rows count as typical
            self._ranges = ranges
        self._stays_behind = starts_anew and not self.follows
        if is_first or not self.follows:
            return
        self.n_before = np.zeros_like(self.n_before) if starts_anew else self.n_before
        shift = data.move_centre(self.n_before, fixed)
        self.shift = (torch.zeros_like(shift[0]), torch.zeros_like(shift[1])) if shift and starts_anew else shift

    def column_statistics(self, data: TrainingData) -> tuple:
        """Return the inputs' statistics: those of the first `fit`, or of all rows given to `partial_fit`."""
        known = self._statistics
        if known is None:
            return data.statistics()
        if not self._goes_on or np.isinf(self.n_before).any():
            return known
        return pooled(known, self.n_before[0], data.statistics(), self._counts[0])

    def warn_after_pass(self) -> None:
        """Warn if networks could not follow the centre."""
        if self._stays_behind:
            warn(
                "These rows lie far outside the range of all rows before, but stay centred by the mean of the "
                "first ones: the centre of convolutional networks and custom modules cannot move. Begin with a "
                "portion that is typical of the data, or scale the data."
            )

    def record(self) -> dict[str, Any]:
        """Return what is kept for the next rows."""
        if self.passes is None:
            return {"n_rows": self._counts}
        kept = {"n_rows": self.n_before + self._counts, "passes": self.passes.record()}
        return kept if self._ranges is None else kept | {"ranges": self._ranges}

    def _beyond(self, data: TrainingData, is_known: np.ndarray, fixed: tuple[int, ...]) -> bool:
        """Tell whether the means of most columns that have moved lie outside three times the columns' ranges."""
        means, width = data.input_means().cpu().double().numpy(), self._ranges[1] - self._ranges[0]
        beyond = (means > self._ranges[1] + width) | (means < self._ranges[0] - width)
        moved = is_known & (means != data.offset.cpu().double().numpy())  # type: ignore[union-attr]
        moved[list(fixed)] = False
        return bool(2 * (beyond & moved).sum() > moved.sum())


def centre(setup: Any) -> None:
    """Centre the rows by their own means and divide them by their unit, or as the networks have learnt to.

    In `partial_fit` the unit stays that of the first rows, and the centre moves on to the mean of all rows seen so
    far, where the networks can follow.
    """
    previous, architecture, estimator = setup.previous, setup.architecture, setup.estimator
    fixed = (*architecture.uncentred, *architecture.medians)  # columns whose centre stays what it is
    setup.seen = Seen(setup)
    if previous is None:
        if architecture.centred:
            setup.data.centre(architecture.uncentred, architecture.medians)
        if not setup.has_end:
            setup.seen.move_centre(setup.data, fixed)
        if architecture.scaled:
            setup.data.divide()
        _note_units(setup)
        return
    offset = getattr(previous.encoder_, "offset", None)
    if offset is not None and not architecture.centred:
        which = f"loss={estimator.loss!r} with output_activation={estimator.output_activation!r} does"
        if estimator.encoder is not None or estimator.decoder is not None:
            which = "encoder and decoder of your own do"
        raise ValueError(
            f"warm_start and partial_fit continue networks that were fitted to centred data, which {which} not "
            "take. Call fit with warm_start=False, or set these parameters back."
        )
    networks = previous.encoder_, previous.decoder_
    setup.data.unit, setup.data.target_unit = (getattr(network, "unit", 1.0) for network in networks)
    _note_units(setup)
    if offset is None:
        return
    setup.data.offset, setup.data.target_offset = offset, previous.decoder_.offset
    if setup.goes_on:
        setup.seen.move_centre(setup.data, fixed)


def _note_units(setup: Any) -> None:
    units = {"unit": setup.data.unit, "target_unit": setup.data.target_unit}
    setup.architecture = setup.architecture._replace(**units)


class Passes:
    """How many epochs the portions amount to: one ends where the first portion comes again, or at 2000 rows.

    Parameters
    ----------
    data : TrainingData
    known : dict or None
        What `record` returned for the portion before; None for the first.
    n_of_fit : int
        Epochs of a fit before the first portion.

    Attributes
    ----------
    n_epochs, length : float
        How far warm-ups have come before these rows, and how much further they come with them.
    """

    def __init__(self, data: TrainingData, known: dict[str, Any] | None, n_of_fit: int) -> None:
        self._n, is_first = data.X.shape[0], known is None
        known = known or {"n_rows": 0, "of_fit": n_of_fit, "first": self._print(data), "epoch": None}
        again = not is_first and known["epoch"] is None and self._n > 1 and known["first"] == self._print(data)
        self._known = known | ({"epoch": known["n_rows"]} if again else {})
        rows = self._known["epoch"] or PORTIONS_EPOCH
        self.n_epochs: float = known["of_fit"] + known["n_rows"] / rows
        self.length = max(1.0, self._n / rows) if is_first else self._n / rows

    def record(self) -> dict[str, Any]:
        """Return what is kept for the next rows."""
        return self._known | {"n_rows": self._known["n_rows"] + self._n}

    def _print(self, data: TrainingData) -> str:
        """Return what tells a portion from others."""
        means = data.input_means().cpu().numpy() + 0.0  # one zero for both signs
        return hashlib.sha256(means.tobytes()).hexdigest() + f" of {self._n}"


# What trained networks make of the rows --------------------------------------------------------------------

WINDOW = 2000  # rows that fitted statistics describe, at least, if there were as many; twice as many at most

Record = tuple[tuple[np.ndarray, ...] | None, tuple[np.ndarray, ...] | None]
Join = Callable[[Tensor, Tensor], Tensor]


def with_recent(
    record: Record | None, totals: tuple[Tensor, ...], joins: Sequence[Join]
) -> tuple[Record, tuple[Tensor, ...]]:
    """Join what a portion adds up to with what those shortly before it did.

    Older portions are forgotten, since the networks have changed since. Users read of it in the Notes of
    `SparseAutoencoder` and in the guide on training.

    Parameters
    ----------
    record : pair of tuples of ndarray, or of None
        What has been added up in an earlier window, and since then.
    totals : tuple of Tensor
        Of the portion; the first is its number of rows.
    joins : sequence of callables
        What joins each of them to another, such as ``torch.add``.

    Returns
    -------
    record : pair
        To keep.
    whole : tuple of Tensor
        The totals of the last rows.
    """
    earlier, since = (None, None) if record is None else record
    newer = _joined(since, totals, joins)
    kept = tuple(part.cpu().numpy().copy() for part in newer)
    if newer[0].max() >= WINDOW:
        return (kept, None), newer
    return (earlier, kept), _joined(earlier, newer, joins)


def _joined(known: Any, totals: tuple[Tensor, ...], joins: Sequence[Join]) -> tuple[Tensor, ...]:
    if known is None:
        return totals
    known = (one if isinstance(one, Tensor) else torch.tensor(one) for one in known)
    return tuple(join(one.to(other), other) for join, one, other in zip(joins, known, totals, strict=True))
