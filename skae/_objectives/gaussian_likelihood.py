"""The normal likelihood, with the variances of a decoder, which may be learned."""

import math

import torch
from torch import Tensor

from .._networks.networks import Decoder
from .losses import Loss, accumulator


class VarianceHead:
    """The log-variances of a decoder as a layer of the explicit step; see `Affine` for the methods."""

    def __init__(self, decoder: Decoder) -> None:
        assert decoder.log_variance is not None
        self.parameter = decoder.log_variance
        self.shape = (1, len(self.parameter))

    def bind(self, weight: Tensor, gradient: Tensor) -> None:
        """Take the memory of the values and of their gradient."""
        self.weight, self.gradient = weight, gradient

    def load(self, master: Tensor) -> None:
        """Copy the module's values into ``master``."""
        master[0].copy_(self.parameter.detach())

    def store(self, master: Tensor) -> None:
        """Copy ``master`` back into the module."""
        self.parameter.detach().copy_(master[0])

    def mark_weight(self, mask: Tensor) -> None:
        """Leave the L2 penalty out."""


def gaussian(decoder: Decoder) -> Loss:
    """Return minus the normal log-likelihood of columns with the decoder's variances.

    With r = o - t and, in each column, the variance v = floor + e^s of the learned log-variance s::

        l = (r^2 / v + log 2 pi v) / 2      dl/do = r / v      dl/ds = (1 - r^2 / v) (e^s / v) / 2

    A variance that is given is the floor alone.
    """
    head = None if decoder.log_variance is None else VarianceHead(decoder)

    def entrywise(output: Tensor, target: Tensor) -> Tensor:
        variance = decoder.variance.to(output.dtype)  # type: ignore[union-attr]
        return 0.5 * ((output - target).square() / variance + (2 * math.pi * variance).log())

    def sum_and_gradient(output: Tensor, target: Tensor, weight: Tensor | None, gradient: Tensor) -> Tensor:
        dtype = accumulator(output)
        residual = torch.sub(output, target, out=gradient)
        floor = decoder.variance_floor.to(dtype)  # type: ignore[union-attr]
        learned = None if head is None else head.weight[0].to(dtype).exp()
        variance = floor if learned is None else floor + learned
        # The sums over rows of w and of w r^2 / v; the factor e^s / v is the column's.
        count: int | Tensor
        if weight is None:
            count, squares = len(output), torch.linalg.vector_norm(residual, dim=0, dtype=dtype).square_()
        else:
            count, squares = weight.sum(0, dtype=dtype), (residual * weight).mul_(residual).sum(0, dtype=dtype)
            residual.mul_(weight)
        squares.div_(variance)
        residual.div_(variance)
        if head is not None and learned is not None:
            torch.sub(count, squares, out=head.gradient[0]).mul_(learned / variance).mul_(0.5)
        logs = (2 * math.pi * variance).log_()
        if weight is None:
            squares.add_(logs, alpha=len(output))
        else:
            squares.addcmul_(logs, count)
        return squares.sum().mul_(0.5)

    return Loss(entrywise, sum_and_gradient, heads=() if head is None else (head,))
