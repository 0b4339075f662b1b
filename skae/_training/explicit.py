"""The training step of dense networks, written out: forward, loss, backward.

Everything is computed into buffers that are allocated once for a batch size. The autograd step computes the
same gradients from the same objective; on small networks its bookkeeping costs many times the arithmetic.
What several models of one shape do at once is in `joint.py`.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .._networks.blocks import Block
from .._networks.nested import Parallel
from .._support.ranks import current
from .._support.sizes import of_size
from .buffers import BufferPool
from .layers import Chain, FlatLayers, Layer, dense_layers
from .problem import Objective
from .step import Step


class StepPlan:
    """All that a batch of ``n`` rows passes through, and the calls that take it there and back.

    Memory with a leading axis of models gives a plan for the batches of several models, of ``n`` rows each.

    Attributes
    ----------
    n, n_passes : int
        Rows of the batch, and how often each passes through the decoder.
    row_weight, weight : Tensor or None
        The batch's weights: of rows, (n, 1), and all that the loss takes.
    x, target : Tensor of shape (n, d)
        The first layer's input without its ones; the rows to reconstruct. One memory unless the two differ.
    code, dcode : Tensor
        The code layer's output and the derivative with respect to it.
    z, dz : Tensor
        The decoder's input and the derivative with respect to it: the same two without a bottleneck.
    output, doutput : Tensor
        The decoder's output, which may be wider than a row, and the derivative with respect to it: one memory
        where the output is linear.
    encoder, decoder : lists of LayerBuffers
        The memory of each layer.
    encode, decode, decode_back, encode_back : lists of callables
        The passes, in the order of a step.
    """

    def __init__(
        self,
        n: int,
        n_passes: int,
        encoder: Sequence[Layer],
        decoder: Sequence[Layer],
        objective: Objective,
        pool: BufferPool,
        target_width: int | None,
    ) -> None:
        bottleneck, dropout = objective.bottleneck, objective.dropout
        self.n, self.n_passes = n, n_passes
        self.row_weight: Tensor | None = None
        self.weight: Tensor | None = None
        h = pool.with_ones("x", n, encoder[0].fan_in)
        self.x = h[..., :-1]
        self.target = self.x if target_width is None else pool.empty("target", n, target_width)
        width = encoder[-1].fan_out
        self.dcode = pool.empty("dcode", n, width)
        rows = n_passes * n
        if bottleneck is None:
            z = pool.with_ones("z", n, width)
            self.code, self.dz = z[..., :-1], self.dcode
        else:
            z_width = bottleneck.decoder_width(width)
            z = pool.with_ones("z", rows, z_width)
            self.code, self.dz = pool.empty("code", n, width), pool.empty("dz", rows, z_width)
        self.z = z[..., :-1]
        self.output = pool.empty("output", rows, decoder[-1].fan_out)
        linear = decoder[-1].activation.forward is None
        self.doutput = self.output if linear else pool.empty("doutput", rows, decoder[-1].fan_out)
        up = Chain("encoder", encoder, h, None, self.code, self.dcode, pool, dropout)
        down = Chain("decoder", decoder, z, self.dz, self.output, self.doutput, pool, dropout)
        self.encoder, self.decoder = up.buffers, down.buffers
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

    takes_models = True  # whether a leading axis of models is possible

    def __init__(
        self, encoder: Sequence[Block], decoder: Sequence[Block | Parallel], *arguments: Any, **settings: Any
    ) -> None:
        super().__init__(*arguments, **settings)
        self.blocks = [*encoder, *decoder]
        self.layers = self.arrange(dense_layers(self.blocks))
        self.encoder, self.decoder = self.layers[: len(encoder)], self.layers[len(encoder) :]
        self._closed_forms: list[Any] = [penalty.closed_form for penalty in self.objective.penalties]
        self.exchanges_gradients_alone = self.objective.bottleneck is None and not self._closed_forms
        self._plans: dict[tuple[int, int], StepPlan] = {}
        loss = self.objective.loss
        self._features = self.decoder[-1].fan_out if loss.mean_over_features else 1
        self._scales: dict[int, Tensor] = {}
        self.place()

    def arrange(self, layers: list[Layer]) -> list[Layer]:
        """Return the layers to work with."""
        return layers

    def place(self, memory: tuple[Tensor, Tensor] | None = None) -> None:
        """Begin, with a new solver, on parameters and a gradient of one's own or in given memory."""
        rows, layers = self.served.rows, [*self.layers, *self.objective.loss.heads]
        # In mixed precision the products read and write bfloat16 copies; else the two vectors themselves.
        self._flat = FlatLayers(layers, rows.dtype, rows.device, self.low_precision, memory)
        self.parameters, self.gradient = self._flat.parameters, self._flat.gradient
        self._weights, self._gradients = self._flat.weights, self._flat.gradients
        self.multiply_adds = len(self.parameters)
        self._pool = BufferPool(self._weights)
        self._plans.clear()
        # A tensor, since a Python number costs a conversion at every step.
        self.per_row = self.parameters.new_tensor(1 / self._features)
        self._begin(self._flat.is_weight)

    def differentiate(self, index: Tensor, backward: bool = True) -> Tensor:
        """Write the gradient of the objective, all but its L2 penalty; return its sum over the rows.

        Without the pass ``backward``, it is the loss alone, without any penalty.
        """
        plan = self.plan(index.size(0), self._pool, self._plans)
        self.gather(plan, index)
        for call in plan.encode:
            call()
        self.to_decoder(plan)
        for call in plan.decode:
            call()
        total = self.own_loss(plan, self.loss(plan) * self.per_row)
        if not backward:
            return total
        self.to_mean(plan)
        for call in plan.decode_back:
            call()
        total = self.to_encoder(plan, total)
        for call in plan.encode_back:
            call()
        self.end_gradient(plan)
        current().scale_to_share(self.gradient)
        return total

    def _evaluate(self, index: Tensor) -> Tensor:
        return self.differentiate(index, backward=False)

    # What a step does between the passes through the layers, in this order ----------------------------------

    def gather(self, plan: StepPlan, index: Tensor) -> None:
        """Gather a batch with its weights, and corrupt it."""
        served, corruption = self.served, self.objective.corruption
        plan.row_weight, plan.weight = self._weights_of(index)
        (served.targets or served.rows).gather(index, out=plan.target)
        if served.targets is not None:
            served.rows.gather(index, out=plan.x)
        if corruption is not None:
            corruption(plan.target if served.targets is None else plan.x, out=plan.x)
        if self.objective.hiding is not None and plan.weight is not None:
            self.objective.hiding(plan.x, plan.weight)

    def to_decoder(self, plan: StepPlan) -> None:
        """Take the code through the bottleneck."""
        if self.objective.bottleneck is not None:
            self.objective.bottleneck.forward(plan.code, plan.z, plan.row_weight)

    def loss(self, plan: StepPlan) -> Tensor:
        """Return the reconstruction loss, summed over rows and entries; write its derivative."""
        if plan.n_passes > 1:
            return self._sum_over_passes(plan)
        return self.objective.loss.sum_and_gradient(plan.output, plan.target, plan.weight, plan.doutput)  # type: ignore[misc]

    def own_loss(self, plan: StepPlan, total: Tensor) -> Tensor:
        """Add the bottleneck's own loss to that of the reconstruction, both sums over rows."""
        bottleneck, row_weight = self.objective.bottleneck, plan.row_weight
        own = None if bottleneck is None else bottleneck.own_loss(total)
        if own is None:
            return total
        return total + (own.sum() if row_weight is None else torch.dot(own, row_weight[:, 0]))

    def to_mean(self, plan: StepPlan) -> None:
        """Turn the derivative of a sum over rows into that of a mean."""
        scale = self.scale(plan.n)
        plan.doutput.mul_(scale)
        for head in self.objective.loss.heads:
            head.gradient.mul_(scale)

    def to_encoder(self, plan: StepPlan, total: Tensor) -> Tensor:
        """Take the derivative back through the bottleneck; return the objective with the penalties on the code."""
        if self.objective.bottleneck is not None:
            self.objective.bottleneck.backward(plan.code, plan.dz, plan.dcode, plan.row_weight)
        for form in self._closed_forms:
            value = form.on_code(self.encoder[-1], plan.encoder[-1], plan.row_weight)
            total = total.add(value, alpha=plan.n)
        return total

    def end_gradient(self, plan: StepPlan) -> None:
        """Add what penalties on the code contribute to weights, and leave bfloat16 behind."""
        for form in self._closed_forms:
            if form.on_weight is not None:
                form.on_weight(self.encoder[-1], plan.encoder[-1], plan.row_weight)
        if self.gradient is not self._gradients:
            self.gradient.copy_(self._gradients)

    # ---------------------------------------------------------------------------------------------------------

    def plan(self, n: int, pool: BufferPool, plans: dict[tuple[int, int], StepPlan]) -> StepPlan:
        """Return the plan for a batch of ``n`` rows, from ``plans`` or made anew on memory of ``pool``."""
        n_passes = self.n_passes

        def make() -> StepPlan:
            return StepPlan(n, n_passes, self.encoder, self.decoder, self.objective, pool, self.target_width)

        return of_size(plans, (n, n_passes), make)

    @property
    def n_passes(self) -> int:
        """How often each row passes through the decoder in the next step."""
        return 1 if self.objective.bottleneck is None else self.objective.bottleneck.n_passes

    @property
    def target_width(self) -> int | None:
        """The width of what is reconstructed, where that differs from what the encoder gets; else None."""
        if self.served.targets is None and self.objective.corruption is None:
            return None
        return (self.served.targets or self.served.rows).n_features

    def _sum_over_passes(self, plan: StepPlan) -> Tensor:
        loss, losses = self.objective.loss, []
        heads: list[list[Tensor]] = []
        for output, doutput in plan.passes():
            losses.append(loss.sum_and_gradient(output, plan.target, plan.weight, doutput))  # type: ignore[misc]
            heads.append([head.gradient.clone() for head in loss.heads])
        totals = torch.stack(losses)
        reported, felt = self.objective.bottleneck.pass_weights(totals)  # type: ignore[union-attr]
        plan.doutput.unflatten(0, (plan.n_passes, -1)).mul_(felt[:, None, None])
        for head, gradients in zip(loss.heads, zip(*heads, strict=True), strict=True):
            torch.sum(torch.stack(gradients) * felt[:, None, None], 0, out=head.gradient)
        return torch.dot(totals, reported)

    def scale(self, n: int) -> Tensor:
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
