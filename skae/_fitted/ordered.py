"""Codes sorted by how much they explain: all that an estimator with ``ordered`` does otherwise than others.

Networks are trained for all prefixes of the code at once (`NestedDropout`), but for linear ones, whose code is
rotated to principal axes after training. ``n_components`` may be a share of the variance to keep; the code is
then truncated to as many units as it takes.
"""

import functools
from collections.abc import Callable
from numbers import Integral
from typing import Any

import torch
from torch import Tensor

from .._data import arrays
from .._data.chunks import total
from .._networks.blocks import TiedLinear
from .._networks.building import Architecture, build
from .._networks.custom import forward_centred
from .._networks.dictionary import dictionary
from .._networks.networks import Decoder, Encoder
from .._support.devices import sum_dtype
from .._support.ranks import current
from .._training.fitting import Fit
from .._training.setup import Mode

# Before training -------------------------------------------------------------------------------------------


def is_linear(estimator, architecture: Architecture) -> bool:
    """Tell whether the networks are linear maps that can be rotated."""
    own = estimator.encoder is not None or estimator.decoder is not None
    return architecture.linear and estimator.loss == "squared_error" and not own


def adapt(estimator, architecture: Architecture, mode: Mode) -> Architecture:
    """Return the description of networks that are trained for ordered codes."""
    if not isinstance(estimator.n_components, Integral):
        _check_share(estimator, mode)
        hidden, after = architecture.encoder_layer_sizes[:-1], architecture.decoder_layer_sizes[:-1]
        width = architecture.n_features  # at most: no more than the narrowest layer passes on
        if architecture.images is None:
            width = min((width, *hidden[-1:], *after[:1]))
        if mode is not Mode.FRESH and hasattr(estimator, "n_components_"):
            width = estimator.n_components_
        architecture = architecture._replace(encoder_layer_sizes=(*hidden, width))
    convolved = architecture.images is not None and estimator.code_layer == "convolution"
    shared = estimator.tied_weights or estimator.decoder is not None or convolved
    nested = estimator.ordered and not shared and not is_linear(estimator, architecture)
    # Codes of linear networks are coordinates on principal axes, in units of the data.
    scaled = architecture.scaled and not is_linear(estimator, architecture)
    return architecture._replace(prefixes=nested, scaled=scaled)


def _check_share(estimator, mode: Mode) -> None:
    """Check that ``n_components`` may be a share of the variance."""
    if not estimator.ordered:
        problem, remedy = "needs codes that are sorted by explained variance", "Set ordered=True"
    elif estimator.encoder is not None or estimator.decoder is not None:
        problem = "makes skae truncate the networks that it builds, but encoder or decoder is a custom module"
        remedy = "Leave both at None"
    elif estimator.image_shape is not None and estimator.code_layer == "convolution":
        problem = "removes units of the code, but with code_layer='convolution' they share their weights"
        remedy = "Use code_layer='dense'"
    elif mode is Mode.INCREMENTAL and not hasattr(estimator, "n_components_"):
        problem = "is found once training is over, but partial_fit does not know when that is"
        remedy = "Call fit first"
    else:
        return
    raise ValueError(
        f"n_components={estimator.n_components} is a share of the variance to keep, which {problem}. {remedy}, or "
        "set n_components to an integer, the width of the code."
    )


# Afterwards ------------------------------------------------------------------------------------------------


def finalize(estimator, fit: Fit, encoder: Any, decoder: Any, architecture: Architecture) -> tuple:
    """Rotate the code of linear networks to principal axes; truncate it to the share of variance asked for."""
    if is_linear(estimator, architecture):
        mean = functools.partial(_mean, fit, fit.setup.data.train_rows)
        rotate_to_principal_axes(encoder, decoder, mean, only_rotate=estimator.tied_weights)
    if isinstance(estimator.n_components, Integral) or fit.setup.previous is not None:
        return encoder, decoder, architecture
    _, shares = explained_variance(fit, encoder, decoder, architecture)
    enough = (shares.cumsum(0) >= estimator.n_components).nonzero()
    if not len(enough):
        return encoder, decoder, architecture
    return truncate_code(encoder, decoder, architecture, int(enough[0]) + 1)


def attributes(estimator, fit: Fit, encoder: Any, decoder: Any) -> dict[str, Any]:
    """Return what each unit explains."""
    X = fit.setup.data.X
    by_unit, shares = explained_variance(fit, encoder, decoder, fit.architecture)
    kept, asked = float(shares.sum()), estimator.n_components
    is_short = not isinstance(asked, Integral) and fit.setup.previous is None and kept < asked - 1e-6
    return {
        "explained_variance_": arrays.array_like(X, by_unit),
        "explained_variance_ratio_": arrays.array_like(X, shares),
        "_short_of": kept if is_short else None,
    }


def _mean(fit: Fit, rows: Tensor, name: str, term: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Return the mean over rows of ``term(x, weight)``, a sum over the rows of a chunk, each times its weight.

    In `partial_fit` of the last rows before them too, of which sums are kept by that name.
    """
    weight, device = fit.setup.data.sample_weight, fit.inputs.device
    weight = torch.ones(fit.inputs.n_rows) if weight is None else weight
    weight = weight.to(device, sum_dtype(device))
    sums = total(term(x, weight[index]) for index, x in fit.inputs.chunks(rows))
    n, sums = fit.recent(name, (current().sum(weight[rows].sum()), sums), torch.add, torch.add)
    return sums / n


@torch.no_grad()
def explained_variance(fit: Fit, encoder: Any, decoder: Any, architecture: Architecture) -> tuple[Tensor, Tensor]:
    """Return the variance that each unit adds to what those before it explain, and its share: two of (width,).

    Of rows held out, if there are any; summed over features, in squared units of the data, with n - 1 in the
    denominator, as in PCA.
    """
    data = fit.setup.data
    rows = data.train_rows if data.validation_rows is None else data.validation_rows
    ranks = current()
    n = float(ranks.count(len(rows)) if data.sample_weight is None else ranks.sum(data.sample_weight[rows].sum()))
    encode = forward_centred(encoder)
    decode = decoder.reconstruct_centred if isinstance(decoder, Decoder) else decoder
    centre = _mean(fit, rows, "centre", lambda x, weight: weight @ x.to(weight.dtype))

    def left(x: Tensor, weight: Tensor) -> Tensor:
        code = encode(x)
        prefix = torch.zeros_like(code)
        squares = [weight @ (x - centre).square().sum(1)]
        for k in range(architecture.encoder_layer_sizes[-1]):
            prefix[:, k] = code[:, k]
            squares.append(weight @ (decode(prefix) - x).to(weight.dtype).square().sum(1))
        return torch.stack(squares)

    variance = _mean(fit, rows, "left", left) * n / max(n - 1, 1.0) * data.target_unit**2
    by_unit = variance[:-1] - variance[1:]
    return by_unit, by_unit / variance[0] if variance[0] > 0 else torch.zeros_like(by_unit)


# Linear networks -------------------------------------------------------------------------------------------


def _weight(linear: Any) -> Tensor:
    """Return a layer's weight, (fan_out, fan_in), in float64 on the CPU."""
    return linear.weight.detach().cpu().double()


@torch.no_grad()
def rotate_to_principal_axes(encoder: Encoder, decoder: Decoder, mean: Callable, only_rotate: bool) -> None:
    """Change a linear network's code to principal axes, while reconstructions from the whole stay as they are.

    With W the decoder's map, codes z and orthonormal axes V of its range, the decoder becomes V and the code
    V' W z. The first k axes explain, of the variance of centred rows x, the trace of V_k' S V_k, where
    S = W C_zx + C_xz W' - W C_zz W' and C are covariances. Its eigenvectors within the range of W are therefore
    the best axes for every k; where the network has found PCA's subspace, they are PCA's.

    Parameters
    ----------
    encoder, decoder
        Changed in place.
    mean : callable (name, term) -> Tensor
        Of ``term(x, weight)`` over rows.
    only_rotate : bool
        Only rotate the code, as tied weights ask.
    """
    last: Any = encoder.blocks[-1].linear
    first: Any = decoder.blocks[0].linear
    width, components = len(last.bias), dictionary(decoder)
    assert components is not None  # the networks are linear
    whole = components.t()

    def both(x: Tensor) -> Tensor:
        return torch.cat([encoder.forward_centred(x), x], 1)

    def outer(x: Tensor, weight: Tensor) -> Tensor:
        rows = (both(x) - means).to(weight.dtype)
        return (rows[:, :width] * weight[:, None]).t() @ rows

    means = mean("axes", lambda x, weight: weight @ both(x).to(weight.dtype))
    within, across = mean("products", outer).cpu().double().split([width, len(means) - width], 1)
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

    components = (whole @ back).t()  # what each unit adds to a row; its largest entry is made positive
    sign = torch.where(components.gather(1, components.abs().argmax(1, keepdim=True)) < 0, -1.0, 1.0)
    there, back = sign * there, back * sign[:, 0]
    centre, first_weight = there @ means[:width].cpu().double(), _weight(first) @ back
    last.bias.copy_(there @ last.bias.cpu().double() - centre)
    last.weight.copy_(there @ _weight(last))
    first.bias.copy_(first.bias.cpu().double() + first_weight @ centre)
    if not isinstance(first, TiedLinear):
        first.weight.copy_(first_weight)


@torch.no_grad()
def truncate_code(encoder: Encoder, decoder: Decoder, architecture: Architecture, width: int) -> tuple:
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
