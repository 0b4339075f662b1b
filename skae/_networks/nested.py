"""Decoders of their own for the prefixes of a code: the units up to the k-th, with zeros for the others.

One decoder for all prefixes restores the short ones much worse than a network trained for their width does.
Decoders of their own restore them nearly as well, but a hundred units want no hundred decoders: the prefixes
between a power of two and the next share four.
"""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .activations import Link
from .blocks import Block
from .networks import Decoder


def group_ends(width: int) -> list[int]:
    """Return the widest prefix of each group; prefixes of up to sixteen units are a group each.

    The groups of a narrower code are the first of these, the last of them cut off.
    """
    ends = [1]
    while ends[-1] < width:
        step = 1 if ends[-1] < 16 else (1 << ends[-1].bit_length()) // 8
        ends.append(min(width, ends[-1] + step))
    return ends


class Parallel(nn.ModuleList):
    """Blocks of one shape side by side, one for each group of prefixes."""

    @property
    def blocks(self) -> list[Block]:
        return [block for block in self if isinstance(block, Block)]

    @property
    def widest(self) -> int:
        return self.blocks[0].widest

    @property
    def is_dense(self) -> bool:
        return self.blocks[0].is_dense


class NestedDecoder(Decoder):
    """A decoder for each group of prefixes.

    Zeros at the end of a code are the units that its prefix lacks. In training, rows come as `NestedDropout`
    serves them: for each row a prefix of the first group, then for each row one of the second, and so on.

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

    @torch.no_grad()
    def initialize(self, generator: torch.Generator) -> None:
        """Start all decoders alike, so that units mean the same to them, and with biases after the code.

        With a unit or two and no biases, all hidden units would bend at the same place.
        """
        bias = self.parallel[0].blocks[0].linear.bias
        if bias is not None and len(self.parallel) > 1:
            draws = torch.rand(bias.shape, dtype=torch.float64, generator=generator)
            bias.copy_(draws.mul_(2).sub_(1).mul_(0.3))
        for parallel in self.parallel:
            first, *others = parallel.blocks
            for block in others:
                block.load_state_dict(first.state_dict())

    def _decode(self, group: int, z: Tensor) -> Tensor:
        for blocks in self.parallel:
            z = blocks.blocks[group](z)
        return z

    def _map(self, z: Tensor) -> Tensor:
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
