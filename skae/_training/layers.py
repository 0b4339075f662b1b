"""Dense layers for the explicit step: their passes forward and backward, and the memory of a batch.

For the layer ``z = h W + b``, ``a = f(z)`` and a loss ``L``, with ``dX`` short for the derivative of L with
respect to X::

    dz = da * f'(z)          dW = h' dz          db = sum of dz over rows          dh = dz W'

A pass is a list of calls on memory that stays where it is, so that a step only has to play them: on small
networks, looking up what to call on what would cost as much as the arithmetic.

Shapes are those of one model. The same layers work for several models at once, on memory with a leading axis of
models: there a matrix product is one call for all of them.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from .._networks.activations import ACTIVATIONS, Activation
from .._networks.blocks import Block, TiedLinear
from .._networks.nested import Parallel
from .._support.products import product_into
from .buffers import BufferPool, LayerBuffers
from .dropout import Dropout

Call = Callable[[], object]


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

    def forward(self, p: LayerBuffers) -> list[Call]:
        return [product_into(p.h, self.weight, p.z), *activate(self.activation, p)]

    def backward(self, p: LayerBuffers) -> list[Call]:
        dweight = product_into(p.h.mT, p.dz, self.gradient)
        if self.accumulates:
            dweight = _sum_with_product(self.gradient, p.h.mT, p.dz, self.gradient)
        return [*derive(self.activation, p), dweight, *self._to_below(p)]

    def backward_to_input(self, p: LayerBuffers) -> list[Call]:
        """Do as `backward`, and leave the weights' gradient out."""
        return [*derive(self.activation, p), *self._to_below(p)]

    def _to_below(self, p: LayerBuffers) -> list[Call]:
        return [] if p.dh is None else [product_into(p.dz, self.weight[..., :-1, :].mT, p.dh)]

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


class TiedAffine:
    """z = h V' + c with V the weight of the encoder's layer ``partner``; only the bias c is its own."""

    def __init__(self, linear: TiedLinear, activation: Activation, partner: Affine) -> None:
        self.linear, self.activation, self.partner = linear, activation, partner
        self.fan_in, self.fan_out = partner.fan_out, partner.fan_in
        self.shape = (1, self.fan_out)
        partner.accumulates = True

    def bind(self, weight: Tensor, gradient: Tensor) -> None:
        self.bias, self.bias_gradient = weight, gradient

    def forward(self, p: LayerBuffers) -> list[Call]:
        weight = self.partner.weight[..., :-1, :].mT
        return [_sum_with_product(self.bias, p.h[..., :-1], weight, p.z), *activate(self.activation, p)]

    def backward(self, p: LayerBuffers) -> list[Call]:
        # The decoder's backward pass comes first: it overwrites the shared gradient, the encoder's adds.
        weight, gradient = self.partner.weight[..., :-1, :], self.partner.gradient
        dweight = [product_into(p.dz.mT, p.h[..., :-1], gradient[..., :-1, :]), gradient[..., -1, :].zero_]
        dbias = partial(torch.sum, p.dz, -2, keepdim=True, out=self.bias_gradient)
        dh = [] if p.dh is None else [product_into(p.dz, weight, p.dh)]
        return [*derive(self.activation, p), *dweight, dbias, *dh]

    def load(self, master: Tensor) -> None:
        master[0].copy_(self.linear.bias.detach())

    def store(self, master: Tensor) -> None:
        self.linear.bias.detach().copy_(master[0])

    def mark_weight(self, mask: Tensor) -> None:
        pass  # the partner's weight is marked, once


class ParallelAffine:
    """Affine layers of one shape side by side: each maps its own part of the rows, which are equally many."""

    def __init__(self, layers: Sequence[Affine]) -> None:
        self.layers, self.activation = layers, layers[0].activation
        self.fan_in, self.fan_out = layers[0].fan_in, layers[0].fan_out
        self.shape = (len(layers) * (self.fan_in + 1), self.fan_out)

    def bind(self, weight: Tensor, gradient: Tensor) -> None:
        self.weight, self.gradient = self._parts(weight), self._parts(gradient)

    def forward(self, p: LayerBuffers) -> list[Call]:
        product = partial(torch.bmm, self._parts(p.h), self.weight, out=self._parts(p.z))
        return [product, *activate(self.activation, p)]

    def backward(self, p: LayerBuffers) -> list[Call]:
        dz = self._parts(p.dz)
        calls = [partial(torch.bmm, self._parts(p.h).mT, dz, out=self.gradient)]
        if p.dh is not None:
            calls.append(partial(torch.bmm, dz, self.weight[:, :-1].mT, out=self._parts(p.dh)))
        return [*derive(self.activation, p), *calls]

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


Layer = Affine | TiedAffine | ParallelAffine


def _sum_with_product(summand: Tensor, left: Tensor, right: Tensor, out: Tensor) -> Call:
    return partial(torch.addmm if left.ndim == 2 else torch.baddbmm, summand, left, right, out=out)


def activate(activation: Activation, p: LayerBuffers) -> list[Call]:
    """Return the calls that take z to a."""
    if activation.forward is not None and activation.saves_input:
        return [partial(activation.forward, p.z, out=p.a)]
    calls: list[Call] = [] if activation.forward is None else [partial(activation.forward, p.z)]
    return calls if p.z is p.a else [*calls, partial(p.a.copy_, p.z)]


def derive(activation: Activation, p: LayerBuffers) -> list[Call]:
    """Return the calls that take da to dz."""
    if activation.backward is None:
        return []
    return [partial(activation.backward, p.dz, *activation.before, p.z, *activation.after, grad_input=p.dz)]


def dense_layers(blocks: Sequence[Block | Parallel]) -> list[Layer]:
    """Give each block its layer; a tied one finds its partner among those before it."""
    layers: list[Layer] = []
    of_linear: dict[int, Affine] = {}
    for block in blocks:
        if isinstance(block, Parallel):
            parts: list[Any] = block.blocks
            layers.append(ParallelAffine([Affine(part.linear, ACTIVATIONS[part.activation]) for part in parts]))
            continue
        linear, activation = block.linear, ACTIVATIONS[block.activation]
        if isinstance(linear, TiedLinear):
            layers.append(TiedAffine(linear, activation, of_linear[id(linear.partner)]))
        else:
            of_linear[id(linear)] = Affine(linear, activation)
            layers.append(of_linear[id(linear)])
    return layers


class FlatLayers:
    """Layers whose parameters are one vector, as is their gradient: what solvers and averages work on.

    Parameters
    ----------
    layers : sequence
        `Layer`, or others with the same ``shape``, ``bind``, ``load``, ``store`` and ``mark_weight``.
    dtype : torch.dtype
    device : torch.device
    low_precision : bool
        Whether the layers work in bfloat16 on copies of both vectors.
    memory : (Tensor, Tensor) or None
        The two vectors, where they are to be part of something larger; None for vectors of their own.

    Attributes
    ----------
    parameters, gradient : Tensor of shape (n_parameters,)
    is_weight : bool Tensor of shape (n_parameters,)
        Where the L2 penalty applies.
    masters : list of Tensor
        The parameters of each layer, of its shape.
    weights, gradients : Tensor of shape (n_parameters,)
        What the layers work on: the first two themselves, or the copies.
    """

    def __init__(
        self,
        layers: Sequence[Any],
        dtype: torch.dtype,
        device: torch.device,
        low_precision: bool = False,
        memory: tuple[Tensor, Tensor] | None = None,
    ) -> None:
        self.layers = layers
        if memory is None:
            n_parameters = sum(fan_in * fan_out for fan_in, fan_out in (layer.shape for layer in layers))
            parameters = torch.zeros(n_parameters, dtype=dtype, device=device)
            memory = parameters, torch.zeros_like(parameters)
        self.parameters, self.gradient = memory
        self.is_weight = torch.zeros_like(self.parameters, dtype=torch.bool)
        self.masters = self.views(self.parameters)
        self.load_modules(self.parameters)
        working = torch.bfloat16 if low_precision else dtype
        self.weights, self.gradients = self.parameters.to(working), self.gradient.to(working)
        views = map(self.views, (self.is_weight, self.weights, self.gradients))
        for layer, mask, weight, gradient in zip(layers, *views, strict=True):
            layer.mark_weight(mask)
            layer.bind(weight, gradient)

    def views(self, flat: Tensor) -> list[Tensor]:
        """Cut a vector into a view of each layer's shape."""
        sizes = [fan_in * fan_out for fan_in, fan_out in (layer.shape for layer in self.layers)]
        return [part.view(layer.shape) for part, layer in zip(flat.split(sizes), self.layers, strict=True)]

    def load_modules(self, flat: Tensor) -> Tensor:
        """Copy the modules' values into a vector; return it."""
        for layer, master in zip(self.layers, self.views(flat), strict=True):
            layer.load(master)
        return flat

    def store_modules(self, flat: Tensor) -> None:
        """Copy a vector into the modules."""
        masters = self.masters if flat is self.parameters else self.views(flat)
        for layer, master in zip(self.layers, masters, strict=True):
            layer.store(master)


class Chain:
    """A stack of layers with its memory, from the input ``h`` to ``output``, and the calls of its passes.

    What lies between is from ``pool``, under ``name``.
    """

    def __init__(
        self,
        name: str,
        layers: Sequence[Layer],
        h: Tensor,
        dh: Tensor | None,
        output: Tensor,
        doutput: Tensor,
        pool: BufferPool,
        dropout: Dropout | None = None,
    ) -> None:
        n, hidden = h.shape[-2], layers[:-1]
        inputs = [h, *(pool.with_ones((name, "h", i), n, layer.fan_out) for i, layer in enumerate(hidden))]
        outputs = [*(above[..., :-1] for above in inputs[1:]), output]
        if dropout is not None:  # activations stay, for their derivatives
            outputs = [*(pool.empty((name, "a", i), n, layer.fan_out) for i, layer in enumerate(hidden)), output]
        da = [*(pool.empty((name, "dz", i), n, layer.fan_out) for i, layer in enumerate(hidden)), doutput]
        dh_ = [dh, *da[:-1]]
        self.buffers: list[LayerBuffers] = []
        for i, (layer, a) in enumerate(zip(layers, outputs, strict=True)):
            # torch.bmm is fast where its result is contiguous, which the part of h before the ones is not.
            apart = layer.activation.saves_input or (a.ndim == 3 and not a.is_contiguous())
            z = pool.empty((name, "z", i), n, layer.fan_out) if apart else a
            self.buffers.append(LayerBuffers(inputs[i], z, a, da[i], dh_[i]))
        pairs = [*zip(layers, self.buffers, strict=True)]
        forth, back = zip(*((layer.forward(p), layer.backward(p)) for layer, p in pairs), strict=True)
        for i, layer in enumerate(() if dropout is None else hidden):
            mask = pool.empty((name, "mask", i), n, layer.fan_out)
            forth[i].append(partial(dropout.apply, outputs[i], mask, inputs[i + 1][..., :-1]))  # type: ignore[union-attr]
            back[i].insert(0, partial(da[i].mul_, mask))
        self.forward = [call for calls in forth for call in calls]
        self.backward = [call for calls in reversed(back) for call in calls]
