"""Networks at work after training: rows in, rows out, in chunks, each written where it belongs.

Dense networks run on matrices prepared once per call, in the dtype of the output and with the training data's
mean and unit folded into the weights and biases where that costs no precision; all other modules are called as
they are.
"""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from .._data.chunks import Buffer
from .._support import threads
from .._support.products import add_product
from .activations import ACTIVATIONS, Activation, link_activation
from .gaussian import GaussianEncoder
from .networks import Decoder, Encoder, dense_blocks, preparation

Forward = Callable[[Tensor, Tensor | None], Tensor]
FOLDING_ERROR = 1e-3  # at most, of what goes into the first activation
# Columns that narrower results of float32 products get, to be computed faster (32 to 8 units: in half the time).
LEAST_COLUMNS = 16


def forward(network: nn.Module, dtype: torch.dtype, *, linked: bool = True, heads: bool = False) -> Forward:
    """Return ``f(x, out=None)``, which maps a dense chunk of ``dtype``, into ``out`` where it is given.

    Parameters
    ----------
    network : torch.nn.Module
    dtype : torch.dtype
    linked : bool
        Whether a decoder's link is applied.
    heads : bool
        Whether a `GaussianEncoder` gives its two heads side by side instead of the mean alone.
    """
    if isinstance(network, Encoder | Decoder) and network.blocks and dense_blocks(network):
        with threads.for_work(0):
            return DenseForward(network, dtype, linked=linked, heads=heads)
    parameters = [*network.parameters(), *network.buffers()]
    if any(p.is_floating_point() and p.dtype != dtype for p in parameters):
        network = copy.deepcopy(network).to(dtype)

    call: Callable = network
    if isinstance(network, GaussianEncoder):
        call = network.heads if heads else lambda x: network(x)[0]
    elif not linked:
        call = network.before_link  # type: ignore[assignment]

    def apply(x: Tensor, out: Tensor | None = None) -> Tensor:
        result = call(x)
        return result if out is None else out.copy_(result)

    return apply


class DenseForward:
    """A dense network as a list of matrix products with preallocated results."""

    def __init__(
        self, network: Encoder | Decoder, dtype: torch.dtype, *, linked: bool = True, heads: bool = False
    ) -> None:
        blocks = network.blocks
        weights = [block.linear.weight.detach().t() for block in blocks]
        biases = [block.linear.bias.detach() for block in blocks]
        activations = [ACTIVATIONS[block.activation] for block in blocks]
        if isinstance(network, Decoder):
            if linked and network.link != "identity":
                activations[-1] = link_activation(network.link)
            if network.n_features is not None and linked:  # without the variances
                weights[-1], biases[-1] = weights[-1][:, : network.n_features], biases[-1][: network.n_features]
            if network.unit != 1:
                weights[-1], biases[-1] = weights[-1].clone(), biases[-1].clone()
                weights[-1][:, : network.n_features] *= network.unit
                biases[-1][: network.n_features] *= network.unit
            if network.offset is not None:
                moved = biases[-1].to(network.offset.dtype, copy=True)
                moved[: network.n_features] += network.offset
                biases[-1] = moved
        self._offset: Tensor | None = None
        self._prepare = preparation(network)
        if isinstance(network, Encoder) and network.offset is not None:
            offset = network.offset
            if network.unit != 1:
                weights[0] = weights[0].clone()
                weights[0][: len(offset)] /= network.unit
            first = weights[0].to(offset.dtype)
            rounding = torch.finfo(dtype).eps * float((offset.abs() @ first[: len(offset)].abs()).max())
            if rounding > FOLDING_ERROR or network.compresses_tails or network.marks_missing:
                self._offset = offset.to(dtype)  # the product would cancel what tells rows apart
            else:
                biases[0] = biases[0].to(offset.dtype) - offset @ first
        self.layers = [
            (weight.to(dtype), bias.to(dtype), activation)
            for weight, bias, activation in zip(weights, biases, activations, strict=True)
        ]
        self.selection = network.selection if isinstance(network, Encoder) else None
        if isinstance(network, GaussianEncoder) and not heads:
            weight, bias, activation = self.layers[-1]
            self.layers[-1] = weight[:, : len(bias) // 2], bias[: len(bias) // 2], activation
        centred = [] if self._offset is None else [len(self._offset)]
        *widths, self._width = [*centred, *(weight.shape[1] for weight, _, _ in self.layers)]
        self._buffers = [Buffer(width, dtype, weights[0].device) for width in widths]
        self._wide = Buffer(LEAST_COLUMNS, dtype, weights[0].device)
        widens = dtype == torch.float32 and weights[0].device.type == "cpu"
        self._products = [widened(*layer) for layer in self.layers] if widens else self.layers

    def __call__(self, x: Tensor, out: Tensor | None = None) -> Tensor:
        n = len(x)
        outs = [buffer(n) for buffer in self._buffers]
        outs.append(x.new_empty(n, self._width) if out is None else out)
        if self._offset is not None:
            x = torch.sub(x, self._offset, out=outs.pop(0))
        if self._prepare is not None:
            x = self._prepare(x)
        for (weight, bias, activation), z in zip(self._products, outs, strict=True):
            if len(bias) == z.shape[1]:
                add_product(bias, x, weight, out=z)
            else:
                z.copy_(torch.addmm(bias, x, weight, out=self._wide(n))[:, : z.shape[1]])
            activation.apply_(z)
            x = z
        return x if self.selection is None else self.selection.keep_(x)


def widened(weight: Tensor, bias: Tensor, activation: Activation) -> tuple[Tensor, Tensor, Activation]:
    """Give a layer columns of zeros where its products are faster with them."""
    fan_in, fan_out = weight.shape
    if not 1 < fan_out < LEAST_COLUMNS <= fan_in:
        return weight, bias, activation
    zeros = 0, LEAST_COLUMNS - fan_out
    return nn.functional.pad(weight, zeros), nn.functional.pad(bias, zeros), activation
