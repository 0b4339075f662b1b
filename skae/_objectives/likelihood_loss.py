"""Likelihoods as losses of a decoder, with the variances that normal ones learn, and where all of it starts."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from .._data.training_data import TrainingData
from .._networks.custom import checked_loss
from .._networks.links import selector
from .._networks.networks import Decoder, GaussianEncoder, Linear
from .likelihoods import LIKELIHOODS, Parts, check_support
from .losses import LOSSES, Loss, accumulator

VARIANCE_FLOOR = 1e-4  # of a learnt variance, as a share of the column's own
CONSTANT_FLOOR = 1e-2  # of a constant column's variance, as a share of the others' mean


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


def gaussian(decoder: Decoder) -> tuple[Callable, Callable, tuple]:
    """Return minus the normal log-likelihood, entrywise and in closed form, with its head if it has one."""
    head = None if decoder.log_variance is None else VarianceHead(decoder)

    def entrywise(output: Tensor, target: Tensor) -> Tensor:
        variance = decoder.variance.to(output.dtype)  # type: ignore[union-attr]
        return 0.5 * ((output - target).square() / variance + (2 * math.pi * variance).log())

    def sum_and_gradient(output: Tensor, target: Tensor, gradient: Tensor) -> Tensor:
        dtype, n = accumulator(output), len(output)
        torch.sub(output, target, out=gradient)
        floor = decoder.variance_floor.to(dtype)  # type: ignore[union-attr]
        learnt = None if head is None else head.weight[0].to(dtype).exp()
        variance = floor if learnt is None else floor + learnt
        squares = torch.linalg.vector_norm(gradient, dim=0, dtype=dtype).square_().div_(variance)
        gradient.div_(variance)
        if head is not None and learnt is not None:
            torch.sub(n, squares, out=head.gradient[0]).mul_(learnt / variance).mul_(0.5)
        return squares.add_((2 * math.pi * variance).log_(), alpha=n).sum().mul_(0.5)

    return entrywise, sum_and_gradient, () if head is None else (head,)


def loss(parts: Parts, decoder: Decoder) -> Loss:
    """Return minus the log-likelihood as a loss, summed over features, in nats."""
    pieces, heads = [], ()
    for name, columns in parts:
        family = LIKELIHOODS[name]
        entrywise, sum_and_gradient = family.entrywise, family.sum_and_gradient
        if name == "gaussian":
            entrywise, sum_and_gradient, heads = gaussian(decoder)
        pieces.append((selector(columns), entrywise, sum_and_gradient))
    if len(pieces) == 1:
        _, entrywise, sum_and_gradient = pieces[0]
    else:
        entrywise, sum_and_gradient = _joined(pieces)
    return Loss(
        entrywise,
        sum_and_gradient,
        mean_over_features=False,
        heads=heads,
        shift_invariant=[name for name, _ in parts] == ["gaussian"],
    )


def _joined(pieces: list) -> tuple[Callable, Callable]:
    """Join functions of some columns each to one of all columns."""

    def entrywise(output: Tensor, target: Tensor) -> Tensor:
        entries = [function(output[:, columns], target[:, columns]) for columns, function, _ in pieces]
        return torch.cat(entries, 1)

    def sum_and_gradient(output: Tensor, target: Tensor, gradient: Tensor) -> Tensor:
        totals = []
        for columns, _, function in pieces:
            part = gradient[:, columns]
            totals.append(function(output[:, columns], target[:, columns], part))
            if not isinstance(columns, slice):  # a slice is a view, written in place
                gradient[:, columns] = part
        return torch.stack(totals).sum()

    return entrywise, sum_and_gradient


def plain(loss: str | Callable) -> Loss | Callable:
    """Return a plain reconstruction loss, summed over features."""
    return LOSSES[loss]._replace(mean_over_features=False) if isinstance(loss, str) else checked_loss(loss)


def check_rows(parts: Parts, data: TrainingData) -> None:
    """Check that each column's values lie where its likelihood is defined; ValueError if not."""
    names = [name for name, _ in parts if LIKELIHOODS[name].remedy]
    if not names:
        return
    if len(parts) == 1:
        check_support(names[0], *data.target_range())
        return
    _, lowest, highest, _ = data.statistics()
    for name, columns in parts:
        picked = list(columns)
        check_support(name, float(lowest[picked].min()), float(highest[picked].max()))


def start(parts: Parts, encoder: GaussianEncoder, decoder: Decoder, data: TrainingData) -> None:
    """Let new networks start at each column's mean and variance.

    Parameters
    ----------
    parts : Parts
        Empty with a plain loss.
    encoder : GaussianEncoder
    decoder : Decoder
    data : TrainingData
        Centred, where it is.
    """
    if decoder.log_variance is not None:
        _start_variances(dict(parts)["gaussian"], decoder, data)
    if any(name != "gaussian" for name, _ in parts) or (parts and data.offset is None):
        _start_means(parts, encoder, decoder, data)


def _start_means(parts: Parts, encoder: GaussianEncoder, decoder: Decoder, data: TrainingData) -> None:
    last, means = decoder.blocks[-1], data.column_means()
    if data.offset is not None:
        means = means - data.offset.to(means)  # of columns that are centred, nothing is left
    bias = last.linear.bias.detach()
    # The bias of a convolution is its channel's, for all places.
    shared = means.view(-1, len(bias)).mean(0).repeat(len(means) // len(bias))
    start = torch.zeros_like(means)
    for name, columns in parts:
        picked = selector(columns)
        start[picked] = LIKELIHOODS[name].inverse(shared[picked])
        if encoder.typical is not None and LIKELIHOODS[name].link == "exp":
            encoder.typical[picked] = means[picked].to(encoder.typical)
    if last.activation == "identity":
        bias.copy_(start.view(-1, len(bias)).mean(0))


def _start_variances(columns: tuple[int, ...], decoder: Decoder, data: TrainingData) -> None:
    assert decoder.log_variance is not None
    assert decoder.variance_floor is not None
    deviation, lowest, highest = (torch.as_tensor(s)[list(columns)].double() for s in data.statistics()[:3])
    rounding = 2 * data.precision * torch.maximum(lowest.abs(), highest.abs())  # all there is in a constant column
    varies = deviation > rounding.clamp_min(1e-15)
    typical = deviation[varies].square().mean() if varies.any() else torch.ones((), dtype=deviation.dtype)
    own = torch.where(varies, deviation.square(), typical)
    # Were they narrower, a value that training did not show would drown all else in a score.
    floor = torch.where(varies | ~varies.any(), VARIANCE_FLOOR, CONSTANT_FLOOR) * own
    decoder.variance_floor.copy_(floor)
    last = decoder.blocks[-1].linear
    # A narrow distribution around what is not yet its mean would outweigh all other columns: the decoder starts
    # at the mean of a constant column, or where it cannot, with a wide distribution.
    reachable = isinstance(last, Linear)
    start = torch.where(varies | ~varies.any() | (not reachable), own, floor)
    decoder.log_variance.detach().copy_(start.log())
    if reachable:
        constant = torch.tensor(columns)[~varies]
        last.weight.detach()[constant.to(last.weight.device)] = 0
