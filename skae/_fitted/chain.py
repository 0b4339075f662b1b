"""The Markov chain of a denoising autoencoder: corrupt, restore, draw (Bengio et al. 2013).

P(X | X~), of which restored rows are the mean, is taken for normal, with one variance for each feature, or for
Bernoulli's. Where it is right, the chain's rows come to be distributed as the data are.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from .._data.arrays import as_tensor
from .._data.chunks import slices, spread, sum_rows, total
from .._networks.activations import link_activation
from .._networks.custom import forward_centred
from .._support.devices import normal as standard_normal
from .._support.devices import uniform
from .._training.fitting import Fit

MOST_ROWS = 10_000  # that the variance of residuals is measured on: enough for two decimals


def normal(mean: Tensor, variance: Tensor, generator: torch.Generator) -> Tensor:
    """Draw around restored rows."""
    return standard_normal(mean.shape, mean, generator).mul_(variance.sqrt()).add_(mean)


def bernoulli(mean: Tensor, variance: Tensor, generator: torch.Generator) -> Tensor:
    """Draw zeros and ones with restored rows as their probabilities."""
    return (uniform(mean.shape, mean, generator) < mean).to(mean.dtype)


@torch.no_grad()
def residual_variance(fit: Fit, encoder: Any, decoder: Any) -> Tensor:
    """Return the mean square, (n_features,), of what is missing from restored training rows, on the CPU."""
    noise, architecture = fit.objective.corruption, fit.architecture
    corruption = None if noise is None else noise.apart()  # chunks are no batches, whose memory is kept
    link = link_activation(architecture.link).module()
    widest = max(*architecture.encoder_layer_sizes, *architecture.decoder_layer_sizes)
    encode, decode = forward_centred(encoder), forward_centred(decoder)

    data = fit.setup.data
    seen = data.entry_weight()

    def squares(index: Tensor, x: Tensor, target: Tensor) -> Tensor:
        restored = link(decode(encode(x if corruption is None else corruption(x))))
        weight = torch.ones_like(target) if seen is None else seen.batch(index)
        square = (restored - target).square_().mul_(weight)
        return torch.stack([sum_rows(square), sum_rows(weight)]).cpu().double()

    some = spread(data.train_rows, MOST_ROWS)
    pairs = zip(*(rows.chunks(some, widest) for rows in (fit.inputs, fit.targets)), strict=True)
    with contextlib.nullcontext() if corruption is None else corruption.held_out():
        sums, counts = total(squares(index, x, target) for (index, x), (_, target) in pairs)
    sums, counts = fit.recent("residuals", (counts, sums), torch.add, torch.add)[::-1]
    return sums / counts.clamp_min(1) * architecture.target_unit**2


def starts(
    statistics: tuple, n: int, row_bytes: int, dtype: torch.dtype, generator: torch.Generator
) -> Iterator[tuple[slice, Tensor]]:
    """Draw rows whose columns have the data's means, deviations and ranges, and nothing in common; on the CPU.

    Yield them chunk by chunk, with the slice of ``n`` that each is.
    """
    deviation, lowest, highest, mean = (as_tensor(s).cpu().to(dtype) for s in statistics)
    for part in slices(n, row_bytes):
        draws = standard_normal((part.stop - part.start, len(mean)), mean, generator)
        yield part, torch.addcmul(mean, draws, deviation).clamp_(lowest, highest)
