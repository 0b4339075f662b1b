"""Likelihoods p(x|z): their logarithms, closed-form gradients, draws, and how they share out the columns.

A decoder's output is the distribution's parameter behind a link: the mean itself (gaussian), the logit
(bernoulli), or the logarithm of the mean (poisson, exponential).
"""

import math
from collections.abc import Callable, Sequence
from numbers import Integral
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .._networks.activations import Link, selector
from .._networks.networks import Decoder
from .gaussian_likelihood import gaussian
from .losses import LOSSES, Loss, accumulator, check_range, observed, weigh


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
    draw : callable (mean, generator) -> Tensor
        Of a normal distribution, draws around 0 with variance 1.
    support : tuple of float
        The smallest and the largest value.
    remedy : str
        What to do about other values.
    """

    link: str
    inverse: Callable[[Tensor], Tensor]
    loss: Callable[[Decoder], Loss]
    draw: Callable[[Tensor, torch.Generator], Tensor]
    support: tuple[float, float] = (-math.inf, math.inf)
    remedy: str = ""


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


def _where_positive(target: Tensor, entries: Tensor) -> Tensor:
    return torch.where(target >= 0, entries, math.inf)  # impossible otherwise: a score must not call it likely


_POISSON = Loss(
    lambda o, t: _where_positive(t, o.exp() - t * o + torch.lgamma(t + 1)),
    _poisson,
    shift_invariant=False,
)
_EXPONENTIAL = Loss(
    lambda o, t: _where_positive(t, o + t * torch.exp(-o)),
    _exponential,
    shift_invariant=False,
)


def _logit(mean: Tensor) -> Tensor:
    return torch.logit(mean, 1e-3)


def _log(mean: Tensor) -> Tensor:
    return mean.clamp_min(1e-3).log()


_AT_LEAST_ZERO = "Give it what is counted or measured, not standardised, or use likelihood='gaussian'."

LIKELIHOODS = {
    "gaussian": Likelihood(
        "identity",
        lambda mean: mean,
        gaussian,
        lambda mean, generator: mean.new_empty(mean.shape).normal_(generator=generator),
    ),
    "bernoulli": Likelihood(
        "sigmoid",
        _logit,
        lambda decoder: LOSSES["binary_cross_entropy"],
        lambda mean, generator: torch.bernoulli(mean, generator=generator),
        (0.0, 1.0),
        "Scale X with sklearn.preprocessing.MinMaxScaler, or use likelihood='gaussian'.",
    ),
    "exponential": Likelihood(
        "exp",
        _log,
        lambda decoder: _EXPONENTIAL,
        lambda mean, generator: torch.empty_like(mean).exponential_(generator=generator).mul_(mean),
        (0.0, math.inf),
        _AT_LEAST_ZERO,
    ),
    "poisson": Likelihood(
        "exp",
        _log,
        lambda decoder: _POISSON,
        lambda mean, generator: torch.poisson(mean, generator=generator),
        (0.0, math.inf),
        _AT_LEAST_ZERO,
    ),
}

Parts = tuple[tuple[str, tuple[int, ...]], ...]


def partition(likelihood: str | Sequence, n_features: int) -> Parts:
    """Share out the columns: one entry ``(name, columns in ascending order)`` for each family there is.

    Raises
    ------
    ValueError
        If ``likelihood`` is no name and no sequence of pairs, or if a column is missing or named twice.
    """
    pairs = [(likelihood, range(n_features))] if isinstance(likelihood, str) else [*likelihood]
    owner: dict[int, str] = {}
    for pair in pairs:
        name, columns = _pair(pair)
        for column in columns:
            if not isinstance(column, Integral) or isinstance(column, bool) or not 0 <= int(column) < n_features:
                raise ValueError(
                    f"likelihood names column {column!r}, but columns are integers from 0 to {n_features - 1}, "
                    f"since X has {n_features} features."
                )
            if column in owner:
                raise ValueError(f"likelihood names column {column} twice, but each column belongs to one pair.")
            owner[int(column)] = name
    missing = sorted({*range(n_features)} - {*owner})
    if missing:
        raise ValueError(
            f"likelihood names no distribution for columns {missing[:10]}{'...' if missing[10:] else ''} of the "
            f"{n_features} features of X. Add them to one of the pairs."
        )
    return tuple(
        (name, tuple(column for column in range(n_features) if owner[column] == name))
        for name in LIKELIHOODS
        if name in owner.values()
    )


def _pair(pair: Any) -> tuple[str, Sequence]:
    try:
        name, columns = pair
        columns = [columns] if isinstance(columns, Integral) else [*columns]
        known = isinstance(name, str) and name in LIKELIHOODS
    except (TypeError, ValueError):
        known = False
    if not known:
        raise ValueError(
            f"likelihood holds {pair!r}, but each entry must be a pair (name, columns) of one of "
            f"{', '.join(map(repr, LIKELIHOODS))} and a sequence of column numbers."
        )
    return name, columns


def link(parts: Parts) -> Link:
    """Return the link of the decoder that these likelihoods need."""
    links = {LIKELIHOODS[name].link for name, _ in parts}
    return links.pop() if len(links) == 1 else tuple((LIKELIHOODS[name].link, c) for name, c in parts)


def n_gaussian(parts: Parts) -> int:
    """Return how many columns have a normal distribution."""
    return sum(len(columns) for name, columns in parts if name == "gaussian")


def draw(parts: Parts, decoder: Decoder, mean: Tensor, generator: torch.Generator) -> Tensor:
    """Draw from the likelihood with these means, in the data's space."""
    x = torch.empty_like(mean)
    for name, columns in parts:
        picked = selector(columns)
        means = mean[:, picked]
        drawn = LIKELIHOODS[name].draw(means, generator)
        if name == "gaussian":
            variance = decoder.variance.detach().to(mean)  # type: ignore[union-attr]
            drawn = drawn.mul_(variance.sqrt()).add_(means)
        x[:, picked] = drawn
    return x


def check_support(name: str, lowest: float, highest: float) -> None:
    """Check that values lie where a likelihood is defined.

    Raises
    ------
    ValueError
        With the values' range and what to do, if they do not.
    """
    family = LIKELIHOODS[name]
    check_range(f"likelihood={name!r}", family.support, family.remedy, lowest, highest)
