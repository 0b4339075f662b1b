"""Dead units of sparse codes: which units win for no row of a window, and how they come back."""

from typing import Any

import torch
from torch import Tensor

from .._support.ranks import current
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
        self._highest: Tensor | None = None  # that each unit has passed on in this window, at places of a batch
        self._set_seen(0)

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
        self._least.index_copy_(0, self._units, lowered(cutoff(theirs, row_weight, self._joining)))  # type: ignore[arg-type]
        torch.ge(magnitude, self._least, out=out)
        torch.maximum(out, winners, out=out)

    def watch(self, magnitude: Tensor) -> None:
        """Note who wins, given what is passed on of a batch; after a window, who did not."""
        ranks, n = current(), magnitude.size(0)
        magnitude = ranks.counted(magnitude)
        if self._highest is None:
            self._highest = torch.zeros_like(magnitude)
        elif self._highest.size(0) < n:
            self._highest = torch.cat([self._highest, torch.zeros_like(magnitude[self._highest.size(0) :])])
        highest = self._highest if self._highest.size(0) == n else self._highest[:n]
        torch.maximum(highest, magnitude, out=highest)  # over rows only at the end: one cheap pass for each batch
        self._seen += ranks.batch_size(n)
        if self._seen >= self._due:
            self._review(self._highest)

    def _review(self, highest: Tensor) -> None:
        """Find out who has been dead for a window."""
        dead = current().maximum(highest.amax(0)) <= 0
        self.set_dead(dead.to(highest.dtype) if dead.any() else None)
        highest.zero_()
        self._set_seen(0 if self._seen >= self.n_rows else self._seen)

    def _set_seen(self, n_rows: int) -> None:
        """Note how many rows of this epoch have been seen, and after how many the window ends."""
        self._seen = n_rows
        number = 1 + n_rows * self._n_windows // self.n_rows
        self._due = -(-number * self.n_rows // self._n_windows)

    def state(self) -> dict[str, Any]:
        """Return what has been seen so far."""
        highest = None if self._highest is None else self._highest.amax(0)
        return {"dead": self.dead, "highest": highest, "seen": self._seen}

    def load_state(self, state: dict[str, Any]) -> None:
        """Carry on from what `state` returned."""
        self.set_dead(state["dead"])
        self._highest = None if state["highest"] is None else state["highest"][None].clone()
        self._set_seen(state["seen"])
