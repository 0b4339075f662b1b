"""Codes sorted by how much they explain: what each prefix keeps, principal axes, and truncation to a prefix."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .._data.chunks import total
from .._data.rows import Rows
from .._networks.building import build
from .._networks.networks import Architecture, Decoder, Encoder, TiedLinear
from .._support.devices import sum_dtype

# What prefixes keep ----------------------------------------------------------------------------------------


class Explained(NamedTuple):
    """The variance that each unit adds to what the units before it explain, (width,), and that of the data."""

    by_unit: Tensor
    total: Tensor


class Sample:
    """Rows to measure on, chunk by chunk.

    Parameters
    ----------
    rows : Rows
    order : int64 Tensor
        Their numbers.
    weight : Tensor of shape (n_rows,) or None
        How often each of all rows counts.
    """

    def __init__(self, rows: Rows, order: Tensor, weight: Tensor | None) -> None:
        self.rows, self.order, self.weight = rows, order, weight
        self.dtype = sum_dtype(rows.device)
        self.size: Any = len(order) if weight is None else weight[order].sum().to(rows.device, self.dtype)

    def sum(self, function: Callable[[Tensor, Tensor], Tensor]) -> Any:
        """Add up ``function(x, counts)`` over chunks; ``counts`` is (n,)."""
        weight = self.weight if self.weight is not None else torch.ones(self.rows.n_rows)
        weight = weight.to(self.rows.device, self.dtype)
        return total(function(x, weight[index]) for index, x in self.rows.chunks(self.order))

    def mean(self, of: Callable[[Tensor], Tensor]) -> Tensor:
        """Return the mean of ``of(x)``, (n, d), over rows."""
        return self.sum(lambda x, counts: counts @ of(x).to(self.dtype)) / self.size


@torch.no_grad()
def explained_variance(encode: Callable, decode: Callable, sample: Sample, width: int) -> Explained:
    """Measure what the prefixes of codes leave of the variance of rows.

    Variances are summed over features, with n - 1 in the denominator, as in PCA.
    """
    mean = sample.mean(lambda x: x)

    def left(x: Tensor, counts: Tensor) -> Tensor:
        code = encode(x)
        prefix = torch.zeros_like(code)
        squares = [counts @ (x - mean).square().sum(1)]
        for k in range(width):
            prefix[:, k] = code[:, k]
            squares.append(counts @ (decode(prefix) - x).to(counts.dtype).square().sum(1))
        return torch.stack(squares)

    variance = sample.sum(left) / max(float(sample.size) - 1, 1.0)
    return Explained(variance[:-1] - variance[1:], variance[0])


# Linear networks -------------------------------------------------------------------------------------------


def _weight(linear: Any) -> Tensor:
    """Return a layer's weight, (fan_out, fan_in), in float64 on the CPU."""
    weight = linear.partner.weight.t() if isinstance(linear, TiedLinear) else linear.weight
    return weight.detach().cpu().double()


def linear_map(decoder: Decoder) -> Tensor:
    """Return the matrix, (n_features, n_components), of a linear decoder, in float64 on the CPU."""
    first, *others = (_weight(block.linear) for block in decoder.blocks)
    return functools.reduce(lambda whole, weight: weight @ whole, others, first)


@torch.no_grad()
def rotate_to_principal_axes(encoder: Encoder, decoder: Decoder, sample: Sample, only_rotate: bool) -> None:
    """Change a linear network's code to principal axes, while reconstructions from the whole stay as they are.

    With W the decoder's map, codes z and orthonormal axes V of its range, the decoder becomes V and the code
    V' W z. The first k axes explain, of the variance of centred rows x, the trace of V_k' S V_k, where
    S = W C_zx + C_xz W' - W C_zz W' and C are covariances. Its eigenvectors within the range of W are therefore
    the best axes for every k; where the network has found PCA's subspace, they are PCA's.

    Parameters
    ----------
    encoder, decoder
        Changed in place.
    sample : Sample
    only_rotate : bool
        Only rotate the code, as tied weights ask.
    """
    last: Any = encoder.blocks[-1].linear
    first: Any = decoder.blocks[0].linear
    width = len(last.bias)

    def both(x: Tensor) -> Tensor:
        return torch.cat([encoder.forward_centred(x), x], 1)

    def outer(x: Tensor, counts: Tensor) -> Tensor:
        rows = (both(x) - means).to(counts.dtype)
        return (rows[:, :width] * counts[:, None]).t() @ rows

    means = sample.mean(both)
    covariances = (sample.sum(outer) / sample.size).cpu().double()
    within, across = covariances[:, :width], covariances[:, width:]
    means = means.cpu().double()
    whole = linear_map(decoder)

    if only_rotate:
        explained = across @ whole - 0.5 * within @ whole.t() @ whole
        back = torch.linalg.eigh(explained + explained.t()).eigenvectors.flip(1)
        there = back.t()
    else:
        axes, lengths, _ = torch.linalg.svd(whole, full_matrices=False)
        axes = axes[:, lengths > 1e-10 * lengths[0]]
        seen = axes.t() @ whole
        explained = seen @ across @ axes - 0.5 * seen @ within @ seen.t()
        axes = axes @ torch.linalg.eigh(explained + explained.t()).eigenvectors.flip(1)
        axes = torch.nn.functional.pad(axes, (0, width - axes.shape[1]))
        there, back = axes.t() @ whole, torch.linalg.pinv(whole) @ axes

    components = (
        whole @ back
    ).t()  # what each unit adds to the reconstruction; its largest entry is made positive
    sign = torch.where(components.gather(1, components.abs().argmax(1, keepdim=True)) < 0, -1.0, 1.0)
    there, back = sign * there, back * sign[:, 0]
    centre, first_weight = there @ means[:width], _weight(first) @ back
    last.bias.copy_(there @ last.bias.cpu().double() - centre)
    last.weight.copy_(there @ _weight(last))
    first.bias.copy_(first.bias.cpu().double() + first_weight @ centre)
    if not isinstance(first, TiedLinear):
        first.weight.copy_(first_weight)


# Truncating ------------------------------------------------------------------------------------------------


@torch.no_grad()
def truncate_code(
    encoder: Encoder, decoder: Decoder, architecture: Architecture, width: int
) -> tuple[Encoder, Decoder, Architecture]:
    """Return networks of the first ``width`` units of the code, and their architecture."""
    architecture = architecture._replace(encoder_layer_sizes=(*architecture.encoder_layer_sizes[:-1], width))
    narrow = build(architecture)
    for network, whole in zip(narrow, (encoder, decoder), strict=True):
        network.to(next(whole.parameters()))
        wide = whole.state_dict()
        for name, part in network.state_dict().items():
            part.copy_(wide[name][tuple(map(slice, part.shape))])
        network.offset = whole.offset
        network.eval()
    return *narrow, architecture
