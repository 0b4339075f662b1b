"""Entries hidden from a batch at random, as if they were missing: so that codes of rows with holes are learnt."""

from collections.abc import Sequence

import torch
from torch import Tensor

from .._support.held_out import TrainingOnly

WHOLE = 0.8  # share of the rows that nothing is hidden from


class Hiding(TrainingOnly):
    """Hides groups of columns from rows whose missing entries are marked, anew for each batch.

    Four fifths of the rows stay whole; of each other, a share of its groups is hidden that is itself drawn evenly
    from [0, 1). What is hidden counts neither as an input nor in the loss.

    Parameters
    ----------
    groups : sequence of int
        Of each column, the number of the group that is hidden with it.
    generator : torch.Generator
        On the batches' device.
    """

    def __init__(self, groups: Sequence[int], generator: torch.Generator) -> None:
        self.generator = generator
        self._groups = torch.tensor([*groups], device=generator.device)
        self._n_groups = max(groups) + 1

    def __call__(self, x: Tensor, weight: Tensor) -> None:
        """Hide entries of a batch, (n, 2 d) with marks, and of the entries' weights, (n, d), in place."""
        if self.is_held_out:
            return
        n, width = weight.shape
        number = torch.rand(n, self._n_groups + 1, dtype=torch.float32, generator=self.generator, device=x.device)
        share = ((number[:, :1] - WHOLE) / (1 - WHOLE)).clamp_min_(0)
        hidden = (number[:, 1:] < share)[:, self._groups]
        x[:, :width].masked_fill_(hidden, 0)
        x[:, width:].masked_fill_(hidden, 1)
        weight.masked_fill_(hidden, 0)
