"""Corruptions of a batch: plain functions, and the `Noise` that draws them anew for each batch.

All work in the data's space: masked entries are zeros of the data, salt and pepper are each feature's own
extremes. Rows reach them centred, so the values they put in are centred too.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor


class Statistics(NamedTuple):
    """What corruptions know about the training data; tensors of shape (n_features,), not centred."""

    deviation: Tensor
    lowest: Tensor
    highest: Tensor


def gaussian(x: Tensor, level: float, values: Statistics, generator: torch.Generator) -> Tensor:
    """Add normal noise of ``level`` standard deviations of each feature."""
    noise = torch.empty_like(x).normal_(generator=generator)
    return torch.addcmul(x, noise, values.deviation, value=level)


def masking(x: Tensor, level: float, values: Statistics, generator: torch.Generator) -> Tensor:
    """Set a fraction of about ``level`` of the entries to zero; the others keep their values."""
    masked = torch.empty_like(x).uniform_(generator=generator) < level
    return torch.where(masked, values.zero, x)


def salt_and_pepper(x: Tensor, level: float, values: Statistics, generator: torch.Generator) -> Tensor:
    """Set a fraction of about ``level`` of the entries to extremes of their features, half to either."""
    draw = torch.empty_like(x).uniform_(generator=generator)
    x = torch.where(draw < level, values.highest, x)
    return torch.where(draw < level / 2, values.lowest, x)


NOISES: dict[str, Callable[..., Tensor]] = {
    "gaussian": gaussian,
    "masking": masking,
    "salt_and_pepper": salt_and_pepper,
}
