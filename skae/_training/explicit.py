"""The training step of dense networks, written out: forward, loss, backward, update.

Everything is computed into buffers that are allocated once for a batch size. The autograd step computes the
same gradients from the same objective; on small networks its bookkeeping costs many times the arithmetic.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .._data.corruption import Corruption, repeated_noise
from .._data.rows import Rows
from .._networks.nested import Parallel
from .._networks.networks import Block
from .._objectives.losses import Loss
from .layers import Bridge, Memory, Pass, Tape, balance, dense_layers, views
from .optimizers import Optimizer


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


class ExplicitStep:
    """One step of training, ``step(index) -> objective``, for dense blocks and a loss in closed form.

    Parameters
    ----------
    encoder : sequence of Block
    decoder : sequence of Block or of Parallel
    loss : Loss
    rows : Rows
        The inputs, centred.
    make_optimizer : callable (parameters, gradient, is_weight) -> Optimizer
    targets : Rows or None
        What to restore; None restores the inputs.
    row_weight : Tensor of shape (n_rows,) or None
        Weights of mean one over the rows that are trained on.
    corrupt : Corruption or None
        Noise for the inputs, drawn anew for each batch; targets stay clean.
    bridge : Bridge or None
    penalty : CodePenalty or None
    constrain : callable (weight) or None
        Called after each update with the decoder's weights of each unit of the code, (n_components, fan_out),
        to change them in place.
    low_precision : bool
        Compute in bfloat16 beside float32 parameters.
    """

    needs_two_rows = by_autograd = False

    def __init__(
        self,
        encoder: Sequence[Block],
        decoder: Sequence[Block] | Sequence[Parallel],
        loss: Loss,
        rows: Rows,
        make_optimizer: Callable[[Tensor, Tensor, Tensor], Optimizer],
        *,
        targets: Rows | None = None,
        row_weight: Tensor | None = None,
        corrupt: Corruption | None = None,
        bridge: Bridge | None = None,
        penalty: CodePenalty | None = None,
        constrain: Callable[[Tensor], object] | None = None,
        low_precision: bool = False,
    ) -> None:
        self.rows, self.targets, self.loss, self.row_weight = rows, targets, loss, row_weight
        self.corrupt, self.bridge, self.penalty, self.constrain = corrupt, bridge, penalty, constrain
        assert loss.sum_and_gradient is not None
        self._sum = loss.sum_and_gradient
        layers = dense_layers([*encoder, *decoder])
        self.encoder, self.decoder = layers[: len(encoder)], layers[len(encoder) :]
        self.layers = [*layers, *loss.heads]
        self._tapes: dict[tuple[int, int], Tape] = {}

        n_parameters = sum(rows_ * columns for rows_, columns in (layer.shape for layer in self.layers))
        self.multiply_adds = n_parameters  # of a row on its way through the networks
        self.parameters = torch.zeros(n_parameters, dtype=rows.dtype, device=rows.device)
        self.gradient = torch.zeros_like(self.parameters)
        is_weight = torch.zeros_like(self.parameters, dtype=torch.bool)
        # In mixed precision the products read and write bfloat16 copies of both; else the two themselves.
        working = torch.bfloat16 if low_precision else rows.dtype
        self._weights, self._gradients = self.parameters.to(working), self.gradient.to(working)
        self._memory = Memory(self._weights)
        # Tensors, since a Python number costs a conversion at every step.
        self._features = self.decoder[-1].fan_out if loss.mean_over_features else 1
        self._per_row = self.parameters.new_tensor(1 / self._features)
        self._scales: dict[tuple[int, int], Tensor] = {}

        self._masters = views(self.layers, self.parameters)
        self._of_code = self._masters[len(encoder)][:-1]
        for layer, master, mask in zip(self.layers, self._masters, views(self.layers, is_weight), strict=True):
            layer.load(master)
            layer.mark_weight(mask)
        bound = (views(self.layers, flat) for flat in (self._weights, self._gradients))
        for layer, weight, gradient in zip(self.layers, *bound, strict=True):
            layer.bind(weight, gradient)
        self.optimizer = make_optimizer(self.parameters, self.gradient, is_weight)
        self._follow()

    def __call__(self, index: Tensor) -> Tensor:
        """Take one step on the rows numbered ``index``; return the objective, summed over these rows."""
        total = self.differentiate(index)
        penalty = self.optimizer.update()
        if self.constrain is not None:
            self.constrain(self._of_code)
        self._follow()
        return total if penalty is None else total.add(penalty, alpha=len(index))

    def differentiate(self, index: Tensor) -> Tensor:
        """Write the gradient of the objective, all but its L2 penalty; return its sum over the rows."""
        tape, weight = self._batch(index)
        total = self._loss(tape, self._forward(tape, weight), weight)
        total = self._backward(tape, total, weight)
        if self.gradient is not self._gradients:
            self.gradient.copy_(self._gradients)
        return total

    def evaluate(self, index: Tensor) -> Tensor:
        """Return the loss without penalties, summed over the rows numbered ``index``."""
        with repeated_noise(self.corrupt, self.bridge):
            tape, weight = self._batch(index)
            return self._loss(tape, self._forward(tape, weight), weight)

    def _batch(self, index: Tensor) -> tuple[Tape, Tensor | None]:
        key = len(index), 1 if self.bridge is None else self.bridge.repeats
        tape = self._tapes.get(key)
        if tape is None:
            two = self.targets is not None or self.corrupt is not None
            tape = Tape(len(index), self.encoder, self.decoder, self.bridge, self._memory, has_target=two)
            self._tapes[key] = tape
        (self.targets or self.rows).gather(index, out=tape.target)
        if self.targets is not None:
            self.rows.gather(index, out=tape.x)
        if self.corrupt is not None:
            clean = tape.target if self.targets is None else tape.x
            self.corrupt(clean, out=tape.x, restore=partial(self._restore, tape))
        return tape, None if self.row_weight is None else self.row_weight[index].unsqueeze(1)

    def _restore(self, tape: Tape, x: Tensor) -> Tensor:
        """Return what the networks make of rows as they enter the encoder, in memory that is used again."""
        tape.x.copy_(x)
        with repeated_noise(self.bridge):
            self._forward(tape, None)
        return tape.output[: len(x)]

    def _forward(self, tape: Tape, weight: Tensor | None) -> Tensor | None:
        """Compute the output; return the bridge's own loss of each row."""
        for call in tape.encode:
            call()
        own = None if self.bridge is None else self.bridge.forward(tape.code, tape.z, weight)
        for call in tape.decode:
            call()
        return own

    def _loss(self, tape: Tape, own: Tensor | None, weight: Tensor | None) -> Tensor:
        """Return the loss, summed over rows; write its derivative, as a mean, with respect to the output."""
        repeats = tape.repeats
        if repeats == 1:
            total = self._sum(tape.output, tape.target, weight, tape.doutput)
            scale = self._scale(tape.n)
        elif (importance := self.bridge.importance) is not None:  # type: ignore[union-attr]
            sums = [self._sum(output, tape.target, weight, doutput) for output, doutput in tape.passes()]
            losses = torch.stack(sums)
            total, scale = losses.mean(), self._scale(repeats * tape.n)
            tape.doutput.unflatten(0, (repeats, -1)).mul_(balance(losses, importance)[:, None, None])
        elif self.bridge.auxiliary is None:  # type: ignore[union-attr]
            repeated = None if weight is None else weight.repeat(repeats, 1)
            total = self._sum(tape.output, tape.target.repeat(repeats, 1), repeated, tape.doutput) / repeats
            scale = self._scale(repeats * tape.n)
        else:
            for output, doutput in reversed(tape.passes()):  # the first counts, the others are felt
                total = self._sum(output, tape.target, weight, doutput)
            scale = self._scale(tape.n, repeats)
        tape.doutput.mul_(scale)
        for head in self.loss.heads:
            head.gradient.mul_(scale)
        total = total * self._per_row
        if own is None:
            return total
        return total + (own.sum() if weight is None else torch.dot(own, weight[:, 0]))

    def _scale(self, n: int, passes: int = 1) -> Tensor:
        """Return what turns a sum over ``n`` rows of the output into a mean over rows.

        With several passes this is one number for each row of the output: all but the first are felt as much as
        the bridge's auxiliary weight says.
        """
        scale = self._scales.get((n, passes))
        if scale is None:
            scale = self._weights.new_tensor(1 / (n * self._features))
            if passes > 1:
                scale = scale.repeat(passes * n, 1)
                scale[n:] *= self.bridge.auxiliary  # type: ignore[union-attr, arg-type]
            self._scales[n, passes] = scale
        return scale

    def _backward(self, tape: Tape, total: Tensor, weight: Tensor | None) -> Tensor:
        for call in tape.decode_back:
            call()
        if self.bridge is not None:
            self.bridge.backward(tape.code, tape.dz, tape.dcode, weight)
        code_layer, p = self.encoder[-1], tape.encoder[-1]
        if self.penalty is not None:
            total = total.add(self.penalty.on_code(code_layer, p, weight), alpha=tape.n)
        for call in tape.encode_back:
            call()
        if self.penalty is not None and self.penalty.on_weight is not None:
            self.penalty.on_weight(code_layer, p, weight)
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
        self.assign(snapshot)

    def assign(self, parameters: Tensor) -> None:
        """Go on from other parameters."""
        self.parameters.copy_(parameters)
        self._follow()
