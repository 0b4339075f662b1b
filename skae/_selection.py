"""Selecting a few units of a code: which of them win, in training and afterwards.

Units win by magnitude. In training some kinds let the rows of a batch compete with each other; a fitted network
never does, so that each row's code depends on that row alone.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

Choose = Callable[[Tensor, Tensor | None], Tensor]
_SLACK = 1e-6  # rounding, which tells equal rows apart that stand at different places of a batch


class Selection(nn.Module):
    """What a fitted encoder ends in where only some units are kept."""

    def keep_(self, code: Tensor) -> Tensor:
        """Set all but the winners to zero, in place."""
        return code.mul_(self.winners(code))

    def winners(self, code: Tensor) -> Tensor:
        """Return ones for units that are kept and zeros for the others, of the code's shape and dtype."""
        raise AssertionError("a selection defines its winners")  # pragma: no cover

    def forward(self, code: Tensor) -> Tensor:
        return code * self.winners(code.detach())


class TopK(Selection):
    """Keeps the ``n_active`` units of largest magnitude in each row."""

    def __init__(self, n_active: int) -> None:
        super().__init__()
        self.n_active = n_active

    def winners(self, code: Tensor) -> Tensor:
        return top_k(code.abs(), self.n_active)

    def extra_repr(self) -> str:
        return f"n_active={self.n_active}"


class Threshold(Selection):
    """Keeps units whose magnitude is at least ``threshold``, which was found on the training rows."""

    threshold: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("threshold", torch.zeros(()))

    def winners(self, code: Tensor) -> Tensor:
        return (code.abs() >= self.threshold.to(code.dtype)).to(code.dtype)

    def extra_repr(self) -> str:
        return f"threshold={self.threshold.item():.4g}"


def selection(description: tuple | None) -> Selection | None:
    """Build the selection that an `Architecture` describes: ``("topk", k)``, ``("threshold",)`` or None."""
    if description is None:
        return None
    kind, *parameters = description
    return {"topk": TopK, "threshold": Threshold}[kind](*parameters)


def top_k(magnitude: Tensor, k: int) -> Tensor:
    """Return ones at the k largest entries of each row, zeros elsewhere."""
    return torch.zeros_like(magnitude).scatter_(1, magnitude.topk(k, 1, sorted=False).indices, 1)


def cutoff(magnitude: Tensor, weight: Tensor | None, share: float) -> Tensor:
    """Return how far down the largest entries of each column reach that hold ``share`` of the weight.

    Entries equal to the cutoff belong to them, all of them: an entry of weight two is then treated as two
    equal entries of weight one are.

    Parameters
    ----------
    magnitude : Tensor of shape (n, m)
    weight : Tensor of shape (n,) or None
    share : float in (0, 1]

    Returns
    -------
    cutoff : Tensor of shape (m,)
    """
    if weight is None:
        n_kept = max(1, math.ceil(share * len(magnitude) * (1 - _SLACK)))
        return magnitude.topk(n_kept, 0, sorted=False).values.amin(0)
    ordered, order = magnitude.sort(0, descending=True)
    held = weight[order].cumsum(0)
    wanted = share * (1 - _SLACK) * held[-1]
    last = (held < wanted).sum(0, keepdim=True)
    return ordered.gather(0, last)[0]


def batch_cutoff(magnitude: Tensor, row_weight: Tensor | None, k: int) -> Tensor:
    """Return how far down the largest entries of a batch reach, k for each row on average: 0-d."""
    n, m = magnitude.shape
    weight = None if row_weight is None else row_weight.expand(n, m).reshape(-1)
    return cutoff(magnitude.reshape(-1, 1), weight, k / m)[0]


def _at_least(magnitude: Tensor, cut: Tensor) -> Tensor:
    return (magnitude >= cut * (1 - _SLACK)).to(magnitude.dtype)


def by_row(k: int) -> Choose:
    """Let the units of a row compete: k win."""
    return lambda magnitude, row_weight: top_k(magnitude, k)


def by_batch(k: int) -> Choose:
    """Let all units of all rows compete: k for each row win, on average."""
    return lambda magnitude, row_weight: _at_least(magnitude, batch_cutoff(magnitude, row_weight, k))


def by_unit(rate: float) -> Choose:
    """Let the rows compete for each unit: the share ``rate`` of them wins."""

    def choose(magnitude: Tensor, row_weight: Tensor | None) -> Tensor:
        weight = None if row_weight is None else row_weight[:, 0]
        return _at_least(magnitude, cutoff(magnitude, weight, rate))

    return choose


class Revival:
    """Watches which units win, and gives those that no longer do something to learn.

    A unit is silent if it won for no row of the epoch before. Silent units join the winners in a second pass
    through the decoder, whose loss counts ``weight``: they learn to mend what the winners leave.

    Parameters
    ----------
    weight : float
    n_rows : int
        Rows of an epoch.
    at_most : int
        Silent units that join in a row, the largest.
    silent : Tensor of shape (m,) or None
        Ones for units that are silent to begin with; None for no unit.
    """

    def __init__(self, weight: float, n_rows: int, at_most: int, silent: Tensor | None) -> None:
        self.weight, self.n_rows, self.at_most = weight, n_rows, at_most
        self.silent = silent
        self._won: Tensor | None = None
        self._seen = 0

    def join(self, magnitude: Tensor, winners: Tensor) -> Tensor:
        """Return ones for winners and for the silent units that join them."""
        silent = winners.new_tensor(0.0) if self.silent is None else self.silent.to(winners.dtype)
        if int(silent.sum()) > self.at_most:
            silent = top_k(magnitude * silent, self.at_most) * silent
        return torch.maximum(winners, silent)

    def watch(self, magnitude: Tensor) -> None:
        """Note who wins, given what is passed on; after an epoch's rows, who did not."""
        won = magnitude.amax(0)
        self._won = won if self._won is None else torch.maximum(self._won, won, out=self._won)
        self._seen += len(magnitude)
        if self._seen >= self.n_rows:
            silent = self._won <= 0
            self.silent = silent.to(magnitude.dtype) if silent.any() else None
            self._won, self._seen = None, 0


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
        self.shares = None if revival is None else (1.0, revival.weight)
        self._winners = self._joined = torch.empty(0)

    @property
    def repeats(self) -> int:
        return 1 if self._revival is None or self._revival.silent is None else 2

    @property
    def silent(self) -> Tensor | None:
        """Ones for the units that won for no row of the last whole epoch; None for no unit."""
        return None if self._revival is None else self._revival.silent

    def width(self, code_width: int) -> int:
        return code_width

    def _compete(self, code: Tensor, row_weight: Tensor | None) -> int:
        """Decide who is passed on, and return in how many ways."""
        magnitude = code.abs() if self._signed else code
        self._winners = self._choose(magnitude, row_weight)
        repeats = self.repeats
        if repeats > 1:
            self._joined = self._revival.join(magnitude, self._winners)  # type: ignore[union-attr]
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
