"""Networks at work after training: rows in, rows out, in chunks, each written where it belongs.

Dense networks run on matrices prepared once per call, in the dtype of the output and with the training data's
mean folded into the biases; all other modules are called as they are.
"""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from ._activations import ACTIVATIONS
from ._networks import Block, Decoder, Encoder, TiedLinear

Forward = Callable[[Tensor, Tensor | None], Tensor]


def forward(network: nn.Module, dtype: torch.dtype) -> Forward:
    """Return ``f(x, out=None)``, which maps a dense chunk of ``dtype``, into ``out`` where it is given."""
    if isinstance(network, Encoder | Decoder) and all(type(block) is Block for block in network):
        return DenseForward(network, dtype)
    parameters = [*network.parameters(), *network.buffers()]
    if any(p.is_floating_point() and p.dtype != dtype for p in parameters):
        network = copy.deepcopy(network).to(dtype)

    def apply(x: Tensor, out: Tensor | None = None) -> Tensor:
        result = network(x)
        return result if out is None else out.copy_(result)

    return apply


class DenseForward:
    """A dense network as a list of matrix products with preallocated results."""

    def __init__(self, network: Encoder | Decoder, dtype: torch.dtype) -> None:
        self.layers = []
        for block in network:
            linear = block[0]
            weight = linear.partner.weight.t() if isinstance(linear, TiedLinear) else linear.weight
            self.layers.append([weight.double().t(), linear.bias.double(), ACTIVATIONS[block.activation]])
        if isinstance(network, Decoder):
            if network.link != "identity":
                self.layers[-1][2] = ACTIVATIONS[network.link]
            if network.offset is not None:
                self.layers[-1][1] = self.layers[-1][1] + network.offset
        elif network.offset is not None:
            self.layers[0][1] = self.layers[0][1] - network.offset.double() @ self.layers[0][0]
        for layer in self.layers:
            layer[0], layer[1] = layer[0].to(dtype), layer[1].to(dtype)
        self.width = max(weight.shape[1] for weight, _, _ in self.layers)
        self._buffers: list[Tensor] = []

    def __call__(self, x: Tensor, out: Tensor | None = None) -> Tensor:
        n = len(x)
        if not self._buffers or len(self._buffers[0]) < n:
            self._buffers = [x.new_empty(n, weight.shape[1]) for weight, _, _ in self.layers[:-1]]
        outs = [buffer[:n] for buffer in self._buffers]
        outs.append(x.new_empty(n, self.layers[-1][0].shape[1]) if out is None else out)
        for (weight, bias, activation), z in zip(self.layers, outs, strict=True):
            torch.addmm(bias, x, weight, out=z)
            if activation.forward is not None:
                activation.forward(z, z)
            x = z
        return x
