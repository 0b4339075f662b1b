"""Dropout: in training, hidden units are left out at random, and the others count for more (Srivastava 2014)."""

import torch
from torch import Tensor

from .._support.held_out import TrainingOnly
from .._support.ranks import current


class Dropout(TrainingOnly):
    """Masks for hidden units, drawn anew for each row and step; all ones for rows held out.

    Parameters
    ----------
    rate : float
        The share of units to leave out, in [0, 1).
    generator : torch.Generator
    """

    def __init__(self, rate: float, generator: torch.Generator) -> None:
        self.keeps, self._generator = 1 - rate, generator

    def apply(self, activation: Tensor, mask: Tensor, out: Tensor) -> None:
        """Write to ``out`` what is left of the units; ``mask`` is drawn, for the way back."""
        if self.is_held_out:
            mask.fill_(1)
        else:
            self._draw(mask)
        torch.mul(activation, mask, out=out)

    def __call__(self, activation: Tensor) -> Tensor:
        """Return what is left of the units, differentiable by autograd."""
        if self.is_held_out:
            return activation
        mask = torch.empty_like(activation)
        self._draw(mask)
        return activation * mask

    def _draw(self, mask: Tensor) -> None:
        current().fill(mask, lambda masks: masks.bernoulli_(self.keeps, generator=self._generator))
        mask.mul_(1 / self.keeps)
