"""Families of likelihoods p(x|z): their logarithms, closed-form gradients and draws.

A decoder's output is the distribution's parameter behind a link: the mean itself (gaussian), the location
(student_t), the logit (bernoulli), the logits of all categories (categorical), or the logarithm of the mean
(poisson, exponential).
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from .._support.devices import uniform
from .location_scale import Columns, draw_gaussian, draw_student_t, gaussian, student_t
from .losses import CROSS_ENTROPY, LOSSES, Loss, accumulator, observed, weigh


class Likelihood(NamedTuple):
    """One family of distributions.

    Attributes
    ----------
    link : str
        Name of what carries the decoder's output to the distribution's mean.
    inverse : callable (mean) -> output
        The inverse of the link, for means on the edge too.
    loss : callable (Columns) -> Loss
        Minus the log-likelihood; variances are the decoder's.
    draw : callable (mean, columns, raw, generator) -> Tensor
        ``raw`` is what the decoder gives for conditional variances.
    support : tuple of float
        The smallest and the largest value.
    remedy : str
        What to do about other values.
    has_scale : bool
        Whether its columns have a variance.
    joint : bool
        Whether the columns of a pair are one variable, whose rows are one-hot.
    """

    link: str
    inverse: Callable[[Tensor], Tensor]
    loss: Callable[[Columns], Loss]
    draw: Callable[[Tensor, Columns, Tensor, torch.Generator], Tensor]
    support: tuple[float, float] = (-math.inf, math.inf)
    remedy: str = ""
    has_scale: bool = False
    joint: bool = False


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


def _draw_one_hot(mean: Tensor, columns: Columns, raw: Tensor, generator: torch.Generator) -> Tensor:
    return torch.zeros_like(mean).scatter_(1, torch.multinomial(mean.float(), 1, generator=generator), 1)


def _log(mean: Tensor) -> Tensor:
    return mean.clamp_min(1e-3).log()


_AT_LEAST_ZERO = "Give it what is counted or measured, not standardised, or use likelihood='gaussian'."

LIKELIHOODS = {
    "gaussian": Likelihood("identity", lambda mean: mean, gaussian, draw_gaussian, has_scale=True),
    "bernoulli": Likelihood(
        "sigmoid",
        lambda mean: torch.logit(mean, 1e-3),
        lambda columns: LOSSES["binary_cross_entropy"],
        lambda mean, columns, raw, generator: (uniform(mean.shape, mean, generator) < mean).to(mean.dtype),
        (0.0, 1.0),
        "Scale X with sklearn.preprocessing.MinMaxScaler(clip=True) in a pipeline (sparse X that is not negative "
        "with MaxAbsScaler(clip=True)), or use likelihood='gaussian'.",
    ),
    "exponential": Likelihood(
        "exp",
        _log,
        lambda columns: _EXPONENTIAL,
        lambda mean, columns, raw, generator: (
            uniform(mean.shape, mean, generator).neg_().log1p_().neg_().mul_(mean)
        ),
        (0.0, math.inf),
        _AT_LEAST_ZERO,
    ),
    "poisson": Likelihood(
        "exp",
        _log,
        lambda columns: _POISSON,
        lambda mean, columns, raw, generator: torch.poisson(mean.float(), generator=generator).to(mean.dtype),
        (0.0, math.inf),
        _AT_LEAST_ZERO,
    ),
    "categorical": Likelihood(
        "softmax",
        _log,
        lambda columns: CROSS_ENTROPY,
        _draw_one_hot,
        (0.0, 1.0),
        "Encode the variable with sklearn.preprocessing.OneHotEncoder, without drop, and give missing values a "
        "category of their own.",
        joint=True,
    ),
    "student_t": Likelihood("identity", lambda mean: mean, student_t, draw_student_t, has_scale=True),
}
