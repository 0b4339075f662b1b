"""Normal and Student likelihoods: a location that the decoder gives, and a scale.

With the residual r = o - t, the variance v (Student: the squared scale) and the degrees of freedom k, the loss l
of an entry and its derivatives are, for the normal distribution::

    l = (r^2 / v + log 2 pi v) / 2        q = r^2 / v                        dl/do = q / r

and for Student's, with c(k) = log(k pi) / 2 + log Gamma(k / 2) - log Gamma((k + 1) / 2)::

    l = ((k + 1) log(1 + r^2 / k v) + log v) / 2 + c(k)
                                          q = (k + 1) r^2 / (k v + r^2)      dl/do = q / r
    dl/dk = (log(1 + r^2 / k v) - q / k) / 2 + c'(k)

For v = floor + e^s, dl/ds = (1 - q) (e^s / v) / 2. The variance of a column is given (the floor alone), learned,
one s for all rows, or conditional: the decoder gives an s for each row and column.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from .._networks.activations import bounded_and_slope, degrees_of_freedom
from .._networks.networks import Decoder
from .._support.devices import normal, sum_dtype
from .losses import Loss, accumulator, observed, weigh


class ColumnLayer:
    """A parameter of each of some columns as a layer of the explicit step; see `Affine` for the methods."""

    def __init__(self, parameter: Tensor) -> None:
        self.parameter, self.shape = parameter, (1, len(parameter))

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


class Columns(NamedTuple):
    """What a decoder knows of the columns of one family.

    Attributes
    ----------
    decoder : Decoder
    picked : slice or Tensor
        Which of the decoder's variances are theirs.
    variance, dof : ColumnLayer or None
        Learned variances, of all columns that have one; degrees of freedom, of these columns.
    """

    decoder: Decoder
    picked: Any = slice(None)
    variance: ColumnLayer | None = None
    dof: ColumnLayer | None = None

    @property
    def floor(self) -> Tensor:
        """Below which no variance falls."""
        return self.decoder.variance_floor[self.picked]  # type: ignore[index]

    @property
    def heads(self) -> tuple[ColumnLayer, ...]:
        """The layers of learned parameters."""
        return tuple(head for head in (self.variance, self.dof) if head is not None)

    @property
    def log_dof(self) -> Tensor:
        """The raw degrees of freedom."""
        return self.decoder.log_dof  # type: ignore[return-value]


# The normal distribution with a variance for each column ------------------------------------------------------


def gaussian(columns: Columns) -> Loss:
    """Return minus the normal log-likelihood of columns."""
    if columns.decoder.has_conditional_variances:
        return _general(columns, _normal)
    head = columns.variance

    def entrywise(output: Tensor, target: Tensor) -> Tensor:
        variance = columns.decoder.variance[columns.picked].to(output.dtype)  # type: ignore[index]
        return 0.5 * ((output - target).square() / variance + (2 * math.pi * variance).log())

    def sum_and_gradient(output: Tensor, target: Tensor, weight: Tensor | None, gradient: Tensor) -> Tensor:
        dtype = accumulator(output)
        residual = torch.sub(output, target, out=gradient)
        floor = columns.floor.to(dtype)
        learned = None if head is None else head.weight[0, columns.picked].to(dtype).exp()
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
            share = head.gradient[0, columns.picked]
            torch.sub(count, squares, out=share).mul_(learned / variance).mul_(0.5)
            if not isinstance(columns.picked, slice):  # a slice is a view, written in place
                head.gradient[0, columns.picked] = share
        logs = (2 * math.pi * variance).log_()
        if weight is None:
            squares.add_(logs, alpha=len(output))
        else:
            squares.addcmul_(logs, count)
        return squares.sum().mul_(0.5)

    return Loss(entrywise, sum_and_gradient, heads=columns.heads)


# Both, with any variance ------------------------------------------------------------------------------------

# (r, v, degrees of freedom) -> l without c(k), dl/do, q, and log(1 + r^2 / k v); see the head of this file.
Kernel = Callable[[Tensor, Tensor, Any], tuple[Tensor, Tensor, Tensor, Any]]


def _normal(residual: Tensor, variance: Tensor, dof: None) -> tuple[Tensor, Tensor, Tensor, None]:
    slope = residual / variance
    q = residual * slope
    return 0.5 * (q + (2 * math.pi * variance).log()), slope, q, None


def _student(residual: Tensor, variance: Tensor, dof: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    ratio = residual.square() / (dof * variance)
    log, rest = torch.log1p(ratio), (1 + ratio).reciprocal()
    entries = 0.5 * ((dof + 1) * log + variance.log())
    return entries, residual * rest * ((dof + 1) / (dof * variance)), (dof + 1) * (1 - rest), log


def student_t(columns: Columns) -> Loss:
    """Return minus Student's log-likelihood of columns, whose degrees of freedom are learned."""
    return _general(columns, _student)


def _general(columns: Columns, kernel: Kernel) -> Loss:
    """Return the loss of a kernel; conditional variances, raw, follow the locations in the output."""

    def entrywise(output: Tensor, target: Tensor) -> Tensor:
        k = target.shape[1]
        dof, constant = None, torch.zeros((), dtype=output.dtype, device=output.device)
        if kernel is _student:
            exact = degrees_of_freedom(columns.log_dof.to(sum_dtype(output.device)))
            dof, constant = exact.to(output.dtype), _constant(exact).to(output.dtype)
        variance = columns.decoder.variances_of(output[:, k:], columns.picked).to(output.dtype)
        return kernel(output[:, :k] - target, variance, dof)[0] + constant

    def sum_and_gradient(output: Tensor, target: Tensor, weight: Tensor | None, gradient: Tensor) -> Tensor:
        dtype, k = accumulator(output), target.shape[1]
        residual = output[:, :k].to(dtype) - observed(target, weight)
        learned, slope = _learned_variance(columns, output[:, k:].to(dtype))
        variance = columns.floor.to(dtype) if learned is None else columns.floor.to(dtype) + learned
        head = columns.dof
        dof = None if head is None else degrees_of_freedom(head.weight[0].to(dtype))
        entries, of_location, q, log = kernel(residual, variance, dof)
        total = weigh(entries, weight).sum()
        if head is not None:
            count = len(output) if weight is None else weight.sum(0, dtype=dtype)
            assert dof is not None
            total = total + _differentiate_dof(head, dof, weigh(log, weight), weigh(q.clone(), weight), count)
        if learned is not None:
            of_scale = weigh((1 - q).mul_(learned / variance).mul_(0.5), weight)
            if slope is not None:
                gradient[:, k:] = of_scale.mul_(slope)
            else:
                columns.variance.gradient[0, columns.picked] = of_scale.sum(0).to(gradient.dtype)  # type: ignore[union-attr]
        gradient[:, :k] = weigh(of_location, weight)
        return total

    return Loss(entrywise, sum_and_gradient, heads=columns.heads)


def _learned_variance(columns: Columns, raw: Tensor) -> tuple[Tensor | None, Tensor | None]:
    """Return e^s, of columns or of entries, and of entries ds/draw; None where nothing is learned."""
    if columns.decoder.has_conditional_variances:
        s, slope = bounded_and_slope(raw)
        return s.add_(columns.decoder.log_variance[columns.picked]).exp_(), slope  # type: ignore[index]
    head = columns.variance
    return None if head is None else head.weight[0, columns.picked].to(raw.dtype).exp(), None


def _constant(dof: Tensor) -> Tensor:
    return 0.5 * (math.pi * dof).log() + torch.lgamma(dof / 2) - torch.lgamma((dof + 1) / 2)


def _differentiate_dof(head: ColumnLayer, dof: Tensor, log: Tensor, q: Tensor, count: int | Tensor) -> Tensor:
    """Write the derivative for the raw degrees of freedom; return the sum of w c(k).

    ``log`` and ``q`` are weighted already, ``count`` is the sum of the weights of each column.
    """
    exact = dof.to(sum_dtype(dof.device))  # c(k) is a difference of large numbers
    slope = 0.5 * (1 / exact + torch.digamma(exact / 2) - torch.digamma((exact + 1) / 2))
    of_dof = 0.5 * (log.sum(0) - q.sum(0) / dof) + (slope * count).to(dof.dtype)
    raw = head.weight[0].to(dof.dtype)
    head.gradient[0] = (of_dof * (dof - 1) * bounded_and_slope(raw)[1]).to(head.gradient.dtype)
    return (_constant(exact) * count).sum().to(dof.dtype)


# Draws -----------------------------------------------------------------------------------------------------


def draw_gaussian(location: Tensor, columns: Columns, raw: Tensor, generator: torch.Generator) -> Tensor:
    """Draw from normal distributions."""
    deviation = columns.decoder.variances_of(raw, columns.picked).detach().to(location).sqrt()
    return normal(location.shape, location, generator).mul_(deviation).add_(location)


def draw_student_t(location: Tensor, columns: Columns, raw: Tensor, generator: torch.Generator) -> Tensor:
    """Draw from Student's distributions, by a polar method (Bailey 1994)."""
    scale = columns.decoder.variances_of(raw, columns.picked).detach().to(location).sqrt()
    dof = degrees_of_freedom(columns.log_dof.detach().double().to(location.device))
    u, v = torch.rand(2, *location.shape, dtype=torch.float64, generator=generator)
    radius = (dof * torch.expm1(-2 / dof * (1 - u).log())).sqrt()
    return (radius * (2 * math.pi * v).cos()).to(location).mul_(scale).add_(location)


# Where a fit starts ----------------------------------------------------------------------------------------


def student_quantiles(quantiles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the scale and the degrees of freedom that go with quantiles of columns.

    Parameters
    ----------
    quantiles : ndarray of shape (5, n_columns)
        At 0.025, 0.25, 0.5, 0.75 and 0.975.

    Returns
    -------
    scale, dof : ndarray of shape (n_columns,)
        Positive; degrees of freedom from 1.1 to 5. From more, training would hardly find its way back to heavy
        tails, which the spread of what the code explains may have hidden.
    """
    known = np.geomspace(1.1, 5, 100)
    upper = stats.t.ppf(0.75, known)
    spread, tails = quantiles[3] - quantiles[1], quantiles[4] - quantiles[0]
    # Half of a column may be one value, and nearly all of it.
    spread = np.where(spread > 0, spread, tails / 3)
    spread = np.where(spread > 0, spread, 1.0)
    ratios = stats.t.ppf(0.975, known) / upper  # they fall as the degrees of freedom grow
    dof = np.interp(tails / spread, ratios[::-1], known[::-1])
    return spread / (2 * np.interp(dof, known, upper)), dof
