"""The training step, one seam for two ways to differentiate (explicit, autograd), and the loop of steps."""

import contextlib
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .averaging import WeightAverage
from .optimizers import Optimizer
from .problem import DivergedError, Objective, Schedule, Served


class Step:
    """``step(index) -> objective``: one step on numbered rows. What the loop may ask of it is all here.

    ``averages`` says whether the networks are kept with a running mean of their weights, ``low_precision`` whether
    to compute in bfloat16 beside float32 parameters, and ``trains_biases`` whether biases move.
    """

    parameters: Tensor  # all that is trained, (n_parameters,)
    gradient: Tensor  # likewise: between `differentiate` and the update there is this one
    optimizer: Optimizer
    multiply_adds: int  # of one row on its way through the networks
    needs_two_rows = False  # whether a batch of one row is impossible (batch normalization)

    def __init__(
        self,
        served: Served,
        objective: Objective,
        make_optimizer: Callable[[Tensor, Tensor, Tensor], Optimizer],
        *,
        averages: bool = False,
        low_precision: bool = False,
        trains_biases: bool = True,
    ) -> None:
        self.served, self.objective, self.low_precision = served, objective, low_precision
        self._make_optimizer, self._averages, self._trains_biases = make_optimizer, averages, trains_biases
        self.average: WeightAverage | None = None
        bottleneck = objective.bottleneck
        warm_ups = [term.warm_up for term in (*objective.penalties, bottleneck) if term is not None]
        self.warm_ups = [warm_up for warm_up in warm_ups if warm_up is not None and warm_up.n_epochs > 0]
        self.warm_up_epochs = bottleneck.warm_up.n_epochs if bottleneck is not None and bottleneck.warm_up else 0.0
        self._moving: Tensor | None = None  # ones for parameters that are trained, where not all are
        self._left: Tensor | None = None  # what the modules held when they were given back

    def _begin(self, is_weight: Tensor) -> None:
        """Make the solver, once there are parameters."""
        self.optimizer = self._make_optimizer(self.parameters, self.gradient, is_weight)
        self._moving = None if self._trains_biases else is_weight
        if self._averages:
            self.average = WeightAverage(self.parameters)

    def __call__(self, index: Tensor) -> Tensor:
        """Take one step on the rows numbered ``index``; return the objective, summed over these rows."""
        if self.average is not None and self.average.hide():
            self._follow()
        total = self.differentiate(index)
        if self._moving is not None:
            self.gradient.mul_(self._moving)
        penalty = self.optimizer.update()
        for project in self.objective.projections:
            project(self._code_weights())
        if self.average is not None:
            self.average.add()
        self._follow()
        return total if penalty is None else total.add(penalty, alpha=len(index))

    def _weights_of(self, index: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Return the weights of the rows numbered ``index``: of rows, (n, 1), and all that the loss takes."""
        served = self.served
        row = None if served.row_weight is None else served.row_weight[index].unsqueeze(1)
        if served.entry_weight is None:
            return row, row
        entry = served.entry_weight.batch(index)
        return row, entry if row is None else entry.mul_(row)

    def differentiate(self, index: Tensor) -> Tensor:
        """Write the gradient of the objective, all but its L2 penalty; return its sum over the rows."""
        raise NotImplementedError

    def evaluate(self, index: Tensor) -> Tensor:
        """Return the loss of held-out rows, summed, without penalties; noise is the same each time."""
        self._show()
        with contextlib.ExitStack() as stack:
            for source in (self.objective.corruption, self.objective.bottleneck):
                if source is not None:
                    stack.enter_context(source.held_out())
            return self._evaluate(index)

    def take_sums(self) -> dict[str, Tensor]:
        """Return what the bottleneck has added up over the epoch, by name."""
        return {} if self.objective.bottleneck is None else self.objective.bottleneck.take_sums()

    def modes(self, generator: torch.Generator) -> contextlib.AbstractContextManager:
        """Return a context with torch set up for steps; ``generator``, on the CPU, seeds what it draws."""
        raise NotImplementedError

    def publish(self) -> None:
        """See to it that the modules hold what has been learnt, for a look at them."""
        self._show()
        self._store(self.parameters)

    def release(self) -> None:
        """Give the modules what has been learnt as parameters of their own."""
        self.publish()

    def give_back(self) -> None:
        """Give the modules what they held at the last `leave`."""
        self.release()
        if self._left is not None:
            self._store(self._left)

    def leave(self) -> None:
        """Note what the modules hold, once nothing more will change them before another pass."""
        self._left = self._gathered()

    def resume(self) -> None:
        """Go on after `leave`: from the parameters reached, or from the modules' where these were edited."""
        current = self._gathered()
        if self._left is None or not torch.equal(current, self._left):
            self.assign(current)
            self._left = current

    def snapshot(self) -> Any:
        """Return a copy of the trained state."""
        self._show()
        return self.parameters.clone()

    def restore(self, snapshot: Any) -> None:
        """Go back to a snapshot."""
        self.assign(snapshot)

    def assign(self, parameters: Tensor) -> None:
        """Go on from other parameters."""
        self.parameters.copy_(parameters)
        if self.average is not None:
            self.average.reset()
        self._follow()

    def _stateful(self) -> dict[str, Any]:
        parts = {"solver": self.optimizer, "average": self.average, "bottleneck": self.objective.bottleneck}
        return {name: part for name, part in parts.items() if part is not None}

    def state(self) -> dict[str, Any]:
        """Return what the next step depends on beside the modules."""
        return {name: part.state() for name, part in self._stateful().items()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Carry on from what `state` returned."""
        for name, part in self._stateful().items():
            part.load_state(state[name])

    def _show(self) -> None:
        """Put the mean of the weights, where one is kept, in the place of those reached."""
        if self.average is not None and self.average.show():
            self._follow()

    def _follow(self) -> None:
        """Do what a change of ``parameters`` asks for; the steps differ in this and in what follows."""

    def _evaluate(self, index: Tensor) -> Tensor:
        raise NotImplementedError

    def _store(self, parameters: Tensor) -> None:
        """Copy ``parameters`` into the modules."""

    def _gathered(self) -> Tensor:
        """Return a copy of what the modules hold, as one vector."""
        raise NotImplementedError

    def _code_weights(self) -> Tensor:
        """Return the decoder's weights of each unit of the code, (n_components, fan_out), a view."""
        raise NotImplementedError


class History:
    """What a training run leaves behind."""

    def __init__(self) -> None:
        self.loss_curve: list[float] = []
        self.validation_loss_curve: list[float] = []
        self.parts: dict[str, list[float]] = {}  # sums of the bottleneck, by name: means over the epoch's rows
        self.best_loss = math.inf
        self.converged = False  # stopped because the monitored loss went flat
        self.stopped = False  # stopped from outside, by a callback or the keyboard
        self.interrupted = False
        self.loss = math.nan  # of the weights as they are, where no epoch has measured it

    def end_epoch(self, losses: list[Tensor], sums: dict[str, Tensor], n_rows: int) -> None:
        """Note the means of an epoch over its rows: the one time that the device is waited for."""
        self.loss_curve.append(float(torch.stack(losses).sum()) / n_rows)
        for name, total in sums.items():
            self.parts.setdefault(name, []).append(float(total) / n_rows)

    def attributes(self, curve: list[float]) -> dict[str, Any]:
        """Return the fitted attributes that tell of training; ``curve`` may begin with earlier passes."""
        held_out = {"validation_loss_curve_": self.validation_loss_curve} if self.validation_loss_curve else {}
        best = min(self.validation_loss_curve or curve, default=self.loss)
        last = curve[-1] if curve else self.loss
        return {"loss_curve_": curve, "loss_": last, "best_loss_": best, "n_iter_": len(curve), **held_out}


class _Watch:
    """Keeps the best weights of rows held out, and counts epochs without improvement."""

    def __init__(self, step: Step, schedule: Schedule, held_out: Tensor | None) -> None:
        self.step, self.schedule, self.held_out = step, schedule, held_out
        self.best: Any = None
        self.n_flat = 0

    def look(self, history: History) -> bool:
        """Judge the epoch that has ended; return whether the loss has gone flat."""
        schedule, monitored = self.schedule, history.loss_curve[-1]
        if self.held_out is not None:
            losses = [self.step.evaluate(index) for index in self.held_out.split(schedule.batch_size)]
            monitored = float(torch.stack(losses).sum()) / len(self.held_out)
            history.validation_loss_curve.append(monitored)
        if not (math.isfinite(history.loss_curve[-1]) and math.isfinite(monitored)):
            raise DivergedError(len(history.loss_curve))
        if len(history.loss_curve) <= self.step.warm_up_epochs - schedule.first_epoch:
            history.best_loss = math.inf
        self.n_flat = 0 if monitored < history.best_loss - (schedule.tol or 0) else self.n_flat + 1
        if monitored < history.best_loss:
            history.best_loss = monitored
            self.best = self.step.snapshot() if self.held_out is not None else None
        return schedule.tol is not None and self.n_flat > schedule.n_iter_no_change


def train(
    step: Step,
    rows: Tensor,
    schedule: Schedule,
    generator: torch.Generator,
    *,
    held_out: Tensor | None = None,
    monitor: Any = None,
) -> History:
    """Train until the loss is flat, the epochs are used up, or somebody says stop.

    ``rows`` and ``held_out`` are numbers of rows, on the rows' device. With rows held out their loss is what is
    watched, and the best weights come back, however the run ends. ``generator``, on the CPU, draws the order, so
    that it is the same on every device. A `Monitor` is told of each epoch, and may ask to stop. `DivergedError` is
    raised if the loss of an epoch, or a weight at the end, is not finite.
    """
    history, watch = History(), _Watch(step, schedule, held_out)
    losses: list[Tensor] = []
    n_seen = 0
    try:
        while len(history.loss_curve) < schedule.max_iter:
            losses, n_seen = [], 0
            if monitor is not None:
                monitor.begin_epoch()
            for index in _batches(rows, schedule, generator):
                for warm_up in step.warm_ups:
                    warm_up.advance(schedule.first_epoch + len(history.loss_curve) + n_seen / len(rows))
                losses.append(step(index))
                n_seen += len(index)
            history.end_epoch(losses, step.take_sums(), n_seen)
            losses = []
            flat = watch.look(history)
            if monitor is not None and monitor.end_epoch(history):
                history.stopped = True
                break
            if flat:
                history.converged = True
                break
    except KeyboardInterrupt:
        if not (losses or history.loss_curve):
            raise  # nothing has been learnt
        history.interrupted = history.stopped = True
        if losses:  # an epoch cut short counts with the batches that it has seen
            history.end_epoch(losses, step.take_sums(), n_seen)
    if watch.best is not None:
        step.restore(watch.best)
    # The loss was finite; the last update may not have been.
    if not torch.isfinite(torch.linalg.vector_norm(step.parameters, math.inf)):
        raise DivergedError(len(history.loss_curve))
    return history


def _batches(rows: Tensor, schedule: Schedule, generator: torch.Generator) -> tuple[Tensor, ...]:
    if schedule.shuffle:
        rows = rows[torch.randperm(len(rows), generator=generator).to(rows.device)]
    batches = rows.split(schedule.batch_size)
    if schedule.merge_single and len(batches) > 1 and len(batches[-1]) == 1:
        batches = (*batches[:-2], torch.cat(batches[-2:]))
    return batches
