"""Families of likelihoods p(x|z): their logarithms, closed-form gradients and draws.

A decoder's output is the distribution's parameter behind a link: the mean itself (gaussian), the logit
(bernoulli), the logits of all categories (categorical), or the logarithm of the mean (poisson, exponential).
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from .._networks.networks import Decoder
from .._support.devices import normal, uniform
from .losses import CROSS_ENTROPY, LOSSES, Loss, accumulator, observed, weigh


class Likelihood(NamedTuple):
    """One family of distributions.

    Attributes
    ----------
    link : str
        Name of what carries the decoder's output to the distribution's mean.
    inverse : callable (mean) -> output
        The inverse of the link, for means on the edge too.
    loss : callable (Decoder) -> Loss
        Minus the log-likelihood; a normal distribution's variance is the decoder's.
    draw : callable (mean, decoder, generator) -> Tensor
    support : tuple of float
        The smallest and the largest value.
    remedy : str
        What to do about other values.
    joint : bool
        Whether the columns of a pair are one variable, whose rows are one-hot.
    """

    link: str
    inverse: Callable[[Tensor], Tensor]
    loss: Callable[[Decoder], Loss]
    draw: Callable[[Tensor, Decoder, torch.Generator], Tensor]
    support: tuple[float, float] = (-math.inf, math.inf)
    remedy: str = ""
    joint: bool = False


# The normal likelihood, with the variances of a decoder, which may be learned ---------------------------------


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


# The others ------------------------------------------------------------------------------------------------


def _poisson(output: Tensor, target: Tensor, weight: Tensor | None, gradient: Tensor) -> Tensor:
    """With o the logarithm of the mean: l = e^o - t o + log t!, dl/do = e^o - t."""
    target, dtype = observed(target, weight), accumulator(output)
    constant = weigh(torch.lgamma(target.to(dtype) + 1), weight).sum()
    rate = output.exp()
    total = weigh(rate - target * output, weight).sum(dtype=dtype) + constant
    weigh(torch.sub(rate, target, out=gradient), weight)
    return total


def _exponential(output: Tensor, target: Tensor, weight: Tensor | None, gradient: Tensor) -> Tensor:
    """With o the logarithm of the mean: l = o + t e^-o, dl/do = 1 - t e^-o."""
    ratio = output.neg().exp_().mul_(observed(target, weight))
    total = weigh(output + ratio, weight).sum(dtype=accumulator(output))
    weigh(torch.neg(ratio, out=gradient).add_(1), weight)
    return total


_POISSON = Loss(
    lambda o, t: o.exp() - t * o + torch.lgamma(t + 1),
    _poisson,
    shift_invariant=False,
)
_EXPONENTIAL = Loss(
    lambda o, t: o + t * torch.exp(-o),
    _exponential,
    shift_invariant=False,
)


def _draw_gaussian(mean: Tensor, decoder: Decoder, generator: torch.Generator) -> Tensor:
    deviation = decoder.variance.detach().to(mean).sqrt()  # type: ignore[union-attr]
    return normal(mean.shape, mean, generator).mul_(deviation).add_(mean)


def _draw_one_hot(mean: Tensor, decoder: Decoder, generator: torch.Generator) -> Tensor:
    return torch.zeros_like(mean).scatter_(1, torch.multinomial(mean.float(), 1, generator=generator), 1)


def _log(mean: Tensor) -> Tensor:
    return mean.clamp_min(1e-3).log()


_AT_LEAST_ZERO = "Give it what is counted or measured, not standardised, or use likelihood='gaussian'."

LIKELIHOODS = {
    "gaussian": Likelihood("identity", lambda mean: mean, gaussian, _draw_gaussian),
    "bernoulli": Likelihood(
        "sigmoid",
        lambda mean: torch.logit(mean, 1e-3),
        lambda decoder: LOSSES["binary_cross_entropy"],
        lambda mean, decoder, generator: (uniform(mean.shape, mean, generator) < mean).to(mean.dtype),
        (0.0, 1.0),
        "Scale X with sklearn.preprocessing.MinMaxScaler(clip=True) in a pipeline, or use likelihood='gaussian'.",
    ),
    "exponential": Likelihood(
        "exp",
        _log,
        lambda decoder: _EXPONENTIAL,
        lambda mean, decoder, generator: uniform(mean.shape, mean, generator).neg_().log1p_().neg_().mul_(mean),
        (0.0, math.inf),
        _AT_LEAST_ZERO,
    ),
    "poisson": Likelihood(
        "exp",
        _log,
        lambda decoder: _POISSON,
        lambda mean, decoder, generator: torch.poisson(mean.float(), generator=generator).to(mean.dtype),
        (0.0, math.inf),
        _AT_LEAST_ZERO,
    ),
    "categorical": Likelihood(
        "softmax",
        _log,
        lambda decoder: CROSS_ENTROPY,
        _draw_one_hot,
        (0.0, 1.0),
        "Encode the variable with sklearn.preprocessing.OneHotEncoder, without drop, and give missing values a "
        "category of their own.",
        joint=True,
    ),
}
