"""The training step of dense networks, written out: forward, loss, backward.

Everything is computed into buffers that are allocated once for a batch size. The autograd step computes the
same gradients from the same objective; on small networks its bookkeeping costs many times the arithmetic.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .._networks.nested import Parallel
from .._networks.networks import Block
from .layers import BufferPool, Chain, FlatLayers, Layer, dense_layers
from .loop import Step
from .problem import Objective

MOST_PLANS = 8  # batch sizes to be prepared for at a time


class StepPlan:
    """All that a batch of ``n`` rows passes through, and the calls that take it there and back.

    Attributes
    ----------
    n, n_passes : int
        Rows of the batch, and how often each passes through the decoder.
    x, target : Tensor of shape (n, d)
        The first layer's input without its ones; the rows to reconstruct. One memory unless the two differ.
    code, dcode : Tensor
        The code layer's output and the derivative with respect to it.
    z, dz : Tensor
        The decoder's input and the derivative with respect to it: the same two without a bottleneck.
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
        objective: Objective,
        pool: BufferPool,
        has_target: bool,
    ) -> None:
        bottleneck, dropout = objective.bottleneck, objective.dropout
        self.n, self.n_passes = n, 1 if bottleneck is None else bottleneck.n_passes
        h = pool.with_ones("x", n, encoder[0].fan_in)
        self.x = h[:, :-1]
        self.target = pool.empty("target", n, decoder[-1].fan_out) if has_target else self.x
        width = encoder[-1].fan_out
        self.dcode = pool.empty("dcode", n, width)
        if bottleneck is None:
            z = pool.with_ones("z", n, width)
            self.code, self.dz = z[:, :-1], self.dcode
        else:
            rows, z_width = self.n_passes * n, bottleneck.decoder_width(width)
            z = pool.with_ones("z", rows, z_width)
            self.code, self.dz = pool.empty("code", n, width), pool.empty("dz", rows, z_width)
        self.z = z[:, :-1]
        self.output = pool.empty("output", len(z), decoder[-1].fan_out)
        linear = decoder[-1].activation.forward is None
        self.doutput = self.output if linear else pool.empty("doutput", len(z), decoder[-1].fan_out)
        up = Chain(encoder, h, None, self.code, self.dcode, pool, dropout)
        down = Chain(decoder, z, self.dz, self.output, self.doutput, pool, dropout)
        self.encoder = up.buffers
        self.encode, self.decode = up.forward, down.forward
        self.decode_back, self.encode_back = down.backward, up.backward
        self._passes: list[tuple[Tensor, Tensor]] | None = None

    def passes(self) -> list[tuple[Tensor, Tensor]]:
        """Return output and doutput of each pass through the decoder, n rows each."""
        if self._passes is None:
            self._passes = [*zip(self.output.split(self.n), self.doutput.split(self.n), strict=True)]
        return self._passes


class ExplicitStep(Step):
    """A step for dense blocks, and an objective whose every term has its gradient written out.

    Parameters
    ----------
    encoder : sequence of Block
    decoder : sequence of Block or of Parallel
    *arguments, **settings
        As for `Step`.
    """

    def __init__(
        self, encoder: Sequence[Block], decoder: Sequence[Block | Parallel], *arguments: Any, **settings: Any
    ) -> None:
        super().__init__(*arguments, **settings)
        served, objective = self.served, self.objective
        layers = dense_layers([*encoder, *decoder])
        self.encoder, self.decoder = layers[: len(encoder)], layers[len(encoder) :]
        dtype, device = served.rows.dtype, served.rows.device
        # In mixed precision the products read and write bfloat16 copies; else the two vectors themselves.
        self._flat = FlatLayers([*layers, *objective.loss.heads], dtype, device, self.low_precision)
        self.parameters, self.gradient = self._flat.parameters, self._flat.gradient
        self._weights, self._gradients = self._flat.weights, self._flat.gradients
        self.multiply_adds = len(self.parameters)
        self._closed_forms: list[Any] = [penalty.closed_form for penalty in objective.penalties]
        self._plans: dict[tuple[int, int], StepPlan] = {}
        self._pool = BufferPool(self._weights)
        # Tensors, since a Python number costs a conversion at every step.
        self._features = self.decoder[-1].fan_out if objective.loss.mean_over_features else 1
        self._per_row = self.parameters.new_tensor(1 / self._features)
        self._scales: dict[int, Tensor] = {}
        self._begin(self._flat.is_weight)

    def differentiate(self, index: Tensor, backward: bool = True) -> Tensor:
        """Write the gradient of the objective, all but its L2 penalty; return its sum over the rows.

        Without the pass ``backward``, it is the loss alone, without any penalty.
        """
        bottleneck, loss = self.objective.bottleneck, self.objective.loss
        row_weight, weight = self._weights_of(index)
        plan = self._forward(index, row_weight)
        if plan.n_passes == 1:
            total = loss.sum_and_gradient(plan.output, plan.target, weight, plan.doutput)  # type: ignore[misc]
        else:
            total = self._sum_over_passes(plan, weight)
        total = total * self._per_row
        own = None if bottleneck is None else bottleneck.own_loss(total)
        if own is not None:
            total = total + (own.sum() if row_weight is None else torch.dot(own, row_weight[:, 0]))
        return self._backward(plan, row_weight, total) if backward else total

    def _evaluate(self, index: Tensor) -> Tensor:
        return self.differentiate(index, backward=False)

    def _backward(self, plan: StepPlan, row_weight: Tensor | None, total: Tensor) -> Tensor:
        """Take the derivative back through both networks; return the loss with the penalties."""
        scale = self._scale(plan.n)
        plan.doutput.mul_(scale)  # from a sum to a mean
        for head in self.objective.loss.heads:
            head.gradient.mul_(scale)
        for call in plan.decode_back:
            call()
        if self.objective.bottleneck is not None:
            self.objective.bottleneck.backward(plan.code, plan.dz, plan.dcode, row_weight)
        code_layer, buffers = self.encoder[-1], plan.encoder[-1]
        for form in self._closed_forms:
            total = total.add(form.on_code(code_layer, buffers, row_weight), alpha=plan.n)
        for call in plan.encode_back:
            call()
        for form in self._closed_forms:
            if form.on_weight is not None:
                form.on_weight(code_layer, buffers, row_weight)
        if self.gradient is not self._gradients:
            self.gradient.copy_(self._gradients)
        return total

    def _forward(self, index: Tensor, row_weight: Tensor | None) -> StepPlan:
        """Gather a batch, corrupt it, and take it through both networks."""
        bottleneck, served, corruption = self.objective.bottleneck, self.served, self.objective.corruption
        plan = self._plan(len(index))
        (served.targets or served.rows).gather(index, out=plan.target)
        if served.targets is not None:
            served.rows.gather(index, out=plan.x)
        if corruption is not None:
            corruption(plan.target if served.targets is None else plan.x, out=plan.x)
        for call in plan.encode:
            call()
        if bottleneck is not None:
            bottleneck.forward(plan.code, plan.z, row_weight)
        for call in plan.decode:
            call()
        return plan

    def _plan(self, n: int) -> StepPlan:
        bottleneck = self.objective.bottleneck
        key = n, 1 if bottleneck is None else bottleneck.n_passes
        plan = self._plans.get(key)
        if plan is None:
            if len(self._plans) == MOST_PLANS:
                self._plans.clear()
            two = self.served.targets is not None or self.objective.corruption is not None
            plan = StepPlan(n, self.encoder, self.decoder, self.objective, self._pool, has_target=two)
            self._plans[key] = plan
        return plan

    def _sum_over_passes(self, plan: StepPlan, weight: Tensor | None) -> Tensor:
        """Return the loss of several passes, summed over rows and entries; write its derivative."""
        loss, losses = self.objective.loss, []
        heads: list[list[Tensor]] = []
        for output, doutput in plan.passes():
            losses.append(loss.sum_and_gradient(output, plan.target, weight, doutput))  # type: ignore[misc]
            heads.append([head.gradient.clone() for head in loss.heads])
        totals = torch.stack(losses)
        reported, felt = self.objective.bottleneck.pass_weights(totals)  # type: ignore[union-attr]
        plan.doutput.unflatten(0, (plan.n_passes, -1)).mul_(felt[:, None, None])
        for head, gradients in zip(loss.heads, zip(*heads, strict=True), strict=True):
            torch.sum(torch.stack(gradients) * felt[:, None, None], 0, out=head.gradient)
        return torch.dot(totals, reported)

    def _scale(self, n: int) -> Tensor:
        """Return what turns a sum over ``n`` rows of the output into a mean."""
        scale = self._scales.get(n)
        if scale is None:
            scale = self._scales[n] = self._weights.new_tensor(1 / (n * self._features))
        return scale

    def modes(self, generator: torch.Generator):
        """Return a context with torch set up for steps."""
        return torch.inference_mode()

    def _follow(self) -> None:
        if self._weights is not self.parameters:
            self._weights.copy_(self.parameters)

    def _store(self, parameters: Tensor) -> None:
        self._flat.store_modules(parameters)

    def _gathered(self) -> Tensor:
        return self._flat.load_modules(torch.empty_like(self.parameters))

    def _code_weights(self) -> Tensor:
        return self._flat.masters[len(self.encoder)][:-1]
