"""Selecting a few units of a code: which of them win, in training and afterwards.

Units win by magnitude. In training some kinds let the rows of a batch compete with each other; a fitted network
never does, so that each row's code depends on that row alone.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

# Writes ones for the units that win and zeros for the others, given (magnitude, row_weight, out).
Choose = Callable[[Tensor, Tensor | None, Tensor], object]
_SLACK = 1e-6  # more than the rounding that tells equal rows apart which stand at different places of a batch


class Selection(nn.Module):
    """What a fitted encoder ends in where only some units are kept."""

    def choose(self, magnitude: Tensor, out: Tensor) -> None:
        """Write ones for units that are kept and zeros for the others."""
        raise AssertionError("a selection defines its choice")  # pragma: no cover

    def keep_(self, code: Tensor) -> Tensor:
        """Set all but the units that are kept to zero, in place."""
        kept = torch.empty_like(code)
        self.choose(code.abs(), kept)
        return code.mul_(kept)

    def forward(self, code: Tensor) -> Tensor:
        kept = torch.empty_like(code)
        self.choose(code.detach().abs(), kept)
        return code * kept


class TopK(Selection):
    """Keeps the ``n_active`` units of largest magnitude in each row."""

    def __init__(self, n_active: int) -> None:
        super().__init__()
        self.n_active = n_active

    def choose(self, magnitude: Tensor, out: Tensor) -> None:
        top_k(magnitude, self.n_active, out)

    def extra_repr(self) -> str:
        return f"n_active={self.n_active}"


class Threshold(Selection):
    """Keeps units whose magnitude is at least ``threshold``, which was found on the training rows."""

    threshold: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("threshold", torch.zeros(()))

    def choose(self, magnitude: Tensor, out: Tensor) -> None:
        torch.ge(magnitude, self.threshold.to(magnitude.dtype), out=out)

    def extra_repr(self) -> str:
        return f"threshold={self.threshold.item():.4g}"


def selection(description: tuple | None) -> Selection | None:
    """Build the selection that an `Architecture` describes: ``("topk", k)``, ``("threshold",)`` or None."""
    if description is None:
        return None
    kind, *parameters = description
    return {"topk": TopK, "threshold": Threshold}[kind](*parameters)


def top_k(magnitude: Tensor, k: int, out: Tensor) -> None:
    """Write ones at the k largest entries of each row, zeros elsewhere."""
    out.zero_().scatter_(1, magnitude.topk(k, 1, sorted=False).indices, 1)


def cutoff(magnitude: Tensor, weight: Tensor | None, share: float) -> Tensor:
    """Return how far down the largest entries of each column reach that hold ``share`` of the weight.

    Entries equal to the cutoff belong to them, all of them: an entry of weight two is then treated as two
    equal entries of weight one are.

    Parameters
    ----------
    magnitude : Tensor of shape (n,) or (n, m)
    weight : Tensor of shape (n,) or None
    share : float in (0, 1]

    Returns
    -------
    cutoff : Tensor of shape () or (m,)
    """
    if weight is None:
        n_kept = max(1, math.ceil(share * len(magnitude) * (1 - _SLACK)))
        return magnitude.topk(n_kept, 0).values[-1]
    ordered, order = magnitude.sort(0, descending=True)
    held = weight[order].cumsum(0)
    last = (held < share * (1 - _SLACK) * held[-1]).sum(0, keepdim=True)
    return ordered.gather(0, last)[0]


def batch_cutoff(magnitude: Tensor, row_weight: Tensor | None, k: int) -> Tensor:
    """Return how far down the largest entries of a batch reach, k for each row on average: 0-d."""
    flat = magnitude.reshape(-1)
    if row_weight is None:
        return flat.topk(len(magnitude) * k, sorted=False).values.min()
    return cutoff(flat, row_weight.expand_as(magnitude).reshape(-1), k / magnitude.shape[1])


def _at_least(cut: Tensor, magnitude: Tensor, out: Tensor) -> None:
    torch.ge(magnitude, cut.sub_(cut, alpha=_SLACK), out=out)


def by_row(k: int) -> Choose:
    """Let the units of a row compete: k win."""
    return lambda magnitude, row_weight, out: top_k(magnitude, k, out)


def by_batch(k: int) -> Choose:
    """Let all units of all rows compete: k for each row win, on average."""

    def choose(magnitude: Tensor, row_weight: Tensor | None, out: Tensor) -> None:
        _at_least(batch_cutoff(magnitude, row_weight, k), magnitude, out)

    return choose


def by_unit(rate: float) -> Choose:
    """Let the rows compete for each unit: the share ``rate`` of them wins."""

    def choose(magnitude: Tensor, row_weight: Tensor | None, out: Tensor) -> None:
        weight = None if row_weight is None else row_weight[:, 0]
        _at_least(cutoff(magnitude, weight, rate), magnitude, out)

    return choose


class Revival:
    """Watches which units win, and gives those that no longer do something to learn.

    A unit is silent if it won for no row of a while. Silent units join the winners in a second pass through the
    decoder, whose loss counts ``weight``: there they learn to mend what the winners leave.

    Parameters
    ----------
    weight : float
    share : float in (0, 1]
        The fraction of the rows that each unit would win if all were equal. Each silent unit joins for four
        times that share of a batch, for the rows for which it is largest. The while is as many rows as hold
        forty times that share, or an epoch if that is less.
    n_rows : int
        Rows of an epoch.
    silent : Tensor of shape (m,) or None
        Ones for units that are silent to begin with; None for no unit.
    """

    def __init__(self, weight: float, share: float, n_rows: int, silent: Tensor | None) -> None:
        self.weight, self.n_rows, self.silent = weight, n_rows, silent
        self._joining = min(1.0, 4 * share)
        self._n_whiles = max(1, round(n_rows * share / 40))  # of an epoch
        self._won: Tensor | None = None
        self._seen = 0

    def join(self, magnitude: Tensor, row_weight: Tensor | None, winners: Tensor) -> Tensor:
        """Return ones for winners and for the silent units that join them."""
        units = self.silent.nonzero()[:, 0]  # type: ignore[union-attr]
        theirs = magnitude[:, units]
        join = torch.empty_like(theirs)
        by_unit(self._joining)(theirs, row_weight, join)
        return winners.index_copy(1, units, torch.maximum(join, winners[:, units]))

    def watch(self, magnitude: Tensor) -> None:
        """Note who wins, given what is passed on; after a while, who did not."""
        n = len(magnitude)
        if self._won is None:
            self._won = torch.zeros_like(magnitude)
        elif len(self._won) < n:
            self._won = torch.cat([self._won, self._won.new_zeros(n - len(self._won), self._won.shape[1])])
        won = self._won if len(self._won) == n else self._won[:n]
        torch.maximum(won, magnitude, out=won)  # over rows only at the end: one cheap pass for each batch
        before, self._seen = self._seen, self._seen + n
        if self._seen * self._n_whiles // self.n_rows > before * self._n_whiles // self.n_rows:
            silent = self._won.amax(0) <= 0
            self.silent = silent.to(magnitude.dtype) if silent.any() else None
            self._won.zero_()
        if self._seen >= self.n_rows:
            self._seen = 0


class Competition:
    """The bridge that passes on the units that win, in training; a `Selection` is what is left of it later.

    Parameters
    ----------
    choose : callable (magnitude, row_weight) -> Tensor of ones and zeros
        ``row_weight`` is (n, 1) or None.
    signed : bool
        Whether codes may be negative.
    revival : Revival or None
    """

    def __init__(self, choose: Choose, signed: bool, revival: Revival | None = None) -> None:
        self._choose, self._signed, self._revival = choose, signed, revival
        self.auxiliary = None if revival is None else revival.weight
        self._winners = self._joined = torch.empty(0, 0)

    @property
    def repeats(self) -> int:
        return 1 if self._revival is None or self._revival.silent is None else 2

    @property
    def silent(self) -> Tensor | None:
        """Ones for the units that are silent now; None for no unit."""
        return None if self._revival is None else self._revival.silent

    def width(self, code_width: int) -> int:
        return code_width

    def _compete(self, code: Tensor, row_weight: Tensor | None) -> int:
        """Decide who is passed on, and return in how many ways."""
        magnitude = code.abs() if self._signed else code
        if len(self._winners) != len(code):
            self._winners = torch.empty_like(code)
        self._choose(magnitude, row_weight, self._winners)
        repeats = self.repeats
        if repeats > 1:
            self._joined = self._revival.join(  # type: ignore[union-attr]
                magnitude, row_weight, self._winners
            )
        return repeats

    def _watch(self, passed: Tensor) -> None:
        if self._revival is not None:
            self._revival.watch(passed.abs() if self._signed else passed)

    def forward(self, code: Tensor, z: Tensor, row_weight: Tensor | None) -> None:
        if self._compete(code, row_weight) == 1:
            passed = torch.mul(code, self._winners, out=z)
        else:
            passed = torch.mul(code, self._winners, out=z[: len(code)])
            torch.mul(code, self._joined, out=z[len(code) :])
        self._watch(passed)

    def backward(self, code: Tensor, dz: Tensor, dcode: Tensor, row_weight: Tensor | None) -> None:
        n = len(code)
        if len(dz) == n:
            torch.mul(dz, self._winners, out=dcode)
        else:
            torch.mul(dz[:n], self._winners, out=dcode).addcmul_(dz[n:], self._joined)

    def through(self, code: Tensor, row_weight: Tensor | None) -> tuple[Tensor, None]:
        repeats = self._compete(code.detach(), row_weight)
        z = passed = code * self._winners
        if repeats > 1:
            z = torch.cat([passed, code * self._joined])
        self._watch(passed.detach())
        return z, None

    @contextmanager
    def repeated(self) -> Iterator[None]:
        """Judge held-out rows by the winners alone, unwatched."""
        revival, self._revival = self._revival, None
        try:
            yield
        finally:
            self._revival = revival
