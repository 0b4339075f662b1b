"""Selecting a few units of a code: which of them win, in training and afterwards.

Units win by magnitude. In training some kinds let the rows of a batch compete with each other; a fitted network
never does, so that each row's code depends on that row alone.
"""

import functools
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

# Writes ones for the units that win and zeros for the others, given (magnitude, row_weight, out).
Choose = Callable[[Tensor, Tensor | None, Tensor], object]
_SLACK = 1e-6  # more than the rounding that tells equal rows apart which stand at different places of a batch


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
        return magnitude.amin(0) if n_kept == len(magnitude) else magnitude.topk(n_kept, 0).values[-1]
    ordered, order = magnitude.sort(0, descending=True)
    held = weight[order].cumsum(0)
    last = (held < share * (1 - _SLACK) * held[-1]).sum(0, keepdim=True)
    return ordered.gather(0, last)[0]


def batch_cutoff(magnitude: Tensor, row_weight: Tensor | None, k: int) -> Tensor:
    """Return how far down the largest entries of a batch reach, k for each row on average: 0-d."""
    flat = magnitude.reshape(-1)
    if row_weight is None:
        return torch.topk(flat, magnitude.size(0) * k, 0, True, False)[0].min()
    return cutoff(flat, row_weight.expand_as(magnitude).reshape(-1), k / magnitude.shape[1])


def _lowered(cut: Tensor) -> Tensor:
    return cut.sub_(cut, alpha=_SLACK)


def by_row(k: int) -> Choose:
    """Let the units of a row compete: k win."""
    memory: dict[int, tuple[Tensor, Tensor, Tensor]] = {}  # by number of rows

    def choose(magnitude: Tensor, row_weight: Tensor | None, out: Tensor) -> None:
        n = magnitude.size(0)
        found = memory.get(n)
        if found is None:
            index = torch.empty(n, k, dtype=torch.int64, device=magnitude.device)
            found = memory[n] = magnitude.new_empty(n, k), index, magnitude.new_ones(n, k)
        values, index, ones = found
        torch.topk(magnitude, k, 1, True, False, out=(values, index))
        out.zero_().scatter_(1, index, ones)

    return choose


def by_batch(k: int) -> Choose:
    """Let all units of all rows compete: k for each row win, on average."""

    def choose(magnitude: Tensor, row_weight: Tensor | None, out: Tensor) -> None:
        torch.ge(magnitude, _lowered(batch_cutoff(magnitude, row_weight, k)), out=out)

    return choose


def by_unit(rate: float) -> Choose:
    """Let the rows compete for each unit: the share ``rate`` of them wins."""

    def choose(magnitude: Tensor, row_weight: Tensor | None, out: Tensor) -> None:
        weight = None if row_weight is None else row_weight[:, 0]
        torch.ge(magnitude, _lowered(cutoff(magnitude, weight, rate)), out=out)

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
        forty times that share, at least 2000, or an epoch if that is less.
    n_rows : int
        Rows of an epoch.
    silent : Tensor of shape (m,) or None
        Ones for units that are silent to begin with; None for no unit.
    """

    def __init__(self, weight: float, share: float, n_rows: int, silent: Tensor | None) -> None:
        self.weight, self.n_rows = weight, n_rows
        self.set_silent(silent)
        self._joining = min(1.0, 4 * share)
        self._n_whiles = max(1, round(n_rows / max(2000, 40 / share)))  # of an epoch
        self._won: dict[int, Tensor] = {}  # by number of rows of a batch
        self._seen, self._due = 0, self._end_of_while(1)

    def set_silent(self, silent: Tensor | None) -> None:
        """Say which units are silent: ones for these, or None for no unit."""
        self.silent = silent
        self.repeats = 1 if silent is None else 2  # passes through the decoder
        self._units = None if silent is None else silent.nonzero()[:, 0]
        self._least: Tensor | None = None  # what each unit needs to join; infinite for those that need not

    def join(self, magnitude: Tensor, row_weight: Tensor | None, winners: Tensor, out: Tensor) -> None:
        """Write ones for winners and for the silent units that join them."""
        if self._joining == 1:  # for all rows
            torch.maximum(winners, self.silent, out=out)  # type: ignore[arg-type]
            return
        if self._least is None:
            self._least = magnitude.new_full((magnitude.shape[1],), torch.inf)
        theirs = magnitude.index_select(1, self._units)  # type: ignore[arg-type]
        weight = None if row_weight is None else row_weight[:, 0]
        self._least.index_copy_(0, self._units, _lowered(cutoff(theirs, weight, self._joining)))  # type: ignore[arg-type]
        torch.ge(magnitude, self._least, out=out)
        torch.maximum(out, winners, out=out)

    def watch(self, magnitude: Tensor, n: int) -> None:
        """Note who wins, given what is passed on of ``n`` rows; after a while, who did not."""
        won = self._won.get(n)
        if won is None:
            won = self._won[n] = torch.zeros_like(magnitude)
        torch.maximum(won, magnitude, out=won)  # over rows only at the end: one cheap pass for each batch
        self._seen += n
        if self._seen >= self._due:
            self._review(magnitude.dtype)

    def _review(self, dtype: torch.dtype) -> None:
        """Find out who has been silent for a while."""
        highest = functools.reduce(torch.maximum, [won.amax(0) for won in self._won.values()])
        self.set_silent((highest <= 0).to(dtype) if highest.min() <= 0 else None)
        for won in self._won.values():
            won.zero_()
        if self._seen >= self.n_rows:
            self._seen = 0
        self._due = self._end_of_while(1 + self._seen * self._n_whiles // self.n_rows)

    def _end_of_while(self, number: int) -> int:
        return -(-number * self.n_rows // self._n_whiles)


class Competition:
    """The bridge that passes on the units that win, in training; a `Selection` is what is left of it later.

    Parameters
    ----------
    choose : callable (magnitude, row_weight, out)
        Writes ones for the winners and zeros for the others; ``row_weight`` is (n, 1) or None.
    signed : bool
        Whether codes may be negative.
    revival : Revival or None
    """

    importance: Tensor | None = None

    def __init__(self, choose: Choose, signed: bool, revival: Revival | None = None) -> None:
        self._choose, self._signed, self._revival = choose, signed, revival
        self.auxiliary = None if revival is None else revival.weight
        self._masks: dict[int, tuple[Tensor, Tensor]] = {}  # by number of rows: who wins, and who does or joins
        self._winners = self._joined = torch.empty(0, 0)
        self._n, self._anybody_joins = 0, False  # of the last batch
        self._halves: dict[int, tuple[Tensor, Tensor, Tensor]] = {}  # of memory that is served time after time

    @property
    def repeats(self) -> int:
        return 1 if self._revival is None else self._revival.repeats

    @property
    def silent(self) -> Tensor | None:
        """Ones for the units that are silent now; None for no unit."""
        return None if self._revival is None else self._revival.silent

    def width(self, code_width: int) -> int:
        return code_width

    def _decide(self, code: Tensor, row_weight: Tensor | None) -> None:
        """Decide who is passed on, and whether anybody may join."""
        magnitude = code.abs() if self._signed else code
        n = self._n = code.size(0)
        masks = self._masks.get(n)
        if masks is None:
            masks = self._masks[n] = torch.empty_like(code), torch.empty_like(code)
        self._winners, self._joined = masks
        self._choose(magnitude, row_weight, self._winners)
        revival = self._revival
        self._anybody_joins = revival is not None and revival.silent is not None
        if self._anybody_joins:
            revival.join(magnitude, row_weight, self._winners, self._joined)  # type: ignore[union-attr]

    def forward(self, code: Tensor, z: Tensor, row_weight: Tensor | None) -> None:
        self._decide(code, row_weight)
        if self._anybody_joins:
            _, z, joined = self._split(z)
            torch.mul(code, self._joined, out=joined)
        torch.mul(code, self._winners, out=z)
        if self._revival is not None:
            self._revival.watch(z.abs() if self._signed else z, self._n)

    def backward(self, code: Tensor, dz: Tensor, dcode: Tensor, row_weight: Tensor | None) -> None:
        if not self._anybody_joins:
            torch.mul(dz, self._winners, out=dcode)
            return
        _, passed, joined = self._split(dz)
        torch.mul(passed, self._winners, out=dcode).addcmul_(joined, self._joined)

    def _split(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return memory, whose number is then no other's, and its two halves."""
        found = self._halves.get(id(rows))
        if found is None:
            found = self._halves[id(rows)] = (rows, *rows.chunk(2))  # type: ignore[assignment]
        return found  # type: ignore[return-value]

    def through(self, code: Tensor, row_weight: Tensor | None) -> tuple[Tensor, None]:
        self._decide(code.detach(), row_weight)
        z = code * self._winners
        if self._revival is not None:
            self._revival.watch(z.detach().abs(), self._n)
        return torch.cat([z, code * self._joined]) if self._anybody_joins else z, None

    @contextmanager
    def repeated(self) -> Iterator[None]:
        """Judge held-out rows by the winners alone, unwatched."""
        revival, self._revival = self._revival, None
        try:
            yield
        finally:
            self._revival = revival
