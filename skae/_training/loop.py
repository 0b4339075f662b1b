"""The loop of steps: epochs of shuffled batches, until training is to end."""

import math
from collections.abc import Generator
from typing import Any

import torch
from torch import Tensor

from .problem import DivergedError, Schedule
from .step import Step


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


# What waits for the loss of the batch that it has named, and ends with its history.
Epochs = Generator[Tensor, Tensor, History]


def drive(step: Step, epochs: Epochs) -> History:
    """Take the steps that `walk` asks for, until it ends."""
    try:
        index = next(epochs)
        while True:
            try:
                loss = step(index)
            except KeyboardInterrupt as interrupt:
                index = epochs.throw(interrupt)
            else:
                index = epochs.send(loss)
    except StopIteration as end:
        return end.value


def walk(
    step: Step,
    rows: Tensor,
    schedule: Schedule,
    generator: torch.Generator,
    *,
    held_out: Tensor | None = None,
    monitor: Any = None,
) -> Epochs:
    """Walk through the rows until the loss is flat, the epochs are used up, or somebody says stop.

    It yields the numbers of the rows of each batch and is sent the loss of the step on them, so that the steps of
    several models may be taken at once.

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
                losses.append((yield index))
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
