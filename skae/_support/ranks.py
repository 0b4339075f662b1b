"""The processes that fit one model together, each to rows of its own: what they must agree on goes through here.

A fit asks `current` for the ranks. In one process, `SingleProcess`, all that they do is nothing. Rows of all ranks
are called the whole's: rank by rank, in the order of each. `Ranks` is in `several_ranks.py`.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn


class SingleProcess:
    """A fit in one process; and what ranks are asked for.

    Attributes
    ----------
    rank : int
    is_shared : bool
        Whether there are other ranks.
    """

    rank = 0
    is_shared = False

    # Of whole data ----------------------------------------------------------------------------------------

    def sum(self, values: Tensor) -> Tensor:
        """Return the sum over ranks."""
        return values

    def mean(self, values: Tensor, weight: float) -> Tensor:
        """Return the mean over all ranks' rows, given that over this rank's, which weigh so much."""
        return values

    def maximum(self, values: Tensor) -> Tensor:
        """Return the maxima over ranks."""
        return values

    def announce(self, n: int, values: Tensor) -> None:
        """Say that the next n exchanges add up values like these, which makes each of them cheaper."""

    def add_up(self, values: Tensor) -> None:
        """Put the sum over ranks in the place of values."""

    def join(self, totals: tuple[Tensor, ...] | None, joins: Sequence[Callable]) -> tuple[Tensor, ...]:
        """Join the totals of ranks, the first by the first of ``joins``; None is of a rank that has no rows."""
        assert totals is not None
        return totals

    def count(self, n: int) -> int:
        """Return a number of rows, summed over ranks."""
        return n

    def before(self, n: int) -> int:
        """Return such a number, summed over the ranks before this one."""
        return 0

    def any(self, flag: bool) -> bool:
        """Tell whether a flag is raised on any rank."""
        return flag

    def gather(self, rows: Tensor) -> Tensor:
        """Return the whole's rows."""
        return rows

    def of_first(self, value: int) -> int:
        """Return a number that the first rank has."""
        return value

    def spread(self, networks: Sequence[nn.Module]) -> None:
        """Give the networks of all ranks the values of the first's."""

    def agree(self, facts: Callable[[], dict[str, Any]]) -> None:
        """Raise ValueError where ranks were given what does not go together."""

    # Of a batch -------------------------------------------------------------------------------------------

    def whole(self, rows: Tensor) -> Tensor:
        """Return the numbers of all ranks' rows, given the numbers of this rank's, as `mine` takes them."""
        return rows

    def mine(self, batch: Tensor) -> Tensor:
        """Begin a batch; return the numbers of this rank's rows in it.

        Where it has none, that is one row that counts nothing, so that each rank takes each step.
        """
        return batch

    def leave(self) -> None:
        """End what `mine` has begun."""

    def batches(self, rows: Tensor, size: int, *, padded: bool = True) -> Iterator[Tensor]:
        """Walk through rows in batches of the whole; not ``padded``, without those that no row here is in."""
        yield from rows.split(size)

    def batch_size(self, n: int) -> int:
        """Return how many rows the whole's batch has, of which ``n`` are here."""
        return n

    def rows_here(self, n: int) -> int:
        """Return how many of the ``n`` rows at hand count."""
        return n

    def counted(self, values: Tensor) -> Tensor:
        """Return what was made of the rows at hand, or zeros if they do not count."""
        return values

    def scale_to_share(self, gradient: Tensor) -> None:
        """Turn the gradient of a mean over this rank's rows into its share of that of the batch's, in place."""

    def batch_sum(self, values: Tensor) -> Tensor:
        """Return a sum over rows of the batch."""
        return values

    def batch_mean(self, values: Tensor) -> Tensor:
        """Return a mean over the rows of the batch, given that over the rows at hand; autograd can derive it."""
        return values

    def batch_weight(self, weight: Tensor) -> Tensor:
        """Return what to divide weighted sums over the rows at hand by, to make `batch_mean` of them."""
        return weight

    def gather_batch(self, values: Tensor) -> Tensor:
        """Return the rows of the batch."""
        return values

    def normalizing(self, networks: Sequence[nn.Module]) -> contextlib.AbstractContextManager[None]:
        """Return a context in which modules of batch normalization take means over all rows of the batch."""
        return contextlib.nullcontext()

    # Of noise ---------------------------------------------------------------------------------------------

    def noise(self, draw: Callable[[int], Tensor], n: int, axis: int = 0) -> Tensor:
        """Return noise for the n rows at hand, given what draws noise for so many rows, along an axis."""
        return draw(n)

    def fill(self, out: Tensor, draw: Callable[[Tensor], object]) -> None:
        """Fill a tensor with noise for the rows at hand, which it may hold several times, one after the other."""
        draw(out)

    def generator(self, generator: torch.Generator) -> torch.Generator:
        """Return a generator of numbers that differ from rank to rank."""
        return generator


# Which ranks there are -------------------------------------------------------------------------------------

_SINGLE = SingleProcess()
_current: ContextVar[SingleProcess] = ContextVar("ranks", default=_SINGLE)


def current() -> SingleProcess:
    """Return the ranks of the fit that is at work."""
    return _current.get()


@contextlib.contextmanager
def working_as(ranks: SingleProcess) -> Iterator[None]:
    """Inside, these are the ranks of the fit that is at work."""
    token = _current.set(ranks)
    try:
        yield
    finally:
        _current.reset(token)


def alone() -> contextlib.AbstractContextManager[None]:
    """Return a context in which this rank is on its own: what callbacks ask for is of its rows."""
    return working_as(_SINGLE)


# In `data_parallel` ------------------------------------------------------------------------------------------

_around_fits: ContextVar[Callable[[], contextlib.AbstractContextManager[None]] | None]
_around_fits = ContextVar("around_fits", default=None)


@contextlib.contextmanager
def fits_inside(context: Callable[[], contextlib.AbstractContextManager[None]]) -> Iterator[None]:
    """Let each fit be inside such a context, in which its ranks are at work."""
    token = _around_fits.set(context)
    try:
        yield
    finally:
        _around_fits.reset(token)


def together() -> contextlib.AbstractContextManager[None]:
    """Return the context of a fit: that of its ranks, if `data_parallel` was entered."""
    context = _around_fits.get()
    return contextlib.nullcontext() if context is None else context()


def refuse(what: str) -> None:
    """Raise inside `data_parallel`, for what looks at all rows in one process.

    Raises
    ------
    NotImplementedError
    """
    if _around_fits.get() is not None:
        raise NotImplementedError(
            f"{what} looks at all rows in one process, which skae.data_parallel does not share out. Call it "
            "outside."
        )
