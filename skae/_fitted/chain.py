"""The Markov chain of a denoising autoencoder: corrupt, restore, draw (Bengio et al. 2013).

P(X | X~), of which restored rows are the mean, is taken for normal, with one variance for each feature, or for
Bernoulli's. Where it is right, the chain's rows come to be distributed as the data are.
"""

import contextlib
from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from .._data.arrays import as_tensor
from .._data.chunks import fold, sum_rows
from .._data.corruption import Corruption

Draw = Callable[[Tensor, Tensor, torch.Generator], Tensor]


def normal(mean: Tensor, variance: Tensor, generator: torch.Generator) -> Tensor:
    """Draw around restored rows."""
    return torch.empty_like(mean).normal_(generator=generator).mul_(variance.sqrt()).add_(mean)


def bernoulli(mean: Tensor, variance: Tensor, generator: torch.Generator) -> Tensor:
    """Draw zeros and ones with restored rows as their probabilities."""
    return torch.bernoulli(mean, generator=generator)


def residual_variance(
    restore: Callable[[Tensor], Tensor], corrupt: Corruption | None, pairs: Iterable[tuple[Tensor, Tensor]]
) -> Tensor:
    """Return the mean square, (n_features,), of what is missing from restored rows, on the CPU.

    Parameters
    ----------
    restore : callable (x) -> rows
    corrupt : Corruption or None
        Its generator is left as it was.
    pairs : iterable of (x, target)
        Inputs before their corruption, and what they are to be restored to.
    """
    corrupt = None if corrupt is None else corrupt.apart()

    def term(x: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        residual = restore(x if corrupt is None else corrupt(x)) - target
        return sum_rows(residual.square_()).cpu().double(), torch.tensor(len(x))

    with torch.no_grad(), contextlib.nullcontext() if corrupt is None else corrupt.held_out():
        squares, n = fold((term(x, target) for x, target in pairs), torch.add, torch.add)
    return squares / n


def start(statistics: tuple, n: int, dtype: torch.dtype, generator: torch.Generator) -> Tensor:
    """Draw rows whose columns have the data's means, deviations and ranges, and nothing in common; on the CPU."""
    deviation, lowest, highest, mean = (as_tensor(s).cpu().to(dtype) for s in statistics)
    draws = torch.empty(n, len(mean), dtype=dtype).normal_(generator=generator)
    return torch.addcmul(mean, draws, deviation).clamp_(lowest, highest)
