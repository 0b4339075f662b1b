"""Corruptions of a batch, drawn anew each time.

They are meant in the data's space: a masked entry is a zero of the data, salt and pepper are a feature's own
extremes. Batches come centred, so that what a corruption puts in has to be centred too.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from ._rows import as_tensor

Restore = Callable[[Tensor], Tensor]


class Fills(NamedTuple):
    """What corruptions need of the training data: tensors of shape (n_features,), centred as batches are."""

    deviation: Tensor
    lowest: Tensor
    highest: Tensor
    zero: Tensor

    @classmethod
    def of(cls, statistics: tuple, like: Tensor, offset: Tensor | None = None) -> "Fills":
        """Prepare column statistics for batches of ``like``'s dtype and device, centred by ``offset`` or not."""
        deviation, lowest, highest = (as_tensor(s).cpu().double() for s in statistics[:3])
        moved = torch.zeros_like(deviation) if offset is None else offset.cpu().double()
        return cls(*(s.to(like) for s in (deviation, lowest - moved, highest - moved, -moved)))


def gaussian(x: Tensor, level: float, fills: Fills, generator: torch.Generator) -> Tensor:
    """Add normal noise of ``level`` times each feature's standard deviation."""
    noise = torch.empty_like(x).normal_(generator=generator)
    return torch.addcmul(x, noise, fills.deviation, value=level)


def masking(x: Tensor, level: float, fills: Fills, generator: torch.Generator) -> Tensor:
    """Set each entry to zero with probability ``level``; the others keep their values."""
    draw = torch.empty_like(x).uniform_(generator=generator)
    return torch.where(draw < level, fills.zero, x)


def salt_and_pepper(x: Tensor, level: float, fills: Fills, generator: torch.Generator) -> Tensor:
    """Set each entry with probability ``level`` to its feature's minimum or maximum, either as likely."""
    draw = torch.empty_like(x).uniform_(generator=generator)
    salted = torch.where(draw < level, fills.highest, x)
    return torch.where(draw < level / 2, fills.lowest, salted)


NOISES: dict[str, Callable[[Tensor, float, Fills, torch.Generator], Tensor]] = {
    "gaussian": gaussian,
    "masking": masking,
    "salt_and_pepper": salt_and_pepper,
}


def repeated_noise(*sources) -> contextlib.ExitStack:
    """Enter ``repeated`` of each source of noise there is, so that held-out losses can be compared."""
    stack = contextlib.ExitStack()
    for source in sources:
        if source is not None:
            stack.enter_context(source.repeated())
    return stack


@contextlib.contextmanager
def restarted(generator: torch.Generator) -> Iterator[None]:
    """Draw the same numbers each time this is entered, and go on afterwards as if nothing had been drawn."""
    state = generator.get_state()
    generator.manual_seed(0)
    try:
        yield
    finally:
        generator.set_state(state)


class Corruption:
    """A noise ready for batches.

    Parameters
    ----------
    noise : str or callable (X, generator) -> X
        A callable gets, and returns, rows in the data's space.
    level : float
    statistics : tuple of four ndarrays of shape (n_features,)
        The columns' standard deviations, minima, maxima and means.
    fills : Fills
        The same, as batches need them.
    generator : torch.Generator
        On the batches' device.
    """

    def __init__(
        self,
        noise: str | Callable,
        level: float,
        statistics: tuple,
        fills: Fills,
        generator: torch.Generator,
    ) -> None:
        if noise in ("masking", "salt_and_pepper") and level > 1:
            raise ValueError(
                f"noise_level={level} with noise={noise!r} is a fraction of entries, so that it must be "
                "in [0, 1]. Lower it, or use noise='gaussian', whose level has no upper bound."
            )
        self.noise, self.level, self.statistics = noise, level, statistics
        self.fills, self.generator = fills, generator

    def __call__(self, x: Tensor, restore: Restore | None = None) -> Tensor:
        """Return a noisy copy of a batch; ``restore`` runs the networks, for noise that depends on them."""
        if isinstance(self.noise, str):
            return NOISES[self.noise](x, self.level, self.fills, self.generator)
        zero = self.fills.zero  # minus the offset
        noisy = self.noise(x - zero, self.generator)
        if getattr(noisy, "shape", None) != x.shape:
            raise ValueError(
                f"noise={self.noise!r} returned shape {tuple(getattr(noisy, 'shape', ()))} for a batch of shape "
                f"{tuple(x.shape)}, but noise must keep the shape."
            )
        return noisy + zero

    def repeated(self):
        """Return a context in which the noise is the same each time."""
        return restarted(self.generator)
