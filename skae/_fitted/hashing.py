"""Codes that are bits: balanced first weights, what they do on the training rows, and packing into bytes."""

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from .._data.chunks import chunk_rows, spread
from .._data.rows import Rows
from .._networks.networks import Encoder, Linear

SATURATED = math.log(9)  # the logit beyond which a logistic unit is within 0.1 of either end


@torch.no_grad()
def balance(encoder: Encoder, batches: Iterable[Tensor]) -> None:
    """Change the last layer so that logits are centred, uncorrelated and of variance one over batches of rows.

    Bits then start set for half of the rows each, and uncorrelated. Directions in which the logits do not vary,
    where there are more bits than directions, stay as they are.
    """
    linear: Any = encoder.blocks[-1].linear
    if not isinstance(linear, Linear):
        return  # units of a convolution share their weights
    logits = torch.cat([encoder.forward_centred(rows).cpu() for rows in batches]).double()
    mean = logits.mean(0)
    covariance = torch.cov(logits.t(), correction=0).reshape(len(mean), -1)
    if not covariance.isfinite().all():
        return  # training will say what is wrong
    variances, axes = torch.linalg.eigh(covariance)
    varies = variances > 1e-6 * variances[-1]
    scales = torch.where(varies, variances.clamp_min(1e-300).rsqrt(), 1.0)
    whiten = (axes * scales) @ axes.t()
    linear.weight.copy_(whiten @ linear.weight.cpu().double())
    linear.bias.copy_(whiten @ (linear.bias.cpu().double() - mean))


def bits_and_saturated(encoder: Encoder) -> Callable[[Tensor], Tensor]:
    """Return what maps centred rows to their bits and, side by side, to ones for units that are saturated."""

    def both(x: Tensor) -> Tensor:
        logits = encoder.forward_centred(x)
        return torch.cat([logits > 0, logits.abs() > SATURATED], 1).to(logits.dtype)

    return both


def pack(bits: Tensor) -> Tensor:
    """Pack bits, ones and zeros of any dtype, (n, n_bits), into bytes, the first bit highest: uint8.

    The last byte is filled up with zeros, as by `numpy.packbits`.
    """
    n_bytes = -(-bits.shape[1] // 8)
    padded = torch.nn.functional.pad(bits, (0, 8 * n_bytes - bits.shape[1])).to(torch.int32)
    values = 2 ** torch.arange(7, -1, -1, dtype=torch.int32, device=bits.device)
    return (padded.view(-1, n_bytes, 8) * values).sum(2).to(torch.uint8)


def some_rows(rows: Rows, order: Tensor) -> Iterator[Tensor]:
    """Yield rows numbered ``order`` in chunks: all of them if one chunk can hold them, else a thousand or more."""
    some = spread(order, max(1000, chunk_rows(rows.n_features * rows.dtype.itemsize)))
    return (x for _, x in rows.chunks(some))
