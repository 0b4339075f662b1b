"""Prefixes of a code, its first k units with zeros for the others: which are trained, and what decodes them.

One decoder for all prefixes restores the short ones much worse than a network trained for their width does.
Decoders of their own restore them nearly as well, but a hundred units want no hundred decoders: the prefixes
between a power of two and the next share four.
"""

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from ._links import Link
from ._networks import Block, Decoder
from ._optimizers import raised

FIRST = (3.0, 3.0, 2.0)  # what the loss of the first groups counts for; the others count one
WHOLE = 2.0  # what that of the last counts for at least
LATER = 5.0  # what all groups after its own count for together in a unit's gradient; else they would rule it


def group_ends(width: int) -> list[int]:
    """Return the widest prefix of each group; prefixes of up to sixteen units are a group each.

    The groups of a narrower code are the first of these, the last of them cut off.
    """
    ends = [1]
    while ends[-1] < width:
        step = 1 if ends[-1] < 16 else (1 << ends[-1].bit_length()) // 8
        ends.append(min(width, ends[-1] + step))
    return ends


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


class Parallel(nn.ModuleList):
    """Blocks of one shape side by side, one for each group of prefixes."""

    @property
    def blocks(self) -> list[Block]:
        return [block for block in self if isinstance(block, Block)]

    @property
    def widest(self) -> int:
        return self.blocks[0].widest


class PrefixDecoder(Decoder):
    """A decoder for each group of prefixes.

    Zeros at the end of a code are the units that its prefix lacks. In training, rows come as `Prefixes` serves
    them: for each row a prefix of the first group, then for each row one of the second, and so on.

    Parameters
    ----------
    blocks : sequence of Block
        Of one of them; the others are copies.
    width : int
        Of the whole code.
    link : str or tuple of (str, tuple of int)
    """

    ends: Tensor

    def __init__(self, blocks: Sequence[Block], width: int, link: Link) -> None:
        ends = torch.tensor(group_ends(width))
        super().__init__([Parallel(copy.deepcopy(block) for _ in ends) for block in blocks], link)
        self.register_buffer("ends", ends, persistent=False)

    @property
    def parallel(self) -> list[Parallel]:
        return [module for module in self if isinstance(module, Parallel)]

    def dense_blocks(self) -> list[Parallel]:
        """Return the blocks if all of them are dense; else an empty list."""
        return self.parallel if all(blocks.blocks[0].is_dense for blocks in self.parallel) else []

    def _decode(self, group: int, z: Tensor) -> Tensor:
        for blocks in self.parallel:
            z = blocks.blocks[group](z)
        return z

    def _core(self, z: Tensor) -> Tensor:
        if self.training:
            parts = z.split(len(z) // len(self.ends))
            return torch.cat([self._decode(group, part) for group, part in enumerate(parts)])
        kept = (z != 0) * torch.arange(1, z.shape[1] + 1, device=z.device)
        groups = torch.bucketize(kept.amax(1), self.ends)
        present = groups.unique().tolist() or [0]
        if len(present) == 1:
            return self._decode(present[0], z)
        decoded = torch.cat([self._decode(group, z[groups == group]) for group in present])
        return decoded[groups.argsort(stable=True).argsort()]
