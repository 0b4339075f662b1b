"""Dead units of sparse codes: which units win for no row of a window, and how they come back."""

import functools
from typing import Any

import torch
from torch import Tensor

from .._support.sizes import MOST_SIZES
from .winners import cutoff, lowered


class DeadUnits:
    """Watches which units win, and gives those that no longer do something to learn.

    A unit is dead if it won for no row of a window. Dead units join the winners in a second pass through the
    decoder, whose loss counts ``weight``: there they learn to reconstruct the residual of the winners.

    Parameters
    ----------
    weight : float
    share : float in (0, 1]
        The fraction of the rows that each unit would win if all were equal. Each dead unit joins for four
        times that share of a batch, for the rows for which it is largest. A window is as many rows as hold
        forty times that share, at least 2000, or an epoch if that is less.
    n_rows : int or None
        Rows of an epoch; None where rows come in portions, over whose bounds windows go on.
    dead : Tensor of shape (m,) or None
        Ones for units that are dead to begin with; None for no unit.
    """

    def __init__(self, weight: float, share: float, n_rows: int | None, dead: Tensor | None) -> None:
        self.weight = weight
        window = max(2000, round(40 / share))
        self.n_rows = window if n_rows is None else n_rows
        self.set_dead(dead)
        self._joining = min(1.0, 4 * share)
        self._n_windows = max(1, round(self.n_rows / window))  # of an epoch
        self._won: dict[int, Tensor] = {}  # by number of rows of a batch
        self._seen, self._due = 0, self._end_of_window(1)

    def set_dead(self, dead: Tensor | None) -> None:
        """Say which units are dead: ones for these, or None for no unit."""
        self.dead = dead
        self._units = None if dead is None else dead.nonzero()[:, 0]
        self._least: Tensor | None = None  # what each unit needs to join; infinite for those that need not

    def join(self, magnitude: Tensor, row_weight: Tensor | None, winners: Tensor, out: Tensor) -> None:
        """Write ones for winners and for the dead units that join them."""
        if self._joining == 1:  # for all rows
            torch.maximum(winners, self.dead, out=out)  # type: ignore[arg-type]
            return
        if self._least is None:
            self._least = magnitude.new_full((magnitude.shape[1],), torch.inf)
        theirs = magnitude.index_select(1, self._units)  # type: ignore[arg-type]
        weight = None if row_weight is None else row_weight[:, 0]
        self._least.index_copy_(0, self._units, lowered(cutoff(theirs, weight, self._joining)))  # type: ignore[arg-type]
        torch.ge(magnitude, self._least, out=out)
        torch.maximum(out, winners, out=out)

    def watch(self, magnitude: Tensor) -> None:
        """Note who wins, given what is passed on of a batch; after a window, who did not."""
        n = magnitude.size(0)
        won = self._won.get(n)
        if won is None:
            if len(self._won) == MOST_SIZES:
                self._won = {1: self._highest()[None]}
            won = self._won[n] = self._won.get(n, torch.zeros_like(magnitude))
        torch.maximum(won, magnitude, out=won)  # over rows only at the end: one cheap pass for each batch
        self._seen += n
        if self._seen >= self._due:
            self._review(magnitude.dtype)

    def _highest(self) -> Tensor:
        """Return the largest that each unit has passed on in this window."""
        return functools.reduce(torch.maximum, [won.amax(0) for won in self._won.values()])

    def _review(self, dtype: torch.dtype) -> None:
        """Find out who has been dead for a window."""
        highest = self._highest()
        self.set_dead((highest <= 0).to(dtype) if highest.min() <= 0 else None)
        for won in self._won.values():
            won.zero_()
        if self._seen >= self.n_rows:
            self._seen = 0
        self._due = self._end_of_window(1 + self._seen * self._n_windows // self.n_rows)

    def _end_of_window(self, number: int) -> int:
        return -(-number * self.n_rows // self._n_windows)

    def state(self) -> dict[str, Any]:
        """Return what has been seen so far."""
        return {"dead": self.dead, "highest": self._highest() if self._won else None, "seen": self._seen}

    def load_state(self, state: dict[str, Any]) -> None:
        """Carry on from what `state` returned."""
        self.set_dead(state["dead"])
        self._won = {} if state["highest"] is None else {1: state["highest"][None].clone()}
        self._seen = state["seen"]
        self._due = self._end_of_window(1 + self._seen * self._n_windows // self.n_rows)
