"""Dense layers for the explicit step: their passes forward and backward, and the memory of a batch.

For the layer ``z = h W + b``, ``a = f(z)`` and a loss ``L``, with ``dX`` short for the derivative of L with
respect to X::

    dz = da * f'(z)          dW = h' dz          db = sum of dz over rows          dh = dz W'

A pass is a list of calls on memory that stays where it is, so that a step only has to play them: on small
networks, looking up what to call on what would cost as much as the arithmetic.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from .._networks.activations import ACTIVATIONS, Activation
from .._networks.nested import Parallel
from .._networks.networks import Block, TiedLinear

Call = Callable[[], object]


class Pass(NamedTuple):
    """The memory of one layer for one batch size; tensors share it where values pass unchanged."""

    h: Tensor  # (n, fan_in + 1), the last column is ones
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
        """Work on these two from now on, both of the layer's shape."""
        self.weight, self.gradient = weight, gradient

    def forward(self, p: Pass) -> list[Call]:
        return [_product(p.h, self.weight, p.z), *_activate(self.activation, p)]

    def backward(self, p: Pass) -> list[Call]:
        dweight = _product(p.h.t(), p.dz, self.gradient)
        if self.accumulates:
            dweight = partial(torch.addmm, self.gradient, p.h.t(), p.dz, out=self.gradient)
        return [*_derive(self.activation, p), dweight, *self._to_below(p)]

    def backward_to_input(self, p: Pass) -> list[Call]:
        """Do as `backward`, and leave the weights' gradient out."""
        return [*_derive(self.activation, p), *self._to_below(p)]

    def _to_below(self, p: Pass) -> list[Call]:
        return [] if p.dh is None else [_product(p.dz, self.weight[:-1].t(), p.dh)]

    def load(self, master: Tensor) -> None:
        """Copy the module's values into ``master``, of the layer's shape."""
        master[:-1].copy_(self.linear.weight.detach().t())
        master[-1].copy_(self.linear.bias.detach())

    def store(self, master: Tensor) -> None:
        """Copy ``master`` back into the module."""
        self.linear.weight.detach().copy_(master[:-1].t())
        self.linear.bias.detach().copy_(master[-1])

    def mark_weight(self, mask: Tensor) -> None:
        """Put ones where the L2 penalty applies."""
        mask[:-1].fill_(True)


class Tied:
    """z = h V' + c with V the weight of the encoder's layer ``partner``; only the bias c is its own."""

    def __init__(self, linear: TiedLinear, activation: Activation, partner: Affine) -> None:
        self.linear, self.activation, self.partner = linear, activation, partner
        self.fan_in, self.fan_out = partner.fan_out, partner.fan_in
        self.shape = (1, self.fan_out)
        partner.accumulates = True

    def bind(self, weight: Tensor, gradient: Tensor) -> None:
        self.bias, self.bias_gradient = weight[0], gradient[0]

    def forward(self, p: Pass) -> list[Call]:
        weight = self.partner.weight[:-1].t()
        return [partial(torch.addmm, self.bias, p.h[:, :-1], weight, out=p.z), *_activate(self.activation, p)]

    def backward(self, p: Pass) -> list[Call]:
        # The decoder's backward pass comes first: it overwrites the shared gradient, the encoder's adds.
        weight, gradient = self.partner.weight[:-1], self.partner.gradient
        dweight = [_product(p.dz.t(), p.h[:, :-1], gradient[:-1]), gradient[-1].zero_]
        dbias = partial(torch.sum, p.dz, 0, out=self.bias_gradient)
        dh = [] if p.dh is None else [_product(p.dz, weight, p.dh)]
        return [*_derive(self.activation, p), *dweight, dbias, *dh]

    def load(self, master: Tensor) -> None:
        master[0].copy_(self.linear.bias.detach())

    def store(self, master: Tensor) -> None:
        self.linear.bias.detach().copy_(master[0])

    def mark_weight(self, mask: Tensor) -> None:
        pass  # the partner's weight is marked, once


class Batched:
    """Affine layers of one shape side by side: each maps its own part of the rows, which are equally many."""

    def __init__(self, layers: Sequence[Affine]) -> None:
        self.layers, self.activation = layers, layers[0].activation
        self.fan_in, self.fan_out = layers[0].fan_in, layers[0].fan_out
        self.shape = (len(layers) * (self.fan_in + 1), self.fan_out)

    def bind(self, weight: Tensor, gradient: Tensor) -> None:
        self.weight, self.gradient = self._parts(weight), self._parts(gradient)

    def forward(self, p: Pass) -> list[Call]:
        product = partial(torch.bmm, self._parts(p.h), self.weight, out=self._parts(p.z))
        return [product, *_activate(self.activation, p)]

    def backward(self, p: Pass) -> list[Call]:
        dz = self._parts(p.dz)
        calls = [partial(torch.bmm, self._parts(p.h).mT, dz, out=self.gradient)]
        if p.dh is not None:
            calls.append(partial(torch.bmm, dz, self.weight[:, :-1].mT, out=self._parts(p.dh)))
        return [*_derive(self.activation, p), *calls]

    def load(self, master: Tensor) -> None:
        for layer, part in zip(self.layers, self._parts(master), strict=True):
            layer.load(part)

    def store(self, master: Tensor) -> None:
        for layer, part in zip(self.layers, self._parts(master), strict=True):
            layer.store(part)

    def mark_weight(self, mask: Tensor) -> None:
        self._parts(mask)[:, :-1].fill_(True)

    def _parts(self, rows: Tensor) -> Tensor:
        return rows.unflatten(0, (len(self.layers), -1))


Layer = Affine | Tied | Batched


def _product(left: Tensor, right: Tensor, out: Tensor) -> Call:
    return partial(torch.mm, left, right, out=out)


def _activate(activation: Activation, p: Pass) -> list[Call]:
    return [] if activation.forward is None else [partial(activation.forward, p.z, p.a)]


def _derive(activation: Activation, p: Pass) -> list[Call]:
    return [] if activation.backward is None else [partial(activation.backward, p.dz, p.z)]


def dense_layers(blocks: Sequence[Block | Parallel]) -> list[Layer]:
    """Give each block its layer; a tied one finds its partner among those before it."""
    layers: list[Layer] = []
    of_linear: dict[int, Affine] = {}
    for block in blocks:
        if isinstance(block, Parallel):
            parts: list[Any] = block.blocks
            layers.append(Batched([Affine(part.linear, ACTIVATIONS[part.activation]) for part in parts]))
            continue
        linear, activation = block.linear, ACTIVATIONS[block.activation]
        if isinstance(linear, TiedLinear):
            layers.append(Tied(linear, activation, of_linear[id(linear.partner)]))
        else:
            of_linear[id(linear)] = Affine(linear, activation)
            layers.append(of_linear[id(linear)])
    return layers


def views(layers: Sequence, flat: Tensor) -> list[Tensor]:
    """Cut one vector of all layers' parameters into a view of each layer's shape."""
    sizes = [fan_in * fan_out for fan_in, fan_out in (layer.shape for layer in layers)]
    return [part.view(layer.shape) for part, layer in zip(flat.split(sizes), layers, strict=True)]


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
    importance : Tensor of shape (repeats,) or None
        Where such losses are felt relative to their size, see `balance`: what each of them counts for. Their
        plain mean is reported.
    """

    auxiliary: float | None = None
    importance: Tensor | None = None

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


def balance(losses: Tensor, importance: Tensor) -> Tensor:
    """Return what each loss, a sum over rows, counts for, so that relative changes weigh as much as asked.

    The gradient is then that of the mean of their logarithms, weighted by ``importance``, whose mean is one, times
    the mean of the losses, which makes it as large as that mean's own. No loss counts more than a hundredfold for
    its size, or one that is all but zero would be the only one felt.
    """
    sizes = losses.detach().abs()
    mean = sizes.mean()
    return importance * (mean / sizes.clamp_min(0.01 * mean)).nan_to_num(1.0)


class Memory:
    """Tensors by name, for batches of any size: a small batch uses the first rows of a large one's."""

    def __init__(self, like: Tensor) -> None:
        self._like = like
        self._tensors: dict[object, Tensor] = {}

    def empty(self, name: object, n: int, width: int) -> Tensor:
        """Return memory of shape (n, width)."""
        return self._get(name, n, lambda: self._like.new_empty(n, width))

    def with_ones(self, name: object, n: int, width: int) -> Tensor:
        """Return memory of shape (n, width + 1) whose last column is ones."""
        # Rows start 64 bytes apart or a multiple of it: matrix products read them faster.
        stride = -(-(width + 1) // 16) * 16
        return self._get(name, n, lambda: self._like.new_ones(n, stride))[:, : width + 1]

    def _get(self, name: object, n: int, allocate: Callable[[], Tensor]) -> Tensor:
        if name not in self._tensors or len(self._tensors[name]) < n:
            self._tensors[name] = allocate()
        return self._tensors[name][:n]


class Tape:
    """All that a batch of ``n`` rows passes through, and the calls that take it there and back.

    Attributes
    ----------
    n, repeats : int
        Rows of the batch, and the decoder's rows for each.
    x, target : Tensor of shape (n, d)
        The first layer's input without its ones; the rows to restore. One memory unless the two differ.
    code, dcode : Tensor
        The code layer's output and the derivative with respect to it.
    z, dz : Tensor
        The decoder's input and the derivative with respect to it: the same two without a bridge.
    output, doutput : Tensor
        The decoder's output and the derivative with respect to it: one memory where the output is linear.
    encode, decode, decode_back, encode_back : lists of callables
        The passes, in the order of a step.
    """

    def __init__(
        self,
        n: int,
        encoder: Sequence[Layer],
        decoder: Sequence[Layer],
        bridge: Bridge | None,
        memory: Memory,
        has_target: bool,
    ) -> None:
        self.n, self.repeats = n, 1 if bridge is None else bridge.repeats
        h = memory.with_ones("x", n, encoder[0].fan_in)
        self.x = h[:, :-1]
        self.target = memory.empty("target", n, decoder[-1].fan_out) if has_target else self.x
        width = encoder[-1].fan_out
        self.dcode = memory.empty("dcode", n, width)
        if bridge is None:
            z = memory.with_ones("z", n, width)
            self.code, self.dz = z[:, :-1], self.dcode
        else:
            rows, z_width = self.repeats * n, bridge.width(width)
            z = memory.with_ones("z", rows, z_width)
            self.code, self.dz = memory.empty("code", n, width), memory.empty("dz", rows, z_width)
        self.z = z[:, :-1]
        self.output = memory.empty("output", len(z), decoder[-1].fan_out)
        linear = decoder[-1].activation.forward is None
        self.doutput = self.output if linear else memory.empty("doutput", len(z), decoder[-1].fan_out)
        self.encoder = passes(encoder, h, None, self.code, self.dcode, memory)
        decoder_passes = passes(decoder, z, self.dz, self.output, self.doutput, memory)
        up, down = [*zip(encoder, self.encoder, strict=True)], [*zip(decoder, decoder_passes, strict=True)]
        self.encode = [call for layer, p in up for call in layer.forward(p)]
        self.decode = [call for layer, p in down for call in layer.forward(p)]
        self.decode_back = [call for layer, p in reversed(down) for call in layer.backward(p)]
        self.encode_back = [call for layer, p in reversed(up) for call in layer.backward(p)]
        self._passes: list[tuple[Tensor, Tensor]] | None = None

    def passes(self) -> list[tuple[Tensor, Tensor]]:
        """Return output and doutput of each of the bridge's repeats, n rows each."""
        if self._passes is None:
            self._passes = [*zip(self.output.split(self.n), self.doutput.split(self.n), strict=True)]
        return self._passes


def passes(
    layers: Sequence[Layer], h: Tensor, dh: Tensor | None, output: Tensor, doutput: Tensor, memory: Memory
) -> list[Pass]:
    """Chain the memory of a stack of layers, from its input ``h`` to its ``output``."""
    n = len(h)
    above = [memory.with_ones(("h", id(layer)), n, layer.fan_out) for layer in layers[:-1]]
    outputs = [*(z[:, :-1] for z in above), output]
    gradients = [*(memory.empty(("dz", id(layer)), n, layer.fan_out) for layer in layers[:-1]), doutput]
    chained = []
    for layer, h_, a, da, dh_ in zip(layers, [h, *above], outputs, gradients, [dh, *gradients[:-1]], strict=True):
        z = memory.empty(("z", id(layer)), n, layer.fan_out) if layer.activation.saves_input else a
        chained.append(Pass(h_, z, a, da, dh_))
    return chained
