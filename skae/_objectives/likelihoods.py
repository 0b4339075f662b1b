"""A likelihood as a whole: which family rules which columns, its loss, its draws, and where networks start."""

from collections.abc import Sequence
from numbers import Integral
from typing import Any

import torch
from torch import Tensor, nn

from .._data.magnitude import check_squares
from .._data.training_data import TrainingData
from .._networks.activations import Link, link_activation, selector
from .._networks.blocks import Linear
from .._networks.gaussian import GaussianEncoder
from .._networks.networks import Decoder
from .._support.texts import first_of
from .joined import Piece, joined
from .likelihood_families import LIKELIHOODS
from .location_scale import ColumnLayer, Columns, student_quantiles
from .losses import Loss
from .support import Support

QUANTILES = (0.025, 0.25, 0.5, 0.75, 0.975)
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
            f"likelihood names no distribution for columns [{first_of(missing)}] of the {n_features} features of "
            "X. Add them to one of the pairs."
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


def with_scale(parts: Parts) -> tuple[int, ...]:
    """Return the columns whose distribution has a variance, in ascending order."""
    return tuple(sorted(c for name, columns in parts if LIKELIHOODS[name].has_scale for c in columns))


def of_family(parts: Parts, name: str) -> tuple[int, ...]:
    """Return the columns of one family."""
    return tuple(column for family, columns in parts if family == name for column in columns)


def draw(parts: Parts, decoder: Decoder, output: Tensor, generator: torch.Generator) -> Tensor:
    """Draw rows from the likelihood with this output of the decoder, before the link, in the data's space."""
    width = output.shape[1] if decoder.n_features is None else decoder.n_features
    x = output.new_empty(len(output), width)
    for name, columns in parts:
        family, picked = LIKELIHOODS[name], selector(columns)
        mean = output[:, :width][:, picked].clone()
        link_activation(family.link).apply_(mean)
        scale = scale_columns(parts, decoder, columns) if family.has_scale else ()
        raw = (
            output[:, width:][:, selector(scale)] if scale and decoder.has_conditional_variances else output[:, :0]
        )
        x[:, picked] = family.draw(
            mean, Columns(decoder, selector(scale) if scale else slice(None)), raw, generator
        )
    return x


def scale_columns(parts: Parts, decoder: Decoder, columns: Sequence[int]) -> tuple[int, ...]:
    """Return which of the decoder's variances are these columns'."""
    assert decoder.variance_floor is not None
    known = with_scale(parts)
    if len(decoder.variance_floor) > len(known):  # images have one for each place
        return tuple(columns)
    return tuple(known.index(column) for column in columns)


def negative_log_likelihood(parts: Parts, decoder: Decoder) -> Loss:
    """Return minus the log-likelihood as a loss, summed over features, in nats.

    With conditional variances, the output that it takes goes on with what `Decoder.variances_of` takes.
    """
    learned = decoder.log_variance is not None and not decoder.has_conditional_variances
    variance = ColumnLayer(decoder.log_variance) if learned else None  # type: ignore[arg-type]
    dof = None if decoder.log_dof is None else ColumnLayer(decoder.log_dof)
    pieces = []
    for name, columns in parts:
        family, known, beside = LIKELIHOODS[name], Columns(decoder), list[int]()
        if family.has_scale:
            scale = scale_columns(parts, decoder, columns)
            if decoder.n_features is not None:
                beside = [decoder.n_features + number for number in scale]
            known = Columns(decoder, selector(scale), variance, dof if name == "student_t" else None)
        pieces.append(Piece(family.loss(known), columns, (*columns, *beside)))
    loss = pieces[0].loss if len(pieces) == 1 else joined(pieces)
    heads = tuple(head for head in (variance, dof) if head is not None)
    return loss._replace(link="identity", mean_over_features=False, heads=heads, supports=supports(parts))


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
    normal, student = of_family(parts, "gaussian"), of_family(parts, "student_t")
    if decoder.log_variance is not None and normal:
        _set_variances(normal, scale_columns(parts, decoder, normal), decoder, data)
    if student:
        _set_tails(student, scale_columns(parts, decoder, student), encoder, decoder, data)
    if decoder.has_conditional_variances and decoder.own is None:
        _start_equal(decoder)
    if any(name not in ("gaussian", "student_t") for name, _ in parts) or (parts and data.offset is None):
        means = data.column_means()
        for name, columns in parts:
            if encoder.log_scale is not None and LIKELIHOODS[name].link == "exp":
                # Counts and other positive values x enter as log(1 + x / mean).
                picked = selector(columns)
                encoder.log_scale[picked] = means[picked].to(encoder.log_scale)
        if data.offset is not None:
            means = means - data.offset.to(means)  # of columns that are centred, nothing is left
            means[list(student)] = 0  # centred by the median
        _set_means(parts, decoder, means)


def _last_bias(decoder: Decoder) -> Tensor:
    """Return the biases of the last layer that locations have, of each column or of each channel."""
    bias = decoder.blocks[-1].linear.bias.detach()
    last = decoder.blocks[-1].linear
    if decoder.n_features is None:
        return bias
    return bias[: decoder.n_features] if isinstance(last, Linear) else bias[: len(bias) // 2]


def _set_means(parts: Parts, decoder: Decoder, means: Tensor) -> None:
    """Let the last bias be the means behind the inverse link."""
    if decoder.own is not None or decoder.blocks[-1].activation != "identity":
        return
    bias = _last_bias(decoder)
    # The bias of a convolution is its channel's, for all places.
    channels = means.view(-1, len(bias))
    shared = channels.mean(0).repeat(len(channels))
    start = torch.zeros_like(means)
    for name, columns in parts:
        picked = selector(columns)
        start[picked] = LIKELIHOODS[name].inverse(shared[picked])
    bias.copy_(start.view(-1, len(bias)).mean(0))


def _set_variances(
    columns: tuple[int, ...], numbers: tuple[int, ...], decoder: Decoder, data: TrainingData
) -> None:
    """Let variances start at the columns' own, above a floor that no later variance falls below."""
    assert decoder.log_variance is not None
    assert decoder.variance_floor is not None
    deviation, lowest, highest = (torch.as_tensor(s)[list(columns)].double() for s in data.statistics()[:3])
    magnitude = torch.maximum(lowest.abs(), highest.abs())
    rounding = 2 * data.precision * magnitude  # all there is in a constant column
    varies = deviation > rounding.clamp_min(1e-15 * data.unit)
    limits = torch.finfo(decoder.variance_floor.dtype)
    check_squares(deviation, magnitude, varies, columns, (limits.tiny / VARIANCE_FLOOR, limits.max))
    pooled = deviation[varies].square().mean() if varies.any() else torch.ones((), dtype=deviation.dtype)
    own = torch.where(varies, deviation.square(), pooled)
    constant = ~varies & varies.any()  # narrower ones' unseen values would drown all else in a score
    floor = torch.where(constant, CONSTANT_FLOOR, VARIANCE_FLOOR).float() * own  # not in torch's default dtype
    picked = selector(numbers)
    decoder.variance_floor[picked] = floor.to(decoder.variance_floor)
    last: Any = decoder.blocks[-1].linear if decoder.own is None else None
    # A narrow distribution around what is not yet its mean would outweigh all other columns: the decoder starts
    # at the mean of a constant column, or where it cannot, with a wide distribution.
    reachable = isinstance(last, Linear)
    start = torch.where(constant & reachable, floor, own).log()
    decoder.log_variance.detach()[picked] = start.to(decoder.log_variance)
    if reachable:
        last.weight.detach()[torch.tensor(columns)[~varies].to(last.weight.device)] = 0


def _set_tails(
    columns: tuple[int, ...],
    numbers: tuple[int, ...],
    encoder: GaussianEncoder,
    decoder: Decoder,
    data: TrainingData,
) -> None:
    """Let Student's scales and degrees of freedom start at those that the columns' quantiles tell."""
    assert decoder.log_dof is not None
    assert decoder.variance_floor is not None
    scale, dof = student_quantiles(data.quantiles(columns, QUANTILES))
    picked, squares = selector(numbers), torch.as_tensor(scale).double().square()
    if encoder.log_scale is not None:
        encoder.log_scale[list(columns)] = -torch.as_tensor(scale).to(encoder.log_scale)
    decoder.log_dof.detach().copy_(torch.as_tensor(dof - 1).log())
    if decoder.log_variance is not None:
        decoder.variance_floor[picked] = (VARIANCE_FLOOR * squares).to(decoder.variance_floor)
        decoder.log_variance.detach()[picked] = squares.log().to(decoder.log_variance)


def _start_equal(decoder: Decoder) -> None:
    """Let conditional variances start equal for all rows."""
    last: Any = decoder.blocks[-1].linear
    bias = last.bias.detach()
    n_locations = len(_last_bias(decoder))
    bias[n_locations:] = 0
    weight = last.weight.detach()
    if isinstance(last, nn.ConvTranspose2d):
        weight = weight.transpose(0, 1)
    weight[n_locations:] = 0
