"""Prefixes of a code, its first k units with zeros for the others: which are trained, and what decodes them.

One decoder for all prefixes restores the short ones much worse than a network trained for their width does.
Decoders of their own restore them nearly as well, but a hundred units want no hundred decoders: the prefixes
between a power of two and the next share four.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from .._networks.nested import group_ends
from .._training.optimizers import raised

FIRST = (3.0, 3.0, 2.0)  # what the loss of the first groups counts for; the others count one
WHOLE = 2.0  # what that of the last counts for at least
LATER = 5.0  # what all groups after its own count for together in a unit's gradient; else they would rule it


class Prefixes:
    """The bridge that passes on a prefix of each group, drawn anew for each batch; see `Bridge`.

    Nested dropout (Rippel et al. 2014) draws a prefix for each row; here all rows share the draws, so that weights
    of rows act as repetitions do.

    Parameters
    ----------
    width : int
        Of the code.
    generator : torch.Generator
    """

    auxiliary: float | None = None

    def __init__(self, width: int, generator: torch.Generator) -> None:
        self._generator = generator
        self._units = torch.arange(width, device=generator.device)
        self._ends = torch.tensor(group_ends(width), device=generator.device)
        self._sizes = self._ends.diff(prepend=self._ends.new_zeros(1))
        self.repeats = len(self._ends)
        group = torch.bucketize(self._units + 1, self._ends)  # of each unit
        later = (LATER / (self.repeats - 1 - group)).clamp_max(1)
        own = group == torch.arange(self.repeats, device=generator.device)[:, None]
        self._shares = torch.where(own, 1.0, later)
        # Relative to the losses' sizes, or wide prefixes, whose losses are small, would hardly be felt.
        importance = torch.ones(self.repeats, device=generator.device)
        importance[: len(FIRST)] = importance.new_tensor(FIRST[: self.repeats])
        importance[-1:].clamp_(min=WHOLE)
        self.importance: Tensor | None = importance / importance.mean()
        self._held_out = False
        self._felt = torch.empty(0)

    def rate(self, learning_rate: float, solver: str) -> float:
        """Return the learning rate for as many prefixes at once.

        They are like a batch so many times as large, where rates may rise in proportion, or for an adaptive solver
        with the square root (Malladi et al. 2022).
        """
        return raised(learning_rate, self.repeats if solver == "sgd" else self.repeats**0.5, solver)

    def width(self, code_width: int) -> int:
        return code_width

    def _draw(self, like: Tensor) -> Tensor:
        """Return ones for the units of each prefix, (repeats, 1, width): the k-th is of the k-th group."""
        widths = self._ends
        if not self._held_out:
            places = torch.rand(self.repeats, generator=self._generator, device=self._units.device)
            widths = widths - (places * self._sizes).floor()
        kept = self._units < widths[:, None]
        self._felt = (kept * self._shares).to(like.dtype)[:, None]
        return kept.to(like.dtype)[:, None]

    def forward(self, code: Tensor, z: Tensor, row_weight: Tensor | None) -> None:
        torch.mul(code, self._draw(code), out=z.view(self.repeats, *code.shape))

    def backward(self, code: Tensor, dz: Tensor, dcode: Tensor, row_weight: Tensor | None) -> None:
        torch.sum(dz.view(self.repeats, *code.shape) * self._felt, 0, out=dcode)

    def through(self, code: Tensor, row_weight: Tensor | None) -> tuple[Tensor, None]:
        z = code.detach() * self._draw(code)
        return (z + (code - code.detach()) * self._felt).flatten(0, 1), None

    @contextmanager
    def repeated(self) -> Iterator[None]:
        """Judge held-out rows by the widest prefix of each group."""
        self._held_out = True
        try:
            yield
        finally:
            self._held_out = False
