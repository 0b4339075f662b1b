"""Which units of a code win, by magnitude: within a row, within a batch, or for each unit.

In training some kinds let the rows of a batch compete with each other; a fitted network never does, so that each
row's code depends on that row alone.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from .._networks.selection import top_k
from .._support.ranks import current

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
    weight : Tensor of shape (n,) or (n, 1), or None
    share : float in (0, 1]

    Returns
    -------
    cutoff : Tensor of shape () or (m,)
    """
    return _cutoff(*_whole(magnitude, weight), share)


def _cutoff(magnitude: Tensor, weight: Tensor | None, share: float) -> Tensor:
    if weight is None:
        n_kept = max(1, math.ceil(share * len(magnitude) * (1 - _SLACK)))
        return magnitude.amin(0) if n_kept == len(magnitude) else magnitude.topk(n_kept, 0).values[-1]
    ordered, order = magnitude.sort(0, descending=True)
    held = weight.flatten()[order].cumsum(0)
    last = (held < share * (1 - _SLACK) * held[-1]).sum(0, keepdim=True)
    return ordered.gather(0, last)[0]


def batch_cutoff(magnitude: Tensor, row_weight: Tensor | None, k: int) -> Tensor:
    """Return how far down the largest entries of a batch reach, k for each row on average: 0-d."""
    magnitude, row_weight = _whole(magnitude, row_weight)
    flat = magnitude.reshape(-1)
    if row_weight is None:
        return torch.topk(flat, magnitude.size(0) * k, 0, True, False)[0].min()
    return _cutoff(flat, row_weight.expand_as(magnitude), k / magnitude.shape[1])


def _whole(magnitude: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Return what competes: the rows of the batch on all ranks."""
    ranks = current()
    return ranks.gather_batch(magnitude), None if weight is None else ranks.gather_batch(weight)


def lowered(cut: Tensor) -> Tensor:
    return cut.sub_(cut, alpha=_SLACK)


def by_row(k: int) -> Choose:
    """Let the units of a row compete: k win."""
    return lambda magnitude, weight, out: top_k(magnitude, k, out)


def by_batch(k: int) -> Choose:
    """Let all units of all rows compete: k for each row win, on average."""
    return lambda magnitude, weight, out: torch.ge(magnitude, lowered(batch_cutoff(magnitude, weight, k)), out=out)


def by_unit(rate: float) -> Choose:
    """Let the rows compete for each unit: the share ``rate`` of them wins."""
    return lambda magnitude, weight, out: torch.ge(magnitude, lowered(cutoff(magnitude, weight, rate)), out=out)
