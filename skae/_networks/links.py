"""Links: what carries the decoder's output to the data's space, for all columns or for some of them."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .activations import ACTIVATIONS, Activation

# One name, or a name for each group of columns; plain values, which are kept beside the weights.
Link = str | tuple[tuple[str, tuple[int, ...]], ...]


class Exp(nn.Module):
    """The exponential function."""

    def forward(self, x: Tensor) -> Tensor:
        return x.exp()


_EXP = Activation(Exp, lambda z, a: torch.exp(z, out=a), lambda g, a: g.mul_(a))


class Piecewise(nn.Module):
    """A link for each group of columns."""

    def __init__(self, pieces: tuple[tuple[str, tuple[int, ...]], ...]) -> None:
        super().__init__()
        self.pieces = [(link_activation(name).module(), selector(columns)) for name, columns in pieces]

    def forward(self, x: Tensor) -> Tensor:
        x = x.clone()
        for module, columns in self.pieces:
            x[:, columns] = module(x[:, columns])
        return x


def link_activation(link: Link) -> Activation:
    """Return a link's module and its pass on buffers."""
    if isinstance(link, str):
        return _EXP if link == "exp" else ACTIVATIONS[link]
    pieces = link
    passes = [(link_activation(name).forward, selector(columns)) for name, columns in pieces]

    def forward(z: Tensor, a: Tensor) -> None:
        for apply, columns in passes:
            part = z[:, columns]
            if apply is not None:
                apply(part, part)
            a[:, columns] = part

    return Activation(lambda: Piecewise(pieces), forward, None)


def selector(columns: Sequence[int]) -> slice | Tensor:
    """Return what picks these columns: a slice where they follow each other, which copies nothing."""
    first, last = columns[0], columns[-1]
    if list(columns) == [*range(first, last + 1)]:
        return slice(first, last + 1)
    return torch.tensor(columns)
