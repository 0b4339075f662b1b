"""Codes on their way to bits: a logistic code behind growing noise, which drives its units to either end.

With logits v, normal noise e of standard deviation s, and h = logistic(v + s e)::

    dh/dv = h (1 - h)

Under much noise only large logits tell the decoder anything, so that the units saturate (Salakhutdinov and Hinton
2009), and little is lost when a fitted network rounds h to a bit.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from .._data.rows import Rows, chunk_rows, index_chunks
from .._networks.networks import Encoder, Linear

SATURATED = math.log(9)  # the logit beyond which a logistic unit is within 0.1 of either end


class NoisyLogistic:
    """The bridge from logits to a noisy logistic code, in training; see `Bridge`.

    Parameters
    ----------
    level : callable (n_rows) -> float
        The noise's standard deviation in the next step.
    generator : torch.Generator
    """

    auxiliary: float | None = None
    importance: Tensor | None = None
    repeats = 1

    def __init__(self, level: Callable[[int], float], generator: torch.Generator) -> None:
        self._level, self._generator = level, generator
        self._held_out = False

    def width(self, code_width: int) -> int:
        return code_width

    def _noisy(self, code: Tensor) -> Tensor:
        noise = torch.empty_like(code).normal_(generator=self._generator)
        return noise.mul_(self._level(len(code))).add_(code)

    def forward(self, code: Tensor, z: Tensor, row_weight: Tensor | None) -> None:
        if self._held_out:
            torch.gt(code, 0, out=z)
        else:
            torch.sigmoid(self._noisy(code), out=z)
        self._code = z

    def backward(self, code: Tensor, dz: Tensor, dcode: Tensor, row_weight: Tensor | None) -> None:
        torch.addcmul(self._code, self._code, self._code, value=-1, out=dcode).mul_(dz)

    def through(self, code: Tensor, row_weight: Tensor | None) -> tuple[Tensor, None]:
        return (code > 0).to(code.dtype) if self._held_out else torch.sigmoid(self._noisy(code)), None

    @contextmanager
    def repeated(self) -> Iterator[None]:
        """Judge held-out rows by their bits, as the fitted network restores them."""
        self._held_out = True
        try:
            yield
        finally:
            self._held_out = False


@torch.no_grad()
def balance(encoder: Encoder, batches: Iterable[Tensor]) -> None:
    """Change the last layer so that logits are centred, uncorrelated and of variance one over batches of rows.

    Bits then start set for half of the rows each, and uncorrelated. Directions in which the logits do not vary,
    where there are more bits than directions, stay as they are.
    """
    linear: Any = encoder.blocks[-1].linear
    if not isinstance(linear, Linear):
        return  # units of a convolution share their weights
    logits = torch.cat([encoder.core(rows).cpu() for rows in batches]).double()
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


def logistic(encoder: Encoder) -> Encoder:
    """Return an encoder of the same layers that ends in the logistic function instead of bits."""
    *hidden, code = encoder.blocks
    same = Encoder([*hidden, code.with_activation("sigmoid")])
    same.offset = encoder.offset
    return same


def bits_and_saturated(encoder: Encoder) -> Callable[[Tensor], Tensor]:
    """Return what maps centred rows to their bits and, side by side, to ones for units that are saturated."""

    def both(x: Tensor) -> Tensor:
        logits = encoder.core(x)
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
    """Yield chunks of rows numbered in ``order``: one of all of them, or a thousand and more evenly spread."""
    row_bytes = rows.n_features * rows.dtype.itemsize
    step = -(-len(order) // max(1000, chunk_rows(row_bytes)))
    return map(rows.batch, index_chunks(order[::step], row_bytes, len(order)))
