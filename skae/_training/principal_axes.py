"""Starting at PCA's solution: networks that reconstruct as PCA does, and go on from there.

For a rectifier, relu(a) - relu(-a) = a. silu, gelu and leaky_relu have the same identity, up to a factor. A pair
of hidden units therefore carries a number through a layer unchanged: of the hidden units, 2k carry plus and minus
the code's k principal components, scaled to unit variance, and linear ones carry them as they are. The other units
start with small outgoing weights.
"""

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.linalg import eigh
from torch import Tensor

from .._data.rows import Rows
from .._networks.blocks import Block
from .._networks.building import Architecture
from .._support import threads
from .._support.ranks import current

# f(a) - f(-a) is a times this factor.
PAIRS = {"relu": 1.0, "silu": 1.0, "gelu": 1.0, "leaky_relu": 1.01}
SHIFT = 1000.0  # standard deviations: no row is further away from the mean along an axis
OUTGOING = 0.3  # of the usual weights, from units that carry nothing to those that do

MOST_BYTES = 1 << 26  # of rows whose products with each other are taken
MOST_COLUMNS = 1024  # whose covariance is taken
MOST_AT_ONCE = 128  # whose axes are all found; of 784, the first 32 take .3 of the time, and less memory
N_ITERATIONS, OVERSAMPLING = 8, 10  # of the randomized method for more of both


class PrincipalAxes(NamedTuple):
    """Principal axes of rows, without those of no variance.

    Attributes
    ----------
    axes : float64 Tensor of shape (k, n_features)
        Orthonormal, by falling variance; the largest entry of each is positive.
    deviations : float64 Tensor of shape (k,)
        Of the rows along them.
    """

    axes: Tensor
    deviations: Tensor


def obstacle(estimator: Any, a: Architecture) -> str | None:
    """Tell what keeps networks from being PCA; None if nothing does."""
    ends = {a.code_activation, a.output_activation, a.link}
    curved = ends != {"identity"} or a.code_heads > 1 or a.selection is not None
    hidden = (*a.encoder_layer_sizes[:-1], *a.decoder_layer_sizes[:-1])
    custom = estimator.encoder is not None or estimator.decoder is not None
    reasons = {
        f"{type(estimator).__name__} has another start": not estimator._starts_at_pca,
        f"loss={estimator.loss!r} is not squared error": estimator.loss != "squared_error",
        "encoder or decoder is a module of yours": custom,
        "the networks are convolutional": a.images is not None,
        "entries may be missing": a.marks_missing,
        f"normalization={a.normalization!r} changes what hidden units carry": a.normalization is not None,
        "tied_weights=True leaves no choice of the decoder": a.tied_weights,
        "ordered codes have several decoders": a.prefixes,
        "the code or the output is not linear": curved,
        f"no two units of activation={a.activation!r} carry a number unchanged": hidden
        and a.activation not in (*PAIRS, "identity"),
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def too_narrow(a: Architecture) -> str | None:
    """Tell whether hidden layers are too narrow to start at PCA's solution, in pairs; None if not."""
    hidden = (*a.encoder_layer_sizes[:-1], *a.decoder_layer_sizes[:-1])
    needed = 2 * min(a.encoder_layer_sizes[-1], a.n_features)
    if a.activation == "identity" or min(hidden, default=needed) >= needed:
        return None
    return f"hidden layers need at least {needed} units to start at it, in pairs"


def n_carried(a: Architecture) -> int:
    """Return how many components get through every layer: as many as the narrowest has units."""
    return min(*a.encoder_layer_sizes, *a.decoder_layer_sizes)


def principal_axes(rows: Rows, index: Tensor, weight: Tensor | None, k: int) -> PrincipalAxes:
    """Find the first ``k`` axes of the rows numbered ``index``, which are centred.

    Parameters
    ----------
    rows : Rows
    index : int64 Tensor
        On the rows' device.
    weight : Tensor of shape (n_rows,) or None
        Of all rows.
    k : int
    """
    ranks = current()
    n, d = ranks.count(len(index)), rows.n_features
    share = torch.ones(len(index), dtype=torch.float64) if weight is None else weight[index].double().cpu()
    share = (share / ranks.sum(share.sum())).sqrt_()[:, None]
    if n <= d and 8 * n * d <= MOST_BYTES:
        none = torch.empty(0, d, dtype=torch.float64)
        X = ranks.gather(torch.cat([none, *(x.double().cpu() for _, x in rows.chunks(index))]).mul_(share))
        variances, left = _eigen(X @ X.t(), k)
        axes = left.t() @ X / variances.clamp_min(torch.finfo(torch.float64).tiny).sqrt()[:, None]
    elif d <= MOST_COLUMNS:
        variances, right = _eigen(_times_itself(rows, index, share, None), k)
        axes = right.t()
    else:
        gram = _gram(rows, index, share)
        generator = torch.Generator().manual_seed(0)  # of directions that are turned towards the axes anyway
        basis = torch.randn(d, min(k + OVERSAMPLING, d), dtype=torch.float64, generator=generator)
        for _ in range(N_ITERATIONS):
            basis = torch.linalg.qr(gram(basis)).Q
        variances, turn = _eigen(basis.t() @ gram(basis), k)
        axes = (basis @ turn).t()
    real = variances > 100 * torch.finfo(rows.dtype).eps * variances[:1].clamp_min(0)
    axes = axes[real]
    largest = axes.gather(1, axes.abs().argmax(1, keepdim=True)) if len(axes) else axes
    return PrincipalAxes(axes * largest.sign(), variances[real].sqrt())


def _eigen(matrix: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the ``k`` largest eigenvalues of a symmetric matrix, which may be overwritten, and their vectors."""
    if not torch.isfinite(matrix).all():  # squares that overflow: training will say so
        return matrix.new_zeros(0), matrix.new_zeros(len(matrix), 0)
    if len(matrix) <= MOST_AT_ONCE:
        values, vectors = torch.linalg.eigh(matrix)
    else:
        last = len(matrix) - 1
        with threads.one_for_all():
            # The transpose, in Fortran's order, is the matrix itself: it becomes the work space.
            subset = max(0, last - k + 1), last
            parts = eigh(matrix.numpy().T, subset_by_index=subset, overwrite_a=True, check_finite=False)
        values, vectors = map(torch.from_numpy, parts)
    return values[-k:].flip(0), vectors[:, -k:].flip(1)


def _gram(rows: Rows, index: Tensor, share: Tensor) -> Callable[[Tensor], Tensor]:
    """Return what maps Y to X'(X Y), of weighted rows; of CSR rows without making them dense."""
    stored = rows.stored(index)
    if stored is None:
        return partial(_times_itself, rows, index, share)
    (X, offset, factor), weight = stored, share.numpy()
    X, offset = X.astype(np.float64), offset.astype(np.float64)

    def gram(right: Tensor) -> Tensor:
        Y = (factor * weight) ** 2 * (X @ right.numpy() - offset @ right.numpy())
        return current().sum(torch.from_numpy(X.T @ Y - np.outer(offset, Y.sum(0))))

    return gram


def _times_itself(rows: Rows, index: Tensor, share: Tensor, right: Tensor | None) -> Tensor:
    """Return X'X, or X'(X right), of weighted rows, chunk by chunk."""
    width = rows.n_features if right is None else right.shape[1]
    total, start = torch.zeros(rows.n_features, width, dtype=torch.float64), 0
    for numbers, x in rows.chunks(index, 16 * rows.n_features):  # which become float64
        x = x.double().cpu().mul_(share[start : start + len(numbers)])
        total.addmm_(x.t(), x if right is None else x @ right)
        start += len(numbers)
    return current().sum(total)


@torch.no_grad()
def start_at(pca: PrincipalAxes, encoder: Any, decoder: Any, outgoing: float = OUTGOING) -> None:
    """Change weights that have been drawn so that the networks reconstruct as PCA does.

    ``outgoing`` multiplies the weights from units that carry nothing to those that carry a component; with 0 the
    networks are PCA.
    """
    k = len(pca.axes)
    blocks: list[Block] = [*encoder.blocks, *decoder.blocks]
    carriers = [_Carriers.of(block, k) for block in blocks[:-1]]
    carriers[len(encoder.blocks) - 1] = _Carriers.linear(k)
    nothing = torch.zeros(1, dtype=torch.float64)
    source = _Carriers(pca.axes.t(), pca.axes / pca.deviations[:, None], nothing)
    target = _Carriers((pca.axes * pca.deviations[:, None]).t(), pca.axes, nothing)
    for block, (below, above) in zip(blocks, pairwise([source, *carriers, target]), strict=True):
        weight, bias = block.linear.weight, block.linear.bias
        rows, columns = len(above.written), below.read.shape[1]
        carried = above.written @ below.read
        weight[:rows, columns:] *= outgoing
        weight[:rows, :columns] = carried.to(weight)
        bias[:rows] = (above.shift - (carried * below.shift).sum(1)).to(bias)


class _Carriers(NamedTuple):
    """The first units of a layer: what they are made of k components by, and how these are read from them.

    Attributes
    ----------
    written : Tensor of shape (n_units, k)
    read : Tensor of shape (k, n_units)
    shift : Tensor of shape (n_units,)
        What keeps a unit of its own from ever being rectified.
    """

    written: Tensor
    read: Tensor
    shift: Tensor

    @classmethod
    def linear(cls, k: int) -> "_Carriers":
        identity = torch.eye(k, dtype=torch.float64)
        return cls(identity, identity, torch.zeros(k, dtype=torch.float64))

    @classmethod
    def of(cls, block: Block, k: int) -> "_Carriers":
        """Pair units for as many components as there is room for, the first ones; the others get one unit each."""
        if block.activation == "identity":
            return cls.linear(k)
        n_pairs = min(k, len(block.linear.weight) - k)
        pairs, others = torch.eye(k, dtype=torch.float64).tensor_split([n_pairs])
        written = torch.cat([pairs, -pairs, others])
        read = torch.cat([written[: 2 * n_pairs] / PAIRS[block.activation], others]).t()
        shift = torch.zeros(len(written), dtype=torch.float64)
        shift[2 * n_pairs :] = SHIFT
        return cls(written, read, shift)


def squared_errors(pca: PrincipalAxes, x: Tensor) -> Tensor:
    """Return the error of PCA's reconstruction of centred rows, a mean over features, (n,)."""
    axes = pca.axes.to(x)
    return (x - (x @ axes.t()) @ axes).square().mean(1)


def is_better(errors: Tensor, baseline: Tensor, weight: Tensor | None) -> bool:
    """Tell whether held-out errors are below a baseline's by at least a standard error of their difference."""
    gain = baseline.double() - errors.double()
    weight = torch.ones_like(gain) if weight is None else weight.to(gain)
    ranks = current()
    n = ranks.sum(weight.sum())
    mean = ranks.sum(torch.dot(gain, weight)) / n
    spread = ranks.sum(torch.dot((gain - mean).square(), weight)) / n
    return bool(mean > (spread / n).sqrt())
