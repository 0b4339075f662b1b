"""Several models of one shape trained at once: their steps taken together, on a leading axis of models.

Each model has its own step, as if it were alone: rows, order, noise, loss, penalties, solver, running mean, and
its own walk through the epochs. What they share is memory. Parameters and buffers of a model are a slice of
tensors with a leading axis, so that the passes through the layers, most of the calls of a small step, are played
once for all models, with ``torch.bmm`` in the place of ``torch.mm``.
"""

from collections.abc import Iterator, Sequence
from itertools import repeat
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .._support import devices
from .._support.sizes import of_size
from .buffers import BufferPool
from .explicit import ExplicitStep, StepPlan
from .history import History
from .layers import ParallelAffine, dense_layers
from .loop import Epochs
from .optimizers import Together
from .problem import DivergedError, Schedule
from .setup import Run
from .step import Step

# Multiply-adds of a pass, forward, of one model's batch. On processors, wider layers or longer batches spend their
# time in products, which torch.mm computes faster than torch.bmm (784-256-32-256-784: in 0.76 of the time).
MOST_MULTIPLY_ADDS = 1_500_000


class JointPlan(NamedTuple):
    """The memory of a batch of each model.

    Attributes
    ----------
    whole : StepPlan
        Of all models, with a leading axis.
    parts : list of (BufferPool, dict)
        Each model's part of the memory, and its plans there by size; see `ExplicitStep.plan`.
    """

    whole: StepPlan
    parts: list[tuple[BufferPool, dict[tuple[int, int], StepPlan]]]


class JointStep:
    """The steps of several models, taken as one.

    Parameters
    ----------
    steps : sequence of ExplicitStep
        Those that `may_join` allows. They move into shared memory, with all that they have come to.
    """

    def __init__(self, steps: Sequence[ExplicitStep]) -> None:
        self.steps, self._first = steps, steps[0]
        n_parameters = len(self._first.parameters)
        self.parameters = self._first.parameters.new_zeros(len(steps), n_parameters)
        self.gradient = torch.zeros_like(self.parameters)
        for step, parameters, gradient in zip(steps, self.parameters, self.gradient, strict=True):
            snapshot, state = step.snapshot(), step.state()
            step.place((parameters, gradient))
            step.restore(snapshot)
            step.load_state(state)
        self._layers = dense_layers(self._first.blocks)
        self._gradients, start = [], 0
        for layer in self._layers:
            end = start + layer.shape[0] * layer.shape[1]
            # On its own, since torch.bmm is fast where its result is contiguous.
            self._gradients.append(self.parameters.new_zeros(len(steps), *layer.shape))
            layer.bind(self.parameters[:, start:end].unflatten(1, layer.shape), self._gradients[-1])
            start = end
        self._gathered = self.gradient[:, :start]  # all but what belongs to losses
        self._solvers = Together([step.optimizer for step in steps], self.parameters, self.gradient)
        self._is_plain = all(_is_plain(step) for step in steps)
        # Those that do something before or after; on small networks, asking them costs as much as a product.
        self._watched = [] if self._is_plain and not any(map(_does_more, steps)) else steps
        self._loss_units = self.parameters.new_tensor([step.objective.loss_unit for step in steps])
        self._rows = {id(step.served.rows): step.served.rows for step in steps}
        self._plans: dict[tuple[int, int], JointPlan] = {}

    def __call__(self, batches: Sequence[Tensor]) -> Sequence[Tensor]:
        """Take a step of each model on the rows numbered by its batch; return their objectives as `Step` does."""
        for step in self._watched:
            step.begin()
        totals = self.differentiate(batches)
        for step in self._watched:
            step.limit_gradient()
        penalties = self._solvers.update()
        if penalties is None and not self._watched:
            return totals
        if isinstance(penalties, Tensor) and not self._watched:
            return self._with_penalties(totals, penalties, batches)
        each = zip(self.steps, totals, repeat(None) if penalties is None else penalties, batches, strict=False)
        return [step.end(total, penalty, index.size(0)) for step, total, penalty, index in each]

    def _with_penalties(
        self, totals: Sequence[Tensor], penalties: Tensor, batches: Sequence[Tensor]
    ) -> Sequence[Tensor]:
        """Add what the solvers' penalties come to over the rows, as `Step.end` does for one model."""
        sizes = penalties.new_tensor([index.size(0) for index in batches])
        if self._first.optimizer.decoupled:
            sizes /= self._loss_units
        return torch.stack([*totals]).addcmul_(penalties, sizes).unbind()

    def differentiate(self, batches: Sequence[Tensor]) -> Sequence[Tensor]:
        """Write the gradient of each model; return their objectives, without the solver's penalty."""
        sizes = [index.size(0) for index in batches]  # which is faster than len
        n, n_passes = max(sizes), max(step.n_passes for step in self.steps)
        whole, parts = of_size(self._plans, (n, n_passes), lambda: self._plan(n, n_passes))
        if self._is_plain and min(sizes) == n:
            return self._differentiate_plain(whole, batches)
        each = [(step, step.plan(size, *part)) for step, size, part in zip(self.steps, sizes, parts, strict=True)]
        for (step, plan), index in zip(each, batches, strict=True):
            step.gather(plan, index)
        for call in whole.encode:
            call()
        for step, plan in each:
            step.to_decoder(plan)
        for call in whole.decode:
            call()
        totals = [step.own_loss(plan, step.loss(plan) * step.per_row) for step, plan in each]
        for (step, plan), unused in zip(each, whole.doutput, strict=True):
            step.to_mean(plan)
            unused[len(plan.doutput) :].zero_()  # rows of larger batches contribute nothing
        for call in whole.decode_back:
            call()
        totals = [step.to_encoder(plan, total) for (step, plan), total in zip(each, totals, strict=True)]
        for (_, plan), unused in zip(each, whole.dcode, strict=True):
            unused[plan.n :].zero_()
        for call in whole.encode_back:
            call()
        self._gather_gradients()
        for step, plan in each:
            step.end_gradient(plan)
        return totals

    def _differentiate_plain(self, whole: StepPlan, batches: Sequence[Tensor]) -> Sequence[Tensor]:
        """Do so in as few calls as of one model, where there is only the loss and batches are equally large."""
        if len(self._rows) == 1:
            self._first.served.rows.gather(torch.cat([*batches]), out=whole.x.view(-1, whole.x.shape[-1]))
        else:
            for step, index, x in zip(self.steps, batches, whole.x, strict=True):
                step.served.rows.gather(index, out=x)
        for call in whole.encode:
            call()
        for call in whole.decode:
            call()
        loss, first = self._first.objective.loss, self._first
        totals = loss.sum_and_gradient(whole.output, whole.target, None, whole.doutput)  # type: ignore[misc]
        whole.doutput.mul_(first.scale(whole.n))
        for call in whole.decode_back:
            call()
        for call in whole.encode_back:
            call()
        self._gather_gradients()
        return totals.mul_(first.per_row).unbind()

    def _gather_gradients(self) -> None:
        torch.cat([gradient.flatten(1) for gradient in self._gradients], 1, out=self._gathered)

    def _plan(self, n: int, n_passes: int) -> JointPlan:
        first, pool = self._first, BufferPool(self.parameters, len(self.steps))
        encoder, decoder = self._layers[: len(first.encoder)], self._layers[len(first.encoder) :]
        whole = StepPlan(n, n_passes, encoder, decoder, first.objective, pool, first.target_width)
        return JointPlan(whole, [(pool.of_model(model), {}) for model in range(len(self.steps))])


def _is_plain(step: ExplicitStep) -> bool:
    """Whether a step consists of the loss alone, which takes an axis of models."""
    served, objective = step.served, step.objective
    without_weights = served.row_weight is None and served.entry_weight is None
    plain = served.targets is None and objective.is_plain and without_weights
    return plain and objective.loss.takes_models and not objective.loss.heads


def _does_more(step: ExplicitStep) -> bool:
    """Whether a step does more than differentiate and update."""
    return step.average is not None or step.limits_gradient


def may_join(steps: Sequence[Step], batch_size: int) -> bool:
    """Tell whether steps are of models of one shape, and gain by being taken together."""
    shapes = [_shape(step) for step in steps]
    if len(steps) < 2 or shapes[0] is None or any(shape != shapes[0] for shape in shapes):
        return False
    small = steps[0].multiply_adds * batch_size <= MOST_MULTIPLY_ADDS
    return small or steps[0].parameters.device.type != "cpu"


def _shape(step: Step) -> Any:
    """Describe the layers of a step and what is between them; None where it cannot be joined."""
    if not isinstance(step, ExplicitStep) or not step.takes_models or step.low_precision:
        return None
    if step.objective.dropout is not None:
        return None
    if any(isinstance(layer, ParallelAffine) for layer in step.layers):
        return None
    layers = [(type(layer), layer.shape, layer.activation) for layer in step.layers]
    own = step.parameters
    return layers, own.shape, own.dtype, own.device, step.target_width, type(step.objective.bottleneck)


def train_together(
    runs: Sequence[Run], steps: Sequence[Step], schedules: Sequence[Schedule]
) -> list[History | ValueError]:
    """Train several models: at once where their steps can be joined, else one after the other.

    Parameters
    ----------
    runs, steps, schedules
        Of each model. Its result is that of training it alone, but for rounding.

    Returns
    -------
    list of History or of ValueError
        Of each model, the error where it has diverged. A `KeyboardInterrupt` ends them all; models that have not
        begun then are missing at the end of the list.
    """
    if not may_join(steps, max(schedule.batch_size for schedule in schedules)):
        return [*_one_by_one(runs, steps, schedules)]
    multiply_adds = 3 * sum(s.batch_size * step.multiply_adds for s, step in zip(schedules, steps, strict=True))
    with devices.cpu_settings(multiply_adds), steps[0].modes(runs[0].streams.noise):
        walks = [run.epochs(step, schedule) for run, step, schedule in zip(runs, steps, schedules, strict=True)]
        ends = _walk_together(steps, walks)  # type: ignore[arg-type]
    explained = zip(runs, steps, ends, strict=True)
    return [run.explain(end, step) if isinstance(end, DivergedError) else end for run, step, end in explained]


def _one_by_one(
    runs: Sequence[Run], steps: Sequence[Step], schedules: Sequence[Schedule]
) -> Iterator[History | ValueError]:
    for run, step, schedule in zip(runs, steps, schedules, strict=True):
        try:
            with run.training(step, schedule) as (history, batches):
                for index, losses in batches:
                    losses.append(step(index))
        except ValueError as error:
            yield error
            continue
        yield history
        if history.interrupted:
            return


def _walk_together(
    steps: Sequence[ExplicitStep], walks: Sequence[tuple[History, Epochs]]
) -> list[History | DivergedError]:
    """Let all models walk through their rows, a step of each at a time, until the last has ended."""
    ends: dict[int, History | DivergedError] = {}
    batches: dict[int, tuple[Tensor, list[Tensor]]] = {}

    def advance(model: int, interrupt: KeyboardInterrupt | None = None) -> None:
        history, epochs = walks[model]
        try:
            batches[model] = next(epochs) if interrupt is None else epochs.throw(interrupt)
        except StopIteration:
            ends[model] = history
        except DivergedError as error:
            ends[model] = error

    for model in range(len(walks)):
        advance(model)
    members: list[int] = []
    while len(ends) < len(walks):
        if not members or len(members) + len(ends) > len(walks):  # some have ended: the others close ranks
            members = [model for model in batches if model not in ends]
            with torch.inference_mode(False):  # what is allocated outlives the modes of training
                joint = JointStep([steps[model] for model in members]) if len(members) > 1 else None
        try:
            asked = [batches[model][0] for model in members]
            losses = [steps[members[0]](asked[0])] if joint is None else joint(asked)
        except KeyboardInterrupt as interrupt:
            for model in members:
                advance(model, interrupt)
            continue
        for model, loss in zip(members, losses, strict=True):
            batches[model][1].append(loss)
            advance(model)
    return [ends[model] for model in range(len(walks))]
