"""Corruptions of a batch, drawn anew each time.

They are meant in the data's space: a masked entry is a zero of the data, salt and pepper are a feature's own
extremes. Batches come centred, so that what a corruption puts in has to be centred too.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


class Fills(NamedTuple):
    """What corruptions need of the training data: tensors of shape (n_features,), centred as batches are."""

    deviation: Tensor
    lowest: Tensor
    highest: Tensor
    zero: Tensor


def gaussian(x: Tensor, level: float, fills: Fills, generator: torch.Generator) -> Tensor:
    """Add normal noise of ``level`` times each feature's standard deviation."""
    noise = torch.empty_like(x).normal_(generator=generator)
    return torch.addcmul(x, noise, fills.deviation, value=level)


def masking(x: Tensor, level: float, fills: Fills, generator: torch.Generator) -> Tensor:
    """Set each entry to zero with probability ``level``; the others keep their values."""
    draw = torch.empty_like(x).uniform_(generator=generator)
    return torch.where(draw < level, fills.zero, x)


def salt_and_pepper(x: Tensor, level: float, fills: Fills, generator: torch.Generator) -> Tensor:
    """Set each entry with probability ``level`` to its feature's minimum or maximum, one as likely as the other."""
    draw = torch.empty_like(x).uniform_(generator=generator)
    salted = torch.where(draw < level, fills.highest, x)
    return torch.where(draw < level / 2, fills.lowest, salted)


NOISES: dict[str, Callable[[Tensor, float, Fills, torch.Generator], Tensor]] = {
    "gaussian": gaussian,
    "masking": masking,
    "salt_and_pepper": salt_and_pepper,
}
