"""A likelihood as a whole: which family rules which columns, its loss, its draws, and where networks start."""

from collections.abc import Sequence
from numbers import Integral
from typing import Any

import torch
from torch import Tensor

from .._data.rows import TrainingData
from .._networks.activations import Link, selector
from .._networks.networks import Decoder, GaussianEncoder, Linear
from .likelihood_families import LIKELIHOODS
from .losses import Loss
from .support import Support

VARIANCE_FLOOR = 1e-4  # of a learned variance, as a share of the column's own
CONSTANT_FLOOR = 1e-2  # of a constant column's variance, as a share of the others' mean

Parts = tuple[tuple[str, tuple[int, ...]], ...]


def partition(likelihood: str | Sequence, n_features: int) -> Parts:
    """Share out the columns: one entry ``(name, columns in ascending order)`` for each family there is.

    Where the columns of a pair are one variable, each pair has an entry of its own, in the order given.

    Raises
    ------
    ValueError
        If ``likelihood`` is no name and no sequence of pairs, or if a column is missing or named twice.
    """
    pairs = [(likelihood, range(n_features))] if isinstance(likelihood, str) else [*likelihood]
    owner: dict[int, tuple[str, int]] = {}
    for number, pair in enumerate(pairs):
        name, columns = _pair(pair)
        group = name, number if LIKELIHOODS[name].joint else 0
        for column in columns:
            if not isinstance(column, Integral) or isinstance(column, bool) or not 0 <= int(column) < n_features:
                raise ValueError(
                    f"likelihood names column {column!r}, but columns are integers from 0 to {n_features - 1}, "
                    f"since X has {n_features} features."
                )
            if column in owner:
                raise ValueError(f"likelihood names column {column} twice, but each column belongs to one pair.")
            owner[int(column)] = group
    missing = sorted({*range(n_features)} - {*owner})
    if missing:
        raise ValueError(
            f"likelihood names no distribution for columns {missing[:10]}{'...' if missing[10:] else ''} of the "
            f"{n_features} features of X. Add them to one of the pairs."
        )
    groups: dict[tuple[str, int], list[int]] = {}
    for column in range(n_features):
        groups.setdefault(owner[column], []).append(column)
    rank = [*LIKELIHOODS].index
    return tuple((name, tuple(groups[name, n])) for name, n in sorted(groups, key=lambda g: (rank(g[0]), g[1])))


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
    is_one = len(parts) == 1 or (len(links) == 1 and not LIKELIHOODS[parts[0][0]].joint)
    return links.pop() if is_one else tuple((LIKELIHOODS[name].link, columns) for name, columns in parts)


def n_gaussian(parts: Parts) -> int:
    """Return how many columns have a normal distribution."""
    return sum(len(columns) for name, columns in parts if name == "gaussian")


def draw(parts: Parts, decoder: Decoder, mean: Tensor, generator: torch.Generator) -> Tensor:
    """Draw from the likelihood with these means, in the data's space."""
    x = torch.empty_like(mean)
    for name, columns in parts:
        picked = selector(columns)
        x[:, picked] = LIKELIHOODS[name].draw(mean[:, picked], decoder, generator)
    return x


def negative_log_likelihood(parts: Parts, decoder: Decoder) -> Loss:
    """Return minus the log-likelihood as a loss, summed over features, in nats."""
    losses = [LIKELIHOODS[name].loss(decoder) for name, _ in parts]
    loss = losses[0] if len(losses) == 1 else _joined(losses, [columns for _, columns in parts])
    return loss._replace(link="identity", mean_over_features=False, supports=supports(parts))


def _joined(losses: list[Loss], columns: list[tuple[int, ...]]) -> Loss:
    """Join losses of some columns each to one of all columns."""
    pieces = [(loss, selector(own)) for loss, own in zip(losses, columns, strict=True)]
    order = torch.tensor([column for own in columns for column in own]).argsort()

    def entrywise(output: Tensor, target: Tensor) -> Tensor:
        entries = [loss.entrywise(output[:, own], target[:, own]) for loss, own in pieces]  # type: ignore[misc]
        return torch.cat(entries, 1)[:, order]

    def sum_and_gradient(output: Tensor, target: Tensor, weight: Tensor | None, gradient: Tensor) -> Tensor:
        totals = []
        for loss, own in pieces:
            share = weight if weight is None or weight.shape[1] == 1 else weight[:, own]
            part = gradient[:, own]
            total = loss.sum_and_gradient(output[:, own], target[:, own], share, part)  # type: ignore[misc]
            totals.append(total)
            if not isinstance(own, slice):  # a slice is a view, written in place
                gradient[:, own] = part
        return torch.stack(totals).sum()

    heads = tuple(head for loss in losses for head in loss.heads)
    return Loss(entrywise, sum_and_gradient, heads=heads, shift_invariant=False)


def supports(parts: Parts) -> tuple[Support, ...]:
    """Return which values each likelihood takes in its columns; nothing of those that take any."""
    known = []
    for name, columns in parts:
        family = LIKELIHOODS[name]
        picked = None if len(parts) == 1 and not family.joint else columns
        if family.remedy:
            known.append(Support(f"likelihood={name!r}", family.remedy, *family.support, picked, family.joint))
    return tuple(known)


# Initialization --------------------------------------------------------------------------------------------


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
        for name, columns in parts:
            if LIKELIHOODS[name].link == "exp":  # counts and other positive values x enter as log(1 + x / mean)
                picked = selector(columns)
                encoder.log_scale[picked] = means[picked].to(encoder.log_scale)  # type: ignore[index]
        if data.offset is not None:
            means = means - data.offset.to(means)  # of columns that are centred, nothing is left
        _set_means(parts, decoder, means)


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
    constant = ~varies & varies.any()
    # Were they narrower, a value that training did not show would drown all else in a score.
    floor = torch.where(constant, CONSTANT_FLOOR, VARIANCE_FLOOR) * own
    decoder.variance_floor.copy_(floor)
    last = decoder.blocks[-1].linear
    # A narrow distribution around what is not yet its mean would outweigh all other columns: the decoder starts
    # at the mean of a constant column, or where it cannot, with a wide distribution.
    reachable = isinstance(last, Linear)
    decoder.log_variance.detach().copy_(torch.where(constant & reachable, floor, own).log())
    if reachable:
        last.weight.detach()[torch.tensor(columns)[~varies].to(last.weight.device)] = 0
