"""Dense layers for the explicit step: their passes forward and backward, and the buffers of a batch.

For the layer ``z = h W + b``, ``a = f(z)`` and a loss ``L``, with ``dX`` short for the derivative of L with
respect to X::

    dz = da * f'(z)          dW = h' dz          db = sum of dz over rows          dh = dz W'
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from ._activations import ACTIVATIONS, Activation
from ._networks import Block, TiedLinear


class Pass(NamedTuple):
    """The buffers of one layer for one batch size; views of each other where values pass unchanged."""

    h: Tensor  # (n, fan_in + 1), the last column is ones
    h_t: Tensor  # its transpose
    z: Tensor  # (n, fan_out)
    a: Tensor  # (n, fan_out), the next layer's h without the ones
    dz: Tensor  # (n, fan_out), first da, then dz in place
    dh: Tensor | None  # (n, fan_in), the dz of the layer below; None for the first layer


class Affine:
    """z = [h, 1] W, where the last row of W is the bias: one product maps, one more gives its gradient."""

    accumulates = False  # whether a tied layer has already put its share into the gradient

    def __init__(self, linear: nn.Linear, activation: Activation) -> None:
        self.linear, self.activation = linear, activation
        self.fan_in, self.fan_out = linear.in_features, linear.out_features
        self.shape = (self.fan_in + 1, self.fan_out)

    def bind(self, weight: Tensor, gradient: Tensor) -> None:
        self.weight, self.gradient = weight, gradient
        self.weight_t = weight[:-1].t()

    def forward(self, p: Pass) -> None:
        torch.mm(p.h, self.weight, out=p.z)

    def backward(self, p: Pass) -> None:
        if self.accumulates:
            torch.addmm(self.gradient, p.h_t, p.dz, out=self.gradient)
        else:
            torch.mm(p.h_t, p.dz, out=self.gradient)
        if p.dh is not None:
            torch.mm(p.dz, self.weight_t, out=p.dh)

    def load(self, master: Tensor) -> None:
        """Copy the module's values into ``master``, shaped like this layer's weight."""
        master[:-1].copy_(self.linear.weight.detach().t())
        master[-1].copy_(self.linear.bias.detach())

    def store(self, master: Tensor) -> None:
        """Copy ``master`` back into the module."""
        self.linear.weight.detach().copy_(master[:-1].t())
        self.linear.bias.detach().copy_(master[-1])

    def mark_weight(self, mask: Tensor) -> None:
        """Put ones where the L2 penalty applies."""
        mask[:-1].fill_(1)


class Tied:
    """z = h V' + c with V the weight of the encoder's layer ``partner``; only the bias c is its own."""

    def __init__(self, linear: TiedLinear, activation: Activation, partner: Affine) -> None:
        self.linear, self.activation, self.partner = linear, activation, partner
        self.fan_in, self.fan_out = partner.fan_out, partner.fan_in
        self.shape = (1, self.fan_out)
        partner.accumulates = True

    def bind(self, weight: Tensor, gradient: Tensor) -> None:
        self.bias, self.bias_gradient = weight[0], gradient[0]

    def forward(self, p: Pass) -> None:
        torch.addmm(self.bias, p.h[:, :-1], self.partner.weight_t, out=p.z)

    def backward(self, p: Pass) -> None:
        # The decoder's backward pass comes first: it overwrites the shared gradient, the encoder's adds.
        torch.mm(p.dz.t(), p.h[:, :-1], out=self.partner.gradient[:-1])
        self.partner.gradient[-1].zero_()
        torch.sum(p.dz, 0, out=self.bias_gradient)
        if p.dh is not None:
            torch.mm(p.dz, self.partner.weight[:-1], out=p.dh)

    def load(self, master: Tensor) -> None:
        master[0].copy_(self.linear.bias.detach())

    def store(self, master: Tensor) -> None:
        self.linear.bias.detach().copy_(master[0])

    def mark_weight(self, mask: Tensor) -> None:
        pass  # the partner's weight is marked, once


Layer = Affine | Tied


def dense_layers(blocks: Sequence[Block]) -> list[Layer]:
    """Give each block its layer; a tied one finds its partner among those before it."""
    layers: list[Layer] = []
    of_linear: dict[int, Affine] = {}
    for block in blocks:
        linear, activation = block.linear, ACTIVATIONS[block.activation]
        if isinstance(linear, TiedLinear):
            layers.append(Tied(linear, activation, of_linear[id(linear.partner)]))
        else:
            of_linear[id(linear)] = Affine(linear, activation)
            layers.append(of_linear[id(linear)])
    return layers


class Bridge(Protocol):
    """What stands between the code layer and the decoder where it is more than passing the code on.

    Examples are sampling (variational) and selecting (top-k). Explicit steps call `forward` and `backward`,
    autograd steps `through`.

    Attributes
    ----------
    repeats : int
        Decoder rows per row of data (Monte-Carlo samples). It may change from one step to the next.
    auxiliary : float or None
        Where repeats are no samples whose losses are averaged: what the loss of all but the first counts for
        in the gradient. The objective that is reported holds the first one's alone.
    """

    auxiliary: float | None = None

    @property
    def repeats(self) -> int:
        """Return the number of decoder rows in the next step."""

    def width(self, code_width: int) -> int:
        """Return the width of the decoder's input."""

    def forward(self, code: Tensor, z: Tensor, row_weight: Tensor | None) -> Tensor | None:
        """Write the decoder's input from the code layer's output.

        ``code`` is (n, code_width), ``z`` (repeats n, width): all rows once, then all rows again; ``row_weight``
        is (n, 1) or None. Return the bridge's own loss of each row, (n,), if it has one.
        """

    def backward(self, code: Tensor, dz: Tensor, dcode: Tensor, row_weight: Tensor | None) -> None:
        """Write dcode: what comes from dz, and the derivative of the own loss's mean over rows."""

    def through(self, code: Tensor, row_weight: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Do as `forward`, differentiable by autograd: return the decoder's input and the own loss."""

    def repeated(self) -> AbstractContextManager:
        """Return a context for held-out rows, in which the noise, if any, is the same each time."""


class Buffers:
    """All that a batch of ``n`` rows passes through, allocated once.

    Attributes
    ----------
    x, target : Tensor of shape (n, d)
        The first layer's input without its ones; the rows to restore. One memory unless the two differ.
    encoder, decoder : lists of Pass
    code, z : Tensor
        The code layer's output and the decoder's input without its ones.
    dcode, dz : Tensor
        The derivatives with respect to these two. Without a bridge they are one memory, and so are the two.
    """

    def __init__(
        self,
        n: int,
        encoder: Sequence[Layer],
        decoder: Sequence[Layer],
        bridge: Bridge | None,
        like: Tensor,
    ) -> None:
        h = _with_ones(n, encoder[0].fan_in, like)
        self.x = self.target = h[:, :-1]
        width = encoder[-1].fan_out
        self.dcode = like.new_empty(n, width)
        if bridge is None:
            z = _with_ones(n, width, like)
            self.code, self.dz = z[:, :-1], self.dcode
        else:
            z = _with_ones(bridge.repeats * n, bridge.width(width), like)
            self.code, self.dz = like.new_empty(n, width), like.new_empty(len(z), bridge.width(width))
        self.z = z[:, :-1]
        output = like.new_empty(len(z), decoder[-1].fan_out)
        self.encoder = _passes(encoder, h, None, self.code, self.dcode)
        self.decoder = _passes(decoder, z, self.dz, output, torch.empty_like(output))


def _passes(layers: Sequence[Layer], h: Tensor, dh: Tensor | None, output: Tensor, doutput: Tensor) -> list[Pass]:
    """Chain the buffers of a stack of layers, from its input ``h`` to its ``output``."""
    above = [_with_ones(len(h), layer.fan_out, h) for layer in layers[:-1]]
    outputs = [*(z[:, :-1] for z in above), output]
    gradients = [*(h.new_empty(len(h), layer.fan_out) for layer in layers[:-1]), doutput]
    passes = []
    for layer, h_, a, da, dh_ in zip(layers, [h, *above], outputs, gradients, [dh, *gradients[:-1]], strict=True):
        z = torch.empty_like(a) if layer.activation.saves_input else a
        passes.append(Pass(h_, h_.t(), z, a, da, dh_))
    return passes


def _with_ones(n: int, width: int, like: Tensor) -> Tensor:
    # Rows start 64 bytes apart or a multiple of it: matrix products read them faster.
    stride = -(-(width + 1) // 16) * 16
    return like.new_ones(n, stride)[:, : width + 1]
