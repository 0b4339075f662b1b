"""The training loop, one for every estimator: epochs of ``step(index) -> loss``, and when to stop."""

import math
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from .step import Step


class Monitor(Protocol):
    """Whoever watches a run."""

    def begin_epoch(self) -> None: ...
    def end_epoch(self, history: "History") -> bool: ...


class Schedule(NamedTuple):
    """When to stop, and how to walk through the rows."""

    max_iter: int
    batch_size: int
    shuffle: bool = True
    tol: float | None = 1e-4
    n_iter_no_change: int = 10
    first_epoch: float = 0  # how many have passed before
    merge_single: bool = False  # a last batch of one row joins the one before: batch normalization needs two


class History:
    """What a training run leaves behind."""

    def __init__(self) -> None:
        self.loss_curve: list[float] = []
        self.validation_loss_curve: list[float] = []
        self.parts: dict[
            str, list[float]
        ] = {}  # what the bottleneck adds up, by name: means over the epoch's rows
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


class DivergedError(ArithmeticError):
    """The loss or a weight stopped being finite; ``epoch`` says when."""

    def __init__(self, epoch: int) -> None:
        super().__init__(epoch)
        self.epoch = epoch


class _Watch:
    """Keeps the best weights of rows held out, and counts the epochs that have not improved."""

    def __init__(self, step: Step, schedule: Schedule, held_out: Tensor | None) -> None:
        self.step, self.schedule, self.held_out = step, schedule, held_out
        self.best: Any = None
        self.n_flat = 0

    def look(self, history: History) -> bool:
        """Judge the epoch that has ended; return whether the loss has gone flat."""
        schedule, watched = self.schedule, history.loss_curve[-1]
        if self.held_out is not None:
            losses = [self.step.evaluate(index) for index in self.held_out.split(schedule.batch_size)]
            watched = float(torch.stack(losses).sum()) / len(self.held_out)
            history.validation_loss_curve.append(watched)
        if not (math.isfinite(history.loss_curve[-1]) and math.isfinite(watched)):
            raise DivergedError(len(history.loss_curve))
        if len(history.loss_curve) <= self.step.warm_up_epochs - schedule.first_epoch:
            history.best_loss = math.inf
        self.n_flat = 0 if watched < history.best_loss - (schedule.tol or 0) else self.n_flat + 1
        if watched < history.best_loss:
            history.best_loss = watched
            self.best = self.step.snapshot() if self.held_out is not None else None
        return schedule.tol is not None and self.n_flat > schedule.n_iter_no_change


def train(
    step: Step,
    rows: Tensor,
    schedule: Schedule,
    generator: torch.Generator,
    *,
    held_out: Tensor | None = None,
    monitor: Monitor | None = None,
) -> History:
    """Train until the loss is flat, the epochs are used up, or somebody says stop.

    Parameters
    ----------
    step : Step
    rows : int64 Tensor
        Numbers of the rows to train on, on the rows' device.
    schedule : Schedule
    generator : torch.Generator
        On the CPU; draws the order, so that it is the same on every device.
    held_out : int64 Tensor or None
        Numbers of rows held out. With them their loss is what is watched, and the best weights come back,
        however the run ends.
    monitor : Monitor or None
        Told of each epoch; may ask to stop.

    Raises
    ------
    DivergedError
        If the loss of an epoch, or a weight at the end, is not finite.
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
                if step.warms_up:
                    step.advance(schedule.first_epoch + len(history.loss_curve) + n_seen / len(rows))
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
    # The loss was finite; the update after it may not have been.
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
