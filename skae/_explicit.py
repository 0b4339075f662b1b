"""The training step of dense networks, written out: forward, loss, backward, update.

For the layer ``z = h W + b``, ``a = f(z)`` and a loss ``L``, with ``dX`` short for the derivative of L with
respect to X::

    dz = da * f'(z)          dW = h' dz          db = sum of dz over rows          dh = dz W'

Everything is computed into buffers that are allocated once for a batch size. The autograd step computes the
same gradients from the same objective; on small networks its bookkeeping costs many times the arithmetic.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ._activations import ACTIVATIONS, Activation
from ._losses import Loss
from ._networks import Block, TiedLinear
from ._optimizers import Optimizer
from ._rows import Rows


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

    def __init__(self, linear: nn.Linear) -> None:
        self.linear = linear
        self.shape = (linear.in_features + 1, linear.out_features)

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

    def mark_penalized(self, mask: Tensor) -> None:
        """Put ones where the L2 penalty applies."""
        mask[:-1].fill_(1)


class Tied:
    """z = h V' + c with V the weight of the encoder's layer ``partner``; only the bias c is its own."""

    def __init__(self, linear: TiedLinear, partner: Affine) -> None:
        self.linear, self.partner = linear, partner
        self.shape = (1, linear.partner.in_features)
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

    def mark_penalized(self, mask: Tensor) -> None:
        pass  # the partner's weight is marked, once


class CodePenalty(NamedTuple):
    """A penalty on the code whose gradient has a closed form.

    Attributes
    ----------
    on_code : callable (layer, pass, row_weight) -> 0-d tensor
        Adds the derivative with respect to the code ``pass.a`` to ``pass.dz`` and returns the penalty, a mean
        over rows. ``row_weight`` is (n, 1) or None.
    on_weight : callable (layer, pass, row_weight) or None
        Adds to ``layer.gradient`` where the penalty depends on the weights beside the code.
    """

    on_code: Callable[[Any, Pass, Tensor | None], Tensor]
    on_weight: Callable[[Any, Pass, Tensor | None], object] | None = None


class Buffers:
    """All that a batch of ``n`` rows passes through, allocated once.

    Attributes
    ----------
    x, target : Tensor of shape (n, d)
        The first layer's input without its ones; the rows to restore. One memory unless rows are corrupted.
    passes : list of Pass
    scale : 0-d Tensor
        1 / (n d), by which a sum over entries becomes a mean.
    """

    def __init__(self, n: int, widths: Sequence[int], activations: Sequence[Activation], like: Tensor) -> None:
        inputs = [_with_ones(n, width, like) for width in widths[:-1]]
        self.x = inputs[0][:, :-1]
        self.target = self.x
        self.scale = like.new_tensor(1 / (n * widths[-1]))
        outputs = [h[:, :-1] for h in inputs[1:]] + [like.new_empty(n, widths[-1])]
        gradients = [like.new_empty(n, width) for width in widths[1:]]
        self.passes = [
            Pass(h, h.t(), torch.empty_like(a) if f.saves_input else a, a, dz, dh)
            for h, a, f, dz, dh in zip(
                inputs, outputs, activations, gradients, [None, *gradients[:-1]], strict=True
            )
        ]


def _with_ones(n: int, width: int, like: Tensor) -> Tensor:
    # Rows start 64 bytes apart or a multiple of it: matrix products read them faster.
    stride = -(-(width + 1) // 16) * 16
    return like.new_ones(n, stride)[:, : width + 1]


class ExplicitStep:
    """One step of training, ``step(index) -> objective``, for dense blocks and a loss in closed form.

    Parameters
    ----------
    encoder, decoder : sequences of Block
    loss : Loss
    rows : Rows
        The data, centred; inputs and targets alike.
    make_optimizer : callable (parameters, gradient, penalized) -> Optimizer
    row_weight : Tensor of shape (n_rows,) or None
        Weights of mean one over the rows that are trained on.
    corrupt : callable (rows) -> rows, or None
        Noise, drawn anew for each batch; the target stays clean.
    penalty : CodePenalty or None
    low_precision : bool
        Compute in bfloat16 beside float32 parameters.
    """

    def __init__(
        self,
        encoder: Sequence[Block],
        decoder: Sequence[Block],
        loss: Loss,
        rows: Rows,
        make_optimizer: Callable[[Tensor, Tensor, Tensor], Optimizer],
        *,
        row_weight: Tensor | None = None,
        corrupt: Callable[[Tensor], Tensor] | None = None,
        penalty: CodePenalty | None = None,
        low_precision: bool = False,
    ) -> None:
        self.rows, self.loss, self.row_weight = rows, loss, row_weight
        self.corrupt, self.penalty = corrupt, penalty
        self.layers = _layers([*encoder, *decoder])
        self.activations = [ACTIVATIONS[block.activation] for block in (*encoder, *decoder)]
        self.code = len(encoder) - 1  # the number of the layer whose output is the code
        self.widths = [rows.n_features, *(layer.shape[1] for layer in self.layers)]
        self._buffers: dict[int, Buffers] = {}

        n_parameters = sum(fan_in * fan_out for fan_in, fan_out in (layer.shape for layer in self.layers))
        self.parameters = torch.zeros(n_parameters, dtype=rows.dtype, device=rows.device)
        self.gradient = torch.zeros_like(self.parameters)
        penalized = torch.zeros_like(self.parameters)
        # In mixed precision the products read and write bfloat16 copies of both; else the two themselves.
        working = torch.bfloat16 if low_precision else rows.dtype
        self._weights, self._gradients = self.parameters.to(working), self.gradient.to(working)
        self._per_row = torch.tensor(1 / rows.n_features, dtype=rows.dtype, device=rows.device)

        self._masters = self._split(self.parameters)
        parts = zip(self.layers, self._masters, self._split(penalized), strict=True)
        for layer, master, mask in parts:
            layer.load(master)
            layer.mark_penalized(mask)
        bound = zip(self.layers, self._split(self._weights), self._split(self._gradients), strict=True)
        for layer, weight, gradient in bound:
            layer.bind(weight, gradient)
        self.optimizer = make_optimizer(self.parameters, self.gradient, penalized)
        self._follow()

    def _split(self, flat: Tensor) -> list[Tensor]:
        sizes = [fan_in * fan_out for fan_in, fan_out in (layer.shape for layer in self.layers)]
        return [part.view(layer.shape) for part, layer in zip(flat.split(sizes), self.layers, strict=True)]

    def __call__(self, index: Tensor) -> Tensor:
        """Take one step on the rows numbered ``index``; return the objective, summed over these rows."""
        total = self.differentiate(index)
        penalty = self.optimizer.update()
        self._follow()
        return total if penalty is None else total.add(penalty, alpha=len(index))

    def differentiate(self, index: Tensor) -> Tensor:
        """Write the gradient of the objective, all but its L2 penalty; return its sum over the rows."""
        b, weight = self._batch(index)
        self._forward(b.passes)
        total = self._loss(b, weight)
        total = self._backward(b.passes, total, weight)
        if self.gradient is not self._gradients:
            self.gradient.copy_(self._gradients)
        return total

    def evaluate(self, index: Tensor) -> Tensor:
        """Return the loss without penalties, summed over the rows numbered ``index``."""
        b, weight = self._batch(index)
        self._forward(b.passes)
        return self._loss(b, weight)

    def _batch(self, index: Tensor) -> tuple[Buffers, Tensor | None]:
        n = len(index)
        if n not in self._buffers:
            self._buffers[n] = Buffers(n, self.widths, self.activations, self._weights)
            if self.corrupt is not None:
                self._buffers[n].target = torch.empty_like(self._buffers[n].x)
        b = self._buffers[n]
        self.rows.gather(index, out=b.target)
        if self.corrupt is not None:
            b.x.copy_(self.corrupt(b.target))
        return b, None if self.row_weight is None else self.row_weight[index].unsqueeze(1)

    def _forward(self, passes: list[Pass]) -> None:
        for layer, activation, p in zip(self.layers, self.activations, passes, strict=True):
            layer.forward(p)
            if activation.forward is not None:
                activation.forward(p.z, p.a)

    def _loss(self, b: Buffers, weight: Tensor | None) -> Tensor:
        output, gradient = b.passes[-1].a, b.passes[-1].dz
        total = self.loss.sum_and_gradient(output, b.target, gradient)
        if weight is not None:
            total = (self.loss.entrywise(output, b.target) * weight).sum()
            gradient.mul_(weight)
        gradient.mul_(b.scale)
        return total * self._per_row

    def _backward(self, passes: list[Pass], total: Tensor, weight: Tensor | None) -> Tensor:
        for number in range(len(self.layers) - 1, -1, -1):
            layer, activation, p = self.layers[number], self.activations[number], passes[number]
            if number == self.code and self.penalty is not None:
                total = total.add(self.penalty.on_code(layer, p, weight), alpha=len(p.a))
            if activation.backward is not None:
                activation.backward(p.dz, p.z)
            layer.backward(p)
            if number == self.code and self.penalty is not None and self.penalty.on_weight is not None:
                self.penalty.on_weight(layer, p, weight)
        return total

    def _follow(self) -> None:
        if self._weights is not self.parameters:
            self._weights.copy_(self.parameters)

    def publish(self) -> None:
        """Copy the parameters into the modules that the blocks hold."""
        for layer, master in zip(self.layers, self._masters, strict=True):
            layer.store(master)

    release = publish  # the modules' parameters were their own all along

    def snapshot(self) -> Tensor:
        """Return a copy of the trained state."""
        return self.parameters.clone()

    def restore(self, snapshot: Tensor) -> None:
        """Go back to a snapshot."""
        self.parameters.copy_(snapshot)
        self._follow()


def _layers(blocks: Sequence[Block]) -> list[Affine | Tied]:
    """Give each block its layer; a tied one finds its partner among those before it."""
    layers: list[Affine | Tied] = []
    of_linear: dict[int, Affine] = {}
    for block in blocks:
        linear = block.linear
        if isinstance(linear, TiedLinear):
            layers.append(Tied(linear, of_linear[id(linear.partner)]))
        else:
            of_linear[id(linear)] = Affine(linear)
            layers.append(of_linear[id(linear)])
    return layers
