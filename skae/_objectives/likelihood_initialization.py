"""Where networks with a likelihood start: at each column's own mean and variance."""

import torch
from torch import Tensor

from .._data.training_data import TrainingData
from .._networks.activations import selector
from .._networks.networks import Decoder, GaussianEncoder, Linear
from .likelihoods import LIKELIHOODS, Parts

VARIANCE_FLOOR = 1e-4  # of a learned variance, as a share of the column's own
CONSTANT_FLOOR = 1e-2  # of a constant column's variance, as a share of the others' mean


def start_at_moments(parts: Parts, encoder: GaussianEncoder, decoder: Decoder, data: TrainingData) -> None:
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
        _set_variances(dict(parts)["gaussian"], decoder, data)
    if any(name != "gaussian" for name, _ in parts) or (parts and data.offset is None):
        means = data.column_means()
        if encoder.log_scale is not None:
            _set_log_scale(parts, encoder.log_scale, means)
        if data.offset is not None:
            means = means - data.offset.to(means)  # of columns that are centred, nothing is left
        _set_means(parts, decoder, means)


def _set_log_scale(parts: Parts, log_scale: Tensor, means: Tensor) -> None:
    """Let counts and other positive values x enter as log(1 + x / mean)."""
    for name, columns in parts:
        if LIKELIHOODS[name].link == "exp":
            picked = selector(columns)
            log_scale[picked] = means[picked].to(log_scale)


def _set_means(parts: Parts, decoder: Decoder, means: Tensor) -> None:
    """Let the last bias be the means behind the inverse link."""
    last = decoder.blocks[-1]
    if last.activation != "identity":
        return
    bias = last.linear.bias.detach()
    # The bias of a convolution is its channel's, for all places.
    channels = means.view(-1, len(bias))
    shared = channels.mean(0).repeat(len(channels))
    start = torch.zeros_like(means)
    for name, columns in parts:
        picked = selector(columns)
        start[picked] = LIKELIHOODS[name].inverse(shared[picked])
    bias.copy_(start.view(-1, len(bias)).mean(0))


def _set_variances(columns: tuple[int, ...], decoder: Decoder, data: TrainingData) -> None:
    """Let variances start at the columns' own, above a floor that no later variance falls below."""
    assert decoder.log_variance is not None
    assert decoder.variance_floor is not None
    deviation, lowest, highest = (torch.as_tensor(s)[list(columns)].double() for s in data.statistics()[:3])
    rounding = 2 * data.precision * torch.maximum(lowest.abs(), highest.abs())  # all there is in a constant column
    varies = deviation > rounding.clamp_min(1e-15)
    pooled = deviation[varies].square().mean() if varies.any() else torch.ones((), dtype=deviation.dtype)
    own = torch.where(varies, deviation.square(), pooled)
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
